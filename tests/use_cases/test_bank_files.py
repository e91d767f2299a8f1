"""Banks that take files: each order is in one file, and status files end it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta

import obstore
import pytest
from obstore.store import LocalStore

from bank_desk import BankDesk, a_bank_desk
from molam.payments.banks import files
from molam.payments.banks.connectors.pain001 import Pain001
from molam.payments.banks.files import Post
from molam.payments.banks.model import REFERENCE_LENGTH_MAX, BankAccount
from molam.simulator.banks import file_bank

ACCOUNT = BankAccount("Fatou N\u2019Diaye & Fils", "SN", iban="SN08SN0100152000048500003035")


@pytest.fixture
async def desk(worker_db, db, tmp_path) -> AsyncIterator[BankDesk]:
    async with a_bank_desk(worker_db, db, tmp_path) as opened:
        async with db.transaction("tests.account") as tx:
            await tx.connection.execute(
                "insert into payments.treasury_accounts (id, bank_profile_id, account_reference,"
                " currency) values ('ta_1', 'bp_file', 'SN08SN0220152000048500003239', 'XOF')"
            )
        yield opened


@pytest.fixture
def post(desk: BankDesk, tmp_path) -> Post:
    return Post(desk.teller, LocalStore(prefix=tmp_path / "files", mkdir=True))


async def sent(desk: BankDesk, *ids: str, amount: int = 75_000) -> None:
    for id_ in ids:
        await desk.owned(id_, amount, bank="bp_file", destination=ACCOUNT)
        await desk.send(id_)


async def contents(post: Post, folder: str) -> list[bytes]:
    found = []
    async for chunk in obstore.list(post.files, prefix=folder):
        for each in chunk:
            answer = await obstore.get_async(post.files, each["path"])
            found.append(bytes(await answer.bytes_async()))
    return found


async def put(post: Post, name: str, content: bytes) -> None:
    await obstore.put_async(post.files, f"inbox/bp_file/{name}", content)


async def test_orders_wait_for_the_file_and_are_settled_by_its_status(desk: BankDesk, post: Post):
    await sent(desk, "po_1", "po_2")
    assert [each.code for each in await desk.attempts("po_1")] == ["waiting-for-file"]

    assert await files.write_files(post, desk.db) == 1
    assert await file_bank.answer_files(post.files, desk.books, {}) == 1
    assert await files.read_files(post, desk.db) == 1

    assert [await desk.state("po_1"), await desk.state("po_2")] == ["paid", "paid"]
    assert (await desk.attempts("po_1"))[0].confirmed_by == "statement"
    assert desk.booked("po_1", "bp_file") == 1


async def test_file_adds_up(desk: BankDesk, post: Post):
    await sent(desk, "po_1", "po_2")
    await files.write_files(post, desk.db)

    (content,) = await contents(post, "outbox")

    assert b"<NbOfTxs>2</NbOfTxs><CtrlSum>150000</CtrlSum>" in content
    assert b"<EndToEndId>payout-po_1</EndToEndId>" in content
    assert b"<Nm>Fatou N'Diaye . Fils</Nm>" in content


async def test_order_is_in_one_file_however_often_files_are_written(desk: BankDesk, post: Post):
    await sent(desk, "po_1")

    for _ in range(3):
        await files.write_files(post, desk.db)

    assert len(await contents(post, "outbox")) == 1


async def test_file_decided_before_a_crash_is_written_afterwards_with_the_same_bytes(
    desk: BankDesk, post: Post
):
    await sent(desk, "po_1")
    await files.write_files(post, desk.db)
    (before,) = await contents(post, "outbox")
    async with desk.db.transaction("tests.crash") as tx:
        await tx.connection.execute("update payments.bank_files set state = 'writing'")

    await files.write_files(post, desk.db)

    assert await contents(post, "outbox") == [before]


async def test_order_after_the_cut_off_waits_for_the_next_day(desk: BankDesk, post: Post, db):
    soon = (datetime.now(UTC) + timedelta(minutes=2)).time().replace(microsecond=0)
    if soon < time(0, 3):
        pytest.skip("around midnight the cut-off of today is that of tomorrow")
    async with db.transaction("tests.cut_off") as tx:
        await tx.connection.execute(
            "update payments.bank_profiles set cut_off = $1 where id = 'bp_file'", soon
        )
    await sent(desk, "po_1")

    assert await files.write_files(post, desk.db) == 0


async def test_rejected_order_is_told_with_the_banks_reason(desk: BankDesk, post: Post):
    await sent(desk, "po_1", amount=75_001)
    await files.write_files(post, desk.db)
    await file_bank.answer_files(post.files, desk.books, {})

    await files.read_files(post, desk.db)

    (attempt,) = await desk.attempts("po_1")
    assert (attempt.state, attempt.code) == ("rejected", "AC04")
    assert await desk.told("po_1") == ["accepted", "needs_details"]


async def test_status_file_is_read_once(desk: BankDesk, post: Post):
    await sent(desk, "po_1")
    await files.write_files(post, desk.db)
    await file_bank.answer_files(post.files, desk.books, {})

    assert [await files.read_files(post, desk.db) for _ in range(2)] == [1, 0]


BOMB = b"""<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<Document><CstmrPmtStsRpt>&b;</CstmrPmtStsRpt></Document>"""


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", BOMB, b"<Document/>", b"\xff\xfe<a/>"])
async def test_file_that_is_no_status_report_is_refused_and_not_read_again(
    desk: BankDesk, post: Post, content: bytes
):
    await put(post, "bad.xml", content)

    await files.read_files(post, desk.db)

    (row,) = await desk.rows("select state, reason from payments.bank_files")
    assert row["state"] == "refused"
    assert await files.read_files(post, desk.db) == 0


async def test_status_of_a_stranger_moves_nothing(desk: BankDesk, post: Post):
    await put(
        post,
        "stranger.xml",
        b"<Document><CstmrPmtStsRpt><TxInfAndSts><OrgnlEndToEndId>x</OrgnlEndToEndId>"
        b"<TxSts>ACSC</TxSts></TxInfAndSts></CstmrPmtStsRpt></Document>",
    )

    assert await files.read_files(post, desk.db) == 1


def test_long_key_becomes_one_end_to_end_id_of_35_characters():
    key = f"payout-po_{'a' * 32}"

    made = {Pain001().wire_key(key, 1) for _ in range(2)}

    assert len(made) == 1
    assert len(made.pop()) <= REFERENCE_LENGTH_MAX
