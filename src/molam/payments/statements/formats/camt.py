"""Reads ISO 20022 camt.053 statements of any version, by the names of their elements."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from molam.kernel.currency import Currency, currency
from molam.payments.statements.formats.amounts import UTC_ZONE, day, exact
from molam.payments.statements.model import (
    LINES_MAX,
    NAME_LENGTH_MAX,
    REF_LENGTH_MAX,
    STATEMENTS_PER_FILE_MAX,
    Declared,
    Parsed,
    StatementLine,
    StatementMalformed,
    StatementTooLarge,
    tidy,
)

_OPENING = ("OPBD", "PRCD")
_CLOSING = ("CLBD",)
_DETAILS_MAX = 10_000
_SAYS_NOTHING = frozenset({"", "NOTPROVIDED", "NONREF", "N/A"})


def read(content: bytes) -> list[Parsed]:
    """
    Read every statement of a file. Entities, DTDs and addresses are refused, not followed.

    Raises:
        StatementMalformed: not XML, not such a message, or something missing in it.
    """
    found: list[Parsed] = []
    statement: _Statement | None = None
    path: list[str] = []
    try:
        for event, element in iterparse(
            io.BytesIO(content), events=("start", "end"), forbid_dtd=True
        ):
            name = _local(element)
            if event == "start":
                path.append(name)
                if name == "Stmt":
                    statement = _Statement()
                continue
            path.pop()
            if statement is None or len(path) < 1:
                continue
            if path[-1] == "Stmt":
                statement.take(name, element)
                element.clear()
            elif name == "Stmt":
                found.append(statement.parsed())
                statement = None
                element.clear()
                if len(found) > STATEMENTS_PER_FILE_MAX:
                    raise StatementTooLarge("The file holds too many statements.")
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise StatementMalformed(f"The XML cannot be read: {_said(error)}.") from None
    if not found:
        raise StatementMalformed("This XML is no camt.053: it has no BkToCstmrStmt with a Stmt.")
    return found


def _said(error: Exception) -> str:
    if isinstance(error, DefusedXmlException):
        return "it declares a document type or entities, which a statement never needs"
    return str(error).splitlines()[0][:120]


class _Statement:
    """One ``Stmt`` while it is read; the entries are taken apart and let go at once."""

    def __init__(self) -> None:
        self.reference = self.account = self.code = ""
        self.first: date | None = None
        self.last: date | None = None
        self.balances: dict[str, tuple[Element, date | None]] = {}
        self.summary: Element | None = None
        self.lines: list[StatementLine] = []
        self.count = 0

    def take(self, name: str, element: Element) -> None:
        match name:
            case "Id":
                self.reference = tidy(element.text or "", REF_LENGTH_MAX)
            case "FrToDt":
                self.first = _day(_first(element, "FrDtTm", "FrDt"))
                self.last = _day(_first(element, "ToDtTm", "ToDt"))
            case "Acct":
                self.account = tidy(
                    _text(element, "Id/IBAN") or _text(element, "Id/Othr/Id"), REF_LENGTH_MAX
                )
                self.code = _text(element, "Ccy") or self.code
            case "Bal":
                self._balance(element)
            case "TxsSummry":
                self.summary = _copied(element)
            case "Ntry":
                self._entry(element)

    def _balance(self, element: Element) -> None:
        code = _text(element, "Tp/CdOrPrtry/Cd")
        amount = _child(element, "Amt")
        if amount is None:
            raise StatementMalformed(f"The balance {code or '?'} has no amount.")
        self.code = self.code or amount.get("Ccy", "")
        on = _child(element, "Dt")
        when = None if on is None else _day(_first(on, "Dt", "DtTm"))
        # Of several pages, the first one opens and the last one closes.
        if code in _OPENING and code in self.balances:
            return
        self.balances[code] = (_copied(element), when)

    def _entry(self, element: Element) -> None:
        status = _child(element, "Sts")
        word = "" if status is None else (status.text or "").strip() or _text(element, "Sts/Cd")
        if word not in {"BOOK", ""}:
            return  # Pending and informational entries have not moved the balance.
        self.count += 1
        amount = _child(element, "Amt")
        if amount is None:
            raise StatementMalformed(f"Entry {self.count} has no amount.")
        self.code = self.code or amount.get("Ccy", "")
        unit = currency(amount.get("Ccy", "") or self.code)
        self.lines.extend(_lines(element, unit, first_no=len(self.lines) + 1, number=self.count))
        if len(self.lines) > LINES_MAX:
            raise StatementTooLarge(f"One file has at most {LINES_MAX:,} lines.")

    def parsed(self) -> Parsed:
        if not self.code:
            raise StatementMalformed("The statement does not say its currency.")
        unit = currency(self.code)
        opening, first = self._declared(_OPENING, unit)
        closing, last = self._declared(_CLOSING, unit)
        return Parsed(
            format="camt053",
            account=self.account,
            currency=unit.code,
            reference=self.reference,
            lines=tuple(self.lines),
            declared=Declared(opening=opening, closing=closing, **self._sums(unit)),
            # An opening balance may be dated the evening before, a closing one may not.
            first_day=self.first or last or first,
            last_day=self.last or last,
        )

    def _declared(self, codes: tuple[str, ...], unit: Currency) -> tuple[int | None, date | None]:
        for code in codes:
            if code in self.balances:
                element, when = self.balances[code]
                return _signed(element, unit, line=0), when
        return None, None

    def _sums(self, unit: Currency) -> dict[str, int | None]:
        """What ``TxsSummry`` announces; it counts entries, which may hold several lines."""
        if self.summary is None:
            return {}
        announced = _text(self.summary, "TtlNtries/NbOfNtries")
        if announced and announced != str(self.count):
            raise StatementMalformed(
                f"The statement announces {announced[:12]} entries and holds {self.count}."
            )
        sums: dict[str, int | None] = {}
        for name, place in (("money_in", "TtlCdtNtries"), ("money_out", "TtlDbtNtries")):
            told = _text(self.summary, f"{place}/Sum")
            if told:
                sums[name] = exact(_number(told, 0), unit, line=0)
        return sums


def _lines(
    entry: Element, unit: Currency, *, first_no: int, number: int
) -> Iterator[StatementLine]:
    """
    Make lines of one entry.

    A batch is taken apart where its parts say their amounts and add up to it; otherwise
    it stays one line, for half a batch would be wrong.
    """
    whole = _signed(entry, unit, line=number)
    details = [
        each for block in _children(entry, "NtryDtls") for each in _children(block, "TxDtls")
    ]
    if len(details) > 1:
        amounts = [_part(each, unit, whole, number) for each in details[:_DETAILS_MAX]]
        if None not in amounts and sum(each or 0 for each in amounts) == whole:
            for place, (each, amount) in enumerate(zip(details, amounts, strict=True)):
                yield _line(entry, each, unit, no=first_no + place, amount=amount or 0)
            return
    detail = details[0] if len(details) == 1 else None
    yield _line(entry, detail, unit, no=first_no, amount=whole)


def _line(
    entry: Element, detail: Element | None, unit: Currency, *, no: int, amount: int
) -> StatementLine:
    within = entry if detail is None else detail
    booked = _date_of(entry, "BookgDt")
    valued = _date_of(entry, "ValDt")
    if booked is None and valued is None:
        raise StatementMalformed(f"Line {no} has no day.", line=no)
    ends = _text(within, "Refs/EndToEndId")
    text = " ".join(
        filter(
            None,
            [
                *(each.text or "" for each in _found(within, "RmtInf/Ustrd")),
                _text(within, "RmtInf/Strd/CdtrRefInf/Ref"),
                _text(within, "AddtlTxInf"),
                _text(entry, "AddtlNtryInf"),
            ],
        )
    )
    bank_ref = (
        _text(within, "Refs/AcctSvcrRef")
        or _text(entry, "AcctSvcrRef")
        or _text(within, "Refs/TxId")
        or _text(entry, "NtryRef")
    )
    return StatementLine(
        line_no=no,
        booked_on=booked or valued or date.min,
        value_on=valued or booked or date.min,
        amount=amount,
        currency=unit.code,
        bank_ref=tidy(bank_ref, REF_LENGTH_MAX),
        end_to_end_id="" if ends.upper() in _SAYS_NOTHING else tidy(ends, REF_LENGTH_MAX),
        counterparty=_counterparty(within, came_in=amount > 0),
        text=tidy(text),
        # Charges of an entry are inside its amount (the balance moves by the amount), so
        # they are not taken off once more.
        fee=0,
        is_return=_child(within, "RtrInf") is not None or _text(entry, "RvslInd") == "true",
    )


def _counterparty(within: Element, *, came_in: bool) -> str:
    side = "Dbtr" if came_in else "Cdtr"
    name = _text(within, f"RltdPties/{side}/Nm") or _text(within, f"RltdPties/{side}/Pty/Nm")
    account = _text(within, f"RltdPties/{side}Acct/Id/IBAN") or _text(
        within, f"RltdPties/{side}Acct/Id/Othr/Id"
    )
    return tidy(" ".join(filter(None, [name, account])), NAME_LENGTH_MAX)


def _part(detail: Element, unit: Currency, whole: int, number: int) -> int | None:
    amount = _child(detail, "Amt")
    for place in ("AmtDtls/TxAmt/Amt", "AmtDtls/InstdAmt/Amt"):
        amount = amount if amount is not None else next(_found(detail, place), None)
    if amount is None or amount.get("Ccy", unit.code) != unit.code:
        return None
    minor = exact(_number(amount.text or "", number), unit, line=number)
    side = _text(detail, "CdtDbtInd")
    negative = side == "DBIT" if side else whole < 0
    return -minor if negative else minor


def _signed(element: Element, unit: Currency, *, line: int) -> int:
    amount = _child(element, "Amt")
    if amount is None:
        raise StatementMalformed(f"Entry {line} has no amount.", line=line)
    minor = exact(_number(amount.text or "", line), unit, line=line)
    match _text(element, "CdtDbtInd"):
        case "CRDT":
            return minor
        case "DBIT":
            return -minor
        case other:
            raise StatementMalformed(
                f"Entry {line} is neither CRDT nor DBIT but {other[:12]!r}.", line=line
            )


def _number(text: str, line: int) -> Decimal:
    plain = text.strip()
    try:
        # XML decimals know no exponent, no space and no comma.
        if not plain.replace(".", "", 1).isascii() or not plain.replace(".", "", 1).isdigit():
            raise InvalidOperation
        return Decimal(plain)
    except InvalidOperation:
        raise StatementMalformed(f"Entry {line} has {plain[:32]!r} for an amount.") from None


def _date_of(entry: Element, name: str) -> date | None:
    found = _child(entry, name)
    if found is None:
        return None
    return _day(_first(found, "Dt", "DtTm"))


def _day(element: Element | None) -> date | None:
    if element is None or not (element.text or "").strip():
        return None
    # The bank's own day: an offset of the instant says where that is.
    return day((element.text or "").strip()[:10], line=0, times=("%Y-%m-%d",), zone=UTC_ZONE)


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _children(element: Element, name: str) -> Iterator[Element]:
    return (each for each in element if _local(each) == name)


def _child(element: Element, name: str) -> Element | None:
    return next(_children(element, name), None)


def _first(element: Element, *names: str) -> Element | None:
    # Not by `or`: an element without children counts as false.
    return next((each for name in names for each in _children(element, name)), None)


def _found(element: Element, path: str) -> Iterator[Element]:
    first, _, rest = path.partition("/")
    for each in _children(element, first):
        if rest:
            yield from _found(each, rest)
        else:
            yield each


def _text(element: Element, path: str) -> str:
    found = next(_found(element, path), None)
    return "" if found is None else (found.text or "").strip()


def _copied(element: Element) -> Element:
    """Keep a small element that its parser is about to clear."""
    copy = Element(element.tag, dict(element.attrib))
    copy.text = element.text
    copy.extend(_copied(each) for each in element)
    return copy
