"""What simulated banks write: statements that add up, and files that other parsers read."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime

import defusedxml.ElementTree as DefusedET
import mt940
import pytest
from python_calamine import CalamineWorkbook

from molam.simulator.banks import statements
from molam.simulator.banks.books_store import Transfer

DAY = date(2026, 11, 16)
NOON = datetime(2026, 11, 16, 12, 0, tzinfo=UTC).timestamp()


def a_transfer(number: int, *, amount: int = 75_000, back: bool = False) -> Transfer:
    return Transfer(
        id=f"HT{number:024d}",
        bank="bp_123",
        dialect="http_bank",
        key=f"payout-po_{number:032x}",
        amount=amount,
        currency="XOF",
        beneficiary="SN08SN0100152000048500003035",
        name="Awa Diop",
        reference=f"PAYOUT-20261116-{number:04d}",
        callback_url="",
        token="t",
        rejected_code=None,
        booked_at=NOON,
        settle_at=NOON + number,
        return_at=NOON + number + 60 if back else None,
    )


@pytest.fixture
def told() -> statements.Told:
    transfers = [a_transfer(1), a_transfer(2, amount=1_250, back=True)]
    return statements.tell("bp_123", "XOF", DAY, transfers, moved=1_000, until=NOON + 3600)


def test_closing_is_opening_and_movements(told: statements.Told):
    assert [entry.amount for entry in told.entries] == [-75_000, -1_250, 1_250]
    assert told.closing == statements.OPENING_MAJOR - 1_000 - 75_000


def test_what_has_not_settled_yet_is_not_told():
    told = statements.tell("bp_123", "XOF", DAY, [a_transfer(10)], moved=0, until=NOON + 5)

    assert told.entries == []


def test_camt053_names_each_payment_by_our_key(told: statements.Told):
    root = DefusedET.fromstring(statements.camt053(told))
    space = f"{{{statements.NAMESPACE}}}"

    keys = [each.text for each in root.iter(f"{space}EndToEndId")]
    amounts = [
        (entry.find(f"{space}Amt").text, entry.find(f"{space}CdtDbtInd").text)
        for entry in root.iter(f"{space}Ntry")
    ]

    assert keys == [entry.key for entry in told.entries]
    assert amounts == [("75000", "DBIT"), ("1250", "DBIT"), ("1250", "CRDT")]


def test_mt940_is_read_by_another_parser_and_adds_up(told: statements.Told):
    parsed = mt940.parse(statements.mt940(told).decode())

    amounts = [int(each.data["amount"].amount) for each in parsed]
    opening = int(parsed.data["final_opening_balance"].amount.amount)
    closing = int(parsed.data["final_closing_balance"].amount.amount)

    assert amounts == [entry.amount for entry in told.entries]
    assert (opening, closing) == (told.opening, told.closing)


def test_wallet_exports_have_the_columns_their_users_know(told: statements.Told):
    head = statements.wave_csv(told).decode().splitlines()[0]
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(statements.orange_xlsx(told)))
    rows = sheet.get_sheet_by_index(0).to_python()

    assert head == "transaction_id,amount,fee,timestamp,phone"
    assert rows[0] == ["ref_operation", "montant", "commission", "date_heure", "numero"]
    assert rows[1][1] == -75_000
