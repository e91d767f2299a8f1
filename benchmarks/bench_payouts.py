"""
How long a run of payouts for 10,000 merchants takes, and the limit it is held to.

Ours: every merchant's balance becomes a payout that owns its entries, with its ledger
transfer, its timeline, its event and its next date. The limit: psql with the very
statements that such a run says to PostgreSQL, their parameters written in.

    .venv/bin/python benchmarks/bench_payouts.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg

import stage as bench
from molam.payments.payouts import run
from molam.platform.db import ProcessRole, open_database
from molam.platform.embedded import EmbeddedPostgres
from pgbench_script import RecordedDatabase, Recorder

SECONDS_MAX = 30
RATIO_MIN = 0.5

# Payments of the last ten days, each with its fee, for every merchant.
FILL = (
    """
    insert into tenancy.merchants (id, name, country, default_currency)
    select 'merchant-' || n, 'M', 'SN', 'XOF' from generate_series(1, $1::int) as n
    """,
    """
    insert into merchant.merchant_dashboards (merchant_id, timezone)
    select 'merchant-' || n, 'Africa/Dakar' from generate_series(1, $1::int) as n
    """,
    """
    insert into payments.payout_destinations (merchant_id, currency, destination, changed_by)
    select 'merchant-' || n, 'XOF',
           '{"type": "wallet", "provider": "wave", "phone": "+221770000001", "holder": "M"}', 'bench'
      from generate_series(1, $1::int) as n
    """,
    """
    insert into payments.payout_schedules (merchant_id, currency, interval, next_at, updated_by)
    select 'merchant-' || n, 'XOF', 'daily', now() - interval '1 minute', 'bench'
      from generate_series(1, $1::int) as n
    """,
    """
    insert into ledger.accounts (id, kind, owner_id, currency, balance)
    select 'merchant:merchant-' || n || ':available:XOF', 'merchant_available', 'merchant-' || n,
           'XOF', $2::int * 990
      from generate_series(1, $1::int) as n
    """,
    """
    insert into ledger.accounts (id, kind, currency, balance)
    values ('customers:wallet:XOF', 'customers_wallet', 'XOF', -1000 * $1::bigint * $2::bigint),
           ('molam:fees:XOF', 'molam_fees', 'XOF', 10 * $1::bigint * $2::bigint)
    """,
    """
    insert into ledger.transfers
           (id, source, target, amount, currency, merchant_id, cause, cause_id, occurred_at, posted_at)
    select gen_random_uuid(), 'customers:wallet:XOF', 'merchant:merchant-' || n || ':available:XOF',
           1000, 'XOF', 'merchant-' || n, 'payment', 'tx_' || n || '_' || k, at, at
      from generate_series(1, $1::int) as n, generate_series(1, $2::int) as k,
           lateral (select now() - interval '2 days' - k * interval '11 hours' as at) as t
    """,
    """
    insert into ledger.transfers
           (id, source, target, amount, currency, merchant_id, cause, cause_id, occurred_at, posted_at)
    select gen_random_uuid(), target, 'molam:fees:XOF', 10, 'XOF', merchant_id, 'payment_fee',
           cause_id, occurred_at, posted_at
      from ledger.transfers
     where cause = 'payment' and $1::int > 0 and $2::int > 0
    """,
)


async def fill(dsn: str, merchants: int, payments: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in FILL:
            wanted = [merchants, payments][: statement.count("$1") and 1 + ("$2" in statement)]
            await connection.execute(statement, *wanted)
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


async def ours(dsn: str, merchants: int) -> float:
    db = await open_database(dsn, ProcessRole.WORKER, application="bench", statement_timeout_s=60)
    started = time.monotonic()
    made = await run.run_due(db)
    seconds = time.monotonic() - started
    await db.close()
    assert made == merchants, f"{made} payouts"
    return seconds


async def recorded(dsn: str) -> str:
    """Run once more, writing down every statement, and return them as a psql script."""
    db = await open_database(dsn, ProcessRole.WORKER, application="bench", statement_timeout_s=60)
    recorder = Recorder()
    await run.run_due(RecordedDatabase(db, recorder))
    await db.close()
    lines = []
    for text, values, types in recorder.said:
        filled = text
        for place in range(len(values), 0, -1):
            filled = filled.replace(f"${place}", literal(values[place - 1], types[place - 1]))
        lines.append(filled.strip() + ";")
    return "\n".join(lines) + "\n"


def literal(value: object, type_: str) -> str:
    if value is None:
        return f"null::{type_}"
    if isinstance(value, list | tuple) and type_ != "jsonb":
        inside = ", ".join(literal(each, type_.removesuffix("[]")) for each in value)
        return f"array[{inside}]::{type_}"
    if isinstance(value, str):
        text = value
    elif isinstance(value, datetime):
        text = value.isoformat()
    elif isinstance(value, int | UUID):
        text = str(value)
    else:
        text = json.dumps(value)
    return "'" + text.replace("'", "''") + f"'::{type_}"


def psql(stage: bench.Stage, dsn: str, path: Path) -> float:
    elsewhere = bench.Stage(dsn, "", stage.folder, stage.psql)
    started = time.monotonic()
    elsewhere.run_psql(path)
    return time.monotonic() - started


async def main(embedded: EmbeddedPostgres, arguments: Sequence[str]) -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--merchants", type=int, default=10_000)
    parser.add_argument("--payments", type=int, default=10, help="of each merchant")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    async with bench.stage(embedded) as stage:
        await fill(stage.dsn, asked.merchants, asked.payments)
        script = stage.folder / "payouts.sql"
        script.write_text(await recorded(await bench.clone(embedded, "recorded")))
        mine, best = [], []
        for number in range(asked.rounds):
            mine.append(await ours(await bench.clone(embedded, f"ours_{number}"), asked.merchants))
            best.append(psql(stage, await bench.clone(embedded, f"psql_{number}"), script))
    fast = bench.report(
        f"payout run, {asked.merchants:,} merchants with {2 * asked.payments} entries each",
        ours=[asked.merchants / each for each in mine],
        limit=[asked.merchants / each for each in best],
        unit="payouts/s",
        floor=RATIO_MIN,
    )
    slowest = max(mine)
    print(f"the whole run: {slowest:.1f} s at most (within {SECONDS_MAX} s)")
    return fast and slowest <= SECONDS_MAX


if __name__ == "__main__":
    with bench.server() as embedded_server:
        sys.exit(0 if asyncio.run(main(embedded_server, sys.argv[1:])) else 1)
