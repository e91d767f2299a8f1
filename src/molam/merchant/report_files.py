"""The making of one file: rows by COPY, and a process of its own for what is not CSV."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from molam.kernel.clock import Instant
from molam.merchant import report_process, report_statement, report_tables
from molam.merchant import report_store as store
from molam.merchant.accounting import mappings
from molam.merchant.report_model import PDF_ROWS_MAX, Asked
from molam.merchant.report_process import Order
from molam.merchant.report_store import ExportRow, MerchantRow
from molam.platform.db import Database, Tx
from molam.platform.exports import child
from molam.platform.exports.cells import titles
from molam.platform.exports.copying import Layout, Written, copy_rows, digest_of

_TIMEOUT_S = 240.0
_TOLD_EACH_S = 0.5


@dataclass
class Progress:
    """How many rows are done, told to whoever waits by somebody with a connection of their own."""

    rows: int = 0

    async def note(self, rows: int) -> None:
        self.rows = rows


async def write(
    db: Database, row: ExportRow, folder: Path, *, now: Instant
) -> tuple[Path, Written]:
    """
    Write the file of an export into *folder*.

    Raises:
        child.ChildRefused: there are more rows than the format is for.
        StatementRefused: the month is not over, or does not balance.
        child.ChildFailed, TimeoutError: it went wrong, and may not another time.
    """
    asked = msgspec.convert(row.asked, Asked)
    progress = Progress()
    await _count(db, row, asked)
    async with _told(db, row, progress):
        if asked.kind == "statement":
            return await _statement(db, row, asked, to=folder, now=now)
        return await _table(db, row, asked, to=folder, progress=progress)


async def _count(db: Database, row: ExportRow, asked: Asked) -> None:
    """Tell how many rows to expect, where that can be had for little."""
    async with _reading(db, row.merchant_id) as tx:
        total = await report_tables.count_rows(tx, asked, merchant_id=row.merchant_id)
    if total is None:
        return
    if asked.format == "pdf" and total > PDF_ROWS_MAX:
        raise child.ChildRefused(report_process.TOO_MANY_ROWS)
    async with db.transaction("merchant.export_total") as tx:
        await tx.run(store.SET_TOTAL, merchant_id=row.merchant_id, id=row.id, rows=total)


async def _table(
    db: Database, row: ExportRow, asked: Asked, *, to: Path, progress: Progress
) -> tuple[Path, Written]:
    target = to / row.file_name
    columns = report_tables.COLUMNS[asked.kind]
    is_final = asked.format == "csv" and asked.kind != "journal"
    raw = target if is_final else to / "raw.csv"
    layout = _layout(asked) if is_final else Layout()
    async with _reading(db, row.merchant_id) as tx:
        shop = await _shop(tx, row.merchant_id)
        chosen = report_tables.selection(asked, merchant_id=row.merchant_id, timezone=shop.timezone)
        copied = await copy_rows(tx, chosen, raw, layout=layout, progress=progress.note)
        chart = None
        if asked.kind == "journal":
            found = await mappings.chart_of(tx, row.merchant_id, asked.language)
            chart = {slot: (each.code, each.label) for slot, each in found.accounts.items()}
    if is_final:
        return target, copied
    name = report_tables.TITLES[asked.kind][asked.language == "fr"]
    order = Order(
        format=asked.format,
        language=asked.language,
        source=str(raw),
        target=str(target),
        made_at=row.created_at,
        rows=copied.rows,
        titles=titles(columns, asked.language),
        kinds=[each.kind for each in columns],
        printed=[each.printed for each in columns],
        name=name,
        chart=chart,
        document=_list_document(shop, asked, name, copied.rows) if asked.format == "pdf" else None,
    )
    return await _by_child(order, target, copied.rows, progress)


async def _statement(
    db: Database, row: ExportRow, asked: Asked, *, to: Path, now: Instant
) -> tuple[Path, Written]:
    assert asked.month is not None
    assert asked.currency is not None
    target = to / row.file_name
    async with _reading(db, row.merchant_id) as tx:
        shop = await _shop(tx, row.merchant_id)
        found = await report_statement.statement_of(
            tx,
            merchant_id=row.merchant_id,
            currency=asked.currency,
            month=asked.month,
            timezone=shop.timezone,
            now=now,
        )
    order = Order(
        format="pdf",
        language=asked.language,
        source="",
        target=str(target),
        made_at=row.created_at,
        rows=len(found.payouts),
        titles=[],
        kinds=[],
        name="",
        document=report_statement.document(found, shop, asked.language),
    )
    return await _by_child(order, target, len(found.movements), Progress())


async def _by_child(
    order: Order, target: Path, rows: int, progress: Progress
) -> tuple[Path, Written]:
    await child.run_child(
        report_process.MODULE, order, timeout_s=_TIMEOUT_S, progress=progress.note
    )
    size, sha256 = await asyncio.to_thread(digest_of, target)
    return target, Written(rows, size, sha256)


def _layout(asked: Asked) -> Layout:
    """Lay CSV out as spreadsheets of the reader's country expect it."""
    french = asked.language == "fr"
    columns = report_tables.COLUMNS[asked.kind]
    return Layout(
        titles=titles(columns, asked.language), delimiter=";" if french else ",", marked=french
    )


def _list_document(shop: MerchantRow, asked: Asked, name: str, rows: int) -> dict[str, object]:
    empty = {"en": "There is nothing in this list.", "fr": "Cette liste est vide."}
    lines = {"en": f"{rows} lines", "fr": f"{rows} lignes"}
    return {
        "template": "rows.typ",
        **report_statement.head(shop, asked.language, title=name),
        "subtitle": f"{lines[asked.language]} · {shop.timezone}",
        "words": {"empty": empty[asked.language]},
    }


async def _shop(tx: Tx, merchant_id: str) -> MerchantRow:
    shop = await tx.one(store.FIND_MERCHANT, merchant_id=merchant_id)
    assert shop is not None, "an export belongs to a merchant"
    return shop


@contextlib.asynccontextmanager
async def _reading(db: Database, merchant_id: str) -> AsyncIterator[Tx]:
    """
    Read one snapshot behind the same wall as the merchant's own pages.

    A worker sees every merchant; what it writes out for one must not depend on that no
    statement ever forgets to say which.
    """
    async with db.transaction(
        "merchant.export", merchant_id=merchant_id, isolation="repeatable_read", readonly=True
    ) as tx:
        await tx.connection.execute(
            "select set_config('role', 'molam_web', true),"
            " set_config('statement_timeout', '180s', true)"
        )
        yield tx


@contextlib.asynccontextmanager
async def _told(db: Database, row: ExportRow, progress: Progress) -> AsyncIterator[None]:
    """Write down now and then how far it is, while the work inside goes on."""

    async def tell() -> None:
        before = 0
        while True:
            await asyncio.sleep(_TOLD_EACH_S)
            if progress.rows != before:
                before = progress.rows
                async with db.transaction("merchant.export_progress") as tx:
                    await tx.run(
                        store.SET_PROGRESS, merchant_id=row.merchant_id, id=row.id, rows=before
                    )

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        # Nobody depends on the progress: if it could not be told, the work goes on.
        await asyncio.gather(telling, return_exceptions=True)
