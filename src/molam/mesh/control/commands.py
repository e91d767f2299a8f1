"""Approving, rejecting, applying and rolling back a proposal, as people and jobs ask for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

import msgspec
import structlog

from molam.approvals import commands as engine
from molam.approvals import execution, voting
from molam.approvals import store as action_store
from molam.approvals.lifecycle import OPEN, TERMINAL, State, TransitionRefused
from molam.approvals.model import Actor as Voter
from molam.approvals.model import NewAction, TwinOpen, VoteRequest
from molam.approvals.store import ActionRow
from molam.approvals.sweeps import AUTO_EXECUTOR
from molam.kernel.ids import show, uuid7
from molam.kernel.refusals import Refusal
from molam.mesh.control import actions, checks, log_store, metrics, proposal_store, rollback, store
from molam.mesh.control.apply import apply_route
from molam.mesh.control.model import Actor, Applied, MissingReason, RolledBack
from molam.mesh.control.recording import WHOLE, key_of, payload_hash
from molam.mesh.members import policies
from molam.mesh.routing import commands as routing
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.model import ProposalNotInState
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.platform.db import Database, Tx

log = structlog.get_logger()

VOTES = actions.VOTES
ASKER = Voter("mesh-controller", kind="system")
_NOT_PEOPLE = frozenset({"sira", ASKER.id, "policy_engine", "system"})
_DEAD = frozenset({State.REJECTED, State.EXPIRED, State.CANCELLED, State.SUPERSEDED, State.STALE})
_REASON_MAX = 500
_LOOK_S, _LOOKS_MAX = 0.1, 50


@dataclass(frozen=True, slots=True)
class Decided:
    """Where a decision stands: *applied* once the votes sufficed, and its effect is durable."""

    row: ProposalRow
    action: ActionRow | None
    applied: Applied | None = None
    rolled_back: RolledBack | None = None


async def ask_people(tx: Tx, mesh: Mesh, row: ProposalRow) -> UUID:
    """
    Put a proposal to those who decide about routes; the same one once.

    Raises:
        AdviceRefused: nobody is asked about what SIRA did not sign.
    """
    checks.signed_as(mesh, row)
    if row.status == "proposed":
        await routing.simulate(tx, mesh, row.id)
    created = await engine.create_in(
        tx,
        mesh.approvals,
        NewAction(
            origin="sira",
            origin_id=row.id,
            action_type=actions.APPLY,
            params={"proposal_id": row.id, "token_id": row.token_id},
            idempotency_key=f"mesh-apply-{row.id}",
            on_behalf_of=None if row.created_by in _NOT_PEOPLE else row.created_by,
        ),
        ASKER,
        ruling=actions.ruling("Mesh route", timeout_s=await _time_left(tx, mesh, row)),
    )
    await tx.run(proposal_store.SET_ACTION, id=row.id, action_id=str(created.row.id))
    return created.row.id


async def _time_left(tx: Tx, mesh: Mesh, row: ProposalRow) -> int:
    del tx
    return int((row.expires_at - mesh.clock.now()).total_seconds())


async def approve(
    mesh: Mesh, proposal_id: str, voter: Voter, request: VoteRequest | None = None
) -> Decided:
    """
    Record *voter*'s approval; the one that fills the quorum applies the route before this returns.

    Raises:
        ProposalAbsent, ProposalNotInState, ProposalExpired: there is nothing to approve.
        NotEligible and whatever else refuses a vote.
        Refusals of `apply.apply_route`: approved, but not applied; it may be tried again.
    """
    db = mesh.approvals.db
    async with db.transaction("mesh.ask_people") as tx:
        row = await proposals.get(tx, proposal_id)
        if row.status == "applied" and row.shift_share < WHOLE:
            # One vote more is no leave to move the rest at once.
            raise ProposalNotInState(
                f"A gradual shift moved {row.shift_share} % of it; two people may let it go on.",
                status=row.status,
            )
        if row.status not in {"applied", "approved"}:
            standing = await tx.one(proposal_store.FIND_STANDING, id=row.id, window_h=24)
            assert standing is not None
            actions.check_open(row, is_expired=standing.is_expired)
            action_id = await ask_people(tx, mesh, row)
    if row.status not in {"applied", "approved"}:
        state = await vote_and_carry_out(mesh, action_id, voter, request)
        if state not in {State.EXECUTED, State.VERIFIED}:
            return await _waiting(db, proposal_id, action_id)
    applied = await apply_now(db, mesh, proposal_id, actor=Actor("user", voter.id))
    async with db.transaction("mesh.read_proposal", readonly=True) as tx:
        row = await proposals.get(tx, proposal_id)
        return Decided(row, await _action(tx, row.ops_action_id), applied=applied)


async def vote_and_carry_out(
    mesh: Mesh, action_id: UUID, voter: Voter, request: VoteRequest | None
) -> State:
    cast = await voting.vote(
        mesh.approvals, action_id, request or VoteRequest(vote="approve"), voter
    )
    if State(cast.row.state) is not State.APPROVED:
        return State(cast.row.state)
    try:
        done = await execution.execute(mesh.approvals, action_id, AUTO_EXECUTOR)
    except TransitionRefused:
        # A worker was faster; what it does is as good.
        return await _ended(mesh, action_id)
    return State(done.state)


async def _ended(mesh: Mesh, action_id: UUID) -> State:
    """Wait for whoever is just carrying an action out: a moment, or until a later look tells."""
    state = State.EXECUTING
    for _ in range(_LOOKS_MAX):
        async with mesh.approvals.db.transaction("mesh.read_action", readonly=True) as tx:
            found = await tx.one(action_store.FIND_ACTION, id=action_id)
        assert found is not None
        state = State(found.state)
        if state is not State.EXECUTING:
            break
        await asyncio.sleep(_LOOK_S)
    return state


async def _waiting(db: Database, proposal_id: str, action_id: UUID) -> Decided:
    async with db.transaction("mesh.read_proposal", readonly=True) as tx:
        row = await proposals.get(tx, proposal_id)
        return Decided(row, await _action(tx, str(action_id)))


async def apply_now(
    db: Database, mesh: Mesh, proposal_id: str, *, actor: Actor, share: int = WHOLE
) -> Applied:
    """
    Apply a route in a transaction of its own; a refusal leaves a row in the log, and no more.

    Raises: as `apply.apply_route`.
    """
    key = key_of(proposal_id, share)
    try:
        async with db.transaction("mesh.apply") as tx:
            applied = await apply_route(tx, mesh, proposal_id, actor=actor, key=key, share=share)
            row = await proposals.get(tx, proposal_id)
            regions = await metrics.regions_of(tx, row, applied)
    except Refusal as refusal:
        await _note_failure(db, mesh, proposal_id, actor=actor, refusal=refusal, key=key)
        raise
    if not applied.replayed:
        metrics.count(row, applied, regions)
        log.info(
            "mesh.route.applied",
            proposal=proposal_id,
            payouts=applied.affected_payouts,
            value=applied.affected_value,
            ms=applied.duration_ms,
        )
    return applied


async def _note_failure(
    db: Database, mesh: Mesh, proposal_id: str, *, actor: Actor, refusal: Refusal, key: str
) -> None:
    """Keep that an application was refused, under a key that no later one needs."""
    at = mesh.clock.now()
    id_ = uuid7(at)
    async with db.transaction("mesh.note_failure") as tx:
        try:
            row = await proposals.get(tx, proposal_id)
        except Refusal:
            return
        failure = f"{refusal.code}: {refusal.detail}"
        await tx.run(store.SET_FAILURE, id=row.id, failure=failure[:500])
        await tx.run(
            log_store.APPEND_ACTION,
            id=show("ma", id_),
            action_type="apply_route",
            region=row.mesh_region_id,
            proposal_id=row.id,
            payload={"proposal_id": row.id, "currency": row.currency, "code": refusal.code},
            payload_hash=payload_hash(row, WHOLE),
            actor_type=actor.kind,
            actor_id=actor.id,
            affected=[],
            count=0,
            value=0,
            banks=[],
            result="failed",
            error=failure[:1000],
            timings={},
            started_at=at,
            duration_ms=0,
            key=f"{key}-failed-{id_.hex}",
        )
        await tx.run(store.TELL_PAGES)


async def reject(mesh: Mesh, proposal_id: str, voter: Voter, *, reason: str | None) -> ProposalRow:
    """
    Reject a proposal; one of those who decide suffices.

    Raises:
        ProposalAbsent, ProposalNotInState: it is decided.
    """
    db = mesh.approvals.db
    async with db.transaction("mesh.reject") as tx:
        row = await proposals.get(tx, proposal_id)
        written = await tx.run(
            proposal_store.SET_REJECTED,
            id=row.id,
            by=voter.id,
            reason=(reason or "").strip()[:_REASON_MAX] or None,
        )
        if not written:
            raise ProposalNotInState(f"The proposal is {row.status}.", status=row.status)
        await tx.run(store.TELL_PAGES)
        action = await _action(tx, row.ops_action_id)
        row = await proposals.get(tx, proposal_id)
    if action is not None and State(action.state) in OPEN:
        try:
            await engine.cancel(db, action.id, ASKER, reason="the proposal was rejected")
        except TransitionRefused:
            log.info("mesh.proposal.decided_meanwhile", proposal=proposal_id)
    return row


async def roll_back(mesh: Mesh, proposal_id: str, voter: Voter, *, reason: str | None) -> Decided:
    """
    Record *voter*'s wish to take a route back; the second person's does it before this returns.

    Raises:
        MissingReason: nobody said why.
        ProposalAbsent, ProposalNotInState, RollbackTooLate, LaterRoute: it cannot be done.
        NotEligible and whatever else refuses a vote.
    """
    why = (reason or "").strip()[:_REASON_MAX]
    if not why:
        raise MissingReason("Say why the route is taken back.", field="reason")
    db = mesh.approvals.db
    async with db.transaction("mesh.ask_to_roll_back") as tx:
        row = await proposals.get(tx, proposal_id)
        if row.status == "rolled_back":
            before = await _done(tx, row)
            assert before is not None, "what is rolled back is in the log"
            before = msgspec.structs.replace(before, replayed=True)
            return Decided(row, await _action(tx, row.rollback_action_id), rolled_back=before)
        action_id = await _rollback_action(tx, mesh, row, voter, reason=why)
    state = await vote_and_carry_out(
        mesh, action_id, voter, VoteRequest(vote="approve", comment=why)
    )
    async with db.transaction("mesh.read_proposal", readonly=True) as tx:
        row = await proposals.get(tx, proposal_id)
        action = await _action(tx, str(action_id))
        done = await _done(tx, row) if state in {State.EXECUTED, State.VERIFIED} else None
        return Decided(row, action, rolled_back=done)


async def _rollback_action(
    tx: Tx, mesh: Mesh, row: ProposalRow, voter: Voter, *, reason: str
) -> UUID:
    policy = await policies.effective(tx, row.mesh_region_id, mesh)
    hours = policy.rules.rollback_window_hours
    standing = await tx.one(proposal_store.FIND_STANDING, id=row.id, window_h=hours)
    assert standing is not None
    await rollback.check(tx, row.id, standing)
    before = await _action(tx, row.rollback_action_id)
    if before is not None and State(before.state) not in _DEAD | TERMINAL:
        return before.id
    asked = NewAction(
        origin="sira",
        origin_id=row.id,
        action_type=actions.ROLL_BACK,
        params={
            "proposal_id": row.id,
            "reason": reason,
            "asked_by": voter.id,
            "window_hours": hours,
        },
    )
    try:
        created = await engine.create_in(
            tx,
            mesh.approvals,
            asked,
            ASKER,
            ruling=actions.ruling("Mesh rollback", timeout_s=hours * 3600),
        )
    except TwinOpen as twin:
        # Somebody else has just asked for the same.
        return UUID(str(twin.facts["action_id"]))
    await tx.run(proposal_store.SET_ROLLBACK_ACTION, id=row.id, action_id=str(created.row.id))
    return created.row.id


async def _done(tx: Tx, row: ProposalRow) -> RolledBack | None:
    found = await tx.one(log_store.FIND_ACTION, key=f"rollback-routing-{row.id}")
    return None if found is None else rollback.read(found)


async def _action(tx: Tx, action_id: str | None) -> ActionRow | None:
    if action_id is None:
        return None
    return await tx.one(action_store.FIND_ACTION, id=UUID(action_id))
