"""Tells figures that are unusual together, though none of them need be so alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from molam.sira.anomaly_hour import Hour
from molam.sira.anomaly_trees import WINDOW, HalfSpaceTrees
from molam.sira.finding import Finding, Kind, Part
from molam.sira.season import HOURS_A_WEEK, fit

STRETCH_HOURS = 12
STEP_HOURS = 4
HISTORY_HOURS_MIN = HOURS_A_WEEK + WINDOW * STEP_HOURS + STRETCH_HOURS
"""Seven weeks: a window of stretches, after the week in which the level is found."""

_PAYMENTS_MIN = 5
_TAIL_SHARE = 0.1
_SCORE_MAX = 300.0
_SPREAD_MIN = 1e-6
# A mean deviation as a standard deviation, of what is normal.
_OF_MEAN_DEVIATION = 1.2533


@dataclass(frozen=True, slots=True)
class _Sums:
    """Some hours together, and how many payments they usually bring."""

    hours: Hour
    expected: float


@dataclass(frozen=True, slots=True)
class _Usual:
    """What is ordinary of a merchant, whatever the hour."""

    success: float
    refunds: float
    ticket: float
    fees: float


def joint_test(history: Sequence[Hour], *, first_hour_of_week: int) -> Finding | None:
    """
    Weigh the last half day of *history* as one point among those of the six weeks before.

    Its score is that of half-space trees, on the scale of the other tests by the tail of
    the scores that the window's own points have. It names what it would miss most, were it
    at its median. None with less history than that.
    """
    if len(history) < HISTORY_HOURS_MIN:
        return None
    stretches = _stretches(history, first_hour_of_week)
    usual = _usual(stretches, history)
    table = _standard([_coordinates(each, usual) for each in stretches])
    point, window = table[-1], table[:-1]
    lengths = [math.hypot(*each) for each in window]
    score, parts = 0.0, (0, 1)
    # What is no farther out than a tenth of all stretches needs no trees to be ordinary.
    if math.hypot(*point) > sorted(lengths)[-int(_TAIL_SHARE * WINDOW)]:
        middle = median(lengths)
        spread = max(_SPREAD_MIN, 1.4826 * median(abs(each - middle) for each in lengths))

        def placed(each: Sequence[float]) -> list[float]:
            # All a little out lies as far as one thing that is out by much.
            return [*each, (math.hypot(*each) - middle) / spread]

        trees = HalfSpaceTrees([placed(each) for each in window])
        score = _tail(trees.scores(), trees.score(placed(point)))
        without = [
            trees.score(placed([*point[:axis], 0.0, *point[axis + 1 :]]))
            for axis in range(len(point))
        ]
        order = sorted(range(len(point)), key=lambda axis: (without[axis], -abs(point[axis])))
        parts = order[0], order[1]
    named = tuple(_parts(stretches[-1], usual)[axis] for axis in parts)
    return Finding(
        kind=Kind.JOINT_UNUSUAL,
        severity="warning",
        score=score,
        observed=named[0].observed,
        expected=named[0].expected,
        hours=STRETCH_HOURS,
        parts=named,
    )


def _stretches(history: Sequence[Hour], first_hour_of_week: int) -> list[_Sums]:
    """Sum up overlapping stretches, the last of which ends with *history*."""
    payments = [hour.payments for hour in history]
    baseline = fit(payments[:-1], first_hour_of_week=first_hour_of_week)
    last = len(history) - STRETCH_HOURS
    starts = range(last - WINDOW * STEP_HOURS, last + 1, STEP_HOURS)
    expected = baseline.stretches(
        payments[: last + 1], starts, first_hour_of_week=first_hour_of_week, hours=STRETCH_HOURS
    )
    return [
        _Sums(_sum(history[at : at + STRETCH_HOURS]), mean)
        for at, mean in zip(starts, expected, strict=True)
    ]


def _sum(hours: Sequence[Hour]) -> Hour:
    return Hour(
        created=sum([hour.created for hour in hours]),
        payments=sum([hour.payments for hour in hours]),
        sales=sum([hour.sales for hour in hours]),
        refunds=sum([hour.refunds for hour in hours]),
        fees=sum([hour.fees for hour in hours]),
    )


def _usual(stretches: Sequence[_Sums], history: Sequence[Hour]) -> _Usual:
    busy = [
        each.hours
        for each in stretches
        if each.hours.payments >= _PAYMENTS_MIN and each.hours.sales > 0
    ]
    all_ = _sum(history)
    return _Usual(
        success=min(1.0, (all_.payments + 0.5) / (all_.created + 1)),
        refunds=all_.refunds / len(history) * STRETCH_HOURS,
        ticket=median([hour.sales / hour.payments for hour in busy] or [1.0]),
        fees=median([hour.fees / hour.sales for hour in busy] or [0.0]),
    )


def _coordinates(of: _Sums, usual: _Usual) -> Iterator[float]:
    """Yield how far out each figure is; as far, by day and night, is as rare."""
    hours, payments = of.hours, of.hours.payments
    yield _apart(payments, of.expected)
    is_sold = payments > 0 and hours.sales > 0
    yield math.log(hours.sales / payments / usual.ticket) * math.sqrt(payments) if is_sold else 0.0
    rate = hours.fees / hours.sales / usual.fees if is_sold and usual.fees else 0.0
    yield math.log(rate) * math.sqrt(payments) if rate > 0 else 0.0
    spread = math.sqrt(hours.created * usual.success * (1 - usual.success) + 0.5)
    yield (payments - hours.created * usual.success) / spread
    yield _apart(hours.refunds, usual.refunds)


def _parts(of: _Sums, usual: _Usual) -> list[Part]:
    """Say each coordinate in figures, in their order."""
    hours = of.hours
    ticket = hours.sales / hours.payments / usual.ticket if hours.payments else 1.0
    fees = hours.fees / hours.sales if hours.sales else usual.fees
    success = min(1.0, hours.payments / hours.created) if hours.created else usual.success
    return [
        Part("payments", hours.payments, of.expected),
        Part("ticket", ticket, 1.0),
        Part("fees", fees, usual.fees),
        Part("success", success, usual.success),
        Part("refunds", hours.refunds, usual.refunds),
    ]


def _apart(count: int, mean: float) -> float:
    """How far a count is from its mean, in units that are the same for any (Anscombe)."""
    return 2 * (math.sqrt(count + 0.375) - math.sqrt(mean + 0.375))


def _standard(rows: Sequence[Iterator[float]]) -> list[list[float]]:
    """Bring each coordinate around 0, in units of its ordinary spread."""
    columns = []
    for column in zip(*rows, strict=True):
        middle = median(column)
        apart = [abs(each - middle) for each in column]
        spread = max(1.4826 * median(apart), 0.5 * _OF_MEAN_DEVIATION * fmean(apart))
        # What never moves has nothing to say, unless it moves.
        columns.append([(each - middle) / max(spread, _SPREAD_MIN) for each in column])
    return [list(row) for row in zip(*columns, strict=True)]


def _tail(usual: Sequence[float], score: float) -> float:
    """Return -log10 of the chance of *score*, where the far tail falls off exponentially."""
    ordered = sorted(usual)
    count = int(_TAIL_SHARE * len(ordered))
    level = ordered[-count - 1]
    excess = fmean(each - level for each in ordered[-count:])
    if score <= level or excess <= 0:
        return 0.0
    chance = -math.log10(count / len(ordered))
    return min(chance + (score - level) / excess / math.log(10), _SCORE_MAX)
