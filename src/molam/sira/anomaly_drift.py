"""Tells a slow drift, which no single hour shows: EWMA chart and CUSUM over whole days."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

from molam.sira.finding import Finding, Kind
from molam.sira.tails import normal_score

WEEK = 7
RECENT_DAYS = 14
REFERENCE_DAYS_MIN = 28
"""Four of each day of the week."""
PAYMENTS_A_DAY_MIN = 20

EWMA_WEIGHT = 0.2
CUSUM_SLACK = 0.5
CUSUM_LIMIT = 5.0
DRIFT_SCORE_MIN = normal_score(4.0)
"""Three sigma would be right if what is usual were known, and not learnt from eight weeks."""
DAY_Z_MAX = 3.0
"""One odd day is no drift, however odd."""

_SIGMA_MIN = 0.05
"""In logarithms: nobody's days are the same to less than a twentieth."""


def drift_test(days: Sequence[int]) -> Finding | None:
    """
    Weigh the last fortnight of *days* against the same days of the week before it.

    Both charts have to speak: the EWMA says that it is far off now, the CUSUM that it has
    come about over days. None with too little to compare with.
    """
    usual, recent = days[:-RECENT_DAYS], days[-RECENT_DAYS:]
    if len(usual) < REFERENCE_DAYS_MIN or fmean(usual) < PAYMENTS_A_DAY_MIN:
        return None
    # Day by day of the week, the last of *usual* being the day before the first of *recent*.
    middles = [median(usual[place - WEEK :: -WEEK]) for place in range(WEEK)]
    apart = [_apart(count, middles[at % WEEK]) for at, count in enumerate(usual, -len(usual))]
    centre = median(apart)
    weeks = len(usual) / WEEK
    spread = 1.4826 * median(abs(each - centre) for each in apart)
    # What is expected is a median of as many weeks, and itself varies.
    sigma = max(_SIGMA_MIN, spread) * math.sqrt(1 + math.pi / 2 / weeks)
    chart = rise = fall = 0.0
    risen = fallen = 0
    for at, count in enumerate(recent):
        z = min(max(_apart(count, middles[at % WEEK]) / sigma, -DAY_Z_MAX), DAY_Z_MAX)
        chart = EWMA_WEIGHT * z + (1 - EWMA_WEIGHT) * chart
        rise, fall = max(0.0, rise + z - CUSUM_SLACK), max(0.0, fall - z - CUSUM_SLACK)
        risen, fallen = (risen + 1 if rise else 0), (fallen + 1 if fall else 0)
    z = chart / math.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT))
    since, total = (risen, rise) if z > 0 else (fallen, fall)
    lasted = max(1, since)
    return Finding(
        kind=Kind.PAYMENTS_RISING if z > 0 else Kind.PAYMENTS_SINKING,
        severity="warning",
        score=normal_score(abs(z)) if total > CUSUM_LIMIT else 0.0,
        observed=fmean(recent[-lasted:]),
        expected=fmean(middles[at % WEEK] for at in range(RECENT_DAYS - lasted, RECENT_DAYS)),
        hours=24 * lasted,
    )


def _apart(count: int, usual: float) -> float:
    """How far two days are apart, in logarithms that small counts do not upset."""
    return math.log((count + 5) / (usual + 5))
