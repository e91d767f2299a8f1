"""The statements about intervals of predictions: what came of them, and how wide they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class EndedRow:
    """A prediction whose window has passed, with what was seen in it."""

    bank_profile_id: str
    rail: str
    currency: str
    created_at: datetime
    low: float
    high: float
    seen: int
    failed: Decimal


@dataclass(frozen=True, slots=True)
class StateRow:
    bank_profile_id: str
    rail: str
    currency: str
    alpha: float
    judged: float
    held: float
    judged_upto: datetime


@dataclass(frozen=True, slots=True)
class CoverageRow:
    share: float | None


# From the minute after the prediction on: what it was made from says nothing of it.
LIST_ENDED = Query(
    """
    /* intervals.list_ended */
    select p.bank_profile_id, p.rail, p.currency, p.created_at,
           (p.sira_confidence_intervals ->> 'p10')::float8 as low,
           (p.sira_confidence_intervals ->> 'p90')::float8 as high, l.seen, l.failed
      from mesh.bank_health_predictions as p
      left join mesh.interval_states as s using (bank_profile_id, rail, currency)
     cross join lateral (
           select coalesce(sum(g.attempts + g.probes), 0)::int as seen,
                  coalesce(least(sum(g.failures + g.probe_failures) + sum(g.sla_misses) / 2.0,
                                 sum(g.attempts + g.probes)), 0)::numeric as failed
             from mesh.bank_health_logs as g
            where g.bank_profile_id = p.bank_profile_id and g.rail = p.rail and g.currency = p.currency
              and g.checked_at >= date_trunc('minute', p.created_at) + interval '1 minute'
              and g.checked_at < date_trunc('minute', p.created_at)
                                 + make_interval(mins => 1 + p.prediction_window_minutes)) as l
     where p.created_at > coalesce(s.judged_upto, '-infinity')
       and p.created_at > now() - interval '1 day'
       and p.created_at <= now() - make_interval(mins => p.prediction_window_minutes + :late_min::int)
     order by p.created_at, p.id
     limit :limit
    """,
    row=EndedRow,
)

LIST_STATES = Query(
    """
    /* intervals.list_states */
    select bank_profile_id, rail, currency, alpha, judged, held, judged_upto
      from mesh.interval_states
     where bank_profile_id = any(:bank_ids::text[])
    """,
    row=StateRow,
)

FIND_STATE = Query(
    """
    /* intervals.find_state */
    select bank_profile_id, rail, currency, alpha, judged, held, judged_upto
      from mesh.interval_states
     where bank_profile_id = :bank_id and rail = :rail and currency = :currency
    """,
    row=StateRow,
)

PUT_STATES = Query(
    """
    /* intervals.put_states */
    insert into mesh.interval_states as s
           (bank_profile_id, rail, currency, alpha, judged, held, judged_upto)
    select n.bank_profile_id, n.rail, n.currency, n.alpha, n.judged, n.held, n.judged_upto
      from jsonb_to_recordset(:rows::jsonb) as n (
           bank_profile_id text, rail text, currency text, alpha float8, judged float8, held float8,
           judged_upto timestamptz)
     order by n.bank_profile_id, n.rail, n.currency
        on conflict (bank_profile_id, rail, currency) do update
       set alpha = excluded.alpha, judged = excluded.judged, held = excluded.held,
           judged_upto = excluded.judged_upto, updated_at = now()
     where s.judged_upto < excluded.judged_upto
    """,
    row=Nothing,
)

FIND_COVERAGE = Query(
    """
    /* intervals.find_coverage */
    select sum(held) / nullif(sum(judged), 0) as share
      from mesh.interval_states
    """,
    row=CoverageRow,
)
