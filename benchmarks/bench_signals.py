"""
Signals about banks from the log into what is believed, against the log merely being read.

Ten banks' signals wait in the log. Ours reads them, moves the beliefs and counts the
minutes, in the transaction that moves the position; the limit reads them and does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from datetime import UTC, datetime
from typing import cast

import asyncpg

import stage as bench
from molam.approvals.runtime import Runtime
from molam.kernel.clock import SystemClock
from molam.mesh.runtime import Mesh
from molam.mesh.signals import intake, messages
from molam.payments.banks import signals
from molam.platform.db import Database, ProcessRole, Tx, open_database
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.events import Consumer
from molam.platform.events.consumer import Patience
from molam.platform.events.postgres_source import PostgresSource
from molam.platform.settings import Secret
from molam.sira.health_signal import Signal

BANKS = 10
RATIO_MIN = 0.1
RATE_MIN = 2_000
FAILS = 0.01
KEY = Secret("a key of SIRA's for this benchmark")


async def _nothing(tx: Tx, texts: list[str]) -> None:
    del tx, texts


async def drained(db: Database, reader: Consumer) -> float:
    """Return how many signals a second *reader* takes from the log until it is empty."""
    source = PostgresSource(db, reader, asyncio.Event())
    await source.open()
    count, began = 0, time.perf_counter()
    while moved := await source.step(Patience()):
        count += moved
    return count / (time.perf_counter() - began)


async def told(db: Database, count: int, luck: random.Random) -> None:
    now = datetime.now(UTC)
    for first in range(0, count, 1000):
        async with db.transaction("bench.tell") as tx:
            await signals.note(
                tx,
                [
                    Signal(
                        bank_profile_id=f"bp_{luck.randrange(BANKS)}",
                        rail="bank",
                        currency="XOF",
                        kind="payout",
                        outcome="bank_technical" if luck.random() < FAILS else "ok",
                        at=now.timestamp() - 60 + (first + place) * 60 / count,
                        latency_ms=luck.randrange(100, 900),
                        amount=luck.randrange(1000, 100_000),
                    )
                    for place in range(1000)
                ],
                now=now,
            )


async def main(embedded: EmbeddedPostgres) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--signals", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()

    print(f"seed {given.seed}, {given.signals:,} signals a round, {BANKS} banks")
    luck = random.Random(given.seed)
    async with bench.stage(embedded) as stage:
        owner = await asyncpg.connect(stage.dsn)
        await owner.execute(
            "insert into payments.bank_profiles (id, name, country, currency_codes, rails,"
            " provider_type, connector) select 'bp_' || n, 'Bank ' || n, 'SN', '{XOF}', '{bank}',"
            " 'bank', 'http_bank' from generate_series(0, $1) as n",
            BANKS - 1,
        )
        await owner.close()
        db = await open_database(stage.dsn, ProcessRole.WORKER, application="bench")
        nobody = cast("Runtime", None)  # Nothing is approved here.
        taking = intake.consumer(Mesh(KEY, SystemClock(), nobody, "CEDEAO"))
        passing = Consumer("nobody", messages.TOPICS, _nothing, batch_max=intake.BATCH_MAX)
        ours, limit = [], []
        for _ in range(given.rounds):
            await told(db, given.signals, luck)
            limit.append(await drained(db, passing))
            ours.append(await drained(db, taking))
        await db.close()
    slowest = min(ours)
    print(f"slowest round: {slowest:,.0f} signals/s (at least {RATE_MIN:,})")
    bench.finish(
        bench.report(
            "signals taken in, in batches of 500",
            ours=ours,
            limit=limit,
            unit="signals/s",
            floor=RATIO_MIN,
        ),
        slowest >= RATE_MIN,
    )


if __name__ == "__main__":
    with bench.server() as running:
        asyncio.run(main(running))
