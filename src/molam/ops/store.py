"""What the console reads of actions beyond what the engine answers: lists, search, a target's past."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.approvals.list_store import ROLES_LENT
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class ActionRow:
    id: UUID
    action_type: str
    schema: str
    params: dict[str, Any]
    plan: dict[str, Any]
    target_tenant_type: str
    target_tenant_id: str
    risk_level: str
    state: str
    status: str
    level: int
    votes_approve: int
    votes_reject: int
    required_quorum: dict[str, Any]
    policy_name: str
    policy_version: int
    origin: str
    created_by: str
    created_by_name: str | None
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    execution_deadline: datetime | None
    executed_at: datetime | None


COLUMNS = """a.id, a.action_type, a.schema, a.params, a.plan, a.target_tenant_type,
           a.target_tenant_id, a.risk_level, a.state, a.status, a.level, a.votes_approve,
           a.votes_reject, a.required_quorum, a.policy_name, a.policy_version, a.origin,
           a.created_by, p.name as created_by_name, a.created_at, a.expires_at, a.decided_at,
           a.execution_deadline, a.executed_at"""

# One that is not asked for is null. The position and the order use actions_newest.
_FILTERS = """
       and (:status::text is null or a.status = :status)
       and (:action_type::text is null or a.action_type = :action_type)
       and (:target::text is null or a.target_tenant_id = :target)
       and (:risk::text is null or a.risk_level = :risk)
       and (:origin::text is null or a.origin = :origin)
       and (:created_by::text is null or a.created_by = :created_by)
       and a.created_at >= :from_at
       and a.created_at < :to_at"""

LIST_OLDER = Query(
    f"""
    /* ops.list_older */
    select {COLUMNS}
      from approvals.ops_actions a
      left join tenancy.people p on p.id = a.created_by
     where (a.created_at, a.id) < (:at, :id)
    {_FILTERS}
     order by a.created_at desc, a.id desc
     limit :limit
    """,
    row=ActionRow,
)

LIST_NEWER = Query(
    f"""
    /* ops.list_newer */
    select {COLUMNS}
      from approvals.ops_actions a
      left join tenancy.people p on p.id = a.created_by
     where (a.created_at, a.id) > (:at, :id)
    {_FILTERS}
     order by a.created_at, a.id
     limit :limit
    """,
    row=ActionRow,
)

LIST_OF_TARGET = Query(
    f"""
    /* ops.list_of_target */
    select {COLUMNS}
      from approvals.ops_actions a
      left join tenancy.people p on p.id = a.created_by
     where a.target_tenant_type = :type
       and a.target_tenant_id = :id
     order by a.created_at desc, a.id desc
     limit :limit
    """,
    row=ActionRow,
)

# By the beginning of the id, by the target, or by who asked.
SEARCH_ACTIONS = Query(
    f"""
    /* ops.search_actions */
    select {COLUMNS}
      from approvals.ops_actions a
      left join tenancy.people p on p.id = a.created_by
     where (a.id >= :low::uuid and a.id <= :high::uuid)
        or a.target_tenant_id = :term
        or a.action_type = upper(:term)
        or a.created_by = lower(:term)
     order by a.created_at desc, a.id desc
     limit :limit
    """,
    row=ActionRow,
)


@dataclass(frozen=True, slots=True)
class TypeRow:
    action_type: str


LIST_TYPES = Query(
    """
    /* ops.list_types */
    select distinct action_type
      from approvals.ops_actions
     order by action_type
     limit 100
    """,
    row=TypeRow,
)


@dataclass(frozen=True, slots=True)
class PersonName:
    id: str
    name: str


LIST_NAMES = Query(
    """
    /* ops.list_names */
    select id, name
      from tenancy.people
     where id = any(:ids)
    """,
    row=PersonName,
)


@dataclass(frozen=True, slots=True)
class MarkRow:
    turn: int
    mark: str


# As the queue's first tab decides it, without the stages and the matching of people to
# places that only the engine knows: it may count one that the engine would still refuse.
# Whoever joins by an escalation is not counted before it.
_EARLY = """
                       select named #>> '{}' as role
                         from jsonb_path_query(a.policy_snapshot, 'lax $.rules.**.role') as named
                        union all
                       select named #>> '{}'
                         from jsonb_path_query(a.policy_snapshot, 'lax $.rules.**.roles[*]') as named
                        union all
                       select named #>> '{}'
                         from jsonb_path_query(a.policy_snapshot, 'lax $.rules.veto_roles[*]') as named"""

_TURN_MAX = 100
# What is looked at to find them: reading who may decide from the rules takes a while.
_CANDIDATES_MAX = 500
_TURN = f"""
            select a.id, a.version
              from (
                  select c.id, c.version, c.level, c.voter_ids, c.policy_snapshot, c.expires_at
                    from approvals.ops_actions c
                   where c.state in ('pending', 'blocked')
                     and (c.expires_at > now() or c.escalates_at is not null)
                     and (c.voter_roles && (:roles::text[] || {ROLES_LENT})
                          or c.voter_ids && array[:person::text])
                     and not :person::text = any(c.excluded)
                     and coalesce((
                             select v.vote
                               from approvals.ops_approvals v
                              where v.ops_action_id = c.id
                                and v.voter_id = :person::text
                              order by v.seq desc
                              limit 1), 'withdrawn') = 'withdrawn'
                   order by c.expires_at, c.id
                   limit {_CANDIDATES_MAX}) as a
             where a.level > 0
                or :person::text = any(a.voter_ids)
                or exists (
                    select
                      from ({_EARLY}) as early
                     where early.role = any(:roles::text[] || {ROLES_LENT}))
             order by a.expires_at, a.id
             limit {_TURN_MAX}"""

# The mark says that an open page is out of date, not how. For "my turn" it is exact;
# for the other tabs the newest entry of the record will do: whatever could have
# changed them is one, and reading them for each announcement would cost more.
MARK_TAB = Query(
    f"""
    /* ops.mark_tab */
    with waiting as materialized ({_TURN})
    select count(*) as turn,
           case when :tab = 'turn'
                then coalesce(md5(string_agg(id::text || '/' || version::text, ',' order by id)), '')
                else coalesce((select max(e.id) from audit.ops_approval_audit e), 0)::text
                end as mark
      from waiting
    """,
    row=MarkRow,
)


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


COUNT_TURN = Query(
    f"""
    /* ops.count_turn */
    select count(*) as count from ({_TURN}) as waiting
    """,
    row=CountRow,
)


@dataclass(frozen=True, slots=True)
class EmergencyRow:
    used_by: str
    used_by_name: str | None
    reason: str
    used_at: datetime
    review_due: datetime
    is_overdue: bool
    reviewed_by: str | None
    reviewed_by_name: str | None
    reviewed_at: datetime | None
    review: str | None
    is_party: bool


FIND_EMERGENCY = Query(
    """
    /* ops.find_emergency */
    select u.used_by, p.name as used_by_name, u.reason, u.used_at, u.review_due,
           u.reviewed_at is null and u.review_due <= clock_timestamp() as is_overdue,
           u.reviewed_by, r.name as reviewed_by_name, u.reviewed_at, u.review,
           u.used_by = reader.id or reader.id = any(a.excluded)
           or exists (select from approvals.current_votes v
                       where v.ops_action_id = a.id and reader.id in (v.voter_id, v.seat)
           ) as is_party
      from approvals.break_glass_uses u
      join approvals.ops_actions a on a.id = u.ops_action_id
     cross join (select tenancy.principal(:reader) as id) reader
      left join tenancy.people p on p.id = u.used_by
      left join tenancy.people r on r.id = u.reviewed_by
     where u.ops_action_id = :action_id
    """,
    row=EmergencyRow,
)


@dataclass(frozen=True, slots=True)
class UnreviewedRow:
    id: UUID
    action_type: str
    plan: dict[str, Any]
    used_by: str
    used_by_name: str | None
    review_due: datetime
    is_overdue: bool


_UNREVIEWED_MAX = 20

LIST_UNREVIEWED = Query(
    f"""
    /* ops.list_unreviewed */
    select a.id, a.action_type, a.plan, u.used_by, p.name as used_by_name, u.review_due,
           u.review_due <= clock_timestamp() as is_overdue
      from approvals.break_glass_uses u
      join approvals.ops_actions a on a.id = u.ops_action_id
      left join tenancy.people p on p.id = u.used_by
     where u.reviewed_at is null
     order by u.review_due, a.id
     limit {_UNREVIEWED_MAX}
    """,
    row=UnreviewedRow,
)
