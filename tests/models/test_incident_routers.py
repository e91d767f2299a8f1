"""Each router on a small trace whose answer is known."""

from __future__ import annotations

from random import Random

import pytest

from learned_health import a_head, a_model
from molam.simulator.incidents import DAY_MIN, Incident, assemble
from molam.simulator.incidents_guarded import Guarded
from molam.simulator.incidents_learned import Learned
from molam.simulator.incidents_replay import (
    BREAKER,
    FILTER,
    LATE_ORACLE,
    ORACLE,
    PRODUCT,
    ROUTERS,
    SUCCESS_RATE,
    calibration_error,
    false_failovers,
    live_through,
    replay,
    severity_class,
)
from molam.simulator.incidents_routers import Breaker, SuccessRate

BEGINS, MINUTES = 600, 180


@pytest.fixture(scope="module")
def outage():
    """The better of two banks is down for three hours."""
    return assemble(
        [Incident(0, float(BEGINS), float(MINUTES), 0.95)], baselines=(0.002, 0.01, 0.04), days=1
    )


@pytest.fixture(scope="module")
def calm():
    return assemble([], baselines=(0.002, 0.01, 0.04), days=1)


def test_the_clairvoyant_has_no_regret_and_leaves_at_once(outage):
    score = replay(outage, ROUTERS[ORACLE])

    assert score.regret_bp == pytest.approx(0.0, abs=1e-9)
    assert score.switches_a_day == 2
    assert score.regret_late_bp < 0


def test_the_late_oracle_is_late_by_its_two_minutes(outage):
    score = replay(outage, ROUTERS[LATE_ORACLE])

    missed = 2 * (0.9501 - 0.01) + 2 * (0.01 - 0.002)
    assert score.regret_bp == pytest.approx(1e4 * missed / DAY_MIN, rel=0.01)
    assert score.regret_late_bp == pytest.approx(0.0, abs=1e-9)
    assert score.divert_min == 2


def test_the_best_fixed_bank_never_moves(outage):
    score = replay(outage, ROUTERS["best fixed bank"])

    assert score.switches_a_day == 0
    # The second bank it is: three hours of outage cost more than 0.8 points all day.
    assert score.failed_share == pytest.approx(0.01)


def test_our_router_leaves_within_minutes_and_comes_back_once(outage):
    routes = live_through(outage, Guarded(outage.preferred)).routes

    left = next(m for m in range(BEGINS, DAY_MIN) if routes[m] != 0)
    back = next(m for m in range(left, DAY_MIN) if routes[m] == 0)
    assert set(routes[:BEGINS]) == {0}
    assert left - BEGINS <= 5
    assert set(routes[left:back]) == {1}
    assert 5 <= back - (BEGINS + MINUTES) <= 60
    assert set(routes[back:]) == {0}


def test_our_router_stays_where_all_is_well(calm):
    score = replay(calm, ROUTERS[PRODUCT])

    assert score.switches_a_day == 0
    assert score.false_failovers_a_day == 0


def test_our_router_stays_where_everybody_is_down():
    common = [Incident(bank, 600.0, 60.0, 0.9, "common") for bank in range(3)]
    trace = assemble(common, baselines=(0.002, 0.01, 0.04), days=1)

    routes = live_through(trace, Guarded(trace.preferred)).routes

    assert len({*routes[605:660]}) == 1


def test_our_router_learns_that_the_operator_had_it_wrong():
    trace = assemble([], baselines=(0.08, 0.002), days=3, preferred=(0, 1))

    routes = live_through(trace, Guarded(trace.preferred)).routes

    assert routes[0] == 0
    assert routes[-1] == 1


def test_the_filter_alone_sees_the_outage_too(outage):
    score = replay(outage, ROUTERS[FILTER])

    assert score.missed == {"20 %": 0, "50 %": 0, "95 %": 0}
    assert score.brier is not None
    assert score.brier_skill > 0.5
    assert score.calibration_error < 0.02


def test_success_rate_routing_starts_from_good_and_leaves_the_worst():
    router = SuccessRate(2, window=100, hedging=0.0)
    for _ in range(3):
        router.learn(0, 1.0, 0.0)

    assert router.route() == 1
    assert router.forecasts(0.0) == pytest.approx([0.03, 0.0])


def test_success_rate_routing_lifts_whoever_has_fallen_too_far():
    router = SuccessRate(2, window=100, hedging=0.0)
    for _ in range(50):
        router.learn(1, 1.0, 0.0)

    # Three standard deviations of sqrt(0.09 / 100) below the best, and no further.
    assert router.forecasts(0.0)[1] == pytest.approx(0.09)


def test_success_rate_routing_hedges_a_twentieth():
    router, draw = SuccessRate(3), Random(1)

    chosen = [router.choose(draw) for _ in range(4000)]

    assert 0.03 < sum(each != 0 for each in chosen) / 4000 < 0.07
    assert set(chosen) == {0, 1, 2}


def test_a_breaker_opens_at_half_of_a_hundred_calls_and_tries_ten_later():
    router = Breaker((0, 1))
    for n in range(100):
        router.learn(0, float(n % 2), 0.0)
    assert router.route() == 1
    router.tick(0.5)
    assert router.route() == 1

    router.tick(1.0)
    assert router.route() == 0
    for _ in range(10):
        router.learn(0, 1.0, 1.1)
    assert router.route() == 1
    router.tick(2.2)
    for _ in range(10):
        router.learn(0, 0.0, 2.3)

    assert router.route() == 0


def test_a_breaker_does_not_see_an_outage_of_a_quarter():
    trace = assemble([Incident(0, 300.0, 600.0, 0.25)], baselines=(0.002, 0.01), days=1)

    score = replay(trace, ROUTERS[BREAKER])

    assert score.missed["20 %"] == score.outages["20 %"] == 1
    assert score.switches_a_day == 0


def test_ours_beats_both_public_ones_where_an_outage_is_partial():
    trace = assemble([Incident(0, 300.0, 600.0, 0.4)], baselines=(0.002, 0.01), days=1)
    ours, success_rate, breaker = (
        replay(trace, ROUTERS[name]).regret_bp for name in (PRODUCT, SUCCESS_RATE, BREAKER)
    )

    assert ours < success_rate
    assert ours < breaker


def test_a_learned_router_that_may_not_serve_is_the_guarded_one(outage):
    model = a_model(a_head(serves=False))

    ours = live_through(outage, Learned(outage, model)).routes

    assert ours == live_through(outage, Guarded(outage.preferred)).routes


def test_a_learned_router_expects_what_its_model_says(calm):
    router = Learned(calm, a_model())
    for minute in range(6):
        router.tick(float(minute))

    by_filter = Guarded(calm.preferred).forecasts(5.0)
    assert router.forecasts(5.0) != pytest.approx(by_filter)


def test_going_back_is_no_false_failover():
    trace = assemble([Incident(0, 10.0, 20.0, 0.9)], baselines=(0.01, 0.009), days=1)
    there_and_back = [0] * 12 + [1] * 30 + [0] * (DAY_MIN - 42)
    and_needlessly = [*there_and_back[:100], 1, *there_and_back[101:]]

    assert false_failovers(trace, there_and_back) == 0
    assert false_failovers(trace, and_needlessly) == 2


def test_severities_fall_into_classes():
    assert [severity_class(each) for each in (0.05, 0.2, 0.5, 0.95)] == [
        None, "20 %", "50 %", "95 %"
    ]  # fmt: skip


def test_what_is_said_and_comes_is_calibrated():
    pairs = [(0.25, float(n % 4 == 0)) for n in range(1200)]

    assert calibration_error(pairs) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error([(0.75, came) for _, came in pairs]) == pytest.approx(0.5)
