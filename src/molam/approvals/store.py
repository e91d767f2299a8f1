"""The statements that change actions and votes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.locks import Rank


@dataclass(frozen=True, slots=True)
class ActionRow:
    id: UUID
    origin: str
    origin_id: str | None
    action_type: str
    schema: str
    params: dict[str, Any]
    context: dict[str, Any]
    target_tenant_type: str
    target_tenant_id: str
    intent_hash: bytes
    expect: dict[str, Any]
    plan: dict[str, Any]
    risk_level: str
    state: str
    status: str
    level: int
    votes_approve: int
    votes_reject: int
    votes_abstain: int
    votes_cast: int
    reason: str | None
    policy_id: UUID | None
    policy_name: str
    policy_version: int
    policy_hash: bytes
    policy_snapshot: dict[str, Any]
    policy_trace: dict[str, Any]
    required_quorum: dict[str, Any]
    required_ratio: Decimal
    timeout_seconds: int
    escalation_role: str | None
    auto_execute: bool
    electorate_size: int
    voter_roles: list[str]
    voter_ids: list[str]
    excluded: list[str]
    idempotency_key: str | None
    request_hash: bytes
    created_by: str
    on_behalf_of: str | None
    supersedes: UUID | None
    superseded_by: UUID | None
    compensates: UUID | None
    rollback_action: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    escalates_at: datetime | None
    escalated_at: datetime | None
    not_before: datetime | None
    decided_at: datetime | None
    execution_deadline: datetime | None
    fence: int
    lease_owner: str | None
    lease_until: datetime | None
    attempts: int
    next_attempt_at: datetime | None
    executed_at: datetime | None
    executed_by: str | None
    verify_at: datetime | None
    result: dict[str, Any] | None
    reconciliation: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    version: int
    chain_seq: int
    chain_hash: bytes


COLUMNS = """
       id, origin, origin_id, action_type, schema, params, context, target_tenant_type,
       target_tenant_id, intent_hash, expect, plan, risk_level, state, status, level,
       votes_approve, votes_reject, votes_abstain, votes_cast, reason, policy_id, policy_name,
       policy_version, policy_hash, policy_snapshot, policy_trace, required_quorum, required_ratio,
       timeout_seconds, escalation_role, auto_execute, electorate_size, voter_roles, voter_ids,
       excluded, idempotency_key, request_hash, created_by, on_behalf_of, supersedes,
       superseded_by, compensates, rollback_action, created_at, updated_at, expires_at,
       escalates_at, escalated_at, not_before, decided_at, execution_deadline, fence, lease_owner,
       lease_until, attempts, next_attempt_at, executed_at, executed_by, verify_at, result,
       reconciliation, error_code, error_message, version, chain_seq, chain_hash
"""

LOCK_ACTIONS = Query(
    """
    /* approvals.lock_actions */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions
     where id = any(:ids::uuid[])
     order by id
       for update
    """,
    row=ActionRow,
    locks=Rank.APPROVAL,
)

FIND_ACTION = Query(
    """
    /* approvals.find_action */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions
     where id = :id
    """,
    row=ActionRow,
)

FIND_BY_KEY_OR_TWIN = Query(
    """
    /* approvals.find_by_key_or_twin */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions
     where idempotency_key = :idempotency_key::text
        or (twin = :twin
            and state in ('pending', 'blocked', 'approved', 'scheduled', 'executing',
                          'execution_unknown'))
     order by (idempotency_key = :idempotency_key::text) is true desc
     limit 1
    """,
    row=ActionRow,
)


@dataclass(frozen=True, slots=True)
class StandingRow:
    now: datetime
    policies_changed_at: datetime | None
    voter: str
    owner: str | None
    holders: list[dict[str, Any]]
    ballots: list[dict[str, Any]]
    delegations: list[dict[str, Any]]
    excluded_too: list[str]


# Read after the action is locked, so that every vote committed before is in it. The
# clock is read here as well: in the locking statement it would be of before the wait.
STANDING = Query(
    """
    /* approvals.standing */
    select clock_timestamp() as now,
           (select max(updated_at) from approvals.approval_policies) as policies_changed_at,
           tenancy.principal(:voter) as voter,
           (select owner_id from tenancy.people where id = tenancy.principal(:voter)) as owner,
           coalesce((
               select jsonb_agg(jsonb_build_object(
                          'id', h.person_id, 'name', h.name, 'email', h.email, 'role', h.role,
                          'since', h.granted_at))
                 from tenancy.role_holders as h
                where h.role = any(:roles::text[]) or h.person_id = any(:people::text[])
           ), '[]') as holders,
           coalesce((
               select jsonb_agg(jsonb_build_object(
                          'voter', v.voter_id, 'seat', v.seat, 'roles', v.voter_roles,
                          'vote', v.vote, 'seq', v.seq, 'id', v.id, 'name', v.voter_name)
                          order by v.seq)
                 from approvals.current_votes as v
                where v.ops_action_id = :action_id
                  and (v.seat = v.voter_id
                       or exists (
                           select from approvals.delegations as d
                            where d.delegate_id = v.voter_id
                              and d.delegator_id = v.seat
                              and d.role = any(v.voter_roles)
                              and (d.action_types = '{}' or :action_type = any(d.action_types))
                              and d.revoked_at is null
                              and v.created_at >= d.starts_at
                              and v.created_at < d.ends_at
                              and exists (
                                  select from tenancy.role_holders as h
                                   where h.person_id = v.voter_id and h.role = '')))
           ), '[]') as ballots,
           coalesce((
               select jsonb_agg(jsonb_build_object('delegator', d.delegator_id, 'role', d.role))
                 from approvals.delegations as d
                where d.delegate_id = tenancy.principal(:voter)
                  and d.revoked_at is null
                  and clock_timestamp() >= d.starts_at
                  and clock_timestamp() < d.ends_at
                  and (d.action_types = '{}' or :action_type = any(d.action_types))
                  and exists (
                      select from tenancy.role_holders as h
                       where h.person_id = d.delegate_id and h.role = '')
           ), '[]') as delegations,
           coalesce((
               select array_agg(distinct d.delegate_id)
                 from approvals.delegations as d
                where d.delegator_id = any(:excluded::text[])
                  and d.revoked_at is null
                  and clock_timestamp() >= d.starts_at
                  and clock_timestamp() < d.ends_at
           ), '{}') as excluded_too
    """,
    row=StandingRow,
)


@dataclass(frozen=True, slots=True)
class PrincipalRow:
    id: str


# Who answers for a service is as much concerned as the service itself.
LIST_PRINCIPALS = Query(
    """
    /* approvals.list_principals */
    select tenancy.principal(given.name) as id
      from unnest(:names::text[]) as given (name)
     union
    select p.owner_id
      from unnest(:names::text[]) as given (name)
      join tenancy.people as p on p.id = tenancy.principal(given.name)
     where p.owner_id is not null
    """,
    row=PrincipalRow,
)


@dataclass(frozen=True, slots=True)
class InsertedRow:
    id: UUID


INSERT_ACTION = Query(
    """
    /* approvals.insert_action */
    with inserted as (
        insert into approvals.ops_actions (
            id, origin, origin_id, action_type, schema, params, context, target_tenant_type,
            target_tenant_id, intent_hash, expect, plan, risk_level, twin, policy_id, policy_name,
            policy_version, policy_hash, policy_snapshot, policy_trace, required_quorum,
            required_ratio, timeout_seconds, escalation_role, auto_execute, electorate_size,
            voter_roles, voter_ids, excluded, idempotency_key, request_hash, created_by,
            creator_roles, on_behalf_of, supersedes, compensates, rollback_action, created_at,
            updated_at, expires_at, escalates_at, not_before, level, chain_seq, chain_hash)
        values (
            :id, :origin, :origin_id, :action_type, :schema, :params, :context, :target_tenant_type,
            :target_tenant_id, :intent_hash, :expect, :plan, :risk_level, :twin, :policy_id,
            :policy_name, :policy_version, :policy_hash, :policy_snapshot, :policy_trace,
            :required_quorum, :required_ratio, :timeout_seconds, :escalation_role, :auto_execute,
            :electorate_size, :voter_roles, :voter_ids, :excluded, :idempotency_key, :request_hash,
            :created_by, :creator_roles, :on_behalf_of, :supersedes, :compensates,
            :rollback_action, :created_at, :created_at, :expires_at, :escalates_at, :not_before,
            :level, :chain_seq, :chain_hash)
        on conflict do nothing
        returning id
    )
    select id
      from inserted, lateral pg_notify('ops_actions', id::text)
    """,
    row=InsertedRow,
)

UPDATE_ACTION = Query(
    """
    /* approvals.update_action */
    with written as (
        update approvals.ops_actions
           set state = :state,
               level = :level,
               reason = :reason,
               votes_approve = :votes_approve,
               votes_reject = :votes_reject,
               votes_abstain = :votes_abstain,
               votes_cast = :votes_cast,
               expires_at = :expires_at,
               escalates_at = :escalates_at,
               escalated_at = :escalated_at,
               decided_at = :decided_at,
               not_before = :not_before,
               execution_deadline = :execution_deadline,
               superseded_by = :superseded_by,
               fence = :fence,
               lease_owner = :lease_owner,
               lease_until = :lease_until,
               attempts = :attempts,
               next_attempt_at = :next_attempt_at,
               executed_at = :executed_at,
               executed_by = :executed_by,
               verify_at = :verify_at,
               result = :result,
               reconciliation = :reconciliation,
               voter_roles = :voter_roles,
               voter_ids = :voter_ids,
               error_code = :error_code,
               error_message = :error_message,
               chain_seq = :chain_seq,
               chain_hash = :chain_hash,
               version = :version,
               updated_at = :updated_at
         where id = :id
        returning id
    )
    select id
      from written, lateral pg_notify('ops_actions', id::text)
    """,
    row=InsertedRow,
)


@dataclass(frozen=True, slots=True)
class PolicyRow:
    id: UUID
    name: str
    description: str
    criteria: dict[str, Any]
    policy: dict[str, Any]
    priority: int
    enabled: bool
    baseline: bool
    valid_from: datetime | None
    valid_until: datetime | None
    version: int
    hash: bytes
    created_by: str
    updated_by: str
    created_at: datetime
    updated_at: datetime


LIST_ENABLED_POLICIES = Query(
    """
    /* approvals.list_enabled_policies */
    select id, name, description, criteria, policy, priority, enabled, baseline, valid_from,
           valid_until, version, hash, created_by, updated_by, created_at, updated_at
      from approvals.approval_policies
     where enabled
       and deleted_at is null
     order by priority desc, created_at, id
    """,
    row=PolicyRow,
)


@dataclass(frozen=True, slots=True)
class Told:
    done: bool


@dataclass(frozen=True, slots=True)
class NowRow:
    at: datetime


NOW = Query(
    """
    /* approvals.now */
    select clock_timestamp() as at
    """,
    row=NowRow,
)
