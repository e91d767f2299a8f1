"""Statements that list and count alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, LiteralString
from uuid import UUID

from molam.alerts.episodes.model import AlertRow
from molam.alerts.episodes.store import ALERT_COLUMNS
from molam.alerts.rules.model import AlertType, Severity
from molam.alerts.rules.state import State
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class CountRow:
    open: int
    pending: int
    critical: int
    oldest_pending_at: datetime | None


@dataclass(frozen=True, slots=True)
class SeverityRow:
    severity: Severity
    count: int


@dataclass(frozen=True, slots=True)
class TypeStatRow:
    alert_type: AlertType
    auto_remediated_count: int
    open_count: int
    resolved_count: int
    avg_resolution_time_seconds: int | None


@dataclass(frozen=True, slots=True)
class PointRow:
    fingerprint: bytes
    minute: datetime
    value: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class HourRow:
    hour: datetime
    value: float


@dataclass(frozen=True, slots=True)
class NowRow:
    """What is measured now."""

    value: Decimal
    at: datetime
    state: State
    context: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DecisionRow:
    id: int
    decision: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RemediationRow:
    id: UUID
    action_id: UUID
    action_type: str
    state: str
    action_state: str
    votes_approve: int
    confidence: Decimal | None
    is_manual: bool
    is_group: bool
    left_out: str | None
    """Why a group's action passed over this alert's target."""
    verify_by: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PersonRow:
    id: str
    name: str


_FITTING: Final[LiteralString] = """
     where (:tenant_type::text is null or a.tenant_type = :tenant_type)
       and (:tenant_id::text is null or a.tenant_id = :tenant_id)
       and (:status::text is null or a.status = :status)
       and (:severities::text[] is null or a.severity = any(:severities::text[]))
       and (:alert_type::text is null or a.alert_type = :alert_type)
       and (:scope::text = 'all'
            or (:scope = 'open') = (a.resolved_at is null))
       and (:flag::text is null
            or case :flag when 'silenced' then a.is_silenced
                          when 'inhibited' then a.is_inhibited
                          when 'maintenance' then a.is_in_maintenance
                          when 'flapping' then a.is_flapping
                          else not (a.is_silenced or a.is_inhibited or a.is_in_maintenance
                                    or a.is_flapping) end)"""

LIST_ALERTS = Query(
    "/* alerts.list_alerts */ select "
    + ALERT_COLUMNS
    + """
      from alerts.alerts a"""
    + _FITTING
    + """
     order by a.created_at desc, a.id desc
     limit :limit
    offset :offset
    """,
    row=AlertRow,
)

# For people: what is open before what is over, the worst first.
LIST_BOARD = Query(
    "/* alerts.list_board */ select "
    + ALERT_COLUMNS
    + """
      from alerts.alerts a"""
    + _FITTING
    + """
     order by a.resolved_at is not null,
              case when a.resolved_at is null
                   then array_position(array['critical', 'warning', 'info'], a.severity::text) end,
              a.created_at desc, a.id desc
     limit :limit
    offset :offset
    """,
    row=AlertRow,
)

COUNT_OPEN = Query(
    """
    /* alerts.count_open */
    select count(*) as open,
           count(*) filter (where state = 'open') as pending,
           count(*) filter (where severity = 'critical') as critical,
           min(created_at) filter (where state = 'open') as oldest_pending_at
      from alerts.alerts
     where resolved_at is null
    """,
    row=CountRow,
)

COUNT_BY_SEVERITY = Query(
    """
    /* alerts.count_by_severity */
    select severity, sum(alert_count)::bigint as count
      from alerts.active_alerts_summary
     where (:tenant_type::text is null or tenant_type = :tenant_type)
       and (:tenant_id::text is null or tenant_id = :tenant_id)
     group by severity
    """,
    row=SeverityRow,
)

LIST_TYPE_STATS = Query(
    """
    /* alerts.list_type_stats */
    select alert_type,
           count(*) filter (where status = 'auto_remediated') as auto_remediated_count,
           count(*) filter (where resolved_at is null) as open_count,
           count(*) filter (where state = 'resolved') as resolved_count,
           extract(epoch from avg(resolved_at - created_at))::bigint as avg_resolution_time_seconds
      from alerts.alerts
     where (:tenant_type::text is null or tenant_type = :tenant_type)
       and (:tenant_id::text is null or tenant_id = :tenant_id)
     group by alert_type
     order by alert_type
    """,
    row=TypeStatRow,
)

# A point for every *step_s* of each alert's metric, in one statement for a whole page.
LIST_POINTS = Query(
    """
    /* alerts.list_points */
    select a.fingerprint,
           date_bin(make_interval(secs => :step_s), p.minute, timestamptz '2026-01-01 00:00Z') as minute,
           (array_agg(p.last_value order by p.minute desc))[1] as value,
           min(p.low) as low,
           max(p.high) as high
      from alerts.alerts a
      join alerts.metric_points p
        on p.metric = a.metric ->> 'metric'
       and p.tenant_type = a.tenant_type
       and p.tenant_id = coalesce(a.tenant_id, '')
       and p.currency = coalesce(a.currency, '')
     where a.id = any(:ids::uuid[])
       and p.minute >= a.fired_at - make_interval(secs => :before_s)
       and p.minute <= coalesce(a.resolved_at, now()) + make_interval(secs => :after_s)
     group by 1, 2
     order by 1, 2
    """,
    row=PointRow,
)

# The metric's mean of each hour before an alert began, and of the hour in which it did.
LIST_HOURS = Query(
    """
    /* alerts.list_hours */
    select date_trunc('hour', p.minute, 'UTC') as hour,
           (sum(p.total) / sum(p.samples))::float8 as value
      from alerts.alerts a
      join alerts.metric_points p
        on p.metric = a.metric ->> 'metric'
       and p.tenant_type = a.tenant_type
       and p.tenant_id = coalesce(a.tenant_id, '')
       and p.currency = coalesce(a.currency, '')
     where a.id = :id
       and p.minute >= date_trunc('hour', a.fired_at, 'UTC') - make_interval(days => :days)
       and p.minute < date_trunc('hour', a.fired_at, 'UTC') + interval '1 hour'
     group by 1
     order by 1
    """,
    row=HourRow,
)

FIND_NOW = Query(
    """
    /* alerts.find_now */
    select last_value as value, last_at as at, state, context
      from alerts.series
     where fingerprint = :fingerprint
    """,
    row=NowRow,
)

LIST_DECISIONS = Query(
    """
    /* alerts.list_decisions */
    select id, decision, created_at
      from alerts.alert_decisions
     where alert_id = :alert_id
     order by id desc
     limit :rows_max
    """,
    row=DecisionRow,
)

LIST_REMEDIATIONS = Query(
    """
    /* alerts.list_remediations */
    select r.id, r.action_id, r.action_type, r.state, o.state as action_state, o.votes_approve,
           r.confidence, r.is_manual, r.is_group,
           case when not g.is_done then g.said ->> 'reason' end as left_out, r.verify_by, r.created_at
      from alerts.remediations r
      join approvals.ops_actions o on o.id = r.action_id
      left join alerts.group_results g on g.action_id = r.action_id and g.alert_id = r.alert_id
     where r.alert_id = :alert_id
     order by r.created_at desc, r.id
    """,
    row=RemediationRow,
)

LIST_PEOPLE = Query(
    """
    /* alerts.list_people */
    select id, name
      from tenancy.people
     where id = any(:ids::text[])
    """,
    row=PersonRow,
)


@dataclass(frozen=True, slots=True)
class MarkRow:
    mark: str


# Moves with everything that the board shows of open alerts, and with each that ends.
MARK_BOARD = Query(
    """
    /* alerts.mark_board */
    select count(*) || '.' || coalesce(sum(version), 0) || '.'
           || coalesce((select max(id) from alerts.alert_moves), 0) as mark
      from alerts.alerts
     where resolved_at is null
    """,
    row=MarkRow,
)
