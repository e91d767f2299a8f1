"""Deciding a risk-aware approval: by a link, once, or over everybody's head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from molam.approvals import binding, execution, notify, voting
from molam.approvals.claims import BREAK_GLASS
from molam.approvals.lifecycle import OPEN, State
from molam.approvals.locked import LockedAction, lock, standing_of
from molam.approvals.model import (
    REASON_LENGTH_MIN,
    SYSTEM_EXECUTOR,
    Actor,
    ReasonRequired,
    SameHands,
    VoteRequest,
)
from molam.approvals.policy import durations
from molam.approvals.risk import links, model, store
from molam.approvals.risk import proof_store as proofs
from molam.approvals.risk.commands import Desk
from molam.approvals.risk.events import tell_ended
from molam.approvals.risk.evidence import Evidence, keep, write_row
from molam.approvals.risk.proof_store import TokenRow
from molam.approvals.risk.store import RiskRow
from molam.approvals.store import StandingRow
from molam.approvals.timing import settle
from molam.kernel.refusals import Refusal
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S, StepUpRequired, require_proof
from molam.platform.db import Tx
from molam.platform.telemetry import log

EXECUTOR = Actor(SYSTEM_EXECUTOR, kind="system")

_BY_LINK = "Rejected by a one-click link."


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """
    What came with a link when it was used.

    *view_hash* says what its page showed, *signed_in* who had signed in besides.
    """

    comment: str | None = None
    evidence: Evidence | None = None
    view_hash: str | None = None
    signed_in: Actor | None = None
    ip: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class Consumed:
    row: RiskRow
    decision: str
    approver_id: str


async def consume(
    desk: Desk, raw: str | None, decided: Decided, *, approval_id: UUID | None = None
) -> Consumed:
    """
    Take the decision that a link is for, and spend the link with it.

    If the decision is refused, for whatever reason, the link is as good as before.

    Raises:
        MissingToken, TokenNotFound, TokenUsed, TokenExpired: it is no link, or none any more.
        ApprovalDecided, ApprovalExpired, AlreadyVoted, EvidenceRequired: not now.
        NotEligible: its holder may not decide this, or not any more.
        StaleView: what would run, or was shown, has changed.
        StepUpRequired: a link alone is not enough to approve this.
    """
    named = links.approval_named_in(raw)
    assert raw is not None
    if approval_id not in {None, named}:
        raise links.TokenNotFound("It is about another approval.")
    token = await find_token(desk, raw)
    kept = None
    if decided.evidence is not None:
        kept = await keep(desk.files, token.approval_id, decided.evidence)
    async with desk.runtime.db.transaction("risk.consume") as tx:
        action, row = await _locked(tx, token.approval_id)
        if kept is not None:
            await write_row(tx, row.id, kept, by=token.approver_id)
        await _check(tx, action, row, token, signed_in=decided.signed_in)
        request = VoteRequest(
            vote="approve" if token.decision == "approve" else "reject",
            comment=decided.comment or (_BY_LINK if token.decision == "reject" else None),
            intent_hash=token.intent_hash.hex(),
            view_hash=decided.view_hash,
        )
        actor = Actor(
            token.approver_id, channel="link", ip=decided.ip, user_agent=decided.user_agent
        )
        cast = await voting.vote_in(tx, desk.runtime, action.row.id, request, actor=actor)
        if not await tx.run(proofs.SPEND_TOKEN, id=token.id, ip=decided.ip):
            # Used or over in this very moment; what was just voted goes with it.
            raise links.TokenUsed("It was used a moment ago.")
        await tell_ended(tx, row.id)
    if cast.row.state == State.APPROVED:
        await carry_out(desk, cast.row.id)
    rows = await desk.runtime.db.read(store.FIND, id=token.approval_id)
    return Consumed(rows[0], token.decision, token.approver_id)


async def find_token(desk: Desk, raw: str) -> TokenRow:
    """
    Raises:
        TokenNotFound: nobody was ever sent this link.
    """
    rows = await desk.runtime.db.read(proofs.FIND_TOKEN, token_hash=desk.links.hash(raw))
    if not rows:
        raise links.TokenNotFound("Open the link exactly as it was sent.")
    return rows[0]


async def carry_out(desk: Desk, action_id: UUID) -> None:
    """Let the engine look at everything once more and say yes; a job does what cannot be now."""
    try:
        await execution.execute(desk.runtime, action_id, EXECUTOR)
    except Refusal as refusal:
        log.info("approvals.risk.waits", action=str(action_id), code=refusal.code)


async def _locked(tx: Tx, approval_id: UUID) -> tuple[LockedAction, RiskRow]:
    """
    Lock the engine's action and the request, in this order.

    Raises:
        ApprovalNotFound, ApprovalNotReady, ApprovalDecided: people have nothing to decide.
    """
    found = await tx.one(store.FIND, id=approval_id)
    if found is None:
        raise model.ApprovalNotFound("Check the approval's id.")
    if found.status == "held":
        raise model.ApprovalNotReady("Try again in a moment.")
    if found.ops_action_id is None:
        raise model.ApprovalDecided("Nobody has to decide it.", status=found.status)
    [action] = await lock(tx, found.ops_action_id)
    row = await tx.one(store.LOCK, id=approval_id)
    assert row is not None
    return action, row


async def _check(
    tx: Tx, action: LockedAction, row: RiskRow, token: TokenRow, *, signed_in: Actor | None
) -> None:
    """Look again, after the lock, at everything that makes a link good."""
    standing = await standing_of(tx, action, token.approver_id)
    check_open(action, row, standing)
    fresh = await tx.one(proofs.FIND_TOKEN_BY_ID, id=token.id)
    if fresh is None or fresh.used:
        raise links.TokenUsed("Each link works once.")
    if fresh.is_over:
        raise links.TokenExpired("Sign in to decide, or ask for a new link.")
    votes = {each["vote"] for each in standing.ballots if each["voter"] == standing.voter}
    if votes & {"approve", "reject"}:
        raise model.AlreadyVoted("Sign in to change your vote.")
    if token.decision == "approve" and not links.is_enough(action.row, row):
        _check_person(token, signed_in, standing, page=links.page_of(action.row.id))


def _check_person(
    token: TokenRow, signed_in: Actor | None, standing: StandingRow, *, page: str
) -> None:
    """
    Raises:
        StepUpRequired: whoever holds the link has not shown that it is theirs.
    """
    auth = None if signed_in is None or signed_in.id != token.approver_id else signed_in.auth
    try:
        require_proof(
            acr="" if auth is None else auth.acr,
            auth_time=None if auth is None else auth.auth_time,
            now=standing.now,
            max_age_s=STEP_UP_MAX_AGE_S,
        )
    except StepUpRequired as refusal:
        raise StepUpRequired(
            f"By the link alone you may only reject this. Sign in and approve it under {page}.",
            **refusal.facts,
            page=page,
        ) from None


def check_open(action: LockedAction, row: RiskRow, standing: StandingRow) -> None:
    """
    Raises:
        ApprovalExpired: the time is over, whether or not a job has noticed.
        ApprovalDecided: it ended otherwise.
    """
    if row.status == "expired" or (row.status == "pending" and standing.now >= row.expires_at):
        raise model.ApprovalExpired("Ask for it again if it is still wanted.", status="expired")
    if row.status != "pending" or State(action.row.state) not in OPEN:
        raise model.ApprovalDecided("Reload it to see how it ended.", status=row.status)


async def override(
    desk: Desk, approval_id: UUID, *, decision: str, reason: str, actor: Actor
) -> RiskRow:
    """
    Decide instead of those whose turn it is. Somebody else must review it within a day.

    Raises:
        ApprovalNotFound, ApprovalNotReady, ApprovalDecided, ApprovalExpired, SameHands,
        ReasonRequired
    """
    if len(reason.strip()) < REASON_LENGTH_MIN:
        raise ReasonRequired(f"Give a reason of at least {REASON_LENGTH_MIN} characters.")
    async with desk.runtime.db.transaction("risk.override") as tx:
        action, row = await _locked(tx, approval_id)
        standing = await standing_of(tx, action, actor.id)
        settle(action, standing)
        if action.row.state != State.EXPIRED:
            check_open(action, row, standing)
        else:
            raise model.ApprovalExpired("Ask for it again if it is still wanted.")
        if standing.voter in {*action.row.excluded, *standing.excluded_too}:
            raise SameHands("Whoever asks for it does not decide it.")
        _decide(action, standing, decision, actor)
        # Before the action is saved: what follows it then finds the request ended.
        await tx.run(
            store.SET_OVERRIDDEN,
            id=row.id,
            override_by=standing.voter,
            decision=decision,
            reason=reason.strip(),
            at=standing.now,
        )
        await tx.run(
            store.INSERT_BREAK_GLASS,
            ops_action_id=action.row.id,
            used_by=standing.voter,
            reason=reason.strip(),
            at=standing.now,
        )
        await action.save(tx, standing.now)
        people = sorted({each.id for each in action.electors(standing)} | {row.created_by})
        await notify.break_glass_used(tx, action.row, people, by=standing.voter)
        await tell_ended(tx, row.id)
    if decision == "approve":
        await carry_out(desk, action.row.id)
    return (await desk.runtime.db.read(store.FIND, id=approval_id))[0]


def _decide(action: LockedAction, standing: StandingRow, decision: str, actor: Actor) -> None:
    now = standing.now
    who = replace(actor, id=standing.voter)
    if decision == "approve":
        window = durations.add(now, action.rules.execution_window, action.rules.calendar)
        action.move("break_glass", reason=BREAK_GLASS)
        action.change(decided_at=now, escalates_at=None, execution_deadline=window)
        action.record(
            "action.break_glass", who, now, decision=decision, window=binding.instant_text(window)
        )
    else:
        action.move("reject", reason="override")
        action.change(decided_at=now, escalates_at=None)
        action.record("action.rejected", who, now, why="override")
