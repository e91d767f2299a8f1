"""What is run at once, by production code, and what must hold whatever the order."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from interleave import StepDatabase, interleave

from builders import a_merchant
from facts import an_event, created, refund, succeeded
from molam.kernel.clock import ManualClock
from molam.ledger import queries as ledger
from molam.merchant import cache, commands, model, upkeep
from molam.payments import commands as payments
from molam.platform.db import Database, ProcessRole, open_database

PERIOD = model.parse_period("last_7d")
ZONES = ("Africa/Lagos", "Asia/Kolkata", "America/New_York")


@dataclass(frozen=True, slots=True)
class Scene:
    """A database as its owner sees it, and as the processes that meet in it do."""

    owner: Database
    worker: StepDatabase
    web: StepDatabase
    refresh: StepDatabase
    observer: asyncpg.Connection[Any]


Scenario = Callable[[Scene, int], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def scene(dsn: str) -> AsyncIterator[Scene]:
    pools = {
        role: await open_database(dsn, role, application="schedules", connections_max=4)
        for role in ProcessRole
    }
    steps = {role: StepDatabase(pool._pool) for role, pool in pools.items()}
    observer = await asyncpg.connect(dsn)
    try:
        yield Scene(
            owner=pools[ProcessRole.OWNER],
            worker=steps[ProcessRole.WORKER],
            web=steps[ProcessRole.WEB],
            refresh=steps[ProcessRole.REFRESH],
            observer=observer,
        )
    finally:
        await observer.close()
        for pool in pools.values():
            await pool.close()


def story(merchant_id: str, at: datetime) -> list[str]:
    """Facts that are created, decided, corrected and taken back, some in equal versions."""
    told: dict[str, Any] = {"merchant_id": merchant_id, "occurred_at": at.isoformat()}
    earlier = {**told, "occurred_at": (at - timedelta(hours=5)).isoformat()}
    return [
        created("tx_1", amount=1000, fee_molam=10, provider="wave", **earlier),
        succeeded("tx_1", amount=1000, fee_molam=10, **told),
        succeeded("tx_1", amount=900, fee_molam=9, version=3, **told),
        succeeded("tx_1", amount=950, fee_molam=9, version=3, **told),
        created("tx_2", amount=70, **told),
        created("tx_2", amount=70, status="failed", **told),
        succeeded("tx_2", amount=70, fee_molam=1, version=3, **told),
        created("tx_2", amount=70, status="cancelled", version=4, **told),
        refund("rf_1", "tx_1", amount=300, status="pending", **told),
        refund("rf_1", "tx_1", amount=300, **told),
        an_event("payout_created", id="po_1", amount=40, **told),
        an_event("payout_created", id="po_1", amount=40, status="paid", **told),
        an_event("payout_created", id="po_1", amount=40, status="returned", **told),
        an_event("dispute_created", id="dp_1", transaction_id="tx_1", amount=25, **told),
        an_event(
            "dispute_created",
            **{"id": "dp_1", "transaction_id": "tx_1", "amount": 25, "status": "escalated", **told},
        ),
    ]


def dealt(rng: random.Random, told: Sequence[str], hands: int) -> list[list[list[str]]]:
    """Deal every event to somebody, and some to others as well, in batches of any size."""
    dealt_out: list[list[str]] = [[] for _ in range(hands)]
    for event in rng.sample(told, len(told)):
        for hand in rng.sample(dealt_out, min(hands, rng.choice((1, 1, 2)))):
            hand.append(event)
    batches = []
    for hand in dealt_out:
        size = rng.randint(2, 6)
        batches.append([hand[start : start + size] for start in range(0, len(hand), size)])
    return batches


async def intake(scene: Scene, seed: int) -> None:
    """Three sessions take in the same facts of two merchants, each in an order of its own."""
    rng = random.Random(seed)
    at = datetime.now(UTC) - timedelta(hours=rng.randrange(48))
    first, second, serial = (f"{name}-{seed}" for name in ("first", "second", "serial"))
    for merchant_id in (first, second, serial):
        await a_merchant(scene.owner, id_=merchant_id)

    async def take_in(batches: list[list[str]]) -> None:
        for batch in batches:
            async with scene.worker.transaction("schedule.intake") as tx:
                await payments.store_events(tx, batch)

    async with scene.owner.transaction("schedule.serial") as tx:
        await payments.store_events(tx, story(serial, at))
    hands = dealt(rng, story(first, at) + story(second, at), 3)
    await interleave(seed, scene.observer, [lambda hand=hand: take_in(hand) for hand in hands])

    imbalances = await ledger.imbalances(scene.owner)
    assert imbalances == [], f"seed {seed}: balances are not the sum of entries: {imbalances}"
    expected = await _books(scene, serial)
    for merchant_id in (first, second):
        books = await _books(scene, merchant_id)
        assert books == expected, f"seed {seed}: not as one after the other: {books}"
        moved = sum(row[-1] for row in books[:-1])
        assert books[-1] == (moved,), f"seed {seed}: what facts have posted is not the balance"


_BOOKS = """
select type, id, state, amount, refunded_amount, occurred_at, provider, version,
       case type when 'payment' then posted_amount - posted_fee else posted_fee - posted_amount end
  from payments.wallet_transactions where merchant_id = $1
 union all
select 'payout', id, state, amount, 0, occurred_at, null, version, -posted_amount
  from payments.payouts where merchant_id = $1
 union all
select 'dispute', id, state, amount, 0, occurred_at, null, version, -posted_amount - posted_fee
  from payments.disputes where merchant_id = $1
 order by 1, 2
"""
_BALANCE = "select coalesce(sum(balance), 0)::bigint from ledger.accounts where owner_id = $1"


async def _books(scene: Scene, merchant_id: str) -> list[tuple[Any, ...]]:
    """Every fact with what it has moved, and last of all the balance."""
    rows = await scene.observer.fetch(_BOOKS, merchant_id)
    balance = await scene.observer.fetchval(_BALANCE, merchant_id)
    return [*map(tuple, rows), (balance,)]


@dataclass(slots=True)
class Truth:
    """What one merchant's figures were at each head, recomputed from facts at every commit."""

    scene: Scene
    merchant_id: str
    days: model.Days
    sales_at: dict[int, tuple[int, int]] = field(default_factory=lambda: {0: (0, 0)})

    @property
    def head(self) -> int:
        return max(self.sales_at)

    async def look(self) -> None:
        row = await self.scene.observer.fetchrow(
            _TRUTH, self.merchant_id, self.days.first, self.days.last
        )
        if row is not None:
            self.sales_at[row["version"]] = (row["sales"], row["payments"])
        wrong = await self.scene.observer.fetch(_WRONG_IN_CACHE, self.merchant_id)
        assert wrong == [], "a cached figure claims a head that it does not show"

    async def read(self, now: datetime, times: int) -> None:
        """Ask for the figures as a page does; each answer must be true, and not of the past."""
        for _ in range(times):
            newest = self.head
            found = await cache.figures(
                self.scene.web,
                merchant_id=self.merchant_id,
                period=PERIOD,
                currency="XOF",
                now=now,
            )
            assert found.version >= newest, "the answer is older than the question"
            sums = found.sums["sales"][0], found.sums["payments"][0]
            assert sums == self.sales_at[found.version], "the answer was never true"


_TRUTH = """
select h.version,
       coalesce(sum(f.amount) filter (where f.kind = 'payment' and f.state = 'succeeded'), 0)::bigint as sales,
       count(*) filter (where f.kind = 'payment' and f.state = 'succeeded') as payments
  from merchant.kpi_heads h
  left join merchant.kpi_facts f on f.merchant_id = h.merchant_id and f.day between $2 and $3
 where h.merchant_id = $1
 group by h.version
"""

_WRONG_IN_CACHE = """
select c.period, c.kpi_key, c.numerator, t.sum
  from merchant.kpi_heads h
  join merchant.merchant_kpis_cache c on c.merchant_id = h.merchant_id and c.as_of = h.version
 cross join lateral (
    select coalesce(sum(case c.kpi_key
               when 'sales' then case when f.kind = 'payment' and f.state = 'succeeded' then f.amount end
               when 'fees' then case when f.kind = 'payment' and f.state = 'succeeded' then f.fee end
               when 'refunds' then case when f.kind = 'refund' and f.state = 'succeeded' then f.amount end
               when 'transactions' then case when f.kind = 'payment' then 1 end
               when 'disputes' then case when f.kind = 'dispute' then f.amount end
           end), 0)::bigint as sum
      from merchant.kpi_facts f
     where f.merchant_id = c.merchant_id and f.currency = c.currency
       and f.day between c.from_day and c.to_day
 ) as t
 where h.merchant_id = $1 and c.numerator <> t.sum
   and c.kpi_key in ('sales', 'fees', 'refunds', 'transactions', 'disputes')
"""

# Buckets against facts, whichever side has a row the other lacks.
_WRONG_BUCKETS = """
with facts as (
    select (f.occurred_at at time zone s.timezone)::date as day,
           extract(hour from f.occurred_at at time zone s.timezone)::int as hour, f.*
      from (select merchant_id, kind, state, amount, fee, occurred_at, method
              from merchant.kpi_facts where merchant_id = $1) as f
      join merchant.merchant_dashboards s using (merchant_id)
),
sides as (
    select 'hours' as bucket, day, hour::text as part, created_count, payment_count, sales, fees, refunds,
           disputes, payouts, 1 as sign
      from merchant.kpi_hours where merchant_id = $1
     union all
    select 'days', day, '', created_count, payment_count, sales, fees, refunds, disputes, payouts, 1
      from merchant.kpi_days where merchant_id = $1
     union all
    select 'methods', day, method, 0, payment_count, sales, 0, 0, 0, 0, 1
      from merchant.kpi_methods where merchant_id = $1
     union all
    select bucket, day,
           case bucket when 'hours' then hour::text when 'methods' then method else '' end,
           (kind = 'payment' and bucket <> 'methods')::int,
           (kind = 'payment' and state = 'succeeded')::int,
           case when kind = 'payment' and state = 'succeeded' then amount else 0 end,
           case when kind = 'payment' and state = 'succeeded' and bucket <> 'methods' then fee else 0 end,
           case when kind = 'refund' and state = 'succeeded' and bucket <> 'methods' then amount else 0 end,
           case when kind = 'dispute' and bucket <> 'methods' then amount else 0 end,
           case when kind = 'payout' and bucket <> 'methods'
                 and state not in ('failed', 'cancelled', 'returned') then amount else 0 end,
           -1
      from facts cross join unnest(array['hours', 'days', 'methods']) as bucket
)
select bucket, day, part, sum(sign * created_count) as created, sum(sign * payment_count) as payments,
       sum(sign * sales) as sales, sum(sign * fees) as fees, sum(sign * refunds) as refunds,
       sum(sign * disputes) as disputes, sum(sign * payouts) as payouts
  from sides
 group by bucket, day, part
having (sum(sign * created_count), sum(sign * payment_count), sum(sign * sales), sum(sign * fees),
        sum(sign * refunds), sum(sign * disputes), sum(sign * payouts)) <> (0, 0, 0, 0, 0, 0, 0)
"""


async def figures(scene: Scene, seed: int) -> None:
    """Two sessions count the same facts while a third keeps asking for the figures."""
    rng = random.Random(seed)
    now = datetime.now(UTC)
    truth = await _truth(scene, f"figures-{seed}", now)
    told = story(truth.merchant_id, now - timedelta(hours=rng.randrange(48)))
    works = [lambda hand=hand: _count(scene, hand, now) for hand in dealt(rng, told, 2)] + [
        lambda: truth.read(now, 4)
    ]

    await interleave(seed, scene.observer, works, between=truth.look)

    await _assert_counted(scene, truth, seed)


async def repairs(scene: Scene, seed: int) -> None:
    """Figures are rebuilt, and moved to another time zone, while facts arrive and are counted."""
    rng = random.Random(seed)
    now = datetime.now(UTC)
    truth = await _truth(scene, f"repairs-{seed}", now)
    merchant_id = truth.merchant_id
    told = story(merchant_id, now - timedelta(hours=rng.randrange(48)))
    (stored,) = dealt(rng, told, 1)

    async def take_in() -> None:
        for batch in stored:
            async with scene.worker.transaction("schedule.intake") as tx:
                await payments.store_events(tx, batch)

    async def move() -> None:
        zone = rng.choice(ZONES)
        await upkeep.change_timezone(
            scene.worker, scene.refresh, merchant_id=merchant_id, timezone=zone
        )

    async def repair() -> None:
        await upkeep.recount(scene.worker, scene.refresh, merchant_id=merchant_id)
        await upkeep.check_drift(scene.worker, scene.refresh, rest_s=-5.0)

    works = [lambda hand=hand: _count(scene, hand, now) for hand in dealt(rng, told, 1)]
    works += [take_in, move, repair, lambda: truth.read(now, 2)]
    await interleave(seed, scene.observer, works, between=truth.look)

    await _assert_counted(scene, truth, seed)


async def _truth(scene: Scene, merchant_id: str, now: datetime) -> Truth:
    await a_merchant(scene.owner, id_=merchant_id)
    return Truth(scene, merchant_id, model.range_of(PERIOD, model.local_day(now, "Africa/Dakar")))


async def _count(scene: Scene, batches: list[list[str]], now: datetime) -> None:
    worker = commands.KpiWorker(ManualClock(now))
    for batch in batches:
        async with scene.worker.transaction("schedule.count") as tx:
            await worker.handle(tx, batch)


async def _assert_counted(scene: Scene, truth: Truth, seed: int) -> None:
    wrong = await scene.observer.fetch(_WRONG_BUCKETS, truth.merchant_id)
    assert wrong == [], f"seed {seed}: buckets differ from facts: {wrong}"
    kept = await scene.observer.fetch(
        "select kind, id, version, state, amount, fee from merchant.kpi_facts"
        " where merchant_id = $1 order by 1, 2",
        truth.merchant_id,
    )
    assert [tuple(row) for row in kept] == ENDING, f"seed {seed}: facts"


ENDING = [
    ("dispute", "dp_1", 2, "escalated", 25, 0),
    ("payment", "tx_1", 3, "succeeded", 950, 9),
    ("payment", "tx_2", 4, "cancelled", 70, 0),
    ("payout", "po_1", 2, "returned", 40, 0),
    ("refund", "rf_1", 2, "succeeded", 300, 0),
]
"""What `story` comes to."""

ALL: tuple[Scenario, ...] = (intake, figures, repairs)
