"""Imports a file in small chunks and says so after each: `import_worker.py DSN FILE MERCHANT`."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from molam.merchant import imports
from molam.platform.db import ProcessRole, open_database


async def main() -> None:
    dsn, file, merchant_id = sys.argv[1:]
    imports.CHUNK_FACTS = 25
    db = await open_database(dsn, ProcessRole.OWNER, application="import worker")
    watch = imports.Watch(progress=lambda done, _all: print(done, flush=True))  # noqa: T201
    await imports.load(
        db,
        path=Path(file),
        merchant_id=merchant_id,
        mapping=None,
        now=datetime.now(UTC),
        watch=watch,
    )
    await db.close()


if __name__ == "__main__":
    asyncio.run(main())
