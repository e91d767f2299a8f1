"""Statements about alerts and what happens to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from molam.alerts.episodes.model import AlertRow
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class AtRow:
    at: datetime


@dataclass(frozen=True, slots=True)
class NameRow:
    kind: str
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class MoveRow:
    id: int
    moved: str
    by_whom: str
    details: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ToldRow:
    told: bool


ALERT_COLUMNS: Final[LiteralString] = """
           a.id, a.alert_type, a.tenant_type, a.tenant_id, a.severity, a.metric, a.state, a.status,
           a.is_suppressed, a.title, a.description, a.facts, a.rule_id, a.fingerprint, a.episode,
           a.currency, a.fired_at, a.created_at, a.acknowledged_at, a.acknowledged_by, a.resolved_at,
           a.resolved_by, a.note, a.remedied_by_action_id, a.suppressed_until, a.suppression_reason,
           a.is_silenced, a.is_inhibited, a.is_in_maintenance, a.is_flapping, a.inhibited_by,
           a.group_key, a.notified_at, a.told_severity, a.resolution_notified_at, a.notify_roles,
           a.escalation, a.escalation_step, a.escalate_at, a.version, a.updated_at"""

# Alerts open, end and quiet each other one transaction after the other: so each judges
# the flags of all of them by what is really open.
LOCK_BOARD = Query(
    """
    /* alerts.lock_board */
    select clock_timestamp() as at
      from (select pg_advisory_xact_lock(hashtext('alerts.board'))) held
    """,
    row=AtRow,
    locks=Rank.ALERT,
)

LOCK_OPEN = Query(
    "/* alerts.lock_open */ select "
    + ALERT_COLUMNS
    + """
      from alerts.alerts a
     where a.fingerprint = any(:fingerprints::bytea[])
       and a.resolved_at is null
     order by a.id
       for update
    """,
    row=AlertRow,
    locks=Rank.ALERT,
)

LOCK_ALERT = Query(
    "/* alerts.lock_alert */ select "
    + ALERT_COLUMNS
    + """
      from alerts.alerts a
     where a.id = :id
       for update
    """,
    row=AlertRow,
    locks=Rank.ALERT,
)

FIND_ALERT = Query(
    "/* alerts.find_alert */ select "
    + ALERT_COLUMNS
    + """
      from alerts.alerts a
     where a.id = :id
    """,
    row=AlertRow,
)

LIST_BY_IDS = Query(
    "/* alerts.list_by_ids */ select "
    + ALERT_COLUMNS
    + """
      from alerts.alerts a
     where a.id = any(:ids::uuid[])
     order by a.id
    """,
    row=AlertRow,
)

INSERT_ALERT = Query(
    """
    /* alerts.insert_alert */
    with quieted as (
        update alerts.alerts
           set resolution_notified_at = :now
         where fingerprint = :fingerprint
           and resolved_at is not null
           and notified_at is not null
           and resolution_notified_at is null
    )
    insert into alerts.alerts
           (id, alert_type, tenant_type, tenant_id, severity, metric, title, description, facts, rule_id,
            fingerprint, episode, currency, fired_at, created_at, is_flapping, group_key, notify_roles,
            escalation, escalate_at)
    values (:id, :alert_type, :tenant_type, :tenant_id, :severity, :metric, :title, :description, :facts,
            :rule_id, :fingerprint, :episode, :currency, :fired_at, :now, :is_flapping, :group_key,
            :notify_roles, :escalation,
            :now::timestamptz + make_interval(secs => (:escalation::jsonb -> 0 ->> 'after_s')::float))
        on conflict (fingerprint, episode) do nothing
    """,
    row=Nothing,
)

SET_VALUE = Query(
    """
    /* alerts.set_value */
    update alerts.alerts
       set severity = :severity,
           metric = :metric,
           facts = :facts,
           description = :description,
           suppressed_until = case when :wakes::boolean then null else suppressed_until end,
           suppression_reason = case when :wakes::boolean then null else suppression_reason end,
           version = version + 1,
           updated_at = clock_timestamp()
     where id = :id
    """,
    row=Nothing,
)

SET_FLAPPING = Query(
    """
    /* alerts.set_flapping */
    update alerts.alerts
       set is_flapping = :is_flapping,
           version = version + 1,
           updated_at = clock_timestamp()
     where fingerprint = :fingerprint
       and (resolved_at is null or (notified_at is not null and resolution_notified_at is null))
       and is_flapping <> :is_flapping
    """,
    row=Nothing,
)

SET_ACKNOWLEDGED = Query(
    """
    /* alerts.set_acknowledged */
    update alerts.alerts
       set state = 'acknowledged',
           acknowledged_at = clock_timestamp(),
           acknowledged_by = :by,
           note = coalesce(:note, note),
           told_severity = coalesce(told_severity, severity),
           escalate_at = null,
           version = version + 1,
           updated_at = clock_timestamp()
     where id = :id
    """,
    row=Nothing,
)

SET_NOTE = Query(
    """
    /* alerts.set_note */
    update alerts.alerts
       set note = :note,
           version = version + 1,
           updated_at = clock_timestamp()
     where id = :id
    """,
    row=Nothing,
)

# Values end an alert when they did so, and people when they say so; never before it was written.
SET_ENDED = Query(
    """
    /* alerts.set_ended */
    update alerts.alerts
       set state = :state,
           resolved_at = coalesce(
               resolved_at, greatest(created_at, least(:at::timestamptz, clock_timestamp()))),
           resolved_by = :by,
           note = coalesce(:note, note),
           remedied_by_action_id = coalesce(:action_id::uuid, remedied_by_action_id),
           escalate_at = null,
           is_silenced = false,
           is_suppressed = false,
           is_inhibited = false,
           is_in_maintenance = false,
           inhibited_by = null,
           version = version + 1,
           updated_at = clock_timestamp()
     where id = :id
    """,
    row=Nothing,
)

SET_SUPPRESSED = Query(
    """
    /* alerts.set_suppressed */
    update alerts.alerts
       set suppressed_until = :until,
           suppression_reason = :reason,
           version = version + 1,
           updated_at = clock_timestamp()
     where id = :id
    """,
    row=Nothing,
)

LINK_ACTION = Query(
    """
    /* alerts.link_action */
    update alerts.alerts
       set remedied_by_action_id = :action_id,
           version = version + 1,
           updated_at = clock_timestamp()
     where id = :id
    """,
    row=Nothing,
)

ADD_MOVES = Query(
    """
    /* alerts.add_moves */
    insert into alerts.alert_moves (alert_id, moved, by_whom, details)
    select * from unnest(:alert_ids::uuid[], :moves::text[], :by_whom::text[], :details::jsonb[])
    """,
    row=Nothing,
)

LIST_MOVES = Query(
    """
    /* alerts.list_moves */
    select id, moved, by_whom, details, created_at
      from alerts.alert_moves
     where alert_id = :alert_id
     order by id desc
     limit :rows_max
    """,
    row=MoveRow,
)

LIST_NAMES = Query(
    """
    /* alerts.list_names */
    select 'agent' as kind, id, name from tenancy.agents where id = any(:agents::text[])
     union all
    select 'merchant', id, name from tenancy.merchants where id = any(:merchants::text[])
     union all
    select 'bank', id, name from payments.bank_profiles where id = any(:banks::text[])
    """,
    row=NameRow,
)

NOTIFY = Query(
    "/* alerts.notify */ select pg_notify('alerts', '') is not null as told", row=ToldRow
)


@dataclass(frozen=True, slots=True)
class FingerprintRow:
    fingerprint: bytes
    episode: int


FIND_FINGERPRINT = Query(
    """
    /* alerts.find_fingerprint */
    select fingerprint, episode
      from alerts.alerts
     where id = :id
    """,
    row=FingerprintRow,
)


@dataclass(frozen=True, slots=True)
class AlertIdRow:
    id: UUID


FIND_OPEN = Query(
    """
    /* alerts.find_open */
    select id
      from alerts.alerts
     where fingerprint = :fingerprint
       and resolved_at is null
    """,
    row=AlertIdRow,
)
