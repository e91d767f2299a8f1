"""Refunds over real HTTP to the simulated wallet: paid once, whatever it does with the request."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank_desk import BankDesk, a_bank_desk
from builders import a_merchant, a_person, balance_of
from molam.payments.banks import attempt_store, commands, inquiries
from molam.payments.refunds.owner import Refunds
from molam.payments.refunds.store import RefundRow
from molam.platform.db import Database
from refunding import Till, a_sale

RESERVED = "merchant:merchant-123:reserved:XOF"


@dataclasses.dataclass
class Counter:
    """Where refunds are asked for, and the banks that pay them."""

    till: Till
    desk: BankDesk

    async def send(self, row: RefundRow) -> None:
        desk = self.desk
        await commands.send(desk.teller, desk.db, kind="refund", object_id=row.id)

    async def until(self, row: RefundRow, state: str) -> None:
        desk = self.desk
        async with asyncio.timeout(20):
            while (await self.till.look(row.id)).state != state:
                await desk.take_callbacks()
                for attempt in await desk.db.read(
                    attempt_store.LIST_ATTEMPTS,
                    kind="refund",
                    object_id=row.id,
                    merchant_id=None,
                    limit=50,
                ):
                    await inquiries.inquire(desk.teller, desk.db, attempt.id)
                await asyncio.sleep(0.05)

    def paid(self, row: RefundRow) -> int:
        return self.desk.books.count_booked("bp_wave", f"refund-{row.id}")


@pytest.fixture
async def counter(
    worker_db: Database, money_db: Database, db: Database, tmp_path: Path
) -> AsyncIterator[Counter]:
    async with a_bank_desk(worker_db, db, tmp_path) as desk:
        desk.teller = dataclasses.replace(desk.teller, owners={"refund": Refunds()})
        async with db.transaction("tests.route") as tx:
            await tx.connection.execute(
                "insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)"
                " values ('XOF', 'wallet:wave', '{bp_wave}', 'tests')"
            )
        await a_merchant(db)
        await a_person(db)
        await a_sale(db)
        yield Counter(Till(money_db), desk)


async def test_refund_reaches_the_customer_once(counter: Counter, db: Database):
    row = await counter.till.ask(50_000)

    for _ in range(3):
        await counter.send(row)
    await counter.until(row, "succeeded")

    assert counter.paid(row) == 1
    assert await balance_of(db, RESERVED) == 0


async def test_lost_answer_is_unknown_until_asked_and_pays_once(counter: Counter):
    counter.desk.temper("bp_wave", die="after", callbacks="lost")
    row = await counter.till.ask(50_000)

    await counter.send(row)
    doubted = (await counter.till.look(row.id)).state
    counter.desk.temper("bp_wave")
    await counter.until(row, "succeeded")

    assert doubted == "unknown"
    assert counter.paid(row) == 1


async def test_refused_refund_gives_the_money_back(counter: Counter, db: Database):
    counter.desk.temper("bp_wave", reject_rate=1.0)
    row = await counter.till.ask(50_000)

    await counter.send(row)
    await counter.until(row, "failed")

    assert counter.paid(row) == 0
    assert await balance_of(db, RESERVED) == 0
