"""The wire shapes of disputes, and how rows become them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.merchant.dispute_queries import Detail
from molam.payments.disputes import reasons
from molam.payments.disputes.commands import STATEMENT_LENGTH_MAX
from molam.payments.disputes.evidence import DESCRIPTION_LENGTH_MAX
from molam.payments.disputes.evidence_store import EvidenceRow, SubmissionRow
from molam.payments.disputes.list_store import AtRiskRow, EventRow, ListedRow
from molam.payments.disputes.model import FINAL, STAGES, Dispute, State
from molam.platform.web.wire import Identifier, PageLimit, ShortText

EvidenceKind = Literal[
    "receipt",
    "delivery_proof",
    "invoice",
    "customer_communication",
    "refund_proof",
    "product_description",
    "terms",
    "identity",
    "other",
]
Statement = Annotated[str, Meta(max_length=STATEMENT_LENGTH_MAX)]
FileName = Annotated[str, Meta(max_length=255)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}\Z", max_length=64)]


class DisputesQuery(msgspec.Struct, forbid_unknown_fields=True):
    status: Literal["open", "under_review", "won", "lost", "accepted", "escalated"] | None = None
    state: (
        Literal[
            "early_warning",
            "prevented",
            "needs_response",
            "under_review",
            "won",
            "lost",
            "accepted",
            "expired",
        ]
        | None
    ) = None
    transaction_id: Identifier | None = None
    waiting: bool = False
    """Only those that wait for the merchant, the most urgent first."""
    from_: ShortText | None = msgspec.field(name="from", default=None)
    to: ShortText | None = None
    limit: PageLimit = 100
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


class UploadForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields beside the file."""

    kind: EvidenceKind = "other"
    description: Annotated[str, Meta(max_length=DESCRIPTION_LENGTH_MAX)] = ""


class LinkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: EvidenceKind = "other"
    file_name: FileName = ""


class ConfirmBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    upload_id: UUID
    sha256: Sha256
    description: Annotated[str, Meta(max_length=DESCRIPTION_LENGTH_MAX)] = ""


class DraftBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    statement: Statement


class SubmitBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    statement: Statement | None = None
    """Left out: the saved draft is sent, or else the prepared answer."""
    expected_manifest_sha256: Sha256 | None = None
    """Send it only if it is still what you looked at."""


class AcceptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class DisputeView(msgspec.Struct):
    """A dispute. Amounts are minor units of *currency*."""

    id: str
    transaction_id: str | None
    type: str
    reason: str | None
    network_reason_code: str | None
    network_case_id: str | None
    provider: str | None
    amount: int
    fee: int
    currency: str
    status: str
    state: str
    stage: str
    stage_number: int
    evidence_required: bool
    evidence_deadline: datetime | None
    evidence_submitted_at: datetime | None
    files: int
    resolved_at: datetime | None
    resolution: str | None
    occurred_at: datetime
    updated_at: datetime


class AtRiskView(msgspec.Struct):
    currency: str
    amount: int
    disputes: int
    waiting: int
    next_deadline: datetime | None


class DisputesView(msgspec.Struct):
    ok: bool
    limit: int
    rows: list[DisputeView]
    has_more: bool
    next_cursor: str | None
    at_risk: list[AtRiskView]
    """What is held or threatened, by currency."""


class EvidenceView(msgspec.Struct):
    id: UUID
    kind: str
    file_name: str
    media_type: str
    size_bytes: int
    sha256: str
    description: str
    stage: str
    uploaded_by: str
    uploaded_at: datetime
    removed_at: datetime | None
    url: str
    """Downloads the file; needs the same permission as this answer."""


class EvidenceAnswer(msgspec.Struct):
    ok: bool
    evidence: EvidenceView


class LinkAnswer(msgspec.Struct):
    ok: bool
    upload_id: UUID
    method: str
    url: str
    expires_at: datetime
    bytes_max: int


class ItemView(msgspec.Struct):
    kinds: tuple[str, ...]
    """Any one of them will do."""
    required: bool
    satisfied: bool
    by_us: bool
    """We prove it ourselves from what we know of the payment."""


class SubmissionView(msgspec.Struct):
    stage: str
    statement: str
    manifest: dict[str, Any]
    manifest_sha256: str
    by_policy: bool
    submitted_by: str
    submitted_at: datetime


class EventView(msgspec.Struct):
    at: datetime
    kind: str
    stage: str
    old_state: str | None
    new_state: str
    actor_kind: str
    actor: str | None
    details: dict[str, Any]


class DisputeDetailView(msgspec.Struct):
    ok: bool
    dispute: DisputeView
    checklist: list[ItemView]
    complete: bool
    """Everything required is there."""
    prepared: dict[str, str]
    """An answer as we would write it, by language; nothing is sent by itself."""
    draft: str | None
    manifest_sha256: str
    """Of what would be sent now, were the draft sent."""
    exhibits: list[dict[str, Any]]
    evidence: list[EvidenceView]
    evidence_urls: list[str]
    submissions: list[SubmissionView]
    timeline: list[EventView]


class DisputeAnswer(msgspec.Struct):
    ok: bool
    dispute: DisputeView
    submission: SubmissionView | None = None


def stage_name(number: int) -> str:
    return STAGES[min(number, len(STAGES) - 1)]


def listed_view(row: ListedRow) -> DisputeView:
    state = State(row.state)
    resolution = None
    if state in FINAL:
        resolution = "merchant_won" if state is State.WON else "customer_won"
    return DisputeView(
        id=row.id,
        transaction_id=row.transaction_id,
        type=row.type,
        reason=row.reason,
        network_reason_code=row.network_reason_code,
        network_case_id=row.network_case_id,
        provider=row.provider,
        amount=row.amount,
        fee=row.fee,
        currency=row.currency,
        status=row.status,
        state=row.state,
        stage=stage_name(row.stage),
        stage_number=row.stage,
        evidence_required=state is State.NEEDS_RESPONSE,
        evidence_deadline=row.evidence_due_at,
        evidence_submitted_at=row.submitted_at,
        files=row.files,
        resolved_at=row.resolved_at,
        resolution=resolution,
        occurred_at=row.occurred_at,
        updated_at=row.updated_at,
    )


def dispute_view(dispute: Dispute, *, files_count: int, updated_at: datetime) -> DisputeView:
    return DisputeView(
        id=dispute.id,
        transaction_id=dispute.transaction_id,
        type=dispute.type,
        reason=dispute.reason,
        network_reason_code=dispute.network_reason_code,
        network_case_id=dispute.network_case_id,
        provider=dispute.provider,
        amount=dispute.amount,
        fee=dispute.fee,
        currency=dispute.currency,
        status=dispute.status,
        state=dispute.state.value,
        stage=dispute.stage_name,
        stage_number=dispute.stage,
        evidence_required=dispute.state is State.NEEDS_RESPONSE,
        evidence_deadline=dispute.evidence_due_at,
        evidence_submitted_at=dispute.submitted_at,
        files=files_count,
        resolved_at=dispute.resolved_at,
        resolution=dispute.resolution,
        occurred_at=dispute.occurred_at,
        updated_at=updated_at,
    )


def at_risk_view(row: AtRiskRow) -> AtRiskView:
    return AtRiskView(row.currency, row.amount, row.disputes, row.waiting, row.next_due_at)


def evidence_view(dispute_id: str, row: EvidenceRow) -> EvidenceView:
    return EvidenceView(
        id=row.id,
        kind=row.kind,
        file_name=row.file_name,
        media_type=row.media_type,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        description=row.description,
        stage=stage_name(row.stage),
        uploaded_by=row.uploaded_by,
        uploaded_at=row.uploaded_at,
        removed_at=row.removed_at,
        url=f"/api/merchant/disputes/{quote(dispute_id, safe='')}/evidence/{row.id}",
    )


def submission_view(row: SubmissionRow) -> SubmissionView:
    return SubmissionView(
        stage=stage_name(row.stage),
        statement=row.statement,
        manifest=row.manifest,
        manifest_sha256=row.manifest_sha256,
        by_policy=row.by_policy,
        submitted_by=row.submitted_by,
        submitted_at=row.submitted_at,
    )


def event_view(row: EventRow) -> EventView:
    return EventView(
        at=row.at,
        kind=row.kind,
        stage=stage_name(row.stage),
        old_state=row.old_state,
        new_state=row.new_state,
        actor_kind=row.actor_kind,
        actor=row.actor,
        details=row.details,
    )


def detail_view(detail: Detail) -> DisputeDetailView:
    id_ = detail.dispute.id
    evidence = [evidence_view(id_, row) for row in detail.evidence]
    return DisputeDetailView(
        ok=True,
        dispute=dispute_view(
            detail.dispute, files_count=len(detail.current), updated_at=detail.updated_at
        ),
        checklist=[
            ItemView(item.kinds, item.required, item.satisfied, item.by_us)
            for item in detail.checklist
        ],
        complete=reasons.is_complete(detail.checklist),
        prepared={str(key): text for key, text in detail.prepared.items()},
        draft=None if detail.draft is None else detail.draft.statement,
        manifest_sha256=detail.manifest_sha256,
        exhibits=detail.known.exhibits(),
        evidence=evidence,
        evidence_urls=[each.url for each in evidence if each.removed_at is None],
        submissions=[submission_view(row) for row in detail.submissions],
        timeline=[event_view(row) for row in detail.timeline],
    )
