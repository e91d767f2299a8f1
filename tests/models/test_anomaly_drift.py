"""A drift too slow for any hour to show is found over days; ordinary days are not one."""

from __future__ import annotations

import math
from random import Random

import pytest

from molam.sira.anomaly_drift import DRIFT_SCORE_MIN, drift_test
from molam.sira.finding import Kind
from molam.sira.season import fit
from molam.sira.sentences import explain

WEEK = (90, 100, 100, 110, 130, 160, 60)


def days_of(seed: int, count: int = 70, *, a_day: float = 1.0, last: int = 14) -> list[int]:
    """Ten weeks of days, of which the *last* each are *a_day* of the one before."""
    rng = Random(seed)
    made = []
    for day in range(count):
        drifted = a_day ** max(0, day - (count - last) + 1)
        mean = WEEK[day % 7] * drifted
        made.append(max(0, round(rng.gauss(mean, math.sqrt(mean)))))
    return made


@pytest.mark.parametrize("seed", range(5))
def test_sinking_by_a_twentieth_a_day_is_found(seed):
    finding = drift_test(days_of(seed, a_day=0.95))
    assert finding is not None
    assert finding.kind is Kind.PAYMENTS_SINKING
    assert finding.score > DRIFT_SCORE_MIN
    assert finding.observed < finding.expected


def test_rising_is_found_and_said_in_days():
    finding = drift_test(days_of(3, a_day=1.05))
    assert finding is not None
    assert finding.kind is Kind.PAYMENTS_RISING
    assert "Payments have been rising for" in explain(finding, "en")
    assert "Les paiements augmentent depuis" in explain(finding, "fr")


def test_ordinary_fortnights_are_seldom_a_drift():
    found = [drift_test(days_of(seed)) for seed in range(300)]
    assert sum(each is not None and each.score > DRIFT_SCORE_MIN for each in found) <= 6


def test_one_odd_day_is_no_drift():
    days = days_of(1)
    days[-1] = 0
    finding = drift_test(days)
    assert finding is not None
    assert finding.score <= DRIFT_SCORE_MIN


def test_little_history_and_small_shops_say_nothing():
    assert drift_test(days_of(1, count=41)) is None
    assert drift_test([3] * 70) is None


def test_a_baseline_forgets_what_it_has_just_seen():
    counts = [5 + hour % 24 for hour in range(24 * 21)]
    before = fit(counts, first_hour_of_week=0)
    seen = before
    for count in (7, 0, 12):
        seen = seen.after(count)
    again = seen.before((7, 0, 12))
    assert again.hour_of_week == before.hour_of_week
    assert again.recent == pytest.approx(before.recent)
    assert again.recent_expected == pytest.approx(before.recent_expected)
