"""A worker killed while it writes a file: another begins it again and finishes it."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

import pytest

from builders import a_merchant, a_transaction
from export_runs import a_list, asked_for, found, rows_of
from molam.platform.db import Database

WORKER = Path(__file__).with_name("exports_worker.py")

pytestmark = pytest.mark.processes


async def _a_worker(dsn: str, folder: Path, mode: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKER), dsn, str(folder), mode), stdout=asyncio.subprocess.PIPE
    )


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
async def test_file_of_a_killed_worker_is_finished_by_another(
    dsn: str, db: Database, money_db: Database, tmp_path: Path, format_: str
):
    await a_merchant(db)
    await a_transaction(db, id_="tx_123")
    row = await asked_for(money_db, a_list(format=format_))
    first = await _a_worker(dsn, tmp_path, "linger")
    await asyncio.wait_for(first.stdout.readline(), 30)
    first.kill()
    await first.wait()
    between = await found(db, row.merchant_id, row.id)

    second = await _a_worker(dsn, tmp_path, "go on")
    try:
        async with asyncio.timeout(40):
            done = between
            while done.state != "done":
                await asyncio.sleep(0.1)
                done = await found(db, row.merchant_id, row.id)
    finally:
        second.kill()
        await second.wait()

    content = (tmp_path / str(done.file_path)).read_bytes()
    assert between.state == "running"
    assert hashlib.sha256(content).hexdigest() == done.sha256
    if format_ == "csv":
        assert [each["Transaction"] for each in rows_of(content)] == ["tx_123"]
