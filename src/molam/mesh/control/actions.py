"""Applying a route and taking one back, as people approve them."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

import msgspec
from msgspec import Meta

from molam.approvals.drafts import Ruling
from molam.approvals.policy.durations import Duration
from molam.approvals.policy.quorum import Role
from molam.approvals.policy.rules import Rules
from molam.approvals.tightening import RULED
from molam.mesh import permissions
from molam.mesh.control import proposal_store, rollback, store
from molam.mesh.control.model import Actor
from molam.mesh.control.rollback import Undo
from molam.mesh.members import regions
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.model import UNDECIDED, ProposalExpired, ProposalNotInState
from molam.mesh.routing.store import ProposalRow
from molam.platform.actions import (
    ActionType,
    Amount,
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

APPLY = "MESH_APPLY_ROUTE"
ROLL_BACK = "MESH_ROLL_BACK"
APPLY_JOB = "mesh.apply"
VOTES = 2
_VOTERS = frozenset({permissions.OPS_ADMIN, permissions.TREASURY})
_WINDOW_S = 3600

Id = Annotated[str, Meta(min_length=1, max_length=255)]


class MeshApplyRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The proposal that is agreed to, by the name of the signature under all it says."""

    proposal_id: Id
    token_id: Id

    def __post_init__(self) -> None:
        check_id("proposal_id", self.proposal_id)
        check_id("token_id", self.token_id)


class MeshRollBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The applied route that is taken back, and for how many hours after it that is possible."""

    proposal_id: Id
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    asked_by: Id
    window_hours: Annotated[int, Meta(ge=1, le=24)] = 24

    def __post_init__(self) -> None:
        check_id("proposal_id", self.proposal_id)
        check_text("reason", self.reason)


class ApplyApproved(msgspec.Struct, frozen=True):
    """Arguments of the job `APPLY_JOB`."""

    proposal_id: str
    by: str
    version: int = 1


def ruling(name: str, *, timeout_s: int) -> Ruling:
    """Ask two of those who answer for routes; nobody's policy makes that less."""
    rules = Rules(
        quorum=Role(_VOTERS, VOTES),
        ratio=Fraction(1),
        timeout=Duration(seconds=max(timeout_s, 1)),
        auto_execute=True,
        execution_window=Duration(seconds=_WINDOW_S),
        reject_threshold=1,
        voters_may_execute=True,
    )
    return Ruling(name, 1, rules, {RULED: True, "votes": VOTES})


async def _plan_apply(tx: Tx, params: MeshApplyRoute) -> Plan:
    row = await proposals.get(tx, params.proposal_id)
    if row.status not in UNDECIDED:
        raise ProposalNotInState(f"The proposal is {row.status}.", status=row.status)
    found = row.simulation_results or {}
    changes = [Change("mesh_route", row.from_bank_id, row.to_bank_id)]
    shown = [each for each in ("affected_payouts", "without_route") if each in found]
    changes.extend(Change(f"mesh_{each}", None, found[each]) for each in shown)
    return Plan(
        target_name=await _named(tx, row),
        changes=tuple(changes),
        reversible=True,
        expect={"token_id": row.token_id},
        effects=("payouts_rerouted",),
        amount=_worth(row, int(found.get("affected_value") or 0)),
    )


async def _approve(tx: Tx, execution: Execution[MeshApplyRoute]) -> Outcome:
    """
    Let the route be applied, which happens next: by whoever voted last, or by a worker.

    Applying it looks at everything again and may be refused; then it can be tried again
    without new votes, for as long as the proposal holds.
    """
    params = execution.params
    row = await _locked(tx, params.proposal_id)
    if row.token_id != params.token_id or row.ops_action_id != execution.action_id:
        raise PreconditionChanged("The proposal is not the one that was agreed to.")
    if row.status == "rejected":
        raise PreconditionChanged("The proposal was rejected meanwhile.")
    if row.status not in {"applied", "rolled_back"}:
        await tx.run(proposal_store.SET_APPROVED, id=row.id, by=execution.executed_by)
        asked = ApplyApproved(row.id, execution.executed_by)
        await enqueue(tx, APPLY_JOB, asked, delay_s=1.0, once=f"{APPLY_JOB}/{row.id}")
    await tx.run(store.TELL_PAGES)
    return Outcome(
        {"proposal_id": row.id, "approved": True},
        (Change("mesh_proposal", row.status, "approved"),),
    )


async def _apply_ended(tx: Tx, params: MeshApplyRoute, state: str) -> None:
    """Let a proposal that nobody agreed to be rejected; safe to repeat."""
    await tx.run(
        proposal_store.SET_REJECTED,
        id=params.proposal_id,
        by="approvals",
        reason=f"approval {state}",
    )
    await tx.run(store.TELL_PAGES)


async def _plan_roll_back(tx: Tx, params: MeshRollBack) -> Plan:
    row = await proposals.get(tx, params.proposal_id)
    standing = await tx.one(proposal_store.FIND_STANDING, id=row.id, window_h=params.window_hours)
    assert standing is not None
    await rollback.check(tx, row.id, standing)
    return Plan(
        target_name=await _named(tx, row),
        changes=(Change("mesh_route", row.to_bank_id, row.from_bank_id),),
        reversible=False,
        expect={"status": row.status},
        effects=("payouts_restored",),
    )


async def _roll_back(tx: Tx, execution: Execution[MeshRollBack]) -> Outcome:
    params = execution.params
    done = await rollback.roll_back(
        tx,
        Undo(
            proposal_id=params.proposal_id,
            reason=params.reason,
            actor=Actor("user", params.asked_by),
            window_h=params.window_hours,
            at=execution.at,
        ),
    )
    return Outcome(
        {
            "proposal_id": done.proposal_id,
            "action_id": done.action_id,
            "restored_payouts": done.restored_payouts,
            "not_reversible_payouts": done.not_reversible_payouts,
        },
        (Change("mesh_proposal", "applied", "rolled_back"),),
    )


async def _locked(tx: Tx, proposal_id: str) -> ProposalRow:
    await tx.one(store.LOCK_PROPOSAL, id=proposal_id, window_h=24)
    return await proposals.get(tx, proposal_id)


async def _named(tx: Tx, row: ProposalRow) -> str:
    region = await regions.get(tx, row.mesh_region_id)
    return f"{region.name} {row.currency} {row.rail}"


def _worth(row: ProposalRow, minor: int) -> Amount | None:
    return Amount(row.currency, minor) if minor else None


def check_open(row: ProposalRow, *, is_expired: bool) -> None:
    """
    Raises:
        ProposalNotInState, ProposalExpired: it is decided, or its time is over.
    """
    if row.status not in UNDECIDED:
        raise ProposalNotInState(f"The proposal is {row.status}.", status=row.status)
    if is_expired:
        raise ProposalExpired("Ask for a new proposal: this one was not applied in time.")


def _apply_title(_params: MeshApplyRoute, locale: str) -> str:
    return "Appliquer une route du réseau" if locale == "fr" else "Apply a mesh route"


def _roll_back_title(_params: MeshRollBack, locale: str) -> str:
    return "Revenir sur une route du réseau" if locale == "fr" else "Roll back a mesh route"


ACTIONS = (
    ActionType(
        name=APPLY,
        params=MeshApplyRoute,
        risk="high",
        is_asked_by_code=True,
        title=_apply_title,
        target=lambda params: Target("mesh_proposal", params.proposal_id),
        plan=_plan_apply,
        apply=_approve,
        ended=_apply_ended,
    ),
    ActionType(
        name=ROLL_BACK,
        params=MeshRollBack,
        risk="high",
        is_asked_by_code=True,
        title=_roll_back_title,
        target=lambda params: Target("mesh_proposal", params.proposal_id),
        twin=lambda params: f"{ROLL_BACK}/{params.proposal_id}",
        plan=_plan_roll_back,
        apply=_roll_back,
    ),
)
