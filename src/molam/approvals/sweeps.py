"""What the scheduled jobs do: nothing that the next decision would not do as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog

from molam.approvals import attempt_store, claims, execution, notify, sweep_store
from molam.approvals.claims import Claim
from molam.approvals.execution import Ending
from molam.approvals.lifecycle import State
from molam.approvals.locked import LockedAction, lock, standing_of
from molam.approvals.model import (
    LEASE,
    LIFT_FREEZE,
    SYSTEM_EXECUTOR,
    Actor,
    ExecutionFrozen,
)
from molam.approvals.runtime import Runtime
from molam.approvals.store import ActionRow, StandingRow
from molam.approvals.timing import SYSTEM, settle
from molam.approvals.voting import conclude
from molam.kernel.refusals import Outage, Refusal
from molam.platform.actions import Registry, UnknownActionType
from molam.platform.db import Tx
from molam.platform.db.transaction import Query

log = structlog.get_logger()

BATCH = 100
AUTO_EXECUTOR = Actor(SYSTEM_EXECUTOR, kind="system")


async def escalate_expired(runtime: Runtime) -> Mapping[str, int]:
    """
    Escalate or expire what is due, each action in a transaction of its own.

    Several may run at once: a row that one holds is passed over by the others.
    """
    counts = {"escalated": 0, "expired": 0}
    for _ in range(BATCH * 10):
        async with runtime.db.transaction("approvals.sweep") as tx:
            action = await _next(tx, sweep_store.NEXT_DUE)
            if action is None:
                return counts
            standing = await standing_of(tx, action, SYSTEM.id)
            settle(action, standing)
            if action.is_open:
                conclude(action, standing)
            await action.save(tx, standing.now)
            await notify.action_escalated(tx, action, standing)
            await notify.after_vote(tx, action.found, action.row)
            if action.row.level > action.found.level:
                counts["escalated"] += 1
            if action.row.state == State.EXPIRED:
                counts["expired"] += 1
            await notify.action_ended(tx, action.row)
    return counts


async def auto_execute(runtime: Runtime) -> Mapping[str, int]:
    """
    Carry out what may be carried out by itself, and try again what failed in passing.

    At most 100 actions, oldest first. A replica that takes one first wins; an action
    that a check holds back counts for neither.
    """
    counts = {"executed": 0, "failed": 0}
    due = await runtime.db.read(sweep_store.LIST_EXECUTABLE, limit=BATCH)
    for row in due:
        executor = AUTO_EXECUTOR
        if row.retry_for is not None and row.retry_for != SYSTEM_EXECUTOR:
            # The person who had it carried out; their right was checked then.
            executor = Actor(row.retry_for, kind="system")
        try:
            done = await execution.execute(runtime, row.id, executor)
        except Refusal as refusal:
            log.info("approvals.auto_execute.held", action=str(row.id), code=refusal.code)
            continue
        except Outage as outage:
            log.warning("approvals.auto_execute.outage", dependency=outage.dependency)
            return counts
        counts["executed" if done.success else "failed"] += 1
    return counts


async def recover(runtime: Runtime) -> int:
    """
    Take over attempts whose worker has not been heard of, and return how many.

    The decision is never touched: only what became of the attempt is found out.
    """
    count = 0
    for _ in range(BATCH):
        async with runtime.db.transaction("approvals.recover") as tx:
            action = await _next(tx, sweep_store.NEXT_ABANDONED)
            if action is None:
                return count
            claim = await _take_over(tx, runtime, action)
        count += 1
        if claim is not None:
            await _find_out(runtime, claim)
    return count


async def _take_over(tx: Tx, runtime: Runtime, action: LockedAction) -> Claim | None:
    """Claim an abandoned attempt anew; None where nothing here could find out about it."""
    row = action.row
    executor = Actor(row.executed_by or SYSTEM_EXECUTOR, kind="system")
    standing = await standing_of(tx, action, executor.id)
    await tx.run(
        attempt_store.END_ATTEMPT,
        ops_action_id=row.id,
        fence=row.fence,
        outcome="lost",
        error="the worker was not heard of",
    )
    if not _is_known(runtime.registry, row):
        await _leave_to_people(tx, action, standing)
        return None
    action.change(fence=row.fence + 1, lease_owner=runtime.worker, lease_until=standing.now + LEASE)
    action.record(
        "execution.taken_over", SYSTEM, standing.now, fence=row.fence + 1, worker=row.lease_owner
    )
    await tx.run(
        attempt_store.BEGIN_ATTEMPT,
        ops_action_id=row.id,
        fence=row.fence + 1,
        worker=runtime.worker,
        started_by=executor.id,
        began_at=standing.now,
    )
    await action.save(tx, standing.now)
    return claims.claim_of(runtime, action, executor, standing)


def _is_known(registry: Registry, row: ActionRow) -> bool:
    """Whether the type that was begun is still known, in the shape its params were stored in."""
    return row.action_type in registry and registry.find(row.action_type).schema == row.schema


async def _leave_to_people(tx: Tx, action: LockedAction, standing: StandingRow) -> None:
    """Say that nobody knows what became of an attempt whose type nothing here can ask."""
    code = UnknownActionType.code
    action.move("lose", reason=claims.kept_reason(action.row, code))
    action.change(
        lease_owner=None,
        lease_until=None,
        error_code=code,
        error_message=f"Nothing here knows {action.row.action_type} any more.",
        reconciliation=None,
    )
    action.record("execution.unknown", SYSTEM, standing.now, fence=action.row.fence, code=code)
    await action.save(tx, standing.now)
    await notify.action_ended(tx, action.row)
    log.error("approvals.execution.unknown", action=str(action.row.id), error=code)


async def _find_out(runtime: Runtime, claim: Claim) -> None:
    """Repeat what may be repeated, ask what can be asked, and leave the rest to people."""
    if claim.type.idempotency in {"transaction", "native"}:
        if await _is_frozen(runtime, claim):
            # To repeat it is to carry it out; it is tried again when the freeze is over.
            frozen = Ending("transient", error="Execution is frozen.", code=ExecutionFrozen.code)
            await execution.finish(runtime, claim, frozen)
            return
        await execution.run(runtime, claim)
        return
    ending: Ending = await execution.settle_unknown(runtime, claim, reason="the worker was lost")
    await execution.finish(runtime, claim, ending)


async def _is_frozen(runtime: Runtime, claim: Claim) -> bool:
    found = await runtime.db.read(attempt_store.FIND_FREEZE, action_type=claim.type.name)
    return bool(found) and claim.type.name != LIFT_FREEZE


async def verify(runtime: Runtime) -> Mapping[str, int]:
    """Check whether what was carried out had the effect it was for."""
    counts = {"verified": 0, "ineffective": 0}
    known = [each.name for each in runtime.registry]
    for row in await runtime.db.read(sweep_store.LIST_UNVERIFIED, known=known, limit=BATCH):
        held = await _verify(runtime, row)
        if held is not None:
            counts["verified" if held else "ineffective"] += 1
    return counts


async def _verify(runtime: Runtime, row: sweep_store.UnverifiedRow) -> bool | None:
    kind = runtime.registry.find(row.action_type)
    holds = True
    if kind.verify is not None:
        params = claims.params_of(kind, row.params)
        try:
            holds = await kind.verify(runtime.db, params)
        except Outage:
            return None
    async with runtime.db.transaction("approvals.verify") as tx:
        [action] = await lock(tx, row.id)
        if action.row.state != State.EXECUTED:
            return None
        standing = await standing_of(tx, action, SYSTEM.id)
        action.move("verify_ok" if holds else "verify_bad")
        action.change(verify_at=None)
        event = "execution.verified" if holds else "execution.ineffective"
        action.record(event, SYSTEM, standing.now)
        await action.save(tx, standing.now)
    return holds


async def _next(tx: Tx, query: Query[Any]) -> LockedAction | None:
    found = await tx.one(query)
    if found is None:
        return None
    id_: UUID = found.id
    [action] = await lock(tx, id_)
    return action
