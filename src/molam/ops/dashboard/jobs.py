"""What the dashboard does by the clock: add up, store snapshots, recommend."""

from __future__ import annotations

from molam.alerts.runtime import Watch
from molam.ops.dashboard import aggregates, recommendations
from molam.platform.db import Database
from molam.platform.jobs import Cron


def crons(watch: Watch) -> list[Cron]:
    async def refresh(db: Database) -> None:
        await aggregates.refresh(db)
        await aggregates.refresh_snapshots(db, now=watch.clock.now())

    async def recommend(_db: Database) -> None:
        await recommendations.refresh(watch)

    return [
        Cron("dashboard.refresh", "* * * * *", refresh),
        Cron("dashboard.add_up_sales", "11 * * * *", aggregates.add_up_sales),
        Cron("dashboard.recommend", "*/5 * * * *", recommend),
    ]
