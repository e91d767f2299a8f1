"""A rule of thumb for when SIRA does not answer: the last scores of a bank, and their trend."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from molam.sira.health import Forecast, sentence
from molam.sira.health_model import WIDENING
from molam.sira.health_rules import recommend

FALLBACK = "fallback-trend-v1"
CONFIDENCE = 0.6
MISSING_SCORE = 50.0
"""For a minute in which nobody looked: neither good nor bad."""

_LAST, _NOW, _BEFORE = 20, 5, 10
_TREND_WEIGHT = 0.5
_DECLINE_BELOW = -5.0
_LATENCY_MAX_MS = 500.0
_HEALTHY_MIN = 0.95
_SPREAD_MIN = 5.0
_Z_80 = 1.2816
_HUNDREDTH = Decimal("0.01")


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a bank: its score from 0 to 100, its latency, its share of successes."""

    health_score: float | None = None
    latency_ms: float | None = None
    success_rate: float | None = None


def forecast(looks: Sequence[Look], *, window_minutes: int, p_down_min: float = 0.0) -> Forecast:
    """
    Predict from *looks*, oldest first: the mean of the last twenty, and half their trend.

    The interval is half as wide again as the scores have spread. What is known besides,
    such as an announced outage, makes the bank down with *p_down_min* at least.
    """
    last = [_score(each) for each in looks[-_LAST:]] or [MISSING_SCORE]
    trend = _trend(last)
    best = 100.0 * (1 - p_down_min)
    score = min(best, max(0.0, statistics.fmean(last) + _TREND_WEIGHT * trend))
    spread = max(_SPREAD_MIN, statistics.pstdev(last)) * _Z_80 * WIDENING
    made = Forecast(
        predicted_score=_percent(score),
        p10=_percent(score - spread),
        p50=_percent(score),
        p90=_percent(score + spread),
        p_down=0.0,
        confidence=CONFIDENCE,
        n_eff=float(len(looks[-_LAST:])),
        window_minutes=window_minutes,
        risk_factors=_risk_factors(looks[-_LAST:], trend),
        recommended_action=recommend(score, p_down_min),
        reason="",
        contributions=(),
        model_version=FALLBACK,
        served_by="fallback",
    )
    return msgspec.structs.replace(made, p_down=_down(score), reason=sentence(made, "en"))


def _trend(scores: Sequence[float]) -> float:
    """Compare the last five to the five before; where there are none, nothing has moved."""
    before = scores[-_BEFORE:-_NOW]
    return statistics.fmean(scores[-_NOW:]) - statistics.fmean(before) if before else 0.0


def _risk_factors(looks: Sequence[Look], trend: float) -> tuple[str, ...]:
    latencies = [each.latency_ms for each in looks if each.latency_ms is not None]
    rates = [each.success_rate for each in looks if each.success_rate is not None]
    found = {
        "high_latency": bool(latencies) and statistics.fmean(latencies) > _LATENCY_MAX_MS,
        "low_success_rate": bool(rates) and statistics.fmean(rates) < _HEALTHY_MIN,
        "declining_health": trend < _DECLINE_BELOW,
    }
    return tuple(name for name, is_so in found.items() if is_so)


def _score(look: Look) -> float:
    score = look.health_score
    if score is None or not math.isfinite(score):
        return MISSING_SCORE
    return min(100.0, max(0.0, score))


def _down(score: float) -> float:
    """Say with what probability the bank is down, as far as a score alone can say."""
    return round(1 - score / 100, 4)


def _percent(score: float) -> Decimal:
    return Decimal(min(100.0, max(0.0, score))).quantize(_HUNDREDTH)
