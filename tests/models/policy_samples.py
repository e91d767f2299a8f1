"""Action types and policies that the tests of the policy language share."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec

from molam.approvals.policy.criteria import compile_criteria
from molam.approvals.policy.rules import Rules, read_rules
from molam.approvals.policy.selection import StoredPolicy
from molam.platform.actions import ActionType, Amount, Outcome, Plan, Registry, Target

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)


class Fee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    merchant_id: str
    fee_percentage: Decimal
    effective_date: date | None = None


class Reverse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    transaction_id: str
    amount: Amount
    tags: tuple[str, ...] = ()
    ip: str | None = None


class Freeze(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    merchant_id: str
    reason: str
    duration: str
    mode: Literal["soft", "hard"] = "soft"
    count: int = 0
    urgent: bool = False


async def _plan(_tx: Any, _params: Any) -> Plan:
    return Plan("M", (), reversible=True)


async def _apply(_tx: Any, _execution: Any) -> Outcome:
    return Outcome({})


def a_type(name: str, params: type[msgspec.Struct], **more: Any) -> ActionType[Any]:
    return ActionType(
        name=name,
        params=params,
        title=lambda _params, _language: name,
        target=lambda _params: Target("merchant", "m1"),
        plan=_plan,
        apply=None if "call" in more else _apply,
        **more,
    )


async def _call(_db: Any, _execution: Any) -> Outcome:
    return Outcome({})


REGISTRY = Registry(
    [
        a_type("ADJUST_MERCHANT_FEE", Fee),
        a_type("REVERSE_PAYOUT", Reverse, moves_money=True),
        a_type("FREEZE_MERCHANT", Freeze, risk="critical"),
        a_type("EMERGENCY_CIRCUIT_BREAK", Freeze, call=_call, idempotency="none"),
    ]
)

QUORUM = {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}}


def some_rules(**policy: Any) -> Rules:
    return read_rules({"required_quorum": QUORUM, **policy})


def a_policy(
    criteria: dict[str, Any], *, name: str = "p", rules: Rules | None = None, **more: Any
) -> StoredPolicy:
    number = sum(name.encode())
    defaults: dict[str, Any] = {
        "id": UUID(int=number),
        "version": 1,
        "priority": 100,
        "enabled": True,
        "baseline": False,
        "valid_from": None,
        "valid_until": None,
        "created_at": NOW,
    }
    given = defaults | more
    return StoredPolicy(
        name=name,
        criteria=compile_criteria(criteria, REGISTRY, baseline=given["baseline"]),
        rules=rules or some_rules(),
        **given,
    )


def facts(action_type: str = "ADJUST_MERCHANT_FEE", **more: Any) -> dict[str, Any]:
    """What the engine says of an action, as far as criteria look at it."""
    base: dict[str, Any] = {
        "action_type": action_type,
        "origin": "ops_ui",
        "risk_level": "medium",
        "target_tenant_type": "merchant",
        "target_tenant_id": "merchant-123",
        "tenant": {"type": "merchant", "id": "merchant-123"},
        "params": {},
    }
    return base | more
