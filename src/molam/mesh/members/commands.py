"""Asking for members: who is let into a region, suspended or let back in, others decide."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from molam.approvals import commands as engine
from molam.approvals.model import Actor, NewAction
from molam.approvals.store import ActionRow
from molam.kernel.ids import show, uuid7
from molam.mesh import permissions
from molam.mesh.members import floors, member_actions, model, queries, regions, store, trail
from molam.mesh.members.model import Capabilities, MemberRole
from molam.mesh.members.store import MemberRecord
from molam.mesh.members.trail import By
from molam.mesh.runtime import Mesh
from molam.payments.banks.queries import get_bank
from molam.platform.db import Tx

CLEARED = floors.floor(permissions.COMPLIANCE, permissions.OPS_ADMIN, hours=72)
"""Who lets a bank in: one person of compliance and one of operations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMember:
    """A bank that somebody would like to have in a region."""

    region: str
    """Its id or its name."""
    bank_profile_id: str
    role: MemberRole = "member"
    prefer_order: int = 100
    capabilities: Capabilities = field(default_factory=Capabilities)
    failure_domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A member that is not let in yet, and the action that asks for it."""

    member: MemberRecord
    action: ActionRow


async def ask_to_add(tx: Tx, mesh: Mesh, wanted: NewMember, *, by: By) -> Waiting:
    """
    Put a bank before compliance and operations; it carries nothing until both agree.

    Raises:
        RegionAbsent, BankAbsent: there is no such region or bank.
        MemberExists: the bank is a member there, or somebody has asked for it already.
        CapabilitiesRefused: the bank itself cannot do what the member is said to.
        Unsatisfiable: nobody could agree.
    """
    row = await _put(tx, wanted, by)
    params = member_actions.AddMeshMember(
        member_id=row.id,
        mesh_region_id=row.mesh_region_id,
        bank_profile_id=row.bank_profile_id,
        role=wanted.role,
        prefer_order=wanted.prefer_order,
        capabilities=wanted.capabilities,
        failure_domains=wanted.failure_domains,
    )
    request = NewAction(
        origin="module",
        origin_id=row.id,
        action_type=member_actions.ADD,
        params=msgspec.to_builtins(params),
    )
    action = await floors.ask(
        tx, mesh.approvals, request, by.actor, least=CLEARED, name="New mesh member"
    )
    await tx.run(
        store.SET_MEMBER,
        id=row.id,
        status=row.status,
        kyc_verified=False,
        contract_signed=False,
        compliance_status="pending",
        ops_action_id=str(action.id),
    )
    asked = await queries.get_member(tx, row.id)
    data = {"member": row.id, "bank": row.bank_profile_id, "role": wanted.role}
    done_by = replace(by, action_id=str(action.id))
    await trail.record(tx, row.mesh_region_id, "member.asked_for", data, by=done_by)
    return Waiting(asked, action)


async def _put(tx: Tx, wanted: NewMember, by: By) -> MemberRecord:
    region = await regions.get(tx, wanted.region)
    bank = await get_bank(tx, wanted.bank_profile_id)
    if not set(wanted.capabilities.supported_currencies) & set(bank.currency_codes):
        raise model.CapabilitiesRefused(
            f"The bank carries {', '.join(bank.currency_codes)}; name one of these among"
            " supported_currencies."
        )
    written = await tx.run(
        store.PUT_MEMBER,
        id=show("mm", uuid7(by.at)),
        region_id=region.id,
        bank_profile_id=bank.id,
        role=wanted.role,
        prefer_order=wanted.prefer_order,
        capabilities=msgspec.to_builtins(wanted.capabilities),
        failure_domains=list(wanted.failure_domains),
        ops_action_id=None,
        created_by=by.actor.id,
    )
    row = await tx.one(store.FIND_MEMBER_OF, region_id=region.id, bank_profile_id=bank.id)
    assert row is not None
    if not written:
        raise model.MemberExists(f"It is {row.status} there.", member_id=row.id, status=row.status)
    return row


async def ask_to_suspend(
    tx: Tx, mesh: Mesh, member_id: str, actor: Actor, *, reason: str
) -> ActionRow:
    """
    Ask for a member to be suspended; its plan says if no healthy one would be left.

    Raises:
        PlanRefused: it is not active. TwinOpen: somebody has asked for that already.
    """
    await queries.get_member(tx, member_id)
    params = {"member_id": member_id, "reason": reason}
    request = NewAction(origin="module", action_type=member_actions.SUSPEND, params=params)
    created = await engine.create_in(tx, mesh.approvals, request, actor)
    return created.row


async def ask_to_reinstate(
    tx: Tx, mesh: Mesh, member_id: str, actor: Actor, *, reason: str
) -> ActionRow:
    """
    Ask for a suspended member to be let back in: by whoever lets members in.

    Raises:
        PlanRefused: it is not suspended. TwinOpen: somebody has asked for that already.
    """
    await queries.get_member(tx, member_id)
    params = {"member_id": member_id, "reason": reason}
    request = NewAction(origin="module", action_type=member_actions.REINSTATE, params=params)
    return await floors.ask(
        tx, mesh.approvals, request, actor, least=CLEARED, name="Mesh member back in"
    )
