"""What the engine's API accepts."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.approvals.model import TEXT_LENGTH_MAX
from molam.approvals.passkey_wire import Assertion
from molam.platform.web.wire import Identifier, LongText, Moment

Limit = Annotated[int, Meta(ge=1, le=100)]
Offset = Annotated[int, Meta(ge=0, le=100_000)]
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", max_length=64)]
Reason = Annotated[str, Meta(min_length=1, max_length=TEXT_LENGTH_MAX)]


class ActionBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    origin: Literal["sira", "system", "ops_ui", "module", "alert"]
    action_type: Identifier
    params: dict[str, Any]
    idempotency_key: Identifier | None = None
    origin_id: Identifier | None = None
    target_tenant_type: Identifier | None = None
    target_tenant_id: Identifier | None = None
    required_quorum: dict[str, Any] | None = None
    required_ratio: Any = None
    timeout_seconds: Annotated[int, Meta(ge=60)] | None = None
    escalation_role: Identifier | None = None
    auto_execute: bool | None = None
    rollback_action: dict[str, Any] | None = None
    created_by: Identifier | None = None
    """Accepted from services, which ask on somebody's behalf; people are who they are."""
    supersedes: Identifier | None = None
    not_before: Moment | None = None


class VoteBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    vote: Literal["approve", "reject", "abstain", "withdrawn"]
    comment: Annotated[str, Meta(min_length=1, max_length=TEXT_LENGTH_MAX)] | None = None
    signed_jwt: Annotated[str, Meta(max_length=8192)] | None = None
    client_vote_id: Identifier | None = None
    intent_hash: Hash | None = None
    view_hash: Hash | None = None
    confirmation: Annotated[str, Meta(max_length=64)] | None = None
    passkey: Assertion | None = None
    """Confirms this very vote, and counts as a fresh second factor."""


class CommentBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    text: Reason


class CancelBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    reason: LongText | None = None


Status = Literal[
    "requested", "pending_approval", "approved", "rejected", "executing", "executed",
    "failed", "expired", "escalated", "cancelled", "rolled_back",
]  # fmt: skip


class PageQuery(msgspec.Struct, forbid_unknown_fields=True):
    limit: Limit = 50
    offset: Offset = 0


class PendingQuery(msgspec.Struct, forbid_unknown_fields=True):
    limit: Limit = 50
    offset: Offset = 0
    mine: Literal["votable"] | None = None


class HistoryQuery(msgspec.Struct, forbid_unknown_fields=True):
    limit: Limit = 50
    status: Status | None = None
    action_type: Identifier | None = None
    created_by: Identifier | None = None
    target_tenant_type: Identifier | None = None
    target_tenant_id: Identifier | None = None
    since: Moment | None = None
    until: Moment | None = None


class Answer(msgspec.Struct):
    """Every answer says ``success``; the rest depends on the path."""

    success: bool


def uuid_of(text: str) -> UUID | None:
    """Read an id of a path; None if it cannot be one."""
    try:
        return UUID(text)
    except ValueError:
        return None
