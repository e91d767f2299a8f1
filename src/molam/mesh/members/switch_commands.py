"""Stopping the mesh at once, and asking for it to act again."""

from __future__ import annotations

from molam.approvals.model import Actor, NewAction
from molam.approvals.store import ActionRow
from molam.mesh import permissions
from molam.mesh.members import floors, switch_actions, switches
from molam.mesh.members.policy_store import SwitchRow
from molam.mesh.members.trail import By
from molam.mesh.runtime import Mesh
from molam.platform.db import Tx

_TWO_OF_THEM = floors.any_of(
    frozenset({permissions.OPS_ADMIN, permissions.TREASURY, permissions.COMPLIANCE}), 2
)


async def engage(tx: Tx, scope: str, *, reason: str, by: By) -> SwitchRow:
    """
    Stop the mesh in *scope*; one person decides. Stopping it again keeps the first reason.

    Raises:
        ScopeRefused: it names nothing that exists.
    """
    scope = await switches.canonical(tx, scope)
    await switches.put(tx, scope, is_engaged=True, reason=reason, by=by)
    row = await switches.find(tx, scope)
    assert row is not None
    return row


async def ask_to_release(tx: Tx, mesh: Mesh, scope: str, actor: Actor, *, reason: str) -> ActionRow:
    """
    Ask for the mesh to act again in *scope*; two others decide.

    Raises:
        ScopeRefused: it names nothing that exists. PlanRefused: nothing is stopped there.
        TwinOpen: somebody has asked for that already.
    """
    scope = await switches.canonical(tx, scope)
    request = NewAction(
        origin="module",
        action_type=switch_actions.RELEASE,
        params={"scope": scope, "reason": reason},
    )
    return await floors.ask(
        tx, mesh.approvals, request, actor, least=_TWO_OF_THEM, name="Release of a mesh switch"
    )
