"""
The dashboard's home when there is 100 times the data: merchants, agents, payments, alerts.

The home is the overview and every widget it is seeded with, read as its page reads them. The
figure is the 95th percentile of that against the same with a hundredth of the data.

That hundredth is 2,000 payments in 30 days, 2.8 an hour: of a hundred hours 94 have one. So the
small home draws nearly as many hours as the large one, and the ratio says what a hundred times
the data costs. With fewer it would count as well what half-empty charts spare; with more
(--payments) little changes, but filling takes longer.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from datetime import UTC, datetime

import asyncpg

import stage as bench
from molam.ops.dashboard import aggregates, queries, widgets
from molam.ops.dashboard.model import PLATFORM
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.embedded import EmbeddedPostgres

TIMES = 100
PAYMENTS = 2_000
RATIO_MAX = 2.0

_MERCHANTS = """
insert into tenancy.merchants (id, name, city, country, default_currency)
select 'm-' || n, 'Merchant ' || n, 'Dakar', (array['SN', 'CI', 'ML', 'BJ', 'GH'])[1 + n % 5], 'XOF'
  from generate_series(1, $1::int) as n
"""
_AGENTS = """
with made as (
    insert into tenancy.agents (id, name, city, country, currency)
    select 'a-' || n, 'Agent ' || n, 'Dakar', 'SN', 'XOF' from generate_series(1, $1::int) as n
 returning id
), placed as (
    insert into ops.agent_locations (agent_id, latitude, longitude, country)
    select id, 14 + random(), -17 + random(), 'SN' from made
)
insert into ledger.accounts (id, kind, currency, balance, floor)
select 'agent:' || id || ':float:XOF', 'agent_float', 'XOF', (random() * 5000000)::bigint, 0 from made
"""
_PAYMENTS = """
insert into payments.wallet_transactions
       (merchant_id, id, type, state, amount, currency, fee_molam, occurred_at, customer, version)
select 'm-' || 1 + n % $2::int, 'tx-' || n, 'payment', case when n % 20 = 0 then 'failed' else 'succeeded' end,
       1000 + n % 90000, 'XOF', 10, now() - random() * interval '30 days',
       jsonb_build_object('phone', '+2217700' || n % ($1::int / 3 + 1)), 2
  from generate_series(1, $1::int) as n
"""
_ALERTS = """
insert into alerts.alerts (id, alert_type, tenant_type, tenant_id, severity, metric, state, title, fingerprint,
                           episode, fired_at, created_at, resolved_at, resolved_by, group_key)
select gen_random_uuid(), 'float_low', 'agent', 'a-' || n, 'warning', '{}', case when n % 100 = 0 then 'open' else 'resolved' end,
       'Low', sha256(n::text::bytea), 1, now() - random() * interval '30 days', now() - random() * interval '30 days',
       case when n % 100 = 0 then null else now() end, case when n % 100 = 0 then null else 'system' end, 'float_low'
  from generate_series(1, $1::int) as n
"""


async def fill(dsn: str, *, times: int, payments: int) -> tuple[Database, float]:
    """Fill a database, and tell how long the aggregates took to follow."""
    owner = await asyncpg.connect(dsn)
    await owner.execute(_MERCHANTS, 20 * times)
    await owner.execute(_AGENTS, 10 * times)
    await owner.execute(_PAYMENTS, payments * times, 20 * times)
    await owner.execute(_ALERTS, 100 * times)
    await owner.execute("vacuum analyze")
    db = await open_database(dsn, ProcessRole.WORKER, application="benchmark")
    began = time.perf_counter()
    await aggregates.refresh(db)
    await aggregates.refresh_snapshots(db, now=datetime.now(UTC))
    took = time.perf_counter() - began
    await owner.execute("vacuum analyze")
    await owner.close()
    return db, took


async def home(db: Database) -> None:
    """Read what the home shows."""
    async with db.transaction("benchmark.home", readonly=True) as tx:
        shown = await queries.overview(tx, PLATFORM)
        for placed in await widgets.shown_to(tx, "benchmark", ["ops_admin"]):
            await widgets.data_of(
                tx, placed.widget, now=datetime.now(UTC), tenant=PLATFORM, currency=shown.currency
            )


async def p95_ms(db: Database, looks: int) -> float:
    times = []
    for _ in range(looks):
        began = time.perf_counter()
        await home(db)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.quantiles(times, n=20)[18]


async def main(embedded: EmbeddedPostgres) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--looks", type=int, default=40)
    parser.add_argument("--payments", type=int, default=PAYMENTS, help="of the smaller one")
    given = parser.parse_args()
    async with bench.stage(embedded) as stage:
        other = await bench.clone(embedded, "bench_many")
        few, _ = await fill(stage.dsn, times=1, payments=given.payments)
        many, took = await fill(other, times=TIMES, payments=given.payments)
        rows = given.payments * TIMES
        print(f"aggregates of {rows:,} payments from nothing: {took:.1f} s", flush=True)
        await p95_ms(few, 10)
        await p95_ms(many, 10)
        ours, base = [], []
        for _ in range(given.rounds):
            base.append(await p95_ms(few, given.looks))
            ours.append(await p95_ms(many, given.looks))
        await few.close()
        await many.close()
    bench.finish(
        bench.report_at_most(
            f"dashboard home, p95 at {TIMES} times the data",
            ours=ours,
            base=base,
            unit="ms",
            ceiling=RATIO_MAX,
        )
    )


if __name__ == "__main__":
    with bench.server() as running:
        asyncio.run(main(running))
