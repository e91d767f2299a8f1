"""What a day may take from an account: quantiles from its own past, decided without I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

WEEK = 7
WINDOW = 56
"""Days back whose errors say how wide a forecast is, and which method is heard."""
MEMORY = 400
"""Days of history that are looked at."""
SHORT_DAYS = 21
"""Below this many days nothing is known of weekdays: a mean, and wide quantiles."""

_LEVELS = (0.05, 0.15, 0.35)
_SEASONS = (0.05, 0.2)
_MEDIANS_OF = 8
_FEW = 20
"""Errors below which their largest is not taken for the largest there can be."""

# Note [Where the width comes from]
#
# Each method forecasts again what is past, from what was known then, and its errors over
# the window are its quantiles: the k-th smallest of n with k = ceil((n + 1) q), which
# covers with probability at least q whatever the errors' distribution, so long as their
# order says nothing. Methods are joined in inverse proportion to their pinball loss, and
# the joined forecast is corrected by its own errors once more. Where there are too few
# errors for a quantile the largest of them is stretched, so a short past is a wide future.


@dataclass(frozen=True, slots=True)
class Forecast:
    """One day ahead: for each quantile asked for, at most this much; in minor units."""

    horizon: int
    quantiles: Mapping[float, int]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """All days of one series, how many days of history they stand on, and who was heard."""

    days: list[Forecast]
    stands_on: int
    weights: Mapping[str, float] = field(default_factory=dict)


def foresee(history: Sequence[int], quantiles: Sequence[float], *, days: int = 14) -> Foreseen:
    """
    Forecast the *days* after *history*, which has one value a day, oldest first.

    A history of nothing says nothing: no days come back.
    """
    values = [float(each) for each in history[-MEMORY:]]
    if not values:
        return Foreseen([], 0)
    asked = sorted(quantiles)
    if len(values) < SHORT_DAYS:
        return _from_little(values, asked, days)
    methods = {
        "same_weekday_last_week": _naive(values),
        "median_of_weekdays": _medians(values),
        "smoothing": _smoothing(values),
    }
    found, weights = [], dict.fromkeys(methods, 0.0)
    for horizon in range(1, days + 1):
        spread, heard = _joined(values, methods, asked, horizon)
        found.append(Forecast(horizon, _whole(spread)))
        for name, weight in heard.items():
            weights[name] += weight / days
    return Foreseen(found, len(values), {name: round(each, 3) for name, each in weights.items()})


def pinball(actual: float, predicted: float, quantile: float) -> float:
    """Score a quantile: less is better, and only the true quantile is best."""
    error = actual - predicted
    return max(quantile * error, (quantile - 1) * error)


_Method = list[list[float]]
"""For each origin, oldest first, the forecasts of the days after it; the last is of the future."""


def _joined(
    values: Sequence[float], methods: Mapping[str, _Method], asked: Sequence[float], horizon: int
) -> tuple[dict[float, float], dict[str, float]]:
    errors = {name: _errors(values, made, horizon) for name, made in methods.items()}
    count = min(len(each) for each in errors.values())
    if count < WEEK:
        errors = {name: _errors(values, made, 1) for name, made in methods.items()}
        count = min(len(each) for each in errors.values())
    spread: dict[float, float] = {}
    heard = dict.fromkeys(methods, 0.0)
    for quantile in asked:
        margins = {name: conformal(each, quantile) for name, each in errors.items()}
        losses = {
            name: fmean(pinball(error, margins[name], quantile) for error in each)
            for name, each in errors.items()
        }
        weights = _inverse(losses)
        ahead = {name: made[-1][horizon - 1] + margins[name] for name, made in methods.items()}
        joined = sum(weights[name] * ahead[name] for name in methods)
        # What the joined forecast itself has missed, at each day of the window.
        points = {name: each[-count:] for name, each in errors.items()}
        missed = [
            sum(weights[name] * (points[name][at] - margins[name]) for name in methods)
            for at in range(count)
        ]
        spread[quantile] = joined + conformal(missed, quantile)
        for name in methods:
            heard[name] += weights[name] / len(asked)
    return spread, heard


def conformal(errors: Sequence[float], quantile: float) -> float:
    """Return how far to go beyond a point forecast so that *quantile* of days stay below."""
    ordered = sorted(errors)
    count = len(ordered)
    rank = math.ceil((count + 1) * quantile)
    if rank <= count:
        return ordered[rank - 1]
    # Fewer errors than the quantile needs: the largest is not the largest there can be.
    reach = max(abs(ordered[0]), abs(ordered[-1]))
    stretch = (rank - count) / 2 if count >= _FEW else 1 + (_FEW - count) / _FEW
    return ordered[-1] + 0.15 * stretch * reach


def _errors(values: Sequence[float], made: _Method, horizon: int) -> list[float]:
    """Compare what was forecast for each day of the window, *horizon* days before, with it."""
    last = len(made) - 1  # The origin after the newest value.
    found = []
    for back in range(min(WINDOW, last), horizon - 1, -1):
        origin = last - back
        target = len(values) - back + horizon - 1
        if target < len(values):
            found.append(values[target] - made[origin][horizon - 1])
    return found


def _origins(values: Sequence[float]) -> range:
    """The days from which the past is forecast again, and the day after it."""
    first = max(2 * WEEK, len(values) - WINDOW)
    return range(first, len(values) + 1)


def _naive(values: Sequence[float]) -> _Method:
    return [
        [values[origin - WEEK + (ahead % WEEK)] for ahead in range(WINDOW // 4)]
        for origin in _origins(values)
    ]


def _medians(values: Sequence[float]) -> _Method:
    made = []
    for origin in _origins(values):
        by_day = [
            _median(values[origin - WEEK + day :: -WEEK][:_MEDIANS_OF]) for day in range(WEEK)
        ]
        made.append([by_day[ahead % WEEK] for ahead in range(WINDOW // 4)])
    return made


def _smoothing(values: Sequence[float]) -> _Method:
    """Smooth level and weekdays (additive Holt-Winters), by the rates that erred least."""
    runs = [_smoothed(values, level, season) for level in _LEVELS for season in _SEASONS]
    return min(runs, key=lambda run: run[0])[1]


def _smoothed(values: Sequence[float], alpha: float, gamma: float) -> tuple[float, _Method]:
    begin = values[: 2 * WEEK]
    level = fmean(begin)
    seasons = [(begin[day] + begin[day + WEEK]) / 2 - level for day in range(WEEK)]
    origins = _origins(values)
    made: _Method = []
    loss = 0.0
    for at in range(2 * WEEK, len(values) + 1):
        if at >= origins.start:
            made.append([level + seasons[(at + ahead) % WEEK] for ahead in range(WINDOW // 4)])
        if at == len(values):
            break
        season = seasons[at % WEEK]
        error = values[at] - level - season
        loss += abs(error)
        level += alpha * error
        seasons[at % WEEK] = season + gamma * (1 - alpha) * error
    return loss, made


def _from_little(values: Sequence[float], asked: Sequence[float], days: int) -> Foreseen:
    """Say little where little is known: the mean, and quantiles that reach far beyond it."""
    middle = fmean(values)
    reach = max(abs(each - middle) for each in values)
    reach = max(reach, abs(middle) / 2) * (1 + SHORT_DAYS / (len(values) + 1)) / 2
    spread = {each: middle + reach * (each - 0.5) * 4 for each in asked}
    one = _whole(spread)
    return Foreseen(
        [Forecast(horizon, one) for horizon in range(1, days + 1)], len(values), {"mean": 1.0}
    )


def _inverse(losses: Mapping[str, float]) -> dict[str, float]:
    best = min(losses.values())
    if best <= 0:
        even = [name for name, loss in losses.items() if loss <= 0]
        return {name: (1 / len(even) if name in even else 0.0) for name in losses}
    inverse = {name: 1 / loss for name, loss in losses.items()}
    total = sum(inverse.values())
    return {name: each / total for name, each in inverse.items()}


def _whole(spread: Mapping[float, float]) -> dict[float, int]:
    """Round up, and let no higher quantile lie below a lower one."""
    ordered = sorted(spread)
    found = {each: math.ceil(spread[each]) for each in ordered}
    for lower, higher in pairwise(ordered):
        found[higher] = max(found[higher], found[lower])
    return found


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
