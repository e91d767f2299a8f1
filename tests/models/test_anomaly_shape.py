"""The earlier day that looked most like this one."""

from __future__ import annotations

import math
import random
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NOW
from molam.kernel.clock import Instant
from molam.sira.anomaly_shape import DAY, HOUR, Likeness, likest

UNTIL = NOW.replace(minute=0, second=0, microsecond=0)
PLANTED = [0, 0, 1, 4, 9, 4, 1, 0, 0, -3, -6, -3, 0, 0, 2, 2, 2, 0, 0, 5, 0, 0, 0, 1]


def series(values: list[float]) -> list[tuple[Instant, float]]:
    first = UNTIL - HOUR * len(values)
    return [(first + HOUR * at, value) for at, value in enumerate(values)]


def noisy_days(count: int, *, seed: int = 5) -> list[float]:
    noise = random.Random(seed)
    return [100 + noise.gauss(0, 1) for _ in range(count * DAY)]


def planted(*, size: float = 1, level: float = 0, days: int = 20) -> list[float]:
    """Noise in which the last day's shape was there once, 300 hours before."""
    values = noisy_days(days)
    values[-DAY:] = [level + size * each for each in PLANTED]
    values[-300 - DAY : -300] = [float(each) for each in PLANTED]
    return values


def found(values: list[float]) -> Likeness:
    best = likest(series(values), until=UNTIL)
    assert best is not None
    return best


@settings(max_examples=25, deadline=None)
@given(size=st.floats(0.01, 1e6), level=st.floats(-1e6, 1e6))
def test_a_shape_is_found_again_at_any_level_and_size(size: float, level: float):
    best = found(planted(size=size, level=level))
    assert best.until == UNTIL - 300 * HOUR
    assert best.correlation == pytest.approx(1, abs=1e-3)


def test_the_opposite_is_not_alike():
    assert found(planted(size=-1)).until != UNTIL - 300 * HOUR


def test_nothing_is_said_of_flat_days_short_histories_and_days_hardly_measured():
    flat = noisy_days(10)
    flat[-DAY:] = [100.0] * DAY
    gaps = [
        each for each in series(planted()) if each[0].hour % 2 or each[0] < UNTIL - 2 * HOUR * DAY
    ]

    assert likest(series(flat), until=UNTIL) is None
    assert likest(series(noisy_days(7)), until=UNTIL) is None
    assert likest(series(noisy_days(8)), until=UNTIL) is not None
    assert likest(gaps, until=UNTIL) is None
    assert likest([], until=UNTIL) is None


def test_an_hour_that_is_missing_is_as_the_one_before():
    values = planted()
    whole = series(values)
    without = [each for each in whole if each[0] != UNTIL - 3 * HOUR]

    assert values[-3] == values[-4]
    assert likest(without, until=UNTIL) == likest(whole, until=UNTIL)


def test_a_day_is_not_compared_with_itself():
    best = found(planted(days=9))
    assert best.until <= UNTIL - timedelta(days=1)
    assert math.isfinite(best.correlation)
