"""Carrying out what was approved: claimed by one, re-checked, done once or visibly unknown."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter

from molam.approvals import attempt_store, claims, notify
from molam.approvals.claims import Claim
from molam.approvals.lifecycle import State
from molam.approvals.locked import LockedAction, lock, standing_of
from molam.approvals.model import LEASE, Actor, Executed
from molam.approvals.runtime import Runtime
from molam.approvals.store import ActionRow
from molam.approvals.timing import SYSTEM
from molam.kernel.clock import Instant
from molam.kernel.refusals import Outage, Refusal
from molam.platform.actions import (
    Outcome,
    OutcomeUnknown,
    PreconditionChanged,
    TransientFailure,
)
from molam.platform.db import Tx

log = structlog.get_logger()

EXECUTIONS = Counter("molam_approvals_executions_total", "Attempts to carry out.", ["outcome"])

_RETRY_FIRST_S = 5.0
_RETRY_MAX_S = 900.0

# Note [Once, or visibly unknown]
#
# 1. `claims.claim` is one transaction: it re-checks everything under the row lock,
#    moves the action to executing, and gives the attempt a fence, which only grows.
# 2. The effect. A type with `apply` works inside the transaction that also writes the
#    result, and only if the fence is still its own: both happen, or neither does. A
#    type with `call` goes outside with no transaction open, under a key that is the
#    same for every attempt.
# 3. The result is written only under the attempt's own fence. A worker that was taken
#    for dead cannot overwrite what its successor found out.
#
# When a worker dies in between, its lease runs out. What may be repeated is repeated,
# what can be asked is asked, and the rest becomes execution_unknown, which blocks the
# same action on the same target until people have found out.


@dataclass(frozen=True, slots=True)
class Ending:
    """How one attempt ended."""

    outcome: str
    done: Outcome | None = None
    error: str | None = None
    code: str | None = None


async def execute(runtime: Runtime, action_id: UUID, executor: Actor) -> Executed:
    """
    Carry out an approved action, or try a failed one again.

    Raises:
        ActionAbsent, TransitionRefused, NotYet, SameHands, ExecutionFrozen, ActionExpired,
        StaleIntent, NoLongerApproved: it is not carried out, and nothing has happened.
    """
    claim = await claims.claim(runtime, action_id, executor)
    return await run(runtime, claim)


async def run(runtime: Runtime, claim: Claim) -> Executed:
    """Make the attempt that *claim* is the right to, and write down how it ended."""
    if claim.type.apply is not None:
        return await _apply(runtime, claim)
    return await finish(runtime, claim, await _call(runtime, claim))


async def _apply(runtime: Runtime, claim: Claim) -> Executed:
    apply = claim.type.apply
    assert apply is not None
    async with runtime.db.transaction("approvals.apply") as tx:
        locked = await _still_ours(tx, claim)
        if locked is None:
            return _lost(claim)
        try:
            async with tx.savepoint():
                ending = Ending("executed", await apply(tx, claim.execution))
        except (Refusal, TransientFailure) as error:
            ending = _failure(error)
        return await _write(tx, claim, locked, ending)


async def _call(runtime: Runtime, claim: Claim) -> Ending:
    """Go outside, with the lease kept alive meanwhile and no transaction open."""
    call = claim.type.call
    assert call is not None
    async with _heartbeat(runtime, claim):
        try:
            return Ending("executed", await call(runtime.db, claim.execution))
        except (Refusal, TransientFailure) as error:
            return _failure(error)
        except (OutcomeUnknown, Outage, OSError, TimeoutError) as error:
            return await settle_unknown(runtime, claim, reason=repr(error))


async def settle_unknown(runtime: Runtime, claim: Claim, *, reason: str) -> Ending:
    """Find out what became of an attempt whose answer is lost, as far as its type allows."""
    kind = claim.type
    if kind.idempotency == "native":
        return Ending("transient", error=reason, code="outcome-unknown")
    if kind.probe is None:
        return Ending("unknown", error=reason, code="outcome-unknown")
    try:
        found = await kind.probe(runtime.db, claim.execution)
    except (OutcomeUnknown, Outage, OSError, TimeoutError, TransientFailure) as error:
        return Ending("unknown", error=repr(error), code="probe-failed")
    if found is None:
        return Ending("transient", error=reason, code="no-effect")
    return Ending("executed", found)


def _failure(error: Exception) -> Ending:
    if isinstance(error, PreconditionChanged):
        return Ending("stale", error=error.detail, code=error.code)
    if isinstance(error, Refusal):
        return Ending("permanent", error=error.detail, code=error.code)
    return Ending("transient", error=str(error) or repr(error), code="transient")


@contextlib.asynccontextmanager
async def _heartbeat(runtime: Runtime, claim: Claim) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            async with runtime.db.transaction("approvals.heartbeat") as tx:
                await tx.run(
                    attempt_store.EXTEND_LEASE,
                    id=claim.action_id,
                    fence=claim.fence,
                    seconds=LEASE.total_seconds(),
                )

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        # A lost heartbeat only means that the lease may run out, which is provided for.
        await asyncio.gather(beating, return_exceptions=True)


async def finish(runtime: Runtime, claim: Claim, ending: Ending) -> Executed:
    """Write down how an attempt ended, unless another worker has taken it over."""
    async with runtime.db.transaction("approvals.finish") as tx:
        locked = await _still_ours(tx, claim)
        if locked is None:
            return _lost(claim)
        return await _write(tx, claim, locked, ending)


async def _still_ours(tx: Tx, claim: Claim) -> list[LockedAction] | None:
    """Lock the action, and the one it undoes, if nobody has taken the attempt over."""
    ids = [claim.action_id] if claim.compensates is None else [claim.action_id, claim.compensates]
    locked = await lock(tx, *ids)
    row = locked[0].row
    is_ours = row.fence == claim.fence and row.state == State.EXECUTING
    return locked if is_ours else None


def _lost(claim: Claim) -> Executed:
    EXECUTIONS.labels("lost").inc()
    log.warning("approvals.execution.fenced", action=str(claim.action_id), fence=claim.fence)
    return Executed(
        success=False,
        state=State.EXECUTING.value,
        error="Another worker has taken this over.",
        error_code="lease-lost",
    )


async def _write(tx: Tx, claim: Claim, locked: list[LockedAction], ending: Ending) -> Executed:
    action = locked[0]
    standing = await standing_of(tx, action, claim.executor.id)
    now = standing.now
    _EFFECTS[ending.outcome](action, claim, ending, now)
    action.change(lease_owner=None, lease_until=None)
    for undone in locked[1:]:
        settle_undone(undone, action, now)
        await undone.save(tx, now)
    await tx.run(
        attempt_store.END_ATTEMPT,
        ops_action_id=claim.action_id,
        fence=claim.fence,
        outcome="permanent" if ending.outcome == "stale" else ending.outcome,
        error=ending.error,
    )
    await action.save(tx, now)
    await notify.action_ended(tx, action.row)
    EXECUTIONS.labels(ending.outcome).inc()
    return answer(action.row)


def _succeed(action: LockedAction, claim: Claim, ending: Ending, now: Instant) -> None:
    done = ending.done
    assert done is not None
    result = outcome_json(done)
    action.move("succeed")
    action.change(
        result=result,
        executed_at=now,
        executed_by=claim.executor.id,
        error_code=None,
        error_message=None,
        next_attempt_at=None,
        verify_at=None if claim.type.verify is None else now + claim.type.verify_after,
    )
    action.record(
        "execution.succeeded",
        claim.executor,
        now,
        fence=claim.fence,
        attempt=action.row.attempts,
        executor=claim.executor.id,
        result=result,
    )


def _fail(action: LockedAction, claim: Claim, ending: Ending, now: Instant) -> None:
    again = None
    may_repeat = claim.type.idempotency != "none" and action.row.attempts < claim.type.attempts_max
    if ending.outcome == "transient" and may_repeat:
        # Full jitter, so that many failures of one dependency do not come back together.
        bound_s = min(_RETRY_FIRST_S * 2 ** (action.row.attempts - 1), _RETRY_MAX_S)
        again = now + timedelta(seconds=random.uniform(0, bound_s))  # noqa: S311 - no secret.
    action.move("fail", reason=claims.kept_reason(action.row, ending.code))
    action.change(error_code=ending.code, error_message=_short(ending.error), next_attempt_at=again)
    _record_failure(action, claim, ending, now, event="execution.failed")


def _go_stale(action: LockedAction, claim: Claim, ending: Ending, now: Instant) -> None:
    action.move("go_stale", reason=ending.code)
    action.change(error_code=ending.code, error_message=_short(ending.error))
    _record_failure(action, claim, ending, now, event="action.stale")


def _lose(action: LockedAction, claim: Claim, ending: Ending, now: Instant) -> None:
    action.move("lose", reason=claims.kept_reason(action.row, ending.code))
    # What people found out about an attempt before says nothing about this one.
    action.change(error_code=ending.code, error_message=_short(ending.error), reconciliation=None)
    _record_failure(action, claim, ending, now, event="execution.unknown")
    log.error("approvals.execution.unknown", action=str(action.row.id), error=ending.error)


def _record_failure(
    action: LockedAction, claim: Claim, ending: Ending, now: Instant, *, event: str
) -> None:
    action.record(
        event,
        claim.executor,
        now,
        fence=claim.fence,
        attempt=action.row.attempts,
        executor=claim.executor.id,
        code=ending.code,
        outcome=ending.outcome,
    )


_EFFECTS = {
    "executed": _succeed,
    "transient": _fail,
    "permanent": _fail,
    "stale": _go_stale,
    "unknown": _lose,
}


def settle_undone(undone: LockedAction, action: LockedAction, now: Instant) -> None:
    """
    Write into the undone action what became of its compensation.

    A failure that may pass counts as one: the next attempt begins it anew, and if
    there is none, nothing is left hanging.
    """
    if undone.row.state != State.COMPENSATING:
        return
    if action.row.state == State.EXECUTED:
        undone.move("compensate_ok", reason=f"by {action.row.id}")
        undone.record("action.compensated", SYSTEM, now, by=str(action.row.id))
    elif action.row.state != State.EXECUTION_UNKNOWN:
        undone.move("compensate_failed", reason=f"by {action.row.id}")
        undone.record("action.compensation_failed", SYSTEM, now, by=str(action.row.id))


def outcome_json(done: Outcome) -> dict[str, Any]:
    """Write an outcome as it is stored: the specification's keys, and what changed."""
    return {
        **msgspec.to_builtins(dict(done.result)),
        "changes": [msgspec.to_builtins(each) for each in done.changes],
        "external_refs": list(done.external_refs),
    }


def answer(row: ActionRow) -> Executed:
    return Executed(
        success=row.state in {State.EXECUTED, State.VERIFIED},
        state=row.state,
        result=row.result,
        error=row.error_message,
        error_code=row.error_code,
    )


def _short(text: str | None) -> str | None:
    return None if text is None else text[:1000]
