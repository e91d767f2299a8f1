"""What is published reaches the endpoints that subscribed: at least once, signed, in order."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import deque

import pytest
from standardwebhooks import Webhook

from builders import NOW, a_merchant
from molam.platform.db import Database
from molam.webhooks import commands
from receivers import (
    Receiver,
    a_publication,
    an_endpoint,
    dispatching,
    make_due,
    receiving,
    settled,
    states,
)


@pytest.fixture
async def receiver(db: Database) -> Receiver:
    await a_merchant(db)
    return Receiver()


async def test_an_event_is_delivered_signed_for_both_kinds_of_receiver(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    async with receiving(receiver), dispatching(worker_db, dsn):
        _, secret = await an_endpoint(db, receiver.url, now=NOW)
        await a_publication(db)
        (heard,) = await receiver.until(1)
        assert await settled(db) == {"re_1/1": ("delivered", 1)}

    # The library of the standard's authors, which knows nothing of us.
    Webhook(secret.reveal()).verify(heard.body, heard.headers)
    expected = hmac.new(secret.reveal().encode(), heard.body, hashlib.sha256).hexdigest()
    assert heard.headers["x-molam-signature"] == expected
    assert heard.headers["x-molam-event"] == "merchant.refund.created"
    document = heard.document
    assert document["id"] == heard.headers["webhook-id"]
    assert document["event"] == document["type"] == "merchant.refund.created"
    assert document["data"] == {"id": "re_1", "amount": 5000, "currency": "XOF"}
    assert (document["merchant_id"], document["object_id"]) == ("merchant-123", "re_1")
    assert (document["version"], document["ordering_key"]) == (1, "re_1")


async def test_the_same_fact_is_published_once(db: Database, receiver: Receiver):
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW)
    await a_publication(db)
    await a_publication(db, data={"id": "re_1", "amount": 1, "currency": "XOF"})
    await a_publication(db, version=2)

    assert await states(db) == {"re_1/1": ("waiting", 0), "re_1/2": ("waiting", 0)}


async def test_what_nobody_subscribed_to_is_not_written(db: Database, receiver: Receiver):
    await a_merchant(db, id_="merchant-2")
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW)
    await a_publication(db, event="payout.paid")
    await a_publication(db, merchant_id="merchant-2")

    async with db.transaction("tests.count") as tx:
        assert await tx.connection.fetchval("select count(*) from webhooks.webhook_events") == 0


async def test_a_fact_that_was_undone_is_never_told(db: Database, receiver: Receiver):
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW)

    class Undone(Exception):
        pass

    async def publish_and_change_ones_mind() -> None:
        async with db.transaction("tests.undone") as tx:
            await commands.publish(
                tx,
                merchant_id="merchant-123",
                event="merchant.refund.created",
                object_id="re_1",
                version=1,
                data={},
            )
            raise Undone

    with pytest.raises(Undone):
        await publish_and_change_ones_mind()

    assert await states(db) == {}


async def test_exactly_three_retries_and_then_a_dead_letter_under_one_id_and_one_body(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    receiver.status = 500
    async with receiving(receiver), dispatching(worker_db, dsn):
        await an_endpoint(db, receiver.url, now=NOW)
        await a_publication(db)
        for attempt in range(1, 5):
            await receiver.until(attempt)
            while (await states(db))["re_1/1"][0] == "delivering":
                await asyncio.sleep(0.01)
            if attempt < 4:
                assert await states(db) == {"re_1/1": ("waiting", attempt)}
                await make_due(db)
        assert await settled(db) == {"re_1/1": ("dead", 4)}
        await make_due(db)
        await asyncio.sleep(0.3)

    assert len(receiver.heard) == 4
    assert len(set(receiver.ids)) == 1
    assert len({each.body for each in receiver.heard}) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 500])
async def test_only_two_hundreds_count_as_taken(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver, status: int
):
    receiver.script = deque([status])
    receiver.extra = "Location: /elsewhere\r\n"
    async with receiving(receiver), dispatching(worker_db, dsn):
        await an_endpoint(db, receiver.url, now=NOW)
        await a_publication(db)
        await receiver.until(1)
        while (await states(db))["re_1/1"][0] == "delivering":
            await asyncio.sleep(0.01)
        assert await states(db) == {"re_1/1": ("waiting", 1)}
        await make_due(db)
        assert await settled(db) == {"re_1/1": ("delivered", 2)}

    assert [each.path for each in receiver.heard] == ["/hook", "/hook"]


async def test_a_hanging_endpoint_delays_nobody_else(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    hanging = Receiver(hangs=True)
    async with receiving(receiver, hanging), dispatching(worker_db, dsn):
        await an_endpoint(db, hanging.url, now=NOW)
        for number in range(100):
            await a_publication(db, f"re_h{number}")
        await a_merchant(db, id_="merchant-2")
        await an_endpoint(db, receiver.url, now=NOW, merchant_id="merchant-2")
        await hanging.until(1)
        began = asyncio.get_running_loop().time()
        for number in range(50):
            await a_publication(db, f"re_{number}", merchant_id="merchant-2")
        await receiver.until(50, seconds=5)
        took = asyncio.get_running_loop().time() - began

    assert took < 3, "the requests that hang take ten seconds each"
    assert hanging.at_once_seen <= 16


async def test_versions_of_one_object_arrive_in_order_and_others_do_not_wait(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    receiver.script, receiver.extra = deque([500]), "Retry-After: 60\r\n"
    async with receiving(receiver), dispatching(worker_db, dsn):
        await an_endpoint(db, receiver.url, now=NOW)
        await a_publication(db, version=1)
        await receiver.until(1)
        await a_publication(db, version=2)
        await a_publication(db, "re_other")
        await receiver.until(2)
        await asyncio.sleep(0.2)
        # The second version waits for the first, which waits for its retry.
        assert [each.document["object_id"] for each in receiver.heard] == ["re_1", "re_other"]
        await make_due(db)
        await settled(db)

    heard = [(each.document["object_id"], each.document["version"]) for each in receiver.heard]
    assert heard == [("re_1", 1), ("re_other", 1), ("re_1", 1), ("re_1", 2)]


async def test_connections_are_kept_for_the_next_delivery(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    async with receiving(receiver), dispatching(worker_db, dsn):
        await an_endpoint(db, receiver.url, now=NOW)
        for number in range(5):
            await a_publication(db, f"re_{number}")
            await receiver.until(number + 1)
            await settled(db)

    assert receiver.connections == 1
