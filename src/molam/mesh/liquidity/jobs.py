"""What liquidity does by the clock: add days up, forecast, plan, and look for what has arrived."""

from __future__ import annotations

from datetime import timedelta

import structlog

from molam.kernel.refusals import Outage
from molam.mesh.liquidity import flow_store, flows, planning, queries, transfers
from molam.mesh.liquidity.pool_store import PoolRow
from molam.mesh.liquidity.queries import Position
from molam.mesh.runtime import Mesh
from molam.platform.db import Database
from molam.platform.jobs import Cron

log = structlog.get_logger()

BY = "system"
PLAN_AT_MOST_EVERY = timedelta(hours=1)


def crons(mesh: Mesh) -> list[Cron]:
    async def nightly(db: Database) -> None:
        await flows.roll_up(db)
        await flows.forecast(db)
        await _plan(db, mesh, None)

    async def rebalance(db: Database) -> None:
        await plan_where_short(db, mesh)

    async def confirm(db: Database) -> None:
        await transfers.confirm_by_statements(db, now=mesh.clock.now())

    return [
        # After midnight everywhere in West Africa, and before banks open.
        Cron("mesh.forecast_liquidity", "20 1 * * *", nightly),
        Cron("mesh.rebalance_pools", "*/30 * * * *", rebalance),
        Cron("mesh.confirm_transfers", "*/5 * * * *", confirm),
        Cron("mesh.purge_forecasts", "47 3 * * *", _purge),
    ]


async def plan_where_short(db: Database, mesh: Mesh) -> bool:
    """
    Plan anew when a bank of a pool that rebalances by itself comes near its floor.

    Nothing is moved: a plan is carried out when people agree to it. Returns whether it was
    made; one that is less than an hour old is left as it is.
    """
    watched = [pool for pool in await queries.pools(db) if pool.auto_rebalance_enabled]
    if not watched:
        return False
    newest = await queries.newest_plan(db)
    if newest is not None and mesh.clock.now() - newest.created_at < PLAN_AT_MOST_EVERY:
        return False
    found = await queries.positions(db)
    if not any(_is_near_floor(each, pool) for pool in watched for each in found):
        return False
    return await _plan(db, mesh, None)


def _is_near_floor(position: Position, pool: PoolRow) -> bool:
    row = position.row
    if row.bank_profile_id not in pool.participants or row.currency != pool.currency:
        return False
    margin = row.minimum_float * pool.rebalance_threshold_pct // 100
    return row.minimum_float > 0 and position.above_floor < margin


async def _plan(db: Database, mesh: Mesh, region: str | None) -> bool:
    try:
        await planning.make(db, region=region, days=planning.DAYS, by=BY, now=mesh.clock.now())
    except Outage as outage:
        # The last plan and its prices stay in force; the next hour tries again.
        log.warning("liquidity.plan.failed", reason=str(outage.__cause__)[:300])
        return False
    return True


async def _purge(db: Database) -> None:
    async with db.transaction("liquidity.purge") as tx:
        await tx.run(flow_store.PURGE_FORECASTS, days=flows.KEPT_DAYS)
