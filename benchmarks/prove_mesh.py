"""
Outages by the hundred, and everybody who could die does: no payout is lost, doubled or left.

Two senders and a controller are processes of their own; they, and the database's backends that
serve them, are killed now and then while one of three banks after the other dies, is left by
the controller, and comes back. Banks keep their books outside, in a database that nobody here
writes but they. At the end every payout has left through exactly one bank, once. After a route
has been applied, nothing is begun at the bank that was left. Then the gate is taken away, and
that must go wrong.

    .venv/bin/python benchmarks/prove_mesh.py --kills 1000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import asyncpg
import msgspec
import structlog

import stage as bench
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.kernel.refusals import Outage, Refusal
from molam.mesh.control import controller, reconciling
from molam.mesh.control import jobs as control_jobs
from molam.mesh.runtime import Mesh
from molam.payments.banks import gates, inquiries
from molam.payments.banks import jobs as banks_jobs
from molam.payments.banks.budgets import Budget, Restraint
from molam.payments.banks.connectors.interface import Bank
from molam.payments.banks.model import Instruction, Order, Outcome, Report
from molam.payments.banks.secrets import BankSecrets
from molam.payments.banks.teller import Patience, Teller
from molam.payments.payouts.sending import PayoutOwner
from molam.platform.db import Database, ProcessRole, Tx, open_database
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.jobs import run_jobs
from molam.platform.settings import Secret
from molam.sira import health_filter

BANKS = ("bank_a", "bank_b", "bank_c")
KEY = Secret("p" * 48)
PER_DRILL = 30
WAIT_S = 90.0
QUIET_S = 0.6
TELL_EVERY_S = 20.0
DEAD_WAIT_S = 0.02
AMPLE = Budget(per_s=1000.0, floor_max=1000.0, most=1000.0)
CLAIM_MS_MAX = 150
"""For so long a sender may hold what it has claimed before it commits."""

OUTSIDE = """
    create table book (bank text, key text, at timestamptz not null default clock_timestamp(),
                       primary key (bank, key));
    create table temper (bank text primary key, is_down boolean not null);
    insert into temper select unnest($$ {bank_a,bank_b,bank_c} $$::text[]), false
"""

INSIDE = """
    insert into tenancy.merchants (id, name, country, default_currency) values ('m', 'M', 'SN', 'XOF');
    insert into payments.bank_profiles (id, name, country, currency_codes, rails, provider_type, status,
                                        enabled, connector, at_once_max)
    select b, b, 'SN', '{XOF}', '{bank}', 'bank', 'active', true, 'http_bank', 200
      from unnest(array['bank_a', 'bank_b', 'bank_c']) as b;
    insert into payments.treasury_accounts (id, bank_profile_id, account_reference, currency)
    select 'ta_' || b, b, b, 'XOF' from unnest(array['bank_a', 'bank_b', 'bank_c']) as b;
    insert into mesh.mesh_members (id, mesh_region_id, bank_profile_id, status, capabilities, kyc_verified,
                                   contract_signed, compliance_status)
    select 'mm_' || b, 'region_cedeao', b, 'active',
           '{"max_amount_per_txn": 1000000000, "daily_volume_limit": 1000000000000000,
             "supported_currencies": ["XOF"]}', true, true, 'approved'
      from unnest(array['bank_a', 'bank_b', 'bank_c']) as b;
    insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)
    values ('XOF', 'bank', '{bank_a,bank_b,bank_c}', 'prove');
    update mesh.mesh_regions set auto_failover_enabled = true;
    update mesh.mesh_policies set mode = 'auto', rules = rules || '{"auto_failover_enabled": true}'
"""

PAYOUTS = """
    with made as (
        insert into payments.payouts
               (merchant_id, id, state, amount, currency, occurred_at, version, origin, asked_as, destination,
                scheduled_for, cutoff, reference_code, gross, bank_profile_id, treasury_account_id, created_by)
        select 'm', $1 || n, 'pending', 10000, 'XOF', now(), 1, 'molam', 'schedule',
               '{"type": "bank_account", "holder": "Awa Diop", "country": "SN", "account_number": "SN0001",
                 "bic": "AAAASNDA"}', now(), now(), $1 || n, 10000, $2, 'ta_' || $2, 'prove'
          from generate_series(1, $3) as n
     returning id
    )
    insert into jobs.pgqueuer (priority, entrypoint, payload, status, execute_after)
    select 0, 'payments.send', convert_to('{"kind":"payout","object_id":"' || id || '","version":1}', 'UTF8'),
           'queued', now() + random() * interval '4 seconds'
      from made
"""


class OutsideBank:
    """A bank whose books are another database; when it is down it may book and not answer."""

    kind = "http_bank"
    can_ask = True
    can_probe = True
    calls_back = False
    watches_s = 0.0

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    def wire_key(self, outward_key: str, attempt_no: int) -> str:
        del attempt_no
        return outward_key

    async def send(self, bank: Bank, order: Order) -> Report:
        down = await self._is_down(bank)
        await asyncio.sleep(DEAD_WAIT_S)
        if down and secrets.randbelow(2):
            raise Outage("bank")
        await self._pool.execute(
            "insert into book (bank, key) values ($1, $2) on conflict do nothing",
            *(bank.id, order.outward_key),
        )
        if down:
            raise Outage("bank")
        return Report("settled", amount=order.amount, currency=order.currency)

    async def inquire(self, bank: Bank, order: Order) -> Report | None:
        if await self._is_down(bank):
            raise Outage("bank")
        found = await self._pool.fetchval(
            "select count(*) from book where bank = $1 and key = $2", bank.id, order.outward_key
        )
        return Report("settled", amount=order.amount, currency=order.currency) if found else None

    async def probe(self, bank: Bank) -> None:
        if await self._is_down(bank):
            raise Outage("bank")

    async def _is_down(self, bank: Bank) -> bool:
        return bool(
            await self._pool.fetchval("select is_down from temper where bank = $1", bank.id)
        )


class Payouts(PayoutOwner):
    """Claims as payouts do, but slowly; without a balance behind it, settling is a state alone."""

    async def claim(self, tx: Tx, object_id: str) -> Instruction | None:
        given = await super().claim(tx, object_id)
        await asyncio.sleep(secrets.randbelow(CLAIM_MS_MAX) / 1000)
        return given

    async def settle(self, tx: Tx, object_id: str, outcome: Outcome) -> None:
        if outcome.state == "settled":
            await tx.connection.execute(
                "update payments.payouts set state = 'paid', ended_at = now(), version = version + 1"
                " where id = $1 and state = 'in_transit'",
                object_id,
            )


def mesh_on(db: Database) -> Mesh:
    known = registry()
    runtime = Runtime(db, known, PolicyBook(known), "prove")
    return Mesh(signing_key=KEY, clock=SystemClock(), approvals=runtime, region="CEDEAO")


async def send(dsn: str, outside: str, born: Connection) -> None:
    """Be a sender: do the jobs of banks and of the mesh until killed."""
    db = await open_database(dsn, ProcessRole.WORKER, application="prove-sender")
    pool = await asyncpg.create_pool(outside, min_size=1, max_size=4)
    teller = Teller(
        {"http_bank": OutsideBank(pool)},  # type: ignore[dict-item]
        {"payout": Payouts()},
        BankSecrets(root=KEY),
        "http://localhost",
        SystemClock(),
        Patience(
            lease_s=2,
            resend_after_s=1,
            sends_max=10**6,
            probe_s=0.2,
            failures_max=10**6,
            asks_s=(1,),
        ),
        # Whoever was killed between two questions asks both again, and nobody is to wait here.
        Restraint(inquiry=AMPLE, retry=AMPLE),
    )

    async def ask() -> None:
        while True:
            with contextlib.suppress(Outage, asyncpg.PostgresError, asyncpg.InterfaceError):
                await inquiries.enqueue_due(teller, db)
            await asyncio.sleep(0.5)

    asking = asyncio.create_task(ask())
    handlers = [*banks_jobs.handlers(teller), *control_jobs.handlers(mesh_on(db))]
    born.send(True)
    await run_jobs(db, dsn=dsn, handlers=handlers, stop=asyncio.Event(), lease_s=1.0)
    asking.cancel()


async def control(dsn: str, outside: str, born: Connection) -> None:
    """Be a controller: look again and again until killed."""
    del outside
    db = await open_database(dsn, ProcessRole.WORKER, application="prove-controller")
    mesh = mesh_on(db)
    born.send(True)
    while True:
        with contextlib.suppress(
            Outage,
            Refusal,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ):
            await controller.decide(db, mesh, "XOF", "bank")
        await asyncio.sleep(0.1)


ROLES = {"sender": send, "controller": control}

# Its children have everything imported when they begin, so that many can die.
NURSERY = multiprocessing.get_context("forkserver")


def live(role: str, dsn: str, outside: str, *, born: Connection, has_gate: bool) -> None:
    """Be one of the processes that are killed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if not has_gate:
        take_the_gate_away()
    asyncio.run(ROLES[role](dsn, outside, born))


def take_the_gate_away() -> None:
    """The safety removed: nobody waits for anybody, and no gate ever closes."""

    async def passes(*_args: object, **_more: object) -> bool:
        return True

    gates.share = passes  # type: ignore[assignment]
    gates.close = passes  # type: ignore[assignment]


@dataclass
class World:
    """What is proved, the processes it is proved with, and what has happened so far."""

    dsn: str
    outside: str
    admin: asyncpg.Pool[Any]
    books: asyncpg.Pool[Any]
    chance: random.Random
    has_gate: bool
    processes: dict[str, ForkServerProcess] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)
    kills: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    drills: int = 0
    payouts: int = 0
    late: int = 0
    is_resting: bool = True
    """Between two drills nobody is killed: whoever was, comes back, and ends what was begun."""
    apply_ms: list[int] = field(default_factory=list)

    @property
    def killed(self) -> int:
        return sum(self.kills.values())

    def note(self, what: str) -> None:
        self.kills[what] = self.kills.get(what, 0) + 1


async def start(world: World, name: str) -> None:
    hears, born = NURSERY.Pipe(duplex=False)
    role = name.partition("-")[0]
    process = NURSERY.Process(
        target=live,
        args=(role, world.dsn, world.outside),
        kwargs={"born": born, "has_gate": world.has_gate},
        daemon=True,
    )
    world.processes[name] = process
    await asyncio.to_thread(process.start)
    born.close()
    # It may end before it begins: then its end of the pipe is closed.
    await asyncio.to_thread(hears.poll, 60)
    hears.close()
    world.ready.add(name)


async def kill_now_and_then(world: World, kills: int) -> None:
    told = time.monotonic()
    async with asyncio.TaskGroup() as births:
        while True:
            await asyncio.sleep(world.chance.uniform(0.2, 0.6))
            for name in ended(world):
                births.create_task(start(world, name))
            if time.monotonic() - told >= TELL_EVERY_S:
                told = time.monotonic()
                tell(world)
            if world.killed >= kills or world.is_resting:
                continue
            if world.chance.random() < 0.7:
                await _end_backend(world)
            else:
                _end_process(world)


def ended(world: World) -> list[str]:
    """Take out whoever ended, and name them: whatever runs services starts them again."""
    names = [name for name, each in world.processes.items() if each.exitcode is not None]
    for name in names:
        del world.processes[name]
        world.ready.discard(name)
    return names


async def _end_backend(world: World) -> None:
    pids = await world.admin.fetch(
        "select pid, application_name from pg_stat_activity"
        " where application_name like 'prove-%' order by pid"
    )
    if pids:
        chosen = world.chance.choice(pids)
        await world.admin.execute("select pg_terminate_backend($1)", chosen["pid"])
        world.note("backend of " + chosen["application_name"].removeprefix("prove-"))


def _end_process(world: World) -> None:
    if world.ready:
        name = world.chance.choice(sorted(world.ready))
        world.ready.discard(name)
        world.processes[name].kill()
        world.note(name.partition("-")[0])


def belief_of(*, dead: bool) -> tuple[str, float]:
    """Say what is believed of a bank after what many payouts would have told."""
    at = datetime.now(UTC).timestamp()
    belief = health_filter.observe_many(
        health_filter.fresh(0.005), failures=0, oks=2000, at=at - 7200
    )
    told = {"failures": 12.0, "oks": 0.0} if dead else {"failures": 0.0, "oks": 20.0}
    belief = health_filter.observe_many(belief, **told, at=at)
    return msgspec.json.encode(belief).decode(), health_filter.p_down(belief)


async def drill(world: World) -> bool:
    """Let the bank that payouts go to die, be left and come back; False if it was not left."""
    bank = world.chance.choice(BANKS)
    world.drills += 1
    await make_ready(world, bank)
    await world.books.execute("update temper set is_down = true where bank = $1", bank)
    for each in BANKS:
        count = PER_DRILL if each == bank else PER_DRILL // 5
        await world.admin.execute(PAYOUTS, f"p{world.drills}{each[-1]}", each, count)
        world.payouts += count
    await asyncio.sleep(world.chance.uniform(0, 0.5))
    began = await world.admin.fetchval("select clock_timestamp()")
    # Its failures go on for as long as it is down and nobody has left it.
    failing = asyncio.create_task(_go_on_failing(world, bank))
    left = await _until(world, LEFT, began, bank)
    failing.cancel()
    await asyncio.gather(failing, return_exceptions=True)
    if left is not None:
        world.apply_ms.append(int(left))
        before = await _begun(world, bank)
        await asyncio.sleep(QUIET_S)
        late = await _begun(world, bank) - before
        world.late += late
        stayed = await _until(world, NONE_STAYS, bank)
        if late or stayed is None:
            await _explain(world, bank, f"{late} late, left behind: {stayed is None}")
        left = stayed
    else:
        await _explain(world, bank, "not left")
    return left is not None


async def make_ready(world: World, bank: str) -> None:
    """
    Let all be well, payouts go to *bank* first, and nothing of the drill before be under way.

    Somebody may have looked while its bank was down, and act on that only now: the bank would be
    left although it is well, and this drill's with it too many, which is rightly put to people.
    """
    world.is_resting, is_well = True, False
    while not is_well:
        await _settle(world)
        await _heal(world, bank)
        await asyncio.sleep(QUIET_S)
        is_well = await world.admin.fetchval(IS_WELL, bank)
    world.is_resting = False


UNDER_WAY = """
    with ended as (
        update mesh.mesh_routing_proposals
           set status = 'rejected', rejected_reason = 'the drill is over', reviewed_at = now()
         where status in ('proposed', 'simulated', 'approved')
     returning id
    )
    select (select count(*) from ended)
           + (select count(*) from jobs.pgqueuer
               where entrypoint = any(array['mesh.decide', 'mesh.apply', 'mesh.sweep', 'mesh.send_moved'])
                 and status <> 'failed')
           + (select count(*) from mesh.verdicts where decided_at <= $1)
"""
"""Ends what is only proposed, and counts that, jobs, and scopes that nobody has looked at since."""
IS_WELL = """
    select not exists (select from mesh.member_health where mode <> 'serving' or left_at is not null)
       and not exists (select from payments.bank_gates where not is_open)
       and exists (select from payments.bank_routes
                    where replaced_at is null and cause = 'prove' and bank_profile_ids[1] = $1)
"""


async def _settle(world: World) -> None:
    """Let every bank answer, and wait until nothing is under way any more."""
    await world.books.execute("update temper set is_down = false")
    belief, p_down = belief_of(dead=False)
    await world.admin.execute(
        "update mesh.member_health set belief = $1::text::jsonb, p_down = $2", belief, p_down
    )
    began = await world.admin.fetchval("select clock_timestamp()")
    deadline = time.monotonic() + WAIT_S
    quiet = 0
    while quiet < 2 and time.monotonic() < deadline:
        await asyncio.sleep(QUIET_S / 2)
        quiet = 0 if await world.admin.fetchval(UNDER_WAY, began) else quiet + 1


LEFT = """
    select duration_ms from mesh.mesh_action_logs
     where created_at > $1 and result in ('success', 'partial') and payload ->> 'from_bank_id' = $2
       and payload ->> 'gate_closed' = 'true'
"""
NONE_STAYS = """
    select 1 where not exists (select from payments.payouts
                                where bank_profile_id = $1 and state = 'pending' and attempts = 0)
"""


async def _go_on_failing(world: World, bank: str) -> None:
    while True:
        with contextlib.suppress(asyncpg.PostgresError):
            await world.admin.execute(
                "update mesh.member_health set belief = $2::text::jsonb, p_down = $3"
                " where bank_profile_id = $1 and mode = 'serving'",
                *(bank, *belief_of(dead=True)),
            )
        await asyncio.sleep(5)


async def _explain(world: World, bank: str, what: str) -> None:
    said = await world.admin.fetchval(
        "select string_agg(verdict || ' ' || reason || ' ' || detail::text, '; ') from mesh.verdicts"
    )
    done = await world.admin.fetch(
        "select action_type, result, coalesce(error_details, payload ->> 'share') as detail, duration_ms"
        " from mesh.mesh_action_logs order by created_at desc limit 3"
    )
    stands = await world.admin.fetch(
        "select bank_profile_id, mode, round(p_down::numeric, 3), now() - updated_at as age"
        " from mesh.member_health order by 1"
    )
    asked = await world.admin.fetch(
        "select status, kind, from_bank_id, now() - created_at as age"
        " from mesh.mesh_routing_proposals order by created_at desc limit 3"
    )
    for rows in (done, stands, asked):
        print("   ", *(tuple(str(value) for value in each) for each in rows))
    print(f"  drill {world.drills}, {bank}: {what}; {said}")


async def _until(world: World, statement: str, *given: object) -> Any:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = await world.admin.fetchval(statement, *given)
        if found is not None:
            return found
        await asyncio.sleep(0.02)
    return None


async def _begun(world: World, bank: str) -> int:
    found = await world.admin.fetchval(
        "select count(*) from payments.bank_attempts where bank_profile_id = $1", bank
    )
    return int(found)


async def _heal(world: World, bank: str) -> None:
    """Let all be well, and payouts go to *bank* first."""
    await world.books.execute("update temper set is_down = false where bank = $1", bank)
    for statement in (
        "delete from payments.bank_gates",
        (
            "update mesh.mesh_routing_proposals set applied_at = now() - interval '3 hours',"
            " shift_due_at = null where applied_at is not null"
        ),
    ):
        await world.admin.execute(statement)
    while not await _route_through(world, [bank, *(each for each in BANKS if each != bank)]):
        pass
    for each in BANKS:
        await world.admin.execute(
            "insert into mesh.member_health (bank_profile_id, rail, currency, belief, p_down, score,"
            " score_low, score_high) values ($1, 'bank', 'XOF', $2::text::jsonb, $3, 90, 80, 99)"
            " on conflict (bank_profile_id, rail, currency) do update set belief = excluded.belief,"
            " p_down = excluded.p_down, mode = 'serving', left_at = null, better_since = null,"
            " penalty = 0, strikes = 0, degraded_since = null, suppressed_since = null",
            *(each, *belief_of(dead=False)),
        )


async def _route_through(world: World, banks: Sequence[str]) -> bool:
    """Put a route in force; False if a controller that was late did so at the same moment."""
    await world.admin.execute(
        "update payments.bank_routes set replaced_at = now() where replaced_at is null"
    )
    try:
        await world.admin.execute(
            "insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)"
            " values ('XOF', 'bank', $1, 'prove')",
            list(banks),
        )
    except asyncpg.UniqueViolationError:
        return False
    return True


async def judged(world: World) -> list[str]:
    """Wait until all is paid, and say what is wrong."""
    deadline = time.monotonic() + 2 * WAIT_S
    open_ = -1
    while time.monotonic() < deadline and open_ != 0:
        open_ = await world.admin.fetchval(
            "select count(*) from payments.payouts where state <> 'paid'"
        )
        # What a killed sender had claimed a job for is offered again; the product does this
        # by the minute.
        await world.admin.execute(
            "insert into jobs.pgqueuer (priority, entrypoint, payload, status)"
            ' select 0, \'payments.send\', convert_to(\'{"kind":"payout","object_id":"\' || id'
            " || '\",\"version\":1}', 'UTF8'), 'queued' from payments.payouts"
            " where state = 'pending' limit 200"
        )
        await world.admin.execute(
            "update payments.bank_attempts set next_inquiry_at = now()"
            " where state in ('sending', 'accepted', 'unknown') and next_inquiry_at > now()"
            " and lease_until < now()"
        )
        await asyncio.sleep(2)
    keys = await world.books.fetch("select key, count(*) as times from book group by key")
    times = {row["key"].partition("~")[0]: row["times"] for row in keys}
    wrong = []
    if open_:
        wrong.append(f"{open_} payouts were never paid")
    doubled = [key for key, count in times.items() if count > 1]
    if doubled:
        wrong.append(f"{len(doubled)} left through two banks")
    lost = world.payouts - len(times)
    if lost:
        wrong.append(f"{lost} never reached a bank")
    if world.late:
        wrong.append(f"{world.late} were begun at a bank after it had been left")
    followed, still_open = await _reconciled(world)
    print(f"  {followed} reconciliations, {still_open} of them open", flush=True)
    if still_open and not open_:
        wrong.append(f"{still_open} reconciliations never closed")
    return wrong


async def _reconciled(world: World) -> tuple[int, int]:
    db = await open_database(world.dsn, ProcessRole.WORKER, application="judge")
    await reconciling.reconcile(db)
    await db.close()
    found = await world.admin.fetchrow(
        "select count(*), count(*) filter (where reconciliation_status = 'pending')"
        " from mesh.mesh_reconciliations"
    )
    return found[0], found[1]


def tell(world: World) -> None:
    said = ", ".join(f"{count} {what}" for what, count in sorted(world.kills.items()))
    print(
        f"  {time.monotonic() - world.began:.0f} s: {world.killed} kills ({said}); {world.drills} drills, {world.payouts} payouts,"
        f" {world.late} late",
        flush=True,
    )


@contextlib.asynccontextmanager
async def a_world(embedded: EmbeddedPostgres, *, seed: int, has_gate: bool) -> AsyncIterator[World]:
    name = "gated" if has_gate else "gateless"
    dsn = await bench.clone(embedded, name)
    maker = await asyncpg.connect(embedded.dsn("postgres"))
    await maker.execute(f"create database {name}_outside")
    await maker.close()
    outside = embedded.dsn(f"{name}_outside")
    admin = await asyncpg.create_pool(dsn, min_size=1, max_size=3)
    books = await asyncpg.create_pool(outside, min_size=1, max_size=3)
    for pool, script in ((admin, INSIDE), (books, OUTSIDE)):
        await pool.execute(script)
    world = World(dsn, outside, admin, books, random.Random(seed), has_gate)
    await _heal(world, BANKS[0])
    try:
        await asyncio.gather(
            *(start(world, each) for each in ("sender-1", "sender-2", "controller-1"))
        )
        yield world
    finally:
        for process in world.processes.values():
            if process.is_alive():
                process.kill()
                await asyncio.to_thread(process.join)
        await admin.close()
        await books.close()


async def prove(
    embedded: EmbeddedPostgres, *, kills: int, drills: int, seed: int, has_gate: bool
) -> list[str]:
    async with a_world(embedded, seed=seed, has_gate=has_gate) as world:
        killing = asyncio.create_task(kill_now_and_then(world, kills))
        wrong = []
        while world.killed < kills or world.drills < drills:
            if killing.done():
                await killing
            if not await drill(world):
                wrong.append(f"drill {world.drills}: the bank was not left in {WAIT_S:.0f} s")
            if not has_gate and world.late:
                break
        await make_ready(world, BANKS[0])
        wrong += await judged(world)
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        tell(world)
        slowest = max(world.apply_ms, default=0)
        print(f"  slowest application {slowest} ms; {'; '.join(wrong) or 'nothing is wrong'}")
        return wrong


async def main(embedded: EmbeddedPostgres, given: argparse.Namespace) -> bool:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    async with bench.stage(embedded):
        print(f"seed {given.seed}, {given.kills} kills", flush=True)
        wrong = await prove(embedded, kills=given.kills, drills=1, seed=given.seed, has_gate=True)
        print("without the gate:", flush=True)
        bad = await prove(embedded, kills=20, drills=60, seed=given.seed, has_gate=False)
    if not bad:
        print("the control run found nothing: this proof proves nothing")
    return not wrong and bool(bad)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    NURSERY.set_forkserver_preload(sorted(each for each in sys.modules if "molam." in each))
    with bench.server() as embedded_server:
        sys.exit(0 if asyncio.run(main(embedded_server, parsed(sys.argv[1:]))) else 1)
