"""Whether the world still looks as it did when the health model was trained."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import msgspec

from molam.sira.health_model import HealthModel, Reference

# Note [Three alarms]
#
# What comes in: the population stability index compares how each feature is spread now
# with how it was in training. What comes out: a CUSUM adds up by how many nats the filter
# has explained each outcome better than the model; where the model is right, it stays
# below ln(n) for about n outcomes. And in between: ADWIN (Bifet and Gavalda, 2007) cuts
# the window of residuals where the means of its parts differ beyond chance. Both take
# outcomes for independent, which those of one outage are not: so an hour of a bank counts
# as one outcome, and a residual is the mean of an hour over all banks.

PSI_ALERT, PSI_FREEZE = 0.2, 0.35
PSI_ROWS_MIN = 5000
_KEEP_ROWS = 1 - 1 / 12_000
_HEAVY = 1e12
_HOUR_S = 3600
_SHARE_MIN = 1e-4

CUSUM_ALARM = math.log(10_000)
_LOSS_CLAMP = 1e-4

ADWIN_DELTA = 0.002
ADWIN_CLOCK, ADWIN_GRACE = 32, 10
ADWIN_BUCKETS, ADWIN_PART_MIN = 5, 5

SLOW = frozenset({
    "hour_of_week_sin", "hour_of_week_cos", "hour_of_day_sin", "hour_of_day_cos", "month_end",
    "pay_day", "feast", "feast_distance", "ramadan", "maintenance_now", "maintenance_soon",
    "incidents_7d", "incidents_30d", "since_incident", "since_failure",
    "tries_10080m", "failures_10080m", "late_10080m", "failure_usual", "expected_failure",
    "volume_ratio_60m",
})  # fmt: skip
"""Features that no few days can hold all of: their spread always looks shifted."""


class Bucket(msgspec.Struct, frozen=True):
    """Some residuals: how many, their sum, and their squared distance from their mean."""

    count: int
    total: float
    spread: float


class Adwin(msgspec.Struct):
    """An adaptive window as buckets of doubling size, oldest first."""

    buckets: list[Bucket] = []
    seen: int = 0
    cuts: int = 0


class DriftState(msgspec.Struct):
    """What has been seen since the model serves; plain JSON."""

    version: str
    bins: list[list[float]] = []
    rows: float = 0.0
    weight: float = 1.0
    """Of the next row: each weighs a little more than the one before."""
    cusum: float = 0.0
    residuals: Adwin = msgspec.field(default_factory=Adwin)
    hour: int = 0
    hour_sum: float = 0.0
    hour_rows: int = 0
    alarm: str = ""
    """Why the model stands still, until another one is trained."""
    until: float = 0.0
    """Unix seconds of the last row that was learned from."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether to worry, or to stop serving."""

    psi_max: float
    psi_feature: str
    is_alert: bool
    is_frozen: bool
    reason: str


def observe(
    state: DriftState, model: HealthModel, vector: Sequence[float], outcome: Outcome
) -> None:
    """Learn from one prediction whose end is known."""
    if len(state.bins) != len(model.reference):
        state.bins = [[0.0] * len(each.shares) for each in model.reference]
        state.rows, state.weight = 0.0, 1.0
    for counts, reference, value in zip(state.bins, model.reference, vector, strict=True):
        counts[bisect.bisect_left(reference.edges, value)] += state.weight
    state.rows = state.rows * _KEEP_ROWS + 1.0
    state.weight /= _KEEP_ROWS
    if state.weight > _HEAVY:
        state.bins = [[each / state.weight for each in counts] for counts in state.bins]
        state.weight = 1.0
    worse = _loss(outcome.share, outcome.by_model) - _loss(outcome.share, outcome.by_filter)
    state.cusum = max(0.0, state.cusum + worse * outcome.witness)
    if state.cusum > CUSUM_ALARM and not state.alarm:
        state.alarm = "the filter explains what happened better than the model"
    if _hour_ended(state, outcome) and not state.alarm:
        state.alarm = "the model's errors have shifted"


def _hour_ended(state: DriftState, outcome: Outcome) -> bool:
    """Add a residual to its hour; return whether the hour before it ended in an alarm."""
    has_changed = False
    hour = int(outcome.at // _HOUR_S)
    if hour != state.hour:
        if state.hour_rows:
            has_changed = adwin(state.residuals, state.hour_sum / state.hour_rows)
        state.hour, state.hour_sum, state.hour_rows = hour, 0.0, 0
    state.hour_sum += outcome.share - outcome.by_model
    state.hour_rows += 1
    return has_changed


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """
    From *at* (Unix seconds) on a *share* failed; the model and the filter had said another.

    *witness* is how much of an independent outcome it is: its part of a bank's hour.
    """

    at: float
    witness: float
    share: float
    by_model: float
    by_filter: float


def verdict(state: DriftState, model: HealthModel) -> Verdict:
    """Judge a state: above 0.2 one is alerted, above 0.35 or on an alarm the model stands still."""
    worst, name = 0.0, ""
    if state.rows >= PSI_ROWS_MIN and len(state.bins) == len(model.reference):
        shifts = [
            (psi(reference, counts), feature)
            for feature, reference, counts in zip(
                model.features, model.reference, state.bins, strict=True
            )
            if feature not in SLOW
        ]
        worst, name = max(shifts, default=(0.0, ""))
    reason = state.alarm
    if not reason and worst > PSI_ALERT:
        reason = f"{name} is spread otherwise than in training (PSI {worst:.2f})"
    return Verdict(
        psi_max=worst,
        psi_feature=name,
        is_alert=bool(state.alarm) or worst > PSI_ALERT,
        is_frozen=bool(state.alarm) or worst > PSI_FREEZE,
        reason=reason,
    )


def psi(reference: Reference, counts: Sequence[float]) -> float:
    """Return the population stability index of *counts* against training."""
    total = sum(counts)
    if total <= 0:
        return 0.0
    found = 0.0
    for was, count in zip(reference.shares, counts, strict=True):
        before, now = max(was, _SHARE_MIN), max(count / total, _SHARE_MIN)
        found += (now - before) * math.log(now / before)
    return found


def adwin(window: Adwin, value: float) -> bool:
    """Add *value*; return whether the window's mean has changed, and forget what is older."""
    window.buckets.append(Bucket(1, value, 0.0))
    window.seen += 1
    _merge_equals(window.buckets)
    if window.seen % ADWIN_CLOCK or sum(each.count for each in window.buckets) <= ADWIN_GRACE:
        return False
    has_changed = False
    while _is_cut(window.buckets):
        has_changed = True
        window.buckets.pop(0)
    window.cuts += has_changed
    return has_changed


def _merge_equals(buckets: list[Bucket]) -> None:
    """Keep at most five buckets of each size: two older ones become one of twice the size."""
    size = 1
    while True:
        same = [place for place, each in enumerate(buckets) if each.count == size]
        if len(same) <= ADWIN_BUCKETS:
            return
        first, second = buckets[same[0]], buckets[same[1]]
        buckets[same[0]] = _joined(first, second)
        del buckets[same[1]]
        size *= 2


def _joined(one: Bucket, other: Bucket) -> Bucket:
    count = one.count + other.count
    apart = one.total / one.count - other.total / other.count if one.count and other.count else 0.0
    spread = one.spread + other.spread + apart**2 * one.count * other.count / count
    return Bucket(count, one.total + other.total, spread)


def _is_cut(buckets: Sequence[Bucket]) -> bool:
    if not buckets:
        return False
    whole = buckets[0]
    for each in buckets[1:]:
        whole = _joined(whole, each)
    if whole.count <= 1:
        return False
    variance = whole.spread / whole.count
    doubt = math.log(2 * math.log(whole.count) / ADWIN_DELTA)
    old_count, old_total = 0, 0.0
    for each in buckets[:-1]:
        old_count, old_total = old_count + each.count, old_total + each.total
        new_count = whole.count - old_count
        if old_count < ADWIN_PART_MIN or new_count < ADWIN_PART_MIN:
            continue
        gap = abs(old_total / old_count - (whole.total - old_total) / new_count)
        part = 1 / (old_count - ADWIN_PART_MIN + 1) + 1 / (new_count - ADWIN_PART_MIN + 1)
        if gap > math.sqrt(2 * part * variance * doubt) + 2 / 3 * doubt * part:
            return True
    return False


def _loss(share: float, said: float) -> float:
    kept = min(1 - _LOSS_CLAMP, max(_LOSS_CLAMP, said))
    return -share * math.log(kept) - (1 - share) * math.log1p(-kept)
