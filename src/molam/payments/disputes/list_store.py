"""The statements that list and sum disputes of one merchant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class OpenRow:
    id: str
    state: str
    stage: int
    amount: int
    currency: str
    evidence_due_at: datetime | None


@dataclass(frozen=True, slots=True)
class SumRow:
    amount: int


@dataclass(frozen=True, slots=True)
class ListedRow:
    id: str
    transaction_id: str | None
    type: str
    reason: str | None
    network_reason_code: str | None
    provider: str | None
    network_case_id: str | None
    amount: int
    fee: int
    currency: str
    status: str
    state: str
    stage: int
    occurred_at: datetime
    opened_at: datetime
    evidence_due_at: datetime | None
    submitted_at: datetime | None
    resolved_at: datetime | None
    updated_at: datetime
    customer: dict[str, Any] | None
    files: int


@dataclass(frozen=True, slots=True)
class AtRiskRow:
    currency: str
    amount: int
    disputes: int
    waiting: int
    next_due_at: datetime | None


@dataclass(frozen=True, slots=True)
class EventRow:
    id: UUID
    kind: str
    stage: int
    old_state: str | None
    new_state: str
    actor_kind: str
    actor: str | None
    details: dict[str, Any]
    at: datetime


LIST_OPEN_OF = Query(
    """
    /* disputes.list_open_of */
    select id, state, stage, amount, currency, evidence_due_at
      from payments.disputes
     where merchant_id = :merchant_id and transaction_id = :transaction_id
       and state in ('needs_response', 'under_review', 'expired')
     order by opened_at desc, id
     limit 1
    """,
    row=OpenRow,
)

SUM_LOST_OF = Query(
    """
    /* disputes.sum_lost_of */
    select coalesce(sum(amount), 0)::bigint as amount
      from payments.disputes
     where merchant_id = :merchant_id and transaction_id = :transaction_id
       and state in ('lost', 'accepted')
    """,
    row=SumRow,
)

_LISTED = """
           d.id, d.transaction_id, d.type, d.reason, d.network_reason_code, d.provider,
           d.network_case_id, d.amount, d.fee, d.currency, d.status, d.state, d.stage, d.occurred_at,
           d.opened_at, d.evidence_due_at, d.submitted_at, d.resolved_at, d.updated_at, p.customer,
           (select count(*)::int from payments.dispute_evidence e
             where e.merchant_id = d.merchant_id and e.dispute_id = d.id and e.stage = d.stage
               and e.removed_at is null) as files
      from payments.disputes d
      left join payments.wallet_transactions p
        on p.merchant_id = d.merchant_id and p.type = 'payment' and p.id = d.transaction_id
     where d.merchant_id = :merchant_id
       and (:state::text is null or d.state = :state)
       and (:status::text is null or d.status = :status)
       and (:transaction_id::text is null or d.transaction_id = :transaction_id)"""

LIST = Query(
    "/* disputes.list */ select"
    + _LISTED
    + """
       and (:from_at::timestamptz is null or d.occurred_at >= :from_at)
       and (:to_at::timestamptz is null or d.occurred_at < :to_at)
       and (:at::timestamptz is null or (d.occurred_at, d.id) < (:at, :id::text))
     order by d.occurred_at desc, d.id desc
     limit :limit""",
    row=ListedRow,
)

LIST_WAITING = Query(
    "/* disputes.list_waiting */ select"
    + _LISTED
    + """
       and d.state in ('early_warning', 'needs_response')
       and (:at::timestamptz is null or (d.evidence_due_at, d.id) > (:at, :id::text))
     order by d.evidence_due_at, d.id
     limit :limit""",
    row=ListedRow,
)

SUM_AT_RISK = Query(
    """
    /* disputes.sum_at_risk */
    select currency, sum(amount)::bigint as amount, count(*)::int as disputes,
           (count(*) filter (where state in ('early_warning', 'needs_response')
                               and evidence_due_at > now()))::int as waiting,
           min(evidence_due_at) filter (where state in ('early_warning', 'needs_response')
                                          and evidence_due_at > now()) as next_due_at
      from payments.disputes
     where merchant_id = :merchant_id
       and state in ('early_warning', 'needs_response', 'under_review', 'expired')
     group by currency
     order by currency
    """,
    row=AtRiskRow,
)

LIST_EVENTS = Query(
    """
    /* disputes.list_events */
    select id, kind, stage, old_state, new_state, actor_kind, actor, details, at
      from payments.dispute_events
     where merchant_id = :merchant_id and dispute_id = :id
     order by at, id
     limit 300
    """,
    row=EventRow,
)
