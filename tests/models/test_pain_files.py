"""pain.001 as banks read it, and pain.002 as it may come."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import defusedxml.ElementTree as DefusedET
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.payments.banks.iso20022 import (
    NAMESPACE,
    Debtor,
    read_pain002,
    write_pain001,
)
from molam.payments.banks.model import BankAccount, Order, SurprisingAnswer

AT = datetime(2026, 11, 16, 17, 0, tzinfo=UTC)
DEBTOR = Debtor("Molam Connect", "SN08SN0220152000048500003239", "BTROSNDA", "Banque du Trésor")
# The children of each element in the order that the schema of pain.001.001.09 has them.
ORDER_OF = {
    "GrpHdr": ["MsgId", "CreDtTm", "NbOfTxs", "CtrlSum", "InitgPty"],
    "PmtInf": [
        *("PmtInfId", "PmtMtd", "BtchBookg", "NbOfTxs", "CtrlSum", "ReqdExctnDt"),
        *("Dbtr", "DbtrAcct", "DbtrAgt", "ChrgBr", "CdtTrfTxInf"),
    ],
    "CdtTrfTxInf": ["PmtId", "Amt", "CdtrAgt", "Cdtr", "CdtrAcct", "RmtInf"],
}


def an_order(number: int = 1, *, amount: int = 75_000, code: str = "XOF", **account) -> Order:
    holder = account.pop("holder", "Awa Diop")
    account = account or {"iban": "SN08SN0100152000048500003035"}
    destination = BankAccount(holder, "SN", **account)
    return Order(f"payout-{number}", f"payout-{number}", amount, code, destination, f"Ref {number}")


def parsed(*orders: Order):
    return DefusedET.fromstring(write_pain001("M1", DEBTOR, list(orders), created_at=AT))


def texts(root, name: str) -> list[str]:
    return [each.text for each in root.iter(f"{{{NAMESPACE}}}{name}")]


def test_elements_are_in_the_order_of_the_schema():
    root = parsed(an_order(1, bic="BPLTSNDA", iban="SN08SN0100152000048500003035"), an_order(2))

    for name, wanted in ORDER_OF.items():
        for element in root.iter(f"{{{NAMESPACE}}}{name}"):
            found = [child.tag.rpartition("}")[2] for child in element]
            assert [wanted.index(child) for child in found] == sorted(map(wanted.index, found))


@given(
    st.lists(st.integers(1, 2**53 - 1), min_size=1, max_size=20),
    st.sampled_from([("XOF", 0), ("EUR", 2)]),
)
def test_control_sum_is_the_sum_to_the_last_unit(amounts: list[int], money: tuple[str, int]):
    code, exponent = money

    root = parsed(*(an_order(n, amount=each, code=code) for n, each in enumerate(amounts)))

    assert {Decimal(text) for text in texts(root, "CtrlSum")} == {
        Decimal(sum(amounts)).scaleb(-exponent)
    }
    assert set(texts(root, "NbOfTxs")) == {str(len(amounts))}


def test_francs_have_no_decimals_and_euros_two():
    assert texts(parsed(an_order()), "InstdAmt") == ["75000"]
    assert texts(parsed(an_order(amount=1250, code="EUR")), "InstdAmt") == ["12.50"]


def test_account_without_iban_is_named_otherwise():
    root = parsed(an_order(account_number="SN 0120 1234", bic="BPLTSNDA"))

    assert "SN01201234" in texts(root, "Id")
    assert "SN01201234" not in texts(root, "IBAN")


@given(st.text(min_size=1, max_size=140))
def test_any_name_becomes_letters_that_every_bank_reads(name: str):
    holder = name if name.strip() else "x"

    (written,) = [
        text for text in texts(parsed(an_order(holder=holder)), "Nm") if text != "Molam Connect"
    ]

    assert written.isascii()
    assert written


def test_same_orders_give_the_same_bytes():
    made = {write_pain001("M1", DEBTOR, [an_order()], created_at=AT) for _ in range(3)}

    assert len(made) == 1


@given(st.binary(max_size=400))
def test_whatever_is_no_status_report_is_a_surprise(content: bytes):
    with pytest.raises(SurprisingAnswer):
        read_pain002(content)


def test_entities_are_never_resolved():
    content = (
        b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        b"<Document><CstmrPmtStsRpt>&x;</CstmrPmtStsRpt></Document>"
    )

    with pytest.raises(SurprisingAnswer):
        read_pain002(content)
