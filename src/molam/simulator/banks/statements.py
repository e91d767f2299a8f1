"""Statements of simulated banks: camt.053, MT940, CSV, and what Wave and Orange Money export."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET  # For writing only.
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType

import xlsxwriter

from molam.kernel.currency import currency
from molam.kernel.money import Money
from molam.simulator.banks.books_store import Transfer

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
OPENING_MAJOR = 5_000_000_000
"""What every simulated account began with."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: negative amounts left the account. Minor units."""

    amount: int
    at: datetime
    reference: str
    """The bank's own."""
    key: str
    remittance: str
    name: str
    account: str
    is_return: bool


@dataclass(frozen=True, slots=True)
class Told:
    bank: str
    currency: str
    day: date
    opening: int
    entries: Sequence[Entry]

    @property
    def closing(self) -> int:
        return self.opening + sum(entry.amount for entry in self.entries)

    @property
    def account(self) -> str:
        return f"SN08{self.bank.upper().replace('_', '').replace('-', '')}{self.currency}"[:34]


def tell(
    bank: str,
    code: str,
    day: date,
    transfers: Sequence[Transfer],
    *,
    moved: int,
    until: float,
) -> Told:
    """Say what a day's transfers make of the account, up to *until*."""
    start = datetime.combine(day, datetime.min.time(), UTC).timestamp()
    entries = []
    for each in transfers:
        if start <= each.settle_at < until:
            entries.append(_entry(each, each.settle_at, -each.amount, is_return=False))
        if each.return_at is not None and start <= each.return_at < until:
            entries.append(_entry(each, each.return_at, each.amount, is_return=True))
    opening = OPENING_MAJOR * 10 ** currency(code).exponent - moved
    return Told(bank, code, day, opening, sorted(entries, key=lambda entry: entry.at))


def _entry(transfer: Transfer, at: float, amount: int, *, is_return: bool) -> Entry:
    return Entry(
        amount=amount,
        at=datetime.fromtimestamp(at, UTC),
        reference=transfer.id,
        key=transfer.key,
        remittance=f"RETOUR {transfer.reference}" if is_return else transfer.reference,
        name=transfer.name,
        account=transfer.beneficiary,
        is_return=is_return,
    )


def camt053(told: Told) -> bytes:
    root = ET.Element("Document", xmlns=NAMESPACE)
    message = ET.SubElement(root, "BkToCstmrStmt")
    header = ET.SubElement(message, "GrpHdr")
    _put(header, "MsgId", f"{told.bank}-{told.day:%Y%m%d}-{told.currency}"[:35])
    _put(header, "CreDtTm", f"{told.day}T23:59:59Z")
    statement = ET.SubElement(message, "Stmt")
    _put(statement, "Id", f"{told.bank}-{told.day:%Y%m%d}"[:35])
    _put(statement, "ElctrncSeqNb", str(told.day.toordinal()))
    _put(statement, "CreDtTm", f"{told.day}T23:59:59Z")
    account = ET.SubElement(statement, "Acct")
    other = ET.SubElement(ET.SubElement(account, "Id"), "Othr")
    _put(other, "Id", told.account)
    _put(account, "Ccy", told.currency)
    _balance(statement, told, "OPBD", told.opening)
    _balance(statement, told, "CLBD", told.closing)
    for number, entry in enumerate(told.entries, start=1):
        _camt_entry(statement, told, entry, number)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _balance(statement: ET.Element, told: Told, kind: str, amount: int) -> None:
    balance = ET.SubElement(statement, "Bal")
    _put(ET.SubElement(ET.SubElement(balance, "Tp"), "CdOrPrtry"), "Cd", kind)
    _amount(balance, told, amount)
    _put(ET.SubElement(balance, "Dt"), "Dt", str(told.day))


def _camt_entry(statement: ET.Element, told: Told, entry: Entry, number: int) -> None:
    line = ET.SubElement(statement, "Ntry")
    _put(line, "NtryRef", str(number))
    _amount(line, told, entry.amount)
    _put(ET.SubElement(line, "Sts"), "Cd", "BOOK")
    for name in ("BookgDt", "ValDt"):
        _put(ET.SubElement(line, name), "Dt", str(entry.at.date()))
    _put(line, "AcctSvcrRef", entry.reference)
    code = ET.SubElement(ET.SubElement(line, "BkTxCd"), "Domn")
    _put(code, "Cd", "PMNT")
    family = ET.SubElement(code, "Fmly")
    _put(family, "Cd", "RCDT" if entry.is_return else "ICDT")
    _put(family, "SubFmlyCd", "RRTN" if entry.is_return else "OTHR")
    details = ET.SubElement(ET.SubElement(line, "NtryDtls"), "TxDtls")
    references = ET.SubElement(details, "Refs")
    _put(references, "AcctSvcrRef", entry.reference)
    _put(references, "EndToEndId", entry.key)
    if entry.name:
        parties = ET.SubElement(details, "RltdPties")
        party = ET.SubElement(parties, "Dbtr" if entry.is_return else "Cdtr")
        _put(ET.SubElement(party, "Pty"), "Nm", entry.name)
    if entry.remittance:
        _put(ET.SubElement(details, "RmtInf"), "Ustrd", entry.remittance)


def _amount(parent: ET.Element, told: Told, amount: int) -> None:
    ET.SubElement(parent, "Amt", Ccy=told.currency).text = _major(abs(amount), told.currency)
    _put(parent, "CdtDbtInd", "DBIT" if amount < 0 else "CRDT")


def mt940(told: Told) -> bytes:
    lines = [
        f":20:{told.day:%Y%m%d}{told.bank}"[:20],
        f":25:{told.account}",
        f":28C:{told.day.timetuple().tm_yday}/1",
        _mt_balance("60F", told, told.opening),
    ]
    for entry in told.entries:
        side = "D" if entry.amount < 0 else "C"
        amount = _major(abs(entry.amount), told.currency).replace(".", ",")
        amount += "" if "," in amount else ","
        lines.append(
            f":61:{entry.at:%y%m%d}{entry.at:%m%d}{side}{amount}NTRFNONREF//{entry.reference[:16]}"
        )
        lines.extend(_information(f"/EREF/{entry.key}/NAME/{entry.name}/REMI/{entry.remittance}"))
    lines += [_mt_balance("62F", told, told.closing), "-", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


def _information(text: str) -> list[str]:
    width = 65
    parts = [text[start : start + width] for start in range(0, min(len(text), 6 * width), width)]
    return [f":86:{parts[0]}", *parts[1:]]


def _mt_balance(tag: str, told: Told, amount: int) -> str:
    side = "D" if amount < 0 else "C"
    text = _major(abs(amount), told.currency).replace(".", ",")
    text += "" if "," in text else ","
    return f":{tag}:{side}{told.day:%y%m%d}{told.currency}{text}"


def plain_csv(told: Told) -> bytes:
    rows = [
        [
            str(entry.at.date()),
            entry.reference,
            entry.key,
            _major(entry.amount, told.currency),
            told.currency,
            entry.name,
            entry.remittance,
        ]
        for entry in told.entries
    ]
    columns = ["date", "reference", "end_to_end_id", "amount", "currency", "name", "description"]
    return _csv([columns, *rows])


def wave_csv(told: Told) -> bytes:
    """Write the export of a Wave account, which knows no references of ours."""
    rows = [
        [
            entry.reference,
            _major(entry.amount, told.currency),
            "0",
            entry.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            entry.account,
        ]
        for entry in told.entries
    ]
    return _csv([["transaction_id", "amount", "fee", "timestamp", "phone"], *rows])


def orange_xlsx(told: Told) -> bytes:
    """Write the export of an Orange Money account: a workbook with French headings."""
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"in_memory": True}) as book:
        sheet = book.add_worksheet("Transactions")
        columns = ["ref_operation", "montant", "commission", "date_heure", "numero"]
        sheet.write_row(0, 0, columns)
        for number, entry in enumerate(told.entries, start=1):
            sheet.write_string(number, 0, entry.reference)
            sheet.write_number(number, 1, float(_major(entry.amount, told.currency)))
            sheet.write_number(number, 2, 0)
            sheet.write_string(number, 3, entry.at.strftime("%d/%m/%Y %H:%M:%S"))
            sheet.write_string(number, 4, entry.account)
    return content.getvalue()


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _put(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text


def _major(amount: int, code: str) -> str:
    return f"{Money(amount, currency(code)).decimal():f}"


WRITE: Mapping[str, Callable[[Told], bytes]] = MappingProxyType(
    {
        "camt053": camt053,
        "mt940": mt940,
        "csv": plain_csv,
        "wave": wave_csv,
        "xlsx": orange_xlsx,
    }
)
ENDINGS = MappingProxyType(
    {"camt053": "xml", "mt940": "sta", "csv": "csv", "wave": "csv", "xlsx": "xlsx"}
)
MEDIA = MappingProxyType(
    {
        "camt053": "application/xml",
        "mt940": "text/plain",
        "csv": "text/csv",
        "wave": "text/csv",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }
)
