"""The writing of files outside any web request, and the removal of old ones."""

from __future__ import annotations

from obstore.store import ObjectStore

from molam.kernel.clock import Clock
from molam.merchant import report_commands
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

_ATTEMPTS_MAX = 4
# Each may have a process of its own, with the memory that takes.
_AT_ONCE_MAX = 2


def handlers(files: ObjectStore, clock: Clock) -> list[JobHandler]:
    scribe = report_commands.Scribe(files, clock)

    async def write_export(job: Job) -> None:
        await scribe.run(job, attempts_max=_ATTEMPTS_MAX)

    return [
        JobHandler(
            report_commands.EXPORT,
            write_export,
            attempts_max=_ATTEMPTS_MAX,
            at_once_max=_AT_ONCE_MAX,
        )
    ]


def crons(files: ObjectStore) -> list[Cron]:
    async def purge(db: Database) -> None:
        await report_commands.purge(db, files)

    return [Cron("merchant.purge_exports", "41 * * * *", purge)]
