"""What is done about measurements by the clock and by the queue."""

from __future__ import annotations

from molam.alerts.rules import metrics, series_store, settling
from molam.alerts.runtime import Watch
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

POINTS_KEPT_DAYS = 60
EVENTS_KEPT_DAYS = 9
"""A day longer than anything so old is still taken in."""
_ROWS_MAX = 10_000
_ROUNDS_MAX = 500


def handlers(watch: Watch) -> list[JobHandler]:
    async def settle(job: Job) -> None:
        await settling.settle(job.db, watch.clock)

    return [JobHandler(settling.SETTLE, settle)]


def crons(watch: Watch) -> list[Cron]:
    async def settle(db: Database) -> None:
        await settling.settle(db, watch.clock)
        (counted,) = await db.read(series_store.COUNT_SERIES)
        metrics.SERIES.set(counted.count)

    return [
        Cron("alerts.settle_due", "* * * * *", settle),
        Cron("alerts.purge_points", "41 * * * *", purge),
    ]


async def purge(db: Database) -> None:
    """Forget what was measured long ago, a bounded number of rows at a time."""
    for query, days in (
        (series_store.PURGE_POINTS, POINTS_KEPT_DAYS),
        (series_store.PURGE_EVENTS, EVENTS_KEPT_DAYS),
    ):
        for _ in range(_ROUNDS_MAX):
            async with db.transaction("alerts.purge") as tx:
                if await tx.run(query, days=days, rows_max=_ROWS_MAX) < _ROWS_MAX:
                    break
