"""Lists and figures know a refund as soon as it is given, and agree with the ledger on its fee."""

from __future__ import annotations

from typing import Any

import pytest

from builders import balance_of
from facts import count, take_in
from molam.ledger import queries as ledger
from molam.platform.db import Database
from refunding import Till, a_sale, a_shop, hear, pay, send

AVAILABLE = "merchant:merchant-123:available:XOF"
FEES = "molam:fees:XOF"


@pytest.fixture
async def till(db: Database, money_db: Database) -> Till:
    await a_shop(db, config={"refund_fee": "returned"})
    await a_sale(db, fee_molam=750)
    return Till(money_db)


async def told(db: Database) -> list[str]:
    """What the event log holds about refunds, in order."""
    async with db.transaction("tests.told") as tx:
        rows = await tx.connection.fetch(
            "select payload from platform.events where topic = 'refund_created' order by id"
        )
    return [row["payload"] for row in rows]


async def digest(db: Database, worker_db: Database) -> None:
    """Let intake and the figures have every event, twice, as they may."""
    events = await told(db)
    for _ in range(2):
        await take_in(worker_db, events)
        await count(worker_db, events)


async def rows(db: Database, sql: str) -> list[tuple[Any, ...]]:
    async with db.transaction("tests.rows") as tx:
        return [tuple(each) for each in await tx.connection.fetch(sql)]


async def test_given_refund_is_listed_as_pending_and_moves_no_money_again(
    till: Till, db: Database, worker_db: Database
):
    row = await till.ask(50_000)
    before = await balance_of(db, AVAILABLE)

    await digest(db, worker_db)

    listed = await rows(
        db, "select id, status, amount from payments.wallet_transactions where type = 'refund'"
    )
    assert listed == [(row.id, "pending", 50_000)]
    assert await balance_of(db, AVAILABLE) == before


async def test_refund_that_waits_for_approval_is_told_to_nobody(till: Till, db: Database):
    await a_sale(db, "tx_big", 300_000)

    await till.ask(150_000, transaction_id="tx_big")

    assert await told(db) == []


async def test_paid_refund_marks_the_payment_and_no_money_moves_twice(
    till: Till, db: Database, worker_db: Database
):
    row = await till.ask(50_000)
    await pay(worker_db, row.id)
    await digest(db, worker_db)

    payment = await rows(
        db,
        "select status, refunded_amount from payments.wallet_transactions where id = 'tx_123'",
    )
    assert payment == [("succeeded", 50_000)]
    assert await ledger.imbalances(db) == []


async def test_fees_of_the_figures_are_those_of_the_ledger(
    till: Till, db: Database, worker_db: Database
):
    sale = await rows(db, "select fee_molam from payments.wallet_transactions where id = 'tx_123'")
    row = await till.ask(25_000)
    await pay(worker_db, row.id)
    await digest(db, worker_db)

    refunded = await rows(db, "select fee, state from merchant.kpi_facts where kind = 'refund'")
    counted = await rows(
        db, "select sum(fees)::bigint, sum(refunds)::bigint from merchant.kpi_days"
    )

    assert sale == [(750,)]
    assert refunded == [(-250, "succeeded")]
    assert counted == [(-250, 25_000)]
    assert await balance_of(db, FEES) == 500
    assert (await till.look(row.id)).fee_returned == 250


async def test_full_refund_in_parts_returns_the_whole_fee(
    till: Till, db: Database, worker_db: Database
):
    for amount in (25_001, 24_999, 25_000):
        await pay(worker_db, (await till.ask(amount)).id)

    assert await balance_of(db, FEES) == 0


async def test_fee_is_kept_unless_the_merchants_terms_say_otherwise(
    db: Database, money_db: Database, worker_db: Database
):
    await a_shop(db)
    await a_sale(db, fee_molam=750)
    row = await Till(money_db).ask(75_000)

    await pay(worker_db, row.id)

    assert await balance_of(db, FEES) == 750


async def test_refund_that_was_returned_leaves_the_figures_and_takes_its_fee_back(
    till: Till, db: Database, worker_db: Database
):
    row = await till.ask(75_000)
    await pay(worker_db, row.id)
    await hear(worker_db, row.id, "returned")
    await digest(db, worker_db)

    counted = await rows(
        db, "select sum(fees)::bigint, sum(refunds)::bigint from merchant.kpi_days"
    )
    payment = await rows(
        db, "select status, refunded_amount from payments.wallet_transactions where id = 'tx_123'"
    )

    assert counted == [(0, 0)]
    assert payment == [("succeeded", 0)]
    assert await balance_of(db, FEES) == 750
    assert await ledger.imbalances(db) == []


async def test_partial_refund_never_shows_the_payment_as_refunded(
    till: Till, db: Database, worker_db: Database
):
    status = "select status from payments.wallet_transactions where id = 'tx_123'"
    await pay(worker_db, (await till.ask(74_999)).id)
    await digest(db, worker_db)
    partly = await rows(db, status)

    await pay(worker_db, (await till.ask(1)).id)
    await digest(db, worker_db)

    assert (partly, await rows(db, status)) == ([("succeeded",)], [("refunded",)])


async def test_failed_refund_counts_nowhere(till: Till, db: Database, worker_db: Database):
    row = await till.ask(50_000)
    await send(worker_db, row.id)
    await hear(worker_db, row.id, "rejected")
    await digest(db, worker_db)

    counted = await rows(db, "select sum(refunds)::bigint from merchant.kpi_days")

    assert counted == [(0,)]


async def test_subscribers_hear_of_each_step_once(till: Till, db: Database, worker_db: Database):
    async with db.transaction("tests.subscribe") as tx:
        await tx.connection.execute(
            "insert into webhooks.merchant_webhooks (id, merchant_id, url, events, created_by)"
            " values ('we_1', 'merchant-123', 'https://example.com/', $1, 'tests')",
            ["merchant.refund.created", "merchant.refund.updated", "merchant.refund.succeeded"],
        )
    row = await till.ask(50_000)
    await pay(worker_db, row.id)

    heard = await rows(db, "select event, version from webhooks.webhook_events order by version")

    assert heard == [
        ("merchant.refund.created", 1),
        ("merchant.refund.updated", 2),
        ("merchant.refund.succeeded", 3),
    ]
