"""What is done about alerts by the clock and by the queue."""

from __future__ import annotations

import asyncio

import msgspec

from molam.alerts.episodes import asking, escalating, list_store, metrics, silencing, telling
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler


def handlers() -> list[JobHandler]:
    one_at_a_time = asyncio.Lock()

    async def tell(job: Job) -> None:
        # They would only wait for each other under the board's lock, each with a connection.
        async with one_at_a_time:
            await _tell(job)

    return [
        JobHandler(asking.TELL, tell),
        JobHandler(asking.ESCALATE, _escalate),
        JobHandler(asking.REFLAG, _reflag),
    ]


def crons() -> list[Cron]:
    return [Cron("alerts.look", "* * * * *", look)]


async def look(db: Database) -> None:
    """Do what is due and no job came for: flags first, so that nobody quiet is told."""
    await silencing.reflag(db)
    await telling.sweep(db)
    await escalating.escalate(db)
    (counted,) = await db.read(list_store.COUNT_OPEN)
    metrics.PENDING.set(counted.pending)


async def _tell(job: Job) -> None:
    await telling.tell(job.db, msgspec.json.decode(job.payload, type=asking.GroupJob).group_key)


async def _escalate(job: Job) -> None:
    await escalating.escalate(job.db)


async def _reflag(job: Job) -> None:
    await silencing.reflag(job.db)
