"""`merchant.metrics.updated`: the figures of the month, when they moved, once a minute at most."""

from __future__ import annotations

from molam.kernel.clock import Clock, Instant
from molam.merchant import cache, model, queries, webhook_store
from molam.platform.db import Database
from molam.platform.jobs import Cron
from molam.webhooks import commands
from molam.webhooks.queries import subscribed

EVENT = "merchant.metrics.updated"
PERIOD = "mtd"


def crons(clock: Clock) -> list[Cron]:
    async def tell(db: Database) -> None:
        await tell_metrics(db, now=clock.now())

    return [Cron("merchant.tell_metrics", "* * * * *", tell)]


async def tell_metrics(db: Database, *, now: Instant) -> int:
    """Publish the figures of each subscribed merchant that moved; return how many those were."""
    async with db.transaction("merchant.find_moved", readonly=True) as tx:
        merchants = await subscribed(tx, EVENT)
        moved = await tx.all(webhook_store.FIND_MOVED, merchants=merchants) if merchants else []
    for row in moved:
        await _tell(db, row, now=now)
    return len(moved)


async def _tell(db: Database, row: webhook_store.MovedRow, *, now: Instant) -> None:
    rates = await cache.RateBook().on(db, now.date())
    found = await cache.figures(
        db,
        merchant_id=row.merchant_id,
        period=model.parse_period(PERIOD),
        currency=row.currency,
        now=now,
    )
    shown = {key: queries.kpi(key, found, row.currency, rates) for key in model.KPI_KEYS}
    async with db.transaction("merchant.tell_metrics", merchant_id=row.merchant_id) as tx:
        await commands.publish(
            tx,
            merchant_id=row.merchant_id,
            event=EVENT,
            object_id=PERIOD,
            version=found.version,
            data={
                "period": PERIOD,
                "currency": row.currency,
                "from": found.from_day,
                "to": found.to_day,
                "computed_at": found.computed_at,
                "figures": {
                    key: {"value": kpi.value, "unit": kpi.unit, "txn_count": kpi.txn_count}
                    for key, kpi in shown.items()
                },
            },
        )
