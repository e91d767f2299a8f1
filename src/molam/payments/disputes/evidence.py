"""Files that speak for a merchant in a dispute: kept apart, written down, given out safely."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from molam.kernel.ids import uuid7
from molam.kernel.refusals import Kind, Outage, Refusal
from molam.payments.disputes import evidence_store as store
from molam.payments.disputes import model, queries
from molam.payments.disputes.commands import current_files
from molam.payments.disputes.evidence_store import EvidenceRow, UploadRow
from molam.payments.disputes.files import (
    BYTES_MAX,
    FILES_MAX,
    TOTAL_BYTES_MAX,
    FileRefused,
    safe_name,
    sniff,
)
from molam.payments.disputes.model import Dispute
from molam.payments.disputes.recording import Act, note
from molam.platform.db import Database, Tx, assert_no_transaction

LINK_TTL_S = 15 * 60
DESCRIPTION_LENGTH_MAX = 500
STALE_BATCH_MAX = 100


class EvidenceAbsent(Refusal):
    code = "dispute-file-absent"
    kind = Kind.ABSENT
    title = "No such file"


class UploadAbsent(Refusal):
    code = "dispute-upload-absent"
    kind = Kind.ABSENT
    title = "Nothing was left under this link"


class ChecksumDiffers(Refusal):
    code = "dispute-checksum-differs"
    kind = Kind.CONFLICT
    title = "The file is not the one that was announced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A file as somebody sent it; the name is whatever they call it."""

    kind: str
    file_name: str
    content: bytes
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file that the store has and nothing refers to yet."""

    offered: Offered
    media_type: str
    sha256: str
    path: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody may leave a file, and for how long."""

    id: UUID
    path: str
    ttl_s: int


async def check(tx: Tx, *, merchant_id: str, id_: str) -> Dispute:
    """
    Refuse early what would be refused later, before anything is stored.

    Raises:
        DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
        FileRefused: as many files as a dispute may have.
    """
    dispute, now = await queries.lock(tx, merchant_id=merchant_id, id_=id_)
    model.check_answerable(dispute, now=now)
    files = await _files(tx, dispute)
    if len(files) >= FILES_MAX:
        raise FileRefused(f"An answer has at most {FILES_MAX} files.", files_max=FILES_MAX)
    return dispute


async def keep(files: ObjectStore, dispute: Dispute, offered: Offered) -> Kept:
    """
    Put a file into the store, under a path that nothing the sender wrote is part of.

    Raises:
        FileRefused: of a kind or size that is not taken.
        Outage: the store does not answer.
    """
    assert_no_transaction("storing a file")
    media_type = sniff(offered.content)
    path = _path(dispute)
    try:
        await obstore.put_async(files, path, offered.content)
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error
    sha256 = hashlib.sha256(offered.content).hexdigest()
    return Kept(offered=offered, media_type=media_type, sha256=sha256, path=path)


async def forget(files: ObjectStore, path: str) -> None:
    """Remove a file that nothing refers to; one that stays by accident harms nobody."""
    assert_no_transaction("removing a file")
    try:
        await obstore.delete_async(files, path)
    except (BaseError, OSError):
        return


async def add(
    tx: Tx, *, merchant_id: str, id_: str, kept: Kept, by: str
) -> tuple[EvidenceRow, bool]:
    """
    Write down a kept file as evidence; the same bytes twice are one file.

    The flag tells whether it is new.

    Raises:
        DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
        FileRefused: too many files, or too much of them.
    """
    dispute, now = await queries.lock(tx, merchant_id=merchant_id, id_=id_)
    model.check_answerable(dispute, now=now)
    files = await _files(tx, dispute)
    same = next((row for row in files if row.sha256 == kept.sha256), None)
    if same is not None:
        return same, False
    size = len(kept.offered.content)
    if len(files) >= FILES_MAX:
        raise FileRefused(f"An answer has at most {FILES_MAX} files.", files_max=FILES_MAX)
    if sum(row.size_bytes for row in files) + size > TOTAL_BYTES_MAX:
        raise FileRefused(
            f"The files of an answer have at most {TOTAL_BYTES_MAX} bytes together.",
            limit_bytes=TOTAL_BYTES_MAX,
        )
    row = await tx.one(
        store.APPEND_EVIDENCE,
        id=uuid7(now),
        merchant_id=merchant_id,
        dispute_id=id_,
        stage=dispute.stage,
        kind=kept.offered.kind,
        file_name=safe_name(kept.offered.file_name, kept.media_type),
        media_type=kept.media_type,
        size_bytes=size,
        sha256=kept.sha256,
        path=kept.path,
        description=kept.offered.description,
        by=by,
    )
    assert row is not None
    details = {"file": row.file_name, "kind": row.kind, "sha256": row.sha256}
    await note(tx, dispute, Act("evidence_added", "person", by, details))
    return row, True


async def remove(tx: Tx, *, merchant_id: str, id_: str, file_id: UUID, by: str) -> EvidenceRow:
    """
    Take a file out of what will be sent. It stays on record, marked removed.

    Raises:
        DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
        EvidenceAbsent: the dispute has no such file, or it is out already.
    """
    dispute, now = await queries.lock(tx, merchant_id=merchant_id, id_=id_)
    model.check_answerable(dispute, now=now)
    row = next((each for each in await _files(tx, dispute) if each.id == file_id), None)
    if row is None:
        raise EvidenceAbsent("Reload the dispute to see its files.")
    await tx.run(store.SET_REMOVED, merchant_id=merchant_id, dispute_id=id_, id=file_id, by=by)
    await note(tx, dispute, Act("evidence_removed", "person", by, {"file": row.file_name}))
    return row


async def find(tx: Tx, *, merchant_id: str, id_: str, file_id: UUID) -> EvidenceRow:
    """
    Raises:
        EvidenceAbsent: the merchant's dispute has no such file.
    """
    rows = await tx.all(store.LIST_EVIDENCE, merchant_id=merchant_id, dispute_id=id_)
    row = next((each for each in rows if each.id == file_id), None)
    if row is None:
        raise EvidenceAbsent("Reload the dispute to see its files.")
    return row


async def read(files: ObjectStore, path: str, *, bytes_max: int = BYTES_MAX) -> bytes | None:
    """
    Read a file of at most *bytes_max*; None when there is none.

    Raises:
        FileRefused: it is larger.
        Outage: the store does not answer.
    """
    assert_no_transaction("reading a file")
    try:
        found = await obstore.get_async(files, path)
        if found.meta["size"] > bytes_max:
            raise FileRefused(f"A file has at most {bytes_max} bytes.", limit_bytes=bytes_max)
        return bytes(await found.bytes_async())
    except FileNotFoundError:
        return None
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error


async def offer_place(
    tx: Tx, *, merchant_id: str, id_: str, kind: str, file_name: str, by: str
) -> Place:
    """
    Set up a place of its own where somebody may leave a file for a dispute.

    Raises:
        DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
        FileRefused: as many files as a dispute may have.
    """
    dispute = await check(tx, merchant_id=merchant_id, id_=id_)
    _, now = await queries.lock(tx, merchant_id=merchant_id, id_=id_)
    due = dispute.evidence_due_at
    left = timedelta(seconds=LINK_TTL_S) if due is None else due - now
    place = Place(uuid7(now), _path(dispute), max(1, min(LINK_TTL_S, int(left.total_seconds()))))
    await tx.run(
        store.APPEND_UPLOAD,
        id=place.id,
        merchant_id=merchant_id,
        dispute_id=id_,
        stage=dispute.stage,
        path=place.path,
        kind=kind,
        file_name=file_name,
        by=by,
        ttl_s=place.ttl_s,
    )
    return place


async def find_place(tx: Tx, *, merchant_id: str, id_: str, upload_id: UUID) -> UploadRow:
    """
    Raises:
        UploadAbsent: no such place was set up.
    """
    row = await tx.one(store.FIND_UPLOAD, merchant_id=merchant_id, dispute_id=id_, id=upload_id)
    if row is None:
        raise UploadAbsent("Ask for a new link.")
    return row


async def fetch_left(files: ObjectStore, place: UploadRow, *, sha256: str) -> Offered:
    """
    Read what was left at a place, which must be what *sha256* announces.

    Raises:
        UploadAbsent: nothing is there.
        ChecksumDiffers: something else is.
        FileRefused: too large.
        Outage: the store does not answer.
    """
    content = await read(files, place.path)
    if content is None:
        raise UploadAbsent("Upload the file to the link first, then confirm it.")
    found = hashlib.sha256(content).hexdigest()
    if not secrets.compare_digest(found, sha256.lower()):
        raise ChecksumDiffers("Upload it again under a new link.", sha256=found)
    return Offered(kind=place.kind, file_name=place.file_name, content=content)


async def confirm_place(tx: Tx, *, merchant_id: str, id_: str, upload_id: UUID) -> None:
    """Write down that what was left has become evidence."""
    await tx.run(store.SET_CONFIRMED, merchant_id=merchant_id, dispute_id=id_, id=upload_id)


async def forget_stale(db: Database, files: ObjectStore) -> int:
    """Remove what was left at places and is no longer needed; return how many places."""
    async with db.transaction("disputes.forget_stale_uploads") as tx:
        rows = await tx.all(store.TAKE_STALE_UPLOADS, limit=STALE_BATCH_MAX)
    for row in rows:
        await forget(files, row.path)
    return len(rows)


async def _files(tx: Tx, dispute: Dispute) -> list[EvidenceRow]:
    rows = await tx.all(store.LIST_EVIDENCE, merchant_id=dispute.merchant_id, dispute_id=dispute.id)
    return current_files(rows, dispute)


def _path(dispute: Dispute) -> str:
    # Ids come from outside and may hold anything; their hashes are plain.
    owner = hashlib.sha256(dispute.merchant_id.encode()).hexdigest()[:16]
    about = hashlib.sha256(dispute.id.encode()).hexdigest()[:16]
    return f"disputes/{owner}/{about}/{secrets.token_hex(16)}"
