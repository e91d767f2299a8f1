"""
Thirty-two writers move money in every way there is, and an observer adds it all up meanwhile.

Wallets report sales and disputes; refunds are asked for, sent and answered; payouts are made,
sent and answered, twice, late and out of order. Every state that the observer sees (a snapshot
of the whole database) must balance: the ledger to zero, each account to its entries, promises to
what is promised, each merchant's balance to the entries that no payout owns, and no payment may
give back more than it took. Then the lock on payments is taken away, and that must go wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import structlog

import stage as bench
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.entrypoints.local import migrations_folder
from molam.entrypoints.registry import registry
from molam.kernel.refusals import Refusal
from molam.payments import commands as intake
from molam.payments.banks.model import Outcome, Owner
from molam.payments.payouts import commands as payouts
from molam.payments.payouts.sending import PayoutOwner, send_due
from molam.payments.refunds import asking, store
from molam.payments.refunds.moves import By
from molam.payments.refunds.owner import Refunds
from molam.platform.db import Database, ProcessRole, Query, open_database
from molam.platform.db.migrations import migrate
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.events import Consumer, Event, cloud_event, publish
from molam.platform.events.consumer import Patience
from molam.platform.events.postgres_source import PostgresSource
from molam.platform.web.problems import is_temporary
from molam.simulator.banks_demo import seed_banks

WRITERS = 32
MERCHANTS = ("merchant-1", "merchant-2", "merchant-3")
CURRENCY = "XOF"
BIG = 10**12
ANSWERS = ("accepted", "settled", "settled", "rejected", "unknown", "returned", "needs_details")
SETTLED_TWICE = 0.3
TELL_EVERY_S = 5.0

# What must hold in every state; each returns the rows that break it.
RULES = {
    "the ledger is zero in each currency": """
        select currency, sum(balance) from ledger.accounts group by currency having sum(balance) <> 0""",
    "each balance is the sum of its entries": """
        select a.id, a.balance, coalesce(sum(e.amount), 0)
          from ledger.accounts a left join ledger.entries e on e.account_id = a.id
         group by a.id, a.balance having a.balance <> coalesce(sum(e.amount), 0)""",
    "promised money is what refunds promise": """
        select a.id, a.balance, coalesce(sum(r.amount), 0)
          from ledger.accounts a
          left join payments.refunds r
            on r.merchant_id = a.owner_id and r.currency = a.currency
           and r.state in ('awaiting_approval', 'queued', 'submitted', 'needs_details', 'unknown')
         where a.kind = 'merchant_reserved'
         group by a.id, a.balance having a.balance <> coalesce(sum(r.amount), 0)""",
    "money in payouts is that of payouts under way": """
        select a.id, a.balance, coalesce(sum(p.amount), 0)
          from ledger.accounts a
          left join payments.payouts p
            on p.merchant_id = a.owner_id and p.currency = a.currency and p.origin = 'molam'
           and p.state in ('scheduled', 'held', 'pending', 'in_transit')
         where a.kind = 'merchant_in_payout'
         group by a.id, a.balance having a.balance <> coalesce(sum(p.amount), 0)""",
    "a balance is the entries that no payout owns": """
        select a.id, a.balance, coalesce(sum(e.amount), 0)
          from ledger.accounts a
          left join ledger.entries e
            on e.account_id = a.id
           and e.cause not in ('payout_reserved', 'payout_released', 'payout_returned')
           and not exists (select from payments.payout_entries o where o.transfer_id = e.transfer_id)
         where a.kind = 'merchant_available'
         group by a.id, a.balance having a.balance <> coalesce(sum(e.amount), 0)""",
    "a payout is the sum of the entries it owns": """
        select p.id, p.amount, coalesce(sum(o.amount), 0)
          from payments.payouts p
          left join payments.payout_entries o on o.merchant_id = p.merchant_id and o.payout_id = p.id
         where p.origin = 'molam' and p.owns_entries
         group by p.id, p.amount having p.amount <> coalesce(sum(o.amount), 0)""",
    "no payment gives back more than it took": """
        select p.id, p.amount, sum(r.amount)
          from payments.wallet_transactions p
          join payments.refunds r on r.merchant_id = p.merchant_id and r.transaction_id = p.id
         where p.type = 'payment'
           and r.state in ('awaiting_approval', 'queued', 'submitted', 'needs_details', 'unknown', 'succeeded')
         group by p.id, p.amount having sum(r.amount) > p.amount""",
}


@dataclass
class World:
    """What the writers know of, and what they have done."""

    money: Database
    worker: Database
    runtime: Runtime
    chance: random.Random
    payments: list[tuple[str, str, int]] = field(default_factory=list)
    """As wallets reported them; intake may not have them yet."""
    refunds: list[str] = field(default_factory=list)
    payouts: list[str] = field(default_factory=list)
    disputes: list[tuple[str, str, str, int, int]] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def next(self) -> int:
        self.count += 1
        return self.count

    def note(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1


def told(topic: str, merchant_id: str, data: dict[str, Any]) -> Event:
    now = datetime.now(UTC)
    data = {"merchant_id": merchant_id, "currency": CURRENCY, "occurred_at": now.isoformat()} | data
    payload = cloud_event(
        id_=f"{data['id']}/{data.get('version', 1)}", source="/prove", type_=topic,
        subject=str(data["id"]), time=now, data=data,
    )  # fmt: skip
    return Event(topic, merchant_id, payload)


async def sell(world: World) -> None:
    merchant_id, events = world.chance.choice(MERCHANTS), []
    for _ in range(world.chance.randrange(1, 6)):
        id_, amount = f"tx-{world.next()}", world.chance.randrange(100, 50_000)
        customer = {"name": "Aminata Diallo", "phone": "+221770000123"}
        events.append(
            told(
                "wallet_txn_succeeded",
                merchant_id,
                {"id": id_, "transaction_id": id_, "type": "payment", "amount": amount, "version": 2,
                 "status": "succeeded", "fee_molam": amount // 100, "provider": "wave",
                 "customer": customer},
            )
        )  # fmt: skip
        world.payments.append((merchant_id, id_, amount))
    async with world.worker.transaction("prove.sell") as tx:
        await publish(tx, events)


async def refund(world: World) -> None:
    # Few payments, so that several refunds meet on one.
    stored = await world.worker.read(_NEWEST)
    newest = world.chance.choice(stored)
    merchant_id, id_, amount = newest.merchant_id, newest.id, newest.amount
    asked = asking.NewRefund(
        merchant_id=merchant_id, transaction_id=id_, currency=CURRENCY, reason="customer_request",
        amount=world.chance.randrange(1, amount + 1),
    )  # fmt: skip
    desk = asking.Desk(world.runtime, {CURRENCY: BIG})
    asker = asking.Asker(By("awa.diop", "Awa Diop", "user"), frozenset({"merchant_admin"}))
    async with world.money.transaction("prove.refund", merchant_id=merchant_id) as tx:
        made = await asking.ask(tx, desk, asked, asker, now=datetime.now(UTC))
    world.refunds.append(made.refund.id)


async def answer_refund(world: World) -> None:
    await answer(world, Refunds(), world.chance.choice(world.refunds[-40:]))


async def answer_payout(world: World) -> None:
    await answer(world, PayoutOwner(), world.chance.choice(world.payouts[-20:]))


async def answer(world: World, owner: Owner, id_: str) -> None:
    async with world.worker.transaction("prove.claim") as tx:
        await owner.claim(tx, id_)
    for _ in range(2 if world.chance.random() < SETTLED_TWICE else 1):
        outcome = Outcome(world.chance.choice(ANSWERS), None, None, None, datetime.now(UTC))
        async with world.worker.transaction("prove.settle") as tx:
            await owner.settle(tx, id_, outcome)


async def pay_out(world: World) -> None:
    merchant_id = world.chance.choice(MERCHANTS)
    async with world.money.transaction("prove.payout", merchant_id=merchant_id) as tx:
        made = await payouts.request(
            tx, merchant_id=merchant_id, currency=CURRENCY, expected_amount=None, by="awa.diop"
        )
    world.payouts.append(made.id)
    if world.chance.random() < 0.2:
        async with world.money.transaction("prove.cancel", merchant_id=merchant_id) as tx:
            await payouts.cancel(
                tx, merchant_id=merchant_id, payout_id=made.id, by="awa.diop", at=datetime.now(UTC)
            )
    await send_due(world.worker)


async def dispute(world: World) -> None:
    if world.disputes and world.chance.random() < 0.6:
        merchant_id, id_, payment, amount, version = world.chance.choice(world.disputes)
        status = world.chance.choice(("won", "lost", "under_review", "escalated", "open"))
        version += world.chance.randrange(0, 3)
    else:
        merchant_id, payment, amount = world.chance.choice(world.payments[-90:-60])
        id_, status, version = f"dp-{world.next()}", "open", 1
        world.disputes.append((merchant_id, id_, payment, amount, 2))
    event = told(
        "dispute_created",
        merchant_id,
        {"id": id_, "transaction_id": payment, "amount": amount, "version": version,
         "status": status, "reason": "not_received"},
    )  # fmt: skip
    async with world.worker.transaction("prove.dispute") as tx:
        await publish(tx, [event])


@dataclass(frozen=True, slots=True)
class _Payment:
    merchant_id: str
    id: str
    amount: int


_NEWEST = Query(
    """
    /* prove.newest */
    select merchant_id, id, amount
      from payments.wallet_transactions
     where type = 'payment' and state = 'succeeded' and refunded_amount < amount
     order by occurred_at desc
     limit 12
    """,
    row=_Payment,
)

WAYS: tuple[Callable[[World], Any], ...] = (
    sell, sell, refund, refund, refund, answer_refund, answer_refund, pay_out, answer_payout, dispute,
)  # fmt: skip


async def write(world: World, stop: asyncio.Event) -> None:
    while not stop.is_set():
        way = world.chance.choice(WAYS)
        try:
            await way(world)
        except IndexError:
            continue  # Nothing of its kind is there yet.
        except Refusal as refusal:
            world.note(f"refused: {refusal.code}")
        except asyncpg.PostgresError as error:
            if not is_temporary(error):
                raise
            world.note(f"gave way: {type(error).__name__}")
        else:
            world.note(way.__name__)
        await asyncio.sleep(0)


async def take_in(world: World, stop: asyncio.Event) -> None:
    """The intake worker: what wallets and we ourselves publish becomes rows and money."""
    consumer = Consumer("intake", intake.TOPICS, intake.store_events)
    source = PostgresSource(world.worker, consumer, asyncio.Event())
    await source.open()
    while not stop.is_set():
        if not await source.step(Patience()):
            await asyncio.sleep(0.01)
    await source.close()


async def observe(dsn: str, stop: asyncio.Event, wrong: list[str]) -> int:
    """Add up one snapshot after another; return how many."""
    states, tell_at = 0, time.monotonic() + TELL_EVERY_S
    # The tables grow faster than their statistics, so that nested loops look cheap and are not.
    connection = await asyncpg.connect(dsn, server_settings={"enable_nestloop": "off"})
    try:
        while not stop.is_set():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                for rule, statement in RULES.items():
                    wrong += [f"{rule}: {dict(row)}" for row in await connection.fetch(statement)]
            states += 1
            if time.monotonic() >= tell_at:
                tell_at += TELL_EVERY_S
                print(f"\r{states:,} states", end="", flush=True)
    finally:
        await connection.close()
    return states


async def set_up(dsn: str) -> None:
    owner = await open_database(dsn, ProcessRole.OWNER, application="prove")
    await seed_banks(owner, datetime.now(UTC))
    destination = {
        "type": "wallet",
        "provider": "wave",
        "phone": "+221770000001",
        "holder": "Awa Diop",
    }
    async with owner.transaction("prove.set_up") as tx:
        run = tx.connection.execute
        await run(
            "insert into tenancy.people (id, name, email) values ('awa.diop', 'Awa', 'a@example.com')"
        )
        for id_ in MERCHANTS:
            await run(
                "insert into tenancy.merchants (id, name, country, default_currency)"
                " values ($1, $1, 'SN', 'XOF')", id_,
            )  # fmt: skip
            await run(
                "insert into merchant.merchant_dashboards (merchant_id, default_currency, timezone,"
                " payout_schedule, dashboard_config) values ($1, 'XOF', 'Africa/Dakar', 'manual', $2)",
                id_, {"refund_threshold_requiring_approval": BIG},
            )  # fmt: skip
            await run(
                "insert into payments.payout_schedules (merchant_id, currency, interval, delay_days,"
                " updated_by) values ($1, 'XOF', 'manual', 0, 'prove')", id_,
            )  # fmt: skip
            await run(
                "insert into payments.payout_destinations (merchant_id, currency, destination,"
                " changed_by) values ($1, 'XOF', $2, 'prove')", id_, destination,
            )  # fmt: skip
    await owner.close()


async def prove(dsn: str, *, seed: int, seconds: float) -> tuple[int, list[str], dict[str, int]]:
    """Run writers and observer together; return states seen, what was wrong, and what was done."""
    await set_up(dsn)
    worker = await open_database(dsn, ProcessRole.WORKER, application="prove", connections_max=20)
    money = await open_database(dsn, ProcessRole.MONEY, application="prove", connections_max=16)
    known = registry()
    world = World(
        money, worker, Runtime(money, known, PolicyBook(known), "prove"), random.Random(seed)
    )
    stop, wrong = asyncio.Event(), list[str]()
    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(observe(dsn, stop, wrong))
        tasks.create_task(take_in(world, stop))
        for _ in range(WRITERS):
            tasks.create_task(write(world, stop))
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (wrong and len(wrong) > 20):
            await asyncio.sleep(0.2)
        stop.set()
    await worker.close()
    await money.close()
    return watcher.result(), wrong, world.done


@contextlib.asynccontextmanager
async def without_lock() -> AsyncIterator[None]:
    """Take away the lock on payments, and the look at the balance that comes after it."""
    real = store.LOCK_PAYMENT, asking.ledger.lock_available

    store.LOCK_PAYMENT = replace(real[0], sql=real[0].sql.replace(" for update", ""))
    asking.ledger.lock_available = _unlocked
    try:
        yield
    finally:
        store.LOCK_PAYMENT, asking.ledger.lock_available = real


@dataclass(frozen=True, slots=True)
class _Balance:
    balance: int


_READ_BALANCE = Query(
    "/* prove.read_balance */ select balance from ledger.accounts where id = :id", row=_Balance
)


async def _unlocked(tx: Any, *, merchant_id: str, currency: str) -> int:
    row = await tx.one(_READ_BALANCE, id=f"merchant:{merchant_id}:available:{currency}")
    await asyncio.sleep(0.002)
    return row.balance if row else 0


@contextlib.asynccontextmanager
async def a_database(embedded: EmbeddedPostgres) -> AsyncIterator[str]:
    name = f"molam_prove_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(embedded.dsn("postgres"))
    await admin.execute(f"create database {name}")
    try:
        await migrate(embedded.dsn(name), migrations_folder())
        yield embedded.dsn(name)
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


async def main(embedded: EmbeddedPostgres, seed: int, seconds: float) -> bool:
    print(f"seed {seed}, {WRITERS} writers, {seconds:.0f} s", flush=True)
    async with a_database(embedded) as dsn:
        states, wrong, done = await prove(dsn, seed=seed, seconds=seconds)
    print(
        f"\r{'FAIL' if wrong else 'ok  '} {states:,} states observed, {len(wrong):,} wrong,"
        f" {sum(done.values()) / seconds:,.0f} attempts a second"
    )
    for each in wrong[:10]:
        print(f"     {each}")
    for what, count in sorted(done.items(), key=lambda item: (":" in item[0], -item[1])):
        print(f"     {count:>7,} {what}")
    missing = {way.__name__ for way in WAYS} - done.keys()
    enough = states > 0 and not missing
    if not enough:
        print(f"FAIL nothing was proven of {', '.join(sorted(missing)) or 'any state'}")
    async with a_database(embedded) as dsn, without_lock():
        _, control, _ = await prove(dsn, seed=seed, seconds=min(seconds, 20.0))
    print(f"\r{'ok  ' if control else 'FAIL'} control, no lock on payments: {len(control):,} wrong")
    for each in control[:1]:
        print(f"     {each}")
    return enough and not wrong and bool(control)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with bench.server() as running:
        has_held = asyncio.run(main(running, given.seed, given.seconds))
    sys.exit(0 if has_held else 1)
