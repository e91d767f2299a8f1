"""Asking for a file, and writing it."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from molam.kernel.clock import Clock, Instant
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Outage
from molam.merchant import report_files, trail
from molam.merchant import report_store as store
from molam.merchant.report_model import (
    KEPT,
    REUSED,
    UNFINISHED_MAX,
    Asked,
    ExportsBusy,
    StatementRefused,
    check,
)
from molam.merchant.report_store import ExportRow
from molam.platform import jobs
from molam.platform.db import Database, Tx, assert_no_transaction
from molam.platform.exports.child import ChildRefused
from molam.platform.exports.copying import Written
from molam.platform.jobs import Job
from molam.platform.web import Caller

EXPORT = "merchant.export"

_PURGED_AT_ONCE = 200
_KEPT_DAYS = 90
_CHUNK_BYTES = 5 * 1024 * 1024

# What the trail calls the thing that was written out.
_RESOURCES = {
    "transactions": "transaction",
    "refunds": "transaction",
    "payouts": "payout",
    "payout_lines": "payout",
    "disputes": "dispute",
}


class WriteExport(msgspec.Struct, frozen=True):
    """Arguments of the job of that name, version 1."""

    merchant_id: str
    export_id: str


async def ask(tx: Tx, caller: Caller, asked: Asked, *, day: str, now: Instant) -> ExportRow:
    """
    Let a file be written, or find the one that was just asked for alike.

    Raises:
        ExportRefused: nothing could be written like this.
        ExportsBusy: as many as may wait for this merchant do.
    """
    check(asked)
    merchant_id = caller.merchant
    fingerprint = hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).digest()
    same = {"merchant_id": merchant_id, "fingerprint": fingerprint}
    found = await tx.one(store.FIND_SAME, **same, seconds=REUSED.total_seconds())
    if found is not None:
        return found
    waiting = await tx.one(store.COUNT_UNFINISHED, merchant_id=merchant_id)
    assert waiting is not None
    if waiting.count >= UNFINISHED_MAX:
        raise ExportsBusy(f"At most {UNFINISHED_MAX} are written at a time; wait for one to end.")
    id_ = uuid7(now)
    row = await tx.one(
        store.ADD,
        **same,
        id=id_,
        kind=asked.kind,
        format=asked.format,
        asked=msgspec.to_builtins(asked),
        file_name=asked.file_name(day),
        requested_by=caller.subject,
    )
    if row is None:
        # Somebody asked the same at this very moment, and their row is there by now.
        found = await tx.one(store.FIND_SAME, **same, seconds=2 * REUSED.total_seconds())
        assert found is not None
        return found
    order = WriteExport(merchant_id, id_.hex)
    await jobs.enqueue(tx, EXPORT, order, once=f"export/{id_.hex}")
    await trail.record(
        tx,
        caller,
        action_type=f"export_{asked.format}",
        resource_type=_RESOURCES.get(asked.kind, "settings"),
        resource_id=id_.hex,
        before={},
        after=msgspec.to_builtins(asked),
    )
    return row


@dataclass(frozen=True, slots=True)
class Scribe:
    """Writes the files of the job `EXPORT` into *files*."""

    files: ObjectStore
    clock: Clock

    async def run(self, job: Job, *, attempts_max: int) -> None:
        order = msgspec.json.decode(job.payload, type=WriteExport)
        merchant_id, id_ = order.merchant_id, UUID(order.export_id)
        try:
            reason = await self._write(job, merchant_id, id_)
        except Exception:
            # It is tried again, and a person looks at it after the last time; the
            # merchant need not wait for that.
            if job.attempt >= attempts_max:
                await _fail(job.db, merchant_id, id_, "failed")
            raise
        if reason is not None:
            await _fail(job.db, merchant_id, id_, reason)

    async def _write(self, job: Job, merchant_id: str, id_: UUID) -> str | None:
        """Write the file, or say why there is none."""
        async with job.db.transaction("merchant.begin_export") as tx:
            await tx.run(store.BEGIN, merchant_id=merchant_id, id=id_)
            row = await tx.one(store.FIND, merchant_id=merchant_id, id=id_)
        if row is None or row.state != "running":
            return None
        with tempfile.TemporaryDirectory(prefix="molam-export-") as folder:
            try:
                path, written = await report_files.write(
                    job.db, row, Path(folder), now=self.clock.now()
                )
            except ChildRefused as refused:
                return str(refused)
            except StatementRefused as refused:
                return "month-not-over" if "not over" in refused.detail else "unbalanced"
            kept_at = f"exports/{id_.hex}/{row.file_name}"
            await _keep(self.files, path, kept_at)
        await _finish(job, row, kept_at, written)
        return None


async def _finish(job: Job, row: ExportRow, kept_at: str, written: Written) -> None:
    async with job.effect() as tx:
        await tx.run(
            store.FINISH,
            merchant_id=row.merchant_id,
            id=row.id,
            rows=written.rows,
            file_path=kept_at,
            bytes=written.bytes,
            sha256=written.sha256,
            kept_s=KEPT.total_seconds(),
        )


async def _fail(db: Database, merchant_id: str, id_: UUID, reason: str) -> None:
    async with db.transaction("merchant.fail_export") as tx:
        await tx.run(store.FAIL, merchant_id=merchant_id, id=id_, reason=reason)


async def _keep(files: ObjectStore, path: Path, kept_at: str) -> None:
    assert_no_transaction("storing a file")
    try:
        await obstore.put_async(
            files, kept_at, path, chunk_size=_CHUNK_BYTES, max_concurrency=2, use_multipart=True
        )
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error


async def purge(db: Database, files: ObjectStore) -> None:
    """Remove the files whose time has come, and forget what has long been over."""
    more = True
    while more:
        async with db.transaction("merchant.expire_exports") as tx:
            gone = await tx.all(store.EXPIRE, limit=_PURGED_AT_ONCE)
        for each in gone:
            try:
                await obstore.delete_async(files, each.file_path)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise Outage("file storage") from error
        more = len(gone) == _PURGED_AT_ONCE
    async with db.transaction("merchant.purge_exports") as tx:
        await tx.run(store.GIVE_UP)
        await tx.run(store.PURGE, days=_KEPT_DAYS)
