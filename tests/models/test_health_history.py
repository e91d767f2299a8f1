"""A history that is sent to SIRA is read strictly, and learnt from in the order it happened."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.kernel import canonical
from molam.platform.web.wire import BodyMalformed
from molam.sira import health_history
from molam.sira.health_content import digest_of_history
from molam.sira.health_filter import p_down

NOW = 1_795_000_000.0
AT = "2026-11-18T11:06:40Z"
"""The same as NOW."""


def learnt(*rows: dict[str, Any]):
    return health_history.learn(health_history.read(rows), now=NOW)


def minute(ago: int, **counts: Any) -> dict[str, Any]:
    at = NOW - 60 * ago
    hours, rest = divmod(int(at - 1_794_960_000), 3600)
    clock = f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"
    return {"checked_at": f"2026-11-18T{clock}Z", **counts}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"checked_at": "2026-11-18T12:00:00"}, "row 0"),
        ({"checked_at": "now"}, "row 0"),
        ({"attempts": 3}, "checked_at"),
        ({"at": NOW, "kind": "payout"}, "outcome"),
        ({"at": NOW, "kind": "rumour", "outcome": "ok"}, "rumour"),
        ({"at": float("inf"), "kind": "payout", "outcome": "ok"}, "no time"),
        ({"at": 1.0, "kind": "payout", "outcome": "ok"}, "eight days"),
        ({"at": NOW + 61, "kind": "payout", "outcome": "ok"}, "eight days"),
        ({"checked_at": AT, "attempts": 1, "failures": 2}, "more failures"),
        ({"checked_at": AT, "probes": 1, "probe_failures": 2}, "more failures"),
        ({"checked_at": AT, "attempts": -1}, "row 0"),
        ({"checked_at": AT, "attempts": 10**12}, "row 0"),
        ({"checked_at": AT, "attempts": "3"}, "row 0"),
        ({"checked_at": AT, "weight": 3}, "weight"),
        ({"checked_at": AT, "success_rate": 95}, "row 0"),
        ({}, "checked_at"),
    ],
)
def test_row_that_cannot_be_is_refused_and_named(row: dict[str, Any], said: str):
    with pytest.raises(BodyMalformed) as info:
        learnt(row)

    assert said in info.value.detail


def test_minutes_and_signals_of_the_same_failures_say_the_same():
    logged = [minute(ago, attempts=1, failures=int(ago <= 3)) for ago in range(50, 0, -1)]
    seen = [
        {
            "at": NOW - 60 * ago + 30,
            "kind": "payout",
            "outcome": "bank_technical" if ago <= 3 else "ok",
        }
        for ago in range(50, 0, -1)
    ]

    by_log, recent = learnt(*logged)
    by_signals, also = learnt(*seen)

    assert by_log.weights == pytest.approx(by_signals.weights)
    assert [m.failures for m in recent.minutes] == [m.failures for m in also.minutes]
    assert p_down(by_log) > 0.5


def test_order_in_which_rows_are_sent_does_not_matter():
    rows = [minute(ago, attempts=3, failures=ago % 3) for ago in range(20, 0, -1)]

    assert learnt(*rows) == learnt(*rows[::-1])


def test_what_is_not_the_banks_fault_moves_nothing():
    good = [minute(ago, attempts=3) for ago in range(30, 0, -1)]
    ours = [
        {"at": NOW - 60, "kind": "payout", "outcome": outcome}
        for outcome in ("customer", "compliance", "network_local", "hub_common")
    ]

    assert learnt(*good, *ours) == learnt(*good)


def test_latency_and_volume_are_compared_to_what_came_before():
    usual = [minute(ago, attempts=1, latency_sum_ms=100, latencies=1, volume=10)
             for ago in range(60, 16, -1)]  # fmt: skip
    now = [minute(ago, attempts=1, latency_sum_ms=300, latencies=1, volume=40)
           for ago in range(14, 0, -1)]  # fmt: skip

    _, recent = learnt(*usual, *now)

    assert (recent.latency_ratio, recent.volume_ratio) == pytest.approx((3, 4))


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20
    )
)
def test_no_number_of_failures_breaks_what_is_learnt(rows):
    sent = [
        minute(ago, attempts=max(tries, failed), failures=min(tries, failed), sla_misses=failed)
        for ago, tries, failed in rows
    ]
    belief, _ = learnt(*sent)

    assert sum(belief.weights) == pytest.approx(1)
    assert 0 <= p_down(belief) <= 1


def test_history_is_named_by_what_its_numbers_are_worth():
    one = canonical.parse(b'[{"checked_at": "x", "success_rate": 0.50}]')
    same = canonical.parse(b'[{"success_rate": 0.5, "checked_at": "x"}]')
    other = canonical.parse(b'[{"success_rate": 0.51, "checked_at": "x"}]')

    assert digest_of_history(one) == digest_of_history(same) != digest_of_history(other)
