"""Spreadsheets of any length: numbers are numbers, dates are dates, text is never a formula."""

from __future__ import annotations

import csv
import itertools
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from xml.sax.saxutils import escape

import xlsxwriter

from molam.platform.exports.cells import Kind, printable

SHEET_ROWS_MAX = 1_000_000
"""Of 1,048,576 that the format allows; what is more goes on in another sheet."""
CELL_LENGTH_MAX = 32_767

# Note [Two writers]
#
# XlsxWriter makes the workbook: its styles, its titles, its frozen row. Writing every
# cell through it took 22 s for 100,000 rows of 19 columns, so the rows are put into
# the finished sheet as text, which takes 4 s and no more memory.

_WRITTEN_AT_ONCE = 2_000
_WIDTHS: dict[Kind, int] = {"text": 22, "amount": 14, "number": 10, "moment": 19, "day": 12}
_MADE_AT = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_ZIPPED_AT = (2000, 1, 1, 0, 0, 0)
_DAYS_BEFORE = date(1899, 12, 30).toordinal()
_SECONDS_A_DAY = 86_400
_STYLE = re.compile(r' s="(\d+)"')
_SAMPLE = re.compile(r'<row r="2".*?</row>')
_DIMENSION = re.compile(r'<dimension ref="[^"]*"/>')

Cell = Callable[[str, str], str]
"""Writes one cell: where it stands, and what the raw file says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheets:
    """What is above the rows, how many there are, and what their sheet is called."""

    titles: Sequence[str]
    kinds: Sequence[Kind]
    name: str
    rows: int


def write_xlsx(source: Path, target: Path, sheets: Sheets, told: Callable[[int], None]) -> None:
    """
    Turn the raw CSV file *source* into a spreadsheet, row by row.

    Amounts are in major units with a point, moments and days as ISO 8601 writes them.
    """
    empty = target.with_suffix(".empty.xlsx")
    count = max(1, -(-sheets.rows // SHEET_ROWS_MAX))
    _make_book(empty, sheets, count)
    with (
        source.open(encoding="utf-8", newline="") as lines,
        zipfile.ZipFile(empty) as made,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as book,
    ):
        rows = csv.reader(lines)
        done = 0
        for part in made.namelist():
            entry = zipfile.ZipInfo(part, _ZIPPED_AT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            text = made.read(part)
            with book.open(entry, "w", force_zip64=True) as file:
                if not part.startswith("xl/worksheets/sheet"):
                    file.write(text)
                    continue
                here = min(SHEET_ROWS_MAX, sheets.rows - done)
                chunks = _filled(text.decode(), itertools.islice(rows, here), sheets, here)
                for batches, chunk in enumerate(chunks):
                    file.write(chunk.encode())
                    told(done + min(batches * _WRITTEN_AT_ONCE, here))
                done += here
    empty.unlink()


def _make_book(path: Path, sheets: Sheets, count: int) -> None:
    book = xlsxwriter.Workbook(
        str(path), {"strings_to_formulas": False, "strings_to_urls": False, "constant_memory": True}
    )
    # Fixed, so that equal rows give equal files.
    book.set_properties({"created": _MADE_AT})
    head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
    styles = {
        kind: book.add_format({"num_format": pattern})
        for kind, pattern in (
            ("amount", "#,##0"),
            ("cents", "#,##0.00"),
            ("number", "0"),
            ("moment", "yyyy-mm-dd hh:mm:ss"),
            ("day", "yyyy-mm-dd"),
        )
    }
    for number in range(1, count + 1):
        sheet = book.add_worksheet(sheets.name if number == 1 else f"{sheets.name} {number}")
        sheet.freeze_panes(1, 0)
        for column, kind in enumerate(sheets.kinds):
            sheet.set_column(column, column, _WIDTHS[kind])
        for column, title in enumerate(sheets.titles):
            sheet.write_string(0, column, title, head)
        # A row of samples, from which the numbers of the styles are read.
        for column, style in enumerate(styles.values()):
            sheet.write_number(1, column, 0, style)
        if sheets.titles:
            sheet.autofilter(0, 0, min(sheets.rows, SHEET_ROWS_MAX), len(sheets.titles) - 1)
    book.close()


def _filled(empty: str, rows: Iterator[list[str]], sheets: Sheets, count: int) -> Iterator[str]:
    sample = _SAMPLE.search(empty)
    assert sample is not None, "the sheet was made with a row of samples"
    numbers = _STYLE.findall(sample.group())
    columns = [_letters(index) for index in range(len(sheets.kinds))]
    whole = f'<dimension ref="A1:{columns[-1]}{count + 1}"/>'
    yield _DIMENSION.sub(whole, empty[: sample.start()])
    writers = list(zip(columns, _cells(sheets.kinds, numbers), strict=True))
    number = 2
    while True:
        batch = list(itertools.islice(rows, _WRITTEN_AT_ONCE))
        if not batch:
            break
        yield "".join(_row(row, at, writers) for at, row in enumerate(batch, start=number))
        number += len(batch)
    yield empty[sample.end() :]


def _row(row: list[str], number: int, writers: list[tuple[str, Cell]]) -> str:
    cells = "".join(
        write(f"{column}{number}", text)
        for text, (column, write) in zip(row, writers, strict=True)
        if text
    )
    return f'<row r="{number}">{cells}</row>'


def _cells(kinds: Sequence[Kind], numbers: Sequence[str]) -> list[Cell]:
    amount, cents, number, moment, day = numbers

    def of_amount(where: str, text: str) -> str:
        style = cents if "." in text else amount
        return f'<c r="{where}" s="{style}"><v>{text}</v></c>'

    def of_number(where: str, text: str) -> str:
        return f'<c r="{where}" s="{number}"><v>{text}</v></c>'

    def of_moment(where: str, text: str) -> str:
        seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
        serial = _serial(text) + seconds / _SECONDS_A_DAY
        return f'<c r="{where}" s="{moment}"><v>{serial!r}</v></c>'

    def of_day(where: str, text: str) -> str:
        return f'<c r="{where}" s="{day}"><v>{_serial(text)}</v></c>'

    known: dict[Kind, Cell] = {
        "text": _of_text,
        "amount": of_amount,
        "number": of_number,
        "moment": of_moment,
        "day": of_day,
    }
    return [known[kind] for kind in kinds]


def _of_text(where: str, text: str) -> str:
    shown = text if text.isprintable() else printable(text)
    if len(shown) > CELL_LENGTH_MAX:
        shown = shown[: CELL_LENGTH_MAX - 1] + "…"
    return f'<c r="{where}" t="inlineStr"><is><t xml:space="preserve">{escape(shown)}</t></is></c>'


def _serial(text: str) -> int:
    return date.fromisoformat(text[:10]).toordinal() - _DAYS_BEFORE


def _letters(index: int) -> str:
    """Name a column as spreadsheets do: A to Z, then AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
