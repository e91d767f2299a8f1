"""Letting a bank into a region, suspending it there, and letting it back in."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.approvals.model import Actor
from molam.approvals.store import FIND_ACTION
from molam.mesh.members import model, queries, store, trail
from molam.mesh.members.model import Capabilities, MemberRole
from molam.mesh.members.store import MemberRecord
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
from molam.tenancy.freeze_actions import check_id, check_text

Id = Annotated[str, Meta(min_length=1, max_length=255)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]

ADD = "ADD_MESH_MEMBER"
SUSPEND = "SUSPEND_MESH_MEMBER"
REINSTATE = "REINSTATE_MESH_MEMBER"
_ENDED = frozenset({"rejected", "expired", "cancelled", "superseded", "stale", "failed"})


class AddMeshMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is agreed to: this bank, in this region, for this much.

    Who approves for compliance confirms with it that *kyc_verified* and *contract_signed*
    are true; nobody is asked to let a bank in without.
    """

    member_id: Id
    mesh_region_id: Id
    bank_profile_id: Id
    role: MemberRole
    prefer_order: int
    capabilities: Capabilities
    failure_domains: tuple[str, ...] = ()
    kyc_verified: bool = True
    contract_signed: bool = True

    def __post_init__(self) -> None:
        if not (self.kyc_verified and self.contract_signed):
            raise ValueError("a member is let in once its KYC and its contract are confirmed")


class MemberParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    member_id: Id
    reason: Reason

    def __post_init__(self) -> None:
        check_id("member_id", self.member_id)
        check_text("reason", self.reason)


async def _plan_add(tx: Tx, params: AddMeshMember) -> Plan:
    row = await queries.get_member(tx, params.member_id)
    return Plan(
        target_name=f"{row.bank_name}: {row.region_name}",
        changes=(
            Change("member_status", row.status, "active"),
            Change("member_role", None, params.role),
            Change("kyc_verified", row.kyc_verified, params.kyc_verified),
            Change("contract_signed", row.contract_signed, params.contract_signed),
            Change("compliance_status", row.compliance_status, "approved"),
            Change("carries", None, ", ".join(params.capabilities.supported_currencies)),
        ),
        reversible=True,
        expect={"status": "pending_approval"},
        effects=("payouts_may_be_led_there",),
        country=row.bank_country,
    )


async def _add(tx: Tx, execution: Execution[AddMeshMember]) -> Outcome:
    params = execution.params
    row = await _locked(tx, params.member_id)
    if row.status != "pending_approval" or row.ops_action_id != execution.action_id:
        raise PreconditionChanged(f"The member is {row.status} by now.")
    asked = (params.role, params.prefer_order, params.capabilities, params.failure_domains)
    stored = (
        row.role,
        row.prefer_order,
        model.read_capabilities(row.capabilities),
        tuple(row.failure_domains),
    )
    if asked != stored:
        raise PreconditionChanged("The member is not the one that was agreed to.")
    await _set(tx, row, "active", cleared=True)
    await _record(tx, row, "member.added", execution)
    return Outcome(
        {"added": True, "member_id": row.id, "bank_profile_id": row.bank_profile_id},
        (Change("member_status", row.status, "active"),),
    )


async def _add_ended(tx: Tx, params: AddMeshMember, state: str) -> None:
    """Keep a bank out that nobody let in; it may be asked for again. Safe to repeat."""
    row = await tx.one(store.LOCK_MEMBER, id=params.member_id)
    if row is None or row.status != "pending_approval" or await _is_asked_again(tx, row):
        return
    await tx.run(
        store.SET_MEMBER,
        id=row.id,
        status="disabled",
        kyc_verified=False,
        contract_signed=False,
        compliance_status="rejected" if state == "rejected" else "pending",
        ops_action_id=row.ops_action_id,
    )
    await tx.one(store.NOTIFY_PAGES)


async def _is_asked_again(tx: Tx, row: MemberRecord) -> bool:
    """Tell whether another action asks for it by now: this word came late, or twice."""
    if row.ops_action_id is None:
        return False
    action = await tx.one(FIND_ACTION, id=UUID(row.ops_action_id))
    return action is not None and action.state not in _ENDED


async def _plan_suspend(tx: Tx, params: MemberParams) -> Plan:
    row = await _in(tx, params.member_id, "active")
    alone = await queries.last_healthy_for(tx, row)
    effects = ["payouts_are_led_elsewhere"]
    changes = [Change("member_status", "active", "suspended")]
    if alone:
        # Whoever agrees has to know that nobody is left to lead payouts to.
        effects.append("no_healthy_member_left")
        changes.append(Change("last_healthy_member_for", ", ".join(alone), None))
    return Plan(
        target_name=f"{row.bank_name}: {row.region_name}",
        changes=tuple(changes),
        reversible=True,
        expect={"status": "active", "last_healthy_for": alone},
        effects=tuple(effects),
        country=row.bank_country,
    )


async def _suspend(tx: Tx, execution: Execution[MemberParams]) -> Outcome:
    row = await _locked(tx, execution.params.member_id)
    if row.status != "active":
        raise PreconditionChanged(f"The member is {row.status} by now.")
    alone = await queries.last_healthy_for(tx, row)
    told = execution.expect.get("last_healthy_for")
    if set(alone) - set(told if isinstance(told, list) else ()):
        raise PreconditionChanged(
            f"Since it was approved, it has become the last healthy member for {', '.join(alone)}."
        )
    await _set(tx, row, "suspended", cleared=True)
    await _record(tx, row, "member.suspended", execution)
    return Outcome(
        {"suspended": True, "member_id": row.id}, (Change("member_status", "active", "suspended"),)
    )


async def _plan_reinstate(tx: Tx, params: MemberParams) -> Plan:
    row = await _in(tx, params.member_id, "suspended")
    return Plan(
        target_name=f"{row.bank_name}: {row.region_name}",
        changes=(Change("member_status", "suspended", "active"),),
        reversible=True,
        expect={"status": "suspended"},
        effects=("payouts_may_be_led_there",),
        country=row.bank_country,
    )


async def _reinstate(tx: Tx, execution: Execution[MemberParams]) -> Outcome:
    row = await _locked(tx, execution.params.member_id)
    if row.status != "suspended":
        raise PreconditionChanged(f"The member is {row.status} by now.")
    await _set(tx, row, "active", cleared=True)
    await _record(tx, row, "member.reinstated", execution)
    return Outcome(
        {"reinstated": True, "member_id": row.id},
        (Change("member_status", "suspended", "active"),),
    )


async def _in(tx: Tx, member_id: str, status: str) -> MemberRecord:
    row = await queries.get_member(tx, member_id)
    if row.status != status:
        raise model.MemberNotInState(f"The member is {row.status}, not {status}.")
    return row


async def _locked(tx: Tx, member_id: str) -> MemberRecord:
    row = await tx.one(store.LOCK_MEMBER, id=member_id)
    if row is None:
        raise PreconditionChanged("The member is there no more.")
    return row


async def _set(tx: Tx, row: MemberRecord, status: str, *, cleared: bool) -> None:
    await tx.run(
        store.SET_MEMBER,
        id=row.id,
        status=status,
        kyc_verified=cleared,
        contract_signed=cleared,
        compliance_status="approved" if cleared else row.compliance_status,
        ops_action_id=row.ops_action_id,
    )


async def _record(
    tx: Tx,
    row: MemberRecord,
    event: str,
    execution: Execution[AddMeshMember] | Execution[MemberParams],
) -> None:
    await trail.record(
        tx,
        row.mesh_region_id,
        event,
        {"member": row.id, "bank": row.bank_profile_id},
        by=By(Actor(execution.executed_by), execution.at, execution.action_id),
    )


def _add_title(_params: AddMeshMember, locale: str) -> str:
    return "Admettre une banque dans le réseau" if locale == "fr" else "Let a bank into the mesh"


def _suspend_title(_params: MemberParams, locale: str) -> str:
    return "Suspendre un membre du réseau" if locale == "fr" else "Suspend a member of the mesh"


def _reinstate_title(_params: MemberParams, locale: str) -> str:
    french = "Réadmettre un membre du réseau"
    return french if locale == "fr" else "Let a member back into the mesh"


def _target(params: AddMeshMember | MemberParams) -> Target:
    return Target("mesh_member", params.member_id)


ACTIONS = (
    ActionType(
        name=ADD,
        params=AddMeshMember,
        risk="high",
        is_asked_by_code=True,
        title=_add_title,
        target=_target,
        plan=_plan_add,
        apply=_add,
        ended=_add_ended,
    ),
    ActionType(
        name=SUSPEND,
        params=MemberParams,
        risk="high",
        title=_suspend_title,
        target=_target,
        plan=_plan_suspend,
        apply=_suspend,
    ),
    ActionType(
        name=REINSTATE,
        params=MemberParams,
        risk="high",
        is_asked_by_code=True,
        title=_reinstate_title,
        target=_target,
        plan=_plan_reinstate,
        apply=_reinstate,
    ),
)
