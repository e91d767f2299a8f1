"""What keeps one merchant's rows out of another's file, and one request from making two."""

from __future__ import annotations

import asyncio
import contextvars
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from builders import a_merchant, a_transaction
from export_runs import a_list, asked_for, written
from molam.merchant import report_files, report_rows_store, report_tables
from molam.platform.db import Database
from molam.platform.exports.copying import Selection, Written, copy_rows

# As TRANSACTIONS_ALL would be if somebody forgot whose rows it is about.
FORGETFUL = report_rows_store.TRANSACTIONS_ALL.text.replace(
    "where merchant_id = $2", "where $2 <> ''"
)


@pytest.fixture(autouse=True)
async def shops(db: Database) -> None:
    await a_merchant(db)
    await a_merchant(db, id_="merchant-999", name="Autre")
    await a_transaction(db, id_="mine")
    await a_transaction(db, id_="theirs", merchant_id="merchant-999")


def _forgetful() -> Selection:
    chosen = report_tables.selection(a_list(), merchant_id="merchant-123", timezone="Africa/Dakar")
    assert chosen.text != FORGETFUL
    return Selection(FORGETFUL, chosen.arguments)


async def test_statement_that_forgets_the_merchant_still_writes_its_rows_only(
    worker_db: Database, tmp_path: Path
):
    async with report_files._reading(worker_db, "merchant-123") as tx:
        copied = await copy_rows(tx, _forgetful(), tmp_path / "rows.csv")

    assert copied.rows == 1


async def test_without_the_wall_the_same_statement_would_write_them_all(
    worker_db: Database, tmp_path: Path
):
    async with worker_db.transaction("tests.no_wall", merchant_id="merchant-123") as tx:
        copied: Written = await copy_rows(tx, _forgetful(), tmp_path / "rows.csv")

    assert copied.rows == 2


async def test_connection_is_a_workers_again_after_a_file(worker_db: Database):
    async with report_files._reading(worker_db, "merchant-123"):
        pass

    for _ in range(10):
        async with worker_db.transaction("tests.after") as tx:
            assert await tx.connection.fetchval("select current_user") == "molam_worker"
            assert await tx.connection.fetchval("show statement_timeout") == "10s"


async def test_equal_requests_at_once_make_one_file(money_db: Database):
    rows = await asyncio.gather(*(asked_for(money_db, a_list()) for _ in range(8)))

    assert len({row.id for row in rows}) == 1


async def test_different_requests_at_once_make_their_own_files(money_db: Database):
    rows = await asyncio.gather(
        *(asked_for(money_db, a_list(search=f"query {index}")) for index in range(8))
    )

    assert len({row.id for row in rows}) == 8


async def test_what_is_read_during_the_writing_is_one_snapshot(
    db: Database, worker_db: Database, tmp_path: Path
):
    async with report_files._reading(worker_db, "merchant-123") as tx:
        before = await report_tables.count_rows(tx, a_list(), merchant_id="merchant-123")
        elsewhere = asyncio.create_task(_sell(db), context=_nothing_open())
        await elsewhere
        chosen = report_tables.selection(
            a_list(), merchant_id="merchant-123", timezone="Africa/Dakar"
        )
        copied = await copy_rows(tx, chosen, tmp_path / "rows.csv")

    assert copied.rows == before == 1


async def test_merchant_sees_the_files_of_nobody_else(db: Database, web_db: Database):
    await asked_for(db, a_list())
    async with web_db.transaction("tests.look", merchant_id="merchant-999") as tx:
        assert await tx.connection.fetchval("select count(*) from merchant.exports") == 0


async def test_worker_may_write_whatever_kind_there_is(db: Database, worker_db: Database):
    for kind in report_tables.COLUMNS:
        row = await written(worker_db, await asked_for(db, a_list(kind=kind)), MemoryStore())
        assert (row.kind, row.state, row.reason) == (kind, "done", None)


async def _sell(db: Database) -> None:
    await a_transaction(db, id_="just now")


def _nothing_open() -> contextvars.Context:

    return contextvars.Context()
