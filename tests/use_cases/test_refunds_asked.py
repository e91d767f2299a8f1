"""Asking for a refund: what is set aside, what is refused, and what counts toward the threshold."""

from __future__ import annotations

import asyncio

import pytest

from builders import balance_of
from facts import an_event, refund, take_in
from molam.approvals.model import Unsatisfiable
from molam.kernel.refusals import Refusal
from molam.payments.queries import TransactionAbsent
from molam.payments.refunds import refusals
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.db import Database
from refunding import AWA, MOUSSA, Till, a_sale, a_shop, give_up, hear, pay, send

AVAILABLE = "merchant:merchant-123:available:XOF"
RESERVED = "merchant:merchant-123:reserved:XOF"


@pytest.fixture
async def till(db: Database, money_db: Database) -> Till:
    await a_shop(db)
    await a_sale(db)
    return Till(money_db)


async def test_small_refund_is_set_aside_and_queued_at_once(till: Till, db: Database):
    before = await balance_of(db, AVAILABLE)

    row = await till.ask(50_000)

    assert (row.state, row.status, row.requires_approval) == ("queued", "processing", False)
    assert await balance_of(db, AVAILABLE) == before - 50_000
    assert await balance_of(db, RESERVED) == 50_000


async def test_paid_refund_leaves_what_was_set_aside(till: Till, db: Database, worker_db: Database):
    row = await till.ask(50_000)

    await pay(worker_db, row.id)

    assert (await till.look(row.id)).status == "completed"
    assert await balance_of(db, RESERVED) == 0
    assert await balance_of(db, "customers:wallet:XOF") == -525_000


async def test_large_refund_waits_for_another_administrator(till: Till, db: Database):
    await a_sale(db, "tx_big", 200_000)

    row = await till.ask(150_000, transaction_id="tx_big")

    assert row.state == "awaiting_approval"
    assert [each["name"] for each in row.approvers] == ["Moussa Ndiaye"]
    assert row.expires_at is not None
    assert await balance_of(db, RESERVED) == 150_000


async def test_refund_above_threshold_demands_a_fresh_second_factor(till: Till, db: Database):
    await a_sale(db, "tx_big", 200_000)

    with pytest.raises(StepUpRequired):
        await till.ask(150_000, transaction_id="tx_big", proved=False)

    assert await balance_of(db, RESERVED) == 0


async def test_small_refund_asks_for_no_second_factor(till: Till):
    assert (await till.ask(10_000, proved=False)).state == "queued"


async def test_split_refunds_of_one_payment_count_together(till: Till, db: Database):
    await a_sale(db, "tx_big", 200_000)
    first = await till.ask(60_000, transaction_id="tx_big")

    second = await till.ask(60_000, transaction_id="tx_big", by=MOUSSA)

    assert (first.state, second.state) == ("queued", "awaiting_approval")


async def test_one_persons_refunds_of_several_payments_count_together(till: Till, db: Database):
    await a_sale(db, "tx_other", 75_000)
    await till.ask(60_000)

    second = await till.ask(60_000, transaction_id="tx_other")

    assert second.state == "awaiting_approval"


async def test_amount_equal_to_the_threshold_needs_approval(till: Till, db: Database):
    await a_sale(db, "tx_big", 200_000)

    assert (await till.ask(100_000, transaction_id="tx_big")).state == "awaiting_approval"


async def test_released_refunds_do_not_count_toward_the_threshold(
    till: Till, db: Database, worker_db: Database
):
    await a_sale(db, "tx_big", 200_000)
    first = await till.ask(100_000, transaction_id="tx_big")
    await give_up(worker_db, first.id)

    assert (await till.ask(60_000, transaction_id="tx_big")).state == "queued"


async def test_threshold_of_zero_puts_every_refund_to_others(db: Database, money_db: Database):
    await a_shop(db, config={"refund_thresholds": {"XOF": 0}})
    await a_sale(db)

    assert (await Till(money_db).ask(1)).state == "awaiting_approval"


async def test_currency_without_a_known_rate_needs_approval(db: Database, money_db: Database):
    await a_shop(db)
    await a_sale(db, "tx_gnf", 75_000, currency="GNF")

    row = await Till(money_db).ask(1, transaction_id="tx_gnf", currency="GNF")

    assert row.state == "awaiting_approval"


async def test_only_administrator_needs_finance_operations(db: Database, money_db: Database):
    await a_shop(db, admins=1, config={"refund_thresholds": {"XOF": 0}})
    await a_sale(db)

    with pytest.raises(Unsatisfiable):
        await Till(money_db).ask(1)

    assert await balance_of(db, RESERVED) == 0


REFUSED: list[tuple[dict[str, object], type[Refusal]]] = [
    ({"amount": 75_001}, refusals.RefundExceedsPayment),
    ({"currency": "EUR"}, refusals.RefundCurrencyDiffers),
    ({"transaction_id": "tx_none"}, TransactionAbsent),
    ({"expected_refundable": 74_999}, refusals.RefundableChanged),
    ({"reason": "   "}, refusals.RefundReasonRefused),
    ({"reason": "x" * 501}, refusals.RefundReasonRefused),
]


@pytest.mark.parametrize(("wish", "refusal"), REFUSED, ids=lambda each: str(each)[:40])
async def test_impossible_refund_is_refused_and_sets_nothing_aside(
    till: Till, db: Database, wish: dict[str, object], refusal: type[Refusal]
):
    asked = {"amount": 1_000, **wish}

    with pytest.raises(refusal):
        await till.ask(**asked)  # type: ignore[arg-type]

    assert await balance_of(db, RESERVED) == 0


@pytest.mark.parametrize("status", ["pending", "failed", "cancelled"])
async def test_only_succeeded_payments_are_refunded(till: Till, db: Database, status: str):
    await take_in(db, [an_event("wallet_txn_created", transaction_id="tx_no", status=status)])

    with pytest.raises(refusals.PaymentNotRefundable):
        await till.ask(1, transaction_id="tx_no")


async def test_imported_payment_is_not_refunded(till: Till, db: Database):
    async with db.transaction("tests.imported") as tx:
        await tx.connection.execute(
            "insert into payments.wallet_transactions (merchant_id, id, type, state, amount,"
            " currency, occurred_at, version, imported)"
            " values ('merchant-123', 'tx_old', 'payment', 'succeeded', 10, 'XOF', now(), 2, true)"
        )

    with pytest.raises(refusals.PaymentNotRefundable):
        await till.ask(1, transaction_id="tx_old")


async def test_disputed_payment_is_not_refunded_as_well(till: Till, db: Database):
    dispute = an_event("dispute_created", id="dp_1", transaction_id="tx_123", amount=75_000)
    await take_in(db, [dispute])

    with pytest.raises(refusals.PaymentDisputed) as refused:
        await till.ask(1)

    assert refused.value.facts["dispute_id"] == "dp_1"


async def test_lost_dispute_leaves_only_the_rest_to_refund(till: Till, db: Database):
    lost = an_event(
        "dispute_created", id="dp_1", transaction_id="tx_123", amount=70_000, status="lost"
    )
    await take_in(db, [lost])

    with pytest.raises(refusals.RefundExceedsPayment) as refused:
        await till.ask(5_001)

    assert refused.value.facts["refundable"] == 5_000


async def test_refund_that_the_wallet_reported_counts(till: Till, db: Database):
    await take_in(db, [refund("rf_wallet", "tx_123", amount=70_000)])

    with pytest.raises(refusals.RefundExceedsPayment):
        await till.ask(5_001)


async def test_balance_that_is_too_small_is_named(db: Database, money_db: Database):
    await a_shop(db, balance=0)
    await a_sale(db, fee_molam=2_000)

    with pytest.raises(refusals.BalanceInsufficient) as refused:
        await Till(money_db).ask(75_000)

    assert (refused.value.facts["available"], refused.value.facts["needed"]) == (73_000, 75_000)


@pytest.mark.parametrize("per", ["daily", "monthly"])
async def test_limits_of_a_day_and_a_month_hold(db: Database, money_db: Database, per: str):
    await a_shop(db, config={"refund_limits": {"XOF": {per: 60_000}}})
    await a_sale(db)
    await a_sale(db, "tx_other")
    till = Till(money_db)
    await till.ask(40_000)

    with pytest.raises(refusals.RefundLimitReached) as refused:
        await till.ask(20_001, transaction_id="tx_other", by=MOUSSA)

    assert refused.value.facts["left"] == 20_000
    assert (await till.ask(20_000, transaction_id="tx_other", by=MOUSSA)).state == "queued"


async def test_same_reference_gives_the_first_refund_again(till: Till, db: Database):
    first = await till.asked(10_000, client_reference="order-7")

    again = await till.asked(10_000, client_reference="order-7")

    assert (first.is_new, again.is_new) == (True, False)
    assert again.refund.id == first.refund.id
    assert await balance_of(db, RESERVED) == 10_000


async def test_reference_of_another_refund_is_refused(till: Till):
    await till.ask(10_000, client_reference="order-7")

    with pytest.raises(refusals.ClientReferenceUsed):
        await till.ask(10_001, client_reference="order-7")


async def test_two_refunds_at_once_never_exceed_the_payment(till: Till, db: Database):
    asked = [till.ask(40_000, by=each) for each in (AWA, MOUSSA)]

    ended = await asyncio.gather(*asked, return_exceptions=True)

    assert sum(isinstance(each, refusals.RefundExceedsPayment) for each in ended) == 1
    assert await balance_of(db, RESERVED) == 40_000


async def test_refund_without_a_known_wallet_waits_for_details(
    till: Till, db: Database, worker_db: Database
):
    await a_sale(db, "tx_card", channel="card", provider="visa", customer={"name": "A"})
    row = await till.ask(1_000, transaction_id="tx_card")

    assert await send(worker_db, row.id) is None

    assert (await till.look(row.id)).state == "needs_details"


async def test_failed_refund_gives_the_money_back_once(
    till: Till, db: Database, worker_db: Database
):
    before = await balance_of(db, AVAILABLE)
    row = await till.ask(10_000)
    await send(worker_db, row.id)

    for _ in range(2):
        await hear(worker_db, row.id, "rejected", code="wallet-closed")

    assert await balance_of(db, AVAILABLE) == before
    assert await balance_of(db, RESERVED) == 0
    assert (await till.look(row.id)).failed_code == "wallet-closed"
