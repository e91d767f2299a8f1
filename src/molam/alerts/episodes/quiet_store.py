"""Statements about silences, inhibitions, and the flags they set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from molam.alerts.episodes.model import AlertRow, InhibitionRow, SilenceRow
from molam.alerts.episodes.store import ALERT_COLUMNS
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing

_COLUMNS: Final[LiteralString] = """
           id, kind, matcher, reason, starts_at, ends_at, created_by, created_at, ended_at, ended_by,
           ended_at is null and starts_at <= clock_timestamp() and ends_at > clock_timestamp()
               as is_in_force,
           ended_at is null and ends_at > clock_timestamp() as is_open"""

LIST_OPEN = Query(
    "/* alerts.list_open */ select "
    + ALERT_COLUMNS
    + """
      from alerts.alerts a
     where a.resolved_at is null
     order by a.created_at, a.id
    """,
    row=AlertRow,
)

LIST_IN_FORCE = Query(
    "/* alerts.list_silences_in_force */ select "
    + _COLUMNS
    + """
      from alerts.silences
     where ended_at is null
       and starts_at <= clock_timestamp()
       and ends_at > clock_timestamp()
     order by id
    """,
    row=SilenceRow,
)

# An alert that is silenced by itself stands among them under its own id.
LIST_SILENCES = Query(
    "/* alerts.list_silences */ select * from (select "
    + _COLUMNS
    + """
      from alerts.silences
     where :with_over or (ended_at is null and ends_at > clock_timestamp())
     union all
    select a.id, 'silence', jsonb_build_object('alert_id', a.id), coalesce(a.suppression_reason, ''),
           coalesce(m.created_at, a.updated_at), a.suppressed_until, coalesce(m.by_whom, 'system'),
           coalesce(m.created_at, a.updated_at), null, null, true, true
      from alerts.alerts a
      left join lateral (select by_whom, created_at
                           from alerts.alert_moves
                          where alert_id = a.id and moved = 'silenced'
                          order by id desc
                          limit 1) m on true
     where a.resolved_at is null and a.suppressed_until > clock_timestamp()) silences
     order by is_open desc, ends_at desc, id
     limit :rows_max
    """,
    row=SilenceRow,
)

INSERT_SILENCE = Query(
    """
    /* alerts.insert_silence */
    insert into alerts.silences (id, kind, matcher, reason, starts_at, ends_at, created_by)
    values (:id, :kind, :matcher, :reason, :starts_at, :ends_at, :by)
    returning """
    + _COLUMNS,
    row=SilenceRow,
)

LOCK_SILENCE = Query(
    "/* alerts.lock_silence */ select "
    + _COLUMNS
    + """
      from alerts.silences
     where id = :id
       for update
    """,
    row=SilenceRow,
    locks=Rank.ALERT,
)

END_SILENCE = Query(
    """
    /* alerts.end_silence */
    update alerts.silences
       set ended_at = clock_timestamp(),
           ended_by = :by
     where id = :id
    returning """
    + _COLUMNS,
    row=SilenceRow,
)

LIST_INHIBITIONS = Query(
    """
    /* alerts.list_inhibitions */
    select id, source, target, equal, enabled
      from alerts.inhibitions
     order by id
    """,
    row=InhibitionRow,
)

WRITE_INHIBITION = Query(
    """
    /* alerts.write_inhibition */
    insert into alerts.inhibitions (id, source, target, equal, enabled, created_by, updated_by)
    values (:id, :source, :target, :equal, :enabled, :by, :by)
        on conflict (id) do update
       set source = excluded.source,
           target = excluded.target,
           equal = excluded.equal,
           enabled = excluded.enabled,
           updated_by = excluded.updated_by,
           updated_at = clock_timestamp()
    """,
    row=Nothing,
)

REMOVE_INHIBITION = Query(
    "/* alerts.remove_inhibition */ delete from alerts.inhibitions where id = :id", row=Nothing
)

# Whoever was quiet is not escalated the moment they are not: there is a minute to look.
SET_FLAGS = Query(
    """
    /* alerts.set_flags */
    update alerts.alerts a
       set is_silenced = f.is_silenced,
           is_suppressed = f.is_silenced,
           is_in_maintenance = f.is_in_maintenance,
           is_inhibited = f.inhibited_by is not null,
           inhibited_by = f.inhibited_by,
           suppressed_until = case when a.suppressed_until > :now then a.suppressed_until end,
           suppression_reason = case when a.suppressed_until > :now then a.suppression_reason end,
           escalate_at = case when a.escalate_at is null or f.is_silenced or f.is_in_maintenance
                                   or f.inhibited_by is not null then a.escalate_at
                              else greatest(a.escalate_at, :now::timestamptz + interval '1 minute') end,
           version = a.version + 1,
           updated_at = clock_timestamp()
      from unnest(:ids::uuid[], :are_silenced::boolean[], :are_in_maintenance::boolean[],
                  :inhibited_bys::uuid[]) f (id, is_silenced, is_in_maintenance, inhibited_by)
     where a.id = f.id
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class DueRow:
    at: datetime | None


NEXT_CHANGE = Query(
    """
    /* alerts.next_quiet_change */
    select min(at) as at
      from (select case when starts_at > :now then starts_at else ends_at end as at
              from alerts.silences
             where ended_at is null and ends_at > :now
             union all
            select suppressed_until
              from alerts.alerts
             where resolved_at is null and suppressed_until > :now) moments
    """,
    row=DueRow,
)
