"""Releasing a kill switch, once enough people agree."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from molam.approvals.model import Actor
from molam.mesh.members import policy_store, switches
from molam.mesh.members.trail import By
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

RELEASE = "RELEASE_MESH_SWITCH"


class ReleaseMeshSwitch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    scope: Annotated[str, Meta(min_length=1, max_length=265)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


async def _plan(tx: Tx, params: ReleaseMeshSwitch) -> Plan:
    row = await switches.find(tx, params.scope)
    if row is None or not row.is_engaged:
        raise switches.SwitchNotEngaged("Nothing is stopped there.")
    return Plan(
        target_name=await switches.name_of(tx, params.scope),
        changes=(
            Change("mesh_switch", "engaged", "released"),
            Change("switch_reason", row.reason, None),
        ),
        reversible=True,
        # The very stop that was looked at: one made since had another reason.
        expect={"changed_at": row.changed_at.isoformat()},
        effects=("controller_acts_again",),
    )


async def _apply(tx: Tx, execution: Execution[ReleaseMeshSwitch]) -> Outcome:
    params = execution.params
    await tx.one(policy_store.LOCK_SWITCHES)
    row = await switches.find(tx, params.scope)
    if row is None or not row.is_engaged:
        raise PreconditionChanged("It is released already.")
    if execution.expect.get("changed_at") != row.changed_at.isoformat():
        raise PreconditionChanged("It was released and engaged again since.")
    by = By(Actor(execution.executed_by), execution.at, execution.action_id)
    await switches.put(tx, params.scope, is_engaged=False, reason=params.reason, by=by)
    return Outcome(
        {"released": True, "scope": params.scope}, (Change("mesh_switch", "engaged", "released"),)
    )


def _title(_params: ReleaseMeshSwitch, locale: str) -> str:
    return "Lever un arrêt du réseau" if locale == "fr" else "Release a mesh switch"


ACTIONS = (
    ActionType(
        name=RELEASE,
        params=ReleaseMeshSwitch,
        risk="critical",
        is_asked_by_code=True,
        title=_title,
        target=lambda params: Target("mesh_switch", params.scope),
        plan=_plan,
        apply=_apply,
    ),
)
