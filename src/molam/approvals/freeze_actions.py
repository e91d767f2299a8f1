"""Lifting a freeze of executions before its time, once enough people agree."""

from __future__ import annotations

from uuid import UUID

import msgspec

from molam.approvals import binding, freezes
from molam.approvals.model import LIFT_FREEZE, Actor
from molam.platform.actions import (
    ActionType,
    Change,
    Execution,
    Outcome,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx


class LiftFreeze(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    freeze_id: UUID


async def _plan(tx: Tx, params: LiftFreeze) -> Plan:
    row = await freezes.open_freeze_in(tx, params.freeze_id)
    until = None if row.ends_at is None else binding.instant_text(row.ends_at)
    return Plan(
        target_name=", ".join(row.action_types) or "*",
        changes=(
            Change("freeze_reason", row.reason, None),
            Change("frozen_until", until, "lifted"),
        ),
        reversible=True,
        effects=("approved_actions_may_run",),
    )


async def _apply(tx: Tx, execution: Execution[LiftFreeze]) -> Outcome:
    row = await freezes.end_in(
        tx,
        execution.params.freeze_id,
        actor=Actor(execution.executed_by),
        at=execution.at,
        action_id=execution.action_id,
    )
    if row is None:
        raise PreconditionChanged("The freeze is over already.")
    return Outcome(
        {"lifted": True, "freeze_id": str(row.id)}, (Change("frozen_until", None, "lifted"),)
    )


def _title(params: LiftFreeze, locale: str) -> str:
    short = str(params.freeze_id)[:8]
    if locale == "fr":
        return f"Lever le gel des exécutions {short}"
    return f"Lift the freeze of executions {short}"


ACTIONS = (
    ActionType(
        name=LIFT_FREEZE,
        params=LiftFreeze,
        context=frozenset({"alert_id", "reason"}),
        risk="high",
        title=_title,
        target=lambda params: Target("platform", f"freeze/{params.freeze_id}"),
        plan=_plan,
        apply=_apply,
    ),
)
