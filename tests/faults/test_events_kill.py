"""Overlapping writers and killed readers: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import signal

import asyncpg
import harness
import pytest

from molam.platform.db import ProcessRole, Tx, open_database
from molam.platform.events import Consumer, run_consumers

SEED = 20261116


@pytest.fixture
async def workers(dsn, db):
    await harness.make_effects(db)
    two = [harness.Worker(dsn), harness.Worker(dsn)]
    await asyncio.gather(*(worker.start() for worker in two))
    yield two
    for worker in two:
        await worker.end(signal.SIGKILL)


@pytest.mark.processes
async def test_killed_workers_lose_nothing_and_repeat_nothing(dsn, db, workers):
    writers = harness.Writers(db, SEED)

    await asyncio.gather(
        writers.write(2_000), harness.kill_now_and_then(workers, kills=6, seed=SEED)
    )
    seen = await harness.settled(db, len(writers.committed), seconds=20)

    assert sorted(seen) == sorted(writers.committed)
    assert [id_ for id_, times in seen.items() if times > 1] == []


@pytest.mark.processes
async def test_worker_told_to_stop_finishes_its_batch(dsn, db, workers):
    writers = harness.Writers(db, SEED)

    await asyncio.gather(writers.write(400), workers[0].end(signal.SIGTERM))
    await harness.settled(db, len(writers.committed), seconds=10)
    await workers[1].end(signal.SIGTERM)

    assert [worker.process.returncode for worker in workers] == [0, 0]


async def test_reader_that_goes_by_id_alone_loses_events(dsn, db):
    """The control: without the horizon, the same writers make events vanish."""
    writers = harness.Writers(db, SEED)
    reader = await asyncpg.connect(dsn)
    seen: list[str] = []

    async def read_by_id() -> None:
        last = 0
        while True:
            rows = await reader.fetch(
                "select id, payload ->> 'id' as event from platform.events"
                " where id > $1 order by id limit 500",
                last,
            )
            seen.extend(row["event"] for row in rows)
            last = rows[-1]["id"] if rows else last
            await asyncio.sleep(0.002)

    reading = asyncio.create_task(read_by_id())
    await writers.write(800)
    await asyncio.sleep(0.2)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await reader.close()

    assert set(writers.committed) - set(seen)


async def test_readers_survive_the_loss_of_every_connection(dsn, db):
    await harness.make_effects(db)
    victim = await open_database(dsn, ProcessRole.WORKER, application="victim")
    stop = asyncio.Event()

    async def record(tx: Tx, texts: list[str]) -> None:
        sql = "insert into public.effects select x ->> 'id' from unnest($1::json[]) x"
        await tx.connection.execute(sql, texts)

    consumer = Consumer("kpi", (harness.TOPIC,), record, batch_max=5)
    running = asyncio.create_task(run_consumers(victim, [consumer], dsn=dsn, stop=stop))
    admin = await asyncpg.connect(dsn)

    writers = harness.Writers(db, SEED)
    for _ in range(3):
        await writers.write(40)
        writers.seed += 1
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name in ('victim', 'molam bell')"
        )
    seen = await harness.settled(db, len(writers.committed), seconds=20)
    stop.set()
    await asyncio.wait_for(running, 5)
    await admin.close()
    await victim.close()

    assert sorted(seen.elements()) == sorted(writers.committed)
