"""What the learned model looks at."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from random import Random

import pytest

from molam.sira import feasts
from molam.sira.features import (
    NAMES,
    RISING,
    UNITS,
    WINDOWS_MIN,
    History,
    Minute,
    Surroundings,
    cusum,
    digest,
    from_minutes,
)

MONDAY = datetime(2026, 11, 2, tzinfo=UTC).timestamp()


def _minutes(count: int, *, seed: int = 1, rate: float = 0.1) -> list[Minute]:
    draw = Random(seed)
    return [
        Minute(
            at=MONDAY + 60 * place, probes=1, attempts=draw.randrange(4),
            probe_failures=int(draw.random() < rate), latency_sum_ms=800, latencies=1,
            latency_max_ms=800,
        )
        for place in range(count)
    ]  # fmt: skip


def _named(vector) -> dict[str, float]:
    return dict(zip(NAMES, vector, strict=True))


def test_every_figure_has_a_name_and_a_unit():
    assert len(set(NAMES)) == len(NAMES) == len(UNITS)
    assert all(UNITS)
    assert set(NAMES) >= RISING
    assert len(digest()) == 64


def test_windows_count_what_was_in_them():
    minutes = _minutes(1500)

    figures = _named(from_minutes(minutes, Surroundings()))

    for width in WINDOWS_MIN:
        last = minutes[-width:]
        assert figures[f"tries_{width}m"] == sum(m.probes + m.attempts for m in last)
        assert figures[f"failures_{width}m"] == sum(m.probe_failures for m in last)


def test_a_minute_left_out_was_silent():
    minutes = _minutes(300)
    with_hole = [m for place, m in enumerate(minutes) if not 100 <= place < 200]
    empty = [m if m in with_hole else Minute(at=m.at) for m in minutes]

    figures, same = (_named(from_minutes(each, Surroundings())) for each in (with_hole, empty))

    for name in NAMES:
        if not name.startswith(("latency", "volume")):
            assert figures[name] == pytest.approx(same[name]), name


def test_minutes_come_in_order():
    history = History()
    history.push(Minute(at=MONDAY))

    with pytest.raises(ValueError, match="order"):
        history.push(Minute(at=MONDAY))


def test_an_average_halves_in_its_half_life():
    minutes = [Minute(at=MONDAY, probes=1, probe_failures=1)]
    minutes += [Minute(at=MONDAY + 60 * n, probes=1) for n in range(1, 200)]

    figures = _named(from_minutes(minutes, Surroundings()))

    assert figures["failure_ewma_2m"] < figures["failure_ewma_10m"] < figures["failure_ewma_60m"]
    kept = 0.5 ** (199 / 60)
    assert figures["failure_ewma_60m"] == pytest.approx(
        kept / sum(0.5 ** (n / 60) for n in range(200))
    )


def test_an_incident_is_counted_once_until_it_is_over():
    history = History()
    downs = [0.0, 0.6, 0.9, 0.3, 0.7, 0.1, 0.6]
    for place, down in enumerate(downs):
        history.push(Minute(at=MONDAY + 60 * place, probes=1, p_down=down))

    figures = _named(history.vector(Surroundings()))

    assert figures["incidents_7d"] == 2
    assert figures["since_incident"] == 0


def test_earlier_incidents_are_remembered_for_a_month():
    ago = [MONDAY - days * 86_400 for days in (40, 20, 3)]

    figures = _named(from_minutes([Minute(at=MONDAY)], Surroundings(), incidents=ago))

    assert (figures["incidents_7d"], figures["incidents_30d"]) == (1, 2)


def test_latency_is_compared_with_its_own_hour_of_the_week():
    minutes = [
        Minute(at=MONDAY + 60 * n, probes=1, latency_sum_ms=ms, latencies=1, latency_max_ms=ms)
        for n in range(8 * 1440)
        for ms in [3000 if (n // 60) % 24 == 2 else 1000]
    ]
    usual = _named(from_minutes(minutes[: 7 * 1440 + 180], Surroundings()))
    slow = [
        Minute(at=m.at, probes=1, latency_sum_ms=4000, latencies=1, latency_max_ms=4000)
        for m in minutes[7 * 1440 + 240 : 7 * 1440 + 270]
    ]

    figures = _named(from_minutes([*minutes[: 7 * 1440 + 240], *slow], Surroundings()))

    assert usual["latency_mean_ratio_15m"] == pytest.approx(1.0)
    assert figures["latency_mean_ratio_15m"] == pytest.approx(4.0)


def test_what_surrounds_a_bank_is_told():
    around = Surroundings(
        maintenance_now=True, neighbours_p_down=0.7, expected_failure=0.5, country="SN"
    )

    figures = _named(from_minutes([Minute(at=MONDAY, probes=1, p_down=0.4)], around))

    assert figures["maintenance_now"] == 1
    assert figures["neighbours_p_down"] == 0.7
    assert figures["p_down"] == 0.4
    assert figures["expected_failure"] == 0


def test_a_cusum_rises_with_failures_and_never_falls_below_zero():
    assert cusum(0.0, 0, 100, 0.01) == 0
    assert cusum(0.0, 2, 2, 0.01) > 4
    assert math.isfinite(cusum(50.0, 100, 100, 0.0))


def test_feasts_are_those_of_the_country():
    korite = date(2026, 3, 20)

    assert feasts.distance("SN", korite) == 0
    assert feasts.distance("SN", date(2026, 3, 18)) == 2
    assert feasts.distance("SN", date(2026, 2, 10)) == feasts.NEAR_DAYS
    assert feasts.is_ramadan("SN", date(2026, 3, 1))
    assert not feasts.is_ramadan("SN", korite)
    assert not feasts.is_ramadan("CV", date(2026, 3, 1))
    assert feasts.distance("ZZ", korite) == feasts.NEAR_DAYS


def test_a_week_of_which_days_ago_are_added_up_by_the_hour_looks_the_same():
    chance = Random(20261122)
    end = 1_795_000_000 // 3600 * 3600 + 1380
    begin = end - 7 * 86400
    minutes = [
        Minute(
            at=float(at),
            attempts=chance.randint(0, 6),
            probes=1,
            probe_failures=int(chance.random() < 0.01),
            latency_sum_ms=chance.randint(100, 2000),
            latency_max_ms=2000,
            latencies=1,
        )
        for at in range(begin, end, 60)
    ]
    folded = _by_hours(minutes, until=end // 3600 * 3600 - 24 * 3600)
    assert len(folded) < 2000

    by_minutes = dict(zip(NAMES, from_minutes(minutes, Surroundings()), strict=True))
    by_hours = dict(zip(NAMES, from_minutes(folded, Surroundings()), strict=True))
    assert by_hours == pytest.approx(by_minutes, rel=0.01, abs=1e-6)


def _by_hours(minutes: list[Minute], *, until: int) -> list[Minute]:
    hours: dict[int, list[Minute]] = {}
    for each in minutes:
        if each.at < until:
            hours.setdefault(int(each.at) // 3600, []).append(each)
    sums = ("attempts", "failures", "sla_misses", "timeouts", "probes", "probe_failures")
    added = [
        Minute(
            at=float(hour * 3600 + 59 * 60),
            latency_max_ms=max(each.latency_max_ms for each in those),
            p_down=max(each.p_down for each in those),
            **{
                name: sum(getattr(each, name) for each in those)
                for name in (*sums, "latency_sum_ms", "latencies")
            },
        )
        for hour, those in hours.items()
    ]
    return [*added, *(each for each in minutes if each.at >= until)]
