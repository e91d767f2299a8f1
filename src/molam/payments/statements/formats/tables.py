"""Reads CSV and XLSX files into rows, within limits that are checked before anything unpacks."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import python_calamine

from molam.payments.statements.formats.columns import Cell, Table
from molam.payments.statements.model import (
    LINES_MAX,
    FileIsABomb,
    StatementMalformed,
    StatementTooLarge,
    StatementTypeRefused,
)

COLUMNS_MAX = 64
CELL_LENGTH_MAX = 4_000
ENTRIES_MAX = 500
UNPACKED_BYTES_MAX = 200 * 1024 * 1024
RATIO_MAX = 200
"""A sheet of the same cell a million times packs at about 1:100."""
_RATIO_FROM_BYTES = 1024 * 1024
_BLOCK_BYTES = 256 * 1024
_SAMPLE_CHARS = 8_192
_DELIMITERS = ",;\t|"
_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
)


def read_csv(text: str) -> Table:
    """
    Read delimited text; the delimiter is the one its first lines have most of.

    Raises:
        StatementMalformed: not CSV, or a cell that is too long.
        StatementTooLarge: too many rows or columns.
    """
    delimiter = _delimiter(text[:_SAMPLE_CHARS])
    rows: list[tuple[int, list[Cell]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if len(rows) > LINES_MAX:
                raise StatementTooLarge(f"One file has at most {LINES_MAX:,} lines.")
            _check_width(len(cells), reader.line_num)
            if any(len(cell) > CELL_LENGTH_MAX for cell in cells):
                raise StatementMalformed(f"Line {reader.line_num} has a cell that is too long.")
            rows.append((reader.line_num, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise StatementMalformed(f"Line {reader.line_num} is not CSV: {error}.") from None
    return Table("csv", rows)


def _delimiter(sample: str) -> str:
    first = [line for line in sample.splitlines() if line.strip()][:5]
    return max(_DELIMITERS, key=lambda each: sum(line.count(each) for line in first))


def read_xlsx(content: bytes, sheet: str = "") -> Table:
    """
    Read one sheet of a workbook: the one named, or else the first that is visible.

    Raises:
        FileIsABomb: it would unpack into too much.
        StatementTypeRefused: it carries macros, or is another kind of file in a zip.
        StatementMalformed: a workbook that cannot be read.
        StatementTooLarge: too many rows or columns.
    """
    check_zip(content)
    try:
        with python_calamine.load_workbook(io.BytesIO(content)) as book:
            rows = _rows(book, sheet)
    except (python_calamine.CalamineError, python_calamine.PasswordError, ValueError) as error:
        raise StatementMalformed(f"The workbook cannot be read: {str(error)[:120]}.") from None
    return Table("xlsx", rows)


def _rows(book: python_calamine.CalamineWorkbook, sheet: str) -> list[tuple[int, list[Cell]]]:
    visible = [
        each.name
        for each in book.sheets_metadata
        if each.visible is python_calamine.SheetVisibleEnum.Visible
        and each.typ is python_calamine.SheetTypeEnum.WorkSheet
    ]
    if not visible:
        raise StatementMalformed("The workbook has no visible sheet.")
    if sheet and sheet not in visible:
        raise StatementMalformed(f"The workbook has no sheet {sheet[:40]!r}.")
    found = book.get_sheet_by_name(sheet or visible[0])
    if found.total_height > LINES_MAX + 1:
        raise StatementTooLarge(f"One file has at most {LINES_MAX:,} lines.")
    _check_width(found.total_width, 1)
    return [
        (number, [_cell(cell, number) for cell in cells])
        for number, cells in enumerate(found.to_python(skip_empty_area=False), start=1)
    ]


def _cell(cell: object, number: int) -> Cell:
    found: Cell
    match cell:
        case None | "":
            found = None
        case int() if not isinstance(cell, bool):
            found = Decimal(cell)
        case float():
            # A sheet keeps numbers as doubles; the shortest text of one is what was typed.
            found = Decimal(repr(cell))
        case date():
            found = cell
        case _:
            found = str(cell).strip()
            if len(found) > CELL_LENGTH_MAX:
                raise StatementMalformed(f"Line {number} has a cell that is too long.")
    return found


def _check_width(width: int, number: int) -> None:
    if width > COLUMNS_MAX:
        raise StatementTooLarge(f"Line {number} has more than {COLUMNS_MAX} columns.")


def check_zip(content: bytes) -> None:
    """
    Unpack a zip file into nothing, counting, before anybody else unpacks it.

    Raises:
        FileIsABomb: too many entries, too many bytes, or packed too well to be a sheet.
        StatementTypeRefused: no workbook, or one with macros.
        StatementMalformed: a zip file that is broken.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            names = {each.filename for each in entries}
            if len(entries) > ENTRIES_MAX:
                raise FileIsABomb(f"It holds {len(entries):,} files; a workbook has a few.")
            if any(name.lower().endswith(("vbaproject.bin", ".exe", ".dll")) for name in names):
                raise StatementTypeRefused("Workbooks with macros are not taken; save it as .xlsx.")
            if "[Content_Types].xml" not in names or not any(n.startswith("xl/") for n in names):
                raise StatementTypeRefused("It is a zip file, but no workbook (.xlsx).")
            if sum(each.file_size for each in entries) > UNPACKED_BYTES_MAX:
                raise FileIsABomb(f"It unpacks into more than {UNPACKED_BYTES_MAX:,} bytes.")
            unpacked = sum(_counted(archive, each) for each in entries)
    except _BAD_ZIP as error:
        raise StatementMalformed(f"The workbook is damaged: {str(error)[:120]}.") from None
    if unpacked > _RATIO_FROM_BYTES and unpacked > RATIO_MAX * len(content):
        raise FileIsABomb(f"It unpacks into {unpacked // max(1, len(content))} times its size.")


def _counted(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Count what an entry really unpacks into; its checksum shows a header that lies."""
    count = 0
    for block in _blocks(archive, entry):
        count += len(block)
        if count > UNPACKED_BYTES_MAX:
            raise FileIsABomb(f"It unpacks into more than {UNPACKED_BYTES_MAX:,} bytes.")
    return count


def _blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(entry) as file:
        while block := file.read(_BLOCK_BYTES):
            yield block
