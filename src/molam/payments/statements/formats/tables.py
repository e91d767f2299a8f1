"""Reads CSV and XLSX files into rows, within limits that are checked before anything unpacks."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator

from molam.payments.statements.formats import sheet_process
from molam.payments.statements.formats.columns import Cell, Table
from molam.payments.statements.model import (
    LINES_MAX,
    FileIsABomb,
    StatementMalformed,
    StatementTooLarge,
    StatementTypeRefused,
)

TIME_S = 30.0
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
            sheet_process.check_width(len(cells), reader.line_num)
            if any(len(cell) > sheet_process.CELL_LENGTH_MAX for cell in cells):
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
    # See Note [Workbooks are read elsewhere]
    command = [sys.executable, "-m", sheet_process.MODULE]
    # Without our environment: it needs no database and no secret.
    environ = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603
            command,
            input=sheet_process.ordered(content, sheet),
            capture_output=True,
            env=environ,
            timeout=TIME_S,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise StatementTooLarge(
            "The workbook takes too long to read; send a smaller one."
        ) from None
    except subprocess.CalledProcessError:
        raise StatementMalformed("The workbook cannot be read; save it again.") from None
    return Table("xlsx", sheet_process.rows_of(done.stdout))


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
