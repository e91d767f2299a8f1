"""The process that makes spreadsheets, documents and journals of rows already read."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import msgspec

from molam.merchant.accounting import journal
from molam.merchant.accounting.chart import Account, Chart
from molam.merchant.accounting.entries import Entry
from molam.merchant.report_model import PDF_ROWS_MAX, Format
from molam.platform.exports import child
from molam.platform.exports.cells import Kind, as_written
from molam.platform.exports.copying import BYTE_ORDER_MARK
from molam.platform.exports.pdf import write_pdf
from molam.platform.exports.xlsx import Sheets, write_xlsx
from molam.platform.web.l10n import Formats, Language

MODULE = "molam.merchant.report_process"
TOO_MANY_ROWS = "too-many-rows"
DOCUMENTS = Path(__file__).parent / "documents"
# After so many characters without a blank, a line may be broken anywhere.
_LONG_WORD = re.compile(r"\S{20}(?=\S)")
MEMORY_BYTES_MAX = 2 * 1024**3
"""Addresses, of which typst's threads reserve most and use little."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to make of which file."""

    format: Format
    language: Language
    source: str
    target: str
    made_at: datetime
    rows: int
    titles: list[str]
    kinds: list[Kind]
    printed: list[bool] = msgspec.field(default_factory=list)
    """Which columns a document has."""
    name: str
    chart: dict[str, tuple[str, str]] | None = None
    """For a journal: the accounts, and then *source* holds facts."""
    document: dict[str, object] | None = None
    """For a document: its template is named by ``template``, and the rest is its data."""


def main() -> int:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    child.limit_memory(MEMORY_BYTES_MAX)
    source, target = Path(order.source), Path(order.target)
    if order.chart is not None:
        accounts = {slot: Account(*each) for slot, each in order.chart.items()}
        found = _counted(
            journal.entries(journal.read_facts(source), Chart(MappingProxyType(accounts)))
        )
        return _write_journal(order, found, target)
    if order.format == "pdf":
        return _write_document(order, source, target)
    write_xlsx(source, target, _sheets(order, order.rows), child.tell)
    return 0


def _sheets(order: Order, rows: int) -> Sheets:
    return Sheets(titles=order.titles, kinds=order.kinds, name=order.name, rows=rows)


def _counted(found: Iterator[Entry]) -> Iterator[Entry]:
    before = ""
    facts = 0
    for entry in found:
        if entry.fact.transfer_id != before:
            before = entry.fact.transfer_id
            facts += 1
            if facts % 1000 == 0:
                child.tell(facts)
        yield entry


def _write_journal(order: Order, found: Iterator[Entry], target: Path) -> int:
    if order.format in {"hledger", "beancount"}:
        write = journal.write_hledger if order.format == "hledger" else journal.write_beancount
        with target.open("w", encoding="utf-8", newline="\n") as text:
            write(found, text, order.language)
        return 0
    raw = target if order.format == "csv" else target.with_suffix(".lines")
    count = 0
    with raw.open("w", encoding="utf-8", newline="") as text:
        french = order.language == "fr"
        rows = csv.writer(
            text, delimiter=";" if french and raw is target else ",", lineterminator="\n"
        )
        if raw is target:
            text.write(BYTE_ORDER_MARK if french else "")
            rows.writerow(order.titles)
        for entry in found:
            for row in journal.rows(entry, order.language):
                rows.writerow(row)
                count += 1
    if raw is not target:
        write_xlsx(raw, target, _sheets(order, count), lambda _rows: None)
    return 0


def _write_document(order: Order, source: Path, target: Path) -> int:
    assert order.document is not None
    data = dict(order.document)
    template = data.pop("template")
    assert isinstance(template, str)
    if order.rows > PDF_ROWS_MAX:
        return child.refuse(TOO_MANY_ROWS)
    if order.titles:
        data["rows"] = list(_shown(source, order))
        data["columns"] = [
            {"title": title, "number": kind in {"amount", "number"}, "narrow": kind != "text"}
            for title, kind, printed in zip(order.titles, order.kinds, order.printed, strict=True)
            if printed
        ]
    write_pdf(DOCUMENTS / template, data, target, made_at=order.made_at, rows=order.rows)
    return 0


def _shown(source: Path, order: Order) -> Iterator[list[str]]:
    """Read rows as people do: no apostrophes, and numbers as their language writes them."""
    formats = Formats(order.language)
    with source.open(encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines):
            yield [_cell(text, kind, formats) for text, kind in zip(row, order.kinds, strict=True)]


def _cell(text: str, kind: Kind, formats: Formats) -> str:
    if not text or kind in {"number", "day"}:
        return text
    if kind == "moment":
        return text[:16]
    if kind == "amount":
        _, _, decimals = text.partition(".")
        return formats.number(Decimal(text), len(decimals))
    return _LONG_WORD.sub("\\g<0>\u200b", as_written(text))


if __name__ == "__main__":
    sys.exit(main())
