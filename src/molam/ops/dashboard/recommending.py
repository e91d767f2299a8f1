"""What is recommended in a situation, how sure that is, and why: from counts alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import Any, Literal

from molam.ops.dashboard.recommendation_store import FloatRow, HoldRow, RouteRow, RuleRow

MODEL = "dashboard-1"
AUTO_CONFIDENCE = Decimal("0.90")
"""From here on an action is asked for; people decide it as any other."""

Priority = Literal["low", "medium", "high", "critical"]

# Note [How sure a recommendation is]
#
# Each reason weighs at most so much, and as much of that as its own evidence bears out; the
# confidence is what the weights add up to, so nothing is in it that is not shown. The main
# reason is always a frequency: of days on which a float would have run low (Laplace's rule),
# of a rate being above its limit given what was counted (Jeffreys' prior), of a bank being
# down. What is left is how much was counted. A weaker alarm can never reach the level at
# which an action is asked for: its weights do not go so far.

_FLOAT = {"days_it_would_run_low": 0.90, "days_counted": 0.07, "low_now": 0.02}
_HOLD = {"above_limit": 0.78, "sales_counted": 0.12, "getting_worse": 0.09}
_ROUTE = {"bank_down": 0.55, "other_bank_up": 0.25, "route_confidence": 0.19}
_RULE = {"ended_by_itself": 0.70, "times_fired": 0.15}

_FLOAT_LASTS, _HOLD_LASTS = timedelta(days=1), timedelta(days=7)
_RULE_LASTS = timedelta(days=30)
_FLOAT_ODDS_MIN = 0.5
_HOLD_ODDS_MIN = 0.8
_QUIET_SHARE_MIN = 0.8
_RULE_STEP_MAX = Decimal("0.25")
_SURELY_DOWN = 0.9
_HOLD_FOR = "24h"


@dataclass(frozen=True, slots=True)
class Feature:
    name: str
    value: float
    weight: Decimal


@dataclass(frozen=True, slots=True)
class Proposed:
    """
    One recommendation before it is kept.

    *subject* says what it is about: one situation has one. *facts* are what sentences are
    made of, in either language.
    """

    subject: str
    tenant_type: str
    tenant_id: str | None
    recommendation_type: str
    priority: Priority
    action_type: str
    params: dict[str, Any]
    features: tuple[Feature, ...]
    lasts: timedelta
    facts: dict[str, Any] = field(default_factory=dict)
    impact: dict[str, Any] = field(default_factory=dict)

    @property
    def confidence(self) -> Decimal:
        return sum((each.weight for each in self.features), Decimal())

    @property
    def suggested_action(self) -> dict[str, Any]:
        return {
            "action_type": self.action_type,
            "target": {"tenant_type": self.tenant_type, "tenant_id": self.tenant_id},
            "params": self.params,
        }

    @property
    def explanation(self) -> dict[str, Any]:
        return {
            "model": MODEL,
            "features": [
                {"name": each.name, "value": each.value, "weight": float(each.weight)}
                for each in self.features
            ],
        }


def for_float(row: FloatRow) -> Proposed | None:
    """Fill a float that would be too low tomorrow on most days like those before."""
    days = sorted(row.outflows)
    low = sum(row.balance - out < row.fire_at for out in days)
    odds = (low + 1) / (len(days) + 2)
    if odds < _FLOAT_ODDS_MIN:
        return None
    # What nine days of ten take out, and then the level at which all is well.
    need = int(row.clear_at) + max(_quantile(days, 0.9), 0) - row.balance
    amount = min(_rounded_up(need), row.amount_max or need)
    if amount <= 0:
        return None
    low_now = row.balance < row.fire_at
    return Proposed(
        subject=f"float/{row.agent_id}",
        tenant_type="agent",
        tenant_id=row.agent_id,
        recommendation_type="ADJUST_FLOAT",
        priority="high" if low_now else "medium",
        action_type="ADJUST_FLOAT",
        params={
            "agent_id": row.agent_id,
            "adjustment": "top_up",
            "amount": amount,
            "currency": row.currency,
        },
        features=_weighed(
            _FLOAT,
            days_it_would_run_low=(odds, low),
            days_counted=(len(days) / (len(days) + 7), len(days)),
            low_now=(float(low_now), row.balance),
        ),
        lasts=_FLOAT_LASTS,
        facts={
            "name": row.name,
            "balance": row.balance,
            "floor": int(row.fire_at),
            "amount": amount,
            "currency": row.currency,
            "days_low": low,
            "days": len(days),
        },
        impact={
            "risk_reduction": round(odds, 2),
            # What customers take out on a usual day, and could not.
            "revenue_gain": None,
            "at_stake": max(_quantile(days, 0.5), 0),
            "currency": row.currency,
        },
    )


def for_hold(row: HoldRow) -> Proposed | None:
    """Hold a merchant's payouts for a day while more goes back than its rule allows."""
    odds = _odds_above(row.bad, row.sales, float(row.limit))
    if odds < _HOLD_ODDS_MIN:
        return None
    rate = row.bad / row.sales
    recent = row.recent_bad / row.recent_sales if row.recent_sales else 0.0
    worse = min(max(recent / rate - 1, 0.0), 1.0) if rate else 0.0
    return Proposed(
        subject=f"hold/{row.merchant_id}/{row.currency}/{row.kind}",
        tenant_type="merchant",
        tenant_id=row.merchant_id,
        recommendation_type="set_hold",
        priority="critical" if rate > 3 * float(row.limit) else "high",
        action_type="PAUSE_PAYOUT",
        params={
            "merchant_id": row.merchant_id,
            "duration": _HOLD_FOR,
            "reason": f"{row.kind}: {row.bad} of {row.sales}",
        },
        features=_weighed(
            _HOLD,
            above_limit=(odds, round(rate, 4)),
            sales_counted=(row.sales / (row.sales + 100), row.sales),
            getting_worse=(worse, round(recent, 4)),
        ),
        lasts=_HOLD_LASTS,
        facts={
            "name": row.name,
            "kind": row.kind,
            "bad": row.bad,
            "sales": row.sales,
            "limit": float(row.limit),
            "duration": _HOLD_FOR,
        },
        impact={
            "risk_reduction": round(odds, 2),
            "at_stake": row.pending_amount,
            "currency": row.currency,
        },
    )


def for_route(row: RouteRow) -> Proposed | None:
    """Lead payouts away from a bank that is more likely down than the other."""
    if row.p_down_from <= row.p_down_to:
        return None
    return Proposed(
        subject=f"route/{row.mesh_region_id}/{row.currency}/{row.rail}",
        tenant_type="bank",
        tenant_id=row.to_bank_id,
        recommendation_type="route_payout",
        priority="critical" if row.p_down_from >= _SURELY_DOWN and row.waiting_count else "high",
        action_type="ROUTE_PAYOUT_OVERRIDE",
        params={
            "bank_profile_id": row.to_bank_id,
            "mesh_region_id": row.mesh_region_id,
            "currency": row.currency,
            "rail": row.rail,
        },
        features=_weighed(
            _ROUTE,
            bank_down=(row.p_down_from, round(row.p_down_from, 4)),
            other_bank_up=(1 - row.p_down_to, round(1 - row.p_down_to, 4)),
            route_confidence=(float(row.confidence), float(row.confidence)),
        ),
        lasts=_FLOAT_LASTS,
        facts={
            "name": row.to_name,
            "from_bank": row.from_name,
            "to_bank": row.to_name,
            "currency": row.currency,
            "rail": row.rail,
            "p_down": round(row.p_down_from, 2),
            "waiting": row.waiting_count,
            "amount": row.waiting_amount,
        },
        impact={
            "risk_reduction": round(row.p_down_from - row.p_down_to, 2),
            "at_stake": row.waiting_amount,
            "currency": row.currency,
        },
    )


def for_rule(row: RuleRow) -> Proposed | None:
    """Move a rule's level when most of its alerts ended without anybody doing anything."""
    share = (row.quiet + 1) / (row.fired + 2)
    if share < _QUIET_SHARE_MIN or not row.values:
        return None
    level = _new_level(row)
    if level is None:
        return None
    spared = sum(
        value > level if row.comparison == "below" else value < level for value in row.values
    )
    return Proposed(
        subject=f"rule/{row.rule_id}",
        tenant_type="platform" if row.tenant_id is None else row.tenant_type,
        tenant_id=row.tenant_id,
        recommendation_type="adjust_threshold",
        priority="low" if not row.flapped else "medium",
        action_type="UPDATE_RISK_THRESHOLD",
        params={
            "threshold": f"{level:f}",
            "alert_type": row.alert_type,
            "metric": row.metric,
            "tenant_type": row.tenant_type,
            "tenant_id": row.tenant_id,
            "currency": row.currency,
        },
        features=_weighed(
            _RULE,
            ended_by_itself=(share, row.quiet),
            times_fired=(row.fired / (row.fired + 20), row.fired),
        ),
        lasts=_RULE_LASTS,
        facts={
            "name": row.rule_id,
            "alert_type": row.alert_type,
            "fired": row.fired,
            "quiet": row.quiet,
            "level": float(row.fire_at),
            "new_level": float(level),
            "unit": row.unit,
            "currency": row.currency,
            "spared": spared,
        },
        impact={"alerts_spared": spared},
    )


def _new_level(row: RuleRow) -> Decimal | None:
    """Find the level that would have spared four alerts of five, a quarter away at most."""
    is_below = row.comparison == "below"
    ranked = sorted(row.values, reverse=is_below)
    wanted = ranked[min(len(ranked) - 1, math.ceil(0.8 * len(ranked)) - 1)]
    step = abs(row.fire_at) * _RULE_STEP_MAX
    bound = row.fire_at - step if is_below else row.fire_at + step
    level = max(wanted, bound) if is_below else min(wanted, bound)
    # Nothing may become critical before it is an alert at all.
    if row.critical_at is not None:
        level = max(level, row.critical_at) if is_below else min(level, row.critical_at)
    level = _round(level, row, bound)
    moved = level < row.fire_at if is_below else level > row.fire_at
    return level if moved else None


def _round(level: Decimal, row: RuleRow, bound: Decimal) -> Decimal:
    """Write a level as a person would, with two digits: further away, if it may be there."""
    if not level:
        return level
    is_below = row.comparison == "below"
    places = Decimal(1).scaleb(level.adjusted() - 1)
    if row.unit in {"amount", "count"}:
        places = max(places, Decimal(1))
    further, nearer = (ROUND_FLOOR, ROUND_CEILING) if is_below else (ROUND_CEILING, ROUND_FLOOR)
    most = bound
    if row.critical_at is not None:
        most = max(most, row.critical_at) if is_below else min(most, row.critical_at)
    away = (level / places).to_integral_value(further) * places
    if away >= most if is_below else away <= most:
        return away
    return (level / places).to_integral_value(nearer) * places


def _weighed(caps: dict[str, float], **evidence: tuple[float, float]) -> tuple[Feature, ...]:
    """Give each reason of *caps* the part of its weight that its evidence bears out."""
    return tuple(
        Feature(
            name,
            evidence[name][1],
            Decimal(str(cap * min(max(evidence[name][0], 0.0), 1.0))).quantize(
                Decimal("0.01"), ROUND_DOWN
            ),
        )
        for name, cap in caps.items()
    )


def _odds_above(bad: int, all_: int, limit: float) -> float:
    """Tell how likely a rate is above *limit* after so many of so many (normal of Jeffreys')."""
    a, b = bad + 0.5, max(all_ - bad, 0) + 0.5
    mean = a / (a + b)
    spread = math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
    return 0.5 * math.erfc((limit - mean) / (spread * math.sqrt(2)))


def _quantile(ordered: Sequence[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def _rounded_up(amount: int) -> int:
    """Round up to two leading digits, as people would ask for it."""
    unit: int = 10 ** max(len(str(max(amount, 1))) - 2, 0)
    return -(-amount // unit) * unit
