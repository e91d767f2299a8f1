"""Forecasts cover as often as they say, and say little where little is known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.liquidity.flows import read_history
from molam.mesh.liquidity.forecasting import conformal, foresee, pinball
from molam.mesh.liquidity.model import HistoryRefused, critical_quantile

QUANTILES = (0.5, 0.9, 0.975)
_WEEK = (1.2, 1.0, 0.9, 1.0, 1.6, 0.7, 0.3)


def a_series(seed: int, days: int) -> list[int]:
    """Days with weekdays, a drifting level, noise, and now and then twice as much."""
    chance = random.Random(seed)
    level, found = 1_000_000.0, []
    for day in range(days):
        level *= 1 + chance.gauss(0, 0.01)
        noise = chance.lognormvariate(0, 0.25) * chance.choice([1] * 19 + [2])
        found.append(int(level * _WEEK[day % 7] * noise))
    return found


def test_as_many_days_stay_below_as_the_quantile_says() -> None:
    below = dict.fromkeys(QUANTILES, 0)
    count = 0
    for seed in range(4):
        series = a_series(seed, 380)
        for origin in range(320, 372, 4):
            for each in foresee(series[:origin], QUANTILES, days=7).days:
                count += 1
                for quantile in QUANTILES:
                    actual = series[origin + each.horizon - 1]
                    below[quantile] += actual <= each.quantiles[quantile]
    assert 0.42 <= below[0.5] / count <= 0.62
    assert 0.85 <= below[0.9] / count <= 0.97
    assert below[0.975] / count >= 0.955


def test_weekdays_are_known_from_the_past() -> None:
    series = [int(1_000_000 * _WEEK[day % 7]) for day in range(70)]
    foreseen = foresee(series, QUANTILES, days=7)
    for each in foreseen.days:
        expected = series[len(series) - 7 + each.horizon - 1]
        assert abs(each.quantiles[0.5] - expected) <= 0.1 * expected


def test_a_short_past_says_so_and_reaches_far() -> None:
    assert foresee([], QUANTILES).days == []
    little = foresee([1_000_000, 1_050_000, 950_000], QUANTILES, days=1)
    much = foresee([1_000_000, 1_050_000, 950_000] * 30, QUANTILES, days=1)
    assert (little.stands_on, much.stands_on) == (3, 90)
    width = [each.days[0].quantiles[0.975] - each.days[0].quantiles[0.5] for each in (little, much)]
    assert width[0] > 3 * width[1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=60))
def test_quantiles_never_cross_whatever_the_past(history: list[int]) -> None:
    for each in foresee(history, QUANTILES, days=3).days:
        ordered = [each.quantiles[quantile] for quantile in QUANTILES]
        assert ordered == sorted(ordered)


@given(st.lists(st.floats(-1e6, 1e6), min_size=50, max_size=80))
def test_a_conformal_margin_covers_its_own_errors(errors: list[float]) -> None:
    margin = conformal(errors, 0.9)
    assert sum(each <= margin for each in errors) / len(errors) >= 0.9


def test_only_the_true_quantile_scores_best() -> None:
    sample = list(range(1, 1001))
    losses = {
        guess: sum(pinball(each, guess, 0.9) for each in sample) for guess in range(800, 1000, 10)
    }
    assert min(losses, key=losses.__getitem__) in {900, 910}


def test_being_short_costs_forty_times_what_holding_does() -> None:
    assert 0.975 < critical_quantile() < 0.976


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("day,amount\n", "The first line"),
        ("day,net_outflow\n2026-01-01,1.5\n", "Line 2: '1.5' is no whole number"),
        ("day,net_outflow\n2026-01-01,1e5\n", "Line 2: '1e5' is no whole number"),
        ("day,net_outflow\n2026-01-01,5\n2026-01-01,6\n", "Line 3: 2026-01-01 is there twice"),
        ("day,net_outflow,peak_outflow\n2026-01-01,5,4\n", "Line 2: the peak"),
        ("day,net_outflow\nyesterday,5\n", "Line 2: Invalid isoformat"),
    ],
)
def test_a_history_that_cannot_be_read_is_refused_by_its_line(content: str, said: str) -> None:
    with pytest.raises(HistoryRefused, match=said):
        read_history(content)


def test_a_history_is_read_in_order_of_days() -> None:
    days = read_history("day,net_outflow\n2026-01-02,-5\n2026-01-01,7,9\n")
    assert [(each.net_outflow, each.peak_outflow) for each in days] == [(7, 9), (-5, 0)]
