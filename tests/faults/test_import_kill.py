"""Imports that are killed, and files that try to fill the memory."""

from __future__ import annotations

import asyncio
import random
import sys
import tracemalloc
from pathlib import Path

import pytest

from builders import a_merchant
from molam.merchant.import_lines import LINE_BYTES_MAX, lines, open_sheet

SEED = 20261117
ROWS = 2_000
WORKER = Path(__file__).parent / "import_worker.py"


@pytest.mark.processes
async def test_import_killed_again_and_again_loads_each_row_once(dsn, db, tmp_path):
    chance = random.Random(SEED)
    merchant_id = await a_merchant(db)
    path = tmp_path / "history.csv"
    path.write_text(
        "id,amount,occurred_at\n"
        + "".join(f"h-{n},{100 + n},2025-05-{n % 31 + 1:02}T09:00:00Z\n" for n in range(ROWS)),
        encoding="utf-8",
    )

    kills = 0
    while True:
        worker = await asyncio.create_subprocess_exec(
            sys.executable, str(WORKER), dsn, str(path), merchant_id, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(chance.randrange(1, 25)):
            if not await worker.stdout.readline():
                break
        if worker.returncode is None and not worker.stdout.at_eof():
            worker.kill()
            kills += 1
        await worker.communicate()
        if worker.returncode == 0:
            break

    async with db.transaction("tests.sums") as tx:
        stored = await tx.connection.fetchrow(
            "select count(*), sum(amount) from payments.wallet_transactions"
        )
        counted = await tx.connection.fetchrow(
            "select sum(payment_count), sum(sales) from merchant.kpi_days"
        )
        progress = await tx.connection.fetchrow(
            "select rows_loaded, finished_at is not null from merchant.imports"
        )
    expected = (ROWS, sum(100 + n for n in range(ROWS)))
    assert kills >= 2, f"seed {SEED} no longer kills anything"
    assert (tuple(stored), tuple(counted), tuple(progress)) == (expected, expected, (ROWS, True))


def test_line_of_a_gigabyte_is_refused_by_its_number_and_never_held(tmp_path):
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.write(b"id,amount\na,1\n")
        file.seek(1 << 30, 1)  # A hole: a gigabyte to read, nothing on the disk.
        file.write(b"\nb,2\n")
    tracemalloc.start()

    found = {line.number: line.refused or line.cells for line, _ in lines(open_sheet(path))}

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "longer than 64 KiB" in found[3]
    assert found[4] == ("b", "2")
    assert peak < 8 * LINE_BYTES_MAX
