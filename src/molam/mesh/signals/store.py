"""Every statement about what is believed of banks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class HealthRecord:
    bank_profile_id: str
    rail: str
    currency: str
    belief: dict[str, Any]
    p_down: float
    score: Decimal
    score_low: Decimal
    score_high: Decimal
    signals: int
    last_signal_at: datetime | None
    last_failure_at: datetime | None
    probes_ok_in_row: int
    short_of_funds_until: datetime | None
    mode: str
    left_at: datetime | None
    better_since: datetime | None
    penalty: float
    penalty_at: datetime
    strikes: int
    version: int
    updated_at: datetime
    outage_until: datetime | None
    is_announced_down: bool
    silent_since: datetime | None
    read_at: datetime
    said_elsewhere: list[dict[str, Any]]
    """What each other region said last, while it holds, and how right the region has been."""


@dataclass(frozen=True, slots=True)
class BeliefRow:
    bank_profile_id: str
    rail: str
    currency: str
    belief: dict[str, Any]
    p_down: float
    probes_ok_in_row: int


@dataclass(frozen=True, slots=True)
class ServedRow:
    bank_profile_id: str
    rail: str
    currency: str
    avg_delay_sec: int
    p99_ms: int | None


LIST_HEALTH = Query(
    """
    /* signals.list_health */
    select h.bank_profile_id, h.rail, h.currency, h.belief, h.p_down, h.score, h.score_low, h.score_high,
           h.signals, h.last_signal_at, h.last_failure_at, h.probes_ok_in_row, h.short_of_funds_until,
           h.mode, h.left_at, h.better_since, h.penalty, h.penalty_at, h.strikes, h.version, h.updated_at,
           o.ends_at as outage_until, o.begins_at is not null as is_announced_down,
           t.silent_since, now() as read_at,
           coalesce((
               select array_agg(jsonb_build_object(
                          'observer', r.name, 'p_down', f.p_down,
                          'age_s', extract(epoch from now() - f.issued_at)::float8,
                          'squared_error', coalesce(p.squared_error, 0),
                          'squared_error_climatology', coalesce(p.squared_error_climatology, 0),
                          'judged', coalesce(p.judged, 0)) order by r.name)
                 from (select distinct on (m.mesh_region_id) m.mesh_region_id, m.p_down, m.issued_at
                         from mesh.foreign_messages as m
                        where m.kind = 'prediction' and m.subject = h.bank_profile_id and m.rail = h.rail
                          and m.currency = h.currency and m.expires_at > now()
                          and m.issued_at > now() - interval '2 hours'
                        order by m.mesh_region_id, m.issued_at desc) as f
                 join mesh.mesh_regions as r on r.id = f.mesh_region_id
                 left join mesh.peers as p on p.mesh_region_id = f.mesh_region_id), '{}') as said_elsewhere
      from mesh.member_health as h
      left join mesh.heartbeats as t on t.bank_profile_id = h.bank_profile_id
      left join lateral (
           select d.begins_at, d.ends_at
             from mesh.declared_outages as d
            where d.bank_profile_id = h.bank_profile_id
              and (d.rail is null or d.rail = h.rail)
              and (d.currency is null or d.currency = h.currency)
              and d.begins_at <= now()
              and (d.ends_at is null or d.ends_at > now())
            order by d.ends_at desc nulls first
            limit 1) as o on true
     where (:currency::text is null or h.currency = :currency)
       and (:rail::text is null or h.rail = :rail)
       and (:bank_ids::text[] is null or h.bank_profile_id = any(:bank_ids))
     order by h.bank_profile_id, h.rail, h.currency
     limit :limit
    """,
    row=HealthRecord,
)

# What each bank serves, with the delay it promises and how slow this hour usually is.
LIST_SERVED = Query(
    """
    /* signals.list_served */
    select b.id as bank_profile_id, r.rail, c.currency, b.avg_delay_sec, l.p99_ms
      from payments.bank_profiles as b
     cross join lateral unnest(b.rails) as r(rail)
     cross join lateral unnest(b.currency_codes) as c(currency)
      left join mesh.hourly_baselines as l
             on l.bank_profile_id = b.id and l.rail = r.rail and l.currency = c.currency
            and l.hour_of_week = extract(isodow from now() at time zone 'UTC')::int * 24 - 24
                                 + extract(hour from now() at time zone 'UTC')::int
     where b.id = any(:bank_ids::text[])
     order by b.id, r.rail, c.currency
    """,
    row=ServedRow,
)

# A bank that is new is taken for what its peers are, once there are enough of them.
INSERT_MISSING = Query(
    """
    /* signals.insert_missing */
    insert into mesh.member_health (bank_profile_id, rail, currency, belief, p_down, score, score_low, score_high)
    select k.bank_id, k.rail, k.currency, jsonb_set(:belief::jsonb, '{prior}', to_jsonb(peers.mean)),
           :p_down, :score, :score_low, :score_high
      from unnest(:bank_ids::text[], :rails::text[], :currencies::text[]) as k(bank_id, rail, currency)
     cross join lateral (
           select case when count(*) >= 3
                       then least(greatest(avg(
                                ((p.belief ->> 'prior')::float8 * (p.belief ->> 'strength')::float8
                                 + (p.belief ->> 'failures')::float8)
                                / ((p.belief ->> 'strength')::float8 + (p.belief ->> 'oks')::float8
                                   + (p.belief ->> 'failures')::float8)), 0.0004), 0.15)
                       else 0.01 end as mean
             from mesh.member_health as p
            where p.rail = k.rail and p.currency = k.currency and p.signals >= 200) as peers
     where not exists (
           select from mesh.member_health as h
            where h.bank_profile_id = k.bank_id and h.rail = k.rail and h.currency = k.currency)
     order by k.bank_id, k.rail, k.currency
        on conflict (bank_profile_id, rail, currency) do nothing
    """,
    row=Nothing,
)

# In the order of their keys: whoever else takes signals in waits here, and reads what
# was left to it.
LOCK_BELIEFS = Query(
    """
    /* signals.lock_beliefs */
    select h.bank_profile_id, h.rail, h.currency, h.belief, h.p_down, h.probes_ok_in_row
      from mesh.member_health as h
     where (h.bank_profile_id, h.rail, h.currency) in (
           select * from unnest(:bank_ids::text[], :rails::text[], :currencies::text[]))
     order by h.bank_profile_id, h.rail, h.currency
       for update
    """,
    row=BeliefRow,
    locks=Rank.MEMBER_HEALTH,
)

SET_BELIEFS = Query(
    """
    /* signals.set_beliefs */
    update mesh.member_health as h
       set belief = n.belief,
           p_down = n.p_down,
           score = n.score,
           score_low = n.score_low,
           score_high = n.score_high,
           signals = h.signals + n.signals,
           last_signal_at = greatest(h.last_signal_at, n.last_signal_at),
           last_failure_at = greatest(h.last_failure_at, n.last_failure_at),
           probes_ok_in_row = n.probes_ok_in_row,
           short_of_funds_until = greatest(h.short_of_funds_until, n.short_of_funds_until),
           version = h.version + 1,
           updated_at = now()
      from jsonb_to_recordset(:rows::jsonb) as n (
           bank_profile_id text, rail text, currency text, belief jsonb, p_down float8,
           score numeric, score_low numeric, score_high numeric, signals bigint,
           last_signal_at timestamptz, last_failure_at timestamptz, probes_ok_in_row int,
           short_of_funds_until timestamptz)
     where h.bank_profile_id = n.bank_profile_id and h.rail = n.rail and h.currency = n.currency
    """,
    row=Nothing,
)

ADD_MINUTES = Query(
    """
    /* signals.add_minutes */
    insert into mesh.bank_health_logs as l
           (bank_profile_id, rail, currency, checked_at, attempts, failures, sla_misses, timeouts,
            not_its_fault, probes, probe_failures, latency_sum_ms, latency_max_ms, latencies, volume,
            health_score, p_down)
    select n.bank_profile_id, n.rail, n.currency, n.checked_at, n.attempts, n.failures, n.sla_misses,
           n.timeouts, n.not_its_fault, n.probes, n.probe_failures, n.latency_sum_ms, n.latency_max_ms,
           n.latencies, n.volume, n.health_score, n.p_down
      from jsonb_to_recordset(:rows::jsonb) as n (
           bank_profile_id text, rail text, currency text, checked_at timestamptz, attempts int,
           failures int, sla_misses int, timeouts int, not_its_fault int, probes int,
           probe_failures int, latency_sum_ms bigint, latency_max_ms int, latencies int,
           volume bigint, health_score numeric, p_down float8)
     order by n.bank_profile_id, n.rail, n.currency, n.checked_at
        on conflict (bank_profile_id, rail, currency, checked_at) do update
       set attempts = l.attempts + excluded.attempts,
           failures = l.failures + excluded.failures,
           sla_misses = l.sla_misses + excluded.sla_misses,
           timeouts = l.timeouts + excluded.timeouts,
           not_its_fault = l.not_its_fault + excluded.not_its_fault,
           probes = l.probes + excluded.probes,
           probe_failures = l.probe_failures + excluded.probe_failures,
           latency_sum_ms = l.latency_sum_ms + excluded.latency_sum_ms,
           latency_max_ms = greatest(l.latency_max_ms, excluded.latency_max_ms),
           latencies = l.latencies + excluded.latencies,
           volume = l.volume + excluded.volume,
           health_score = excluded.health_score,
           p_down = excluded.p_down
    """,
    row=Nothing,
)

TELL_PAGES = Query(
    """
    /* signals.tell_pages */
    select pg_notify('mesh', '')
    """,
    row=Nothing,
)
