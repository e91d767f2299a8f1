"""What the home's pages read beyond the figures: the alerts that began in a stretch of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class BegunRow:
    id: UUID
    alert_type: str
    severity: str
    title: str
    facts: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WaitingRow:
    id: UUID
    plan: dict[str, Any]
    target_tenant_id: str


# What waits, with what its rehearsal said: its sentence, its target's name, its amount.
LIST_WAITING = Query(
    """
    /* dashboard.list_waiting */
    select id, plan, target_tenant_id
      from approvals.ops_actions
     where id = any(:ids::uuid[])
    """,
    row=WaitingRow,
)

LIST_BEGUN = Query(
    """
    /* dashboard.list_begun */
    select id, alert_type, severity, title, facts, created_at
      from alerts.alerts
     where created_at >= :begins and created_at < :ends
       and (:tenant_type::text = 'platform' or (tenant_type = :tenant_type and tenant_id = :tenant_id)
            or ops.lies_in(:tenant_type, :tenant_id, tenant_type, tenant_id))
     order by created_at desc, id desc
     limit :limit
    """,
    row=BegunRow,
)
