"""Every statement on policies and their versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from molam.approvals.store import PolicyRow
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing

_POLICY = """id, name, description, criteria, policy, priority, enabled, baseline, valid_from,
           valid_until, version, hash, created_by, updated_by, created_at, updated_at"""


@dataclass(frozen=True, slots=True)
class Locked:
    at: datetime


# Whether a change loosens depends on every other policy, so changes go one by one.
LOCK_POLICIES = Query(
    """
    /* approvals.lock_policies */
    select clock_timestamp() as at
      from (select pg_advisory_xact_lock(hashtext('approvals.policies'))) held
    """,
    row=Locked,
    locks=Rank.APPROVAL,
)


LIST_POLICIES = Query(
    f"""
    /* approvals.list_policies */
    select {_POLICY}
      from approvals.approval_policies
     where deleted_at is null
       and (enabled or not :enabled_only)
     order by priority desc, name
    """,
    row=PolicyRow,
)


FIND_POLICY = Query(
    f"""
    /* approvals.find_policy */
    select {_POLICY}
      from approvals.approval_policies
     where id = :id
       and deleted_at is null
    """,
    row=PolicyRow,
)


@dataclass(frozen=True, slots=True)
class ChangeRow:
    at: datetime | None


LATEST_CHANGE = Query(
    """
    /* approvals.latest_policy_change */
    select max(updated_at) as at
      from approvals.approval_policies
    """,
    row=ChangeRow,
)


@dataclass(frozen=True, slots=True)
class Written:
    id: UUID


INSERT_POLICY = Query(
    """
    /* approvals.insert_policy */
    insert into approvals.approval_policies
           (id, name, description, criteria, policy, priority, enabled, baseline, valid_from,
            valid_until, version, hash, created_by, updated_by, created_at, updated_at)
    values (:id, :name, :description, :criteria, :policy, :priority, :enabled, :baseline,
            :valid_from, :valid_until, 1, :hash, :by, :by, :at, :at)
    on conflict do nothing
    returning id
    """,
    row=Written,
)


UPDATE_POLICY = Query(
    """
    /* approvals.update_policy */
    update approvals.approval_policies
       set name = :name, description = :description, criteria = :criteria, policy = :policy,
           priority = :priority, enabled = :enabled, baseline = :baseline,
           valid_from = :valid_from, valid_until = :valid_until, version = version + 1,
           hash = :hash, updated_by = :by, updated_at = :at
     where id = :id
       and version = :version
       and deleted_at is null
    returning id
    """,
    row=Written,
)


DELETE_POLICY = Query(
    """
    /* approvals.delete_policy */
    update approvals.approval_policies
       set deleted_at = :at, version = version + 1, updated_by = :by, updated_at = :at
     where id = :id
       and version = :version
       and deleted_at is null
    returning id
    """,
    row=Written,
)


APPEND_POLICY_VERSION = Query(
    """
    /* approvals.append_policy_version */
    insert into approvals.policy_versions
           (policy_id, version, document, hash, change, changed_by, changed_at, action_id)
    values (:policy_id, :version, :document, :hash, :change, :by, :at, :action_id)
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class VersionRow:
    version: int
    document: dict[str, Any]
    hash: bytes
    change: str
    changed_by: str
    changed_at: datetime
    action_id: UUID | None


LIST_POLICY_VERSIONS = Query(
    """
    /* approvals.list_policy_versions */
    select version, document, hash, change, changed_by, changed_at, action_id
      from approvals.policy_versions
     where policy_id = :policy_id
     order by version desc
     limit 200
    """,
    row=VersionRow,
)


@dataclass(frozen=True, slots=True)
class PastActionRow:
    """What a policy could have asked about an action, and how long it took to decide."""

    id: UUID
    action_type: str
    origin: str
    risk_level: str
    params: dict[str, Any]
    context: dict[str, Any]
    target_tenant_type: str
    target_tenant_id: str
    plan: dict[str, Any]
    policy_trace: dict[str, Any]
    created_at: datetime
    decided_after_s: Decimal | None


LIST_PAST_ACTIONS = Query(
    """
    /* approvals.list_past_actions */
    select id, action_type, origin, risk_level, params, context, target_tenant_type,
           target_tenant_id, plan, policy_trace, created_at,
           extract(epoch from decided_at - created_at) as decided_after_s
      from approvals.ops_actions
     where action_type <> 'CHANGE_APPROVAL_POLICY'
       and (:action_types::text[] is null or action_type = any(:action_types))
     order by created_at desc, id desc
     limit :limit
    """,
    row=PastActionRow,
)
