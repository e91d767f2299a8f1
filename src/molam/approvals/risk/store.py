"""The statements of risk-aware approvals: requests, links, evidence, scores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.locks import Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class RiskRow:
    id: UUID
    action_type: str
    origin_module: str
    origin_entity_id: str | None
    payload: str
    payload_hash: bytes
    created_by: str
    creator_roles: list[str]
    on_behalf_of: str | None
    request_hash: bytes
    status: str
    reason: str | None
    sira_score: int | None
    sira_tags: list[str]
    sira_reason: str | None
    sira_recommended_approvals: int | None
    sira_recommended_channels: list[str]
    sira_model_version: str | None
    sira_contributions: list[dict[str, Any]]
    policy_name: str | None
    pool_name: str | None
    required_approvals: int
    approved_count: int
    rejected_count: int
    evidence_required: bool
    evidence_uploaded: bool
    ops_action_id: UUID | None
    created_at: datetime
    updated_at: datetime
    decided_at: datetime | None
    expires_at: datetime
    override_by: str | None
    override_decision: str | None
    override_reason: str | None
    notified: bool


# A number of the payload keeps every digit, so it is read as text and parsed by us.
COLUMNS = """
       a.id, a.action_type, a.origin_module, a.origin_entity_id, a.payload::text as payload,
       a.payload_hash, a.created_by, a.creator_roles, a.on_behalf_of, a.request_hash, a.status,
       a.reason, a.sira_score, a.sira_tags, a.sira_reason, a.sira_recommended_approvals,
       a.sira_recommended_channels, a.sira_model_version, a.sira_contributions, a.policy_name,
       a.pool_name, a.required_approvals, a.approved_count, a.rejected_count, a.evidence_required,
       a.evidence_uploaded, a.ops_action_id, a.created_at, a.updated_at, a.decided_at, a.expires_at,
       a.override_by, a.override_decision, a.override_reason, a.notified
"""

FIND = Query(
    """
    /* risk.find */
    select """
    + COLUMNS
    + """
      from approvals.approvals_action as a
     where a.id = :id
    """,
    row=RiskRow,
)

FIND_BY_ACTION = Query(
    """
    /* risk.find_by_action */
    select """
    + COLUMNS
    + """
      from approvals.approvals_action as a
     where a.ops_action_id = :ops_action_id
    """,
    row=RiskRow,
)

# After the engine's action, if there is one: see Note [Who is locked first].
LOCK = Query(
    """
    /* risk.lock */
    select """
    + COLUMNS
    + """
      from approvals.approvals_action as a
     where a.id = :id
       for update
    """,
    row=RiskRow,
    locks=Rank.APPROVAL,
)

FIND_BY_KEY = Query(
    """
    /* risk.find_by_key */
    select """
    + COLUMNS
    + """
      from approvals.approvals_action as a
     where a.created_by = :created_by
       and a.idempotency_key = :idempotency_key
    """,
    row=RiskRow,
)

LIST = Query(
    """
    /* risk.list */
    select """
    + COLUMNS
    + """
      from approvals.approvals_action as a
     where (:status::text is null or a.status = :status)
       and (:origin_module::text is null or a.origin_module = :origin_module)
       and (:created_by::text is null or a.created_by = :created_by)
     order by a.created_at desc, a.id desc
     limit :limit
    offset :offset
    """,
    row=RiskRow,
)


@dataclass(frozen=True, slots=True)
class ClockRow:
    now: datetime


NOW = Query("/* risk.now */ select clock_timestamp() as now", row=ClockRow)


@dataclass(frozen=True, slots=True)
class WrittenRow:
    id: UUID


INSERT = Query(
    """
    /* risk.insert */
    insert into approvals.approvals_action (
        id, action_type, origin_module, origin_entity_id, payload, payload_hash, created_by,
        creator_roles, on_behalf_of, idempotency_key, request_hash, status, created_at, updated_at,
        expires_at)
    values (
        :id, :action_type, :origin_module, :origin_entity_id, :payload::text::jsonb, :payload_hash,
        :created_by, :creator_roles, :on_behalf_of, :idempotency_key, :request_hash, 'held',
        :created_at, :created_at, :expires_at)
    on conflict do nothing
    returning id
    """,
    row=WrittenRow,
)

# From `held` only: whoever comes second finds that it has been weighed.
SET_WEIGHED = Query(
    """
    /* risk.set_weighed */
    update approvals.approvals_action
       set status = :status,
           sira_score = :score,
           sira_tags = :tags,
           sira_reason = :sira_reason,
           sira_recommended_approvals = :recommended,
           sira_recommended_channels = :channels,
           sira_model_version = :model_version,
           sira_contributions = :contributions,
           policy_name = :policy_name,
           pool_name = :pool_name,
           required_approvals = :required,
           evidence_required = :evidence_required,
           ops_action_id = :ops_action_id,
           expires_at = :expires_at,
           decided_at = :decided_at,
           updated_at = clock_timestamp()
     where id = :id
       and status = 'held'
    """,
    row=Nothing,
)

# Nobody could be found to decide it, or it was asked for twice.
SET_IMPOSSIBLE = Query(
    """
    /* risk.set_impossible */
    update approvals.approvals_action
       set status = 'rejected',
           reason = :reason,
           sira_score = :score,
           sira_reason = :sira_reason,
           decided_at = clock_timestamp(),
           updated_at = clock_timestamp()
     where id = :id
       and status = 'held'
    """,
    row=Nothing,
)

# The engine carries it out; the row follows here, and not by the trigger, so that the
# event below is told of it in the same transaction.
SET_APPROVED = Query(
    """
    /* risk.set_approved */
    update approvals.approvals_action as a
       set status = 'approved',
           approved_count = o.votes_approve,
           rejected_count = o.votes_reject,
           decided_at = clock_timestamp(),
           updated_at = clock_timestamp()
      from approvals.ops_actions as o
     where a.id = :id
       and o.id = a.ops_action_id
       and o.id = :ops_action_id
       and a.status = 'pending'
    """,
    row=Nothing,
)

SET_OVERRIDDEN = Query(
    """
    /* risk.set_overridden */
    update approvals.approvals_action
       set status = 'overridden',
           override_by = :override_by,
           override_decision = :decision,
           override_reason = :reason,
           decided_at = :at,
           updated_at = :at
     where id = :id
       and status in ('pending', 'held')
    """,
    row=Nothing,
)

INSERT_BREAK_GLASS = Query(
    """
    /* risk.insert_break_glass */
    insert into approvals.break_glass_uses (ops_action_id, used_by, reason, used_at, review_due)
    values (:ops_action_id, :used_by, :reason, :at, :at::timestamptz + interval '24 hours')
    on conflict (ops_action_id) do nothing
    """,
    row=Nothing,
)

EXPIRE_HELD = Query(
    """
    /* risk.expire_held */
    update approvals.approvals_action
       set status = 'expired',
           reason = 'score',
           decided_at = clock_timestamp(),
           updated_at = clock_timestamp()
     where id in (
           select id
             from approvals.approvals_action
            where status = 'held'
              and expires_at <= clock_timestamp()
            order by expires_at
            limit :limit
              for update skip locked)
    """,
    row=Nothing,
)

# Each outcome is told by whoever locks the row first, and by nobody else.
TAKE_UNTOLD = Query(
    """
    /* risk.take_untold */
    update approvals.approvals_action as a
       set notified = true
     where a.id in (
           select id
             from approvals.approvals_action
            where not notified
              and decided_at is not null
              and (:id::uuid is null or id = :id)
            order by decided_at, id
            limit :limit
              for update skip locked)
    returning """
    + COLUMNS,
    row=RiskRow,
)


@dataclass(frozen=True, slots=True)
class PolicyRow:
    name: str
    country: str | None
    module: str | None
    action_type: str | None
    min_score_auto: int
    min_score_single: int
    min_score_double: int
    max_approvals: int
    timeout_minutes: int
    evidence_required_score: int
    force_multichannel: bool


LIST_POLICIES = Query(
    """
    /* risk.list_policies */
    select name, country, module, action_type, min_score_auto, min_score_single, min_score_double,
           max_approvals, timeout_minutes, evidence_required_score, force_multichannel
      from approvals.approvals_policy
     where active
     order by name
    """,
    row=PolicyRow,
)


@dataclass(frozen=True, slots=True)
class PoolRow:
    name: str
    roles: list[str]
    country: str | None
    module: str | None
    min_amount: int | None
    max_amount: int | None
    priority: int


LIST_POOLS = Query(
    """
    /* risk.list_pools */
    select name, roles, country, module, min_amount, max_amount, priority
      from approvals.approvals_pool
     where active
     order by priority, name
    """,
    row=PoolRow,
)

INSERT_SCORING = Query(
    """
    /* risk.insert_scoring */
    insert into sira.sira_scoring_audit (
        id, approval_id, payload, score, tags, reason, recommended_approvals, contributions,
        model_version, latency_ms, signature, failure, created_at)
    values (
        :id, :approval_id, :payload::text::jsonb, :score, :tags, :reason, :recommended,
        :contributions, :model_version, :latency_ms, :signature, :failure, clock_timestamp())
    """,
    row=Nothing,
)
