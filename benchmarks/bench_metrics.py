"""
Measurements from the log through 1,000 rules into series and minutes, in one worker.

A thousand agents, each judged by a rule of its own, are measured ten thousand times a second
by the time of what is measured; one value in a hundred is bad. Ours reads the log, judges,
keeps what is too young waiting, and counts the minutes, in the transaction that moves the
position. The limit does the same batches in bare SQL, one statement each: it reads the log,
remembers each event and adds it to its minute, and judges nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast

import asyncpg

import stage as bench
from molam.alerts.rules import intake
from molam.alerts.rules.commands import publish
from molam.alerts.rules.model import Sample, Transition
from molam.alerts.runtime import Watch
from molam.approvals.runtime import Runtime
from molam.kernel.clock import SystemClock
from molam.platform.db import Database, ProcessRole, Tx, open_database
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.events.consumer import Patience
from molam.platform.events.postgres_source import PostgresSource
from molam.platform.settings import Secret

RULES = 1000
RATE = 10_000
BAD = 0.01
RATIO_MIN = 0.5
KEY = Secret("a key of SIRA's for this benchmark")

MANY_RULES = """
    insert into alerts.metric_rules
           (id, alert_type, metric, comparison, tenant_type, tenant_id, currency, unit, fire_at, clear_at,
            critical_at, keep_firing_s)
    select 'bench_' || n, 'float_low', 'float_available', 'below', 'agent', 'agent-' || n, 'XOF', 'amount',
           1000000, 1100000, 500000, 60
      from generate_series(0, $1 - 1) as n
"""

# What the batch is, without anything of ours: read from the log, each event once, its minute.
BARE = """
    with batch as materialized (
        select e.id as pos, (e.payload ->> 'id')::uuid as id, e.payload -> 'data' as d
          from platform.events as e
         where e.id > $1
         order by e.id
         limit $2
    ), heard as (
        insert into bare.heard (id) select id from batch on conflict do nothing
    ), measured as materialized (
        select d ->> 'metric' as metric, d ->> 'tenant_type' as tenant_type, d ->> 'tenant_id' as tenant_id,
               d ->> 'currency' as currency, (d ->> 'timestamp')::timestamptz as at,
               (d ->> 'value')::numeric as value
          from batch
    ), counted as (
        insert into bare.points as p (metric, tenant_type, tenant_id, currency, minute, last_at, last_value,
                                      low, high, total, samples)
        select metric, tenant_type, tenant_id, currency, date_trunc('minute', at), max(at),
               (array_agg(value order by at desc))[1], min(value), max(value), sum(value), count(*)
          from measured
         group by 1, 2, 3, 4, 5
         order by 1, 2, 3, 4, 5
            on conflict (metric, tenant_type, tenant_id, currency, minute) do update
           set last_at = greatest(p.last_at, excluded.last_at),
               last_value = case when excluded.last_at >= p.last_at then excluded.last_value
                                 else p.last_value end,
               low = least(p.low, excluded.low), high = greatest(p.high, excluded.high),
               total = p.total + excluded.total, samples = p.samples + excluded.samples
    )
    select max(pos), count(*) from batch
"""
BARE_TABLES = """
    create schema bare;
    create table bare.heard (like alerts.heard_events including all);
    create table bare.points (like alerts.metric_points including all)
"""


def measured(count: int, begin: datetime, luck: random.Random) -> list[Sample]:
    return [
        Sample(
            metric="float_available",
            value=Decimal(400_000 if luck.random() < BAD else luck.randrange(1_200_000, 9_000_000)),
            tenant_type="agent",
            tenant_id=f"agent-{luck.randrange(RULES)}",
            currency="XOF",
            at=begin + timedelta(seconds=number / RATE),
        )
        for number in range(count)
    ]


async def told(db: Database, samples: Sequence[Sample]) -> None:
    for first in range(0, len(samples), 1000):
        chunk = samples[first : first + 1000]
        async with db.transaction("bench.tell") as tx:
            await publish(tx, chunk, now=chunk[-1].at)


class Ours:
    """The product's own reader; what becomes true is only counted."""

    def __init__(self, db: Database) -> None:
        self.transitions = 0
        watch = Watch(cast("Runtime", None), SystemClock(), KEY)
        self._source = PostgresSource(db, intake.consumer(watch, self._count), asyncio.Event())

    async def _count(self, tx: Tx, watch: Watch, transitions: Sequence[Transition]) -> None:
        del tx, watch
        self.transitions += len(transitions)

    async def open(self) -> None:
        await self._source.open()

    async def drained(self) -> float:
        count, began = 0, time.perf_counter()
        while moved := await self._source.step(Patience()):
            count += moved
        return count / (time.perf_counter() - began)


class Bare:
    """The same batches, read from the log and written by one statement each."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pos = 0

    async def drained(self) -> float:
        connection = await asyncpg.connect(self._dsn)
        count, began = 0, time.perf_counter()
        while True:
            pos, moved = await connection.fetchrow(BARE, self._pos, intake.BATCH_MAX)
            if not moved:
                break
            self._pos, count = pos, count + moved
        took = time.perf_counter() - began
        await connection.close()
        return count / took


async def main(embedded: EmbeddedPostgres) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()

    print(f"seed {given.seed}, {given.events:,} measurements a round, {RULES:,} rules")
    luck = random.Random(given.seed)
    async with bench.stage(embedded) as stage:
        owner = await asyncpg.connect(stage.dsn)
        await owner.execute(MANY_RULES, RULES)
        await owner.execute(BARE_TABLES)
        await owner.close()
        db = await open_database(stage.dsn, ProcessRole.WORKER, application="bench")
        taking, limited = Ours(db), Bare(stage.dsn)
        await taking.open()
        ours, limit = [], []
        begin = datetime.now(UTC) - timedelta(hours=1)
        for _ in range(given.rounds + 1):
            samples = measured(given.events, begin, luck)
            begin = samples[-1].at
            await told(db, samples)
            limit.append(await limited.drained())
            ours.append(await taking.drained())
        await db.close()
    # The first round begins every series and every cache.
    print(f"{taking.transitions:,} transitions")
    bench.finish(report(ours[1:], limit[1:]))


def report(ours: Sequence[float], limit: Sequence[float]) -> bool:
    """Print the figure; True when it holds the rate itself, or enough of what this machine can."""
    ratio = statistics.median(mine / best for mine, best in zip(ours, limit, strict=True))
    is_good = min(ours) >= RATE or ratio >= RATIO_MIN
    print(
        f"measurements judged by 1,000 rules, one worker: ours {statistics.median(ours):,.0f}"
        f" measurements/s (slowest round {min(ours):,.0f}), limit {statistics.median(limit):,.0f}"
        f" measurements/s, ratio {ratio:.2f} (slowest round at least {RATE:,}, or ratio at least"
        f" {RATIO_MIN:.2f}) {'ok' if is_good else 'BELOW'}",
        flush=True,
    )
    return is_good


if __name__ == "__main__":
    with bench.server() as running:
        asyncio.run(main(running))
