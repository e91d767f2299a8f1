"""The process that reads one sheet of a workbook, and may die of it without harm to anybody."""

from __future__ import annotations

import io
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec
import python_calamine

from molam.kernel.refusals import Refusal
from molam.payments.statements.formats.columns import Cell
from molam.payments.statements.model import LINES_MAX, StatementMalformed, StatementTooLarge
from molam.platform.exports import child

MODULE = "molam.payments.statements.formats.sheet_process"
COLUMNS_MAX = 64
CELL_LENGTH_MAX = 4_000
MEMORY_BYTES_MAX = 2 * 1024**3

# Note [Workbooks are read elsewhere]
#
# A sheet of two cells that say they are a million rows and sixteen thousand columns apart
# is a small file. The library makes room for every cell between them, and without that
# much memory it ends the whole process, which no handler can prevent. So that process is
# one that serves nobody, and it may not ask for much.


class Found(msgspec.Struct, frozen=True):
    """The rows, or why there are none. A cell is its kind and its text."""

    rows: list[list[tuple[Literal["number", "day", "moment", "text"], str] | None]] = []
    refused: Literal["", "malformed", "too_large"] = ""
    said: str = ""


def main() -> int:
    child.limit_memory(MEMORY_BYTES_MAX)
    try:
        sheet = msgspec.json.decode(sys.stdin.buffer.readline(), type=str)
        rows = _read(sys.stdin.buffer.read(), sheet)
        found = Found([[_written(cell) for cell in cells] for cells in rows])
    except StatementTooLarge as refusal:
        found = Found(refused="too_large", said=str(refusal))
    except StatementMalformed as refusal:
        found = Found(refused="malformed", said=str(refusal))
    sys.stdout.buffer.write(msgspec.json.encode(found))
    return 0


def ordered(content: bytes, sheet: str) -> bytes:
    """Return what the process reads: the sheet's name on a line of its own, and the file."""
    return msgspec.json.encode(sheet) + b"\n" + content


def rows_of(answer: bytes) -> list[tuple[int, list[Cell]]]:
    """
    Return the numbered rows of what the process answered.

    Raises:
        StatementMalformed, StatementTooLarge: it said no.
    """
    found = msgspec.json.decode(answer, type=Found)
    if found.refused:
        kinds: dict[str, type[Refusal]] = {
            "malformed": StatementMalformed,
            "too_large": StatementTooLarge,
        }
        raise kinds[found.refused](found.said)
    return [(no, [_cell_of(cell) for cell in cells]) for no, cells in enumerate(found.rows, 1)]


def check_width(width: int, number: int) -> None:
    if width > COLUMNS_MAX:
        raise StatementTooLarge(f"Line {number} has more than {COLUMNS_MAX} columns.")


def _read(content: bytes, sheet: str) -> list[list[Cell]]:
    try:
        with python_calamine.load_workbook(io.BytesIO(content)) as book:
            return _rows(book, sheet)
    except (python_calamine.CalamineError, python_calamine.PasswordError, ValueError) as error:
        raise StatementMalformed(f"The workbook cannot be read: {str(error)[:120]}.") from None


def _rows(book: python_calamine.CalamineWorkbook, sheet: str) -> list[list[Cell]]:
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
    check_width(found.total_width, 1)
    return [
        [_cell(cell, number) for cell in cells]
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


def _written(cell: Cell) -> tuple[Literal["number", "day", "moment", "text"], str] | None:
    match cell:
        case None:
            return None
        case Decimal():
            return ("number", str(cell))
        case datetime():
            return ("moment", cell.isoformat())
        case date():
            return ("day", cell.isoformat())
        case _:
            return ("text", cell)


def _cell_of(written: tuple[str, str] | None) -> Cell:
    match written:
        case None:
            return None
        case ("number", text):
            return Decimal(text)
        case ("moment", text):
            return datetime.fromisoformat(text)
        case ("day", text):
            return date.fromisoformat(text)
        case (_, text):
            return text


if __name__ == "__main__":
    sys.exit(main())
