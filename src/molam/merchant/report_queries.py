"""Questions about a merchant's files."""

from __future__ import annotations

from uuid import UUID

from molam.merchant import report_store as store
from molam.merchant.report_model import ExportAbsent
from molam.merchant.report_store import ExportRow
from molam.platform.db import Database

LISTED_MAX = 50


async def export(db: Database, *, merchant_id: str, id_: UUID) -> ExportRow:
    """
    Raises:
        ExportAbsent: the merchant asked for no such file.
    """
    async with db.transaction("merchant.export", merchant_id=merchant_id, readonly=True) as tx:
        row = await tx.one(store.FIND, merchant_id=merchant_id, id=id_)
    if row is None:
        raise ExportAbsent("Check the export's id, or ask for the file again.")
    return row


async def exports(db: Database, *, merchant_id: str, limit: int = LISTED_MAX) -> list[ExportRow]:
    """List the files a merchant asked for, newest first."""
    async with db.transaction("merchant.exports", merchant_id=merchant_id, readonly=True) as tx:
        return await tx.all(store.LIST, merchant_id=merchant_id, limit=limit)


async def months(db: Database, *, merchant_id: str, timezone: str) -> list[store.MonthRow]:
    """List the months that have a statement, newest first."""
    async with db.transaction("merchant.months", merchant_id=merchant_id, readonly=True) as tx:
        return await tx.all(store.LIST_MONTHS, merchant_id=merchant_id, timezone=timezone)
