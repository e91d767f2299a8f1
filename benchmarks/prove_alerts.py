"""
Incidents by the thousand, and the workers that notice them die: none is missed, none comes twice.

Two readers of measurements and a worker for jobs are processes of their own; they, and the
database's backends that serve them, are killed now and then. Floats of agents fall and rise
in real time meanwhile. What is measured comes out of order, within the lateness that is
allowed, and some of it twice. At the end there is exactly one alert for each incident, that
began when the incident did, written within 30 s of it; of those that last somebody was told
within 30 s as well, once. Then the safety is taken away, and that must go wrong: what was
read is judged after the position has moved, not with it.

    .venv/bin/python benchmarks/prove_alerts.py --incidents 1000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import contextvars
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import asyncpg
import structlog

import stage as bench
from molam.alerts import jobs as alerts_jobs
from molam.alerts.rules.commands import publish
from molam.alerts.rules.model import Sample
from molam.alerts.runtime import Watch
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.platform.db import Database, ProcessRole, Tx, open_database
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.events import Consumer, run_consumers
from molam.platform.jobs import run_jobs
from molam.platform.settings import Secret

KEY = Secret("p" * 48)
GOOD, BAD = Decimal(2_000_000), Decimal(400_000)
AGENTS = 100
LASTING = 5
"""One incident in so many does not end, and is the only one of its agent: of it people are told."""
EVERY_S = 9.0
LASTS_S = 1.5
DELAY_MAX_S = 2.5
TWICE = 0.2
NOTICED_S = 30.0
WAIT_S = 40.0
SOMEBODY = """
    with person as (
        insert into tenancy.people (id, name, email) values ('on.call', 'On Call', 'on.call@example.com')
        returning id
    )
    insert into tenancy.role_grants (id, person_id, role, granted_at, granted_by)
    select gen_random_uuid(), id, 'ops_admin', now() - interval '30 days', 'prove' from person
"""
"""Whom the rule has told."""
ALERTS = """
    select a.tenant_id, a.fired_at, a.created_at, a.notified_at,
           (select count(*) from alerts.alert_moves m where m.alert_id = a.id and m.moved = 'told') as told
      from alerts.alerts a
"""
CLEAN = contextvars.Context()
READERS = ("reader-1", "reader-2")

RULE = """
    update alerts.metric_rules set keep_firing_s = 1, version = version + 1 where id = 'float_low'
"""


def watch_on(db: Database) -> Watch:
    known = registry()
    return Watch(Runtime(db, known, PolicyBook(known), "prove"), SystemClock(), KEY)


async def read(dsn: str, born: Connection, *, is_safe: bool) -> None:
    """Be a reader of measurements until killed."""
    db = await open_database(dsn, ProcessRole.WORKER, application="prove-reader")
    born.send(True)
    (consumer,) = alerts_jobs.consumers(watch_on(db))
    if not is_safe:
        consumer = forgetful(db, consumer)
    await run_consumers(db, [consumer], dsn=dsn, stop=asyncio.Event())


def forgetful(db: Database, consumer: Consumer) -> Consumer:
    """The safety removed: the position moves first, and the effect comes a moment later."""
    tasks: set[asyncio.Task[None]] = set()

    async def judge(texts: list[str]) -> None:
        await asyncio.sleep(0.3)
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            async with db.transaction("prove.forgetful") as tx:
                await consumer.handle(tx, texts)

    async def handle(tx: Tx, texts: list[str]) -> None:
        del tx
        loop = asyncio.get_running_loop()
        # Outside of the transaction that is open here.
        loop.call_later(0, lambda: tasks.add(loop.create_task(judge(texts), context=CLEAN)))

    return Consumer(consumer.group, consumer.topics, handle, batch_max=consumer.batch_max)


async def work(dsn: str, born: Connection) -> None:
    """Be the worker that does jobs until killed."""
    db = await open_database(dsn, ProcessRole.WORKER, application="prove-jobs")
    watch = watch_on(db)
    born.send(True)
    await run_jobs(
        db,
        dsn=dsn,
        handlers=alerts_jobs.handlers(watch),
        crons=alerts_jobs.crons(watch),
        stop=asyncio.Event(),
        lease_s=1.0,
    )


# Its children have everything imported when they begin, so that many can die.
NURSERY = multiprocessing.get_context("forkserver")


def live(role: str, dsn: str, *, born: Connection, is_safe: bool) -> None:
    """Be one of the processes that are killed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    asyncio.run(work(dsn, born) if role == "jobs" else read(dsn, born, is_safe=is_safe))


@dataclass
class World:
    """What is proved, the processes it is proved with, and what was injected."""

    dsn: str
    admin: asyncpg.Pool[Any]
    chance: random.Random
    is_safe: bool
    processes: dict[str, ForkServerProcess] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    injected: list[tuple[str, datetime]] = field(default_factory=list)
    lasting: set[tuple[str, datetime]] = field(default_factory=set)


async def start(world: World, name: str) -> None:
    hears, born = NURSERY.Pipe(duplex=False)
    process = NURSERY.Process(
        target=live,
        args=(name.partition("-")[0], world.dsn),
        kwargs={"born": born, "is_safe": world.is_safe},
        daemon=True,
    )
    world.processes[name] = process
    await asyncio.to_thread(process.start)
    born.close()
    # It may end before it begins: then its end of the pipe is closed.
    await asyncio.to_thread(hears.poll, 60)
    hears.close()


async def kill_now_and_then(world: World) -> None:
    while True:
        await asyncio.sleep(world.chance.uniform(0.3, 1.5))
        if world.chance.random() < 0.3:
            await _end_backend(world)
        else:
            name = world.chance.choice(sorted(world.processes))
            process = world.processes.pop(name)
            process.kill()
            await asyncio.to_thread(process.join)
            world.kills[name.partition("-")[0]] += 1
            await start(world, name)


async def _end_backend(world: World) -> None:
    pids = await world.admin.fetch(
        "select pid from pg_stat_activity where application_name like 'prove-%' order by pid"
    )
    if pids:
        pid = world.chance.choice(pids)["pid"]
        await world.admin.execute("select pg_terminate_backend($1)", pid)
        world.kills["backend"] += 1


def planned(world: World, count: int, begin: datetime) -> list[tuple[datetime, Sample]]:
    """Plan what is measured of each agent, and when it is told: late by up to 2.5 s."""
    chance = world.chance
    plan: list[tuple[datetime, Sample]] = []

    def add(agent: str, at: datetime, value: Decimal) -> None:
        sample = Sample(
            metric="float_available",
            value=value,
            tenant_type="agent",
            tenant_id=agent,
            currency="XOF",
            at=at,
            event_id=f"{agent}/{at.timestamp()}",
        )
        times = 2 if chance.random() < TWICE else 1
        delays = [timedelta(seconds=chance.random() * DELAY_MAX_S) for _ in range(times)]
        plan.extend((at + delay, sample) for delay in delays)

    agents = [f"agent-{n}" for n in range(min(AGENTS, count))]
    for number in range(count):
        lasts = number % LASTING == 0
        agent = f"lasting-{number}" if lasts else agents[number % len(agents)]
        round_s = EVERY_S * (number // len(agents))
        at = begin + timedelta(seconds=round_s + chance.random() * 3)
        world.injected.append((agent, at))
        add(agent, at - timedelta(seconds=0.5), GOOD)
        add(agent, at, BAD)
        add(agent, at + timedelta(seconds=LASTS_S / 2), BAD)
        if lasts:
            world.lasting.add((agent, at))
        else:
            add(agent, at + timedelta(seconds=LASTS_S), GOOD)
    plan.sort(key=lambda each: each[0])
    return plan


async def inject(world: World, db: Database, count: int) -> None:
    plan = planned(world, count, datetime.now(UTC) + timedelta(seconds=1))
    place = 0
    while place < len(plan):
        now = datetime.now(UTC)
        due = place
        while due < len(plan) and plan[due][0] <= now:
            due += 1
        if due > place:
            async with db.transaction("prove.tell") as tx:
                await publish(tx, [sample for _, sample in plan[place:due]], now=now)
            place = due
        await asyncio.sleep(0.05)


async def found(world: World, count: int) -> list[asyncpg.Record]:
    """Wait until there are as many alerts as incidents and people were told, and a moment more."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        rows = await world.admin.fetch(ALERTS)
        told = {(row["tenant_id"], row["fired_at"]) for row in rows if row["told"]}
        if len(rows) >= count and told >= world.lasting:
            await asyncio.sleep(3)
            break
        await asyncio.sleep(0.5)
    return list(await world.admin.fetch(ALERTS))


async def prove(world: World, count: int) -> bool:
    """Inject incidents while workers die; print and return whether all was noticed, once."""
    db = await open_database(world.dsn, ProcessRole.OPS, application="tell")
    for name in (*READERS, "jobs"):
        await start(world, name)
    killing = asyncio.create_task(kill_now_and_then(world))
    began = time.monotonic()
    await inject(world, db, count)
    rows = await found(world, count if world.is_safe else 10**9)
    killing.cancel()
    await asyncio.gather(killing, return_exceptions=True)
    for process in world.processes.values():
        process.kill()
        await asyncio.to_thread(process.join)
    await db.close()

    kills = ", ".join(f"{count} {what}" for what, count in sorted(world.kills.items()))
    print(f"{count} incidents in {time.monotonic() - began:.0f} s, killed {kills}: ", end="")
    is_noticed, is_told = noticed(world, rows), told(world, rows)
    return is_noticed and is_told


def noticed(world: World, rows: Sequence[asyncpg.Record]) -> bool:
    """Print and return whether there is one alert for each incident, in time."""
    seen = Counter((row["tenant_id"], row["fired_at"]) for row in rows)
    missed = sum(not seen[each] for each in world.injected)
    doubled = sum(times - 1 for times in seen.values()) + len(set(seen) - set(world.injected))
    took = sorted((row["created_at"] - row["fired_at"]).total_seconds() for row in rows)
    print(f"{missed} missed, {doubled} doubled or strange; noticed after {_times(took)}; ", end="")
    return bool(took) and missed == doubled == 0 and took[-1] <= NOTICED_S


def told(world: World, rows: Sequence[asyncpg.Record]) -> bool:
    """Print and return whether people heard of each incident that lasts, once and in time."""
    times = {(row["tenant_id"], row["fired_at"]): row["told"] for row in rows}
    untold = sum(not times.get(each) for each in world.lasting)
    twice = sum(each > 1 for each in times.values())
    took = sorted(
        (row["notified_at"] - row["fired_at"]).total_seconds()
        for row in rows
        if (row["tenant_id"], row["fired_at"]) in world.lasting and row["notified_at"]
    )
    print(
        f"of {len(world.lasting)} that last {untold} untold, {twice} told twice;"
        f" told after {_times(took)}: ",
        end="",
        flush=True,
    )
    return bool(took) and untold == twice == 0 and took[-1] <= NOTICED_S


def _times(took: Sequence[float]) -> str:
    if not took:
        return "(never)"
    return (
        f"{took[len(took) // 2]:.1f} s (median), {took[-1]:.1f} s (last; at most {NOTICED_S:.0f})"
    )


async def world_of(embedded: EmbeddedPostgres, seed: int, *, is_safe: bool) -> World:
    dsn = await bench.clone(embedded, f"prove_{'safe' if is_safe else 'control'}")
    admin = await asyncpg.create_pool(dsn, min_size=1, max_size=2)
    await admin.execute(RULE)
    await admin.execute(SOMEBODY)
    return World(dsn, admin, random.Random(seed), is_safe)


async def main(embedded: EmbeddedPostgres) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incidents", type=int, default=1000)
    parser.add_argument("--control", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()

    print(f"seed {given.seed}", flush=True)
    async with bench.stage(embedded):
        pass
    verdicts = []
    for is_safe, count in ((True, given.incidents), (False, given.control)):
        world = await world_of(embedded, given.seed, is_safe=is_safe)
        print("" if is_safe else "control, effects after the position: ", end="", flush=True)
        holds = await prove(world, count)
        verdicts.append(holds is is_safe)
        print("ok" if holds is is_safe else "FAIL", flush=True)
        await world.admin.close()
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    with bench.server() as running:
        code = asyncio.run(main(running))
    sys.exit(code)
