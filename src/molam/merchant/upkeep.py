"""Keeping what is derived from facts true: refresh, comparison, repair, rebuilding."""

from __future__ import annotations

import structlog

from molam.merchant import commands, upkeep_store
from molam.merchant.settings_model import check_timezone
from molam.merchant.upkeep_store import DriftRow
from molam.platform import telemetry
from molam.platform.db import Database, Tx

log = structlog.get_logger()

READ_BACK_ROUNDS_MAX = 10_000
REST_S = 30.0
VIEW_SETTLED_S = 900.0


async def refresh_view(refresh_db: Database) -> None:
    """Bring mv_merchant_tx_agg up to date; only rows that changed are written."""
    with telemetry.view_refresh_seconds.time():
        async with refresh_db.transaction("merchant.refresh_view") as tx:
            await tx.run(upkeep_store.REFRESH_VIEW)


async def check_drift(
    db: Database, refresh_db: Database, *, hours: int = 48, rest_s: float = REST_S
) -> list[DriftRow]:
    """
    Compare cache, view and buckets with what they derive from; repair and return what differed.

    Days that changed within *rest_s* seconds are left for the next time.
    """
    async with refresh_db.transaction("merchant.find_drift", readonly=True) as tx:
        cached = await tx.all(upkeep_store.FIND_CACHE_DRIFT)
        buckets = await tx.all(
            upkeep_store.FIND_BUCKET_DRIFT, hours=hours, rest_s=rest_s, merchant_id=None
        )
        view = await tx.all(
            upkeep_store.FIND_VIEW_DRIFT, hours=hours, settled_s=max(rest_s, VIEW_SETTLED_S)
        )
    drifts = [*cached, *buckets, *view]
    for drift in drifts:
        telemetry.kpi_drift_total.inc()
        log.warning(
            "merchant.kpi.drifted",
            merchant_id=drift.merchant_id,
            what=drift.what,
            currency=drift.currency,
            expected=drift.expected,
            found=drift.found,
        )
    for merchant_id in sorted({drift.merchant_id for drift in buckets}):
        await recount(db, refresh_db, merchant_id=merchant_id)
    for merchant_id in sorted({drift.merchant_id for drift in cached}):
        async with refresh_db.transaction("merchant.drop_cache") as tx:
            await tx.run(upkeep_store.DROP_CACHE, merchant_id=merchant_id)
    if view:
        await refresh_view(refresh_db)
    return drifts


async def recount(db: Database, refresh_db: Database, *, merchant_id: str) -> None:
    """Count whatever transaction was missed, then rebuild the merchant's buckets from facts."""
    for _ in range(READ_BACK_ROUNDS_MAX):
        async with db.transaction("merchant.recount") as tx:
            missing = await tx.one(upkeep_store.READ_BACK, merchant_id=merchant_id)
            assert missing is not None
            if missing.events is None:
                break
            counted = await commands.count_facts(tx, missing.events, imported=False)
            if counted.facts == 0:
                break  # The facts are newer than the transactions: intake will follow.
    await _begin_head(db, merchant_id)
    async with refresh_db.transaction("merchant.rebuild") as tx:
        await tx.one(upkeep_store.LOCK_HEAD, merchant_id=merchant_id)
        await _refill(tx, merchant_id)


async def change_timezone(
    db: Database, refresh_db: Database, *, merchant_id: str, timezone: str
) -> None:
    """
    Move a merchant to another time zone: every fact moves to its new local hour and day.

    Counting for this merchant waits meanwhile. The transaction is long, so it
    runs in the role that the event log does not wait for.

    Raises:
        TimezoneUnknown: not a name of the IANA database.
    """
    check_timezone(timezone)
    await _begin_head(db, merchant_id)
    async with refresh_db.transaction("merchant.change_timezone") as tx:
        await tx.one(upkeep_store.LOCK_HEAD, merchant_id=merchant_id)
        await tx.run(upkeep_store.SET_TIMEZONE, merchant_id=merchant_id, timezone=timezone)
        await _refill(tx, merchant_id)


async def _begin_head(db: Database, merchant_id: str) -> None:
    """
    Make sure there is a head to lock, which otherwise the first event makes.

    Without it, a merchant's first batch could be counted beside a rebuilding. The
    refresh role may not insert heads, so the worker's does.
    """
    async with db.transaction("merchant.begin_head") as tx:
        await tx.run(upkeep_store.BEGIN_HEAD, merchant_id=merchant_id)


async def _refill(tx: Tx, merchant_id: str) -> None:
    for statement in (
        upkeep_store.PLACE_FACTS,
        upkeep_store.CLEAR_HOURS,
        upkeep_store.CLEAR_DAYS,
        upkeep_store.CLEAR_METHODS,
        upkeep_store.FILL_HOURS,
        upkeep_store.FILL_DAYS,
        upkeep_store.FILL_METHODS,
    ):
        await tx.run(statement, merchant_id=merchant_id)
