"""A worker to be killed between a job's effect and its end; says when it is there."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.jobs import AlreadyDone, Job, JobHandler, run_jobs

LEASE_S = 1.0


@contextlib.asynccontextmanager
async def _unguarded(job: Job):
    async with job.db.transaction("tests.unguarded") as tx:
        yield tx


async def main(dsn: str, mode: str, linger_s: str) -> None:
    async def pay(job: Job) -> None:
        try:
            async with job.effect() if mode == "guarded" else _unguarded(job) as tx:
                await tx.connection.execute("insert into public.effects values ($1)", str(job.id))
        except AlreadyDone:
            sys.stdout.write("again\n")
            sys.stdout.flush()
            raise
        sys.stdout.write("paid\n")
        sys.stdout.flush()
        await asyncio.sleep(float(linger_s))

    db: Database = await open_database(dsn, ProcessRole.WORKER, application="jobs_worker")
    handlers = [JobHandler("tests.pay", pay)]
    await run_jobs(db, dsn=dsn, handlers=handlers, stop=asyncio.Event(), lease_s=LEASE_S)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
