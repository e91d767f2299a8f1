"""Which earlier day looked most like this one: for whoever asks how trouble came about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import mul

from molam.kernel.clock import Instant

DAY = 24
MEASURED_MIN = 18
"""A day with fewer measured hours is mostly what was held over from before."""
DAYS_MIN = 7
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Likeness:
    """
    The earlier day most alike ended at *until*, of *days* that were compared.

    *correlation* is Pearson's, from -1 to 1. The order is that of z-normalised distances,
    d² = 2m(1 - r), so this is an entry of the left matrix profile (Yeh et al., 2016).
    """

    until: Instant
    correlation: float
    days: int


def likest(hours: Sequence[tuple[Instant, float]], *, until: Instant) -> Likeness | None:
    """
    Compare the 24 hours that end at *until* with every earlier day that does not touch them.

    *hours* are mean values with the beginning of their whole hours, ascending, all before
    *until*; one that is missing is as the one before. None: there is no shape to compare,
    or there are fewer than seven days before.
    """
    values, measured = _held(hours, until=until)
    days = len(values) // DAY - 1
    if days < DAYS_MIN or sum(measured[-DAY:]) < MEASURED_MIN:
        return None
    asked = _shape(values[-DAY:])
    if asked is None:
        return None
    best: Likeness | None = None
    for end in range(DAY, len(values) - DAY + 1):
        if sum(measured[end - DAY : end]) < MEASURED_MIN:
            continue
        shape = _shape(values[end - DAY : end])
        if shape is None:
            continue
        correlation = sum(map(mul, asked, shape)) / DAY
        if best is None or correlation > best.correlation:
            best = Likeness(until - HOUR * (len(values) - end), correlation, days)
    return best


def _held(
    hours: Sequence[tuple[Instant, float]], *, until: Instant
) -> tuple[list[float], list[bool]]:
    """Fill what is missing with what stood before, and say which hours were measured."""
    if not hours:
        return [], []
    known = dict(hours)
    values: list[float] = []
    measured: list[bool] = []
    at = hours[0][0]
    while at < until:
        values.append(known.get(at, values[-1] if values else 0.0))
        measured.append(at in known)
        at += HOUR
    return values, measured


def _shape(day: Sequence[float]) -> list[float] | None:
    """Take level and size away (z-normalise); None of a flat day, which has no shape."""
    mean = math.fsum(day) / len(day)
    spread = math.sqrt(math.fsum((each - mean) ** 2 for each in day) / len(day))
    if spread <= 1e-9 * max(1.0, abs(mean)):
        return None
    return [(each - mean) / spread for each in day]
