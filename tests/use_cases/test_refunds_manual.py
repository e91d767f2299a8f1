"""Refunds that operations give: ISSUE_MANUAL_REFUND and MANUAL_REVERSAL."""

from __future__ import annotations

from typing import Any

import pytest

from builders import a_merchant, balance_of
from carrying_out import carry_out, do, rehearse
from facts import an_event, take_in
from molam.kernel.refusals import Refusal
from molam.payments.queries import TransactionAbsent
from molam.payments.refunds import refusals
from molam.payments.refunds.manual import SeveralPayments
from molam.platform.actions import ParamsRefused, PreconditionChanged
from molam.platform.db import Database
from refunding import REGISTRY, Till, a_sale, a_shop, pay

REFUND = REGISTRY.find("ISSUE_MANUAL_REFUND")
REVERSAL = REGISTRY.find("MANUAL_REVERSAL")
AVAILABLE = "merchant:merchant-123:available:XOF"
ASKED: dict[str, Any] = {"transaction_id": "tx_123", "amount": 20_000, "reason": "goodwill"}


@pytest.fixture(autouse=True)
async def shop(db: Database) -> None:
    await a_shop(db)
    await a_sale(db, fee_molam=750)


async def test_manual_refund_is_sent_like_any_other(
    ops_db: Database, db: Database, money_db: Database, worker_db: Database
):
    outcome = await do(ops_db, REFUND, ASKED)

    refund_id = str(outcome.result["refund_id"])
    await pay(worker_db, refund_id)
    row = await Till(money_db).look(refund_id)
    assert outcome.result["refunded"] is True
    assert (row.state, row.origin, row.amount) == ("succeeded", "operations", 20_000)


async def test_reversal_gives_back_all_that_is_left_and_the_fee(
    ops_db: Database, db: Database, money_db: Database, worker_db: Database
):
    await pay(worker_db, (await Till(money_db).ask(20_000)).id)

    outcome = await do(ops_db, REVERSAL, {"transaction_id": "tx_123"})

    assert outcome.result["reversed"] is True
    assert outcome.result["transaction_id"] == "tx_123"
    await pay(worker_db, str(outcome.result["refund_id"]))
    assert await balance_of(db, "molam:fees:XOF") == 0


async def test_reversal_takes_back_what_the_merchant_has_spent(ops_db: Database, db: Database):
    async with db.transaction("tests.spend") as tx:
        await tx.connection.execute(
            "update ledger.accounts set balance = 10 where id = $1", AVAILABLE
        )

    await do(ops_db, REVERSAL, {"transaction_id": "tx_123"})

    assert await balance_of(db, AVAILABLE) == 10 - 75_000


async def test_rehearsal_shows_the_balance_before_and_after(ops_db: Database):
    plan = (await rehearse(ops_db, REFUND, ASKED)).plan

    shown = {each.what: (each.before, each.after) for each in plan.changes}
    assert shown["refundable"] == (
        {"currency": "XOF", "minor": 75_000},
        {"currency": "XOF", "minor": 55_000},
    )


async def test_refund_that_came_meanwhile_makes_the_action_stale(
    ops_db: Database, money_db: Database
):
    rehearsed = await rehearse(ops_db, REFUND, ASKED)
    await Till(money_db).ask(1)

    with pytest.raises(PreconditionChanged):
        await carry_out(ops_db, rehearsed)


async def test_action_carried_out_twice_refunds_once(ops_db: Database, db: Database):
    rehearsed = await rehearse(ops_db, REFUND, ASKED)
    await carry_out(ops_db, rehearsed)

    with pytest.raises(PreconditionChanged):
        await carry_out(ops_db, rehearsed)

    assert await balance_of(db, "merchant:merchant-123:reserved:XOF") == 20_000


REFUSED: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"amount": 75_001}, refusals.RefundExceedsPayment),
    ({"transaction_id": "tx_none"}, TransactionAbsent),
    ({"amount": 1.5}, ParamsRefused),
    ({"amount": "20000"}, ParamsRefused),
    ({"amount": {"currency": "EUR", "minor": 1}}, refusals.RefundCurrencyDiffers),
]


@pytest.mark.parametrize(("changed", "refusal"), REFUSED, ids=lambda each: str(each)[:40])
async def test_what_cannot_be_given_back_is_refused(
    ops_db: Database, changed: dict[str, Any], refusal: type[Exception]
):
    with pytest.raises(refusal):
        await rehearse(ops_db, REFUND, {**ASKED, **changed})


async def test_id_that_two_merchants_use_needs_the_merchant(ops_db: Database, db: Database):
    await a_merchant(db, id_="merchant-other", name="Other")
    await a_sale(db, merchant_id="merchant-other")

    with pytest.raises(SeveralPayments):
        await rehearse(ops_db, REFUND, ASKED)

    said = await rehearse(ops_db, REFUND, {**ASKED, "merchant_id": "merchant-other"})
    assert said.params.merchant_id == "merchant-other"


async def test_disputed_payment_is_not_given_back_by_hand(ops_db: Database, db: Database):
    await take_in(db, [an_event("dispute_created", id="dp_1", transaction_id="tx_123", amount=9)])

    with pytest.raises(Refusal):
        await rehearse(ops_db, REVERSAL, {"transaction_id": "tx_123"})
