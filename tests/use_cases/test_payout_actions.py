"""What operations do to payouts, as the engine carries it out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import paying_out as pay
from carrying_out import carry_out, do, rehearse
from molam.entrypoints.registry import registry
from molam.payments.payouts import model
from molam.payments.payouts.pause_actions import PayoutsPaused
from molam.platform.actions import Amount, ParamsRefused, PreconditionChanged
from molam.platform.db import Database

KNOWN = registry()
PAUSE = KNOWN.find("PAUSE_PAYOUT")
RESUME = KNOWN.find("RESUME_PAYOUT")
RETRY = KNOWN.find("FORCE_RETRY_PAYOUT")
REVERSE = KNOWN.find("REVERSE_PAYOUT")
RELEASE = KNOWN.find("RELEASE_HOLD")


@pytest.fixture
async def payout(db: Database) -> str:
    await pay.a_bank(db)
    await pay.a_payee(db)
    await pay.an_entry(db, 1_000_000)
    return (await pay.ask(db)).id


async def _paid(db: Database, payout: str) -> None:
    await pay.claim(db, payout)
    await pay.settle(db, payout, "settled")


async def test_a_pause_answers_as_specified_and_keeps_payouts_until_it_is_over(
    db: Database, ops_db: Database, payout: str
):
    now = datetime.now(UTC)
    done = await do(
        ops_db,
        PAUSE,
        {"merchant_id": pay.MERCHANT, "duration": "1h", "amount": 500, "reason": "odd"},
        at=now,
    )

    assert {key: done.result[key] for key in ("paused", "merchant_id", "duration")} == {
        "paused": True,
        "merchant_id": pay.MERCHANT,
        "duration": "1h",
    }
    assert await pay.claim(db, payout) is None
    with pytest.raises(PayoutsPaused):
        await rehearse(ops_db, PAUSE, {"merchant_id": pay.MERCHANT, "duration": "2h"})

    await do(ops_db, RESUME, {"merchant_id": pay.MERCHANT}, key="key-2")
    from molam.payments.payouts.sending import send_due

    assert await send_due(db) == 1
    assert await pay.claim(db, payout) is not None


@pytest.mark.parametrize("duration", ["", "soon", "8bh", "0", "-1h", "99999d", "0h"])
async def test_a_pause_has_a_length(db: Database, payout: str, duration: str):
    with pytest.raises(Exception, match="duration"):
        await rehearse(db, PAUSE, {"merchant_id": pay.MERCHANT, "duration": duration})


async def test_a_resumption_ends_only_the_pause_that_was_looked_at(db: Database, payout: str):
    now = datetime.now(UTC)
    pause: dict[str, Any] = {"merchant_id": pay.MERCHANT, "duration": "1h"}
    await do(db, PAUSE, pause, at=now)
    rehearsed = await rehearse(db, RESUME, {"merchant_id": pay.MERCHANT})
    await carry_out(db, rehearsed, key="first")
    await do(db, PAUSE, pause, key="again", at=now)

    with pytest.raises(PreconditionChanged):
        await carry_out(db, rehearsed, key="second")


async def test_a_failed_payout_is_sent_again_by_operations(
    db: Database, ops_db: Database, payout: str
):
    await pay.claim(db, payout)
    await pay.settle(db, payout, "rejected", code="AM04")

    rehearsed = await rehearse(ops_db, RETRY, {"payout_id": payout})
    done = await carry_out(ops_db, rehearsed)

    assert rehearsed.plan.amount == Amount("XOF", 1_000_000)
    assert done.result == {"retried": True, "payout_id": payout}
    assert await pay.state_of(db, payout) == "pending"
    assert await pay.claim(db, payout) is not None
    await pay.agree(db)


async def test_a_payout_that_stands_well_is_not_sent_again(db: Database, payout: str):
    with pytest.raises(model.PayoutNotInState):
        await rehearse(db, RETRY, {"payout_id": payout})
    await pay.claim(db, payout)
    with pytest.raises(model.PayoutNotInState):
        await rehearse(db, RETRY, {"payout_id": payout})


async def test_what_settles_between_the_votes_and_the_retry_is_not_sent_again(
    db: Database, payout: str
):
    await pay.claim(db, payout)
    await pay.settle(db, payout, "unknown")
    rehearsed = await rehearse(db, RETRY, {"payout_id": payout})
    await pay.settle(db, payout, "settled")

    with pytest.raises(PreconditionChanged):
        await carry_out(db, rehearsed)


async def test_a_reversal_carries_the_payouts_amount_into_the_policy(db: Database, payout: str):
    asked = {"payout_id": payout, "reason": "sent to a fraudster"}

    rehearsed = await rehearse(db, REVERSE, asked)

    assert rehearsed.params.amount == Amount("XOF", 1_000_000)
    with pytest.raises(ParamsRefused):
        await rehearse(db, REVERSE, {**asked, "amount": 1})


async def test_reversing_what_was_not_sent_cancels_it(db: Database, ops_db: Database, payout: str):
    done = await do(ops_db, REVERSE, {"payout_id": payout, "reason": "wrong account"})

    assert done.result["reversed"] is True
    assert await pay.state_of(db, payout) == "cancelled"
    assert await pay.balance(db) == 1_000_000
    await pay.agree(db)


async def test_reversing_what_was_paid_asks_the_bank_and_moves_nothing(
    db: Database, ops_db: Database, payout: str
):
    await _paid(db, payout)

    done = await do(ops_db, REVERSE, {"payout_id": payout, "reason": "wrong account"})

    assert (done.result["reversed"], done.result["recall_requested"]) == (False, True)
    assert await pay.state_of(db, payout) == "paid"
    assert await pay.balance(db) == 0


async def test_money_that_is_back_at_the_bank_is_booked_back(
    db: Database, ops_db: Database, payout: str
):
    await _paid(db, payout)

    await do(ops_db, REVERSE, {"payout_id": payout, "reason": "came back", "money_is_back": True})

    assert await pay.state_of(db, payout) == "returned"
    assert await pay.balance(db) == 1_000_000
    await pay.agree(db)


async def test_a_payout_with_its_bank_is_not_reversed(db: Database, payout: str):
    await pay.claim(db, payout)

    with pytest.raises(model.PayoutNotInState):
        await rehearse(db, REVERSE, {"payout_id": payout, "reason": "wrong account"})


async def test_a_hold_is_released_under_the_transactions_id(
    db: Database, ops_db: Database, payout: str
):
    await pay.sql(
        db,
        "insert into payments.payout_holds (id, merchant_id, kind, transaction_id, amount, currency,"
        " reason, created_by) values ($1, $2, 'payment', 'tx_123', 75000, 'XOF', 'odd', 'x')",
        *(pay.an_id(), pay.MERCHANT),
    )

    done = await do(ops_db, RELEASE, {"transaction_id": "tx_123"})

    assert (done.result["released"], done.result["transaction_id"]) == (True, "tx_123")
    assert await pay.one(db, "select status from payments.payout_holds") == "released"
    with pytest.raises(model.HoldAbsent):
        await rehearse(db, RELEASE, {"transaction_id": "tx_123"})
