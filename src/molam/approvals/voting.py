"""Deciding an action: each vote under the row's lock, counted at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from prometheus_client import Counter

from molam.approvals import ballot_checks, notify, vote_store
from molam.approvals.claims import params_of
from molam.approvals.lifecycle import State
from molam.approvals.locked import LockedAction, lock, standing_of
from molam.approvals.model import (
    TEXT_LENGTH_MAX,
    ActionExpired,
    Actor,
    FieldsRefused,
    IdempotencyMismatch,
    NotEligible,
    NoVote,
    VoteRequest,
)
from molam.approvals.policy import durations
from molam.approvals.policy.decision import Elector
from molam.approvals.runtime import Runtime
from molam.approvals.store import ActionRow, StandingRow
from molam.approvals.tightening import tighten
from molam.approvals.timing import SYSTEM, escalate, settle
from molam.audit.commands import conceal, keep_personal_values
from molam.kernel.ids import uuid7
from molam.platform.actions import Registry
from molam.platform.db import Database, Tx

VOTES = Counter("molam_approvals_votes_total", "Votes cast.", ["vote"])
DECIDED = Counter("molam_approvals_decided_total", "Actions decided.", ["status"])


@dataclass(frozen=True, slots=True)
class Cast:
    """
    A vote, and the action after it.

    *bound* tells whether the voter said what they were shown; *late* that the
    rejection came after the deadline and is only kept as a comment.
    """

    row: ActionRow
    vote_id: UUID | None
    bound: bool
    late: bool = False


@dataclass(frozen=True, slots=True)
class Filled:
    """A vote's id, who casts it in whose seat, and the id of their vote before it."""

    vote_id: UUID
    elector: Elector
    seat: str
    previous: str | None


async def vote(runtime: Runtime, action_id: UUID, request: VoteRequest, actor: Actor) -> Cast:
    """
    Cast, change or take back a vote, and decide the action if that decides it.

    Raises:
        ActionAbsent, NotEligible, NoVote, StaleView, ReasonRequired, ConfirmationRequired,
        StepUpRequired, ActionExpired, TransitionRefused
    """
    ballot_checks.check_request(request)
    try:
        async with runtime.db.transaction("approvals.vote") as tx:
            return await vote_in(tx, runtime, action_id, request, actor=actor)
    except NotEligible as refusal:
        if refusal.facts.get("why") == "excluded":
            await _record_refused(runtime, action_id, actor)
        raise


async def _record_refused(runtime: Runtime, action_id: UUID, actor: Actor) -> None:
    """Keep in the record that somebody tried to decide their own request."""
    async with runtime.db.transaction("approvals.vote_refused") as tx:
        [action] = await lock(tx, action_id)
        standing = await standing_of(tx, action, actor.id)
        action.record(
            "vote.refused", replace(actor, id=standing.voter), standing.now, why="excluded"
        )
        await action.save(tx, standing.now)


async def vote_in(
    tx: Tx, runtime: Runtime, action_id: UUID, request: VoteRequest, *, actor: Actor
) -> Cast:
    """
    Vote inside the caller's transaction.

    Raises: as `vote`. `ActionExpired` has nothing to undo: the caller should let
        the transaction commit what time did, or leave that to the next decision.
    """
    [action] = await lock(tx, action_id)
    standing = await standing_of(tx, action, actor.id)
    voter = standing.voter
    if request.client_vote_id is not None and (
        repeated := await tx.one(
            vote_store.FIND_CLIENT_VOTE,
            ops_action_id=action_id,
            voter_id=voter,
            client_vote_id=request.client_vote_id,
        )
    ):
        if (repeated.vote, repeated.comment) != (request.vote, request.comment):
            raise IdempotencyMismatch("Use a new client_vote_id for another vote.")
        return Cast(action.row, repeated.id, bound=request.view_hash is not None)
    settle(action, standing)
    standing = await tighten(tx, runtime.book, action, standing)
    if action.row.state == State.EXPIRED:
        return await _too_late(tx, action, request, standing, actor=actor)
    if request.vote == "approve" and action.is_open:
        # Whoever may not vote is told that, and not what else is missing.
        ballot_checks.seat(action, standing)
        await admit(tx, runtime.registry, action.row)
    return await _cast(tx, action, request, standing, actor=actor)


async def admit(tx: Tx, registry: Registry, row: ActionRow) -> None:
    """
    Let the domain say what is still missing before anybody may approve.

    Raises: whatever refusal says so.
    """
    if row.action_type in registry:
        kind = registry.find(row.action_type)
        if kind.admit is not None:
            await kind.admit(tx, params_of(kind, row.params))


async def _cast(
    tx: Tx, action: LockedAction, request: VoteRequest, standing: StandingRow, *, actor: Actor
) -> Cast:
    before = action.row
    elector, seat = ballot_checks.seat(action, standing)
    check_open(action, request.vote)
    ballot_checks.check_shown(action.row, request)
    ballot_checks.check_proof(action, request, actor, standing.now)
    previous = next((each for each in standing.ballots if each["voter"] == standing.voter), None)
    if request.vote == "withdrawn" and (previous is None or previous["vote"] == "withdrawn"):
        raise NoVote("You have not voted on this action, or took your vote back already.")
    filled = Filled(
        uuid7(standing.now), elector, seat, None if previous is None else previous["id"]
    )
    await _store(tx, filled, request, standing, actor=actor, row=before)
    standing = _with_vote(standing, filled, request.vote)
    _count(action, standing)
    action.record(
        "vote.cast",
        replace(actor, id=standing.voter),
        standing.now,
        decision=request.vote,
        seat=seat,
        roles=sorted(elector.roles),
        reason=await _concealed(tx, request.comment, standing.voter),
        via="self" if seat == standing.voter else f"delegate_of:{seat}",
        intent_hash=request.intent_hash,
        view_hash=request.view_hash,
        votes={
            "approve": action.row.votes_approve,
            "reject": action.row.votes_reject,
            "abstain": action.row.votes_abstain,
        },
    )
    conclude(action, standing)
    await action.save(tx, standing.now)
    await notify.action_escalated(tx, action, standing)
    await notify.after_vote(tx, before, action.row)
    VOTES.labels(request.vote).inc()
    return Cast(action.row, filled.vote_id, bound=request.view_hash is not None)


async def _store(
    tx: Tx,
    filled: Filled,
    request: VoteRequest,
    standing: StandingRow,
    *,
    actor: Actor,
    row: ActionRow,
) -> None:
    await tx.run(
        vote_store.INSERT_VOTE,
        id=filled.vote_id,
        ops_action_id=row.id,
        seq=row.votes_cast,
        voter_id=standing.voter,
        voter_name=filled.elector.name,
        voter_email=filled.elector.email,
        voter_roles=sorted(filled.elector.roles),
        seat=filled.seat,
        vote=request.vote,
        comment=request.comment,
        signed_jwt=None,
        jwt_fingerprint=_fingerprint(request.signed_jwt),
        client_vote_id=request.client_vote_id,
        intent_hash=ballot_checks.hash_bytes(request.intent_hash),
        view_hash=ballot_checks.hash_bytes(request.view_hash),
        auth={} if actor.auth is None else actor.auth.as_json(),
        channel=actor.channel,
        ip_address=actor.ip,
        user_agent=actor.user_agent,
        prev_vote_id=None if filled.previous is None else UUID(filled.previous),
        created_at=standing.now,
    )


def conclude(action: LockedAction, standing: StandingRow) -> None:
    """Take the transition that the votes as they stand ask for, if any."""
    verdict = action.decide(standing)
    if action.row.state == State.SCHEDULED:
        reject(action, standing, why="objection")
        return
    if verdict.state == "blocked" and escalate(action, standing, why="blocked"):
        verdict = action.decide(standing)
    state = State(action.row.state)
    if verdict.state == "approved":
        approve(action, standing, ratio=_ratio(action))
    elif verdict.state == "rejected":
        reject(action, standing, why=verdict.reason or "threshold")
    elif verdict.state == "blocked" and state is State.PENDING:
        action.move("block", reason=verdict.reason)
        action.record("action.blocked", SYSTEM, standing.now, why=verdict.reason)
    elif verdict.state == "pending" and state is State.BLOCKED:
        action.move("unblock")
        action.record("action.unblocked", SYSTEM, standing.now)


def reject(action: LockedAction, standing: StandingRow, *, why: str) -> None:
    action.move("reject", reason=why)
    action.change(decided_at=standing.now, escalates_at=None)
    action.record("action.rejected", SYSTEM, standing.now, why=why)
    DECIDED.labels("rejected").inc()


def approve(action: LockedAction, standing: StandingRow, *, ratio: str) -> None:
    """Approve, and fix when it may be carried out and until when."""
    now, rules = standing.now, action.rules
    earliest = now + timedelta(seconds=max(rules.not_before_delay_s, rules.objection_window_s))
    not_before = max(filter(None, (action.row.not_before, earliest)))
    action.move("approve")
    action.change(
        decided_at=now,
        escalates_at=None,
        execution_deadline=durations.add(not_before, rules.execution_window, rules.calendar),
    )
    counted = [
        {"voter": each.voter, "seat": each.seat}
        for each in action.ballots(standing)
        if each.vote == "approve"
    ]
    action.record("action.approved", SYSTEM, now, counted=counted, ratio=ratio, verdict="approved")
    if not_before > now:
        action.change(not_before=not_before)
        action.move("schedule")
        action.record(
            "action.scheduled", SYSTEM, now, not_before=not_before.isoformat(timespec="seconds")
        )
    DECIDED.labels("approved").inc()


def check_open(action: LockedAction, vote: str) -> None:
    """
    Raises:
        TransitionRefused: it takes no such vote any more; says the state it is in.
    """
    may_object = (
        action.row.state == State.SCHEDULED
        and action.rules.objection_window_s > 0
        and vote == "reject"
    )
    if not action.is_open and not may_object:
        action.check("approve")


async def _too_late(
    tx: Tx, action: LockedAction, request: VoteRequest, standing: StandingRow, *, actor: Actor
) -> Cast:
    """
    Keep a rejection that came after the deadline as a comment; refuse anything else.

    Raises:
        ActionExpired: the time to approve has passed.
    """
    if request.vote != "reject" or request.comment is None:
        raise ActionExpired("Ask for it again if it is still wanted.", state=action.row.state)
    await _comment(tx, action, actor, standing, text=request.comment, kind="late_reject")
    await action.save(tx, standing.now)
    if action.found.state != action.row.state:
        await notify.action_ended(tx, action.row)
    return Cast(action.row, None, bound=False, late=True)


async def comment(db: Database, action_id: UUID, actor: Actor, *, text: str) -> ActionRow:
    """
    Add a comment, at any time; whoever may see the action may say something.

    Raises:
        ActionAbsent, FieldsRefused
    """
    if not 1 <= len(text.strip()) <= TEXT_LENGTH_MAX:
        raise FieldsRefused(f"A comment has 1 to {TEXT_LENGTH_MAX} characters.", field="text")
    async with db.transaction("approvals.comment") as tx:
        [action] = await lock(tx, action_id)
        standing = await standing_of(tx, action, actor.id)
        settle(action, standing)
        await _comment(tx, action, actor, standing, text=text.strip(), kind="comment")
        await action.save(tx, standing.now)
        await notify.action_escalated(tx, action, standing)
        if action.found.state != action.row.state:
            await notify.action_ended(tx, action.row)
        return action.row


async def _comment(
    tx: Tx, action: LockedAction, actor: Actor, standing: StandingRow, *, text: str, kind: str
) -> None:
    names = {each["id"]: each["name"] for each in standing.holders}
    await tx.run(
        vote_store.INSERT_COMMENT,
        id=uuid7(standing.now),
        ops_action_id=action.row.id,
        author_id=standing.voter,
        author_name=names.get(standing.voter, standing.voter),
        kind=kind,
        text=text,
        created_at=standing.now,
    )
    event = "vote.late_reject" if kind == "late_reject" else "comment.added"
    shown = await _concealed(tx, text, standing.voter)
    action.record(event, replace(actor, id=standing.voter), standing.now, text=shown)


def _with_vote(standing: StandingRow, filled: Filled, vote: str) -> StandingRow:
    others = [each for each in standing.ballots if each["voter"] != standing.voter]
    own: dict[str, Any] = {
        "voter": standing.voter,
        "seat": filled.seat,
        "roles": sorted(filled.elector.roles),
        "vote": vote,
        "id": str(filled.vote_id),
        "name": filled.elector.name,
    }
    return replace(standing, ballots=[*others, own])


def _count(action: LockedAction, standing: StandingRow) -> None:
    votes = [each.vote for each in action.ballots(standing)]
    action.change(
        votes_approve=votes.count("approve"),
        votes_reject=votes.count("reject"),
        votes_abstain=votes.count("abstain"),
        votes_cast=action.row.votes_cast + 1,
    )


def _ratio(action: LockedAction) -> str:
    return f"{action.row.votes_approve}/{action.row.votes_approve + action.row.votes_reject}"


async def _concealed(tx: Tx, text: str | None, person: str) -> str | None:
    """Tie a text to the chain without writing it there, where it could never be erased."""
    if text is None:
        return None
    concealed = conceal(text, person=person)
    await keep_personal_values(tx, [concealed])
    return concealed.shown


def _fingerprint(token: str | None) -> str | None:
    return None if token is None else hashlib.sha256(token.encode()).hexdigest()
