"""Statements that read banks' health logs for training and for watching drift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class PairRow:
    bank_profile_id: str
    rail: str
    currency: str
    country: str
    domains: list[str]


@dataclass(frozen=True, slots=True)
class MinuteRow:
    checked_at: datetime
    attempts: int
    failures: int
    sla_misses: int
    timeouts: int
    probes: int
    probe_failures: int
    latency_sum_ms: int
    latency_max_ms: int
    latencies: int
    p_down: float


@dataclass(frozen=True, slots=True)
class MaintenanceRow:
    bank_profile_id: str
    rail: str | None
    currency: str | None
    begins_at: datetime
    ends_at: datetime


LIST_PAIRS = Query(
    """
    /* training.list_pairs */
    with pairs as (
        select distinct bank_profile_id, rail, currency
          from mesh.bank_health_logs
         where checked_at >= now() - make_interval(days => :days)
    )
    select p.bank_profile_id, p.rail, p.currency, b.country,
           coalesce((select array_agg(distinct d order by d)
                       from mesh.mesh_members as m
                      cross join unnest(m.failure_domains) as d
                      where m.bank_profile_id = p.bank_profile_id), '{}') as domains
      from pairs as p
      join payments.bank_profiles as b on b.id = p.bank_profile_id
     order by p.bank_profile_id, p.rail, p.currency
    """,
    row=PairRow,
)

LIST_MINUTES = Query(
    """
    /* training.list_minutes */
    select checked_at, attempts, failures, sla_misses, timeouts, probes, probe_failures,
           latency_sum_ms, latency_max_ms, latencies, coalesce(p_down, 0) as p_down
      from mesh.bank_health_logs
     where bank_profile_id = :bank_profile_id and rail = :rail and currency = :currency
       and checked_at >= date_trunc('minute', now() - make_interval(days => :days))
       and checked_at < date_trunc('minute', now())
     order by checked_at
    """,
    row=MinuteRow,
)

# Announced before they began: what the bank planned, and could be known.
LIST_MAINTENANCE = Query(
    """
    /* training.list_maintenance */
    select bank_profile_id, rail, currency, begins_at, ends_at
      from mesh.declared_outages
     where created_at < begins_at
       and ends_at >= now() - make_interval(days => :days)
     order by begins_at
    """,
    row=MaintenanceRow,
)
