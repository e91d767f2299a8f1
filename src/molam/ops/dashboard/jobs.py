"""What the dashboard does by the clock and the queue: add up, check, recommend, follow, forget."""

from __future__ import annotations

from molam.alerts.runtime import Watch
from molam.approvals.locked import FOLLOW_RECOMMENDATION
from molam.ops.dashboard import aggregates, checking, recommendations
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler


async def _follow(job: Job) -> None:
    # Whatever has ended is settled, so that running it again finds nothing.
    await recommendations.follow(job.db)


HANDLERS = (JobHandler(FOLLOW_RECOMMENDATION, _follow),)


def crons(watch: Watch) -> list[Cron]:
    async def refresh(db: Database) -> None:
        await aggregates.refresh(db)
        await aggregates.refresh_snapshots(db, now=watch.clock.now())
        await recommendations.follow(db)

    async def check(db: Database) -> None:
        await checking.check(db)

    async def forget(db: Database) -> None:
        await aggregates.forget(db)

    async def recommend(_db: Database) -> None:
        await recommendations.refresh(watch)

    return [
        Cron("dashboard.refresh", "* * * * *", refresh),
        Cron("dashboard.add_up_sales", "11 * * * *", aggregates.add_up_sales),
        Cron("dashboard.check", "*/5 * * * *", check),
        Cron("dashboard.recommend", "*/5 * * * *", recommend),
        Cron("dashboard.forget", "47 2 * * *", forget),
    ]
