"""Reads SWIFT MT940 statements with the mt-940 library."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import cast

import mt940

from molam.kernel.currency import currency
from molam.payments.statements.formats.amounts import exact
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

_BLOCK = re.compile(r"\{4:\s*(.*?)-\}", re.DOTALL)
_MESSAGE = re.compile(r"(?m)^:20:")
# What banks write in field 86 before the reference that the payer gave, and the payer's name.
_ENDS = re.compile(r"(?:/EREF/|EREF[+:]\s?|/ROC/|\?2[0-9]EREF\+)([^/?+\s]{1,64})")
_NAME = re.compile(r"(?:/NAME/|NAME[+:]\s?|/BENM/+NAME/|/ORDP/+NAME/)([^/?+]{1,70})")
_RETURNS = re.compile(r"/RTRN/|\bRETOUR\b|\bREJET\b|\bRETURN(?:ED)?\b", re.IGNORECASE)
_SAYS_NOTHING = frozenset({"", "NONREF", "NOTPROVIDED", "NOREF"})

# The library writes lines that it cannot read, with names and accounts, into the log.
logging.getLogger("mt940").setLevel(logging.CRITICAL)

# What the library raises for text that is no MT940.
_UNREADABLE = (RuntimeError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError)


def read(text: str) -> list[Parsed]:
    """
    Read every statement of a file; the pages of one statement become one.

    Raises:
        StatementMalformed: not MT940, or something missing in it.
    """
    plain = "\n".join(
        each.rstrip() for each in text.replace("\r", "\n").split("\n") if each.strip()
    )
    plain = "\n".join(match[1] for match in _BLOCK.finditer(plain)) or plain
    starts = [match.start() for match in _MESSAGE.finditer(plain)]
    if not starts:
        raise StatementMalformed("This is no MT940: it has no field :20:.")
    if len(starts) > STATEMENTS_PER_FILE_MAX:
        raise StatementTooLarge("The file holds too many messages.")
    pages = [
        _page(plain[begin:end]) for begin, end in zip(starts, [*starts[1:], None], strict=True)
    ]
    return _joined(pages)


def _page(message: str) -> tuple[Parsed, bool]:
    """Read one message; the flag says that another page follows."""
    if message.count("\n:61:") > LINES_MAX:
        raise StatementTooLarge(f"One file has at most {LINES_MAX:,} lines.")
    try:
        found = mt940.parse(message)
        data = cast("dict[str, object]", dict(found.data))
        booked = [cast("dict[str, object]", dict(each.data)) for each in found.transactions]
    except _UNREADABLE as error:
        said = " ".join(str(error).split())[:120]
        raise StatementMalformed(f"The MT940 cannot be read: {said}.") from None
    opening = data.get("final_opening_balance") or data.get("intermediate_opening_balance")
    closing = data.get("final_closing_balance") or data.get("intermediate_closing_balance")
    code = _code(opening) or _code(closing)
    if not code:
        raise StatementMalformed("The statement has neither :60F: nor :62F:.")
    unit = currency(code)
    lines = tuple(_line(each, code, no) for no, each in enumerate(booked, start=1))
    parsed = Parsed(
        format="mt940",
        account=tidy(str(data.get("account_identification") or ""), REF_LENGTH_MAX),
        currency=unit.code,
        reference=tidy(str(data.get("transaction_reference") or ""), REF_LENGTH_MAX),
        lines=lines,
        declared=Declared(opening=_minor(opening, code), closing=_minor(closing, code)),
        first_day=_on(closing) if not lines else None,
        last_day=_on(closing),
    )
    return parsed, "final_closing_balance" not in data


def _line(data: dict[str, object], code: str, no: int) -> StatementLine:
    amount = getattr(data.get("amount"), "amount", None)
    valued = _day(data.get("date"))
    if not isinstance(amount, Decimal) or valued is None:
        raise StatementMalformed(f"Line {no} has no amount or no day.", line=no)
    minor = exact(amount, currency(code), line=no)
    status = str(data.get("status") or "")
    # RC takes a credit back, RD a debit; the library leaves both unsigned but for D.
    minor = abs(minor) if status in {"C", "RD"} else -abs(minor)
    details = str(data.get("transaction_details") or "")
    # Field 86 is cut at 65 characters wherever that is, so a reference is read across lines.
    across = details.replace("\n", "")
    extra = str(data.get("extra_details") or "")
    customer = str(data.get("customer_reference") or "").strip()
    ends = _ENDS.search(across)
    name = _NAME.search(across)
    given = ends[1] if ends else customer
    return StatementLine(
        line_no=no,
        booked_on=_day(data.get("entry_date")) or valued,
        value_on=valued,
        amount=minor,
        currency=code,
        bank_ref=tidy(str(data.get("bank_reference") or ""), REF_LENGTH_MAX),
        end_to_end_id="" if given.upper() in _SAYS_NOTHING else tidy(given, REF_LENGTH_MAX),
        counterparty=tidy(name[1], NAME_LENGTH_MAX) if name else "",
        text=tidy(" ".join(filter(None, [details, extra]))),
        is_return=status in {"RC", "RD"} or _RETURNS.search(across) is not None,
    )


def _joined(pages: list[tuple[Parsed, bool]]) -> list[Parsed]:
    """Put the pages of one statement together: :60F: of the first, :62F: of the last."""
    whole: list[Parsed] = []
    goes_on = False
    for page, more in pages:
        if goes_on and whole[-1].account == page.account:
            whole[-1] = _continued(whole[-1], page)
        else:
            whole.append(page)
        goes_on = more
    return whole


def _continued(before: Parsed, page: Parsed) -> Parsed:
    first_no = len(before.lines) + 1
    lines = [_numbered(line, first_no + at) for at, line in enumerate(page.lines)]
    return replace(
        before,
        lines=(*before.lines, *lines),
        declared=Declared(before.declared.opening, page.declared.closing),
        last_day=page.last_day,
    )


def _numbered(line: StatementLine, no: int) -> StatementLine:
    return replace(line, line_no=no)


def _code(balance: object) -> str:
    return str(getattr(getattr(balance, "amount", None), "currency", "") or "")


def _minor(balance: object, code: str) -> int | None:
    amount = getattr(getattr(balance, "amount", None), "amount", None)
    return exact(amount, currency(code), line=0) if isinstance(amount, Decimal) else None


def _on(balance: object) -> date | None:
    return _day(getattr(balance, "date", None))


def _day(value: object) -> date | None:
    return date(value.year, value.month, value.day) if isinstance(value, date) else None
