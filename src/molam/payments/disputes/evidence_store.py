"""The statements about answers to disputes: files, drafts, and what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    id: UUID
    stage: int
    kind: str
    file_name: str
    media_type: str
    size_bytes: int
    sha256: str
    path: str
    description: str
    uploaded_by: str
    uploaded_at: datetime
    removed_at: datetime | None
    removed_by: str | None


@dataclass(frozen=True, slots=True)
class UploadRow:
    id: UUID
    stage: int
    path: str
    kind: str
    file_name: str
    expires_at: datetime
    is_over: bool
    confirmed_at: datetime | None


@dataclass(frozen=True, slots=True)
class DraftRow:
    statement: str
    updated_by: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SubmissionRow:
    stage: int
    statement: str
    manifest: dict[str, Any]
    manifest_sha256: str
    by_policy: bool
    submitted_by: str
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class PathRow:
    path: str


_EVIDENCE = """
           id, stage, kind, file_name, media_type, size_bytes, sha256, path, description,
           uploaded_by, uploaded_at, removed_at, removed_by"""

LIST_EVIDENCE = Query(
    "/* disputes.list_evidence */ select"
    + _EVIDENCE
    + """
      from payments.dispute_evidence
     where merchant_id = :merchant_id and dispute_id = :dispute_id
     order by uploaded_at, id
     limit 500""",
    row=EvidenceRow,
)

APPEND_EVIDENCE = Query(
    """
    /* disputes.append_evidence */
    insert into payments.dispute_evidence
           (id, merchant_id, dispute_id, stage, kind, file_name, media_type, size_bytes, sha256, path,
            description, uploaded_by)
    values (:id, :merchant_id, :dispute_id, :stage, :kind, :file_name, :media_type, :size_bytes,
            :sha256, :path, :description, :by)
    returning """
    + _EVIDENCE,
    row=EvidenceRow,
)

SET_REMOVED = Query(
    """
    /* disputes.set_removed */
    update payments.dispute_evidence
       set removed_at = now(), removed_by = :by
     where merchant_id = :merchant_id and dispute_id = :dispute_id and id = :id and removed_at is null
    """,
    row=Nothing,
)

APPEND_UPLOAD = Query(
    """
    /* disputes.append_upload */
    insert into payments.dispute_uploads
           (id, merchant_id, dispute_id, stage, path, kind, file_name, asked_by, expires_at)
    values (:id, :merchant_id, :dispute_id, :stage, :path, :kind, :file_name, :by,
            now() + make_interval(secs => :ttl_s))
    """,
    row=Nothing,
)

FIND_UPLOAD = Query(
    """
    /* disputes.find_upload */
    select id, stage, path, kind, file_name, expires_at, expires_at <= now() as is_over, confirmed_at
      from payments.dispute_uploads
     where merchant_id = :merchant_id and dispute_id = :dispute_id and id = :id
    """,
    row=UploadRow,
)

SET_CONFIRMED = Query(
    """
    /* disputes.set_confirmed */
    update payments.dispute_uploads
       set confirmed_at = now()
     where merchant_id = :merchant_id and dispute_id = :dispute_id and id = :id
       and confirmed_at is null
    """,
    row=Nothing,
)

# What was left under a link and never confirmed, or was copied when it was.
TAKE_STALE_UPLOADS = Query(
    """
    /* disputes.take_stale_uploads */
    delete from payments.dispute_uploads
     where id in (select id from payments.dispute_uploads
                   where created_at < now() - interval '2 days'
                   order by created_at
                   limit :limit)
    returning path
    """,
    row=PathRow,
)

PUT_DRAFT = Query(
    """
    /* disputes.put_draft */
    insert into payments.dispute_drafts (merchant_id, dispute_id, stage, statement, updated_by)
    values (:merchant_id, :dispute_id, :stage, :statement, :by)
        on conflict (merchant_id, dispute_id, stage) do update
       set statement = excluded.statement, updated_by = excluded.updated_by, updated_at = now()
    """,
    row=Nothing,
)

FIND_DRAFT = Query(
    """
    /* disputes.find_draft */
    select statement, updated_by, updated_at
      from payments.dispute_drafts
     where merchant_id = :merchant_id and dispute_id = :dispute_id and stage = :stage
    """,
    row=DraftRow,
)

_SUBMISSION = """
           stage, statement, manifest, manifest_sha256, by_policy, submitted_by, submitted_at"""

APPEND_SUBMISSION = Query(
    """
    /* disputes.append_submission */
    insert into payments.dispute_submissions
           (merchant_id, dispute_id, stage, statement, manifest, manifest_sha256, by_policy, submitted_by)
    values (:merchant_id, :dispute_id, :stage, :statement, :manifest::jsonb, :manifest_sha256,
            :by_policy, :by)
    returning """
    + _SUBMISSION,
    row=SubmissionRow,
)

LIST_SUBMISSIONS = Query(
    "/* disputes.list_submissions */ select"
    + _SUBMISSION
    + """
      from payments.dispute_submissions
     where merchant_id = :merchant_id and dispute_id = :dispute_id
     order by stage""",
    row=SubmissionRow,
)
