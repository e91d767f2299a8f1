"""
Incidents by the thousand, and the workers that notice them die: none is missed, none comes twice.

Two readers of measurements, a worker for jobs and two that tell people are processes of their
own; they, and the database's backends that serve them, are killed now and then. Floats of agents
fall and rise in real time meanwhile. What is measured comes out of order, within the lateness
that is allowed, and some of it twice. At the end there is exactly one alert for each incident,
that began when the incident did, and in somebody's inbox exactly one notice of each and one of
its end: alert and notice seen from outside within 30 s of the event, the way of the measurement
to us included.

Of one agent people rightly hear no more often than every 5 minutes unless it gets worse, and of
a group of agents in one notice. So each agent has two incidents, a warning and then a critical
one, each incident is of a region of its own, and so is told for itself; and it lasts longer than
the 30 s within which it must be told. A warning waits 10 s for company.

Then a safety is taken away, one after the other, and that must go wrong: what was read is judged
after the position has moved, not with it; an alert is marked as told before somebody is; somebody
is told, under a new name each time, before the alert is marked.

    .venv/bin/python benchmarks/prove_alerts.py --incidents 1000
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any
from uuid import uuid4

import asyncpg
import structlog

import stage as bench
from molam.alerts import jobs as alerts_jobs
from molam.alerts.episodes import jobs as episode_jobs
from molam.alerts.rules.commands import publish
from molam.alerts.rules.model import Sample
from molam.alerts.runtime import Watch
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.notices import commands as notices
from molam.notices.model import Notice
from molam.platform.db import Database, ProcessRole, Tx, open_database
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.events import Consumer, run_consumers
from molam.platform.jobs import Cron, JobHandler, run_jobs
from molam.platform.settings import Secret

KEY = Secret("p" * 48)
GOOD, LOW, LOWEST = Decimal(2_000_000), Decimal(700_000), Decimal(400_000)
NOTICED_S = 30.0
LASTS_S = 35.0
BETWEEN_S = 30.0
"""Between an agent's two incidents: of what is back before people were told that it is over, nobody is."""
RATE = 8.0
"""How many incidents begin in a second, of either kind."""
MEASURED_EVERY_S = 7.0
DELAY_MAX_S = 2.5
TWICE = 0.2
WAIT_S = 45.0
LOOK_S = 0.25
SLOWLY_S = {"judged": 0.5, "lost": 1.0, "doubled": 0.3}
"""What a control does in two steps has so much between them; the last holds up others meanwhile."""
SOMEBODY = """
    with person as (
        insert into tenancy.people (id, name, email) values ('on.call', 'On Call', 'on.call@example.com')
        returning id
    )
    insert into tenancy.role_grants (id, person_id, role, granted_at, granted_by)
    select gen_random_uuid(), id, 'ops_admin', now() - interval '30 days', 'prove' from person
"""
"""Whom the rule has told."""
RULE = """
    update alerts.metric_rules set keep_firing_s = 1, version = version + 1 where id = 'float_low'
"""
ALERTS = "select id::text, tenant_id, fired_at from alerts.alerts"
NOTICES = """
    select i.id, n.kind, n.subject
      from notices.inbox i
      join notices.notices n on n.id = i.notice_id
"""
PROCESSES = ("reader-1", "reader-2", "jobs-1", "teller-1", "teller-2")

CONTROLS = {
    "judged": "effects after the position",
    "lost": "marked as told before anybody is",
    "doubled": "told by a new name before it is marked",
}
"""What is taken away, one at a time, and must go wrong."""


def watch_on(db: Database) -> Watch:
    known = registry()
    return Watch(Runtime(db, known, PolicyBook(known), "prove"), SystemClock(), KEY)


async def read(dsn: str, born: Connection, control: str) -> None:
    """Be a reader of measurements until killed."""
    db = await open_database(dsn, ProcessRole.WORKER, application="prove-reader")
    born.send(True)
    (consumer,) = alerts_jobs.consumers(watch_on(db))
    if control == "judged":
        consumer = forgetful(db, consumer)
    await run_consumers(db, [consumer], dsn=dsn, stop=asyncio.Event())


async def work(dsn: str, born: Connection, control: str) -> None:
    """Be the worker that does all jobs but telling until killed."""
    del control
    db = await open_database(dsn, ProcessRole.WORKER, application="prove-jobs")
    watch = watch_on(db)
    tells = {each.name for each in episode_jobs.handlers()}
    tells |= {each.name for each in episode_jobs.crons()}
    handlers = [each for each in alerts_jobs.handlers(watch) if each.name not in tells]
    crons = [each for each in alerts_jobs.crons(watch) if each.name not in tells]
    await do(db, dsn, born, handlers, crons)


async def tell(dsn: str, born: Connection, control: str) -> None:
    """Be a worker that tells people until killed."""
    db = await open_database(dsn, ProcessRole.WORKER, application="prove-teller")
    if control == "lost":
        notices.tell = marked_first(db, notices.tell)  # type: ignore[assignment]
    if control == "doubled":
        notices.tell = told_first(db, notices.tell)  # type: ignore[assignment]
    await do(db, dsn, born, episode_jobs.handlers(), episode_jobs.crons())


async def do(
    db: Database,
    dsn: str,
    born: Connection,
    handlers: Sequence[JobHandler],
    crons: Sequence[Cron],
) -> None:
    born.send(True)
    await run_jobs(db, dsn=dsn, handlers=handlers, crons=crons, stop=asyncio.Event(), lease_s=1.0)


ROLES = {"reader": read, "jobs": work, "teller": tell}


class Apart:
    """Transactions outside of the one that is open here."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Callable[[Tx], Coroutine[Any, Any, object]]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._do(work), context=contextvars.Context())
        self._tasks.add(task)
        return task

    async def _do(self, work: Callable[[Tx], Coroutine[Any, Any, object]]) -> None:
        async with self._db.transaction("prove.apart") as tx:
            await work(tx)


def forgetful(db: Database, consumer: Consumer) -> Consumer:
    """The safety removed: the position moves first, and the effect comes a moment later."""
    apart = Apart(db)

    async def handle(tx: Tx, texts: list[str]) -> None:
        del tx

        async def judge(later: Tx) -> None:
            await asyncio.sleep(SLOWLY_S["judged"])
            await consumer.handle(later, texts)

        apart.begin(judge)

    return Consumer(consumer.group, consumer.topics, handle, batch_max=consumer.batch_max)


Telling = Callable[[Tx, Notice], Coroutine[Any, Any, int]]


def marked_first(db: Database, given: Telling) -> Telling:
    """The safety removed: the mark is kept first, and the notice comes a moment later."""
    apart = Apart(db)

    async def later(tx: Tx, notice: Notice) -> int:
        del tx

        async def send(other: Tx) -> None:
            await asyncio.sleep(SLOWLY_S["lost"])
            await given(other, notice)

        apart.begin(send)
        return 0

    return later


def told_first(db: Database, given: Telling) -> Telling:
    """The safeties removed: the notice comes first, and has no name of its own."""
    apart = Apart(db)

    async def sooner(tx: Tx, notice: Notice) -> int:
        del tx
        nameless = replace(notice, key=f"prove/{uuid4()}")
        await apart.begin(lambda other: given(other, nameless))
        await asyncio.sleep(SLOWLY_S["doubled"])
        return 0

    return sooner


# Its children have everything imported when they begin, so that many can die.
NURSERY = multiprocessing.get_context("forkserver")


def live(role: str, dsn: str, *, born: Connection, control: str) -> None:
    """Be one of the processes that are killed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    asyncio.run(ROLES[role](dsn, born, control))


@dataclass(frozen=True, slots=True)
class Incident:
    agent: str
    at: datetime
    value: Decimal
    region: str

    @property
    def kind(self) -> str:
        return "warnings" if self.value == LOW else "critical"


@dataclass
class World:
    """What is proved, the processes it is proved with, what was injected and what was seen."""

    dsn: str
    admin: asyncpg.Pool[Any]
    chance: random.Random
    control: str
    processes: dict[str, ForkServerProcess] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    incidents: list[Incident] = field(default_factory=list)
    alerts: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    notices: dict[int, tuple[str, str]] = field(default_factory=dict)
    seen_at: dict[str | int, datetime] = field(default_factory=dict)
    """When each alert and each entry of an inbox could be seen by others for the first time."""


async def start(world: World, name: str) -> None:
    hears, born = NURSERY.Pipe(duplex=False)
    process = NURSERY.Process(
        target=live,
        args=(name.partition("-")[0], world.dsn),
        kwargs={"born": born, "control": world.control},
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
        await asyncio.sleep(world.chance.uniform(0.3, 1.2))
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
        "select pid from pg_stat_activity where application_name like 'prove-%'"
        " or application_name in ('molam jobs', 'molam bell') order by pid"
    )
    if pids:
        pid = world.chance.choice(pids)["pid"]
        await world.admin.execute("select pg_terminate_backend($1)", pid)
        world.kills["backend"] += 1


def planned(world: World, count: int, begin: datetime) -> list[tuple[datetime, Sample]]:
    """Plan what is measured of each agent, and when it is told: late by up to 2.5 s."""
    chance = world.chance
    plan: list[tuple[datetime, Sample]] = []

    def add(incident: Incident, after_s: float, value: Decimal) -> None:
        at = incident.at + timedelta(seconds=after_s)
        sample = Sample(
            metric="float_available",
            value=value,
            tenant_type="agent",
            tenant_id=incident.agent,
            currency="XOF",
            at=at,
            event_id=f"{incident.agent}/{at.timestamp()}",
            context={"region": incident.region},
        )
        times = 2 if chance.random() < TWICE else 1
        delays = [timedelta(seconds=chance.random() * DELAY_MAX_S) for _ in range(times)]
        plan.extend((at + delay, sample) for delay in delays)

    for number in range(count):
        agent, is_worse = divmod(number, 2)
        if not is_worse:
            at = begin + timedelta(seconds=chance.random() * count / RATE)
        else:
            at += timedelta(seconds=LASTS_S + BETWEEN_S)
        incident = Incident(f"agent-{agent}", at, LOWEST if is_worse else LOW, f"r{number}")
        world.incidents.append(incident)
        add(incident, -0.5, GOOD)
        for again in range(int(LASTS_S / MEASURED_EVERY_S)):
            add(incident, again * MEASURED_EVERY_S, incident.value)
        add(incident, LASTS_S, GOOD)
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


async def look(world: World) -> None:
    """Note again and again what can be seen."""
    while True:
        await see(world)
        await asyncio.sleep(LOOK_S)


async def see(world: World) -> None:
    alerts = await world.admin.fetch(ALERTS)
    notices = await world.admin.fetch(NOTICES)
    now = datetime.now(UTC)
    for row in alerts:
        world.alerts[row["id"]] = (row["tenant_id"], row["fired_at"])
        world.seen_at.setdefault(row["id"], now)
    for row in notices:
        world.notices[row["id"]] = (row["kind"], row["subject"])
        world.seen_at.setdefault(row["id"], now)


async def prove(world: World, count: int) -> Verdict:
    """Inject incidents while workers die; judge once everybody has heard, or had the time to."""
    db = await open_database(world.dsn, ProcessRole.OPS, application="tell")
    for name in PROCESSES:
        await start(world, name)
    others = [asyncio.create_task(kill_now_and_then(world)), asyncio.create_task(look(world))]
    began = time.monotonic()
    await inject(world, db, count)
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and len(world.notices) < 2 * count:
        await asyncio.sleep(0.5)
    # What comes twice has the time to.
    await asyncio.sleep(3)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for process in world.processes.values():
        process.kill()
        await asyncio.to_thread(process.join)
    await see(world)
    await db.close()
    kills = ", ".join(f"{count} {what}" for what, count in sorted(world.kills.items()))
    print(f"{count} incidents in {time.monotonic() - began:.0f} s, killed {kills}", flush=True)
    return judged(world)


@dataclass(frozen=True, slots=True)
class Heard:
    """How often each incident came, and how long after its event it was seen."""

    what: str
    missed: int
    doubled: int
    took: Sequence[tuple[str, float]]
    """Of warnings and of what is critical."""

    @property
    def most_s(self) -> float:
        return max((seconds for _, seconds in self.took), default=0.0)

    @property
    def is_once(self) -> bool:
        return self.missed == self.doubled == 0

    def __str__(self) -> str:
        lines = [f"  {self.what}: {self.missed} missed, {self.doubled} doubled or strange"]
        for kind in sorted({kind for kind, _ in self.took}):
            times = sorted(seconds for known, seconds in self.took if known == kind)
            p50, p95 = (times[int(len(times) * share)] for share in (0.5, 0.95))
            lines.append(f"{kind} p50 {p50:.1f} s, p95 {p95:.1f} s, most {times[-1]:.1f} s")
        return "; ".join(lines)


@dataclass(frozen=True, slots=True)
class Verdict:
    alerts: Heard
    told: Heard
    ended: Heard

    @property
    def is_good(self) -> bool:
        return (
            self.alerts.is_once
            and self.told.is_once
            and self.ended.is_once
            and max(self.alerts.most_s, self.told.most_s) <= NOTICED_S
        )

    def fails_as(self, control: str) -> bool:
        """Tell whether it went wrong in the way that was to be expected."""
        match control:
            case "judged":
                return not self.alerts.is_once
            case "lost":
                return self.alerts.is_once and self.told.missed > 0
            case _:
                return self.alerts.is_once and self.told.doubled + self.ended.doubled > 0


def judged(world: World) -> Verdict:
    incidents = {(each.agent, each.at): each.kind for each in world.incidents}

    def heard(what: str, found: dict[Any, tuple[str, datetime] | None]) -> Heard:
        """Judge what was *found*, each thing with the incident it is of; None: of none."""
        times = Counter(found.values())
        return Heard(
            what,
            missed=sum(not times[each] for each in incidents),
            doubled=sum(n - 1 if each in incidents else n for each, n in times.items()),
            took=[
                (incidents[of], (world.seen_at[id_] - of[1]).total_seconds())
                for id_, of in found.items()
                if of in incidents
            ],
        )

    def told(kind: str) -> dict[Any, tuple[str, datetime] | None]:
        return {
            id_: world.alerts.get(subject.removeprefix("alert/"))
            for id_, (known, subject) in world.notices.items()
            if known == kind
        }

    verdict = Verdict(
        heard("alerts", dict(world.alerts)),
        heard("notices", told("alert_opened")),
        heard("notices of the end", told("alert_ended")),
    )
    ended = replace(verdict.ended, took=())
    for each in (verdict.alerts, verdict.told, ended):
        print(each, flush=True)
    return verdict


async def world_of(embedded: EmbeddedPostgres, seed: int, *, control: str) -> World:
    dsn = await bench.clone(embedded, f"prove_{control or 'safe'}")
    admin = await asyncpg.create_pool(dsn, min_size=1, max_size=3)
    await admin.execute(RULE)
    await admin.execute(SOMEBODY)
    return World(dsn, admin, random.Random(seed), control)


async def main(embedded: EmbeddedPostgres) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incidents", type=int, default=1000)
    parser.add_argument("--control", type=int, default=100, help="incidents of each control")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()

    print(f"seed {given.seed}", flush=True)
    async with bench.stage(embedded):
        pass
    verdicts = []
    for control in ("", *CONTROLS):
        world = await world_of(embedded, given.seed, control=control)
        print(f"control, {CONTROLS[control]}: " if control else "", end="", flush=True)
        verdict = await prove(world, given.control if control else given.incidents)
        verdicts.append(verdict.fails_as(control) if control else verdict.is_good)
        print("  ok" if verdicts[-1] else "  FAIL", flush=True)
        await world.admin.close()
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    NURSERY.set_forkserver_preload(sorted(each for each in sys.modules if "molam." in each))
    with bench.server() as running:
        code = asyncio.run(main(running))
    sys.exit(code)
