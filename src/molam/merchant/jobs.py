"""What the merchant side does by the clock, and on request, outside any web request."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from molam.kernel.clock import Clock
from molam.merchant import cache_store, commands, measuring, upkeep, watch
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

CHANGE_TIMEZONE = "merchant.change_timezone"

_ROUNDS_MAX = 100


class ChangeTimezone(msgspec.Struct, frozen=True):
    """Arguments of the job of that name, version 1."""

    merchant_id: str
    timezone: str


def crons(refresh_db: Callable[[], Database], clock: Clock) -> list[Cron]:
    """
    List what runs by the clock.

    *refresh_db* connects in the role that the event log does not wait for.
    """

    async def refresh_view(_db: Database) -> None:
        await upkeep.refresh_view(refresh_db())

    async def check_drift(db: Database) -> None:
        await upkeep.check_drift(db, refresh_db())

    async def watch_seasons(db: Database) -> None:
        await watch.watch_seasons(db, now=clock.now())

    async def measure(db: Database) -> None:
        await measuring.measure(db, now=clock.now())

    return [
        Cron("merchant.measure", "* * * * *", measure),
        Cron("merchant.refresh_view", "*/5 * * * *", refresh_view),
        Cron("merchant.check_drift", "3-59/10 * * * *", check_drift),
        Cron("merchant.abandon_undecided", "1-59/5 * * * *", _abandon),
        Cron("merchant.watch_seasons", "4 * * * *", watch_seasons),
        Cron("merchant.purge_cache", "17 * * * *", _purge_cache),
    ]


def handlers(refresh_db: Callable[[], Database]) -> list[JobHandler]:
    async def change_timezone(job: Job) -> None:
        # Doing it twice ends in the same place, so the job claims no effect.
        asked = msgspec.json.decode(job.payload, type=ChangeTimezone)
        await upkeep.change_timezone(
            job.db, refresh_db(), merchant_id=asked.merchant_id, timezone=asked.timezone
        )

    return [JobHandler(CHANGE_TIMEZONE, change_timezone)]


async def _abandon(db: Database) -> None:
    for _ in range(_ROUNDS_MAX):
        async with db.transaction("merchant.abandon_undecided") as tx:
            if not await commands.abandon_undecided(tx):
                return


async def _purge_cache(db: Database) -> None:
    async with db.transaction("merchant.purge_cache") as tx:
        await tx.run(cache_store.PURGE_CACHE)
