"""Statements about rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from molam.alerts.rules.model import AlertType, Comparison, Severity, TenantType, Unit
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class RuleRow:
    id: str
    alert_type: AlertType
    metric: str
    comparison: Comparison
    tenant_type: TenantType
    tenant_id: str | None
    currency: str | None
    unit: Unit
    fire_at: Decimal
    clear_at: Decimal
    critical_at: Decimal | None
    for_s: int
    keep_firing_s: int
    no_data_s: int | None
    severity: Severity
    notify_roles: list[str]
    escalation: list[dict[str, Any]]
    enabled: bool
    version: int
    updated_by: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class EditionRow:
    edition: int
    rules: int


@dataclass(frozen=True, slots=True)
class TenantRow:
    kind: str
    id: str
    currency: str


@dataclass(frozen=True, slots=True)
class UnknownRow:
    kind: TenantType
    id: str


@dataclass(frozen=True, slots=True)
class LockedRow:
    at: datetime


LIST_RULES = Query(
    """
    /* rules.list_rules */
    select id, alert_type, metric, comparison, tenant_type, tenant_id, currency, unit, fire_at, clear_at,
           critical_at, for_s, keep_firing_s, no_data_s, severity, notify_roles, escalation, enabled,
           version, updated_by, updated_at
      from alerts.metric_rules
     order by id
    """,
    row=RuleRow,
)

# Rules are never deleted, and each change raises a version: so this moves with every change.
EDITION = Query(
    """
    /* rules.edition */
    select coalesce(sum(version), 0)::bigint as edition, count(*)::bigint as rules
      from alerts.metric_rules
    """,
    row=EditionRow,
)

# Changes go one by one, so that none is compared with what is no longer in force.
LOCK_RULES = Query(
    """
    /* rules.lock_rules */
    select clock_timestamp() as at
      from (select pg_advisory_xact_lock(hashtext('alerts.metric_rules'))) held
    """,
    row=LockedRow,
    locks=Rank.METRIC_SERIES,
)

WRITE_RULE = Query(
    """
    /* rules.write_rule */
    insert into alerts.metric_rules
           (id, alert_type, metric, comparison, tenant_type, tenant_id, currency, unit, fire_at, clear_at,
            critical_at, for_s, keep_firing_s, no_data_s, severity, notify_roles, escalation, enabled,
            created_by, updated_by)
    values (:id, :alert_type, :metric, :comparison, :tenant_type, :tenant_id, :currency, :unit, :fire_at,
            :clear_at, :critical_at, :for_s, :keep_firing_s, :no_data_s, :severity, :notify_roles,
            :escalation, :enabled, :by, :by)
        on conflict (id) do update
       set fire_at = excluded.fire_at,
           clear_at = excluded.clear_at,
           critical_at = excluded.critical_at,
           for_s = excluded.for_s,
           keep_firing_s = excluded.keep_firing_s,
           no_data_s = excluded.no_data_s,
           severity = excluded.severity,
           notify_roles = excluded.notify_roles,
           escalation = excluded.escalation,
           enabled = excluded.enabled,
           updated_by = excluded.updated_by,
           updated_at = now(),
           version = alerts.metric_rules.version + 1
    """,
    row=Nothing,
)

LIST_TENANT_CURRENCIES = Query(
    """
    /* rules.list_tenant_currencies */
    select 'merchant' as kind, id, default_currency as currency
      from tenancy.merchants
     where id = any(:merchant_ids::text[])
     union all
    select 'agent' as kind, id, currency
      from tenancy.agents
     where id = any(:agent_ids::text[])
    """,
    row=TenantRow,
)

# Regions are not registered: of them none is unknown.
LIST_UNKNOWN_TENANTS = Query(
    """
    /* rules.list_unknown_tenants */
    select kind, id
      from unnest(:kinds::text[], :ids::text[]) as t (kind, id)
     where kind = 'merchant' and not exists (select from tenancy.merchants as m where m.id = t.id)
        or kind = 'agent' and not exists (select from tenancy.agents as g where g.id = t.id)
        or kind = 'bank' and not exists (select from payments.bank_profiles as b where b.id = t.id)
     order by kind, id
    """,
    row=UnknownRow,
)
