"""The statements behind the console's statistics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class TotalRow:
    actions: int
    open: int
    expired: int
    ended: int
    failed: int
    carried_out: int
    p50_s: float | None
    p90_s: float | None

    @property
    def expired_share(self) -> float | None:
        return 100 * self.expired / self.ended if self.ended else None

    @property
    def failed_share(self) -> float | None:
        return 100 * self.failed / self.carried_out if self.carried_out else None


# From the instant of the decision, which nothing later moves: `updated_at` would.
TOTAL = Query(
    """
    /* ops.statistics_total */
    select count(*) as actions,
           count(*) filter (where state in ('pending', 'blocked')) as open,
           count(*) filter (where state = 'expired' and decided_at is null) as expired,
           count(*) filter (where decided_at is not null
                               or (state = 'expired' and decided_at is null)) as ended,
           count(*) filter (where state in ('failed', 'execution_unknown')) as failed,
           count(*) filter (where state in ('failed', 'execution_unknown')
                               or executed_at is not null) as carried_out,
           percentile_cont(0.5) within group (
               order by extract(epoch from decided_at - created_at)::float8) as p50_s,
           percentile_cont(0.9) within group (
               order by extract(epoch from decided_at - created_at)::float8) as p90_s
      from approvals.ops_actions
     where created_at >= now() - make_interval(days => :days)
    """,
    row=TotalRow,
)


@dataclass(frozen=True, slots=True)
class TypeRow:
    action_type: str
    actions: int
    approved: int
    rejected: int
    expired: int
    p50_s: float | None
    p90_s: float | None


BY_TYPE = Query(
    """
    /* ops.statistics_by_type */
    select action_type,
           count(*) as actions,
           count(*) filter (where decided_at is not null and state <> 'rejected') as approved,
           count(*) filter (where state = 'rejected') as rejected,
           count(*) filter (where state = 'expired' and decided_at is null) as expired,
           percentile_cont(0.5) within group (
               order by extract(epoch from decided_at - created_at)::float8) as p50_s,
           percentile_cont(0.9) within group (
               order by extract(epoch from decided_at - created_at)::float8) as p90_s
      from approvals.ops_actions
     where created_at >= now() - make_interval(days => :days)
     group by action_type
     order by actions desc, action_type
     limit 50
    """,
    row=TypeRow,
)


@dataclass(frozen=True, slots=True)
class HasteRow:
    critical_votes: int
    fast_critical: int


# A vote within five seconds of the action, or of the same person's vote before it:
# in neither case can the page have been read.
HASTE = Query(
    """
    /* ops.statistics_haste */
    with votes as (
        select v.ops_action_id,
               v.created_at,
               lag(v.created_at) over (partition by v.voter_id order by v.created_at) as before
          from approvals.ops_approvals v
         where v.created_at >= now() - make_interval(days => :days)
           and v.vote in ('approve', 'reject')
    )
    select count(*) as critical_votes,
           count(*) filter (where v.created_at < a.created_at + interval '5 seconds'
                               or v.created_at < v.before + interval '5 seconds') as fast_critical
      from votes v
      join approvals.ops_actions a on a.id = v.ops_action_id
     where a.risk_level = 'critical'
    """,
    row=HasteRow,
)


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


SELF_REFUSED = Query(
    """
    /* ops.statistics_self_refused */
    select count(*) as count
      from audit.ops_approval_audit
     where action = 'vote.refused'
       and created_at >= now() - make_interval(days => :days)
    """,
    row=CountRow,
)


@dataclass(frozen=True, slots=True)
class EmergencyRow:
    emergencies: int
    reviews_due: int


EMERGENCIES = Query(
    """
    /* ops.statistics_emergencies */
    select count(*) filter (where used_at >= now() - make_interval(days => :days)) as emergencies,
           count(*) filter (where reviewed_at is null) as reviews_due
      from approvals.break_glass_uses
    """,
    row=EmergencyRow,
)


@dataclass(frozen=True, slots=True)
class PairRow:
    first_name: str
    second_name: str
    there: int
    back: int
    only: bool


PAIRS = Query(
    """
    /* ops.statistics_pairs */
    with agreed as (
        select a.created_by as asked, v.voter_id as approved, count(*) as times
          from approvals.current_votes v
          join approvals.ops_actions a on a.id = v.ops_action_id
         where v.vote = 'approve'
           and v.created_at >= now() - make_interval(days => :days)
         group by a.created_by, v.voter_id
    ),
    -- How many others each has approved for.
    spread as (
        select approved, count(*) as others from agreed group by approved
    )
    select coalesce(p.name, there.asked) as first_name,
           coalesce(q.name, there.approved) as second_name,
           there.times as there,
           back.times as back,
           coalesce(s.others, 0) = 1 and coalesce(r.others, 0) = 1 as only
      from agreed there
      join agreed back on back.asked = there.approved and back.approved = there.asked
      left join spread s on s.approved = there.asked
      left join spread r on r.approved = there.approved
      left join tenancy.people p on p.id = there.asked
      left join tenancy.people q on q.id = there.approved
     where there.asked < there.approved
     order by there.times + back.times desc, first_name, second_name
     limit 10
    """,
    row=PairRow,
)


@dataclass(frozen=True, slots=True)
class HolderRow:
    person_id: str
    name: str
    roles: list[str]


HOLDERS = Query(
    """
    /* ops.list_holders */
    select h.person_id, h.name, array_agg(h.role order by h.role) as roles
      from tenancy.role_holders h
     group by h.person_id, h.name
     order by h.name, h.person_id
     limit 2000
    """,
    row=HolderRow,
)


@dataclass(frozen=True, slots=True)
class AuditRow:
    id: int
    chain: str
    seq: int
    ops_action_id: UUID | None
    action: str
    actor: str | None
    actor_name: str | None
    snapshot: dict[str, Any]
    hash: bytes
    created_at: datetime


_ENTRY = """e.id, e.chain, e.seq, e.ops_action_id, e.action, e.actor, p.name as actor_name,
           e.snapshot, e.hash, e.created_at"""

LATEST_ENTRIES = Query(
    f"""
    /* ops.latest_entries */
    select {_ENTRY}
      from audit.ops_approval_audit e
      left join tenancy.people p on p.id = e.actor
     order by e.id desc
     limit :limit
    """,
    row=AuditRow,
)

ENTRIES_OF_ACTOR = Query(
    f"""
    /* ops.entries_of_actor */
    select {_ENTRY}
      from audit.ops_approval_audit e
      left join tenancy.people p on p.id = e.actor
     where e.actor = :actor
        or p.name ilike :pattern
     order by e.id desc
     limit :limit
    """,
    row=AuditRow,
)

ENTRIES_OF_ACTION = Query(
    f"""
    /* ops.entries_of_action */
    select {_ENTRY}
      from audit.ops_approval_audit e
      left join tenancy.people p on p.id = e.actor
     where e.ops_action_id = :action_id
     order by e.seq
     limit :limit
    """,
    row=AuditRow,
)
