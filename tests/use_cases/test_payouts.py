"""Payouts from balance to bank: what each pays, and where its money is at every step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

import paying_out as pay
from molam.payments.payouts import model
from molam.platform.db import Database


@pytest.fixture
async def payee(db: Database) -> str:
    await pay.a_bank(db)
    return await pay.a_payee(db)


async def test_a_payout_takes_the_whole_balance_and_says_what_it_is_made_of(
    db: Database, payee: str, money_db: Database
):
    await pay.an_entry(db, 75_000)
    await pay.an_entry(db, -750, cause="payment_fee")
    await pay.an_entry(db, -5_000)

    made = await pay.ask(money_db)

    assert (made.amount, made.gross, made.fees, made.refunds) == (69_250, 75_000, -750, -5_000)
    assert (made.state, made.bank_profile_id, made.entry_count) == ("pending", pay.BANK, 3)
    assert await pay.balance(db) == 0
    assert await pay.balance(db, "in_payout") == 69_250
    await pay.agree(db)


async def test_a_second_payout_finds_nothing_left_to_pay(db: Database, payee: str):
    await pay.an_entry(db, 75_000)
    await pay.ask(db)

    with pytest.raises(model.NothingToPay):
        await pay.ask(db)


async def test_an_entry_belongs_to_one_live_payout_and_the_database_says_so(
    db: Database, payee: str
):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)

    with pytest.raises(asyncpg.UniqueViolationError):
        await pay.sql(
            db,
            "insert into payments.payout_entries select transfer_id, merchant_id, payout_id, amount,"
            " cause, cause_id, occurred_at, posted_at from payments.payout_entries"
            " where payout_id = $1",
            made.id,
        )


async def test_what_came_in_lately_waits_and_what_was_taken_does_not(db: Database):
    await pay.a_bank(db)
    await pay.a_payee(db, delay_days=2)
    await pay.an_entry(db, 10_000, age=timedelta(days=4))
    await pay.an_entry(db, 7_000, age=timedelta(hours=1))
    await pay.an_entry(db, -70, cause="payment_fee", age=timedelta(hours=1))
    await pay.an_entry(db, -3_000, age=timedelta(minutes=1))

    made = await pay.ask(db)

    assert made.amount == 7_000
    assert await pay.balance(db) == 6_930
    await pay.agree(db)


async def test_a_negative_balance_is_carried_and_never_paid(db: Database, payee: str):
    await pay.an_entry(db, 1_000)
    await pay.an_entry(db, -4_000)

    with pytest.raises(model.NothingToPay):
        await pay.ask(db)

    await pay.an_entry(db, 5_000)
    assert (await pay.ask(db)).amount == 2_000
    await pay.agree(db)


async def test_less_than_was_shown_is_refused_with_what_there_is(db: Database, payee: str):
    await pay.an_entry(db, 1_000)

    with pytest.raises(model.PayoutAmountChanged) as refused:
        await pay.ask(db, expected=1_001)

    assert refused.value.facts["payable"] == 1_000
    assert await pay.sql(db, "select id from payments.payouts") == []
    assert await pay.balance(db) == 1_000


async def test_a_payment_that_is_held_is_left_out_with_its_fee(db: Database, payee: str):
    await pay.an_entry(db, 1_000, cause_id="tx_good")
    await pay.an_entry(db, 9_000, cause_id="tx_held")
    await pay.an_entry(db, -90, cause="payment_fee", cause_id="tx_held")
    await pay.sql(
        db,
        "insert into payments.payout_holds (id, merchant_id, kind, transaction_id, amount, currency,"
        " reason, created_by) values ($1, $2, 'payment', 'tx_held', 9000, 'XOF', 'looks odd', 'x')",
        *(pay.an_id(), payee),
    )

    assert (await pay.ask(db)).amount == 1_000

    await pay.sql(
        db,
        "update payments.payout_holds set status = 'released', ended_at = now(), ended_by = 'x'",
    )
    assert (await pay.ask(db)).amount == 8_910
    await pay.agree(db)


async def test_nobody_is_paid_who_has_not_said_where(db: Database):
    await pay.a_bank(db)
    await pay.a_payee(db)
    await pay.sql(db, "delete from payments.payout_destinations")
    await pay.an_entry(db, 1_000)

    with pytest.raises(model.NoDestination):
        await pay.ask(db)


async def test_sending_names_the_payout_the_same_at_every_attempt(db: Database, payee: str):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)

    sent = await pay.claim(db, made.id)
    await pay.settle(db, made.id, "unknown")
    await pay.try_again(db, made.id)
    again = await pay.claim(db, made.id)

    assert sent is not None
    assert again == sent
    assert (sent.key, sent.amount, sent.bank_profile_id) == (f"payout-{made.id}", 1_000, pay.BANK)
    assert await pay.one(db, "select attempts from payments.payouts") == 2


async def test_a_payout_in_transit_is_not_claimed_twice(db: Database, payee: str):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    await pay.claim(db, made.id)

    assert await pay.claim(db, made.id) is None


async def test_a_settled_payout_leaves_to_its_bank_once_however_often_that_is_told(
    db: Database, payee: str
):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    await pay.claim(db, made.id)

    for told in ("accepted", "settled", "settled", "accepted", "unknown"):
        await pay.settle(db, made.id, told)  # type: ignore[arg-type]

    assert await pay.state_of(db, made.id) == "paid"
    assert (
        await pay.one(db, "select balance from ledger.accounts where id = 'banks:bp_wave:XOF'")
        == 1_000
    )
    await pay.agree(db)


async def test_a_refused_payout_gives_its_money_and_its_entries_back(db: Database, payee: str):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    await pay.claim(db, made.id)

    await pay.settle(db, made.id, "rejected", code="AM04", reason="no cover")
    await pay.settle(db, made.id, "rejected", code="AM04")

    assert await pay.state_of(db, made.id) == "failed"
    assert await pay.balance(db) == 1_000
    again = await pay.ask(db)
    assert (again.amount, again.id != made.id) == (1_000, True)
    await pay.agree(db)


async def test_a_lost_answer_keeps_the_money_under_way(db: Database, payee: str):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    await pay.claim(db, made.id)

    await pay.settle(db, made.id, "unknown")

    assert await pay.state_of(db, made.id) == "in_transit"
    assert await pay.balance(db, "in_payout") == 1_000
    assert await pay.one(db, "select in_doubt_since is not null from payments.payouts")
    await pay.settle(db, made.id, "settled")
    assert await pay.one(db, "select in_doubt_since is null from payments.payouts")
    await pay.agree(db)


async def test_a_payout_that_comes_back_is_paid_by_the_next_one(db: Database, payee: str):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    await pay.claim(db, made.id)
    await pay.settle(db, made.id, "settled")

    await pay.settle(db, made.id, "returned", code="MS03")
    await pay.settle(db, made.id, "settled")

    assert await pay.state_of(db, made.id) == "returned"
    assert await pay.balance(db) == 1_000
    assert (await pay.ask(db)).amount == 1_000
    await pay.agree(db)


async def test_money_that_left_after_a_refusal_is_taken_from_the_balance_once(
    db: Database, payee: str
):
    await pay.an_entry(db, 1_000)
    first = await pay.ask(db)
    await pay.claim(db, first.id)
    await pay.settle(db, first.id, "rejected")
    second = await pay.ask(db)

    await pay.settle(db, first.id, "settled")
    await pay.settle(db, first.id, "settled")

    assert await pay.state_of(db, first.id) == "paid"
    assert await pay.balance(db) == -1_000
    await pay.agree(db)
    await pay.settle(db, first.id, "returned")
    assert await pay.balance(db) == 0
    assert second.amount == 1_000
    await pay.agree(db)


async def test_a_failed_payout_is_sent_again_only_while_its_money_is_free(db: Database, payee: str):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    await pay.claim(db, made.id)
    await pay.settle(db, made.id, "rejected")

    await pay.try_again(db, made.id)
    assert await pay.balance(db, "in_payout") == 1_000
    await pay.claim(db, made.id)
    await pay.settle(db, made.id, "rejected")
    await pay.ask(db)

    with pytest.raises(model.EntriesTaken):
        await pay.try_again(db, made.id)
    await pay.agree(db)


async def test_a_payout_is_cancelled_before_it_is_sent_and_not_after(db: Database, payee: str):
    await pay.an_entry(db, 1_000)
    first = await pay.ask(db)
    await pay.cancel(db, first.id)
    await pay.cancel(db, first.id)
    assert await pay.balance(db) == 1_000

    second = await pay.ask(db)
    await pay.claim(db, second.id)
    with pytest.raises(model.PayoutNotInState):
        await pay.cancel(db, second.id)
    await pay.agree(db)


async def test_another_merchants_payout_looks_absent(db: Database, payee: str, money_db: Database):
    await pay.a_payee(db, id_="merchant-2")
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)

    with pytest.raises(model.PayoutAbsent):
        await pay.cancel(money_db, made.id, merchant_id="merchant-2")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("update tenancy.merchants set status = 'frozen'", "frozen"),
        (
            "insert into payments.payout_pauses (id, merchant_id, until, paused_by, paused_at) values"
            " ('0192f0c0-0000-7000-8000-000000000001', 'merchant-123', now() + interval '1 h', 'x', now())",
            "paused",
        ),
        (
            "insert into payments.payout_holds (id, merchant_id, kind, transaction_id, amount, currency,"
            " reason, created_by) select '0192f0c0-0000-7000-8000-000000000001', merchant_id, 'payout',"
            " id, amount, currency, 'why', 'x' from payments.payouts",
            "hold",
        ),
        (
            "update payments.payout_destinations set hold_until = now() + interval '1 h'",
            "destination_changed",
        ),
        ("update payments.payout_destinations set refused_code = 'AC04'", "destination_refused"),
    ],
)
async def test_what_keeps_a_payout_is_looked_at_when_it_is_sent(
    db: Database, payee: str, statement: str, reason: str
):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    await pay.sql(db, statement)

    assert await pay.claim(db, made.id) is None

    found: Any = await pay.sql(db, "select state, held_reason from payments.payouts")
    assert found == [("held", reason)]
    await pay.agree(db)


async def test_wallets_cannot_change_payouts_of_ours(db: Database, payee: str, worker_db: Database):
    from facts import an_event, take_in

    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)

    await take_in(
        worker_db,
        [an_event("payout_created", id=made.id, status="paid", version=99, amount=1)],
    )

    assert await pay.state_of(db, made.id) == "pending"
    await pay.agree(db)


async def test_our_own_events_move_no_money_when_intake_reads_them(
    db: Database, payee: str, worker_db: Database
):
    from facts import drain

    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    await pay.claim(db, made.id)
    await pay.settle(db, made.id, "settled")
    version = await pay.one(db, "select version from payments.payouts")

    await drain(worker_db)

    assert await pay.one(db, "select version from payments.payouts") == version
    assert await pay.one(db, "select sum(payouts)::bigint from merchant.kpi_days") == 1_000
    await pay.agree(db)
