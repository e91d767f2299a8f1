"""What is measured by the clock, and when something moves."""

from __future__ import annotations

import msgspec

from molam.alerts.sources import measuring, metrics, unusual
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

MEASURE_FLOAT = "alerts.measure_float"
"""Asked for by whatever moves a float, in the database itself."""


class MeasureFloat(msgspec.Struct, frozen=True):
    """Arguments of the job of that name."""

    account_id: str


def handlers() -> list[JobHandler]:
    async def measure_float(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=MeasureFloat)
        async with job.effect() as tx:
            await measuring.measure_float(tx, asked.account_id)

    return [JobHandler(MEASURE_FLOAT, measure_float)]


def crons() -> list[Cron]:
    async def measure(db: Database) -> None:
        with metrics.SECONDS.time():
            await measuring.measure(db)

    async def watch_banks(db: Database) -> None:
        await unusual.watch_banks(db)

    return [
        Cron("alerts.measure", "* * * * *", measure),
        Cron("alerts.watch_banks", "2-59/10 * * * *", watch_banks),
    ]
