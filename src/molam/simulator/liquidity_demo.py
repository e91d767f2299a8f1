"""What the demo's accounts at banks must keep, what each day took from them, and a pool."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta

import structlog

from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.kernel.clock import Instant, ManualClock
from molam.kernel.refusals import Outage
from molam.mesh.liquidity import flows, planning, pool_making, pools, position_store, queries
from molam.mesh.runtime import Mesh
from molam.platform.actions import Registry
from molam.platform.db import Database, Tx
from molam.platform.settings import Secret

log = structlog.get_logger()

BY = "selorm.agbeko"
REGION, POOL = "region_cedeao", "pool_dakar_abidjan"
DAYS = 120
_WEEK = (1.25, 1.0, 0.9, 1.0, 1.5, 0.55, 0.2)
"""From Monday on: markets before the weekend, little on Sundays."""
_MONTH_END = 1.6
_PAY_DAYS = frozenset({27, 28, 29, 30, 31, 1, 2})


@dataclass(frozen=True, slots=True)
class DemoFloat:
    bank: str
    currency: str
    floor: int
    a_day: int
    """What a middling day takes."""


FLOATS = (
    DemoFloat("bp_123", "XOF", 60_000_000, 12_000_000),
    # More must stay there than does, so that there is something to plan.
    DemoFloat("bp_teranga", "XOF", 145_000_000, 8_000_000),
    DemoFloat("bp_lagune", "XOF", 40_000_000, 6_000_000),
    DemoFloat("bp_tresor", "XOF", 100_000_000, 18_000_000),
    DemoFloat("bp_wave_sn", "XOF", 20_000_000, 5_000_000),
    DemoFloat("bp_orange_sn", "XOF", 20_000_000, 4_000_000),
    DemoFloat("bp_volta", "GHS", 80_000_000, 20_000_000),
    DemoFloat("bp_marina", "NGN", 6_000_000_000, 1_500_000_000),
)
_SHARES = (("bp_123", 12_000_000), ("bp_teranga", 8_000_000), ("bp_lagune", 4_000_000))


async def seed_liquidity(db: Database, now: Instant) -> bool:
    """
    Give the demo's accounts a past, floors, a pool and a plan, once; return whether it was new.

    Days are told as a file from before the books would tell them.
    """
    if any(each.id == POOL for each in await queries.pools(db)):
        return False
    for each in FLOATS:
        async with db.transaction("simulator.seed_float") as tx:
            await _float(tx, each, now.date())
    await _pool(db, now)
    await flows.roll_up(db)
    await flows.forecast(db)
    try:
        await planning.make(db, region=None, days=planning.DAYS, by=BY, now=now)
    except Outage:
        # Tonight's plan is made all the same.
        log.warning("simulator.liquidity.unplanned")
    return True


def history(demo: DemoFloat, today: date, days: int = DAYS) -> str:
    """Write made-up days of an account as a file of them, the same on every machine."""
    chance = random.Random(f"{demo.bank}/{demo.currency}")
    lines = ["day,net_outflow,peak_outflow"]
    for back in range(days, 0, -1):
        day = today - timedelta(days=back)
        month_end = _MONTH_END if day.day in _PAY_DAYS else 1.0
        factor = _WEEK[day.weekday()] * month_end * chance.lognormvariate(0, 0.3)
        net = round(demo.a_day * factor) - round(demo.a_day * 0.9 * chance.uniform(0.6, 1.3))
        lines.append(f"{day},{net},{max(net, 0) + round(demo.a_day * 0.2 * factor)}")
    return "\n".join(lines) + "\n"


async def _float(tx: Tx, demo: DemoFloat, today: date) -> None:
    account = {"bank_profile_id": demo.bank, "currency": demo.currency}
    if not await tx.all(position_store.HAS_ACCOUNT, **account):
        return
    await tx.run(position_store.PUT_FLOOR, **account, minimum_float=demo.floor, by=BY)
    await flows.import_history(tx, demo.bank, demo.currency, history(demo, today))


async def _pool(db: Database, now: Instant) -> None:
    known = Registry(())
    mesh = Mesh(
        signing_key=Secret(""),
        clock=ManualClock(now),
        approvals=Runtime(db, known, PolicyBook(known), "seed"),
        region=REGION,
    )
    async with db.transaction("simulator.seed_pool") as tx:
        await pool_making.create(
            tx,
            pool_making.NewPool(
                id=POOL,
                mesh_region_id=REGION,
                name="Dakar et Abidjan",
                currency="XOF",
                participants=[bank for bank, _ in _SHARES],
                max_single_draw=6_000_000,
                daily_draw_limit=15_000_000,
                auto_rebalance_enabled=True,
            ),
            now=now,
        )
    for bank, amount in _SHARES:
        asked = pools.Asked(
            pool_id=POOL,
            bank_profile_id=bank,
            amount=amount,
            reason="Part au fonds commun",
            key=f"demo/{bank}",
        )
        async with db.transaction("simulator.seed_share") as tx:
            await pools.contribute(tx, mesh, asked, by=BY)
