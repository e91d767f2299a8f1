"""Evidence for an approval: kept in the file store under its own hash, written down once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from molam.approvals.risk import proof_store as proofs
from molam.approvals.risk import store
from molam.approvals.risk.model import ApprovalDecided, ApprovalNotFound, EvidenceRefused
from molam.approvals.risk.proof_store import EvidenceRow
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Outage
from molam.platform.db import Database, Tx, assert_no_transaction

BYTES_MAX = 5 * 1024 * 1024
NAME_LENGTH_MAX = 255
DESCRIPTION_LENGTH_MAX = 1000

# What a file says it is must be what its first bytes say.
_SIGNATURES = {
    "application/pdf": b"%PDF-",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
}
TYPES = (*_SIGNATURES, "text/plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A file as it was sent."""

    file_name: str
    file_type: str
    content: bytes
    description: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that the store has, and where."""

    evidence: Evidence
    path: str
    checksum: str


async def upload(
    db: Database, files: ObjectStore, approval_id: UUID, evidence: Evidence, *, by: str
) -> EvidenceRow:
    """
    Keep a file and write down whose it is. The same file twice is one.

    Raises:
        EvidenceRefused: of a kind or size that is not taken.
        ApprovalNotFound, ApprovalDecided: there is nothing it could be evidence for.
        Outage: the file store does not answer.
    """
    if not await db.read(store.FIND, id=approval_id):
        raise ApprovalNotFound("Check the approval's id.")
    kept = await keep(files, approval_id, evidence)
    async with db.transaction("risk.upload_evidence") as tx:
        row = await tx.one(store.LOCK, id=approval_id)
        assert row is not None
        if row.status not in {"pending", "held"}:
            raise ApprovalDecided("Nobody will look at it any more.", status=row.status)
        return await write_row(tx, approval_id, kept, by=by)


async def keep(files: ObjectStore, approval_id: UUID, evidence: Evidence) -> Kept:
    """
    Put a file into the store, before anything refers to it.

    Raises:
        EvidenceRefused: of a kind or size that is not taken.
        Outage: the file store does not answer.
    """
    assert_no_transaction("storing a file")
    _check(evidence)
    checksum = hashlib.sha256(evidence.content).hexdigest()
    path = f"evidence/{approval_id}/{checksum}"
    try:
        await obstore.put_async(files, path, evidence.content)
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error
    return Kept(evidence, path, checksum)


async def write_row(tx: Tx, approval_id: UUID, kept: Kept, *, by: str) -> EvidenceRow:
    """Write down a kept file in the caller's transaction, and that there is evidence."""
    now = (await tx.all(store.NOW))[0].now
    await tx.run(
        proofs.INSERT_EVIDENCE,
        id=uuid7(now),
        approval_id=approval_id,
        uploaded_by=by,
        file_name=kept.evidence.file_name,
        file_size=len(kept.evidence.content),
        file_type=kept.evidence.file_type,
        storage_url=kept.path,
        checksum=kept.checksum,
        description=kept.evidence.description,
        created_at=now,
    )
    await tx.run(proofs.SET_EVIDENCE, id=approval_id)
    rows = await tx.all(proofs.LIST_EVIDENCE, approval_id=approval_id)
    return next(row for row in rows if row.checksum == kept.checksum)


def _check(evidence: Evidence) -> None:
    if evidence.file_type not in TYPES:
        raise EvidenceRefused(f"Send one of {', '.join(TYPES)}.", field="file_type")
    if not 0 < len(evidence.content) <= BYTES_MAX:
        raise EvidenceRefused(f"A file has 1 to {BYTES_MAX} bytes.", limit_bytes=BYTES_MAX)
    expected = _SIGNATURES.get(evidence.file_type)
    if expected is not None and not evidence.content.startswith(expected):
        raise EvidenceRefused("The file is not of the kind that it says.", field="file_type")
    if expected is None and not _is_text(evidence.content):
        raise EvidenceRefused("The file is not of the kind that it says.", field="file_type")
    name = evidence.file_name
    if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable() or "/" in name:
        raise EvidenceRefused("Give the file a plain name.", field="file_name")
    if len(evidence.description) > DESCRIPTION_LENGTH_MAX:
        raise EvidenceRefused(
            f"A description has at most {DESCRIPTION_LENGTH_MAX} characters.", field="description"
        )


def _is_text(content: bytes) -> bool:
    try:
        return "\x00" not in content.decode("utf-8")
    except UnicodeDecodeError:
        return False
