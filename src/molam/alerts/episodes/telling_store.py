"""Statements about whom to tell of alerts, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from molam.alerts.episodes.model import AlertRow
from molam.alerts.episodes.store import ALERT_COLUMNS
from molam.alerts.rules.model import AlertType, Severity, TenantType
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class GroupRow:
    last_notified_at: datetime | None
    notices: int


@dataclass(frozen=True, slots=True)
class GroupKeyRow:
    group_key: str


@dataclass(frozen=True, slots=True)
class FloorRow:
    alert_type: AlertType
    tenant_type: TenantType
    tenant_id: str | None
    at: datetime
    severity: Severity


# Of a group whoever may hear something of: of the rest there may be more than fit.
_RANKS: Final[LiteralString] = "array['info', 'warning', 'critical']"
_TO_OPEN: Final[LiteralString] = (
    """(a.resolved_at is null
            and not (a.is_silenced or a.is_inhibited or a.is_in_maintenance or a.is_flapping)
            and (coalesce(array_position("""
    + _RANKS
    + ", a.told_severity::text), 0) < array_position("
    + _RANKS
    + """, a.severity::text)
                 or (a.state = 'open'
                     and a.notified_at <= clock_timestamp() - make_interval(secs => :repeat_s))))"""
)
_TO_END: Final[LiteralString] = """(a.resolved_at is not null and a.notified_at is not null
            and a.resolution_notified_at is null and not a.is_flapping)"""

LOCK_OF_GROUP = Query(
    "/* alerts.lock_of_group */ select "
    + ALERT_COLUMNS
    + """
      from alerts.alerts a
     where a.group_key = :group_key
       and ("""
    + _TO_OPEN
    + " or "
    + _TO_END
    + """)
     order by a.id
     limit :rows_max
       for update
    """,
    row=AlertRow,
    locks=Rank.ALERT,
)

LOCK_GROUP = Query(
    """
    /* alerts.lock_group */
    insert into alerts.alert_groups as g (group_key)
    values (:group_key)
        on conflict (group_key) do update
       set version = g.version + 1
    returning last_notified_at, notices
    """,
    row=GroupRow,
    locks=Rank.ALERT_GROUP,
)

# When somebody was last told of the same trouble of the same tenant, whatever became of it.
LIST_FLOORS = Query(
    """
    /* alerts.list_floors */
    select distinct on (a.alert_type, a.tenant_type, a.tenant_id)
           a.alert_type, a.tenant_type, a.tenant_id, a.notified_at as at, a.told_severity as severity
      from alerts.alerts a
      join unnest(:tenant_types::text[], :tenant_ids::text[]) t (tenant_type, tenant_id)
        on a.tenant_type = t.tenant_type and a.tenant_id is not distinct from t.tenant_id
     where a.notified_at > :now::timestamptz - interval '1 hour'
       and a.told_severity is not null
     order by a.alert_type, a.tenant_type, a.tenant_id, a.notified_at desc
    """,
    row=FloorRow,
)

SET_TOLD = Query(
    """
    /* alerts.set_told */
    update alerts.alerts
       set notified_at = :now,
           told_severity = severity,
           version = version + 1,
           updated_at = :now
     where id = any(:ids::uuid[])
    """,
    row=Nothing,
)

SET_END_TOLD = Query(
    """
    /* alerts.set_end_told */
    update alerts.alerts
       set resolution_notified_at = :now
     where id = any(:ids::uuid[])
    """,
    row=Nothing,
)

SET_GROUP_TOLD = Query(
    """
    /* alerts.set_group_told */
    update alerts.alert_groups
       set last_notified_at = case when :opened then :now else last_notified_at end,
           waits_until = :waits_until,
           notices = :notices
     where group_key = :group_key
    """,
    row=Nothing,
)

LIST_GROUPS_DUE = Query(
    """
    /* alerts.list_groups_due */
    select distinct a.group_key
      from alerts.alerts a
     where """
    + _TO_OPEN
    + " or "
    + _TO_END
    + """
     limit :groups_max
    """,
    row=GroupKeyRow,
)

LOCK_TO_ESCALATE = Query(
    "/* alerts.lock_to_escalate */ select "
    + ALERT_COLUMNS
    + """
      from alerts.alerts a
     where a.escalate_at <= clock_timestamp()
       and a.state = 'open'
       and not (a.is_silenced or a.is_inhibited or a.is_in_maintenance or a.is_flapping)
     order by a.id
     limit :rows_max
       for update skip locked
    """,
    row=AlertRow,
    locks=Rank.ALERT,
)

SET_ESCALATED = Query(
    """
    /* alerts.set_escalated */
    update alerts.alerts
       set escalation_step = :step,
           escalate_at = case when :wait_s::float is null then null
                              else clock_timestamp() + make_interval(secs => :wait_s::float) end,
           version = version + 1,
           updated_at = clock_timestamp()
     where id = :id
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class DueRow:
    at: datetime | None


NEXT_ESCALATION = Query(
    """
    /* alerts.next_escalation */
    select min(escalate_at) as at
      from alerts.alerts
     where escalate_at is not null
    """,
    row=DueRow,
)
