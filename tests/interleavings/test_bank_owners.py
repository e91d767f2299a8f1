"""Payouts and refunds as they are, over simulated banks that misbehave: the books agree."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator

import bank_walk
import pytest

import paying_out
import refunding
from bank_desk import BankDesk, a_bank_desk
from builders import a_person
from molam.payments.banks import attempt_store, commands, inquiries
from molam.payments.banks.teller import Patience
from molam.payments.payouts.sending import PayoutOwner
from molam.payments.refunds.owner import Refunds
from molam.platform.db import Database

PATIENCE = Patience(lease_s=5, resend_after_s=0, asks_s=(0,), failures_max=10**6)
BANK = "bp_wave"
ENDED = {"paid", "failed", "succeeded", "needs_details"}
TEMPERS = [temper for temper in bank_walk.TEMPERS if temper != {"maintenance": True}]


@pytest.fixture
async def desk(worker_db, db, tmp_path) -> AsyncIterator[BankDesk]:
    async with a_bank_desk(worker_db, db, tmp_path, patience=PATIENCE) as opened:
        owners = {"payout": PayoutOwner(), "refund": Refunds()}
        opened.teller = dataclasses.replace(opened.teller, owners=owners)
        await paying_out.a_bank(db)
        await paying_out.a_payee(db)
        yield opened


async def state_of(db: Database, kind: str, id_: str) -> str:
    table = {"payout": "payouts", "refund": "refunds"}[kind]
    return str(await paying_out.one(db, f"select state from payments.{table} where id = $1", id_))


async def asked(desk: BankDesk, kind: str, id_: str) -> None:
    for attempt in await desk.db.read(
        attempt_store.LIST_ATTEMPTS, kind=kind, object_id=id_, merchant_id=None, limit=50
    ):
        await inquiries.inquire(desk.teller, desk.db, attempt.id)


async def carried_out(desk: BankDesk, db: Database, kind: str, id_: str, *, seed: int) -> str:
    """Send under a bad temper, do things in a random order, then let the bank behave."""
    chance = random.Random(f"{seed}.{id_}")
    desk.temper(BANK, **chance.choice(TEMPERS))
    for _ in range(chance.randint(1, 6)):
        step = chance.choice(("send", "ask", "hear"))
        if step == "send":
            await commands.send(desk.teller, desk.db, kind=kind, object_id=id_)
        elif step == "ask":
            await asked(desk, kind, id_)
        else:
            await desk.take_callbacks()
    desk.temper(BANK)
    async with asyncio.timeout(30):
        while await state_of(db, kind, id_) not in ENDED:
            await commands.send(desk.teller, desk.db, kind=kind, object_id=id_)
            await desk.take_callbacks()
            await asked(desk, kind, id_)
    return await state_of(db, kind, id_)


def left(desk: BankDesk, key: str) -> int:
    """What the bank paid out under *key*, and its repetitions."""
    return sum(
        transfer.amount
        for transfer in desk.books.recent(BANK, limit=10_000)
        if transfer.rejected_code is None and transfer.key.partition(".")[0] == key
    )


@pytest.mark.parametrize("seed", range(3))
async def test_payouts_leave_what_the_ledger_says_left(desk: BankDesk, db, seed: int):
    paid = 0
    for number in range(6):
        await paying_out.an_entry(db, 10_000 + number * 100)
        payout = await paying_out.ask(db)

        state = await carried_out(desk, db, "payout", payout.id, seed=seed)

        assert left(desk, f"payout-{payout.id}") == (payout.amount if state == "paid" else 0)
        paid += payout.amount if state == "paid" else 0

    at_bank = await paying_out.one(
        db,
        "select coalesce(sum(balance), 0) from ledger.accounts where id = $1",
        f"banks:{BANK}:XOF",
    )
    earned = sum(10_000 + number * 100 for number in range(6))
    assert int(at_bank) == paid
    assert await paying_out.balance(db, "in_payout") == 0
    assert await paying_out.balance(db) == earned - paid


@pytest.mark.parametrize("seed", range(3))
async def test_refunds_reach_customers_once_or_are_released(desk: BankDesk, db, seed: int):
    await a_person(db)
    await refunding.a_sale(db, amount=75_000)
    till, reached = refunding.Till(db), 0
    for number in range(6):
        refund = await till.ask(1_000 + number * 100)

        state = await carried_out(desk, db, "refund", refund.id, seed=seed)

        sent = left(desk, f"refund-{refund.id}")
        assert sent == (refund.amount if state == "succeeded" else 0)
        reached += sent

    held = await paying_out.balance(db, "reserved")
    waiting = await paying_out.one(
        db, "select coalesce(sum(amount), 0) from payments.refunds where state = 'needs_details'"
    )
    assert held == int(waiting)
    assert reached <= 75_000
