"""A worker that writes files; asked to linger, it says when a file is written and not yet kept."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from obstore.store import LocalStore

from molam.kernel.clock import SystemClock
from molam.merchant import report_commands, report_jobs
from molam.platform.db import ProcessRole, open_database
from molam.platform.jobs import run_jobs

LEASE_S = 1.0


async def main(dsn: str, folder: str, mode: str) -> None:
    keep = report_commands._keep

    async def lingering(files, path, kept_at) -> None:
        if mode == "linger":
            sys.stdout.write("written\n")
            sys.stdout.flush()
            await asyncio.sleep(60)
        await keep(files, path, kept_at)

    report_commands._keep = lingering
    files = LocalStore(prefix=Path(folder))
    db = await open_database(dsn, ProcessRole.WORKER, application="exports_worker")
    handlers = report_jobs.handlers(files, SystemClock())
    await run_jobs(db, dsn=dsn, handlers=handlers, stop=asyncio.Event(), lease_s=LEASE_S)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
