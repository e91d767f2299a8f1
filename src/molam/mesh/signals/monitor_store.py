"""Statements by which what is believed reaches members, banks and whoever listens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class BankNowRow:
    bank_profile_id: str
    health_score: float
    latency_ms: int
    success_rate: float
    volume_last_hour: int
    at: datetime


# A bank is as well as the worst of what it serves; what was heard of long ago is left out.
SET_MEMBERS = Query(
    """
    /* monitor.set_members */
    with worst as (
        select bank_profile_id, min(score) as score, max(last_signal_at) as at
          from mesh.member_health
         where last_signal_at > now() - interval '1 day'
           and (:bank_ids::text[] is null or bank_profile_id = any(:bank_ids))
         group by bank_profile_id
    ), locked as (
        select m.id, w.score, w.at
          from mesh.mesh_members as m
          join worst as w on w.bank_profile_id = m.bank_profile_id
         where (m.current_health_score, m.last_health_update) is distinct from (w.score, w.at)
         order by m.id
           for update of m
    )
    update mesh.mesh_members as m
       set current_health_score = l.score,
           last_health_update = l.at
      from locked as l
     where m.id = l.id
    """,
    row=Nothing,
)

SET_BANKS = Query(
    """
    /* monitor.set_banks */
    with worst as (
        select h.bank_profile_id,
               case when max(h.p_down) >= 0.8 then 'down'
                    when max(h.p_down) >= 0.2 then 'degraded'
                    else 'healthy' end as health_status,
               (select round(100 * (1 - sum(l.failures + l.probe_failures)::numeric
                                        / nullif(sum(l.attempts + l.probes), 0)), 2)
                  from mesh.bank_health_logs as l
                 where l.bank_profile_id = h.bank_profile_id
                   and l.checked_at > now() - interval '1 day') as availability
          from mesh.member_health as h
         where h.last_signal_at > now() - interval '1 day'
           and (:bank_ids::text[] is null or h.bank_profile_id = any(:bank_ids))
         group by h.bank_profile_id
    ), locked as (
        select b.id, w.health_status, coalesce(w.availability, b.availability) as availability
          from payments.bank_profiles as b
          join worst as w on w.bank_profile_id = b.id
         where (b.health_status, b.availability)
               is distinct from (w.health_status, coalesce(w.availability, b.availability))
         order by b.id
           for no key update of b
    )
    update payments.bank_profiles as b
       set health_status = l.health_status,
           availability = l.availability
      from locked as l
     where b.id = l.id
    """,
    row=Nothing,
)

LIST_NOW = Query(
    """
    /* monitor.list_now */
    select h.bank_profile_id, min(h.score)::float8 as health_score,
           coalesce(max(l.latency_ms), 0)::int as latency_ms,
           coalesce(max(l.success_rate), 1)::float8 as success_rate,
           coalesce(max(l.volume), 0)::int as volume_last_hour,
           max(h.updated_at) as at
      from mesh.member_health as h
      left join lateral (
           select sum(g.latency_sum_ms) / nullif(sum(g.latencies), 0) as latency_ms,
                  1 - sum(g.failures + g.probe_failures)::numeric
                      / nullif(sum(g.attempts + g.probes), 0) as success_rate,
                  sum(g.attempts) as volume
             from mesh.bank_health_logs as g
            where g.bank_profile_id = h.bank_profile_id
              and g.checked_at > now() - interval '1 hour') as l on true
     where h.last_signal_at > now() - interval '1 day'
     group by h.bank_profile_id
     order by h.bank_profile_id
     limit :limit
    """,
    row=BankNowRow,
)

# From minutes in which the bank was well. The slowest answer of a minute stands for its
# p99, which is a little more than the truth: nobody is blamed for being late too soon.
SET_USUAL = Query(
    """
    /* monitor.set_usual */
    insert into mesh.hourly_baselines as u
           (bank_profile_id, rail, currency, hour_of_week, p99_ms, mean_ms, attempts, minutes)
    select l.bank_profile_id, l.rail, l.currency, w.hour_of_week,
           ceil(percentile_cont(0.99) within group (order by l.latency_max_ms))::int,
           (sum(l.latency_sum_ms) / sum(l.latencies))::int,
           sum(l.attempts)::float8 / count(distinct date_trunc('hour', l.checked_at)),
           count(*)
      from mesh.bank_health_logs as l
     cross join lateral (
           select (extract(isodow from l.checked_at at time zone 'UTC')::int * 24 - 24
                   + extract(hour from l.checked_at at time zone 'UTC')::int)::smallint as hour_of_week) as w
     where l.checked_at > now() - make_interval(days => :days)
       and w.hour_of_week = any(:hours::smallint[])
       and l.latencies > 0
       and coalesce(l.p_down, 0) < 0.5
     group by l.bank_profile_id, l.rail, l.currency, w.hour_of_week
    having count(*) >= :minutes_min
     order by l.bank_profile_id, l.rail, l.currency, w.hour_of_week
        on conflict (bank_profile_id, rail, currency, hour_of_week) do update
       set p99_ms = excluded.p99_ms,
           mean_ms = excluded.mean_ms,
           attempts = excluded.attempts,
           minutes = excluded.minutes,
           updated_at = now()
    """,
    row=Nothing,
)
