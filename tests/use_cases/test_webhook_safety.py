"""Each safety of delivering, beside what happens without it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any
from uuid import UUID, uuid4

import pytest

from builders import NOW, a_merchant
from molam.platform.db import Database, Query
from molam.platform.db.transaction import Nothing
from molam.platform.egress import Egress
from molam.webhooks import delivery_store
from molam.webhooks.dispatcher import Dispatcher, Limits
from receivers import (
    VAULT,
    Receiver,
    a_publication,
    an_endpoint,
    dispatching,
    make_due,
    receiving,
    settled,
    states,
)


def without(name: str, *replaced: tuple[str, str]) -> tuple[Any, str, Query[Any]]:
    """The statement *name* with some of its text replaced, as monkeypatch takes it."""
    original: Query[Any] = getattr(delivery_store, name)
    sql: Any = original.sql
    for old, new in replaced:
        assert old in sql, old
        sql = sql.replace(old, new)
    return delivery_store, name, Query(sql, row=original.row)


@pytest.fixture
async def receiver(db: Database) -> Receiver:
    await a_merchant(db)
    return Receiver()


async def heard_in_order(db: Database, worker_db: Database, dsn: str, receiver: Receiver) -> bool:
    receiver.script, receiver.extra = deque([500]), "Retry-After: 60\r\n"
    async with receiving(receiver), dispatching(worker_db, dsn):
        await an_endpoint(db, receiver.url, now=NOW)
        await a_publication(db, version=1)
        await receiver.until(1)
        await a_publication(db, version=2)
        with contextlib.suppress(TimeoutError):
            await receiver.until(2, seconds=2)
        await make_due(db)
        await settled(db)
    taken = [each.document["version"] for each in receiver.heard[1:]]
    return taken == sorted(taken)


async def test_a_later_version_never_overtakes_an_earlier_one(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    assert await heard_in_order(db, worker_db, dsn, receiver)


async def test_the_twin_without_the_look_at_earlier_versions_overtakes(
    db: Database,
    worker_db: Database,
    dsn: str,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(*without("CLAIM", ("b.seq < d.seq", "false")))

    assert not await heard_in_order(db, worker_db, dsn, receiver)


async def most_at_once(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver, limits: Limits
) -> int:
    receiver.hangs = True
    async with (
        receiving(receiver),
        Egress(allow_private=True, timeout_s=3, at_once_max=100) as egress,
        dispatching(worker_db, dsn, dispatcher=Dispatcher(worker_db, egress, VAULT, limits=limits)),
    ):
        await an_endpoint(db, receiver.url, now=NOW)
        for number in range(60):
            await a_publication(db, f"re_{number}")
        await receiver.until(16)
        await asyncio.sleep(0.1)
        # Later those that were given up are still counted by the server.
        return receiver.at_once_seen


async def test_an_endpoint_that_hangs_holds_only_its_own_places(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    assert await most_at_once(db, worker_db, dsn, receiver, Limits()) == 16


async def test_the_twin_without_the_limit_holds_them_all(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    assert await most_at_once(db, worker_db, dsn, receiver, Limits(per_endpoint=1000)) > 16


async def claimed_by_two(db: Database, worker_db: Database) -> tuple[set[UUID], set[UUID]]:
    """What two workers claim that begin at the same moment."""
    for number in range(8):
        await a_publication(db, f"re_{number}")
    begun, go = asyncio.Event(), asyncio.Event()

    async def claim(first: bool) -> set[UUID]:
        async with worker_db.transaction("tests.claim") as tx:
            await tx.run(delivery_store.HOLD_CLAIMS)
            rows = await tx.all(
                delivery_store.CLAIM,
                beginning="",
                failing=False,
                limit=4,
                queues_max=10,
                per_endpoint=16,
                lease=uuid4(),
                lease_s=30,
            )
            if first:
                begun.set()
                await go.wait()
        return {row.id for row in rows}

    one = asyncio.create_task(claim(first=True))
    await begun.wait()
    other = asyncio.create_task(claim(first=False))
    await asyncio.sleep(0.2)
    go.set()
    return await one, await other


async def test_two_workers_never_claim_the_same_delivery(
    db: Database, worker_db: Database, receiver: Receiver
):
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW)
    one, other = await claimed_by_two(db, worker_db)

    assert (len(one), len(other)) == (4, 4)
    assert one.isdisjoint(other)


async def test_the_twin_without_locks_claims_the_same_twice(
    db: Database, worker_db: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    idle = Query("/* tests.idle */ select", row=Nothing)
    monkeypatch.setattr(delivery_store, "HOLD_CLAIMS", idle)
    monkeypatch.setattr(
        *without(
            "CLAIM",
            ("for update of d skip locked", ""),
            ("order by random()", "order by d.id"),
        )
    )
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW)
    one, other = await claimed_by_two(db, worker_db)

    assert one & other


async def settled_late(db: Database, worker_db: Database) -> tuple[str, int]:
    """What a worker does that answers after another one has taken its delivery over."""
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW)
    await a_publication(db)
    slow, quick = uuid4(), uuid4()
    for lease in (slow, quick):
        async with worker_db.transaction("tests.claim") as tx:
            (row,) = await tx.all(
                delivery_store.CLAIM,
                beginning="",
                failing=False,
                limit=4,
                queues_max=10,
                per_endpoint=16,
                lease=lease,
                lease_s=30,
            )
        if lease == slow:
            async with worker_db.transaction("tests.take_back") as tx:
                await tx.run(delivery_store.TAKE_BACK, lease=slow)
    async with worker_db.transaction("tests.settle") as tx:
        await tx.all(
            delivery_store.SETTLE,
            lease=slow,
            ids=[row.id],
            states=["dead"],
            retry_s=[0.0],
            statuses=[500],
            latencies=[1],
            errors=[None],
            sizes=[0],
            pauses_s=[0.0],
            gone=[False],
            failing_days=5,
            dead_max=10,
            dead_after_s=3600,
        )
    return (await states(db))["re_1/1"]


async def test_what_a_lease_no_longer_covers_is_not_settled(
    db: Database, worker_db: Database, receiver: Receiver
):
    assert await settled_late(db, worker_db) == ("delivering", 1)


async def test_the_twin_that_forgets_the_lease_settles_anothers_delivery(
    db: Database, worker_db: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(*without("SETTLE", ("d.lease = :lease", "(d.lease = :lease or true)")))

    assert await settled_late(db, worker_db) == ("dead", 1)


async def test_the_twin_without_the_key_publishes_the_same_fact_twice(
    db: Database, receiver: Receiver
):
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW)
    async with db.transaction("tests.no_key") as tx:
        await tx.connection.execute(
            "alter table webhooks.webhook_events drop constraint published_once,"
            " drop constraint webhook_events_id_key"
        )
    await a_publication(db)
    await a_publication(db)

    async with db.transaction("tests.count") as tx:
        assert await tx.connection.fetchval("select count(*) from webhooks.webhook_deliveries") == 2
