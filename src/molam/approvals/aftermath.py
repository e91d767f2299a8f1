"""What people do after an execution: find out, undo, and answer for an emergency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from molam.approvals import aftermath_store, claims, notify
from molam.approvals.claims import BREAK_GLASS
from molam.approvals.commands import Created, create
from molam.approvals.execution import settle_undone
from molam.approvals.locked import LockedAction, lock, standing_of
from molam.approvals.model import (
    REASON_LENGTH_MIN,
    TEXT_LENGTH_MAX,
    Actor,
    NewAction,
    ReasonRequired,
    SameHands,
)
from molam.approvals.runtime import Runtime
from molam.approvals.store import ActionRow, StandingRow
from molam.approvals.timing import settle
from molam.kernel.refusals import Kind, Refusal
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S, require_proof
from molam.platform.db import Database

log = structlog.get_logger()

REVIEW_WITHIN = timedelta(hours=24)

BREAK_GLASS_USES = Counter("molam_approvals_break_glass_total", "Executions without votes.")
REVIEWS_OVERDUE = Gauge(
    "molam_approvals_reviews_overdue", "Emergency executions nobody reviewed in 24 hours."
)


class NotUndoable(Refusal):
    code = "action-not-undoable"
    kind = Kind.BROKEN_RULE
    title = "This action cannot be undone by another"


class ReviewAbsent(Refusal):
    code = "review-absent"
    kind = Kind.ABSENT
    title = "There is nothing to review"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """*agreed* tells whether a second person confirmed, so that the outcome stands."""

    row: ActionRow
    agreed: bool


async def reconcile(
    db: Database, action_id: UUID, actor: Actor, *, executed: bool, evidence: str
) -> Reconciled:
    """
    Say what became of an execution whose outcome is unknown; two people must agree.

    A second person who says otherwise replaces the first one's word.

    Raises:
        ActionAbsent, TransitionRefused, ReasonRequired
        SameHands: one person cannot agree with themselves.
    """
    reason = _reason(evidence)
    outcome = "executed" if executed else "failed"
    async with db.transaction("approvals.reconcile") as tx:
        action, *undone = await claims.lock_with_undone(tx, action_id)
        standing = await standing_of(tx, action, actor.id)
        check_finder(action.row, standing)
        first = action.row.reconciliation
        agreed = first is not None and first["outcome"] == outcome
        event = f"reconcile_{outcome}"
        if agreed:
            action.move(event, reason=claims.kept_reason(action.row, "reconciled"))
            action.change(
                result={"reconciled": outcome, "evidence": reason} if executed else None,
                executed_at=standing.now if executed else None,
                next_attempt_at=None,
            )
        else:
            action.check(event)
            found = {"by": standing.voter, "outcome": outcome, "evidence": reason}
            action.change(reconciliation=found)
        stage = "agreed" if agreed else "proposed"
        action.record(f"reconciliation.{stage}", actor, standing.now, outcome=outcome)
        await action.save(tx, standing.now)
        for each in undone:
            settle_undone(each, action, standing.now)
            if each.entries:
                await each.save(tx, standing.now)
        await notify.action_ended(tx, action.row)
        return Reconciled(action.row, agreed)


def check_finder(row: ActionRow, standing: StandingRow) -> None:
    """
    Keep one person from confirming what they found themselves.

    Raises:
        SameHands: it was them who said so first.
    """
    first = row.reconciliation
    if first is not None and first["by"] == standing.voter:
        raise SameHands("Somebody else has to confirm what you found.")


async def compensate(runtime: Runtime, action_id: UUID, actor: Actor, *, reason: str) -> Created:
    """
    Ask for the action that undoes an executed one; it has a policy and votes of its own.

    Raises:
        NotUndoable: its type has no inverse, or nothing was done.
        and what `create` raises.
    """
    why = _reason(reason)
    async with runtime.db.transaction("approvals.compensate", readonly=True) as tx:
        row = await tx.one(aftermath_store.FIND_ACTION, id=action_id)
    if row is None or row.result is None:
        raise NotUndoable("Only what was carried out can be undone.")
    kind = runtime.registry.find(row.action_type)
    undoing = None
    if kind.compensate is not None:
        undoing = kind.compensate(claims.params_of(kind, row.params), row.result)
    if undoing is None:
        raise NotUndoable(f"{row.action_type} has no inverse.")
    name, params = undoing
    request = NewAction(
        origin="ops_ui",
        action_type=name,
        params=msgspec.to_builtins(params),
        idempotency_key=f"compensate-{row.id}-{row.version}",
        compensates=str(row.id),
        context={"reason": why, "compensates": str(row.id)},
    )
    return await create(runtime, request, actor)


async def break_glass(db: Database, action_id: UUID, actor: Actor, *, reason: str) -> ActionRow:
    """
    Approve without votes, in an emergency; everybody is told, and somebody must review it.

    Raises:
        ActionAbsent, TransitionRefused, ReasonRequired, StepUpRequired
    """
    why = _reason(reason)
    async with db.transaction("approvals.break_glass") as tx:
        [action] = await lock(tx, action_id)
        standing = await standing_of(tx, action, actor.id)
        now = standing.now
        if actor.auth is not None:
            require_proof(
                acr=actor.auth.acr,
                auth_time=actor.auth.auth_time,
                now=now,
                max_age_s=STEP_UP_MAX_AGE_S,
            )
        settle(action, standing)
        action.move("break_glass", reason=BREAK_GLASS)
        action.change(decided_at=now, escalates_at=None, execution_deadline=now + REVIEW_WITHIN)
        action.record(
            "action.break_glass", actor, now, review_due=(now + REVIEW_WITHIN).isoformat()
        )
        await tx.run(
            aftermath_store.INSERT_USE,
            ops_action_id=action_id,
            used_by=standing.voter,
            reason=why,
            used_at=now,
            review_due=now + REVIEW_WITHIN,
        )
        await action.save(tx, now)
        everybody = await tx.all(aftermath_store.LIST_OPERATIONS)
        people = [each.person_id for each in everybody]
        await notify.break_glass_used(tx, action.row, people, by=standing.voter)
    BREAK_GLASS_USES.inc()
    return action.row


async def review(db: Database, action_id: UUID, actor: Actor, *, text: str) -> None:
    """
    Review an emergency execution.

    Raises:
        ReviewAbsent: none is due.
        SameHands: nobody reviews an emergency they had a part in.
    """
    said = _reason(text)
    async with db.transaction("approvals.review") as tx:
        [action] = await lock(tx, action_id)
        standing = await standing_of(tx, action, actor.id)
        use = await tx.one(aftermath_store.FIND_USE, ops_action_id=action_id)
        if use is None or use.reviewed_at is not None:
            raise ReviewAbsent("It was reviewed already, or was no emergency.")
        check_reviewer(action, standing, used_by=use.used_by)
        await tx.run(
            aftermath_store.SET_REVIEWED,
            ops_action_id=action_id,
            reviewed_by=standing.voter,
            reviewed_at=standing.now,
            review=said,
        )
        action.record("break_glass.reviewed", actor, standing.now)
        await action.save(tx, standing.now)


def check_reviewer(action: LockedAction, standing: StandingRow, *, used_by: str) -> None:
    """
    Keep the review from those who wanted the action, gain by it, or took a side.

    Raises:
        SameHands: they are one of them.
    """
    sides = {each[name] for each in standing.ballots for name in ("voter", "seat")}
    if standing.voter in {used_by} | sides | action.excluded(standing):
        raise SameHands("Somebody has to review it who neither asked for it nor took a side.")


async def remind_of_reviews(db: Database) -> int:
    """Count overdue reviews, and tell the operations people of each once."""
    overdue = await db.read(aftermath_store.LIST_OVERDUE)
    REVIEWS_OVERDUE.set(len(overdue))
    for use in overdue:
        log.error("approvals.review.overdue", action=str(use.ops_action_id), used_by=use.used_by)
        async with db.transaction("approvals.remind") as tx:
            row = await tx.one(aftermath_store.FIND_ACTION, id=use.ops_action_id)
            assert row is not None
            everybody = await tx.all(aftermath_store.LIST_OPERATIONS)
            await notify.review_due(tx, row, [each.person_id for each in everybody])
    return len(overdue)


def _reason(text: str) -> str:
    reason = text.strip()
    if not REASON_LENGTH_MIN <= len(reason) <= TEXT_LENGTH_MAX:
        raise ReasonRequired(f"Give a reason of at least {REASON_LENGTH_MIN} characters.")
    return reason
