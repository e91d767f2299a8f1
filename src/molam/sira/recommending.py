"""What SIRA would do about an alert, how sure it is, and why: from the data it is given alone."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.kernel.digests import digest
from molam.sira.health import confidence_of_move
from molam.sira.health_filter import Belief

MODEL = "remedy-1"
MANUAL_REVIEW = "manual_review"
UNSURE = Decimal("0.50")
DAYS_MAX = 60
BANKS_MAX = 50

# Note [How sure SIRA is]
#
# Of a float: the share of the agent's last days that the sum would have lasted if it had
# been found from all days but that one, counted together with 25 days before them of which
# 24 would have been (Laplace's rule with more than one day of doubt), times 0.99 for the
# measurement itself. Of a bank where payouts fail: the chance that fewer fail at the other
# one, as the mesh computes it. Of a merchant, and of a bank whose statements do not match:
# how far past its level the value is, on the scale from firing to critical, and whether the
# tenant had ever been there in the days before; this one is a score that nobody has
# calibrated, and stays below 0.98. What no rule here speaks of is for people, with a half.

_MEASURED = Decimal("0.99")
_PRIOR_DAYS, _PRIOR_HELD = 25, 24
_SCORE_FIRING, _SCORE_CRITICAL, _SCORE_NEVER = Decimal("0.80"), Decimal("0.12"), Decimal("0.05")
_SCORE_MAX = Decimal("0.98")
_DEAD_LETTERS = Decimal("0.80")
_DEAD_LETTERS_MAX = 1000
_FLOAT_MARGIN = Decimal("1.5")
"""A float is filled to half above the level at which it alerts, or for a day, if that is more."""
_PLACES = Decimal("0.01")

Id = Annotated[str, Meta(min_length=1, max_length=255)]


class Situation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An alert as SIRA hears of it. Amounts are in minor units of *currency*."""

    alert_id: Id
    alert_type: Id
    severity: Literal["info", "warning", "critical"]
    tenant_type: Literal["platform", "merchant", "agent", "bank", "region"]
    tenant_id: Id | None = None
    currency: Annotated[str, Meta(max_length=3)] | None = None
    metric: Id
    value: Decimal
    fire_at: Decimal
    clear_at: Decimal
    critical_at: Decimal | None = None


class Bank(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bank of the mesh, and what is believed of its health."""

    bank_profile_id: Id
    belief: dict[str, Any]


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    What the product's own data says beside.

    *daily_outflows* is what left an agent's float, day by day; *earlier* are the worst
    values of the days before the alert; *banks* are those that payouts could go to.
    """

    daily_outflows: Annotated[tuple[int, ...], Meta(max_length=DAYS_MAX)] = ()
    earlier: Annotated[tuple[Decimal, ...], Meta(max_length=DAYS_MAX)] = ()
    bank: Bank | None = None
    banks: Annotated[tuple[Bank, ...], Meta(max_length=BANKS_MAX)] = ()


class Feature(msgspec.Struct, frozen=True):
    """One reason. The weights of all of them add up to the confidence."""

    name: str
    value: Decimal
    weight: Decimal


class Explanation(msgspec.Struct, frozen=True):
    features: tuple[Feature, ...]
    model: str = MODEL


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, named *action* and *recommendation_type* alike, as different readers want it."""

    id: str
    action: str
    recommendation_type: str
    params: dict[str, Any]
    confidence: Decimal
    explanation: Explanation
    tenant_type: str
    tenant_id: str | None


def recommend(alert: Situation, evidence: Evidence) -> Recommendation:
    """Say what *alert* calls for. The same question has the same answer."""
    remedy = _REMEDIES.get(alert.alert_type)
    found = None if remedy is None else remedy(alert, evidence)
    return _written(alert, found or _for_people())


def by_people(alert: Situation) -> Recommendation:
    """Say that people should look, which is all that can be said without SIRA."""
    return _written(alert, _for_people())


class _Remedy(msgspec.Struct, frozen=True):
    type: str
    params: Mapping[str, object]
    features: tuple[Feature, ...]

    @property
    def confidence(self) -> Decimal:
        return sum((each.weight for each in self.features), Decimal(0))


def _for_people() -> _Remedy:
    return _Remedy(MANUAL_REVIEW, {}, (Feature("no_rule_speaks_of_it", Decimal(1), UNSURE),))


def _written(alert: Situation, remedy: _Remedy) -> Recommendation:
    named = digest("molam.sira.recommendation/1", {"alert": alert.alert_id, "type": remedy.type})
    return Recommendation(
        id=f"rec_{named.hex()[:32]}",
        action=remedy.type,
        recommendation_type=remedy.type,
        params=dict(remedy.params),
        confidence=remedy.confidence,
        explanation=Explanation(remedy.features),
        tenant_type=alert.tenant_type,
        tenant_id=alert.tenant_id,
    )


def _fill_float(alert: Situation, evidence: Evidence) -> _Remedy | None:
    """Fill a float so that it lasts a bad day, and stays clear of the level at which it alerts."""
    if alert.value >= alert.clear_at:
        return None
    outflows = evidence.daily_outflows
    amount = _sum_for(alert, outflows)
    # Each day is held against the sum that the other days alone would have asked for.
    held = sum(
        alert.value + _sum_for(alert, (*outflows[:day], *outflows[day + 1 :])) - outflow
        >= alert.fire_at
        for day, outflow in enumerate(outflows)
    )
    days = len(outflows)
    share = Decimal(held + _PRIOR_HELD) / Decimal(days + _PRIOR_DAYS)
    sure = _places(_MEASURED * share)
    return _Remedy(
        "ADJUST_FLOAT",
        {"adjustment": "top_up", "amount": amount},
        (
            Feature("float_available", alert.value, _MEASURED),
            Feature("days_it_would_not_last", Decimal(days - held), sure - _MEASURED),
        ),
    )


def _sum_for(alert: Situation, outflows: tuple[int, ...]) -> int:
    a_bad_day = Decimal(max(outflows, default=0))
    wanted = max(alert.fire_at * _FLOAT_MARGIN, alert.clear_at + a_bad_day)
    return rounded_up(wanted - alert.value)


def rounded_up(amount: Decimal) -> int:
    """Round a sum up to two figures, as people write sums."""
    step = Decimal(1).scaleb(max(amount.adjusted() - 1, 0))
    return int((amount / step).to_integral_value(ROUND_CEILING) * step)


def _freeze(alert: Situation, evidence: Evidence) -> _Remedy | None:
    """Freeze a merchant for as long as people need to look: longer, if it is critical."""
    if alert.tenant_type != "merchant" or alert.tenant_id is None:
        return None
    duration = "24h" if alert.severity == "critical" else "12h"
    return _Remedy("FREEZE_MERCHANT", {"duration": duration}, _score(alert, evidence))


def _hold_bank(alert: Situation, evidence: Evidence) -> _Remedy | None:
    """Hand a bank whose statements do not match no more payouts, while people look."""
    if alert.tenant_type != "bank" or alert.tenant_id is None:
        return None
    minutes = 120 if alert.severity == "critical" else 60
    return _Remedy("EMERGENCY_CIRCUIT_BREAK", {"minutes": minutes}, _score(alert, evidence))


def _score(alert: Situation, evidence: Evidence) -> tuple[Feature, ...]:
    """Say how far past its level the value is, and whether it had ever been there before."""
    is_below = alert.clear_at > alert.fire_at
    scale = (alert.critical_at or alert.fire_at * 2) - alert.fire_at
    past = (alert.value - alert.fire_at) / scale if scale else Decimal(1)
    past = min(max(past, Decimal(0)), Decimal(1))
    features = [
        Feature("fires", alert.fire_at, _SCORE_FIRING),
        Feature("on_the_way_to_critical", _places(past), _places(past * _SCORE_CRITICAL)),
    ]
    worst = None
    if evidence.earlier:
        worst = min(evidence.earlier) if is_below else max(evidence.earlier)
    if worst is not None and (alert.value < worst if is_below else alert.value > worst):
        name = "never_so_low_before" if is_below else "never_so_high_before"
        features.append(Feature(name, worst, _SCORE_NEVER))
    over = sum((each.weight for each in features), Decimal(0)) - _SCORE_MAX
    if over > 0:
        features.append(Feature("not_calibrated", Decimal(1), -over))
    return tuple(features)


def _lead_elsewhere(alert: Situation, evidence: Evidence) -> _Remedy | None:
    """Lead payouts to the bank of which it is surest that fewer fail there."""
    if evidence.bank is None or not evidence.banks:
        return None
    here = _belief(evidence.bank)
    best = max(
        (confidence_of_move(here, _belief(each)), each.bank_profile_id) for each in evidence.banks
    )
    sure = _places(Decimal(str(best[0])))
    return _Remedy(
        "ROUTE_PAYOUT_OVERRIDE",
        {"bank_profile_id": best[1]},
        (Feature("fewer_fail_elsewhere", alert.value, sure),),
    )


def _belief(bank: Bank) -> Belief:
    return msgspec.convert(bank.belief, Belief)


def _put_back(alert: Situation, _evidence: Evidence) -> _Remedy | None:
    """Put dead letters back; whether they go through this time nobody can say beforehand."""
    held = min(int(alert.value), _DEAD_LETTERS_MAX)
    if held < 1:
        return None
    return _Remedy(
        "REQUEUE_DLQ", {"max_items": held}, (Feature("dlq_held", alert.value, _DEAD_LETTERS),)
    )


_REMEDIES = {
    "float_low": _fill_float,
    "refund_spike": _freeze,
    "fraud_score_high": _freeze,
    "chargeback_spike": _freeze,
    "payout_fail_rate": _lead_elsewhere,
    "recon_match_drop": _hold_bank,
    "dlq_growth": _put_back,
}


def _places(number: Decimal) -> Decimal:
    return number.quantize(_PLACES, ROUND_HALF_UP)
