"""Payment orders as pain.001.001.09, and the bank's answer to them as pain.002."""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ET  # For writing only; reading is defusedxml's.
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import defusedxml.ElementTree as DefusedET
from defusedxml.common import DefusedXmlException

from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.money import Money
from molam.payments.banks.model import BankAccount, Order, OutcomeState, SurprisingAnswer

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
TRANSACTIONS_MAX = 20_000

_NAME_MAX = 140
_REMITTANCE_MAX = 140
_ALLOWED: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ "
)
_STATES: Final[dict[str, OutcomeState]] = {
    "RJCT": "rejected",
    "ACTC": "accepted",
    "ACCP": "accepted",
    "ACSP": "accepted",
    "ACWC": "accepted",
    "PDNG": "accepted",
    "RCVD": "accepted",
    "ACSC": "settled",
    "ACCC": "settled",
}
# The reason codes of ISO 20022 that other details of the beneficiary would mend.
_DETAILS: Final = frozenset({"AC01", "AC04", "AC06", "BE01", "RC01"})


@dataclass(frozen=True, slots=True)
class Debtor:
    """Whose account is debited, and at which bank."""

    name: str
    account: str
    bic: str | None
    bank_name: str


@dataclass(frozen=True, slots=True)
class Status:
    """What a status file says of one payment order."""

    end_to_end_id: str
    state: OutcomeState
    code: str | None
    reason: str | None


def write_pain001(
    message_id: str, debtor: Debtor, orders: Sequence[Order], *, created_at: Instant
) -> bytes:
    """Write one file of *orders*, all of one currency. The same input gives the same bytes."""
    assert 0 < len(orders) <= TRANSACTIONS_MAX
    code = orders[0].currency
    assert all(order.currency == code for order in orders)
    total = sum((_amount(order) for order in orders), Decimal(0))
    root = ET.Element("Document", xmlns=NAMESPACE)
    initiation = ET.SubElement(root, "CstmrCdtTrfInitn")
    header = ET.SubElement(initiation, "GrpHdr")
    put(header, "MsgId", message_id)
    put(header, "CreDtTm", created_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    _sums(header, len(orders), total)
    put(ET.SubElement(header, "InitgPty"), "Nm", _plain(debtor.name, _NAME_MAX))
    info = ET.SubElement(initiation, "PmtInf")
    put(info, "PmtInfId", message_id)
    put(info, "PmtMtd", "TRF")
    put(info, "BtchBookg", "false")
    _sums(info, len(orders), total)
    put(ET.SubElement(info, "ReqdExctnDt"), "Dt", created_at.strftime("%Y-%m-%d"))
    put(ET.SubElement(info, "Dbtr"), "Nm", _plain(debtor.name, _NAME_MAX))
    account = ET.SubElement(info, "DbtrAcct")
    _account(account, debtor.account)
    put(account, "Ccy", code)
    agent = ET.SubElement(ET.SubElement(info, "DbtrAgt"), "FinInstnId")
    if debtor.bic:
        put(agent, "BICFI", debtor.bic)
    else:
        put(agent, "Nm", _plain(debtor.bank_name, _NAME_MAX))
    put(info, "ChrgBr", "SLEV")
    for order in orders:
        _transaction(info, order)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _transaction(info: ET.Element, order: Order) -> None:
    destination = order.destination
    assert isinstance(destination, BankAccount)
    each = ET.SubElement(info, "CdtTrfTxInf")
    identification = ET.SubElement(each, "PmtId")
    put(identification, "InstrId", order.wire_key)
    put(identification, "EndToEndId", order.wire_key)
    amount = ET.SubElement(ET.SubElement(each, "Amt"), "InstdAmt", Ccy=order.currency)
    amount.text = f"{_amount(order):f}"
    if destination.bic:
        agent = ET.SubElement(ET.SubElement(each, "CdtrAgt"), "FinInstnId")
        put(agent, "BICFI", destination.bic)
    creditor = ET.SubElement(each, "Cdtr")
    put(creditor, "Nm", _plain(destination.holder, _NAME_MAX))
    put(ET.SubElement(creditor, "PstlAdr"), "Ctry", destination.country)
    number = destination.iban or destination.account_number
    assert number is not None
    _account(ET.SubElement(each, "CdtrAcct"), number, is_iban=destination.iban is not None)
    put(ET.SubElement(each, "RmtInf"), "Ustrd", _plain(order.reference, _REMITTANCE_MAX))


def _account(parent: ET.Element, number: str, *, is_iban: bool | None = None) -> None:
    identification = ET.SubElement(parent, "Id")
    compact = number.replace(" ", "")
    if is_iban is None:
        is_iban = compact[:2].isalpha() and compact[2:4].isdigit()
    if is_iban:
        put(identification, "IBAN", compact)
    else:
        put(ET.SubElement(identification, "Othr"), "Id", compact)


def _sums(parent: ET.Element, count: int, total: Decimal) -> None:
    put(parent, "NbOfTxs", str(count))
    put(parent, "CtrlSum", f"{total:f}")


def put(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text


def _amount(order: Order) -> Decimal:
    return Money(order.amount, currency(order.currency)).decimal()


def _plain(text: str, length_max: int) -> str:
    """Write *text* in the letters that every bank reads: accents go, the rest becomes a point."""
    apart = unicodedata.normalize("NFKD", text.replace("\u2019", "'"))
    bare = "".join(char for char in apart if not unicodedata.combining(char))
    return "".join(char if char in _ALLOWED else "." for char in bare)[:length_max].strip() or "."


def read_pain002(content: bytes) -> list[Status]:
    """
    Read a payment status report of any version.

    Raises:
        SurprisingAnswer: not XML that is safe to read, or not a status report.
    """
    try:
        root = DefusedET.fromstring(content, forbid_dtd=True)
    except (ET.ParseError, DefusedXmlException, ValueError) as error:
        raise SurprisingAnswer("not XML that may be read") from error
    report = _child(root, "CstmrPmtStsRpt")
    if report is None:
        raise SurprisingAnswer("no CstmrPmtStsRpt in it")
    found = [each for each in report.iter() if local_name(each) == "TxInfAndSts"]
    return [_status(each) for each in found[:TRANSACTIONS_MAX]]


def _status(each: ET.Element) -> Status:
    id_, told = _text(each, "OrgnlEndToEndId"), _text(each, "TxSts")
    if not id_ or told not in _STATES:
        raise SurprisingAnswer("a status without its order, or an unknown one")
    reason = _child(each, "StsRsnInf")
    code_parent = None if reason is None else _child(reason, "Rsn")
    code = None if code_parent is None else _text(code_parent, "Cd")
    state = _STATES[told]
    if state == "rejected" and code in _DETAILS:
        state = "needs_details"
    return Status(id_, state, code, None if reason is None else _text(reason, "AddtlInf"))


def _child(parent: ET.Element, name: str) -> ET.Element | None:
    return next((each for each in parent if local_name(each) == name), None)


def _text(parent: ET.Element, name: str) -> str | None:
    child = _child(parent, name)
    return None if child is None or child.text is None else child.text.strip()


def local_name(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]
