"""When and where merchants are paid: what a change does to payouts that exist, and what it does not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import paying_out as pay
from molam.kernel.money import MINOR_MAX
from molam.payments.banks.model import Wallet
from molam.payments.payouts import model, settings
from molam.payments.payouts.calendar import Place, Schedule
from molam.payments.payouts.sending import send_due
from molam.payments.payouts.settings import Change, read_schedule
from molam.platform.db import Database

DAKAR = Place("Africa/Dakar", "SN")
OTHER = Wallet("wave", "+221770000002", "Boutique Sandaga")


@pytest.fixture
async def payee(db: Database) -> str:
    await pay.a_bank(db)
    return await pay.a_payee(db)


async def _move_to(db: Database, wanted: Wallet) -> None:
    async with db.transaction("tests.move_to", merchant_id=pay.MERCHANT) as tx:
        await settings.set_destination(
            tx, merchant_id=pay.MERCHANT, currency="XOF", wanted=wanted, by="awa.diop"
        )


async def _phones(db: Database) -> list[str]:
    rows = await pay.sql(
        db, "select destination ->> 'phone' from payments.payouts order by occurred_at, id"
    )
    return [row[0] for row in rows]


async def test_a_payout_that_exists_goes_where_it_was_meant_to(
    db: Database, payee: str, money_db: Database
):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)

    await _move_to(money_db, OTHER)

    sent = await pay.claim(db, made.id)
    assert sent is not None
    assert sent.destination == Wallet("wave", "+221770000001", "Boutique Sandaga")


async def test_what_an_account_refused_goes_to_the_next_one_after_a_day(
    db: Database, payee: str, money_db: Database
):
    await pay.an_entry(db, 1_000)
    refused = await pay.ask(db)
    await pay.claim(db, refused.id)
    await pay.settle(db, refused.id, "rejected", code="AC04")
    waiting = await pay.ask(db)
    assert (waiting.state, waiting.held_reason) == ("held", "destination_refused")

    await _move_to(money_db, OTHER)
    await send_due(db)

    found = await pay.sql(
        db,
        "select held_reason, destination ->> 'phone' from payments.payouts where id = $1",
        waiting.id,
    )
    assert found == [("destination_changed", "+221770000002")]
    await pay.sql(db, "update payments.payout_destinations set hold_until = now()")
    await pay.sql(db, "update payments.payouts set held_until = now() where state = 'held'")
    assert await send_due(db) == 1
    await pay.agree(db)


async def test_naming_the_same_account_again_changes_nothing(db: Database, payee: str):
    await _move_to(db, Wallet("wave", "+221770000001", "Boutique Sandaga"))

    assert await pay.one(db, "select version from payments.payout_destinations") == 1


async def test_a_refusal_that_says_nothing_of_the_account_blocks_none(db: Database, payee: str):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    await pay.claim(db, made.id)

    await pay.settle(db, made.id, "rejected", code="AM04")

    assert (await pay.ask(db)).state == "pending"


async def test_a_schedule_is_kept_where_nothing_else_is_said(db: Database, payee: str):
    before = Schedule("weekly", weekday=3, month_day=15, delay_days=4, minimum=9_000)

    after = read_schedule("monthly", before, weekday=None, minimum=0)

    assert after == Schedule("monthly", weekday=3, month_day=15, delay_days=4, minimum=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("weekday", 0), ("month_day", 32), ("delay_days", 31), ("minimum", MINOR_MAX + 1)],
)
def test_a_number_out_of_its_range_is_refused_by_name(field: str, value: int):
    with pytest.raises(model.ScheduleInvalid) as refused:
        read_schedule("daily", None, **{field: value})

    assert refused.value.facts["field"] == field


@pytest.mark.parametrize("interval", ["daily", "weekly", "monthly", "instant", "manual"])
async def test_a_new_schedule_says_when_it_is_next(db: Database, payee: str, interval: str):
    now = datetime.now(UTC)
    async with db.transaction("tests.schedule") as tx:
        await settings.set_schedule(
            tx,
            merchant_id=payee,
            currency="XOF",
            wanted=Schedule(interval),  # type: ignore[arg-type]
            place=DAKAR,
            change=Change("awa.diop", now),
        )

    next_at, next_on = (
        await pay.sql(db, "select next_at, next_on from payments.payout_schedules")
    )[0]
    assert (next_at is None) == (interval == "manual")
    assert (next_on is None) == (interval in {"manual", "instant"})
    assert next_at is None or next_at >= now


async def test_another_merchants_settings_are_behind_the_second_wall(
    db: Database, payee: str, money_db: Database, web_db: Database
):
    await pay.a_payee(db, id_="merchant-2")

    for role in (money_db, web_db):
        async with role.transaction("tests.wall", merchant_id="merchant-2") as tx:
            for table in ("payouts", "payout_schedules", "payout_destinations", "payout_holds"):
                seen = await tx.connection.fetch(
                    f"select distinct merchant_id from payments.{table}"
                )
                assert {row[0] for row in seen} <= {"merchant-2"}
