"""The journal as text that bookkeeping programs read: rows for SYSCOHADA, hledger, beancount."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TextIO

import msgspec

from molam.kernel.shown import plain
from molam.merchant.accounting import wording
from molam.merchant.accounting.chart import Account, Chart
from molam.merchant.accounting.entries import Entry, Fact, entries_of
from molam.platform.exports.cells import Column, neutral
from molam.platform.web.l10n import Language

COLUMNS = (
    Column("text", "Journal", "Journal"),
    Column("day", "Date", "Date"),
    Column("text", "Piece", "Pièce"),
    Column("text", "Account", "Compte"),
    Column("text", "Account name", "Intitulé"),
    Column("text", "Label", "Libellé"),
    Column("amount", "Debit", "Débit"),
    Column("amount", "Credit", "Crédit"),
    Column("text", "Currency", "Devise"),
)

_LABEL_LENGTH_MAX = 120
# beancount sorts accounts under five roots; the class is the code's first digit.
_ROOTS = {"1": "Equity", "6": "Expenses", "7": "Income"}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")

SharesJson = msgspec.json.Decoder(dict[str, int])


def read_facts(source: Path) -> Iterator[Fact]:
    """Read the raw file that the statement merchant.export_facts filled."""
    with source.open(encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines):
            id_, day, cause, cause_id, from_, to, amount, currency, exponent, provider, shares = row
            yield Fact(
                transfer_id=id_,
                day=date.fromisoformat(day),
                cause=cause,
                cause_id=cause_id,
                source=from_,
                target=to,
                amount=int(amount),
                currency=currency,
                exponent=int(exponent),
                provider=provider,
                shares=SharesJson.decode(shares) if shares else {},
            )


def entries(facts: Iterable[Fact], chart: Chart) -> Iterator[Entry]:
    for fact in facts:
        yield from entries_of(fact, chart)


def piece(entry: Entry) -> str:
    """Number an entry so that it can be found again: its journal, and its transfer."""
    return f"{entry.journal}-{entry.fact.transfer_id}"


def decimal(minor: int, exponent: int) -> str:
    """Write minor units as a plain decimal in major units."""
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(exponent + 1, "0")
    return sign + (f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits)


def rows(entry: Entry, language: Language) -> Iterator[list[str]]:
    """Write an entry as the rows of `COLUMNS`."""
    fact = entry.fact
    said = neutral(plain(wording.label(fact, language), _LABEL_LENGTH_MAX))
    for line in entry.lines:
        amount = decimal(abs(line.amount), fact.exponent)
        debit, credit = (amount, "") if line.amount > 0 else ("", amount)
        yield [
            *(entry.journal, fact.day.isoformat(), piece(entry)),
            *(line.account.code, neutral(line.account.label), said),
            *(debit, credit, fact.currency),
        ]


def write_hledger(found: Iterable[Entry], target: TextIO, language: Language) -> int:
    """Write entries in hledger's journal format; return how many."""
    target.write("decimal-mark .\n")
    count = 0
    for entry in found:
        count += 1
        fact = entry.fact
        said = plain(wording.label(fact, language), _LABEL_LENGTH_MAX).translate(_NO_COMMENT)
        lines = [f"\n{fact.day.isoformat()} * ({piece(entry)}) {said}\n"]
        for line in entry.lines:
            amount = f"{decimal(line.amount, fact.exponent)} {fact.currency}"
            lines.append(f"    {_hledger_name(line.account)}  {amount}\n")
        target.write("".join(lines))
    return count


# What begins a comment, a status, or a note of the payee, in that format.
_NO_COMMENT = str.maketrans({";": ",", "|": "/"})


def _hledger_name(account: Account) -> str:
    # Two spaces end a name, a colon begins a sub-account.
    name = plain(account.label).replace(":", " -").replace(";", ",")
    return f"{account.code} {' '.join(name.split())}"


def write_beancount(found: Iterable[Entry], target: TextIO, language: Language) -> int:
    """Write entries in beancount's format; return how many."""
    target.write('option "title" "Molam"\n')
    count = 0
    opened: set[str] = set()
    for entry in found:
        count += 1
        fact = entry.fact
        day = fact.day.isoformat()
        lines = []
        for line in entry.lines:
            name = _beancount_name(line.account)
            if name not in opened:
                opened.add(name)
                lines.append(f"{day} open {name}\n")
        said = _quoted(plain(wording.label(fact, language), _LABEL_LENGTH_MAX))
        lines.append(f'{day} * {said}\n  piece: "{piece(entry)}"\n')
        lines.extend(
            f"  {_beancount_name(line.account)}  {amount} {fact.currency}\n"
            for line in entry.lines
            for amount in [decimal(line.amount, fact.exponent)]
        )
        target.write("\n" + "".join(lines))
    return count


def _beancount_name(account: Account) -> str:
    ascii_ = unicodedata.normalize("NFKD", account.label).encode("ascii", "ignore").decode()
    name = _NOT_IN_NAMES.sub("-", ascii_).strip("-")
    root = _ROOTS.get(account.code[0], "Assets")
    return f"{root}:{account.code}-{name}" if name else f"{root}:{account.code}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
