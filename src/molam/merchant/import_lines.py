"""Reads a hostile file line by line, in bounded memory."""

from __future__ import annotations

import codecs
import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from molam.kernel.refusals import Kind, Refusal
from molam.payments.statements.formats import tables
from molam.payments.statements.formats.columns import Cell

LINE_BYTES_MAX = 64 * 1024
LINES_MAX = 1_000_000
"""An import remembers each id of a file, some 200 bytes each, to notice repetitions."""
_BLOCK_BYTES = 64 * 1024
_DELIMITERS = ",;\t"
WORKBOOK_BYTES_MAX = 20 * 1024 * 1024
_WORKBOOK = b"PK\x03\x04"
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class FileMalformed(Refusal):
    code = "import-file-malformed"
    kind = Kind.MALFORMED
    title = "This file cannot be imported"


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it is in the file. *refused* says why it cannot even be taken apart."""

    number: int
    cells: tuple[str, ...] = ()
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A CSV file whose first line names its columns."""

    path: Path
    columns: tuple[str, ...]
    delimiter: str
    sha256: str
    bytes: int
    rows: tuple[Line, ...] | None = None
    """Of a workbook, which is read at once; text is read line by line."""


def open_sheet(path: Path) -> Sheet:
    """
    Read the header and the fingerprint of a file.

    Raises:
        FileMalformed: not a readable file, empty, another encoding, or a header
            without usable names.
        FileIsABomb, StatementTypeRefused, ...: a workbook that cannot be taken.
    """
    try:
        fingerprint, size, start = _fingerprint(path)
    except OSError as error:
        raise FileMalformed(f"{path.name} cannot be read: {error.strerror}.") from None
    if start.startswith(_WORKBOOK):
        return _open_workbook(path, fingerprint, size)
    for mark, encoding in _OTHER_ENCODINGS.items():
        if start.startswith(mark):
            raise FileMalformed(f"The file is {encoding}; save it as CSV UTF-8.")
    header = next(_raw_lines(path), None)
    if header is None:
        raise FileMalformed("The file is empty; its first line should name the columns.")
    text = _decoded(header[1])
    delimiter = max(_DELIMITERS, key=text.count) if isinstance(text, str) else ","
    line = _line(1, header[1], delimiter)
    if line.refused is not None:
        raise FileMalformed(f"The first line should name the columns, but {line.refused}.")
    columns = tuple(cell.strip() for cell in line.cells)
    if not columns or not all(columns) or len(set(columns)) != len(columns):
        raise FileMalformed("Each column needs a name of its own in the first line.")
    return Sheet(path, columns, delimiter, fingerprint, size)


def _open_workbook(path: Path, fingerprint: str, size: int) -> Sheet:
    """Read the first visible sheet of an XLSX file, within the limits of statements."""
    if size > WORKBOOK_BYTES_MAX:
        raise FileMalformed(f"A workbook has at most {WORKBOOK_BYTES_MAX // 1024**2} MB; use CSV.")
    table = tables.read_xlsx(path.read_bytes())
    rows = [
        Line(number, tuple(_written(cell) for cell in cells))
        for number, cells in table.rows
        if any(cell is not None for cell in cells)
    ]
    if not rows:
        raise FileMalformed("The file is empty; its first line should name the columns.")
    columns = tuple(cell.strip() for cell in rows[0].cells)
    if not all(columns) or len(set(columns)) != len(columns):
        raise FileMalformed("Each column needs a name of its own in the first line.")
    return Sheet(path, columns, "", fingerprint, size, tuple(rows[1:]))


def _written(cell: Cell) -> str:
    """Write a cell as a CSV file would have it."""
    if isinstance(cell, Decimal):
        return f"{cell.normalize():f}"
    return "" if cell is None else str(cell)


def _fingerprint(path: Path) -> tuple[str, int, bytes]:
    """Return the SHA-256, the length and the first bytes of a file, counting its lines."""
    digest = hashlib.sha256()
    size = breaks = 0
    start = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            start = start or block[:4]
            digest.update(block)
            size += len(block)
            breaks += block.count(b"\n")
            if breaks > LINES_MAX:
                raise FileMalformed(f"Split the file: one has at most {LINES_MAX:,} lines.")
    return digest.hexdigest(), size, start


def lines(sheet: Sheet) -> Iterator[tuple[Line, int]]:
    """
    Yield each line after the header, and how many bytes of the file are behind it.

    A row is one line: a quote that is still open at its end is an error of that
    line alone, so that it cannot swallow the good ones after it. Empty lines count
    but are not yielded.
    """
    if sheet.rows is not None:
        for at, row in enumerate(sheet.rows, start=1):
            yield row, sheet.bytes * at // len(sheet.rows)
        return
    behind = 0
    for number, raw in enumerate(_raw_lines(sheet.path), start=1):
        behind += raw[0]
        if number == 1 or raw[1] == b"":
            continue
        line = _line(number, raw[1], sheet.delimiter)
        if line.refused is None and len(line.cells) != len(sheet.columns):
            reason = f"it has {len(line.cells)} cells and the header has {len(sheet.columns)}"
            line = Line(number, refused=reason)
        yield line, behind


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield the length of each line, and its bytes without the ending; None if too long."""
    held = b""
    length = 0
    is_first = True
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            if is_first:
                block_start = block.removeprefix(codecs.BOM_UTF8)
                length = len(block) - len(block_start)
                block, is_first = block_start, False
            *ended, rest = block.split(b"\n")
            for piece in ended:
                length += len(piece) + 1
                whole = held + piece
                yield length, whole.removesuffix(b"\r") if _is_short(length) else None
                held, length = b"", 0
            length += len(rest)
            held = held + rest if _is_short(length) else b""
    if length:
        yield length, held.removesuffix(b"\r") if _is_short(length) else None


def _is_short(length: int) -> bool:
    return length <= LINE_BYTES_MAX


def _line(number: int, raw: bytes | None, delimiter: str) -> Line:
    text = _decoded(raw)
    if isinstance(text, _Refused):
        return Line(number, refused=text.reason)
    try:
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            return Line(number, refused="a quote is never closed on this line")
        return Line(number, refused=f"it is not CSV ({error})")
    return Line(number, tuple(rows[0]) if rows else ())


@dataclass(frozen=True, slots=True)
class _Refused:
    reason: str


def _decoded(raw: bytes | None) -> str | _Refused:
    if raw is None:
        return _Refused(f"it is longer than {LINE_BYTES_MAX // 1024} KiB")
    if b"\x00" in raw:
        return _Refused("it holds a NUL character")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return _Refused(f"it is not UTF-8 at byte {error.start + 1}; save the file as CSV UTF-8")
