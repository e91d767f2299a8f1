"""Statements of the drill in which an agent's float runs low."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class FloatTimelineRow:
    """When each step happened; None while it has not."""

    now: datetime
    alert_id: UUID
    severity: str
    status: str
    opened_at: datetime
    suggested_at: datetime | None
    confidence: Decimal | None
    skipped: str | None
    action_id: UUID | None
    action_state: str | None
    asked_at: datetime | None
    votes: int
    voted_at: datetime | None
    decided_at: datetime | None
    executed_at: datetime | None
    settled: str | None
    settled_at: datetime | None
    balance: int


TIMELINE = Query(
    """
    /* float_drill.timeline */
    select now() as now, a.id as alert_id, a.severity, a.status, a.created_at as opened_at,
           s.created_at as suggested_at,
           (s.decision -> 'details' -> 'sira_rec' ->> 'confidence')::numeric as confidence,
           case when d.decision ->> 'action' in ('skip', 'error', 'require_approval')
                then coalesce(d.decision -> 'details' ->> 'reason',
                              d.decision -> 'details' ->> 'error') end as skipped,
           o.id as action_id, o.state as action_state, o.created_at as asked_at,
           coalesce(o.votes_cast, 0) as votes, v.last_at as voted_at, o.decided_at, o.executed_at,
           r.state as settled, r.decided_at as settled_at, coalesce(f.balance, 0) as balance
      from alerts.alerts as a
      left join lateral (select created_at, decision from alerts.alert_decisions
                          where alert_id = a.id and decision ->> 'action' = 'suggest'
                          order by id desc limit 1) as s on true
      left join lateral (select decision from alerts.alert_decisions
                          where alert_id = a.id order by id desc limit 1) as d on true
      left join lateral (select state, decided_at, action_id from alerts.remediations
                          where alert_id = a.id order by created_at desc limit 1) as r on true
      left join approvals.ops_actions as o on o.id = r.action_id
      left join lateral (select max(updated_at) as last_at from approvals.ops_approvals
                          where ops_action_id = o.id) as v on true
      left join ledger.accounts as f on f.id = :account_id
     where a.alert_type = 'float_low' and a.tenant_id = :agent_id
       and (a.resolved_at is null or a.created_at >= :since)
     order by a.created_at desc
     limit 1
    """,
    row=FloatTimelineRow,
)

# Only as the migration left them: what operations decided since stays.
ENABLE = Query(
    """
    /* float_drill.enable */
    update alerts.remediation_policies
       set enabled = true,
           share_of_targets = 0.5,
           cooldown_seconds = 60,
           version = version + 1,
           updated_by = 'demo',
           updated_at = now()
     where alert_type = 'float_low' and updated_by = 'system'
    """,
    row=Nothing,
)
