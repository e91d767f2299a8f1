"""Writers that overlap, workers that are killed, and a count of what came of it."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from molam.platform import events
from molam.platform.db import Database

WORKER = Path(__file__).with_name("events_worker.py")
BROKER = Path(__file__).with_name("kafka_broker.py")
TOPIC = "wallet_txn_created"
AT = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)


def an_event(id_: str, key: str) -> events.Event:
    data = {"merchant_id": key, "amount": 5000}
    text = events.cloud_event(
        id_=id_, source="/tests", type_=TOPIC, subject=id_, time=AT, data=data
    )
    return events.Event(TOPIC, key, text)


async def make_effects(db: Database) -> None:
    async with db.transaction("tests.effects") as tx:
        await tx.connection.execute("create table public.effects (id text)")
        await tx.connection.execute("grant all on public.effects to molam_worker")


@dataclass
class Writers:
    """Concurrent transactions, each some events, a random while, and one in ten undone."""

    db: Database
    seed: int
    count: int = 4
    committed: list[str] = field(default_factory=list)

    async def write(self, total: int) -> None:
        await asyncio.gather(*(self._one(n, total // self.count) for n in range(self.count)))

    async def _one(self, number: int, total: int) -> None:
        chance = random.Random(f"{self.seed}.{number}")
        written = 0
        while written < total:
            ids = [f"{self.seed}.{number}.{written + n}" for n in range(chance.randint(1, 5))]
            written += len(ids)
            try:
                async with self.db.transaction("tests.write") as tx:
                    await events.publish(
                        tx, [an_event(id_, f"m{chance.randrange(50)}") for id_ in ids]
                    )
                    await asyncio.sleep(chance.random() * 0.02)
                    if chance.random() < 0.1:
                        raise ChangedMind
            except ChangedMind:
                continue
            self.committed += ids


class ChangedMind(Exception):
    pass


class Worker:
    """A process of `events_worker`, stopped at the latest when its test ends."""

    def __init__(self, dsn: str, *, brokers: str = "", role: str = "consumer") -> None:
        self._arguments = (dsn, brokers, role)
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(WORKER), *self._arguments, stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        # It logs to the same stream later; nobody reads that, and it is little.
        await self.process.stdout.readline()

    async def end(self, how: signal.Signals) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        await self.process.wait()

    async def kill_and_restart(self) -> None:
        await self.end(signal.SIGKILL)
        await self.start()


async def kill_now_and_then(workers: list[Worker], *, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(kills):
        await asyncio.sleep(0.2 + chance.random() * 0.4)
        await chance.choice(workers).kill_and_restart()


async def effects(db: Database) -> Counter[str]:
    async with db.transaction("tests.effects") as tx:
        records = await tx.connection.fetch("select id from public.effects")
    return Counter(record[0] for record in records)


async def settled(db: Database, expected: int, *, seconds: float) -> Counter[str]:
    """Wait until *expected* different events have had effect, and a moment for repeats."""
    async with asyncio.timeout(seconds):
        while len(await effects(db)) < expected:
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    return await effects(db)
