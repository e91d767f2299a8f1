"""Letting time pass for those who are not heard of: it comes to them through the log."""

from __future__ import annotations

from molam.alerts.rules import messages, series_store
from molam.kernel.clock import Clock, Instant
from molam.platform.db import Database, Tx
from molam.platform.events import publish
from molam.platform.jobs import enqueue

SETTLE = "alerts.settle"

SOON_S = 60.0
"""What is due later is found by the clock's own round."""
_AT_ONCE_MAX = 1000
_ROUNDS_MAX = 100


async def ask_to_settle(tx: Tx, due_at: Instant, *, now: Instant) -> None:
    """Look again at *due_at*, once for everybody who is due in that second."""
    if (due_at - now).total_seconds() >= SOON_S:
        return
    # Of a second to come, whose job cannot be under way and have looked already.
    second = int(max(due_at, now).timestamp()) + 1
    await enqueue(tx, SETTLE, delay_s=second - now.timestamp(), once=f"{SETTLE}/{second}")


async def settle(db: Database, clock: Clock) -> int:
    """
    Tell everybody who is due what time it is, and return how many that were.

    A tick passes through the log like anything measured. So it comes after all that was
    written before it, and nobody is found silent because a reader is behind.
    """
    told = 0
    for _ in range(_ROUNDS_MAX):
        now = clock.now()
        async with db.transaction("alerts.settle") as tx:
            due = await tx.all(series_store.TAKE_DUE, now=now, series_max=_AT_ONCE_MAX)
            ticks = [messages.write_tick(row.tenant_type, row.tenant_id, now=now) for row in due]
            await publish(tx, ticks)
            if not due:
                await _ask_for_next(tx, now)
        told += len(due)
        if not due:
            break
    return told


async def _ask_for_next(tx: Tx, now: Instant) -> None:
    following = await tx.one(series_store.NEXT_DUE, now=now)
    if following is not None and following.due_at is not None:
        await ask_to_settle(tx, following.due_at, now=now)
