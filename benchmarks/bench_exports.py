"""
Files of many rows: CSV against psql's COPY of the same rows, XLSX by itself.

Each file is written by a process of its own, as a worker writes it: read behind the
merchant's wall, hashed, and kept in the file store. Its memory is what the system says
it had at most, less what it had before it began; that of the process which makes the
spreadsheet is all it had.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import msgspec
from obstore.store import LocalStore

import stage as bench
from molam.kernel.clock import SystemClock
from molam.merchant import report_commands, report_store, report_tables
from molam.merchant.report_model import Asked
from molam.platform.db import ProcessRole, open_database
from molam.platform.jobs import Job

MERCHANT = "merchant-0000"
RATIO_MIN = 0.5
XLSX_ROWS = 100_000
XLSX_S_MAX = 10.0
MEMORY_MIB_MAX = 100.0

_ROWS = """
insert into payments.wallet_transactions
       (merchant_id, id, type, state, amount, currency, fee_molam, reference_code, channel, provider,
        occurred_at, customer, version)
select $1, 'tx_' || i, 'payment', 'succeeded', 500 + i % 90000, 'XOF', 5 + i % 90, 'REF-' || i, 'wallet',
       (array['wave', 'orange_money', 'mtn_momo', 'free_money'])[1 + i % 4],
       timestamptz '2026-01-01Z' + i * interval '11 seconds',
       jsonb_build_object('name', 'Client ' || i % 5000, 'email', 'c' || i % 5000 || '@example.com',
                          'phone', '+22177' || lpad((i % 10000000)::text, 7, '0')), 1
  from generate_series(1, $2::int) as i
"""


async def write(dsn: str, format_: str, rows: int) -> None:
    """Be a worker that writes one file; say how long it took and what memory it had."""
    db = await open_database(dsn, ProcessRole.WORKER, application="bench")
    to = datetime(2026, 1, 1, tzinfo=UTC).timestamp() + 11 * rows
    asked = Asked(
        kind="transactions",
        format=format_,
        language="en",
        to_at=datetime.fromtimestamp(to, UTC).replace(microsecond=1),
    )
    id_ = uuid4()
    async with db.transaction("bench.ask") as tx:
        await tx.one(
            report_store.ADD,
            id=id_,
            merchant_id=MERCHANT,
            kind=asked.kind,
            format=format_,
            asked=msgspec.to_builtins(asked),
            fingerprint=id_.bytes,
            file_name=asked.file_name("2026"),
            requested_by="bench",
        )
    payload = msgspec.json.encode(report_commands.WriteExport(MERCHANT, id_.hex))
    job = Job(int(time.time_ns() % 2**40), report_commands.EXPORT, payload, 1, db)
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        scribe = report_commands.Scribe(LocalStore(prefix=folder), SystemClock())
        await scribe.run(job, attempts_max=1)
        took = time.perf_counter() - began
    async with db.transaction("bench.look") as tx:
        row = await tx.one(report_store.FIND, merchant_id=MERCHANT, id=id_)
    await db.close()
    assert row is not None
    assert row.state == "done", row.reason
    print(
        json.dumps(
            {
                "seconds": took,
                "rows": row.rows_done,
                "bytes": row.bytes,
                "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
                "child_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
            }
        )
    )


def written(dsn: str, format_: str, rows: int) -> dict[str, float]:
    said = subprocess.run(
        [sys.executable, __file__, "--write", format_, "--dsn", dsn, "--rows", str(rows)],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(said.stdout)


def copied(stage: bench.Stage) -> float:
    """Have psql copy the same rows into a file."""
    selection = report_tables.selection(
        Asked(kind="transactions", format="csv", language="en"),
        merchant_id=MERCHANT,
        timezone="Africa/Dakar",
    )

    def literal(match: re.Match[str]) -> str:
        value = selection.arguments[int(match[1]) - 1]
        if value is None:
            return "null"
        if isinstance(value, datetime):
            return "'-infinity'::timestamptz" if value.year == 1 else "'infinity'::timestamptz"
        return "'" + str(value).replace("'", "''") + "'"

    text = re.sub(r"\$(\d+)", literal, selection.text)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        # One line, as \copy wants it.
        script.write(f"copy ({text}) to stdout with (format csv);\n")
        script.flush()
        with tempfile.TemporaryFile() as out:
            began = time.perf_counter()
            subprocess.run(
                [stage.psql, "-qX", "-v", "ON_ERROR_STOP=1", "-f", script.name, stage.dsn],
                check=True,
                stdout=out,
            )
            return time.perf_counter() - began


async def measure(rows: int, rounds: int) -> None:
    with bench.server() as embedded:
        async with bench.stage(embedded) as stage:
            connection = await asyncpg.connect(stage.dsn)
            await bench.add_merchants(connection, 1)
            await connection.execute(_ROWS, MERCHANT, rows, timeout=600)
            await connection.execute("vacuum analyze payments.wallet_transactions")
            await connection.close()
            ours, theirs = [], []
            for _ in range(rounds):
                theirs.append(copied(stage))
                ours.append(written(stage.dsn, "csv", rows))
            sheet = [written(stage.dsn, "xlsx", min(rows, XLSX_ROWS)) for _ in range(rounds)]
    fast = bench.report(
        f"CSV of {rows:,} rows against psql's COPY",
        ours=[rows / each["seconds"] for each in ours],
        limit=[rows / each for each in theirs],
        unit="rows/s",
        floor=RATIO_MIN,
    )
    memory = max(each["mib"] for each in ours)
    small = _at_most("its memory", memory, MEMORY_MIB_MAX, "MiB")
    seconds = statistics.median(each["seconds"] for each in sheet)
    memory_x = max(max(each["mib"], each["child_mib"]) for each in sheet)
    good = (
        _at_most(f"XLSX of {sheet[0]['rows']:,} rows", seconds, XLSX_S_MAX, "s"),
        _at_most("its memory", memory_x, MEMORY_MIB_MAX, "MiB"),
    )
    bench.finish(fast, small, *good)


def _at_most(what: str, found: float, ceiling: float, unit: str) -> bool:
    verdict = "ok" if found <= ceiling else "ABOVE"
    print(f"{what}: {found:.1f} {unit} (at most {ceiling:.0f}) {verdict}", flush=True)
    return found <= ceiling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", choices=["csv", "xlsx"])
    parser.add_argument("--dsn", default="")
    given = parser.parse_args()
    if given.write:
        asyncio.run(write(given.dsn, given.write, given.rows))
    else:
        asyncio.run(measure(given.rows, given.rounds))


if __name__ == "__main__":
    main()
