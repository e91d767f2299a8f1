"""The right to carry out an action: given to one, after everything was checked again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import structlog

from molam.approvals import attempt_store, binding, notify, store
from molam.approvals.lifecycle import State, TransitionRefused, transition
from molam.approvals.locked import LockedAction, lock, standing_of
from molam.approvals.model import (
    LEASE,
    LIFT_FREEZE,
    SYSTEM_EXECUTOR,
    ActionAbsent,
    ActionExpired,
    Actor,
    ExecutionFrozen,
    NotYet,
    SameHands,
)
from molam.approvals.policy.rules import levels
from molam.approvals.runtime import Runtime
from molam.approvals.store import ActionRow, StandingRow
from molam.approvals.tightening import intent_document, tighten
from molam.approvals.timing import SYSTEM, settle
from molam.kernel.digests import digest
from molam.kernel.refusals import Kind, Refusal
from molam.platform.actions import ActionType, Execution, Registry
from molam.platform.db import Tx

log = structlog.get_logger()

BREAK_GLASS = "break_glass"


def kept_reason(row: ActionRow, reason: str | None) -> str | None:
    """Return *reason*, unless the action runs without votes: it may be tried again so."""
    return BREAK_GLASS if row.reason == BREAK_GLASS else reason


class StaleIntent(Refusal):
    code = "intent-changed"
    kind = Kind.CONFLICT
    title = "What is stored is not what was approved"


class NoLongerApproved(Refusal):
    code = "no-longer-approved"
    kind = Kind.CONFLICT
    title = "The votes do not suffice any more"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to one attempt. *fence* grows with each, so that a late one is known."""

    action_id: UUID
    fence: int
    type: ActionType[Any]
    execution: Execution[Any]
    executor: Actor
    compensates: UUID | None


async def claim(runtime: Runtime, action_id: UUID, executor: Actor) -> Claim:
    """
    Take an approved, scheduled or failed action for one attempt.

    What a check found is kept (an action that went stale, or back to its voters),
    and only then refused.

    Raises:
        ActionAbsent, TransitionRefused, NotYet, SameHands, ExecutionFrozen, ActionExpired,
        StaleIntent, NoLongerApproved
    """
    async with runtime.db.transaction("approvals.claim") as tx:
        locked = await lock_with_undone(tx, action_id)
        action = locked[0]
        standing = await standing_of(tx, action, executor.id)
        changed = settle(action, standing)
        refusal = await _check(tx, runtime, action, standing, executor=executor)
        if refusal is None:
            claimed = await _begin(tx, runtime, locked, standing, executor=executor)
        elif changed or action.entries:
            await action.save(tx, standing.now)
            await notify.action_ended(tx, action.row)
    if refusal is not None:
        raise refusal
    return claimed


async def lock_with_undone(tx: Tx, action_id: UUID) -> list[LockedAction]:
    """
    Lock an action, and after it the one that it undoes, if any.

    Raises:
        ActionAbsent: there is none of this id.
    """
    row = await tx.one(store.FIND_ACTION, id=action_id)
    if row is None:
        raise ActionAbsent("Check the action's id.")
    return await lock(tx, action_id, *([] if row.compensates is None else [row.compensates]))


def refusal_to_execute(
    action: LockedAction,
    executor: Actor,
    standing: StandingRow,
    *,
    registry: Registry,
    frozen: attempt_store.FreezeRow | None,
) -> Refusal | None:
    """
    Say why *executor* may not carry the action out as it stands; None if they may.

    Pure: the console shows with it what the engine would answer.
    """
    row = action.row
    if row.state == State.EXPIRED:
        return ActionExpired("It was not carried out in time.", state=row.state)
    refusal = _not_now(row, standing, frozen)
    if refusal is not None:
        return refusal
    if not _is_as_approved(registry, row):
        return StaleIntent("The stored action does not have the approved hash; nothing was done.")
    if row.reason == BREAK_GLASS:
        return None
    if action.decide(standing).state != "approved":
        return NoLongerApproved(
            "It needs votes again: somebody lost a role, or a policy became stricter."
        )
    return _same_hands(action, executor, standing)


def _not_now(
    row: ActionRow, standing: StandingRow, frozen: attempt_store.FreezeRow | None
) -> Refusal | None:
    try:
        transition(State(row.state), "begin")
    except TransitionRefused as refusal:
        return refusal
    if row.not_before is not None and standing.now < row.not_before:
        at = binding.instant_text(row.not_before)
        return NotYet("It may be carried out later.", not_before=at)
    if frozen is not None and row.action_type != LIFT_FREEZE:
        return ExecutionFrozen(f"Execution is frozen: {frozen.reason.rstrip('.')}.")
    return None


async def _check(
    tx: Tx, runtime: Runtime, action: LockedAction, standing: StandingRow, *, executor: Actor
) -> Refusal | None:
    """Check again, under the lock, everything that made the action executable."""
    frozen = await tx.one(attempt_store.FIND_FREEZE, action_type=action.row.action_type)
    standing = await tighten(tx, runtime.book, action, standing)
    refusal = refusal_to_execute(
        action, executor, standing, registry=runtime.registry, frozen=frozen
    )
    if isinstance(refusal, StaleIntent):
        action.move("go_stale", reason=refusal.code)
        action.record("action.stale", SYSTEM, standing.now, code=refusal.code)
        log.critical("approvals.intent.changed", action=str(action.row.id))
    elif isinstance(refusal, NoLongerApproved):
        await _send_back(tx, action, standing)
    return refusal


def _is_as_approved(registry: Registry, row: ActionRow) -> bool:
    return (
        binding.intent_hash(intent_document(row)) == row.intent_hash
        and digest(binding.POLICY, row.policy_snapshot) == row.policy_hash
        and row.action_type in registry
        and registry.find(row.action_type).schema == row.schema
    )


async def _send_back(tx: Tx, action: LockedAction, standing: StandingRow) -> None:
    """Give an approved action back to its voters, who keep their votes."""
    verdict = action.decide(standing)
    as_long_again = standing.now + (action.row.expires_at - action.row.created_at)
    expires_at = max(action.row.expires_at, as_long_again)
    may_escalate = action.row.level < len(levels(action.rules))
    action.move("send_back")
    action.change(
        decided_at=None,
        execution_deadline=None,
        expires_at=expires_at,
        # Those who were asked may have left; when this time is over, others join.
        escalates_at=expires_at if may_escalate else None,
        next_attempt_at=None,
    )
    action.record(
        "action.sent_back", SYSTEM, standing.now, verdict=verdict.state, why=verdict.reason
    )
    people = [each.id for each in action.electors(standing)]
    await notify.action_sent_back(tx, action.row, people)


def _same_hands(action: LockedAction, executor: Actor, standing: StandingRow) -> SameHands | None:
    approved = [each for each in action.ballots(standing) if each.vote == "approve"]
    # Whose place a stand-in filled has approved as well.
    approvers = {each.voter for each in approved} | {each.seat for each in approved}
    if standing.voter in approvers and not action.rules.voters_may_execute:
        return SameHands("Whoever approved it does not carry it out; ask somebody else.")
    if executor.kind == "system" and executor.id == SYSTEM_EXECUTOR and not action.row.auto_execute:
        return SameHands("The policy wants a person to carry this out.")
    return None


async def _begin(
    tx: Tx, runtime: Runtime, locked: list[LockedAction], standing: StandingRow, *, executor: Actor
) -> Claim:
    action = locked[0]
    now = standing.now
    action.move("begin", reason=action.row.reason)
    action.change(
        fence=action.row.fence + 1,
        lease_owner=runtime.worker,
        lease_until=now + LEASE,
        attempts=action.row.attempts + 1,
        next_attempt_at=None,
        executed_by=executor.id,
    )
    row = action.row
    action.record(
        "execution.began",
        executor,
        now,
        fence=row.fence,
        attempt=row.attempts,
        executor=executor.id,
    )
    for undone in locked[1:]:
        if undone.row.state != State.COMPENSATING:
            undone.move("compensate_begin", reason=f"by {row.id}")
            undone.record("action.compensating", executor, now, by=str(row.id))
            await undone.save(tx, now)
    await tx.run(
        attempt_store.BEGIN_ATTEMPT,
        ops_action_id=row.id,
        fence=row.fence,
        worker=runtime.worker,
        started_by=executor.id,
        began_at=now,
    )
    await action.save(tx, now)
    return claim_of(runtime, action, executor, standing)


def claim_of(
    runtime: Runtime, action: LockedAction, executor: Actor, standing: StandingRow
) -> Claim:
    """Put together the attempt of an action that this transaction has claimed."""
    row = action.row
    kind = runtime.registry.find(row.action_type)
    execution = Execution(
        action_id=str(row.id),
        key=binding.key_of(row.id, row.intent_hash),
        params=params_of(kind, row.params),
        expect=row.expect,
        executed_by=executor.id,
        at=standing.now,
    )
    return Claim(row.id, row.fence, kind, execution, executor, row.compensates)


def params_of(kind: ActionType[Any], stored: dict[str, Any]) -> Any:
    """Read back params that were hashed: their decimals are text."""
    return msgspec.convert(stored, kind.params, strict=False)
