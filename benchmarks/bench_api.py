"""
What the merchant API costs when there is a lot behind it.

The same questions are asked of 100,000 and of 10,000,000 transactions of 1,000
merchants, at the beginning, in the depth and at the end of a list; each page has
50 rows on both sides. Then /summary is set against a bare Starlette route that
runs one primary-key SELECT on the same pool.

Filling 10,000,000 rows takes about ten minutes and 8 GB; --rows 1000000 takes one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

import load
import processes
import stage as bench
from molam.merchant import model, queries
from molam.payments import queries as payments
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.settings import load as load_settings
from molam.simulator.issuer import mint_development_token

MERCHANTS = 1000
PAGE = 50
NOW = datetime.now(UTC)
PORT_OFFSET = 20_000

# One statement for all: a merchant's payments spread evenly over its history, newest first.
FILL = """
insert into payments.wallet_transactions
       (merchant_id, id, type, state, amount, currency, fee_molam, reference_code, channel, provider,
        occurred_at, customer, version)
select 'merchant-' || lpad((n % 1000)::text, 4, '0'), 'tx_' || lpad(n::text, 10, '0'), 'payment',
       case when n % 17 = 0 then 'failed' else 'succeeded' end,
       100 + (n * 7919) % 200000, 'XOF', ((n * 7919) % 200000) / 100,
       'CMD-' || n, 'wallet', case n % 3 when 0 then 'wave' when 1 then 'orange_money' else 'mtn_momo' end,
       $3::timestamptz - n * ($4::interval / $2),
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


@dataclass(frozen=True, slots=True)
class Side:
    """A database of one size, and how far back its transactions go."""

    db: Database
    history: timedelta

    def at(self, share: float) -> payments.Position:
        """Name the place in every merchant's list that has *share* of it in front."""
        return payments.Position(NOW - self.history * share, "", "", newer=False)


async def main(embedded: EmbeddedPostgres) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--base-rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    # Each merchant sells every day on both sides, so that both answer the same
    # number of days: what is compared is what lies behind the answer.
    histories = {"base": timedelta(days=100), "ours": timedelta(days=730)}
    async with bench.stage(embedded) as stage, contextlib.AsyncExitStack() as stack:
        dsns = {
            "base": await _filled(stage, "base", given.base_rows, histories["base"]),
            "ours": await _filled(stage, "ours", given.rows, histories["ours"]),
        }
        sides = {}
        for name, dsn in dsns.items():
            db = await open_database(dsn, ProcessRole.WEB, application="benchmark")
            stack.push_async_callback(db.close)
            sides[name] = Side(db, histories[name])
        reached = [
            *await _compare_costs(sides, given.rounds),
            await _compare_with_bare(dsns["ours"], stage, given.rounds),
        ]
    bench.finish(*reached)


async def _filled(stage: bench.Stage, name: str, rows: int, history: timedelta) -> str:
    """Clone the migrated database, fill it without its indexes, then build those."""
    admin = await asyncpg.connect(stage.dsn.replace("/molam_connect", "/postgres"))
    await admin.execute(f"create database {name} template molam_connect")
    await admin.execute(
        f"alter database {name} set search_path to merchant, payments, ledger, tenancy, platform, public"
    )
    await admin.close()
    dsn = stage.dsn.replace("/molam_connect", f"/{name}")
    connection = await asyncpg.connect(dsn)
    merchants = await bench.add_merchants(connection, MERCHANTS)
    indexes = await connection.fetch(
        "select indexname, indexdef from pg_indexes where schemaname = 'payments'"
        " and tablename = 'wallet_transactions' and indexname not like '%pkey'"
    )
    await connection.execute("alter table payments.wallet_transactions disable trigger all")
    for index in indexes:
        await connection.execute(f"drop index payments.{index['indexname']}")
    began = time.perf_counter()
    for start in range(0, rows, 500_000):
        await connection.execute(FILL, start, rows, NOW, history)
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
    await bench.add_admin(connection, merchants)
    await connection.execute("vacuum analyze")
    await connection.close()
    print(f"\r{name}: {rows:,} rows ready after {time.perf_counter() - began:.0f} s", flush=True)
    return dsn


async def _compare_costs(sides: dict[str, Side], rounds: int) -> list[bool]:
    questions = {
        "/summary, cached": _summary,
        "/summary, computed": _summary_anew,
        "transactions, first page of 50": _first_page,
        "transactions, page half way": _middle_page,
        "transactions, last page": _last_page,
        "transactions, succeeded only, a third down": _succeeded_page,
    }
    took: dict[str, dict[str, list[float]]] = {q: {"ours": [], "base": []} for q in questions}
    for _ in range(rounds):
        for question, ask in questions.items():
            for name, cost_ms in (await _costs_ms(ask, sides)).items():
                took[question][name].append(cost_ms)
    return [
        bench.report_at_most(question, **costs, unit="ms", ceiling=1.3)
        for question, costs in took.items()
    ]


async def _costs_ms(
    ask: Callable[[Side, str], Awaitable[None]], sides: dict[str, Side]
) -> dict[str, float]:
    """Ask both sides in turn, merchant by merchant; what else the machine does falls on both."""
    each: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(200):
        merchant = f"merchant-{number * 37 % MERCHANTS:04}"
        for name, side in sides.items():
            began = time.perf_counter()
            await ask(side, merchant)
            each[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(costs) for name, costs in each.items()}


async def _summary(side: Side, merchant: str) -> None:
    await queries.figures(
        side.db, merchant_id=merchant, period=model.parse_period("mtd"), currency="XOF", now=NOW
    )


async def _summary_anew(side: Side, merchant: str) -> None:
    async with side.db.transaction("benchmark.stale", merchant_id=merchant) as tx:
        await tx.connection.execute(
            "update merchant.merchant_kpis_cache set as_of = -1 where merchant_id = $1", merchant
        )
    await _summary(side, merchant)


async def _first_page(side: Side, merchant: str) -> None:
    await _page(side, merchant, None)


async def _middle_page(side: Side, merchant: str) -> None:
    # A little before, since the small side has 100 rows of a merchant, and so 50 beyond.
    await _page(side, merchant, side.at(0.48))


async def _last_page(side: Side, merchant: str) -> None:
    await _page(side, merchant, payments.Position(payments.BEGINNING, "", "", newer=True))


async def _succeeded_page(side: Side, merchant: str) -> None:
    await _page(side, merchant, side.at(0.33), "succeeded")


async def _page(
    side: Side, merchant: str, beyond: payments.Position | None, status: str | None = None
) -> None:
    page = await queries.transactions(
        side.db,
        merchant_id=merchant,
        filters=payments.Filters(status=status),
        beyond=beyond,
        limit=PAGE,
    )
    assert len(page.rows) == PAGE, "a question is fair if both sides answer the same"


async def _compare_with_bare(dsn: str, stage: bench.Stage, rounds: int) -> bool:
    ours, limit = [], []
    settings = processes.environment(stage, dsn=dsn, port_offset=PORT_OFFSET)
    identity, merchant, bare = (port + PORT_OFFSET for port in (3100, 3001, 3999))
    async with (
        processes.serving(settings, (*processes.MOLAM, "serve", "identity"), port=identity),
        processes.serving(settings, (*processes.MOLAM, "serve", "merchant"), port=merchant) as app,
        processes.serving(settings, (*processes.BARE, str(bare)), port=bare, path="/") as route,
    ):
        token = await mint_development_token(
            load_settings(settings),
            roles=("merchant_admin",),
            merchant_id="merchant-0007",
            subject="bench",
        )
        summary = f"{app}/api/merchant/summary?period=mtd&currency=XOF"
        for _ in range(rounds):
            for url, bearer, reached in ((f"{route}/", None, limit), (summary, token, ours)):
                found = await load.drive(url, token=bearer, connections=8, seconds=3)
                reached.append(found.requests_per_s)
    return bench.report(
        "/summary against a bare route with one SELECT",
        ours=ours,
        limit=limit,
        unit="req/s",
        floor=0.5,
    )


if __name__ == "__main__":
    with bench.server() as running:
        asyncio.run(main(running))
