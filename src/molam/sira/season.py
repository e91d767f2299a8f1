"""Learns what an ordinary hour of the week counts, and how much it varies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

HOURS_A_DAY = 24
HOURS_A_WEEK = 168

_DECAY = 0.5 ** (1 / HOURS_A_DAY)
_LEVEL_PRIOR_HOURS = 6.0
_MEDIAN_TRUSTED_MIN = 4
_MEAN_MIN = 0.3
# The variance of a median is pi/2 times that of a mean of as many samples.
_MEDIAN_VARIANCE = math.pi / 2


@dataclass(frozen=True, slots=True)
class Baseline:
    """What an ordinary hour of the week counts, how much it varies, and the level now."""

    seasonal: tuple[float, ...]
    overdispersion: float
    weeks: float
    hour_of_week: int
    """Of the hour to come; Monday 0 h is 0."""
    recent: float
    recent_expected: float

    @property
    def level(self) -> float:
        """How the last day or so compares with the season."""
        prior = _prior(self.seasonal)
        return (self.recent + prior) / (self.recent_expected + prior) if prior else 1.0

    def together(self, hours: int) -> float:
        """Return the mean of as many *hours* to come, all together, at today's level."""
        return _together(self.seasonal, self.level, self.hour_of_week, hours)

    def stretches(
        self, counts: Sequence[int], starts: range, *, first_hour_of_week: int, hours: int
    ) -> list[float]:
        """Return what as many *hours* from each of *starts* on were expected to count by then."""
        found, prior = [], _prior(self.seasonal)
        for place, (recent, expected) in enumerate(
            _walk(self.seasonal, counts, first_hour_of_week)
        ):
            if place in starts:
                level = (recent + prior) / (expected + prior) if prior else 1.0
                found.append(_together(self.seasonal, level, first_hour_of_week + place, hours))
        return found

    def variance(self, mean: float) -> float:
        """Return how much a count of this mean varies around what we expect of it."""
        inherent = mean + self.overdispersion * mean * mean
        return inherent * (1 + _MEDIAN_VARIANCE / self.weeks)

    def before(self, counts: Sequence[int]) -> Baseline:
        """Return the baseline before it has seen *counts*, the last of what it has seen."""
        recent, recent_expected, place = self.recent, self.recent_expected, self.hour_of_week
        for count in reversed(counts):
            place = (place - 1) % HOURS_A_WEEK
            expected = self.seasonal[place]
            recent = max(0.0, recent - _bounded(count, expected)) / _DECAY
            recent_expected = max(0.0, recent_expected - expected) / _DECAY
        return replace(self, hour_of_week=place, recent=recent, recent_expected=recent_expected)

    def after(self, count: int) -> Baseline:
        """Return the baseline one hour later."""
        expected = self.seasonal[self.hour_of_week]
        return replace(
            self,
            hour_of_week=(self.hour_of_week + 1) % HOURS_A_WEEK,
            recent=self.recent * _DECAY + _bounded(count, expected),
            recent_expected=self.recent_expected * _DECAY + expected,
        )


def fit(counts: Sequence[int], *, first_hour_of_week: int) -> Baseline:
    """Learn from consecutive hourly *counts*, the first of them at *first_hour_of_week*."""
    seasonal = _season(counts, first_hour_of_week)
    prior = _prior(seasonal)
    weeks = max(2.0, len(counts) / HOURS_A_WEEK)
    recent = recent_expected = squares = spread = 0.0
    for place, count in enumerate(counts):
        season = seasonal[(first_hour_of_week + place) % HOURS_A_WEEK]
        if place >= HOURS_A_WEEK:
            level = (recent + prior) / (recent_expected + prior) if prior else 1.0
            mean = max(_MEAN_MIN, level * season)
            # Past incidents should not teach that anything may happen. A count lies
            # nearer to a median it is part of than to the next one.
            square = min((count - mean) ** 2, 25 * (mean + 0.05 * mean * mean))
            squares += square * weeks / (weeks - 1) - mean
            spread += mean * mean
        recent = recent * _DECAY + _bounded(count, season)
        recent_expected = recent_expected * _DECAY + season
    return Baseline(
        seasonal=seasonal,
        overdispersion=max(0.0, squares / spread) if spread else 0.0,
        weeks=weeks,
        hour_of_week=(first_hour_of_week + len(counts)) % HOURS_A_WEEK,
        recent=recent,
        recent_expected=recent_expected,
    )


def _prior(seasonal: Sequence[float]) -> float:
    """How many payments it takes to believe in a level that is not the usual one."""
    return _LEVEL_PRIOR_HOURS * fmean(seasonal)


def _walk(
    seasonal: Sequence[float], counts: Sequence[int], first: int
) -> Iterator[tuple[float, float]]:
    """Yield of each hour what came lately before it, and what was expected then."""
    recent = recent_expected = 0.0
    for place, count in enumerate(counts, start=first):
        yield recent, recent_expected
        expected = seasonal[place % HOURS_A_WEEK]
        recent = recent * _DECAY + _bounded(count, expected)
        recent_expected = recent_expected * _DECAY + expected


def _together(seasonal: Sequence[float], level: float, first: int, hours: int) -> float:
    return sum(
        max(_MEAN_MIN, level * seasonal[place % HOURS_A_WEEK])
        for place in range(first, first + hours)
    )


def _bounded(count: int, expected: float) -> float:
    """Cut a spike, which may move the level only so far."""
    return min(count, 3 * expected + 5)


def _season(counts: Sequence[int], first_hour_of_week: int) -> tuple[float, ...]:
    """Return the median of each hour of the week, and a mean where counts are small."""
    by_week: list[list[int]] = [[] for _ in range(HOURS_A_WEEK)]
    by_day: list[list[int]] = [[] for _ in range(HOURS_A_DAY)]
    for place, count in enumerate(counts, start=first_hour_of_week):
        by_week[place % HOURS_A_WEEK].append(count)
        by_day[place % HOURS_A_DAY].append(count)
    daily = [_trimmed_mean(samples) for samples in by_day]
    season: list[float] = []
    for place, samples in enumerate(by_week):
        ordinary = daily[place % HOURS_A_DAY]
        middle = float(median(samples)) if samples else 0.0
        # A median of small counts is a coarse step; the hour of any day says more.
        season.append(middle if min(middle, ordinary) >= _MEDIAN_TRUSTED_MIN else ordinary)
    return tuple(season)


def _trimmed_mean(samples: list[int]) -> float:
    """Return the mean without the largest and smallest twentieth."""
    if not samples:
        return 0.0
    cut = len(samples) // 20
    return fmean(sorted(samples)[cut : len(samples) - cut])
