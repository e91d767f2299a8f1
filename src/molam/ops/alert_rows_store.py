"""Statements about the rows behind alerts: what was counted when they opened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class RowBehind:
    """*status* is the row's own word, *details* what it says of itself."""

    kind: str
    id: str
    merchant_id: str | None
    merchant_name: str | None
    amount: int | None
    currency: str | None
    status: str
    details: str
    at: datetime


_OF_MERCHANTS = """
      join tenancy.merchants m on m.id = x.merchant_id
     where x.occurred_at >= :begins and x.occurred_at < :ends
       and (:currency::text is null or x.currency = :currency)
       and (:tenant_type::text = 'platform'
            or :tenant_type = 'merchant' and x.merchant_id = :tenant_id
            or :tenant_type = 'region' and ops.region_of(m.country) = :tenant_id)"""

LIST_REFUNDS = Query(
    """
    /* ops.list_refunds_behind */
    select 'refund' as kind, x.id, x.merchant_id, m.name as merchant_name, x.amount, x.currency,
           x.state as status, '' as details, x.occurred_at as at
      from payments.wallet_transactions x"""
    + _OF_MERCHANTS
    + """
       and x.type = 'refund'
     order by x.occurred_at desc, x.id desc
     limit :rows_max
    """,
    row=RowBehind,
)

LIST_PAYMENTS = Query(
    """
    /* ops.list_payments_behind */
    select 'payment' as kind, x.id, x.merchant_id, m.name as merchant_name, x.amount, x.currency,
           x.state as status, '' as details, x.occurred_at as at
      from payments.wallet_transactions x"""
    + _OF_MERCHANTS
    + """
       and x.type = 'payment'
     order by x.state = 'succeeded', x.occurred_at desc, x.id desc
     limit :rows_max
    """,
    row=RowBehind,
)

LIST_DISPUTES = Query(
    """
    /* ops.list_disputes_behind */
    select 'dispute' as kind, x.id, x.merchant_id, m.name as merchant_name, x.amount, x.currency,
           x.state as status, '' as details, x.occurred_at as at
      from payments.disputes x"""
    + _OF_MERCHANTS
    + """
     order by x.occurred_at desc, x.id desc
     limit :rows_max
    """,
    row=RowBehind,
)

LIST_LINES = Query(
    """
    /* ops.list_lines_behind */
    select 'line' as kind, l.statement_id || '/lines/' || l.line_no as id, null::text as merchant_id,
           null::text as merchant_name, l.amount, l.currency, l.state as status,
           coalesce(nullif(l.text, ''), l.bank_ref) as details, s.imported_at as at
      from payments.statement_lines l
      join payments.statements s on s.id = l.statement_id and s.discarded_at is null
     where l.bank_profile_id = :tenant_id and l.state not in ('matched', 'void')
       and s.imported_at >= :begins and s.imported_at < :ends
     order by s.imported_at desc, l.id desc
     limit :rows_max
    """,
    row=RowBehind,
)

LIST_ATTEMPTS = Query(
    """
    /* ops.list_attempts_behind */
    select 'attempt' as kind, x.object_id as id, x.merchant_id, m.name as merchant_name, x.amount,
           x.currency, x.state as status, concat_ws(' ', x.code, x.reason) as details,
           x.updated_at as at
      from payments.bank_attempts x
      join tenancy.merchants m on m.id = x.merchant_id
     where x.bank_profile_id = :tenant_id and x.state in ('rejected', 'returned', 'unknown')
       and x.updated_at >= :begins and x.updated_at < :ends
     order by x.updated_at desc, x.id desc
     limit :rows_max
    """,
    row=RowBehind,
)

LIST_SCORES = Query(
    """
    /* ops.list_scores_behind */
    select 'score' as kind, r.id::text as id, m.id as merchant_id, m.name as merchant_name,
           r.sira_score::bigint as amount, null::text as currency, r.status,
           coalesce(r.sira_reason, r.action_type) as details, r.created_at as at
      from approvals.approvals_action r
      join tenancy.merchants m on m.id = coalesce(r.payload ->> 'merchant_id', r.origin_entity_id)
     where r.sira_score is not null and (:tenant_id::text is null or m.id = :tenant_id)
       and r.created_at >= :begins and r.created_at < :ends
     order by r.created_at desc, r.id desc
     limit :rows_max
    """,
    row=RowBehind,
)

LIST_HELD = Query(
    """
    /* ops.list_held_behind */
    select *
      from (select 'event' as kind, d.id::text as id, null::text as merchant_id, null::text as merchant_name,
                   null::bigint as amount, null::text as currency, d.topic as status,
                   left(d.reason, 300) as details, d.failed_at as at
              from platform.dead_letters d
             where d.requeued_at is null
             union all
            select 'job', j.id::text, null, null, null, null, j.entrypoint, '', j.updated
              from jobs.pgqueuer j
             where j.status = 'failed') held
     where held.at < :ends
     order by held.at desc, held.id desc
     limit :rows_max
    """,
    row=RowBehind,
)
