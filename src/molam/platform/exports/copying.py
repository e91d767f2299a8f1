"""Rows straight from PostgreSQL into a CSV file: they never become Python objects."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from molam.platform.db import Query, Tx

Delimiter = Literal[",", ";"]

BYTE_ORDER_MARK = "\ufeff"
"""By which Excel knows UTF-8."""

_TOLD_EACH_BYTES = 1024 * 1024

RowT = TypeVar("RowT")

Progress = Callable[[int], Awaitable[None]]
"""Told now and then how many rows are done."""


@dataclass(frozen=True, slots=True)
class Written:
    """A finished file."""

    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a CSV file looks; without titles it begins with its first row."""

    titles: Sequence[str] = ()
    delimiter: Delimiter = ","
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """A statement with its arguments, whatever it selects."""

    text: str
    arguments: list[object]

    @classmethod
    def of(cls, query: Query[RowT], **params: object) -> Selection:
        return cls(query.text, query.arguments(params))


RAW = Layout()
"""For our own programs to read on."""


async def copy_rows(
    tx: Tx,
    selection: Selection,
    to: Path,
    *,
    layout: Layout = RAW,
    progress: Progress | None = None,
) -> Written:
    """
    Write what *selection* selects into the file *to*, by COPY, as one snapshot.

    Everything selected is text or a number: quoting is COPY's, and neutralising
    formulas is the statement's (platform.export_text).
    """
    digest = hashlib.sha256()
    size = told = lines = 0
    with to.open("wb") as file:

        async def keep(chunk: bytes) -> None:
            nonlocal size, told, lines
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
            if progress is not None and size - told >= _TOLD_EACH_BYTES:
                told = size
                await progress(lines)

        head = _head(layout)
        if head:
            await keep(head)
            lines = 0
        status = await tx.connection.copy_from_query(
            selection.text,
            *selection.arguments,
            output=keep,
            format="csv",
            delimiter=layout.delimiter,
            encoding="utf-8",
        )
    return Written(int(status.rpartition(" ")[2]), size, digest.hexdigest())


def _head(layout: Layout) -> bytes:
    text = io.StringIO()
    if layout.marked:
        text.write(BYTE_ORDER_MARK)
    if layout.titles:
        csv.writer(text, delimiter=layout.delimiter, lineterminator="\n").writerow(layout.titles)
    return text.getvalue().encode()


def digest_of(path: Path) -> tuple[int, str]:
    """Return a file's size and SHA-256."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_TOLD_EACH_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()
