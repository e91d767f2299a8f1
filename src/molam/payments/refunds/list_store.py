"""The statements that show refunds, and that find those whose time is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.payments.refunds.store import COLUMNS, RefundRow
from molam.platform.db import Query

DECIDED = frozenset(
    {"approved", "scheduled", "rejected", "expired", "cancelled", "superseded", "stale", "failed"}
)


@dataclass(frozen=True, slots=True)
class EventRow:
    at: datetime
    actor_id: str
    actor_name: str
    actor_kind: str
    ip_address: str | None
    user_agent: str | None
    old_state: str | None
    new_state: str
    code: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    state: str


@dataclass(frozen=True, slots=True)
class RefusalRow:
    id: str
    name: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class EndedRow:
    merchant_id: str
    id: str
    state: str


@dataclass(frozen=True, slots=True)
class OverdueRow:
    merchant_id: str
    id: str


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


LIST_REFUNDS = Query(
    "/* refunds.list_refunds */ select "
    + COLUMNS
    + """
      from payments.refunds
     where merchant_id = :merchant_id
       and (created_at, id) < (:at::timestamptz, :id::text)
       and created_at >= :from_at
       and created_at < :to_at
       and (:state::text is null or state = :state)
       and (:statuses::text[] is null or status = any(:statuses))
       and (:transaction_id::text is null or transaction_id = :transaction_id)
     order by created_at desc, id desc
     limit :limit""",
    row=RefundRow,
)

LIST_OF_PAYMENT = Query(
    "/* refunds.list_of_payment */ select "
    + COLUMNS
    + """
      from payments.refunds
     where merchant_id = :merchant_id and transaction_id = :transaction_id
     order by created_at, id
     limit 200""",
    row=RefundRow,
)

LIST_EVENTS = Query(
    """
    /* refunds.list_events */
    select at, actor_id, actor_name, actor_kind, ip_address, user_agent, old_state, new_state, code, detail
      from payments.refund_events
     where merchant_id = :merchant_id and refund_id = :refund_id
     order by seq
     limit 200
    """,
    row=EventRow,
)

COUNT_WAITING = Query(
    """
    /* refunds.count_waiting */
    select count(*) as count
      from payments.refunds
     where merchant_id = :merchant_id and state = 'awaiting_approval'
    """,
    row=CountRow,
)

FIND_DECISION = Query(
    """
    /* refunds.find_decision */
    select case when state = 'failed' and next_attempt_at is not null then 'executing' else state end as state
      from approvals.ops_actions
     where id = :action_id
    """,
    row=DecisionRow,
)

FIND_REFUSAL = Query(
    """
    /* refunds.find_refusal */
    select voter_id as id, voter_name as name, comment
      from approvals.current_votes
     where ops_action_id = :action_id
       and vote = 'reject'
     order by seq desc
     limit 1
    """,
    row=RefusalRow,
)

LIST_ENDED = Query(
    """
    /* refunds.list_ended */
    select r.merchant_id, r.id, a.state
      from payments.refunds r
      join approvals.ops_actions a
        on a.id = case when r.approval_via = 'engine' then r.approval_id::uuid end
     where r.state = 'awaiting_approval'
       and r.approval_via = 'engine'
       and (a.state in ('rejected', 'expired', 'cancelled', 'superseded', 'stale')
            or (a.state = 'failed' and a.next_attempt_at is null))
     order by r.expires_at
     limit :limit
    """,
    row=EndedRow,
)

LIST_WITHOUT_DETAILS = Query(
    """
    /* refunds.list_without_details */
    select merchant_id, id
      from payments.refunds
     where state = 'needs_details'
       and details_until < now()
     order by details_until
     limit :limit
    """,
    row=OverdueRow,
)
