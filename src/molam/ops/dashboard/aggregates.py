"""Adding up what happened by the hour: only what changed, and exactly."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client import Counter, Gauge

from molam.kernel.clock import Instant
from molam.ops.dashboard import agent_store, reported_store, snapshot_store
from molam.ops.dashboard import aggregate_store as store
from molam.platform.db import Database, Tx

MARKS_MAX = 20_000
KEPT_DAYS = 401
"""As long as anything can be shown of: 400 days, and today."""
_ROUNDS_MAX = 200
_ROWS_MAX = 10_000
_HOUR = timedelta(hours=1)

ADDED_UP = Counter("molam_dashboard_hours_added_up_total", "Marks of changed hours taken in.")
WAITING = Gauge("molam_dashboard_hours_waiting", "Marks of changed hours that wait.")


async def refresh(db: Database) -> int:
    """Add up every hour that has changed, and look at floats; return how many marks that took."""
    taken = 0
    for number in range(_ROUNDS_MAX):
        async with db.transaction("dashboard.refresh") as tx:
            await tx.one(store.LOCK)
            marks = await add_up(tx)
            if number == 0:
                await _look_at_floats(tx)
            await tx.one(snapshot_store.TELL)
        taken += marks
        if marks < MARKS_MAX:
            break
    ADDED_UP.inc(taken)
    return taken


async def add_up(tx: Tx) -> int:
    """Take the marks there are, at most a batch, and add those hours up again."""
    taken = await tx.one(store.TAKE_MARKS, marks_max=MARKS_MAX)
    assert taken is not None
    if taken.touched is None:
        return 0
    await _replace(tx, taken.touched)
    return taken.marks


async def refresh_snapshots(db: Database, *, now: Instant) -> int:
    """Store the last seven days of the platform and of whoever was active since an hour ago."""
    async with db.transaction("dashboard.refresh_snapshots") as tx:
        counted = await tx.one(snapshot_store.REFRESH_SNAPSHOTS, since=now - _HOUR)
        await tx.one(snapshot_store.TELL)
    assert counted is not None
    (lag,) = await db.read(snapshot_store.FIND_LAG)
    WAITING.set(lag.waiting)
    return counted.count


async def rebuild(db: Database, *, begins: Instant, ends: Instant) -> int:
    """Add up a range again, whatever was there; return how many hours of tenants that was."""
    async with db.transaction("dashboard.mark_range") as tx:
        await tx.run(store.TOUCH_RANGE, begins=begins, ends=ends)
    return await refresh(db)


async def _replace(tx: Tx, touched: str) -> None:
    await tx.run(store.CLEAR, touched=touched)
    await tx.run(store.COUNT_CUSTOMERS, touched=touched)
    await tx.run(store.ADD_UP_MERCHANTS, touched=touched)
    await tx.run(store.ADD_UP_BANKS, touched=touched)
    await tx.run(reported_store.ADD_REPORTED, touched=touched)
    await tx.run(store.ROLL_UP, touched=touched)


async def _look_at_floats(tx: Tx) -> None:
    await tx.run(agent_store.LOOK_AT_AGENTS)
    looked = await tx.one(agent_store.LOOK_AT_FLOATS)
    assert looked is not None
    if looked.touched is not None:
        await tx.run(store.ROLL_UP, touched=looked.touched)


async def add_up_sales(db: Database) -> None:
    """Tell of each agent what it paid out in 30 days."""
    async with db.transaction("dashboard.add_up_sales") as tx:
        await tx.run(agent_store.ADD_UP_SALES)


async def forget(db: Database) -> int:
    """Forget hours that can no longer be shown, some at a time; return how many rows."""
    forgotten = 0
    for query in store.FORGET:
        for _ in range(_ROUNDS_MAX):
            async with db.transaction("dashboard.forget") as tx:
                await tx.one(store.LOCK)
                count = await tx.run(query, days=KEPT_DAYS, rows_max=_ROWS_MAX)
            forgotten += count
            if count < _ROWS_MAX:
                break
    return forgotten
