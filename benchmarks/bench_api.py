"""
What the merchant API costs when there is a lot behind it.

The same questions are asked of 100,000 and of 10,000,000 transactions, first and
last page alike; and /summary is set against a bare Starlette route that runs one
primary-key SELECT on the same pool.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

import load
import stage as bench
from molam.merchant import model, queries
from molam.payments import queries as payments
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.settings import load as load_settings
from molam.simulator.issuer import mint_development_token

MERCHANTS = 1000
PORT_OFFSET = 20_000
ANSWERS = {"merchant": "/ready", "bare": "/", "identity": "/.well-known/jwks.json"}

# One statement for all: a merchant's payments spread over two years, newest first.
FILL = """
insert into payments.wallet_transactions
       (merchant_id, id, type, state, amount, currency, fee_molam, reference_code, channel, provider,
        occurred_at, customer, version)
select 'merchant-' || lpad((n % 1000)::text, 4, '0'), 'tx_' || lpad(n::text, 10, '0'), 'payment',
       case when n % 17 = 0 then 'failed' else 'succeeded' end,
       100 + (n * 7919) % 200000, 'XOF', ((n * 7919) % 200000) / 100,
       'CMD-' || n, 'wallet', case n % 3 when 0 then 'wave' when 1 then 'orange_money' else 'mtn_momo' end,
       now() - (n * interval '63072 milliseconds' * (1000000.0 / $2)),
       jsonb_build_object('name', 'Client ' || (n % 5000), 'phone', '+22177' || lpad((n % 10000000)::text, 7, '0')), 2
  from generate_series($1::bigint, $1::bigint + 499999) as n
 where n < $2::bigint
"""
COUNT = """
insert into merchant.kpi_days (merchant_id, currency, day, created_count, payment_count, failed_count, sales, fees)
select merchant_id, currency, (occurred_at at time zone 'UTC')::date, count(*),
       count(*) filter (where state = 'succeeded'), count(*) filter (where state = 'failed'),
       coalesce(sum(amount) filter (where state = 'succeeded'), 0),
       coalesce(sum(fee_molam) filter (where state = 'succeeded'), 0)
  from payments.wallet_transactions group by 1, 2, 3
"""


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--base-rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    async with bench.stage(EMBEDDED) as stage:
        small = await _filled(stage, "small", given.base_rows)
        large = await _filled(stage, "large", given.rows)
        reached = [
            *await _compare_costs(small, large, given.rounds),
            await _compare_with_bare(large, stage, given.rounds),
        ]
    bench.finish(*reached)


async def _filled(stage: bench.Stage, name: str, rows: int) -> str:
    """Clone the migrated database, fill it without its indexes, then build those."""
    admin = await asyncpg.connect(stage.dsn.replace("/molam_connect", "/postgres"))
    await admin.execute(f"create database {name} template molam_connect")
    await admin.execute(
        f"alter database {name} set search_path to merchant, payments, ledger, tenancy, platform, public"
    )
    await admin.close()
    dsn = stage.dsn.replace("/molam_connect", f"/{name}")
    connection = await asyncpg.connect(dsn)
    await bench.add_merchants(connection, MERCHANTS)
    indexes = await connection.fetch(
        "select indexname, indexdef from pg_indexes where schemaname = 'payments'"
        " and tablename = 'wallet_transactions' and indexname not like '%pkey'"
    )
    await connection.execute("alter table payments.wallet_transactions disable trigger all")
    for index in indexes:
        await connection.execute(f"drop index payments.{index['indexname']}")
    began = time.perf_counter()
    for start in range(0, rows, 500_000):
        await connection.execute(FILL, start, rows)
        print(
            f"\r{name}: {min(start + 500_000, rows):,} rows, {time.perf_counter() - began:.0f} s",
            end="",
            flush=True,
        )
    await connection.execute("set maintenance_work_mem = '512MB'")
    for index in indexes:
        await connection.execute(index["indexdef"])
    await connection.execute(COUNT)
    await connection.execute("insert into merchant.kpi_heads select id from tenancy.merchants")
    await connection.execute(
        "insert into tenancy.people values ('bench', 'Bench', 'bench@example.com')"
    )
    await connection.execute(
        "insert into tenancy.role_grants select gen_random_uuid(), 'bench', 'merchant_admin', 'merchant-0007', now(), 'bench'"
    )
    await connection.execute("vacuum analyze")
    await connection.close()
    print(f"\r{name}: {rows:,} rows ready after {time.perf_counter() - began:.0f} s", flush=True)
    return dsn


async def _compare_costs(small: str, large: str, rounds: int) -> list[bool]:
    questions = {
        "/summary, cached": _summary,
        "/summary, computed": _summary_anew,
        "transactions, first page of 50": _first_page,
        "transactions, page half way": _middle_page,
        "transactions, last page": _last_page,
        "transactions, failed only, half way": _failed_page,
    }
    took: dict[str, dict[str, list[float]]] = {q: {"ours": [], "base": []} for q in questions}
    bases = {
        side: await open_database(dsn, ProcessRole.WEB, application="benchmark")
        for side, dsn in (("base", small), ("ours", large))
    }
    for _ in range(rounds):
        for question, ask in questions.items():
            for side, db in bases.items():
                took[question][side].append(await _cost_ms(ask, db))
    for db in bases.values():
        await db.close()
    return [
        bench.report_at_most(question, **sides, unit="ms", ceiling=1.3)
        for question, sides in took.items()
    ]


async def _cost_ms(ask, db: Database) -> float:
    each = []
    for number in range(200):
        merchant = f"merchant-{number * 37 % MERCHANTS:04}"
        began = time.perf_counter()
        await ask(db, merchant)
        each.append((time.perf_counter() - began) * 1000)
    return statistics.median(each)


async def _summary(db: Database, merchant: str) -> None:
    await queries.figures(
        db, merchant_id=merchant, period=model.parse_period("mtd"), currency="XOF", now=NOW
    )


async def _summary_anew(db: Database, merchant: str) -> None:
    async with db.transaction("benchmark.stale", merchant_id=merchant) as tx:
        await tx.connection.execute(
            "update merchant.merchant_kpis_cache set as_of = -1 where merchant_id = $1", merchant
        )
    await _summary(db, merchant)


async def _page(
    db: Database, merchant: str, beyond: payments.Position | None, status: str | None = None
) -> None:
    page = await queries.transactions(
        db, merchant_id=merchant, filters=payments.Filters(status=status), beyond=beyond, limit=50
    )
    assert page.rows


async def _first_page(db: Database, merchant: str) -> None:
    await _page(db, merchant, None)


def _position(share: float) -> payments.Position:
    return payments.Position(NOW - TWO_YEARS * share, "", "", newer=False)


async def _middle_page(db: Database, merchant: str) -> None:
    await _page(db, merchant, _position(0.5))


async def _last_page(db: Database, merchant: str) -> None:
    await _page(db, merchant, payments.Position(payments.BEGINNING, "", "", newer=True))


async def _failed_page(db: Database, merchant: str) -> None:
    await _page(db, merchant, _position(0.3), "failed")


async def _compare_with_bare(dsn: str, stage: bench.Stage, rounds: int) -> bool:
    ours, limit = [], []
    home = stage.folder / "home"
    environment = {
        **os.environ,
        "DATABASE_URL": dsn,
        "MOLAM_HOME": str(home),
        "MOLAM_PORT_OFFSET": str(PORT_OFFSET),
        "LOG_LEVEL": "error",
    }
    async with (
        _served(environment, "merchant") as merchant,
        _served(environment, "bare") as bare,
        _served(environment, "identity"),
    ):
        settings = load_settings(environment)
        token = await mint_development_token(
            settings, roles=("merchant_admin",), merchant_id="merchant-0007", subject="bench"
        )
        summary = f"{merchant}/api/merchant/summary?period=mtd&currency=XOF"
        for _ in range(rounds):
            limit.append(
                (await load.drive(f"{bare}/", token=None, connections=8, seconds=3)).requests_per_s
            )
            ours.append(
                (await load.drive(summary, token=token, connections=8, seconds=3)).requests_per_s
            )
    return bench.report(
        "/summary against a bare route with one SELECT",
        ours=ours,
        limit=limit,
        unit="req/s",
        floor=0.5,
    )


@contextlib.asynccontextmanager
async def _served(environment: dict[str, str], what: str) -> AsyncIterator[str]:
    port = {"merchant": 3001, "bare": 3999, "identity": 3100}[what] + PORT_OFFSET
    command = (
        [sys.executable, str(Path(__file__).with_name("bare.py")), str(port)]
        if what == "bare"
        else [sys.executable, "-m", "molam.entrypoints.cli", "serve", what]
    )
    process = subprocess.Popen(command, env=environment)
    try:
        await load.until_it_answers(f"http://127.0.0.1:{port}{ANSWERS[what]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(15)


if __name__ == "__main__":
    from datetime import UTC, datetime, timedelta

    NOW = datetime.now(UTC)
    TWO_YEARS = timedelta(days=730)
    with bench.server() as EMBEDDED:
        asyncio.run(main())
