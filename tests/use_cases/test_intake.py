"""Intake: each reported fact becomes one row and moves money once, in whatever order."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest

from builders import a_merchant
from facts import an_event, created, look, refund, succeeded, take_in
from molam.payments import commands
from molam.payments import store as payments_store
from molam.platform.db import Database

BALANCES = "select id, balance from ledger.accounts order by id"
AVAILABLE = "merchant:merchant-123:available:XOF"


async def _balances(db: Database) -> dict[str, int]:
    return {id_: balance for id_, balance in await look(db, BALANCES) if balance}


async def test_a_succeeded_payment_moves_the_amount_and_the_fee(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)

    await take_in(worker_db, [created("tx_1"), succeeded("tx_1", amount=1000, fee_molam=15)])

    assert await _balances(db) == {
        "customers:wallet:XOF": -1000,
        AVAILABLE: 985,
        "molam:fees:XOF": 15,
    }


async def test_the_same_batch_twice_moves_money_once(db: Database, worker_db: Database) -> None:
    await a_merchant(db)
    batch = [created("tx_1"), succeeded("tx_1", fee_molam=10), refund("rf_1", "tx_1", amount=400)]
    await take_in(worker_db, batch)
    before = await _balances(db)

    await take_in(worker_db, batch)

    assert await _balances(db) == before


async def test_a_correction_moves_only_the_difference(db: Database, worker_db: Database) -> None:
    await a_merchant(db)
    await take_in(worker_db, [succeeded("tx_1", amount=1000, fee_molam=10)])

    await take_in(worker_db, [succeeded("tx_1", amount=900, fee_molam=9, version=3)])

    assert (await _balances(db))[AVAILABLE] == 891
    assert await look(db, "select amount from ledger.transfers order by amount") == [
        (1,),
        (10,),
        (100,),
        (1000,),
    ]


async def test_a_second_correction_of_one_version_moves_money_of_its_own(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await take_in(worker_db, [succeeded("tx_1", amount=900, version=3)])

    await take_in(worker_db, [succeeded("tx_1", amount=950, version=3)])

    assert (await _balances(db))[AVAILABLE] == 950


async def test_a_payment_that_fails_after_all_gives_everything_back(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await take_in(worker_db, [succeeded("tx_1", amount=1000, fee_molam=10)])

    await take_in(worker_db, [created("tx_1", status="failed", version=3)])

    assert await _balances(db) == {}


async def test_an_older_version_that_comes_late_changes_nothing(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await take_in(worker_db, [succeeded("tx_1", version=5)])

    await take_in(worker_db, [created("tx_1", status="failed", version=4)])

    assert await look(db, "select state from payments.wallet_transactions") == [("succeeded",)]


async def test_a_refund_before_its_payment_is_found_when_the_payment_comes(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await take_in(worker_db, [refund("rf_1", "tx_1", amount=1000)])

    await take_in(worker_db, [succeeded("tx_1", amount=1000)])

    status = "select status from payments.wallet_transactions where id = 'tx_1'"
    assert await look(db, status) == [("refunded",)]


@pytest.mark.parametrize(("amount", "status"), [(400, "succeeded"), (1000, "refunded")])
async def test_only_a_refund_of_everything_makes_a_payment_refunded(
    db: Database, worker_db: Database, amount: int, status: str
) -> None:
    await a_merchant(db)

    await take_in(
        worker_db, [succeeded("tx_1", amount=1000), refund("rf_1", "tx_1", amount=amount)]
    )

    found = "select status, refunded_amount from payments.wallet_transactions where id = 'tx_1'"
    assert await look(db, found) == [(status, amount)]


async def test_an_event_of_our_own_command_is_stored_and_posts_nothing(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)

    await take_in(worker_db, [refund("rf_1", "tx_1", ledger_transfer_id="0192")])

    assert await _balances(db) == {}
    assert await look(db, "select id from payments.wallet_transactions") == [("rf_1",)]


async def test_a_dispute_takes_its_amount_and_gives_it_back_when_won(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await take_in(worker_db, [an_event("dispute_created", id="dp_1", amount=700)])
    held = await _balances(db)

    await take_in(worker_db, [an_event("dispute_created", id="dp_1", amount=700, status="won")])

    assert held == {"disputes:held:XOF": 700, AVAILABLE: -700}
    assert await _balances(db) == {}


async def test_a_payout_leaves_the_balance_and_returns_when_it_fails(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await take_in(worker_db, [an_event("payout_created", id="po_1", amount=500)])
    sent = await _balances(db)

    await take_in(worker_db, [an_event("payout_created", id="po_1", amount=500, status="failed")])

    assert sent == {AVAILABLE: -500, "payouts:sent:XOF": 500}
    assert await _balances(db) == {}


@pytest.mark.parametrize(
    ("topic", "first", "second"),
    [("payout_created", "paid", "returned"), ("dispute_created", "escalated", "won")],
)
async def test_what_left_returns_even_if_nobody_told_of_its_beginning(
    db: Database, worker_db: Database, topic: str, first: str, second: str
) -> None:
    # Without versions of their own, both are the second: only the state tells them apart.
    await a_merchant(db)
    await take_in(worker_db, [an_event(topic, id="x_1", amount=500, status=first)])

    await take_in(worker_db, [an_event(topic, id="x_1", amount=500, status=second)])

    assert await _balances(db) == {}


async def test_the_same_ids_of_two_merchants_are_two_facts(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await a_merchant(db, id_="merchant-other")

    await take_in(worker_db, [succeeded("tx_1"), succeeded("tx_1", merchant_id="merchant-other")])

    assert len(await look(db, "select 1 from payments.wallet_transactions")) == 2


async def test_what_each_event_knows_of_a_payment_is_put_together(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)

    await take_in(
        worker_db,
        [
            created("tx_1", customer={"name": "Awa Diop"}, reference_code="CMD-1"),
            succeeded("tx_1", provider="wave", customer={"phone": "+221770000000"}),
        ],
    )

    known = "select reference_code, provider, customer from payments.wallet_transactions"
    assert await look(db, known) == [
        ("CMD-1", "wave", {"name": "Awa Diop", "phone": "+221770000000"})
    ]


async def test_any_order_and_any_batching_ends_in_the_same_books(
    db: Database, worker_db: Database
) -> None:
    rng = random.Random(2026)
    story = [
        created(
            "tx_1",
            amount=1000,
            fee_molam=10,
            occurred_at="2026-11-15T23:59:58Z",
            provider="wave",
            reference_code="CMD-1",
            customer={"name": "Awa Diop"},
        ),
        succeeded("tx_1", amount=1000, fee_molam=10, occurred_at="2026-11-16T00:00:03Z"),
        succeeded("tx_1", amount=900, fee_molam=9, version=4),
        refund("rf_1", "tx_1", amount=300, status="pending"),
        refund("rf_1", "tx_1", amount=300),
        created("tx_2", amount=50),
        created("tx_2", amount=50, status="failed"),
        created("tx_3", amount=70),
        an_event(
            "dispute_created", id="dp_1", transaction_id="tx_1", amount=200, reason="duplicate"
        ),
        an_event("dispute_created", id="dp_1", amount=200, status="lost"),
        an_event("payout_created", id="po_1", amount=100, occurred_at="2026-11-15T00:00:00Z"),
        an_event("payout_created", id="po_1", amount=100, status="in_transit"),
    ]
    endings = set()
    for trial in range(12):
        await a_merchant(db, id_=f"merchant-{trial}")
        told = [event.replace("merchant-123", f"merchant-{trial}") for event in story]
        told += rng.sample(told, 4)
        rng.shuffle(told)
        while told:
            size = rng.randint(1, 5)
            batch, told = told[:size], told[size:]
            await take_in(worker_db, batch)
        endings.add(
            str(
                await look(
                    db,
                    "select type, id, state, amount, refunded_amount, posted_amount, posted_fee,"
                    " occurred_at, provider, reference_code, customer"
                    " from payments.wallet_transactions where merchant_id = $1 order by 1, 2",
                    f"merchant-{trial}",
                )
                + await look(
                    db,
                    "select balance from ledger.accounts where owner_id = $1",
                    f"merchant-{trial}",
                )
                + await look(
                    db,
                    "select id, state, reason, transaction_id, occurred_at from payments.disputes"
                    " where merchant_id = $1",
                    f"merchant-{trial}",
                )
                + await look(
                    db,
                    "select id, state, occurred_at from payments.payouts where merchant_id = $1",
                    f"merchant-{trial}",
                )
            )
        )

    assert len(endings) == 1


async def test_balances_are_the_sum_of_entries_after_concurrent_batches(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    events = [succeeded(f"tx_{n}", amount=100 + n, fee_molam=n % 7) for n in range(200)]
    batches = [events[start : start + 40] for start in range(0, 200, 25)]

    await asyncio.gather(*(take_in(worker_db, batch) for batch in batches))

    drift = "select a.id from ledger.accounts a where balance <> (select sum(amount) from ledger.entries e where e.account_id = a.id)"
    assert await look(db, drift) == []
    assert await look(db, "select sum(amount) from ledger.entries") == [(0,)]


async def test_old_state_is_read_before_it_is_overwritten(
    db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The twin of test_a_correction_moves_only_the_difference: without the ordering
    # column that makes the locking read come first, the difference is lost.
    await a_merchant(db)
    careless = payments_store.STORE_TRANSACTIONS.sql.replace(
        "          left join before b on b.merchant_id = l.merchant_id and b.type = l.kind and b.id = l.id\n",
        "",
    ).replace("order by l.merchant_id, l.kind, l.id, b.id", "order by l.merchant_id, l.kind, l.id")
    assert careless != payments_store.STORE_TRANSACTIONS.sql
    monkeypatch.setattr(
        payments_store,
        "STORE_TRANSACTIONS",
        payments_store.Query(careless, row=payments_store.StoredRow),
    )
    await take_in(worker_db, [succeeded("tx_1", amount=1000, fee_molam=10)])

    await take_in(worker_db, [succeeded("tx_1", amount=900, fee_molam=9, version=3)])

    assert (await _balances(db))[AVAILABLE] != 891


async def test_payments_undecided_for_a_day_are_abandoned_and_may_still_succeed(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await take_in(worker_db, [created("tx_1", occurred_at="2025-01-01T00:00:00Z")])

    async with worker_db.transaction("t") as tx:
        assert await commands.abandon_undecided(tx) == 1
    abandoned = await look(db, "select state, status from payments.wallet_transactions")
    await take_in(worker_db, [succeeded("tx_1", occurred_at="2025-01-01T00:00:00Z")])

    assert abandoned == [("abandoned", "failed")]
    assert await look(db, "select state from payments.wallet_transactions") == [("succeeded",)]


@pytest.mark.parametrize(
    "poison",
    [
        created("tx_1", amount=-1),
        created("tx_1", amount=1.5),
        created("tx_1", amount="12e3"),
        created("tx_1", currency="ZZZ"),
        created("tx_1", merchant_id="nobody"),
        created("tx_1", occurred_at="2026-11-16T12:00:00"),
        created("tx_1", status="sideways"),
        created("tx_1", fee_molam=1001),
        created("tx_1", customer=[]),
        created(""),
        created("tx_1", amount=2**53),
        created("tx_1", occurred_at="1815-06-18T12:00:00Z"),
        an_event("refund_created", transaction_id="tx_1"),
    ],
)
async def test_an_impossible_fact_is_refused_by_the_database_and_leaves_no_trace(
    db: Database, worker_db: Database, poison: str
) -> None:
    await a_merchant(db)

    with pytest.raises((asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)):
        await take_in(worker_db, [succeeded("tx_good"), poison])

    assert await look(db, "select 1 from payments.wallet_transactions") == []


async def test_ledger_history_cannot_be_changed_even_by_its_owner(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await take_in(worker_db, [succeeded("tx_1")])

    for statement in (
        "update ledger.transfers set amount = 1",
        "delete from ledger.transfers",
        "truncate ledger.transfers",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await look_and_write(db, statement)


async def look_and_write(db: Database, statement: str) -> None:
    async with db.transaction("tests.write") as tx:
        await tx.connection.execute(statement)


async def test_the_web_role_sees_only_the_merchant_of_its_transaction(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    await a_merchant(db, id_="merchant-other")
    await take_in(worker_db, [succeeded("tx_1"), succeeded("tx_2", merchant_id="merchant-other")])

    async with web_db.transaction("t", merchant_id="merchant-other") as tx:
        seen = await tx.connection.fetch("select id from payments.wallet_transactions")
    async with web_db.transaction("t") as tx:
        nobody = await tx.connection.fetch("select id from payments.wallet_transactions")

    assert [row["id"] for row in seen] == ["tx_2"]
    assert nobody == []
