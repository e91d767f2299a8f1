"""Statements about what is known beside an alert."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from molam.alerts.remediation.store import CountRow
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class OutflowRow:
    day: date
    amount: int


@dataclass(frozen=True, slots=True)
class ValueRow:
    value: Decimal


@dataclass(frozen=True, slots=True)
class PointRow:
    minute: datetime
    last_at: datetime
    last_value: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class BankRow:
    bank_profile_id: str
    belief: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RecommendationRow:
    id: UUID
    title: str
    status: str
    suggested_action: dict[str, Any]
    explanation: dict[str, Any]
    confidence_score: Decimal
    is_pending: bool


DAILY_OUTFLOWS = Query(
    """
    /* remediation.daily_outflows */
    select (occurred_at at time zone 'UTC')::date as day, sum(amount)::bigint as amount
      from ledger.transfers
     where agent_id = :agent_id and source = :account_id and cause <> 'float.adjusted'
       and occurred_at >= date_trunc('day', now()) - interval '28 days'
       and occurred_at < date_trunc('day', now())
     group by 1
     order by 1
    """,
    row=OutflowRow,
)

EARLIER_WORST = Query(
    """
    /* remediation.earlier_worst */
    select case when :below::boolean then min(low) else max(high) end as value
      from alerts.metric_points
     where metric = :metric and tenant_type = :tenant_type::text and tenant_id = :tenant_id
       and currency = :currency and minute < :before::timestamptz - interval '1 hour'
     group by (minute at time zone 'UTC')::date
     order by (minute at time zone 'UTC')::date desc
     limit 28
    """,
    row=ValueRow,
)

POINTS_SINCE = Query(
    """
    /* remediation.points_since */
    select minute, last_at, last_value, low, high
      from alerts.metric_points
     where metric = :metric and tenant_type = :tenant_type::text and tenant_id = :tenant_id
       and currency = :currency and minute >= date_trunc('minute', :since::timestamptz)
       and last_at >= :since
     order by minute
    """,
    row=PointRow,
)

OTHER_BANKS = Query(
    """
    /* remediation.other_banks */
    select distinct on (h.bank_profile_id) h.bank_profile_id, h.belief
      from mesh.member_health as h
     where h.mode = 'serving'
       and exists (select from mesh.member_health as o
                    where o.bank_profile_id = :bank_profile_id
                      and o.currency = h.currency and o.rail = h.rail)
     order by h.bank_profile_id, h.updated_at desc
     limit 50
    """,
    row=BankRow,
)

HIT_BY_THRESHOLD = Query(
    """
    /* remediation.hit_by_threshold */
    select count(*) as count
      from alerts.alerts
     where alert_type = :alert_type::text and tenant_type = :tenant_type::text
       and (:tenant_id::text is null or tenant_id = :tenant_id)
       and (:currency::text is null or currency = :currency)
       and created_at > now() - interval '30 days'
       and (:below::boolean is null
            or case when :below then (metric ->> 'value')::numeric < :threshold::numeric
                    else (metric ->> 'value')::numeric > :threshold::numeric end)
    """,
    row=CountRow,
)

FIND_RECOMMENDATION = Query(
    """
    /* remediation.find_recommendation */
    select id, title, status, suggested_action, explanation, confidence_score,
           state = 'pending' and expires_at > now() as is_pending
      from ops.sira_dash_recommendations
     where id = :id
    """,
    row=RecommendationRow,
)
