"""Closing reconciliations: what became of each payout that was led to another bank."""

from __future__ import annotations

import structlog

from molam.mesh.control import metrics, reconcile_store, store, telling
from molam.mesh.control.reconcile_store import EndedRow
from molam.platform.db import Database

log = structlog.get_logger()

BATCH = 5_000
ROUNDS_MAX = 40
_STATEMENT_HOURS = 3


async def reconcile(db: Database) -> int:
    """Close what has come to an end, tell of what is overdue; return how many were closed."""
    closed = 0
    for statement in (reconcile_store.END_PENDING, reconcile_store.END_LATE):
        for _ in range(ROUNDS_MAX):
            async with db.transaction("mesh.reconcile") as tx:
                done = await tx.one(statement, limit=BATCH)
                assert done is not None
                count = _count(done)
                if count:
                    await tx.run(store.TELL_PAGES)
            closed += count
            if count < BATCH:
                break
    async with db.transaction("mesh.reconcile_lines") as tx:
        await tx.run(reconcile_store.ADD_LINES, hours=_STATEMENT_HOURS, limit=BATCH)
    await _tell_overdue(db)
    return closed


async def _tell_overdue(db: Database) -> None:
    async with db.transaction("mesh.tell_overdue") as tx:
        late = await tx.one(reconcile_store.TELL_OVERDUE, limit=BATCH)
        assert late is not None
        if late.told and late.first_id is not None:
            await telling.overdue(tx, payouts=late.told, first_id=late.first_id)
    metrics.OVERDUE.set(late.overdue)
    if late.told:
        log.warning("mesh.reconciliations.overdue", payouts=late.told, overdue=late.overdue)


def _count(done: EndedRow) -> int:
    ended = {
        "matched": done.matched,
        "unmatched": done.unmatched,
        "disputed": done.disputed,
        "resolved": done.resolved,
    }
    for status, count in ended.items():
        if count:
            metrics.ENDED.labels(status).inc(count)
    return sum(ended.values())
