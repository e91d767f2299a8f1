"""Every statement the merchant API and pages run, beside those that count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class SettingsRow:
    merchant_id: str
    name: str
    city: str | None
    country: str
    timezone: str
    locale: str
    default_currency: str
    dashboard_config: dict[str, Any]
    is_frozen: bool
    frozen_reason: str | None
    frozen_until: datetime | None


@dataclass(frozen=True, slots=True)
class PointRow:
    day: date
    hour: int
    sales: int
    refunds: int
    fees: int
    payment_count: int
    created_count: int


@dataclass(frozen=True, slots=True)
class MethodRow:
    method: str
    payment_count: int
    sales: int


@dataclass(frozen=True, slots=True)
class CurrencyRow:
    currency: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    id: UUID
    alert_type: str
    severity: str
    title: str
    description: str
    status: str
    related_transactions: list[str]
    sira_score: Decimal | None
    sira_tags: list[str]
    sira_recommendations: list[str]
    created_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    facts: dict[str, Any]
    resolved_at: datetime | None = None
    resolved_by: str | None = None


@dataclass(frozen=True, slots=True)
class AlertTypeRow:
    alert_type: str


@dataclass(frozen=True, slots=True)
class IdRow:
    id: UUID


FIND_SETTINGS = Query(
    """
    /* merchant.find_settings */
    select tenant.id as merchant_id, s.name, s.city, s.country, s.timezone, s.locale,
           s.default_currency, s.dashboard_config, s.is_frozen,
           case when s.is_frozen then s.reason end as frozen_reason,
           case when s.is_frozen then s.until end as frozen_until
      from set_config('molam.merchant_id', :merchant_id, true) as tenant(id)
     cross join lateral (
        select m.name, m.city, m.country, d.timezone, d.locale, d.default_currency, d.dashboard_config,
               m.status = 'frozen' and coalesce(f.until > now(), true) as is_frozen, f.reason, f.until
          from tenancy.merchants m
          join merchant.merchant_dashboards d on d.merchant_id = m.id
          left join tenancy.merchant_freezes f on f.merchant_id = m.id and f.ended_at is null
         where m.id = tenant.id
     ) as s
    """,
    row=SettingsRow,
)

LIST_HOURS = Query(
    """
    /* merchant.list_hours */
    select day, hour::int, sales, refunds, fees, payment_count, created_count
      from merchant.kpi_hours
     where merchant_id = :merchant_id and currency = :currency
       and day between :from_day and :to_day
     order by day, hour
    """,
    row=PointRow,
)

LIST_DAYS = Query(
    """
    /* merchant.list_days */
    select day, 0 as hour, sales, refunds, fees, payment_count, created_count
      from merchant.kpi_days
     where merchant_id = :merchant_id and currency = :currency
       and day between :from_day and :to_day
     order by day
    """,
    row=PointRow,
)

LIST_METHODS = Query(
    """
    /* merchant.list_methods */
    select method, sum(payment_count)::bigint as payment_count, sum(sales)::bigint as sales
      from merchant.kpi_methods
     where merchant_id = :merchant_id and currency = :currency
       and day between :from_day and :to_day
     group by method
    having sum(payment_count) > 0
     order by sales desc, method
     limit 20
    """,
    row=MethodRow,
)

# A loose index scan: one step per currency instead of one per day.
LIST_CURRENCIES = Query(
    """
    /* merchant.list_currencies */
    select c.code as currency
      from tenancy.currencies c
     where exists (select from merchant.kpi_days d
                    where d.merchant_id = :merchant_id and d.currency = c.code)
     order by c.code
    """,
    row=CurrencyRow,
)

LIST_ALERTS = Query(
    """
    /* merchant.list_alerts */
    select id, alert_type, severity, title, description, status, related_transactions, sira_score,
           sira_tags, sira_recommendations, created_at, acknowledged_at, acknowledged_by, facts,
           resolved_at, resolved_by
      from merchant.merchant_alerts
     where merchant_id = :merchant_id
       and (:status::text is null or status = :status)
       and (:severity::text is null or severity = :severity)
       and (:alert_type::text is null or alert_type = :alert_type)
       and (expires_at is null or expires_at > now() or status <> 'active')
     order by created_at desc, id desc
     limit :limit
    """,
    row=AlertRow,
)

LOCK_ALERT = Query(
    """
    /* merchant.lock_alert */
    select id, alert_type, severity, title, description, status, related_transactions, sira_score,
           sira_tags, sira_recommendations, created_at, acknowledged_at, acknowledged_by, facts,
           resolved_at, resolved_by
      from merchant.merchant_alerts
     where merchant_id = :merchant_id and id = :id
       for update
    """,
    row=AlertRow,
    locks=Rank.ALERT,
)

SET_ACKNOWLEDGED = Query(
    """
    /* merchant.set_acknowledged */
    update merchant.merchant_alerts
       set status = 'acknowledged', acknowledged_by = :by, acknowledged_at = now()
     where merchant_id = :merchant_id and id = :id and status = 'active'
    """,
    row=Nothing,
)

LIST_ALERT_TYPES = Query(
    """
    /* merchant.list_alert_types */
    select distinct alert_type
      from merchant.merchant_alerts
     where merchant_id = :merchant_id
     order by alert_type
     limit 50
    """,
    row=AlertTypeRow,
)

# Whoever settles an alert that nobody had acknowledged has seen it by that.
SET_SETTLED = Query(
    """
    /* merchant.set_settled */
    update merchant.merchant_alerts
       set status = :status, resolved_at = now(), resolved_by = :by,
           acknowledged_by = coalesce(acknowledged_by, :by),
           acknowledged_at = coalesce(acknowledged_at, now())
     where merchant_id = :merchant_id and id = :id and status in ('active', 'acknowledged')
    """,
    row=Nothing,
)

APPEND_ALERT = Query(
    """
    /* merchant.append_alert */
    insert into merchant.merchant_alerts
           (id, merchant_id, alert_type, severity, title, description, related_transactions,
            sira_score, sira_tags, sira_recommendations, episode, facts, expires_at)
    values (:id, :merchant_id, :alert_type, :severity, :title, :description, :related_transactions::text[],
            :sira_score::numeric, :sira_tags::text[], :sira_recommendations::text[], :episode,
            :facts::jsonb, :expires_at::timestamptz)
        on conflict (merchant_id, alert_type, episode) do nothing
    """,
    row=Nothing,
)

APPEND_AUDIT = Query(
    """
    /* merchant.append_audit */
    insert into merchant.merchant_actions_audit
           (id, merchant_id, user_id, action_type, resource_type, resource_id, ip_address,
            user_agent, changes)
    values (:id, :merchant_id, :user_id, :action_type, :resource_type, :resource_id, :ip_address,
            :user_agent, :changes::jsonb)
    """,
    row=Nothing,
)

APPEND_TRAIL = Query(
    """
    /* merchant.append_trail */
    insert into merchant.merchant_actions_audit
           (id, merchant_id, user_id, action_type, resource_type, resource_id, ip_address, user_agent,
            changes, requires_2fa, two_factor_verified, approval_required, approval_id)
    values (gen_random_uuid(), :merchant_id, :user_id, :action_type, :resource_type, :resource_id,
            :ip_address, :user_agent, :changes::jsonb, :requires_2fa, :two_factor_verified,
            :approval_required, :approval_id)
    """,
    row=Nothing,
)
