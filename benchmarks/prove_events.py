"""Prove at length that events are neither lost nor doubled, whoever is killed."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from confluent_kafka import Producer

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "faults"))

import harness  # noqa: E402 - shared with the tests, which find it beside them.

from molam.platform import events  # noqa: E402
from molam.platform.db import Database, ProcessRole, Tx, open_database  # noqa: E402
from molam.platform.db.migrations import migrate  # noqa: E402
from molam.platform.embedded import EmbeddedPostgres  # noqa: E402

FAILED: list[str] = []


def verdict(name: str, said: str, *, holds: bool) -> None:
    print(f"{'ok  ' if holds else 'FAIL'} {name}: {said}", flush=True)
    if not holds:
        FAILED.append(name)


def compare(name: str, seen: Counter[str], expected: list[str], said: str) -> None:
    lost = len(set(expected) - set(seen))
    twice = sum(times > 1 for times in seen.values())
    strange = len(set(seen) - set(expected))
    verdict(
        name,
        f"{len(expected)} events, {said}: {lost} lost, {twice} twice",
        holds=lost == twice == strange == 0,
    )


@asynccontextmanager
async def a_database(admin_dsn: str) -> AsyncIterator[tuple[str, Database]]:
    name = f"molam_prove_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(admin_dsn)
    await admin.execute(f"create database {name}")
    dsn = urlsplit(admin_dsn)._replace(path=f"/{name}").geturl()
    await migrate(dsn, ROOT / "migrations")
    db = await open_database(dsn, ProcessRole.OWNER, application="prove")
    await harness.make_effects(db)
    try:
        yield dsn, db
    finally:
        await db.close()
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


@asynccontextmanager
async def workers(*given: harness.Worker) -> AsyncIterator[list[harness.Worker]]:
    await asyncio.gather(*(worker.start() for worker in given))
    try:
        yield list(given)
    finally:
        for worker in given:
            await worker.end(signal.SIGKILL)


@asynccontextmanager
async def a_broker() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(harness.BROKER), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


async def prove_log(admin_dsn: str, seed: int, scale: float) -> None:
    kills = round(20 * scale)
    async with (
        a_database(admin_dsn) as (dsn, db),
        workers(harness.Worker(dsn), harness.Worker(dsn)) as two,
    ):
        writers = harness.Writers(db, seed)
        await asyncio.gather(
            writers.write(round(18_000 * scale)),
            harness.kill_now_and_then(two, kills=kills, seed=seed),
        )
        seen = await harness.settled(db, len(writers.committed), seconds=120)
    compare("log, horizon", seen, writers.committed, f"4 writers, {kills} kills")


async def prove_naive(admin_dsn: str, seed: int, scale: float) -> None:
    seen: list[str] = []

    async def read_by_id(reader: asyncpg.Connection) -> None:
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

    async with a_database(admin_dsn) as (dsn, db):
        reader = await asyncpg.connect(dsn)
        reading = asyncio.create_task(read_by_id(reader))
        writers = harness.Writers(db, seed)
        await writers.write(round(6_000 * scale))
        await asyncio.sleep(0.5)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await reader.close()
    lost = len(set(writers.committed) - set(seen))
    verdict(
        "control: by id alone",
        f"{len(writers.committed)} events, no kills: {lost} lost (must not be 0)",
        holds=lost > 0,
    )


async def prove_kafka(admin_dsn: str, seed: int, scale: float) -> None:
    total, kills = round(20_000 * scale), max(1, round(6 * scale))
    chosen = [harness.an_event(f"{seed}.{n}", f"m{n % 200}") for n in range(total)]
    chance = random.Random(seed)
    async with a_broker() as brokers, a_database(admin_dsn) as (dsn, db):
        given = [harness.Worker(dsn, brokers=brokers) for _ in range(2)]
        async with workers(*given) as two:
            producer = Producer({"bootstrap.servers": brokers, "partitioner": "consistent"})
            for kill in range(kills):
                for event in chosen[kill * total // kills : (kill + 1) * total // kills]:
                    producer.produce(event.topic, event.payload.encode(), event.key.encode())
                producer.flush(30)
                floor = kill * total // kills
                while len(await harness.effects(db)) <= floor:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(chance.random() * 0.5)
                await two[kill % 2].kill_and_restart()
            seen = await harness.settled(db, total, seconds=180)
    expected = [f"{seed}.{n}" for n in range(total)]
    compare("kafka, compare-and-swap", seen, expected, f"{kills} kills")


async def prove_relay(admin_dsn: str, seed: int, scale: float) -> None:
    kills = max(1, round(8 * scale))
    async with a_broker() as brokers, a_database(admin_dsn) as (dsn, db):
        relays = [harness.Worker(dsn, brokers=brokers, role="relay") for _ in range(2)]
        async with workers(harness.Worker(dsn, brokers=brokers), *relays):
            writers = harness.Writers(db, seed)
            await asyncio.gather(
                writers.write(round(8_000 * scale)),
                harness.kill_now_and_then(relays, kills=kills, seed=seed),
            )
            seen = await harness.settled(db, len(writers.committed), seconds=120)
    lost = len(set(writers.committed) - set(seen))
    twice = sum(times > 1 for times in seen.values())
    verdict(
        "log, relay, kafka",
        f"{len(writers.committed)} events, {kills} relays killed: {lost} lost,"
        f" {twice} published twice (allowed; facts carry ids)",
        holds=lost == 0,
    )


async def prove_latency(admin_dsn: str, _seed: int, scale: float) -> None:
    waits: list[float] = []

    async def handle(_tx: Tx, texts: list[str]) -> None:
        stamps.extend(float(json.loads(text)["subject"]) for text in texts)

    stamps: list[float] = []
    stop = asyncio.Event()
    async with a_database(admin_dsn) as (dsn, db):
        consumer = events.Consumer("kpi", (harness.TOPIC,), handle)
        running = asyncio.create_task(events.run_consumers(db, [consumer], dsn=dsn, stop=stop))
        await asyncio.sleep(1)
        for n in range(round(500 * scale)):
            key = f"m{n}"
            async with db.transaction("prove.latency") as tx:
                text = events.cloud_event(
                    id_=key,
                    source="/prove",
                    type_=harness.TOPIC,
                    subject=str(time.perf_counter()),
                    time=harness.AT,
                    data={"merchant_id": key},
                )
                await events.publish(tx, [events.Event(harness.TOPIC, key, text)])
            while not stamps:
                await asyncio.sleep(0.0002)
            waits.append((time.perf_counter() - stamps.pop()) * 1000)
            await asyncio.sleep(0.005)
        stop.set()
        await running
    p50, p95 = statistics.median(waits), statistics.quantiles(waits, n=20)[-1]
    verdict(
        "log, commit to handler", f"p50 {p50:.1f} ms, p95 {p95:.1f} ms (limit 10)", holds=p95 < 10
    )


PROOFS = (prove_log, prove_naive, prove_kafka, prove_relay, prove_latency)


async def main(admin_dsn: str, seed: int, scale: float) -> None:
    print(f"seed {seed}, scale {scale}", flush=True)
    for proof in PROOFS:
        await proof(admin_dsn, seed, scale)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    given = os.environ.get("MOLAM_TEST_DATABASE_URL")
    if given:
        asyncio.run(main(given, options.seed, options.scale))
    else:
        with tempfile.TemporaryDirectory(prefix="molam-prove-") as home:
            Path(home).chmod(0o711)
            server = EmbeddedPostgres(Path(home))
            server.start()
            try:
                asyncio.run(main(server.dsn("postgres"), options.seed, options.scale))
            finally:
                server.stop()
    sys.exit(1 if FAILED else 0)
