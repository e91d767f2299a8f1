"""Banks are asked to give payouts back: once, until they answer, and only money books money."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from obstore.store import LocalStore

import paying_out as po
from bank_desk import BankDesk, a_bank_desk
from molam.payments.banks import commands as banks
from molam.payments.banks import files
from molam.payments.banks.connectors.assembly import connectors_of
from molam.payments.banks.connectors.http_bank import HttpBank
from molam.payments.banks.files import Post
from molam.payments.banks.http import BankHttp
from molam.payments.banks.model import BankAccount, RecallAnswer, SurprisingAnswer
from molam.payments.payouts import recall_files, recall_model, recall_store, recalls
from molam.payments.payouts.recall_model import NothingToRecall, State, Wish
from molam.payments.payouts.sending import PayoutOwner
from molam.platform.db import Database
from molam.simulator.banks import file_bank

ACCOUNT = BankAccount("Boutique Sandaga", "SN", account_number="0001", bic="AAAASNDA")
BANKS = ["bp_http", "bp_wave"]


@pytest.fixture
async def desk(worker_db: Database, db: Database, tmp_path: Any) -> AsyncIterator[BankDesk]:
    async with a_bank_desk(worker_db, db, tmp_path) as opened:
        opened.teller = replace(opened.teller, owners={"payout": PayoutOwner()})
        await po.a_payee(db)
        yield opened


async def _sent(
    desk: BankDesk, db: Database, *, bank: str = "bp_http", rail: str = "wallet:wave"
) -> str:
    """A payout of ours that its bank has, and has paid unless told to take its time."""
    await po.sql(
        db,
        "insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)"
        " values ('XOF', $2, array[$1], 'tests')",
        *(bank, rail),
    )
    await po.an_entry(db, 40_000)
    row = await po.ask(db)
    await banks.send(desk.teller, desk.db, kind="payout", object_id=row.id)
    return row.id


async def _paid(desk: BankDesk, db: Database, **how: Any) -> str:
    id_ = await _sent(desk, db, **how)
    await _until(desk, db, id_, "paid")
    return id_


async def _until(desk: BankDesk, db: Database, id_: str, state: str) -> None:
    async with asyncio.timeout(20):
        while await po.state_of(db, id_) != state:
            await desk.take_callbacks()
            await desk.inquire(id_)
            await asyncio.sleep(0.05)


async def _ask(db: Database, *ids: str) -> list[UUID]:
    wish = Wish(
        payout_ids=ids,
        reason_code="DUPL",
        reason="Paid twice",
        action_id="action-1",
        proposal_id=None,
        by="binta.toure",
    )
    async with db.transaction("tests.recall") as tx:
        return [each.id for each in (await recalls.ask(tx, wish)).asked]


async def _carry_on(desk: BankDesk, recall_id: UUID, *, by: Database | None = None) -> None:
    """As the job does, when its time has come."""
    await po.sql(
        desk.db, "update payments.recalls set next_ask_at = now(), lease_until = '-infinity'"
    )
    await recalls.carry_on(desk.teller, by or desk.db, recall_id)


async def _state(db: Database, recall_id: UUID) -> str:
    return str(await po.one(db, "select state from payments.recalls where id = $1", recall_id))


async def _returns(db: Database) -> int:
    return int(
        await po.one(db, "select count(*) from ledger.transfers where cause = 'payout_returned'")
    )


@pytest.mark.parametrize("bank", BANKS)
async def test_money_that_comes_back_is_booked_once_and_ends_the_recall(
    desk: BankDesk, db: Database, bank: str
):
    desk.temper(bank, recall_after_s=0.0)
    id_ = await _paid(desk, db, bank=bank)
    (recall,) = await _ask(db, id_)

    await _carry_on(desk, recall)
    await _carry_on(desk, recall)
    assert await _state(db, recall) in {"pending", "accepted", "returned"}
    await _until(desk, db, id_, "returned")
    for _ in range(3):
        await _carry_on(desk, recall)
        await desk.inquire(id_)

    assert await _state(db, recall) == "returned"
    assert await _returns(db) == 1
    assert await po.balance(db) == 40_000
    assert desk.books.count_recalls(bank) == 1


async def test_an_agreement_alone_books_nothing(desk: BankDesk, db: Database):
    id_ = await _paid(desk, db)
    (recall,) = await _ask(db, id_)
    await _carry_on(desk, recall)

    async with desk.db.transaction("tests.hear") as tx:
        await recalls.hear(tx, desk.teller, recall, RecallAnswer("accepted"))

    assert await _state(db, recall) == "accepted"
    assert (await po.state_of(db, id_), await _returns(db)) == ("paid", 0)


async def test_what_was_not_paid_yet_is_stopped_and_released(desk: BankDesk, db: Database):
    desk.temper(settle_after_s=600)
    id_ = await _sent(desk, db)
    (recall,) = await _ask(db, id_)

    await _carry_on(desk, recall)
    await _until(desk, db, id_, "returned")

    assert await _state(db, recall) == "returned"
    assert (await po.balance(db), await po.balance(db, "in_payout")) == (40_000, 0)
    await po.agree(db)


async def test_what_was_settled_long_ago_is_refused_with_the_bank_s_reason(
    desk: BankDesk, db: Database
):
    desk.temper(recall_after_s=0.0)
    id_ = await _paid(desk, db)
    desk.books._connection.execute("update transfers set settle_at = settle_at - 3600")
    (recall,) = await _ask(db, id_)

    await _carry_on(desk, recall)
    await _carry_on(desk, recall)

    found = await po.sql(db, "select state, answer_code from payments.recalls")
    assert found == [("rejected", "already-settled")]
    assert await po.state_of(db, id_) == "paid"
    events = await po.sql(db, "select what from payments.payout_events where payout_id = $1", id_)
    assert [what for (what,) in events][-2:] == ["recall_asked", "recall_rejected"]


async def test_money_may_come_back_although_the_bank_refused(desk: BankDesk, db: Database):
    desk.temper(recalls="reject", recall_after_s=0.0)
    id_ = await _paid(desk, db)
    (recall,) = await _ask(db, id_)
    await _carry_on(desk, recall)
    await _carry_on(desk, recall)
    assert await _state(db, recall) == "rejected"

    await po.settle(db, id_, "returned")

    assert (await _state(db, recall), await _returns(db)) == ("returned", 1)


async def test_a_wallet_without_recalls_and_what_is_not_sent_are_named_with_why(
    desk: BankDesk, db: Database
):
    sent = await _paid(desk, db, bank="bp_http")
    await po.an_entry(db, 5_000)
    waits = (await po.ask(db)).id
    async with db.transaction("tests.judge", readonly=True) as tx:
        found = {row.id: row.why for row in await recalls.judge(tx, (sent, waits, "po_none"))}
    assert found == {sent: None, waits: "waiting", "po_none": "absent"}

    await po.sql(db, "update payments.bank_profiles set connector = 'orange_money'")
    with pytest.raises(NothingToRecall):
        await _ask(db, sent, waits)


async def test_one_payout_is_recalled_by_one_request_at_a_time(desk: BankDesk, db: Database):
    id_ = await _paid(desk, db)
    (first,) = await _ask(db, id_)
    with pytest.raises(NothingToRecall):
        await _ask(db, id_)

    async with desk.db.transaction("tests.hear") as tx:
        await tx.run(recall_store.SET_TELLING, id=first, lease_s=0)
        await recalls.hear(tx, desk.teller, first, RecallAnswer("rejected", "CUST"))
    (second,) = await _ask(db, id_)

    keys = await po.sql(db, "select key from payments.recalls order by requested_at")
    assert keys == [(f"recall-{id_}",), (f"recall-{id_}.2",)]
    assert await _state(db, second) == "requested"


async def test_two_who_ask_at_once_make_one_request(desk: BankDesk, db: Database):
    id_ = await _paid(desk, db)

    done = await asyncio.gather(_ask(db, id_), _ask(db, id_), return_exceptions=True)

    assert sorted(type(each).__name__ for each in done) == ["NothingToRecall", "list"]


async def test_a_recall_of_a_payout_that_fails_is_moot(desk: BankDesk, db: Database):
    desk.temper(settle_after_s=600)
    id_ = await _sent(desk, db)
    (recall,) = await _ask(db, id_)

    await po.settle(db, id_, "rejected")
    await _carry_on(desk, recall)

    assert await _state(db, recall) == "moot"
    assert desk.books.count_recalls("bp_http") == 0


class _Dies(HttpBank):
    """The worker is killed once the bank has been told, before anything of it is written."""

    async def recall(self, *asked: Any) -> RecallAnswer:
        await super().recall(*asked)
        raise asyncio.CancelledError


class _Forgets(HttpBank):
    """The safety removed: each telling has a key of its own."""

    told = 0

    async def recall(self, bank: Any, order: Any, wish: Any) -> RecallAnswer:
        type(self).told += 1
        return await super().recall(bank, order, replace(wish, key=f"{wish.key}-{self.told}"))

    async def inquire_recall(self, *asked: Any) -> None:
        del asked


async def _killed_while_telling(desk: BankDesk, db: Database, connector: HttpBank) -> UUID:
    id_ = await _paid(desk, db)
    (recall,) = await _ask(db, id_)
    whole = desk.teller

    async def die(*asked: Any) -> RecallAnswer:
        await connector.recall(*asked)
        raise asyncio.CancelledError

    dying = _Dies(connector._http)
    dying.recall = die  # type: ignore[method-assign]
    desk.teller = replace(whole, connectors={**whole.connectors, "http_bank": dying})
    with pytest.raises(asyncio.CancelledError):
        await _carry_on(desk, recall)
    desk.teller = replace(whole, connectors={**whole.connectors, "http_bank": connector})
    return recall


async def test_a_sender_that_dies_leaves_one_request_at_the_bank(desk: BankDesk, db: Database):
    desk.temper(recall_after_s=600)
    whole = desk.teller.connectors["http_bank"]
    assert isinstance(whole, HttpBank)

    recall = await _killed_while_telling(desk, db, whole)
    assert await _state(db, recall) == "unknown"
    # Its lease runs: nobody else tells meanwhile.
    await po.sql(db, "update payments.recalls set lease_until = now() + interval '1 minute'")
    await recalls.carry_on(desk.teller, desk.db, recall)
    assert await _state(db, recall) == "unknown"
    await _carry_on(desk, recall)

    assert await _state(db, recall) == "pending"
    assert desk.books.count_recalls("bp_http") == 1


async def test_twin_without_one_key_the_bank_is_asked_twice(desk: BankDesk, db: Database):
    desk.temper(recall_after_s=600)
    whole = desk.teller.connectors["http_bank"]
    assert isinstance(whole, HttpBank)

    recall = await _killed_while_telling(desk, db, _Forgets(whole._http))
    await _carry_on(desk, recall)

    assert desk.books.count_recalls("bp_http") == 2


async def test_twin_that_takes_an_agreement_for_money_books_what_never_came(
    desk: BankDesk, db: Database
):
    id_ = await _paid(desk, db)
    (recall,) = await _ask(db, id_)
    await _carry_on(desk, recall)

    async with desk.db.transaction("tests.hasty") as tx:
        await recalls.hear(tx, desk.teller, recall, RecallAnswer("accepted"))
    await po.settle(db, id_, "returned")

    bank_says = desk.books.find("bp_http", f"payout-{id_}")
    assert bank_says is not None
    assert (bank_says.status(time.time()), await _returns(db)) == ("settled", 1)


async def test_a_bank_that_takes_files_is_asked_and_answers_by_files(
    desk: BankDesk, db: Database, tmp_path: Path
):
    await po.sql(
        db,
        "insert into payments.treasury_accounts (id, bank_profile_id, account_reference, currency)"
        " values ('ta_file', 'bp_file', 'SN0001', 'XOF')",
    )
    await po.sql(
        db, "update payments.payout_destinations set destination = $1", msgspec.to_builtins(ACCOUNT)
    )
    (tmp_path / "files").mkdir()
    post = Post(desk.teller, LocalStore(str(tmp_path / "files")))
    id_ = await _sent(desk, db, bank="bp_file", rail="bank")
    assert await files.write_files(post, desk.db) == 1
    await file_bank.answer_files(post.files, desk.books, {})
    await files.read_files(post, desk.db)
    assert await po.state_of(db, id_) == "paid"
    (recall,) = await _ask(db, id_)

    await _carry_on(desk, recall)
    await recall_files.exchange(post, desk.db)
    await _carry_on(desk, recall)
    assert await recall_files.write_files(post, desk.db) == 0
    assert await file_bank.answer_files(post.files, desk.books, {}) == 1
    await recall_files.exchange(post, desk.db)
    assert await recall_files.read_files(post, desk.db) == 0

    assert await _state(db, recall) == "accepted"
    assert (await po.state_of(db, id_), await _returns(db)) == ("paid", 0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<Document/>",
        b'<!DOCTYPE d [<!ENTITY x "y">]><Document>&x;</Document>',
        b"<D><TxInfAndSts><CxlStsId>no</CxlStsId><TxCxlSts>ACCR</TxCxlSts></TxInfAndSts></D>",
    ],
)
def test_an_answer_that_cannot_be_read_is_refused(content: bytes):
    with pytest.raises(SurprisingAnswer):
        recall_files.read_camt029(content)


async def test_what_the_bank_answers_late_or_twice_changes_nothing(desk: BankDesk, db: Database):
    id_ = await _paid(desk, db)
    (recall,) = await _ask(db, id_)
    await po.settle(db, id_, "returned")

    async with desk.db.transaction("tests.hear") as tx:
        state = await recalls.hear(tx, desk.teller, recall, RecallAnswer("rejected", "CUST"))

    assert state is State.RETURNED


async def test_the_moves_of_a_recall_are_those_of_the_database(db: Database):
    rows = await po.sql(db, "select old, new from payments.recall_moves")
    assert set(rows) == {
        (old.value, new.value) for old, moves in recall_model.MOVES.items() for new in moves
    }
    assert not [each for each in recall_model.OPEN if not recall_model.MOVES[each]]


async def test_what_is_asked_of_a_bank_never_changes(desk: BankDesk, db: Database):
    await _ask(db, await _paid(desk, db))
    with pytest.raises(asyncpg.RestrictViolationError):
        await po.sql(db, "update payments.recalls set amount = 1")


async def test_requests_whose_time_has_come_are_queued_and_counted(desk: BankDesk, db: Database):
    await _ask(db, await _paid(desk, db))
    assert await recalls.enqueue_due(desk.db) == 1
    assert await recalls.enqueue_due(desk.db) == 0


def test_connectors_that_can_recall_are_those_that_are_asked():
    known = connectors_of(BankHttp())
    assert {kind for kind, each in known.items() if each.can_recall} == set(recalls.RECALLING)
