"""Endpoints over their life: secrets that overlap, being switched off, and being sent again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from standardwebhooks import Webhook

from builders import NOW, a_merchant
from facts import created, succeeded
from molam.kernel.clock import ManualClock
from molam.merchant import commands as merchant
from molam.merchant import webhook_alerts, webhook_metrics, webhook_payments
from molam.platform.db import Database
from molam.platform.egress import Egress
from molam.webhooks import jobs, queries, subscriptions
from molam.webhooks.dispatcher import Dispatcher
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

M = "merchant-123"


@pytest.fixture
async def receiver(db: Database) -> Receiver:
    await a_merchant(db)
    return Receiver()


async def execute(db: Database, statement: str) -> None:
    async with db.transaction("tests.execute") as tx:
        await tx.connection.execute(statement)


async def test_both_secrets_verify_until_the_overlap_ends(
    db: Database, worker_db: Database, money_db: Database, dsn: str, receiver: Receiver
):
    async with receiving(receiver), dispatching(worker_db, dsn):
        id_, older = await an_endpoint(db, receiver.url, now=NOW)
        async with money_db.transaction("tests.rotate", merchant_id=M) as tx:
            _, newer = await subscriptions.rotate(tx, VAULT, merchant_id=M, endpoint_id=id_)
        await a_publication(db)
        await receiver.until(1)
        await execute(
            db, "update webhooks.webhook_secrets set expires_at = now() where state = 'retiring'"
        )
        await a_publication(db, "re_2")
        during, after = await receiver.until(2)

    for secret in (older, newer):
        Webhook(secret.reveal()).verify(during.body, during.headers)
    Webhook(newer.reveal()).verify(after.body, after.headers)
    assert len(after.headers["webhook-signature"].split(" ")) == 1
    await jobs.revoke_retired(worker_db)
    async with db.transaction("tests.secrets") as tx:
        found = await tx.connection.fetch(
            "select state from webhooks.webhook_secrets order by version"
        )
    assert [row["state"] for row in found] == ["revoked", "active"]


async def test_gone_switches_off_at_once_with_an_alert_and_skips_the_queue(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    receiver.status = 410
    tell = webhook_alerts.tell_disabled(ManualClock(NOW))
    async with Egress(allow_private=True) as egress, receiving(receiver):
        dispatcher = Dispatcher(worker_db, egress, VAULT, on_disabled=tell)
        id_, _ = await an_endpoint(db, receiver.url, now=NOW)
        await a_publication(db, version=1)
        await a_publication(db, version=2)
        async with dispatching(worker_db, dsn, dispatcher=dispatcher):
            assert await settled(db) == {"re_1/1": ("dead", 1), "re_1/2": ("skipped", 0)}

    endpoint = await queries.endpoint(db, M, id_)
    assert (endpoint.active, endpoint.disabled_reason) == (False, "gone")
    async with db.transaction("tests.alerts") as tx:
        alert = await tx.connection.fetchrow("select * from merchant.merchant_alerts")
    assert (alert["alert_type"], alert["severity"]) == ("webhook_disabled", "critical")
    assert alert["facts"]["endpoint_id"] == id_


@pytest.mark.parametrize(
    ("failing_for", "dead", "off"),
    [
        ("6 days", 0, True),
        ("2 hours", 10, True),
        ("4 days", 0, False),
        ("10 minutes", 10, False),
        ("2 hours", 8, False),
    ],
)
async def test_an_endpoint_that_fails_for_days_or_too_often_in_a_row_is_switched_off(
    db: Database,
    worker_db: Database,
    dsn: str,
    receiver: Receiver,
    failing_for: str,
    dead: int,
    off: bool,
):
    receiver.status = 500
    async with receiving(receiver):
        id_, _ = await an_endpoint(db, receiver.url, now=NOW)
        await execute(
            db,
            "update webhooks.merchant_webhooks set dead_in_a_row ="
            f" {dead}, failing_since = now() - interval '{failing_for}'",
        )
        await a_publication(db)
        async with dispatching(worker_db, dsn):
            await receiver.until(1)
            while (await queries.endpoint(db, M, id_)).total_failed == 0:
                await asyncio.sleep(0.02)

    assert (await queries.endpoint(db, M, id_)).active is not off


async def test_a_success_ends_a_row_of_failures(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    async with receiving(receiver), dispatching(worker_db, dsn):
        id_, _ = await an_endpoint(db, receiver.url, now=NOW)
        await execute(
            db,
            "update webhooks.merchant_webhooks set dead_in_a_row = 9,"
            " failing_since = now() - interval '6 days'",
        )
        await a_publication(db)
        await settled(db)

    endpoint = await queries.endpoint(db, M, id_)
    assert (endpoint.active, endpoint.failing_since) == (True, None)
    assert (endpoint.total_delivered, endpoint.total_failed) == (1, 0)


async def test_what_asks_for_less_is_left_alone_until_then(
    db: Database, worker_db: Database, dsn: str, receiver: Receiver
):
    receiver.script.append(429)
    receiver.extra = "Retry-After: 600\r\n"
    async with receiving(receiver), dispatching(worker_db, dsn):
        await an_endpoint(db, receiver.url, now=NOW)
        await a_publication(db)
        await receiver.until(1)
        while (await states(db))["re_1/1"][0] == "delivering":
            await asyncio.sleep(0.01)
        await a_publication(db, "re_2")
        await asyncio.sleep(0.5)
        assert len(receiver.heard) == 1
        async with db.transaction("tests.paused") as tx:
            left = await tx.connection.fetchval(
                "select paused_until - now() from webhooks.merchant_webhooks"
            )
        assert timedelta(minutes=9) < left <= timedelta(minutes=10)
        await make_due(db)
        await settled(db)

    assert len(receiver.heard) == 3


async def test_a_switched_off_endpoint_skips_its_queue_and_gets_it_when_asked(
    db: Database, worker_db: Database, money_db: Database, dsn: str, receiver: Receiver
):
    id_, _ = await an_endpoint(db, "http://127.0.0.1:9/", now=NOW)
    for number in range(3):
        await a_publication(db, f"re_{number}")
    async with money_db.transaction("tests.disable", merchant_id=M) as tx:
        await subscriptions.disable(tx, M, id_)
    await a_publication(db, "re_unheard")
    assert set((await states(db)).values()) == {("skipped", 0)}

    async with receiving(receiver), dispatching(worker_db, dsn):
        await execute(db, f"update webhooks.merchant_webhooks set url = '{receiver.url}'")
        async with money_db.transaction("tests.enable", merchant_id=M) as tx:
            await subscriptions.enable(tx, M, id_)
        await asyncio.sleep(0.3)
        assert receiver.heard == []
        async with money_db.transaction("tests.replay", merchant_id=M) as tx:
            since = NOW - timedelta(days=365)
            count = await subscriptions.replay_since(tx, M, id_, since=since, everything=False)
        await settled(db)

    assert count == 3
    assert {each.document["object_id"] for each in receiver.heard} == {"re_0", "re_1", "re_2"}


async def test_sent_again_it_keeps_its_id_and_gets_all_its_retries(
    db: Database, worker_db: Database, money_db: Database, dsn: str, receiver: Receiver
):
    receiver.status = 500
    async with receiving(receiver), dispatching(worker_db, dsn):
        id_, _ = await an_endpoint(db, receiver.url, now=NOW)
        await a_publication(db)
        for count in range(1, 5):
            await receiver.until(count)
            while (await states(db))["re_1/1"][0] == "delivering":
                await asyncio.sleep(0.01)
            await make_due(db)
        assert await settled(db) == {"re_1/1": ("dead", 4)}
        log = await queries.deliveries(db, M, id_, queries.Narrowing("dead"), beyond=None, limit=9)
        async with money_db.transaction("tests.replay", merchant_id=M) as tx:
            await subscriptions.replay(tx, M, log.rows[0].id)
        await receiver.until(5)
        while (await states(db))["re_1/1"][0] == "delivering":
            await asyncio.sleep(0.01)
        assert await states(db) == {"re_1/1": ("waiting", 5)}
        receiver.status = 200
        await make_due(db)
        assert await settled(db) == {"re_1/1": ("delivered", 6)}

    assert len(set(receiver.ids)) == 1
    _, attempts = await queries.delivery(db, M, log.rows[0].id)
    assert [each.status for each in attempts] == [500, 500, 500, 500, 500, 200]


async def test_a_test_reaches_an_endpoint_that_is_switched_off_and_counts_for_nothing(
    db: Database, worker_db: Database, money_db: Database, dsn: str, receiver: Receiver
):
    receiver.status = 500
    async with receiving(receiver), dispatching(worker_db, dsn):
        id_, _ = await an_endpoint(db, receiver.url, now=NOW)
        async with money_db.transaction("tests.test", merchant_id=M) as tx:
            await subscriptions.disable(tx, M, id_)
            await subscriptions.test(tx, M, id_, by="awa.diop", now=NOW)
        (heard,) = await receiver.until(1)
        await settled(db)

    endpoint = await queries.endpoint(db, M, id_)
    assert heard.headers["x-molam-event"] == "webhook.test"
    assert [state for state, _ in (await states(db)).values()] == ["dead"]
    assert (endpoint.total_failed, endpoint.failing_since) == (0, None)


async def test_each_payment_that_succeeds_is_told_once(db: Database, worker_db: Database):
    await a_merchant(db)
    await a_merchant(db, id_="merchant-2")
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW, events=["transaction.succeeded"])
    batch = [
        created("tx_1", amount=1000, merchant_id=M),
        succeeded("tx_1", amount=1000, fee_molam=10, merchant_id=M),
        created("tx_2", amount=70, merchant_id=M),
        created("tx_3", amount=70, status="failed", merchant_id=M),
        succeeded("tx_9", amount=5, merchant_id="merchant-2"),
    ]
    for payloads in (batch, batch, [succeeded("tx_1", amount=1000, version=7, merchant_id=M)]):
        async with worker_db.transaction("tests.tell") as tx:
            await webhook_payments.tell_payments(tx, payloads)

    assert await states(db) == {"tx_1/1": ("waiting", 0)}
    async with db.transaction("tests.data") as tx:
        data = await tx.connection.fetchval("select data from webhooks.webhook_events")
    assert (data["amount"], data["fee_molam"], data["net_amount"]) == (1000, 10, 990)


async def test_the_months_figures_are_told_when_they_moved_and_only_then(
    db: Database, worker_db: Database
):
    await a_merchant(db)
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW, events=["metrics.updated"])
    told = [await webhook_metrics.tell_metrics(worker_db, now=NOW)]
    for number in range(2):
        async with worker_db.transaction("tests.count") as tx:
            at = NOW.isoformat()
            event = succeeded(f"tx_{number}", amount=500, merchant_id=M, occurred_at=at)
            await merchant.count_facts(tx, f"[{event}]", imported=False)
        told += [await webhook_metrics.tell_metrics(worker_db, now=NOW) for _ in range(2)]

    assert told == [0, 1, 0, 1, 0]
    async with db.transaction("tests.data") as tx:
        data = await tx.connection.fetch("select data from webhooks.webhook_events order by seq")
    assert [row["data"]["figures"]["sales"]["value"] for row in data] == [500, 1000]


async def test_after_ninety_days_a_delivery_is_forgotten_and_an_open_one_is_not(
    db: Database, worker_db: Database
):
    await a_merchant(db)
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW)
    await a_publication(db, "re_old")
    await a_publication(db, "re_open")
    await a_publication(db, "re_new")
    await execute(
        db,
        "update webhooks.webhook_events set created_at = now() - interval '91 days'"
        " where object_id <> 're_new'",
    )
    await execute(
        db,
        "update webhooks.webhook_deliveries set state = 'dead', ended_at = now()"
        " where object_id = 're_old'",
    )
    await jobs.purge(worker_db)

    assert set(await states(db)) == {"re_open/1", "re_new/1"}


async def test_a_merchant_sees_nothing_of_anothers(db: Database, money_db: Database):
    await a_merchant(db)
    await a_merchant(db, id_="merchant-2")
    await an_endpoint(db, "http://127.0.0.1:9/", now=NOW, merchant_id="merchant-2")
    await a_publication(db, merchant_id="merchant-2")

    async with money_db.transaction("tests.wall", merchant_id=M) as tx:
        for table in (
            "merchant_webhooks",
            "webhook_secrets",
            "webhook_events",
            "webhook_deliveries",
            "webhook_attempts",
        ):
            count = await tx.connection.fetchval(f"select count(*) from webhooks.{table}")
            assert count == 0, table


async def test_the_pages_process_cannot_read_secrets(web_db: Database):
    async with web_db.transaction("tests.secrets", merchant_id=M) as tx:
        with pytest.raises(Exception, match="permission denied"):
            await tx.connection.fetch("select sealed from webhooks.webhook_secrets")
