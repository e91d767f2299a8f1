"""Risk-aware approvals as the API writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from molam.approvals.risk.actions import payload_of
from molam.approvals.risk.commands import Opened
from molam.approvals.risk.decisions import Consumed
from molam.approvals.risk.proof_store import EvidenceRow, VoteRow
from molam.approvals.risk.queries import Detail
from molam.approvals.risk.store import RiskRow
from molam.kernel.shown import masked

encode = msgspec.json.Encoder(decimal_format="number").encode


class ApproverView(msgspec.Struct):
    id: str
    email: str


class OpenedView(msgspec.Struct):
    """The specification's fields, then what made it so."""

    ok: bool
    approval_id: str
    status: str
    sira_score: int | None
    required_approvals: int
    approvers: list[ApproverView]
    evidence_required: bool
    expires_at: datetime
    sira_reason: str | None
    ops_action_id: str | None


class ApprovalView(msgspec.Struct):
    id: str
    action_type: str
    origin_module: str
    origin_entity_id: str | None
    payload: dict[str, Any]
    payload_hash: str
    """Of the payload as it was sent: what is shown may have secrets masked."""
    created_by: str
    on_behalf_of: str | None
    status: str
    reason: str | None
    sira_score: int | None
    sira_tags: list[str]
    sira_reason: str | None
    sira_recommended_approvals: int | None
    sira_recommended_channels: list[str]
    sira_model_version: str | None
    sira_contributions: list[dict[str, Any]]
    policy: str | None
    pool: str | None
    required_approvals: int
    approved_count: int
    rejected_count: int
    evidence_required: bool
    evidence_uploaded: bool
    ops_action_id: str | None
    created_at: datetime
    updated_at: datetime
    decided_at: datetime | None
    expires_at: datetime
    override_by: str | None
    override_decision: str | None
    override_reason: str | None
    notified: bool


class ListView(msgspec.Struct):
    ok: bool
    approvals: list[ApprovalView]
    count: int


class VoteView(msgspec.Struct):
    approver_id: str
    decision: str
    comment: str | None
    voted_at: datetime


class VotesView(msgspec.Struct):
    ok: bool
    votes: list[VoteView]


class EvidenceView(msgspec.Struct):
    id: str
    uploaded_by: str
    file_name: str
    file_size: int
    file_type: str
    file_url: str
    checksum: str
    description: str
    uploaded_at: datetime


class EvidenceAnswer(msgspec.Struct):
    ok: bool
    evidence: EvidenceView


class DetailView(msgspec.Struct):
    ok: bool
    approval: ApprovalView
    votes: list[VoteView]
    evidence: list[EvidenceView]


class ConsumedView(msgspec.Struct):
    ok: bool
    status: str
    approved_count: int
    required_approvals: int
    decision: str


class OverriddenView(msgspec.Struct):
    ok: bool
    approval_id: str
    status: str
    decision: str


_WRITTEN_OTHERWISE = frozenset({"id", "payload", "payload_hash", "policy", "pool", "ops_action_id"})


def opened(given: Opened) -> OpenedView:
    row = given.row
    return OpenedView(
        ok=True,
        approval_id=str(row.id),
        status=row.status,
        sira_score=row.sira_score,
        required_approvals=row.required_approvals,
        approvers=[ApproverView(each.id, each.email) for each in given.approvers],
        evidence_required=row.evidence_required,
        expires_at=row.expires_at,
        sira_reason=row.sira_reason,
        ops_action_id=_text(row.ops_action_id),
    )


def approval(row: RiskRow) -> ApprovalView:
    # Secrets are for whoever sent them; nobody needs them to decide.
    shown = masked(payload_of(row))
    assert isinstance(shown, dict)
    same = {
        name: getattr(row, name)
        for name in ApprovalView.__struct_fields__
        if name not in _WRITTEN_OTHERWISE
    }
    return ApprovalView(
        id=str(row.id),
        payload=shown,
        payload_hash=row.payload_hash.hex(),
        policy=row.policy_name,
        pool=row.pool_name,
        ops_action_id=_text(row.ops_action_id),
        **same,
    )


def vote(row: VoteRow) -> VoteView:
    return VoteView(row.approver_id, row.decision, row.comment, row.voted_at)


def evidence(row: EvidenceRow) -> EvidenceView:
    approval_id = row.storage_url.split("/")[1]
    return EvidenceView(
        id=str(row.id),
        uploaded_by=row.uploaded_by,
        file_name=row.file_name,
        file_size=row.file_size,
        file_type=row.file_type,
        file_url=f"/api/approvals/{approval_id}/evidence/{row.checksum}",
        checksum=row.checksum,
        description=row.description,
        uploaded_at=row.created_at,
    )


def detail(found: Detail) -> DetailView:
    return DetailView(
        ok=True,
        approval=approval(found.row),
        votes=[vote(each) for each in found.votes],
        evidence=[evidence(each) for each in found.evidence],
    )


def consumed(given: Consumed) -> ConsumedView:
    row = given.row
    return ConsumedView(
        ok=True,
        status=row.status,
        approved_count=row.approved_count,
        required_approvals=row.required_approvals,
        decision=given.decision,
    )


def _text(id_: object) -> str | None:
    return None if id_ is None else str(id_)
