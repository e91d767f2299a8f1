"""People, banks and the clock meet over one payment's refunds; what must hold whatever the order."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import asyncpg
from interleave import StepDatabase, interleave

from builders import a_merchant, a_person
from molam.approvals.model import VoteWord
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.kernel.refusals import Refusal
from molam.payments.banks.model import OutcomeState
from molam.payments.refunds import commands
from molam.payments.refunds.model import COUNTED, RESERVING
from molam.payments.refunds.moves import By
from molam.platform.db import Database, ProcessRole, open_database
from refunding import REGISTRY, Till, a_sale, a_way_to_wave, hear, send

CAPTURED = 100
THRESHOLD = 40
OUTCOMES: tuple[OutcomeState, ...] = ("accepted", "settled", "rejected", "unknown", "returned")


@dataclass(frozen=True, slots=True)
class Scene:
    """
    A database as its owner sees it, and as the processes that meet in it do.

    *aside* is for what sessions look up or arrange without that being a step.
    """

    owner: Database
    money: StepDatabase
    worker: StepDatabase
    observer: asyncpg.Connection[Any]
    aside: asyncpg.Pool[Any]


Scenario = Callable[[Scene, int], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def scene(dsn: str) -> AsyncIterator[Scene]:
    pools = {
        role: await open_database(dsn, role, application="schedules", connections_max=5)
        for role in (ProcessRole.OWNER, ProcessRole.MONEY, ProcessRole.WORKER)
    }
    observer = await asyncpg.connect(dsn)
    try:
        await a_way_to_wave(pools[ProcessRole.OWNER])
        yield Scene(
            owner=pools[ProcessRole.OWNER],
            money=StepDatabase(pools[ProcessRole.MONEY]._pool),
            worker=StepDatabase(pools[ProcessRole.WORKER]._pool),
            observer=observer,
            aside=pools[ProcessRole.OWNER]._pool,
        )
    finally:
        await observer.close()
        for pool in pools.values():
            await pool.close()


@dataclass(slots=True)
class Shop:
    """One merchant of a schedule, and what is committed about its refunds."""

    scene: Scene
    seed: int
    merchant_id: str
    awa: By
    moussa: By

    @property
    def till(self) -> Till:
        return Till(self.scene.money, merchant=self.merchant_id)

    async def refunds(self, state: str) -> list[str]:
        rows = await self.scene.aside.fetch(
            "select id from payments.refunds where merchant_id = $1 and state = $2 order by id",
            *(self.merchant_id, state),
        )
        return [row["id"] for row in rows]

    async def look(self) -> None:
        """What must be true at every commit."""
        row = await self.scene.observer.fetchrow(
            _TRUTH,
            self.merchant_id,
            [each.value for each in COUNTED],
            [each.value for each in RESERVING],
        )
        counted, reserving, reserved, unbalanced, own = row
        assert counted <= CAPTURED, f"seed {self.seed}: {counted} of {CAPTURED} are given back"
        assert reserving == reserved, f"seed {self.seed}: {reserved} set aside for {reserving}"
        assert unbalanced == 0, f"seed {self.seed}: the ledger does not come to zero"
        assert own == 0, f"seed {self.seed}: somebody approved their own refund"


_TRUTH = """
select coalesce(sum(r.amount) filter (where r.state = any($2::text[])), 0)::bigint,
       coalesce(sum(r.amount) filter (where r.state = any($3::text[])), 0)::bigint,
       coalesce((select balance from ledger.accounts
                  where id = 'merchant:' || $1 || ':reserved:XOF'), 0),
       (select coalesce(sum(balance), 0)::bigint from ledger.accounts),
       count(*) filter (where r.approved_by = r.created_by)
  from payments.refunds r
 where r.merchant_id = $1
"""


async def a_shop_of(scene: Scene, seed: int) -> Shop:
    name = f"shop-{seed}"
    awa, moussa = By(f"awa-{seed}", "Awa"), By(f"moussa-{seed}", "Moussa")
    await a_merchant(scene.owner, id_=name, config={"refund_thresholds": {"XOF": THRESHOLD}})
    for each in (awa, moussa):
        await a_person(scene.owner, id_=each.id, name=each.name, merchant_id=name)
    await a_sale(scene.owner, "tx_123", CAPTURED, merchant_id=name)
    await a_sale(scene.owner, "tx_older", 10 * CAPTURED, merchant_id=name)
    return Shop(scene, seed, name, awa, moussa)


async def meet(scene: Scene, seed: int) -> None:
    """Two people ask, each decides the other's, time runs out, and the bank says all it can."""
    rng = random.Random(seed)
    shop = await a_shop_of(scene, seed)
    amounts = [[rng.randint(1, CAPTURED) for _ in range(2)] for _ in range(2)]
    works = [
        lambda: _ask(shop, shop.awa, amounts[0]),
        lambda: _ask(shop, shop.moussa, amounts[1]),
        lambda: _decide(shop, random.Random(seed + 1)),
        lambda: _run_out(shop, random.Random(seed + 2)),
        lambda: _bank(shop, random.Random(seed + 3)),
    ]

    await interleave(seed, scene.observer, works, between=shop.look)

    await shop.look()


async def end_twice(scene: Scene, seed: int) -> None:
    """One refund that waits is approved, taken back and overtaken by the clock at once."""
    shop = await a_shop_of(scene, seed)
    calm = Till(scene.owner, merchant=shop.merchant_id)
    row = await calm.ask(THRESHOLD, by=shop.awa)
    vote: VoteWord = random.Random(seed).choice(("approve", "approve", "reject"))
    works = [
        lambda: _allowed(shop.till.vote(row.id, shop.moussa, vote=vote)),
        lambda: _allowed(shop.till.cancel(row.id, shop.awa)),
        lambda: _expire(shop, row.id),
    ]

    await interleave(seed, scene.observer, works, between=shop.look)

    await shop.look()


async def _ask(shop: Shop, by: By, amounts: list[int]) -> None:
    for amount in amounts:
        await _allowed(shop.till.ask(amount, by=by))


async def _decide(shop: Shop, rng: random.Random) -> None:
    for _ in range(3):
        for refund_id in await shop.refunds("awaiting_approval"):
            voter = rng.choice((shop.awa, shop.moussa))
            vote: VoteWord = rng.choice(("approve", "reject"))
            await _allowed(shop.till.vote(refund_id, voter, vote=vote))
        await _breathe(shop)


async def _run_out(shop: Shop, rng: random.Random) -> None:
    await _breathe(shop)
    for refund_id in await shop.refunds("awaiting_approval"):
        if rng.random() < 0.5:
            await _expire(shop, refund_id)


async def _expire(shop: Shop, refund_id: str) -> None:
    # What somebody holds is passed over: to wait here would be no step of the schedule.
    await shop.scene.aside.execute(
        "update approvals.ops_actions set created_at = now() - interval '2 hours',"
        " updated_at = now() - interval '2 hours', expires_at = now() - interval '1 second'"
        " where id in (select a.id from approvals.ops_actions a"
        "   join payments.refunds r on r.approval_id = a.id::text"
        "  where r.id = $1 and a.state = 'pending' for update of a skip locked)",
        refund_id,
    )
    runtime = Runtime(shop.scene.worker, REGISTRY, PolicyBook(REGISTRY), "schedule")
    await _allowed(commands.end_overdue(runtime))


async def _bank(shop: Shop, rng: random.Random) -> None:
    for _ in range(3):
        for refund_id in await shop.refunds("queued"):
            await send(shop.scene.worker, refund_id)
            for _ in range(2):
                await hear(shop.scene.worker, refund_id, rng.choice(OUTCOMES))
        await _breathe(shop)


async def _breathe(shop: Shop) -> None:
    """Let others go on for a few steps."""
    for _ in range(4):
        await shop.scene.worker.read(commands.list_store.LIST_WITHOUT_DETAILS, limit=1)


async def _allowed(work: Awaitable[object]) -> None:
    """Whoever comes too late, or asks for too much, is told so; that is as it should be."""
    with contextlib.suppress(Refusal):
        await work


ALL: tuple[Scenario, ...] = (meet, end_twice)
