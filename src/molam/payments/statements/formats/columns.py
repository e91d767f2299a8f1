"""Which columns of a bank's table mean what: shipped for some, written for each other bank."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from molam.kernel.currency import CURRENCIES, Currency, currency
from molam.payments.statements.formats import amounts
from molam.payments.statements.model import (
    NAME_LENGTH_MAX,
    REF_LENGTH_MAX,
    Format,
    MappingRefused,
    Parsed,
    StatementLine,
    StatementMalformed,
    tidy,
)

Cell = str | Decimal | date | None
"""A cell as its format gives it: text, an exact number, a day, or nothing."""

FIELDS = (
    "booked_on",
    "value_on",
    "amount",
    "credit",
    "debit",
    "currency",
    "bank_ref",
    "end_to_end_id",
    "counterparty",
    "text",
    "fee",
)
HEADER_ROWS_MAX = 20

_Name = Annotated[str, Meta(min_length=1, max_length=80)]
_Names = Annotated[list[_Name], Meta(min_length=1, max_length=8)]


class Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A mapping: our field = their column, or several names it goes by.

    Amounts are in major units unless *amounts* says otherwise. *times* are the patterns
    of Python's strptime; left empty, ISO 8601 and day-first dates are read.
    """

    columns: Annotated[dict[str, _Name | _Names], Meta(max_length=len(FIELDS))]
    currency: Annotated[str, Meta(max_length=3)] = ""
    amounts: Literal["major", "minor"] = "major"
    decimal: Literal["", ".", ","] = ""
    times: Annotated[tuple[_Name, ...], Meta(max_length=8)] = ()
    timezone: Annotated[str, Meta(max_length=64)] = "UTC"
    sheet: Annotated[str, Meta(max_length=80)] = ""
    debits: Literal["signed", "all"] = "signed"
    """``all``: the export lists what went out, without a sign."""


# As reported by merchants' accountants; not published by either company.
WAVE = Columns(
    columns={
        "booked_on": ["timestamp", "date", "horodatage"],
        "amount": ["amount", "montant"],
        "bank_ref": ["transaction_id", "id transaction"],
        "counterparty": ["phone", "telephone"],
        "fee": ["fee", "frais"],
        "end_to_end_id": ["client_reference", "reference"],
        "currency": ["currency", "devise"],
    },
    currency="XOF",
)
ORANGE_MONEY = Columns(
    columns={
        "booked_on": ["date_heure", "date heure"],
        "amount": ["montant"],
        "bank_ref": ["ref_operation", "ref operation"],
        "counterparty": ["numero"],
        "fee": ["commission"],
        "end_to_end_id": ["order_id", "reference"],
        "currency": ["devise"],
    },
    currency="XOF",
)
# What most banks call their columns where nobody has asked them for anything better.
PLAIN = Columns(
    columns={
        "booked_on": ["date", "date operation", "booking date"],
        "value_on": ["date valeur", "value date"],
        "amount": ["amount", "montant"],
        "currency": ["currency", "devise"],
        "bank_ref": ["reference"],
        "end_to_end_id": ["end_to_end_id"],
        "counterparty": ["name", "nom"],
        "text": ["description", "libelle"],
        "fee": ["fee", "frais"],
    },
)
OURS = Columns(columns={name: name for name in FIELDS}, amounts="minor")

SHIPPED: Mapping[str, Columns] = MappingProxyType(
    {"wave": WAVE, "orange_money": ORANGE_MONEY, "molam": OURS, "plain": PLAIN}
)
# By these a file is known for one bank's export when nobody said whose it is.
_TELLING: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "wave": frozenset({"transaction_id", "amount", "timestamp", "phone"}),
        "orange_money": frozenset({"ref_operation", "montant", "date_heure", "numero"}),
        "molam": frozenset({"booked_on", "amount"}),
        "plain": frozenset({"date", "reference", "amount"}),
    }
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a sheet, with the number that a person sees beside each."""

    format: Format
    rows: Sequence[tuple[int, Sequence[Cell]]]


def check_columns(mapping: Columns) -> Columns:
    """
    Insist that a mapping can be used.

    Raises:
        MappingRefused: a field nobody knows, nothing for the day or the amount, no such zone.
    """
    unknown = sorted(set(mapping.columns) - set(FIELDS))
    if unknown:
        raise MappingRefused(
            f"There is no field {unknown[0][:40]!r}; there are {', '.join(FIELDS)}."
        )
    if "booked_on" not in mapping.columns and "value_on" not in mapping.columns:
        raise MappingRefused("Say which column is booked_on.")
    if not {"amount", "credit", "debit"} & set(mapping.columns):
        raise MappingRefused("Say which column is the amount, or which are credit and debit.")
    if mapping.currency and mapping.currency not in CURRENCIES:
        raise MappingRefused(f"currency is one of {', '.join(CURRENCIES)}.")
    _zone(mapping.timezone)
    return mapping


def lines_of(table: Table, mapping: Columns | None, *, default_currency: str) -> Parsed:
    """
    Read a table as a statement.

    Raises:
        MappingRefused: no row names the columns that are needed.
        StatementMalformed: says which line is wrong, and how.
        UnknownCurrency: a line is in one that we keep no money in.
    """
    used, header_at, places = _fitted(table, mapping)
    unit = currency(used.currency or default_currency)
    zone = _zone(used.timezone)
    lines: list[StatementLine] = []
    for number, cells in table.rows[header_at + 1 :]:
        if all(cell is None or cell == "" for cell in cells):
            continue
        row = {field: cells[at] if at < len(cells) else None for field, at in places.items()}
        lines.append(_line(_Row(number, row, used, unit, zone), no=len(lines) + 1))
    if not lines:
        raise StatementMalformed("There is no row under the column names.")
    return Parsed(
        format=table.format,
        account="",
        currency=lines[0].currency,
        reference="",
        lines=tuple(lines),
    )


def _fitted(table: Table, mapping: Columns | None) -> tuple[Columns, int, dict[str, int]]:
    heads = [
        (at, {_folded(cell): place for place, cell in enumerate(cells) if isinstance(cell, str)})
        for at, (_, cells) in enumerate(table.rows[:HEADER_ROWS_MAX])
    ]
    for at, named in heads:
        used = mapping or _recognised(named)
        if used is None:
            continue
        places = {
            field: named[_folded(name)]
            for field, names in used.columns.items()
            for name in ([names] if isinstance(names, str) else names)[::-1]
            if _folded(name) in named
        }
        has_amount = {"amount", "credit", "debit"} & places.keys()
        if has_amount and {"booked_on", "value_on"} & places.keys():
            return used, at, places
    seen = ", ".join(list(heads[0][1])[:12]) if heads else ""
    raise MappingRefused(
        "No row names a day and an amount in a way that is known here."
        f" The first row has: {seen[:200] or 'nothing'}. Write a mapping for this bank."
    )


def _recognised(named: Mapping[str, int]) -> Columns | None:
    for name, telling in _TELLING.items():
        if {_folded(each) for each in telling} <= named.keys():
            return SHIPPED[name]
    return None


@dataclass(frozen=True, slots=True)
class _Row:
    """One row, and how to read it."""

    number: int
    cells: Mapping[str, Cell]
    mapping: Columns
    unit: Currency
    zone: ZoneInfo

    def text(self, field: str, length_max: int) -> str:
        cell = self.cells.get(field)
        if isinstance(cell, Decimal):
            # A telephone number in a number cell: no decimals, no exponent.
            return f"{cell:f}"[:length_max]
        return tidy(str(cell or ""), length_max)

    def day(self, field: str) -> date | None:
        cell = self.cells.get(field)
        if cell is None or cell == "":
            return None
        if isinstance(cell, date):
            return cell.date() if isinstance(cell, datetime) else cell
        return amounts.day(str(cell), line=self.number, times=self.mapping.times, zone=self.zone)

    def minor(self, field: str, unit: Currency) -> int | None:
        cell = self.cells.get(field)
        if cell is None or cell == "" or isinstance(cell, date):
            return None
        value = (
            cell
            if isinstance(cell, Decimal)
            else amounts.decimal(cell, line=self.number, separator=self.mapping.decimal)
        )
        if self.mapping.amounts == "minor":
            value = value.scaleb(-unit.exponent)
        return amounts.exact(value, unit, line=self.number)


def _line(row: _Row, *, no: int) -> StatementLine:
    code = row.text("currency", 3).upper()
    unit = currency(code) if code else row.unit
    booked, valued = row.day("booked_on"), row.day("value_on")
    day = booked or valued
    if day is None:
        raise StatementMalformed(f"Line {row.number} has no day.", line=row.number)
    return StatementLine(
        line_no=no,
        booked_on=day,
        value_on=valued or day,
        amount=_amount(row, unit),
        currency=unit.code,
        bank_ref=row.text("bank_ref", REF_LENGTH_MAX),
        end_to_end_id=row.text("end_to_end_id", REF_LENGTH_MAX),
        counterparty=row.text("counterparty", NAME_LENGTH_MAX),
        text=row.text("text", 500),
        fee=abs(row.minor("fee", unit) or 0),
    )


def _amount(row: _Row, unit: Currency) -> int:
    amount = row.minor("amount", unit)
    if amount is None:
        came, went = row.minor("credit", unit), row.minor("debit", unit)
        if came is None and went is None:
            raise StatementMalformed(f"Line {row.number} has no amount.", line=row.number)
        return (came or 0) - abs(went or 0)
    return -abs(amount) if row.mapping.debits == "all" else amount


def _folded(text: str) -> str:
    """Compare column names without case, accents, spaces and underscores."""
    plain = unicodedata.normalize("NFKD", text[:80]).casefold()
    return "".join(char for char in plain if char.isalnum())


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise MappingRefused("Use a time zone such as Africa/Dakar.") from None
