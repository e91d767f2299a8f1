from __future__ import annotations

from datetime import UTC, date, datetime

import asyncpg
import pytest

from approving import Ops
from builders import NOW
from carrying_out import do, rehearse
from molam.payments.statements import auditing, books, jobs, matching, model
from molam.payments.statements.actions import ACTIONS
from molam.payments.statements.books import Control
from molam.payments.statements.matching import ByHand
from molam.platform.actions import Amount
from molam.platform.db import Database
from reconciling import ACCOUNT, BANK, DAY, a_day, an_attempt, ledger_balance, lines_of, send
from reconciling import books as begin
from statement_files import a_line, camt053

(FORCE,) = ACTIONS
LATER = datetime(2026, 11, 20, 8, tzinfo=UTC)


async def _control(db: Database, day: date = DAY) -> Control:
    async with db.transaction("tests.control") as tx:
        return await books.control(tx, bank_profile_id=BANK, currency="XOF", day=day)


async def _close(db: Database, day: date = DAY) -> Control:
    return await books.close(db, ACCOUNT, day=day, by="finance-user-1", now=LATER)


async def test_a_day_whose_lines_are_all_ours_closes_at_zero(db: Database, ops_db: Database):
    await begin(db)
    await an_attempt(db)
    await send(
        ops_db,
        a_line(end_to_end_id="payout-po_1"),
        a_line(amount=-2_500, text="FRAIS DE TENUE DE COMPTE"),
    )

    closed = await _close(ops_db)

    assert (closed.difference, closed.items) == (0, ())
    assert (closed.opening, closed.closing) == (1_000_000, 922_500)
    [day] = await books.days(ops_db, ACCOUNT)
    assert (day.closing, day.ledger_closing, day.difference) == (922_500, 922_500, 0)


async def test_after_closing_the_ledger_holds_what_the_bank_says(db: Database, ops_db: Database):
    await begin(db)
    await an_attempt(db, "po_0", on=a_day(-5), amount=10_000)
    await an_attempt(db)
    await send(ops_db, a_line(end_to_end_id="payout-po_1"))

    closed = await _close(ops_db)

    assert await ledger_balance(db, f"banks:{BANK}:XOF") == -closed.closing


async def test_an_open_line_keeps_the_day_open(db: Database, ops_db: Database):
    await begin(db)
    await send(ops_db, a_line(amount=-500, text="DIVERS"))

    with pytest.raises(model.BooksOpen, match="differs by -500 XOF, and 1 open items"):
        await _close(ops_db)


async def test_an_open_line_that_is_explained_lets_the_day_close(db: Database, ops_db: Database):
    await begin(db)
    await send(ops_db, a_line(amount=-500, text="DIVERS"))
    [item] = (await _control(ops_db)).items

    await books.explain(
        ops_db, ACCOUNT, item=item.item, reason="the bank will reverse it", by="finance-user-1"
    )
    closed = await _close(ops_db)

    assert (closed.difference, [each.kind for each in closed.items]) == (-500, ["unmatched_line"])


async def test_what_is_on_its_way_explains_itself_for_some_days(db: Database, ops_db: Database):
    await begin(db)
    await an_attempt(db, "po_2", amount=7_000)
    await send(ops_db, a_line(amount=-2_500, text="FRAIS"))

    found = await _control(ops_db)

    assert [(each.kind, each.amount, each.explained_by) for each in found.items] == [
        ("in_transit", 7_000, "system")
    ]
    assert (await _control(ops_db, a_day(4))).unexplained != ()


async def test_a_payout_that_the_ledger_has_a_day_later_explains_itself_for_some_days(
    db: Database, ops_db: Database
):
    await begin(db)
    await an_attempt(db, posted=False)
    await send(ops_db, a_line(end_to_end_id="payout-po_1"))

    found = await _control(ops_db)

    assert [(each.kind, each.explained_by) for each in found.items] == [("not_in_ledger", "system")]
    assert (await _control(ops_db, a_day(4))).unexplained != ()


async def test_what_was_carried_open_may_still_be_matched_later(db: Database, ops_db: Database):
    await begin(db)
    await an_attempt(db, "po_2", amount=7_000)
    await send(ops_db, a_line(amount=-2_500, text="FRAIS"))
    await _close(ops_db)

    await send(
        ops_db,
        content=camt053(
            [a_line(amount=-7_000, end_to_end_id="payout-po_2", booked_on=a_day(1))],
            opening=997_500,
        ),
    )

    closed = await _close(ops_db, a_day(1))
    assert (closed.difference, closed.items) == (0, ())


async def test_a_statement_that_is_missing_keeps_the_day_open(db: Database, ops_db: Database):
    await begin(db)
    await send(ops_db, a_line(amount=-2_500, text="FRAIS"))
    await send(
        ops_db,
        content=camt053([a_line(amount=-100, text="FRAIS", booked_on=a_day(2))], opening=900_000),
    )
    await books.close_through(ops_db, ACCOUNT, day=a_day(1), by="x", now=LATER)

    with pytest.raises(model.BooksOpen, match="statement is missing"):
        await _close(ops_db, a_day(2))


async def test_days_close_in_order_and_only_when_they_are_over(db: Database, ops_db: Database):
    await begin(db)
    await send(ops_db, a_line(amount=-2_500, text="FRAIS"))

    with pytest.raises(model.BooksOpen, match="Close 2026-11-16 first"):
        await _close(ops_db, a_day(1))
    with pytest.raises(model.BooksOpen, match="when it is over"):
        await books.close(ops_db, ACCOUNT, day=DAY, by="x", now=NOW)


async def test_a_closed_day_takes_no_line(db: Database, ops_db: Database):
    await begin(db)
    await send(ops_db, a_line(amount=-2_500, text="FRAIS"))
    await _close(ops_db)

    with pytest.raises(model.DayClosed):
        await send(ops_db, a_line(amount=-1, text="FRAIS", bank_ref="late"))


async def test_a_closed_day_loses_no_match(db: Database, ops_db: Database):
    await begin(db)
    done = await send(ops_db, a_line(amount=-2_500, text="FRAIS"))
    await _close(ops_db)

    with pytest.raises(model.DayClosed):
        await matching.undo(ops_db, done.ids[0], 1, reason="mistake", by="finance-user-1")


async def test_the_database_keeps_closed_days_as_they_are(db: Database, ops_db: Database):
    await begin(db)
    await send(ops_db, a_line(amount=-2_500, text="FRAIS"))
    await _close(ops_db)

    with pytest.raises(asyncpg.RestrictViolationError, match="stays as it was closed"):
        async with db.transaction("tests.edit") as tx:
            await tx.connection.execute("update payments.books_days set money_out = 1, closing = 2")


async def test_without_its_trigger_a_closed_day_could_be_changed(db: Database, ops_db: Database):
    await begin(db)
    await send(ops_db, a_line(amount=-2_500, text="FRAIS"))
    await _close(ops_db)

    async with db.transaction("tests.edit") as tx:
        await tx.connection.execute("alter table payments.books_days disable trigger all")
        changed = await tx.connection.execute(
            "update payments.books_days set closed_by = 'mallory'"
        )
    assert changed == "UPDATE 1"


async def test_closing_twice_is_closing_once(db: Database, ops_db: Database):
    await begin(db)
    await send(ops_db, a_line(amount=-2_500, text="FRAIS"))

    await _close(ops_db)
    await _close(ops_db)

    assert len(await books.days(ops_db, ACCOUNT)) == 1


async def test_the_nightly_check_finds_what_is_open_and_tells_finance(
    ops: Ops, worker_db: Database
):
    db = ops.db
    await begin(db)
    await send(worker_db, a_line(amount=-500, text="DIVERS"))

    found = await jobs.check_books(worker_db)
    await jobs.check_books(worker_db)

    assert [(each.unexplained, each.difference) for each in found] == [(1, -500)]
    async with db.transaction("tests.told") as tx:
        told = await tx.connection.fetchval(
            "select count(*) from notices.inbox where person_id = 'finance-user-1'"
        )
    assert told == 1


async def test_money_posted_into_a_closed_day_is_found(db: Database, ops_db: Database):
    await begin(db)
    await send(ops_db, a_line(amount=-2_500, text="FRAIS"))
    await _close(ops_db)
    await an_attempt(db, "po_9", amount=1_234)

    [found] = await auditing.check(ops_db)

    assert found.drifted == (DAY,)


async def test_a_forced_reconciliation_beyond_the_limit_is_an_action(
    db: Database, ops_db: Database
):
    await begin(db)
    await an_attempt(db, amount=2_000_000)
    done = await send(ops_db, a_line(amount=-2_000_500), opening=9_000_000)
    params = {
        "batch_id": str(done.ids[0]),
        "line_no": 1,
        "object_kind": "payout",
        "object_id": "po_1",
        "reason": "the bank charged for an urgent transfer",
    }

    shown = await rehearse(ops_db, FORCE, params)
    outcome = await do(ops_db, FORCE, params)

    assert shown.plan.amount == Amount("XOF", 2_000_500)
    assert (outcome.result["reconciled"], outcome.result["batch_id"]) == (True, str(done.ids[0]))
    [line] = await lines_of(ops_db, done)
    assert (line.state, line.tier, line.difference) == ("matched", "forced", -500)


async def test_forcing_a_batch_writes_off_whatever_is_open(db: Database, ops_db: Database):
    await begin(db)
    done = await send(ops_db, a_line(amount=-500, text="A"), a_line(amount=-700, text="B"))

    outcome = await do(ops_db, FORCE, {"batch_id": str(done.ids[0])})

    assert outcome.result["lines"] == 2
    assert [each.state for each in await lines_of(ops_db, done)] == ["archived", "archived"]


async def test_what_an_action_forces_is_written_with_its_number(db: Database, ops_db: Database):
    await begin(db)
    await an_attempt(db, amount=2_000_000)
    done = await send(ops_db, a_line(amount=-2_000_500), opening=9_000_000)

    async with ops_db.transaction("tests.force") as tx:
        await matching.match_in(
            tx,
            ByHand(
                statement_id=done.ids[0],
                line_no=1,
                kind="payout",
                object_id="po_1",
                reason="urgent transfer",
                by="ops-admin-1",
                action_id="a1",
                forces=True,
            ),
        )

    [line] = await lines_of(ops_db, done)
    assert (line.state, line.tier, line.difference) == ("matched", "forced", -500)


async def test_a_balance_that_is_declared_later_puts_the_beginning_right(
    db: Database, ops_db: Database
):
    await begin(db)
    silent = (
        "booked_on,value_on,amount,currency,bank_ref,counterparty,text\n"
        f"{DAY},{DAY},-2500,XOF,R1,,FRAIS DE TENUE DE COMPTE\n"
    )
    await send(ops_db, content=silent.encode())
    fee = a_line(amount=-500, text="FRAIS", booked_on=a_day(1), value_on=a_day(1))
    await send(ops_db, fee, opening=997_500)

    first, second = await _close(ops_db), await _close(ops_db, a_day(1))

    assert (first.opening, first.closing, first.difference) == (1_000_000, 997_500, 0)
    assert (second.closing, second.missing) == (997_000, 0)


async def test_a_balance_that_is_declared_after_a_day_was_closed_changes_nothing(
    db: Database, ops_db: Database
):
    await begin(db)
    silent = f"booked_on,amount,currency,text\n{DAY},-2500,XOF,FRAIS DE TENUE DE COMPTE\n"
    await send(ops_db, content=silent.encode())
    before = await _close(ops_db)
    fee = a_line(amount=-500, text="FRAIS", booked_on=a_day(1), value_on=a_day(1))
    await send(ops_db, fee, opening=997_500)

    assert (await _control(ops_db)).opening == before.opening == 0
