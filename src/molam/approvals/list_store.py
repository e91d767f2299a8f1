"""The statements that read actions, votes, comments and history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from molam.approvals.store import COLUMNS, ActionRow
from molam.platform.db import Query

# The voters' index alone would sort all that is open; the deadline's alone would read
# past what others decide. Which is cheaper is the planner's to know, so roles and person
# are plain parameters: of an expression it cannot tell how many actions it fits.
LIST_PENDING = Query(
    """
    /* approvals.list_pending */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions
     where state in ('pending', 'blocked')
       and (voter_roles && :roles::text[] or voter_ids && array[:person::text])
       and (expires_at > clock_timestamp() or escalates_at is not null)
     order by expires_at, id
     limit :limit
    offset :offset
    """,
    row=ActionRow,
)

# The roles whose seats somebody else has lent to :person; they are asked for those too.
ROLES_LENT = """array(
               select d.role
                 from approvals.delegations as d
                where d.delegate_id = :person::text
                  and d.revoked_at is null
                  and d.starts_at <= now()
                  and d.ends_at > now())"""


@dataclass(frozen=True, slots=True)
class RolesRow:
    roles: list[str]


LIST_ROLES_LENT = Query(
    """
    /* approvals.list_roles_lent */
    select """
    + ROLES_LENT
    + """ as roles
    """,
    row=RolesRow,
)

# What one person can decide now: not theirs, and without a vote that they stand by. The
# latest vote compared with `=` would make the planner expect one action in two hundred to
# remain, and sort everything rather than go by the deadline.
LIST_VOTABLE = Query(
    """
    /* approvals.list_votable */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions as a
     where state in ('pending', 'blocked')
       and (voter_roles && :roles::text[] or voter_ids && array[:person::text])
       and not :person::text = any(excluded)
       and (expires_at > clock_timestamp() or escalates_at is not null)
       and not exists (
           select
             from (
                 select v.vote
                   from approvals.ops_approvals as v
                  where v.ops_action_id = a.id
                    and v.voter_id = :person::text
                  order by v.seq desc
                  limit 1
             ) as latest
            where vote <> 'withdrawn')
     order by expires_at, id
     limit :limit
    offset :offset
    """,
    row=ActionRow,
)

# The other tabs of the queue. Each has an index in its own order, so that what is
# shown costs the same however much there is.
LIST_VOTED = Query(
    """
    /* approvals.list_voted */
    select """
    + COLUMNS
    + """
      from (
          select ops_action_id, created_at as voted_at
            from approvals.ops_approvals
           where voter_id = :person
             and prev_vote_id is null
      ) as mine
      join approvals.ops_actions on id = ops_action_id
     where state in ('pending', 'blocked')
     order by voted_at desc, id desc
     limit :limit
    offset :offset
    """,
    row=ActionRow,
)

LIST_ASKED_FOR = Query(
    """
    /* approvals.list_asked_for */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions
     where created_by = :person
     order by created_at desc, id desc
     limit :limit
    offset :offset
    """,
    row=ActionRow,
)

LIST_ESCALATED = Query(
    """
    /* approvals.list_escalated */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions
     where state in ('pending', 'blocked')
       and level > 0
     order by expires_at, id
     limit :limit
    offset :offset
    """,
    row=ActionRow,
)

LIST_GRANTED = Query(
    """
    /* approvals.list_granted */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions
     where state in ('approved', 'scheduled', 'executing', 'execution_unknown', 'failed')
     order by decided_at desc, id desc
     limit :limit
    offset :offset
    """,
    row=ActionRow,
)

LIST_ENDED = Query(
    """
    /* approvals.list_ended */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions
     where state not in ('pending', 'blocked', 'approved', 'scheduled', 'executing',
                         'execution_unknown', 'failed')
     order by updated_at desc, id desc
     limit :limit
    offset :offset
    """,
    row=ActionRow,
)

SEARCH_ACTIONS = Query(
    """
    /* approvals.search_actions */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions
     where (:status::text is null or status = :status::text)
       and (:action_type::text is null or action_type = :action_type::text)
       and (:origin::text is null or origin = :origin::text)
       and (:created_by::text is null or created_by = :created_by::text)
       and (:target_type::text is null or target_tenant_type = :target_type::text)
       and (:target_id::text is null or target_tenant_id = :target_id::text)
       and (:since::timestamptz is null or created_at >= :since::timestamptz)
       and (:until::timestamptz is null or created_at < :until::timestamptz)
       and (:before_at::timestamptz is null
            or (created_at, id) < (:before_at::timestamptz, :before_id::uuid))
     order by created_at desc, id desc
     limit :limit
    """,
    row=ActionRow,
)


LIST_USER_ACTIONS = Query(
    """
    /* approvals.list_user_actions */
    select """
    + COLUMNS
    + """
      from approvals.ops_actions
     where created_by = :person
        or executed_by = :person
     order by created_at desc, id desc
     limit :limit
    offset :offset
    """,
    row=ActionRow,
)


@dataclass(frozen=True, slots=True)
class VoteRow:
    id: UUID
    ops_action_id: UUID
    seq: int
    voter_id: str
    voter_name: str
    voter_email: str | None
    voter_roles: list[str]
    seat: str
    vote: str
    comment: str | None
    jwt_fingerprint: str | None
    client_vote_id: str | None
    intent_hash: bytes | None
    view_hash: bytes | None
    auth: dict[str, Any]
    channel: str
    ip_address: str | None
    user_agent: str | None
    prev_vote_id: UUID | None
    created_at: datetime
    is_current: bool


LIST_VOTES = Query(
    """
    /* approvals.list_votes */
    select id, ops_action_id, seq, voter_id, voter_name, voter_email, voter_roles, seat, vote,
           comment, jwt_fingerprint, client_vote_id, intent_hash, view_hash, auth, channel,
           ip_address, user_agent, prev_vote_id, created_at,
           row_number() over (partition by ops_action_id, voter_id order by seq desc) = 1
               as is_current
      from approvals.ops_approvals
     where ops_action_id = any(:ids::uuid[])
     order by ops_action_id, seq
    """,
    row=VoteRow,
)

LIST_USER_VOTES = Query(
    """
    /* approvals.list_user_votes */
    select id, ops_action_id, seq, voter_id, voter_name, voter_email, voter_roles, seat, vote,
           comment, jwt_fingerprint, client_vote_id, intent_hash, view_hash, auth, channel,
           ip_address, user_agent, prev_vote_id, created_at, true as is_current
      from approvals.ops_approvals
     where voter_id = :person
     order by created_at desc, id desc
     limit :limit
    offset :offset
    """,
    row=VoteRow,
)


@dataclass(frozen=True, slots=True)
class CommentRow:
    id: UUID
    author_id: str
    author_name: str
    kind: str
    text: str
    created_at: datetime


LIST_COMMENTS = Query(
    """
    /* approvals.list_comments */
    select id, author_id, author_name, kind, text, created_at
      from approvals.action_comments
     where ops_action_id = :ops_action_id
     order by created_at, id
    """,
    row=CommentRow,
)


@dataclass(frozen=True, slots=True)
class StatsRow:
    action_type: str
    total_actions: int
    approved_count: int
    rejected_count: int
    expired_count: int
    approval_rate: Decimal | None
    avg_approval_time_seconds: Decimal | None


LIST_STATS = Query(
    """
    /* approvals.list_stats */
    select action_type, total_actions, approved_count, rejected_count, expired_count,
           round(approved_count::numeric
                 / nullif(approved_count + rejected_count + expired_count, 0), 4) as approval_rate,
           round(avg_approval_time_seconds, 3) as avg_approval_time_seconds
      from approvals.approval_performance_stats
     order by action_type
    """,
    row=StatsRow,
)


@dataclass(frozen=True, slots=True)
class PendingSummaryRow:
    action_type: str
    status: str
    count: int
    oldest_action_at: datetime


LIST_PENDING_SUMMARY = Query(
    """
    /* approvals.list_pending_summary */
    select action_type, status, count(*) as count, min(created_at) as oldest_action_at
      from approvals.pending_actions_summary
     group by action_type, status
     order by action_type, status
    """,
    row=PendingSummaryRow,
)


@dataclass(frozen=True, slots=True)
class AttemptRow:
    fence: int
    worker: str
    started_by: str
    began_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: str | None


LIST_ATTEMPTS = Query(
    """
    /* approvals.list_attempts */
    select fence, worker, started_by, began_at, ended_at, outcome, error
      from approvals.execution_attempts
     where ops_action_id = :ops_action_id
     order by fence
    """,
    row=AttemptRow,
)


@dataclass(frozen=True, slots=True)
class NamedRow:
    id: str
    name: str


LIST_NAMES = Query(
    """
    /* approvals.list_names */
    select id, name
      from tenancy.people
     where id = any(:ids::text[])
    """,
    row=NamedRow,
)
