"""What SIRA predicts of a bank, why, and what it recommends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from molam.sira import health_filter as filter_
from molam.sira import health_sentences
from molam.sira.features import CUSUM_ALARM, MINUTE_S, Minute, cusum
from molam.sira.health_calibration import calibrated
from molam.sira.health_filter import Belief
from molam.sira.health_model import Calibration, Reading, strongest
from molam.sira.health_rules import RecommendedAction, recommend
from molam.sira.health_sentences import Said
from molam.sira.health_stays import RECENT_MINUTES, failures_of, last_minutes, stays_with, tries_of

TIER_1 = "tier1-filter-1"
WINDOW_MINUTES = 60

ServedBy = Literal["tier1", "tier2", "fallback"]

MOVE_GAIN_MIN = 0.003
"""How many fewer payouts must fail for a move to be worth it."""
SEEN_MIN = 30
UNSURE_MAX = 0.6
"""What confidence never passes while fewer than `SEEN_MIN` signals count."""

_RISE_MAX = 2.0
_SURGE_MIN = 3.0
_SUCCESS_MIN = 0.95
_LATE_MAX = 0.1
_HUNDREDTH = Decimal("0.01")
_WHOLE = Decimal(100)
_TINY = 1e-9


class Part(msgspec.Struct, frozen=True):
    """What one family of signals, or one feature, adds to the log-odds."""

    name: str
    log_odds: float


class RecentCounts(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the belief does not say of the last quarter of an hour.

    *minutes* are those of the health log, oldest first, some from before it. Ratios
    compare the quarter of an hour to what is usual; *overdue* counts payouts that should
    have arrived. Whatever is left out is not looked at.
    """

    minutes: tuple[Minute, ...] = ()
    latency_ratio: float | None = None
    volume_ratio: float | None = None
    overdue: int = 0
    is_short_of_funds: bool = False


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is expected over the next *window_minutes*.

    *predicted_score* is the share of payouts that will complete in time, in percent, and
    p10 to p90 hold it four times in five. *confidence* is the probability that what is
    taken for the likelier, up or down, is true. *contributions* add up to the log-odds of
    DOWN (Tier 1) or of a failure (Tier 2). *stays_with* is how many failures among
    *recent_attempts* of the last quarter of an hour would still let payouts stay.
    """

    predicted_score: Decimal
    p10: Decimal
    p50: Decimal
    p90: Decimal
    p_down: float
    confidence: float
    n_eff: float
    window_minutes: int
    risk_factors: tuple[str, ...]
    recommended_action: RecommendedAction
    reason: str
    contributions: tuple[Part, ...]
    model_version: str
    served_by: ServedBy
    recent_attempts: int = 0
    recent_failures: int = 0
    stays_with: int | None = None
    doubted_by: tuple[str, ...] = ()
    """Other regions that hold the bank to be down, as far as that is part of the belief."""


class _View(msgspec.Struct, frozen=True, kw_only=True):
    """A share that fails, with its interval, best first, and how it was come by."""

    failure: float
    low: float
    middle: float
    high: float
    contributions: tuple[Part, ...]
    model_version: str
    served_by: ServedBy


def forecast(
    belief: Belief,
    *,
    window_minutes: int,
    at: float,
    recent: RecentCounts,
    widening: float = 1.0,
) -> Forecast:
    """Predict by the filter alone, which is always there and has nothing to be trained."""
    now = filter_.advance(belief, at)
    low, middle, high = filter_.interval(
        now, window_minutes * MINUTE_S, trials=_expected_payouts(recent, now, window_minutes)
    )
    _, parts = filter_.log_odds(now)
    view = _View(
        failure=filter_.expected_failure(now, window_minutes * MINUTE_S),
        low=_apart(high, middle, widening),
        middle=1 - middle / 100,
        high=_apart(low, middle, widening),
        contributions=tuple(Part(name, odds) for name, odds in parts.items()),
        model_version=TIER_1,
        served_by="tier1",
    )
    return _told(view, now, window_minutes=window_minutes, recent=recent)


def predict(
    belief: Belief,
    *,
    window_minutes: int,
    at: float,
    recent: RecentCounts,
    reading: Reading | None = None,
    widening: float = 1.0,
) -> Forecast:
    """
    Predict by the learned model where it gave a *reading*, and by the filter where not.

    Whether the bank is up or down is the filter's to say in either case. *widening* is
    for the filter; a reading comes with its own.
    """
    if reading is None:
        return forecast(
            belief, window_minutes=window_minutes, at=at, recent=recent, widening=widening
        )
    view = _View(
        failure=reading.expected_failure,
        low=min(reading.p10, reading.expected_failure),
        middle=reading.p50,
        high=max(reading.p90, reading.expected_failure),
        contributions=tuple(Part(name, odds) for name, odds in strongest(reading)),
        model_version=reading.model_version,
        served_by="tier2",
    )
    now = filter_.advance(belief, at)
    return _told(view, now, window_minutes=window_minutes, recent=recent)


class Sureness(msgspec.Struct, frozen=True):
    """
    How sure a move is right.

    *raw* is what signals say, *confidence* how often that has been right, and not more
    than a doubt while little was seen (*n_eff*).
    """

    raw: float
    confidence: float
    n_eff: float


def sureness_of_move(
    current: Belief,
    candidate: Belief,
    *,
    delta: float = MOVE_GAIN_MIN,
    table: Calibration | None = None,
) -> Sureness:
    """
    Return the probability that fewer payouts fail at *candidate*, by more than *delta*.

    Each bank's share is a mixture over its states, about the baseline, which is known
    the better the more was seen; so is their difference. *table* is learnt from moves
    made before; without it, what signals say stands.
    """
    total = 0.0
    for weight, share, spread in _mixture(current):
        for other_weight, other_share, other_spread in _mixture(candidate):
            apart = (share - other_share - delta) / math.hypot(spread, other_spread)
            total += weight * other_weight * (0.5 + 0.5 * math.erf(apart / math.sqrt(2)))
    raw, seen = min(1.0, max(0.0, total)), min(current.seen, candidate.seen)
    learned = raw if table is None else calibrated(table, raw)
    return Sureness(raw, _trusted(learned, seen), seen)


def confidence_of_move(
    current: Belief,
    candidate: Belief,
    *,
    delta: float = MOVE_GAIN_MIN,
    table: Calibration | None = None,
) -> float:
    """Return how sure it is that fewer payouts fail at *candidate*, by more than *delta*."""
    return sureness_of_move(current, candidate, delta=delta, table=table).confidence


def widened(made: Forecast, by: float) -> Forecast:
    """Draw the interval of *made* out, or in, *by* a factor about its middle."""
    ends = {
        "p10": min(made.p50 - (made.p50 - made.p10) * Decimal(by), made.predicted_score),
        "p90": max(made.p50 + (made.p90 - made.p50) * Decimal(by), made.predicted_score),
    }
    held = {
        name: min(max(end, Decimal(0)), _WHOLE).quantize(_HUNDREDTH) for name, end in ends.items()
    }
    drawn = msgspec.structs.replace(made, **held)
    return msgspec.structs.replace(drawn, reason=sentence(drawn, "en"))


def risk_factors(belief: Belief, recent: RecentCounts) -> tuple[str, ...]:
    """Name what speaks against the bank, in the specification's words."""
    last = last_minutes(recent.minutes, belief.at)
    tries = sum(map(tries_of, last))
    failed = sum(map(failures_of, last))
    late = sum(each.sla_misses for each in last)
    found = {
        "latency_spike": (recent.latency_ratio or 0) > _RISE_MAX or late > tries * _LATE_MAX,
        "volume_surge": (recent.volume_ratio or 0) > _SURGE_MIN,
        "settlement_delay": recent.overdue > 0,
        "low_success_rate": tries - failed < tries * _SUCCESS_MIN,
        "declining_health": _is_declining(recent.minutes, belief),
    }
    return tuple(name for name, is_so in found.items() if is_so)


def _told(
    view: _View,
    now: Belief,
    *,
    window_minutes: int,
    recent: RecentCounts,
) -> Forecast:
    down = filter_.p_down(now)
    score = 100 * (1 - view.failure)
    last = last_minutes(recent.minutes, now.at)
    action = recommend(score, down, is_short_of_funds=recent.is_short_of_funds)
    made = Forecast(
        predicted_score=_percent(view.failure),
        p10=_percent(max(view.high, view.failure)),
        p50=_percent(view.middle),
        p90=_percent(min(view.low, view.failure)),
        p_down=down,
        confidence=_trusted(max(down, 1 - down), now.seen),
        n_eff=round(now.seen, 1),
        window_minutes=window_minutes,
        risk_factors=risk_factors(now, recent),
        recommended_action=action,
        reason="",
        contributions=view.contributions,
        model_version=view.model_version,
        served_by=view.served_by,
        recent_attempts=sum(map(tries_of, last)),
        recent_failures=sum(map(failures_of, last)),
        stays_with=stays_with(now, recent.minutes, window_minutes=window_minutes),
    )
    return msgspec.structs.replace(made, reason=sentence(made, "en"))


def doubted_too(made: Forecast, by: tuple[str, ...]) -> Forecast:
    """Say which other regions are a reason for the belief that *made* stands on."""
    told = msgspec.structs.replace(made, doubted_by=by)
    return msgspec.structs.replace(told, reason=sentence(told, "en")) if by else made


def sentence(made: Forecast, language: health_sentences.Language) -> str:
    """Say *made* in one sentence."""
    return health_sentences.explain(msgspec.convert(made, Said, from_attributes=True), language)


def _expected_payouts(recent: RecentCounts, now: Belief, window_minutes: int) -> float | None:
    """Return how many payouts the window will have at the pace of the last; None if unknown."""
    last = last_minutes(recent.minutes, now.at)
    return sum(each.attempts for each in last) * window_minutes / RECENT_MINUTES or None


def _apart(end: float, middle: float, widening: float) -> float:
    """Return the share of failures at an *end* of an interval of scores, drawn out."""
    return min(1.0, max(0.0, 1 - (middle + (end - middle) * widening) / 100))


def _percent(failure: float) -> Decimal:
    """Return the score that goes with a share of failures."""
    return Decimal(100 * (1 - failure)).quantize(_HUNDREDTH)


def _mixture(belief: Belief) -> list[tuple[float, float, float]]:
    """List each state's probability, the share that fails in it, and how well it is known."""
    base = filter_.baseline(belief)
    known = belief.strength + belief.oks + belief.failures
    deviation = math.sqrt(base * (1 - base) / (known + 1)) + _TINY
    return [
        (weight, share, deviation * (1 - share) / (1 - base))
        for weight, share in zip(belief.weights, filter_.failing(base), strict=True)
    ]


def _trusted(probability: float, seen: float) -> float:
    """Let no more than a doubt pass while little was seen."""
    sure = min(1.0, max(0.0, probability))
    return min(sure, UNSURE_MAX) if seen < SEEN_MIN else sure


def _is_declining(minutes: Sequence[Minute], belief: Belief) -> bool:
    """Tell whether failures rose above the usual in the last hour, by a CUSUM and its alarm."""
    usual, sum_ = filter_.baseline(belief), 0.0
    hour = (each for each in minutes if each.at >= belief.at - WINDOW_MINUTES * MINUTE_S)
    for each in sorted(hour, key=lambda m: m.at):
        tries = tries_of(each)
        if tries:
            bad = min(failures_of(each) + each.sla_misses / 2, tries)
            sum_ = cusum(sum_, bad, tries, usual)
    return sum_ > CUSUM_ALARM
