"""Rules as the API shows them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from molam.alerts.rules.messages import number
from molam.alerts.rules.model import (
    AlertType,
    Comparison,
    Escalation,
    Rule,
    Severity,
    TenantType,
    Unit,
)


class RuleView(msgspec.Struct, frozen=True):
    """Levels are in `unit`: amounts in minor units of `currency`, shares from 0 to 1."""

    id: str
    alert_type: AlertType
    metric: str
    comparison: Comparison
    tenant_type: TenantType
    tenant_id: str | None
    currency: str | None
    unit: Unit
    fire_at: int | float
    clear_at: int | float
    critical_at: int | float | None
    for_s: int
    keep_firing_s: int
    no_data_s: int | None
    severity: Severity
    notify_roles: list[str]
    escalation: list[Escalation]
    enabled: bool
    version: int
    updated_by: str
    updated_at: datetime


def rule(row: Rule) -> RuleView:
    return RuleView(
        id=row.id,
        alert_type=row.alert_type,
        metric=row.metric,
        comparison=row.comparison,
        tenant_type=row.tenant_type,
        tenant_id=row.tenant_id,
        currency=row.currency,
        unit=row.unit,
        fire_at=number(row.fire_at),
        clear_at=number(row.clear_at),
        critical_at=_optional(row.critical_at),
        for_s=row.for_s,
        keep_firing_s=row.keep_firing_s,
        no_data_s=row.no_data_s,
        severity=row.severity,
        notify_roles=list(row.notify_roles),
        escalation=list(row.escalation),
        enabled=row.enabled,
        version=row.version,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
    )


def _optional(level: Decimal | None) -> int | float | None:
    return None if level is None else number(level)
