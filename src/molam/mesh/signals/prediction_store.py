"""Every statement about predictions, and about what they are made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing
from molam.sira.features import Minute


@dataclass(frozen=True, slots=True)
class PredictionRow:
    id: str
    bank_profile_id: str
    mesh_region_id: str | None
    rail: str
    currency: str
    predicted_score: Decimal
    confidence: Decimal
    prediction_window_minutes: int
    prediction_reason: str
    risk_factors: list[str]
    recommended_action: str
    sira_model_version: str
    sira_confidence_intervals: dict[str, Any]
    explanation: dict[str, Any]
    p_down: float
    served_by: str
    sira_signature: str
    token_id: str
    content: dict[str, Any]
    valid_from: datetime
    valid_until: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AroundRow:
    """What the belief does not say."""

    country: str
    usual_mean_ms: int | None
    usual_attempts: float | None
    overdue: int
    is_announced_soon: bool
    neighbours_p_down: float


@dataclass(frozen=True, slots=True)
class MinuteRow:
    checked_at: datetime
    attempts: int
    failures: int
    sla_misses: int
    timeouts: int
    not_its_fault: int
    probes: int
    probe_failures: int
    latency_sum_ms: int
    latency_max_ms: int
    latencies: int
    success_rate: Decimal | None
    health_score: Decimal | None
    p_down: float | None

    @property
    def minute(self) -> Minute:
        """The minute as SIRA looks at it."""
        return Minute(
            at=self.checked_at.timestamp(),
            attempts=self.attempts,
            failures=self.failures,
            sla_misses=self.sla_misses,
            timeouts=self.timeouts,
            probes=self.probes,
            probe_failures=self.probe_failures,
            latency_sum_ms=self.latency_sum_ms,
            latency_max_ms=self.latency_max_ms,
            latencies=self.latencies,
            p_down=self.p_down or 0.0,
        )


@dataclass(frozen=True, slots=True)
class MainRow:
    rail: str
    currency: str


@dataclass(frozen=True, slots=True)
class MemberKeyRow:
    mesh_region_id: str
    bank_profile_id: str
    rail: str
    currency: str


FIND_AROUND = Query(
    """
    /* predictions.find_around */
    select b.country,
           u.mean_ms as usual_mean_ms,
           u.attempts as usual_attempts,
           (select count(*)
              from payments.bank_attempts as a
             where a.bank_profile_id = b.id and a.currency = :currency
               and a.state in ('accepted', 'unknown')
               and a.sent_at < :at::timestamptz - make_interval(secs => greatest(600, 3 * b.avg_delay_sec)))::int as overdue,
           exists (select from mesh.declared_outages as d
                    where d.bank_profile_id = b.id and d.begins_at > :at
                      and d.begins_at <= :at::timestamptz + interval '1 hour') as is_announced_soon,
           coalesce((
               select max(h.p_down)
                 from mesh.mesh_members as mine
                 join mesh.mesh_members as other
                   on other.failure_domains && mine.failure_domains
                  and other.bank_profile_id <> mine.bank_profile_id
                 join mesh.member_health as h
                   on h.bank_profile_id = other.bank_profile_id and h.currency = :currency
                where mine.bank_profile_id = b.id), 0)::float8 as neighbours_p_down
      from payments.bank_profiles as b
      left join mesh.hourly_baselines as u
             on u.bank_profile_id = b.id and u.rail = :rail and u.currency = :currency
            and u.hour_of_week = extract(isodow from :at::timestamptz at time zone 'UTC')::int * 24 - 24
                                 + extract(hour from :at::timestamptz at time zone 'UTC')::int
     where b.id = :bank_id
    """,
    row=AroundRow,
)

# Of days ago: an hour in its last minute, as its sums.
LIST_HOURS = Query(
    """
    /* predictions.list_hours */
    select date_trunc('hour', l.checked_at) + interval '59 minutes' as checked_at,
           sum(l.attempts)::int as attempts, sum(l.failures)::int as failures,
           sum(l.sla_misses)::int as sla_misses, sum(l.timeouts)::int as timeouts,
           sum(l.not_its_fault)::int as not_its_fault, sum(l.probes)::int as probes,
           sum(l.probe_failures)::int as probe_failures, sum(l.latency_sum_ms)::bigint as latency_sum_ms,
           max(l.latency_max_ms) as latency_max_ms, sum(l.latencies)::int as latencies,
           null::numeric as success_rate, null::numeric as health_score, max(l.p_down) as p_down
      from mesh.bank_health_logs as l
     where l.bank_profile_id = :bank_id and l.rail = :rail and l.currency = :currency
       and l.checked_at >= date_trunc('hour', :at::timestamptz) - make_interval(hours => :from_hours)
       and l.checked_at < date_trunc('hour', :at::timestamptz) - make_interval(hours => :until_hours)
     group by date_trunc('hour', l.checked_at)
     order by date_trunc('hour', l.checked_at)
    """,
    row=MinuteRow,
)

LIST_MINUTES = Query(
    """
    /* predictions.list_minutes */
    select l.checked_at, l.attempts, l.failures, l.sla_misses, l.timeouts, l.not_its_fault, l.probes,
           l.probe_failures, l.latency_sum_ms, l.latency_max_ms, l.latencies, l.success_rate,
           l.health_score, l.p_down
      from mesh.bank_health_logs as l
     where l.bank_profile_id = :bank_id and l.rail = :rail and l.currency = :currency
       and l.checked_at >= date_trunc('hour', :at::timestamptz) - make_interval(hours => :hours)
       and l.checked_at <= :at
     order by l.checked_at
    """,
    row=MinuteRow,
)

# What was heard of most; a bank that nothing was heard of has none.
FIND_MAIN = Query(
    """
    /* predictions.find_main */
    select h.rail, h.currency
      from mesh.member_health as h
     where h.bank_profile_id = :bank_id
       and (:rail::text is null or h.rail = :rail)
       and (:currency::text is null or h.currency = :currency)
     order by h.signals desc, h.rail, h.currency
     limit 1
    """,
    row=MainRow,
)

LIST_MEMBER_KEYS = Query(
    """
    /* predictions.list_member_keys */
    select m.mesh_region_id, h.bank_profile_id, h.rail, h.currency
      from mesh.member_health as h
      join mesh.mesh_members as m on m.bank_profile_id = h.bank_profile_id and m.status = 'active'
     where :bank_ids::text[] is null or h.bank_profile_id = any(:bank_ids)
     order by h.bank_profile_id, h.rail, h.currency, m.mesh_region_id
     limit :limit
    """,
    row=MemberKeyRow,
)

APPEND = Query(
    """
    /* predictions.append */
    insert into mesh.bank_health_predictions
           (id, bank_profile_id, mesh_region_id, rail, currency, predicted_score, confidence,
            prediction_window_minutes, prediction_reason, risk_factors, recommended_action,
            sira_model_version, sira_confidence_intervals, explanation, p_down, served_by,
            sira_signature, token_id, content, valid_from, valid_until, created_at)
    values (:id, :bank_profile_id, :mesh_region_id, :rail, :currency, :predicted_score, :confidence,
            :prediction_window_minutes, :prediction_reason, :risk_factors, :recommended_action,
            :sira_model_version, :sira_confidence_intervals::jsonb, :explanation::jsonb, :p_down, :served_by,
            :sira_signature, :token_id, :content::jsonb, :valid_from, :valid_until, :created_at)
    """,
    row=Nothing,
)

# The newest that is valid, for each bank and region.
LIST_VALID = Query(
    """
    /* predictions.list_valid */
    select distinct on (p.bank_profile_id, p.mesh_region_id)
           p.id, p.bank_profile_id, p.mesh_region_id, p.rail, p.currency, p.predicted_score, p.confidence,
           p.prediction_window_minutes, p.prediction_reason, p.risk_factors, p.recommended_action,
           p.sira_model_version, p.sira_confidence_intervals, p.explanation, p.p_down, p.served_by,
           p.sira_signature, p.token_id, p.content, p.valid_from, p.valid_until, p.created_at
      from mesh.bank_health_predictions as p
     where p.rail = :rail and p.currency = :currency
       and (:bank_ids::text[] is null or p.bank_profile_id = any(:bank_ids))
       and p.valid_until > :at and p.created_at > :at::timestamptz - interval '1 day'
     order by p.bank_profile_id, p.mesh_region_id, p.created_at desc
     limit :limit
    """,
    row=PredictionRow,
)

LIST_NEWEST = Query(
    """
    /* predictions.list_newest */
    select p.id, p.bank_profile_id, p.mesh_region_id, p.rail, p.currency, p.predicted_score, p.confidence,
           p.prediction_window_minutes, p.prediction_reason, p.risk_factors, p.recommended_action,
           p.sira_model_version, p.sira_confidence_intervals, p.explanation, p.p_down, p.served_by,
           p.sira_signature, p.token_id, p.content, p.valid_from, p.valid_until, p.created_at
      from mesh.bank_health_predictions as p
     where (:region::text is null
            or p.mesh_region_id = (select r.id from mesh.mesh_regions as r where r.id = :region or r.name = :region
                                    order by r.id = :region desc limit 1))
       and (:bank_id::text is null or p.bank_profile_id = :bank_id)
     order by p.created_at desc, p.id desc
     limit :limit
    """,
    row=PredictionRow,
)

PURGE = Query(
    """
    /* predictions.purge */
    delete from mesh.bank_health_predictions
     where id in (
           select p.id
             from mesh.bank_health_predictions as p
            where p.created_at < now() - make_interval(days => :days)
            order by p.created_at
            limit :limit)
    """,
    row=Nothing,
)

PURGE_MINUTES = Query(
    """
    /* predictions.purge_minutes */
    delete from mesh.bank_health_logs
     where (bank_profile_id, rail, currency, checked_at) in (
           select l.bank_profile_id, l.rail, l.currency, l.checked_at
             from mesh.bank_health_logs as l
            where l.checked_at < now() - make_interval(days => :days)
            order by l.checked_at
            limit :limit)
    """,
    row=Nothing,
)
