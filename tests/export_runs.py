"""Files asked for and written without a queue, as a worker would write them."""

from __future__ import annotations

import csv
import io
import itertools
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import obstore
from obstore.store import MemoryStore, ObjectStore

from molam.kernel.clock import ManualClock
from molam.merchant import report_commands, report_store
from molam.merchant.report_commands import EXPORT, Scribe, WriteExport
from molam.merchant.report_model import Asked
from molam.merchant.report_store import ExportRow
from molam.platform.db import Database
from molam.platform.jobs import Job
from molam.platform.web import Caller

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
_ids = itertools.count(1)


def a_caller(merchant_id: str = "merchant-123", subject: str = "awa.diop") -> Caller:
    return Caller(
        subject=subject,
        name="Awa Diop",
        merchant_id=merchant_id,
        roles=frozenset({"merchant_admin"}),
        locale="fr",
        acr="",
        auth_time=None,
        csrf=None,
        via="bearer",
        request_id="tests",
        ip="127.0.0.1",
        user_agent="tests",
    )


async def asked_for(db: Database, asked: Asked, merchant_id: str = "merchant-123") -> ExportRow:
    """Ask for a file as an endpoint does."""
    async with db.transaction("tests.ask", merchant_id=merchant_id) as tx:
        return await report_commands.ask(
            tx, a_caller(merchant_id), asked, day="2026-11-16", now=datetime.now(UTC)
        )


async def written(
    worker_db: Database, row: ExportRow, files: ObjectStore, *, attempt: int = 1
) -> ExportRow:
    """Write a file as a worker does, and return its row as it is then."""
    payload = msgspec.json.encode(WriteExport(row.merchant_id, row.id.hex))
    job = Job(next(_ids), EXPORT, payload, attempt, worker_db)
    await Scribe(files, ManualClock(NOW)).run(job, attempts_max=4)
    return await found(worker_db, row.merchant_id, row.id)


async def found(db: Database, merchant_id: str, id_: UUID) -> ExportRow:
    async with db.transaction("tests.found", merchant_id=merchant_id) as tx:
        row = await tx.one(report_store.FIND, merchant_id=merchant_id, id=id_)
    assert row is not None
    return row


async def file_of(
    db: Database, worker_db: Database, asked: Asked, merchant_id: str = "merchant-123"
) -> bytes:
    """Ask for a file, write it, and return its bytes."""
    files = MemoryStore()
    row = await written(worker_db, await asked_for(db, asked, merchant_id), files)
    assert row.state == "done", row.reason
    assert row.file_path is not None
    content = bytes(await (await obstore.get_async(files, row.file_path)).bytes_async())
    assert len(content) == row.bytes
    return content


def rows_of(content: bytes, delimiter: str = ",") -> list[dict[str, str]]:
    """Read a CSV file back, as a spreadsheet would."""
    text = content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def a_list(**changed: Any) -> Asked:
    return Asked(**{"kind": "transactions", "format": "csv", "language": "en", **changed})
