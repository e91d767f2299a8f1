"""What a bank's page reads: its profile, its past in equal steps, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class ProfileRow:
    id: str
    name: str
    country: str
    bic: str | None
    status: str
    enabled: bool
    connector: str
    flat_fee: int
    percent_fee: Decimal
    avg_delay_sec: int
    cut_off: str | None
    timezone: str
    currencies: list[str]


FIND_PROFILE = Query(
    """
    /* mesh.find_profile */
    select id, name, country, bic, status, enabled, connector, flat_fee, percent_fee, avg_delay_sec,
           to_char(cut_off, 'HH24:MI') as cut_off, timezone, currency_codes as currencies
      from payments.bank_profiles
     where id = :id
    """,
    row=ProfileRow,
)


@dataclass(frozen=True, slots=True)
class StepRow:
    """A few minutes of a bank, as one."""

    at: datetime
    attempts: int
    failures: int
    timeouts: int
    late: int
    not_its_fault: int
    probes: int
    probe_failures: int
    latency_ms: int | None
    volume: int
    score: Decimal | None
    p_down: float | None


# The lowest score of a step: a short fall must not be averaged away.
LIST_STEPS = Query(
    """
    /* mesh.list_steps */
    select date_bin(make_interval(secs => :step_s), l.checked_at, timestamptz '2000-01-01') as at,
           sum(l.attempts)::int as attempts, sum(l.failures)::int as failures,
           sum(l.timeouts)::int as timeouts, sum(l.sla_misses)::int as late,
           sum(l.not_its_fault)::int as not_its_fault, sum(l.probes)::int as probes,
           sum(l.probe_failures)::int as probe_failures,
           (sum(l.latency_sum_ms) / nullif(sum(l.latencies), 0))::int as latency_ms,
           sum(l.volume)::bigint as volume, min(l.health_score) as score, max(l.p_down) as p_down
      from mesh.bank_health_logs as l
     where l.bank_profile_id = :bank and l.rail = :rail and l.currency = :currency
       and l.checked_at >= :since
     group by 1
     order by 1
     limit :limit
    """,
    row=StepRow,
)


@dataclass(frozen=True, slots=True)
class GuessRow:
    """What was predicted at a moment, and how sure."""

    at: datetime
    until: datetime
    score: Decimal
    low: Decimal
    high: Decimal


LIST_GUESSES = Query(
    """
    /* mesh.list_guesses */
    select p.valid_from as at, p.valid_until as until, p.predicted_score as score,
           least(coalesce((p.sira_confidence_intervals ->> 'p10')::numeric, p.predicted_score),
                 p.predicted_score) as low,
           greatest(coalesce((p.sira_confidence_intervals ->> 'p90')::numeric, p.predicted_score),
                    p.predicted_score) as high
      from mesh.bank_health_predictions as p
     where p.bank_profile_id = :bank and p.rail = :rail and p.currency = :currency
       and p.created_at >= :since
     order by p.created_at desc
     limit :limit
    """,
    row=GuessRow,
)


@dataclass(frozen=True, slots=True)
class OutageRow:
    begins_at: datetime
    ends_at: datetime | None
    note: str
    source: str
    created_by: str


LIST_OUTAGES = Query(
    """
    /* mesh.list_outages */
    select begins_at, ends_at, note, source, created_by
      from mesh.declared_outages
     where bank_profile_id = :bank and coalesce(ends_at, now()) >= :since
       and coalesce(rail, :rail) = :rail and coalesce(currency, :currency) = :currency
     order by begins_at desc
     limit :limit
    """,
    row=OutageRow,
)


@dataclass(frozen=True, slots=True)
class DoneRow:
    id: str
    action_type: str
    actor_type: str
    actor_id: str
    actor_name: str | None
    affected_count: int
    result: str
    created_at: datetime


LIST_DONE = Query(
    """
    /* mesh.list_done_about_bank */
    select a.id, a.action_type, a.actor_type, a.actor_id, n.name as actor_name, a.affected_count,
           a.result, a.created_at
      from mesh.mesh_action_logs as a
      left join tenancy.people as n on n.id = a.actor_id
     where a.created_at >= :since and :bank = any(a.affected_bank_profiles)
     order by a.created_at desc, a.id desc
     limit :limit
    """,
    row=DoneRow,
)


@dataclass(frozen=True, slots=True)
class KeptRow:
    """How a bank's heartbeats come, if it sends any, and how predictions of it came out."""

    last_beat_at: datetime | None
    usual_gap_s: float | None
    silent_since: datetime | None
    judged: float
    held: float


FIND_KEPT = Query(
    """
    /* mesh.find_kept */
    select h.last_at as last_beat_at, (select avg(u.gap) from unnest(h.gaps) as u(gap)) as usual_gap_s,
           h.silent_since, coalesce(s.judged, 0) as judged, coalesce(s.held, 0) as held
      from (select) as one
      left join mesh.heartbeats as h on h.bank_profile_id = :bank
      left join mesh.interval_states as s
        on s.bank_profile_id = :bank and s.rail = :rail and s.currency = :currency
    """,
    row=KeptRow,
)
