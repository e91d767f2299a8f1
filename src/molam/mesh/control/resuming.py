"""Going on with a gradual shift that was halted: two people, and then step by step again."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.approvals import commands as engine
from molam.approvals import store as action_store
from molam.approvals.lifecycle import State
from molam.approvals.model import Actor as Voter
from molam.approvals.model import NewAction, TwinOpen, VoteRequest
from molam.approvals.store import ActionRow
from molam.mesh.control import shift_store, store
from molam.mesh.control.actions import ruling
from molam.mesh.control.commands import ASKER, Decided, vote_and_carry_out
from molam.mesh.control.model import MissingReason
from molam.mesh.control.shift_store import ShiftRow
from molam.mesh.members import policies, regions
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.model import ProposalExpired, ProposalNotInState
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.mesh.signals import queries as signals
from molam.mesh.signals.commands import DECIDE
from molam.mesh.signals.model import Decide
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
from molam.platform.jobs import enqueue
from molam.tenancy.freeze_actions import check_id, check_text

RESUME = "MESH_RESUME_SHIFT"
_REASON_MAX = 500

# Note [What a halt leaves]
#
# A shift that was halted stays at its share: what has moved stays moved, and new payouts go
# on as before. People may roll it back like any applied route, or let it go on while its
# signature holds. Then its step begins anew, so that what halted it is not held against it
# twice, and is halted again by new failures only; the controller takes the next steps with
# every check of the first one. While the bank that it leaves is well there is nothing to go
# on with.


class MeshResumeShift(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    proposal_id: Annotated[str, Meta(min_length=1, max_length=255)]
    share: Annotated[int, Meta(ge=1, le=99)]
    """At which per cent it stands: another one is another question."""
    reason: Annotated[str, Meta(min_length=1, max_length=_REASON_MAX)]
    step_minutes: Annotated[int, Meta(ge=1, le=1440)] = 5

    def __post_init__(self) -> None:
        check_id("proposal_id", self.proposal_id)
        check_text("reason", self.reason)


async def resume(mesh: Mesh, proposal_id: str, voter: Voter, *, reason: str | None) -> Decided:
    """
    Record *voter*'s wish that a halted shift goes on; the second person's lets it.

    Raises:
        MissingReason: nobody said why.
        ProposalAbsent, ProposalNotInState, ProposalExpired: there is nothing to go on with.
        NotEligible and whatever else refuses a vote.
    """
    why = (reason or "").strip()[:_REASON_MAX]
    if not why:
        raise MissingReason("Say why the shift goes on.", field="reason")
    db = mesh.approvals.db
    async with db.transaction("mesh.ask_to_resume") as tx:
        action_id = await _ask(tx, mesh, proposal_id, reason=why)
    await vote_and_carry_out(mesh, action_id, voter, VoteRequest(vote="approve", comment=why))
    async with db.transaction("mesh.read_proposal", readonly=True) as tx:
        row = await proposals.get(tx, proposal_id)
        action = await tx.one(action_store.FIND_ACTION, id=action_id)
        return Decided(row, action)


def is_resumed(action: ActionRow | None) -> bool:
    return action is not None and State(action.state) in {State.EXECUTED, State.VERIFIED}


async def _ask(tx: Tx, mesh: Mesh, proposal_id: str, *, reason: str) -> UUID:
    row = await proposals.get(tx, proposal_id)
    shift = await _halted(tx, row)
    policy = await policies.effective(tx, row.mesh_region_id, mesh)
    if await _has_recovered(tx, row, float(policy.rules.return_p_down)):
        raise ProposalNotInState(
            "The bank that payouts leave is well; the shift would be halted again at once.",
            status=row.status,
        )
    asked = NewAction(
        origin="sira",
        origin_id=row.id,
        action_type=RESUME,
        params={
            "proposal_id": row.id,
            "share": row.shift_share,
            "reason": reason,
            "step_minutes": policy.rules.step_minutes,
        },
    )
    try:
        created = await engine.create_in(
            tx,
            mesh.approvals,
            asked,
            ASKER,
            ruling=ruling("Mesh shift", timeout_s=shift.seconds_left),
        )
    except TwinOpen as twin:
        return UUID(str(twin.facts["action_id"]))
    return created.row.id


async def _halted(tx: Tx, row: ProposalRow) -> ShiftRow:
    shift = await tx.one(shift_store.FIND_HALTED, id=row.id)
    if shift is None:
        raise ProposalNotInState(
            "Only a gradual shift that was halted can go on.", status=row.status
        )
    if shift.seconds_left <= 0:
        raise ProposalExpired("What was signed held for an hour. Propose the route anew.")
    return shift


async def _has_recovered(tx: Tx, row: ProposalRow, return_at: float) -> bool:
    """Tell whether the controller would halt the shift because the bank it leaves is well."""
    if row.from_bank_id is None:
        return False
    found = await signals.health_of(
        tx, currency=row.currency, rail=row.rail, bank_ids=[row.from_bank_id]
    )
    return any(each.p_down <= return_at and not each.strikes for each in found)


async def _plan(tx: Tx, params: MeshResumeShift) -> Plan:
    row = await proposals.get(tx, params.proposal_id)
    await _halted(tx, row)
    region = await regions.get(tx, row.mesh_region_id)
    return Plan(
        target_name=f"{region.name} {row.currency} {row.rail}",
        changes=(
            Change("mesh_route", row.from_bank_id, row.to_bank_id),
            Change("mesh_shift", "halted", "under_way"),
        ),
        reversible=True,
        expect={"share": row.shift_share},
        effects=("payouts_rerouted",),
    )


async def _apply(tx: Tx, execution: Execution[MeshResumeShift]) -> Outcome:
    params = execution.params
    await tx.one(store.LOCK_PROPOSAL, id=params.proposal_id, window_h=24)
    row = await proposals.get(tx, params.proposal_id)
    if row.shift_share != params.share or not await tx.run(
        shift_store.RESUME, id=row.id, share=params.share, step_minutes=params.step_minutes
    ):
        raise PreconditionChanged("The shift has ended, was taken back, or is too old by now.")
    await tx.run(shift_store.BEGIN_AGAIN, id=row.id, share=params.share)
    await tx.run(store.TELL_PAGES)
    await enqueue(tx, DECIDE, Decide(row.currency, row.rail))
    return Outcome(
        {"proposal_id": row.id, "resumed": True, "share": params.share},
        (Change("mesh_shift", "halted", "under_way"),),
    )


def _title(params: MeshResumeShift, locale: str) -> str:
    verb = "Poursuivre la bascule" if locale == "fr" else "Go on with shift"
    return f"{verb} {params.proposal_id}"


ACTIONS = (
    ActionType(
        name=RESUME,
        params=MeshResumeShift,
        risk="high",
        is_asked_by_code=True,
        title=_title,
        target=lambda params: Target("mesh_proposal", params.proposal_id),
        twin=lambda params: f"{RESUME}/{params.proposal_id}/{params.share}",
        plan=_plan,
        apply=_apply,
    ),
)
