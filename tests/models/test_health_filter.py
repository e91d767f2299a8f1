"""The filter believes what the evidence says, in any order, at any time, without ever breaking."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.sira.health_filter import (
    BASELINE_MAX,
    BASELINE_MIN,
    DOWN_RATE,
    UP_RATE,
    Belief,
    advance,
    baseline,
    decode,
    encode,
    expected_failure,
    failing,
    fresh,
    interval,
    log_odds,
    observe,
    observe_many,
    p_down,
)
from molam.sira.health_signal import Signal, sla_ms, weight_of

T0 = 1_800_000_000.0
STEADY = 1e12
"""So much is known of the baseline that nothing moves it."""

weights = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1)
moments = st.floats(-1e9, 4e9)
events = st.lists(st.tuples(weights, moments), max_size=30)


def after(belief: Belief, events: list[float], *, every_s: float = 20, since: float = T0) -> Belief:
    for place, failure in enumerate(events, start=1):
        belief = observe(belief, failure, since + place * every_s)
    return belief


def a_clean_bank() -> Belief:
    """One of whose payouts 1 % failed of a thousand, and none in the last 100 minutes."""
    return after(fresh(0.01, strength=1000), [0.0] * 300)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([1], 0.015),
        ([1, 1], 0.49),
        ([1, 1, 1], 0.987),
        ([1, 0, 1, 0, 1], 0.86),
        ([1, 0], 0.007),
        ([], 0.00023),
    ],
)
def test_failures_after_a_clean_time_count_as_they_were_measured_to(seen, expected):
    belief = a_clean_bank()

    assert p_down(after(belief, seen, since=belief.at)) == pytest.approx(expected, rel=0.03)


def test_half_a_failure_counts_for_less_than_one_and_more_than_none():
    belief = a_clean_bank()
    downs = [p_down(after(belief, [each] * 2, since=belief.at)) for each in (0.0, 0.5, 1.0)]

    assert downs == sorted(downs)
    assert downs[1] == pytest.approx(0.0074, rel=0.05)


def test_belief_returns_to_the_usual_while_nothing_is_heard():
    down = after(a_clean_bank(), [1.0] * 10, since=T0 + 6000)
    usual = DOWN_RATE / (DOWN_RATE + UP_RATE)

    half_life = math.log(2) / (DOWN_RATE + UP_RATE)
    halfway = (p_down(down) + usual) / 2

    assert p_down(advance(down, down.at + half_life)) == pytest.approx(halfway, abs=1e-9)
    assert p_down(advance(down, down.at + 86_400 * 30)) == pytest.approx(usual, abs=1e-9)


def test_baseline_learns_slowly_and_stands_still_during_an_outage():
    belief = after(fresh(0.01), [0.0] * 97 + [1.0] + [0.0] * 97)
    before = baseline(belief)

    during = after(belief, [1.0] * 50, since=belief.at)

    assert before == pytest.approx((0.5 + 1) / (50 + 195), rel=0.01)
    assert p_down(during) > 0.99
    assert baseline(during) < 2.5 * before


def test_one_failure_after_years_without_any_is_no_outage():
    belief = after(fresh(0.001), [0.0] * 20_000)

    assert baseline(belief) == BASELINE_MIN
    assert p_down(observe(belief, 1, belief.at + 20)) < 0.3


def test_events_of_one_moment_may_come_in_any_order():
    seen = [1.0, 0.0, 0.5, 0.0, 1.0]
    beliefs = [
        after(fresh(0.01, strength=STEADY), order, every_s=0) for order in (seen, seen[::-1])
    ]

    assert beliefs[0].weights == pytest.approx(beliefs[1].weights, rel=1e-9)


@given(weights, weights, st.floats(0, 7200))
def test_event_that_comes_late_says_what_it_would_have_said_in_time(first, second, gap):
    start = fresh(0.01, strength=STEADY)
    in_order = observe(observe(start, first, T0), second, T0 + gap)
    late = observe(observe(start, second, T0 + gap), first, T0)

    assert late.weights == pytest.approx(in_order.weights, rel=1e-6)
    assert late.at == in_order.at


@given(st.integers(0, 3), st.integers(0, 20))
def test_events_at_once_count_as_one_after_the_other(bad, good):
    start = advance(fresh(0.01, strength=STEADY), T0)
    one_by_one = after(start, [0.0] * good + [1.0] * bad, every_s=0)
    together = observe_many(start, failures=bad, oks=good, at=T0)

    assert together.weights == pytest.approx(one_by_one.weights, rel=1e-6, abs=1e-8)


@settings(max_examples=60)
@given(events, st.floats(1e-6, 0.4))
def test_nothing_that_is_heard_ever_breaks_a_belief(events, mean):
    belief = fresh(mean)
    for failure, at in events:
        belief = observe(belief, failure, at)
        assert math.isclose(sum(belief.weights), 1, abs_tol=1e-9)
        assert all(0 < each <= 1 for each in belief.weights)
        assert BASELINE_MIN <= baseline(belief) <= BASELINE_MAX
        odds, parts = log_odds(belief)
        assert math.isfinite(odds)
        assert sum(parts.values()) == pytest.approx(odds, abs=1e-6)
    for horizon in (0, 900, 3600):
        low, middle, high = interval(belief, horizon)
        assert 0 <= low <= middle + 1e-6
        assert middle <= high + 1e-6
        assert 0 <= expected_failure(belief, horizon) <= 1
    assert belief.at == max([0.0, *(at for _, at in events)])
    assert decode(encode(belief)) == belief


@given(events)
def test_belief_survives_a_database_that_reads_numbers_its_own_way(events):
    belief = fresh()
    for failure, at in events:
        belief = observe(belief, failure, at)

    assert msgspec.convert(msgspec.json.decode(encode(belief)), Belief) == belief


def test_ten_thousand_failures_and_as_many_successes_leave_a_belief_that_still_moves():
    dead = after(fresh(), [1.0] * 10_000, every_s=0.1)
    alive = after(dead, [0.0] * 40, since=dead.at)

    assert p_down(dead) > 0.999999
    assert p_down(alive) < 0.05


@pytest.mark.parametrize("nonsense", [(-1.0, T0), (2.0, T0), (1.0, math.nan), (1.0, math.inf)])
def test_nonsense_is_a_mistake_of_the_caller(nonsense):
    with pytest.raises(AssertionError):
        observe(fresh(), *nonsense)


def test_expected_failure_of_now_is_the_mixture_of_all_states():
    belief = after(a_clean_bank(), [1, 1], since=T0 + 6000)
    shares = failing(baseline(belief))

    assert expected_failure(belief, 0) == pytest.approx(
        sum(w * f for w, f in zip(belief.weights, shares, strict=True))
    )
    # An outage may end within the hour, and mostly does within days.
    assert expected_failure(belief, 86_400) < expected_failure(belief, 3600)


def test_interval_holds_both_an_end_of_the_outage_and_its_going_on():
    down = after(a_clean_bank(), [1.0] * 20, since=T0 + 6000)
    up = a_clean_bank()

    low, middle, high = interval(down, 3600)
    assert low < 10
    assert middle < 10
    assert high > 60
    low, _, high = interval(up, 3600)
    assert 98 < low < high <= 100


def test_interval_holds_as_often_as_it_says():
    """The share of an hour that an outage of severity 0.97 lasts, drawn 4,000 times by rank."""
    belief = msgspec.structs.replace(
        fresh(0.01, strength=STEADY), weights=(1e-15, 1e-15, 1e-15, 1e-15, 1.0)
    )
    low, _, high = interval(belief, 3600)

    inside = 0
    for rank in range(4000):
        lasts = min(1.0, -math.log1p(-(rank + 0.5) / 4000) / UP_RATE / 3600)
        score = 100 * (1 - (0.01 + (failing(0.01)[4] - 0.01) * lasts))
        inside += low - 1e-6 <= score <= high + 1e-6
    assert 0.8 <= inside / 4000 <= 0.92


@pytest.mark.parametrize(
    ("kind", "outcome", "latency_ms", "weight"),
    [
        ("payout", "ok", None, 0),
        ("payout", "ok", 30_000, 0),
        ("payout", "ok", 30_001, 0.5),
        ("active_probe", "ok", 99_000, 0.5),
        ("settlement_file", "ok", 99_000_000, 0),
        ("payout", "bank_technical", 10, 1),
        ("status_inquiry", "bank_timeout_unknown", None, 1),
        ("payout", "network_local", None, None),
        ("payout", "hub_common", None, None),
        ("payout", "customer", 99_000, None),
        ("payout", "compliance", None, None),
        ("payout", "liquidity", None, None),
        ("declared_outage", "bank_technical", None, None),
    ],
)
def test_only_a_banks_own_failures_and_delays_count_against_it(kind, outcome, latency_ms, weight):
    signal = Signal("bp_1", "bank", "XOF", kind, outcome, T0, latency_ms)

    assert weight_of(signal) == weight


def test_answers_are_late_beyond_three_times_what_is_usual_and_never_under_half_a_minute():
    found = [sla_ms(usual) for usual in (None, 200, 10_000, 20_000)]

    assert found == [30_000, 30_000, 30_000, 60_000]
