"""Statements about watched tenants, and what was measured of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from molam.alerts.rules.model import AlertType, Severity, TenantType
from molam.alerts.rules.state import Cause, State
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class EventIdRow:
    id: UUID


@dataclass(frozen=True, slots=True)
class FingerprintRow:
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class NamedRow:
    """A series, and what it is of."""

    fingerprint: bytes
    rule_id: str
    alert_type: AlertType
    metric: str
    tenant_type: TenantType
    tenant_id: str | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class SeriesRow:
    fingerprint: bytes
    rule_id: str
    rule_version: int
    alert_type: AlertType
    metric: str
    tenant_type: TenantType
    tenant_id: str | None
    currency: str | None
    state: State
    since: datetime
    judged_at: datetime
    due_at: datetime | None
    last_at: datetime
    last_value: Decimal
    previous_value: Decimal | None
    context: dict[str, Any]
    waiting: bytes
    severity: Severity | None
    opened_by: Cause | None
    recent: int
    recent_count: int
    flap_at: datetime
    is_flapping: bool
    episode: int
    late_samples: int


@dataclass(frozen=True, slots=True)
class PointRow:
    """What was measured in one minute."""

    currency: str
    minute: datetime
    last_at: datetime
    last_value: Decimal
    low: Decimal
    high: Decimal
    total: Decimal
    samples: int
    context: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TenantRow:
    tenant_type: TenantType
    tenant_id: str | None


@dataclass(frozen=True, slots=True)
class DueRow:
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


# Remembers events, and returns those that came before.
TAKE_EVENTS = Query(
    """
    /* series.take_events */
    with taken as (
        insert into alerts.heard_events (id)
        select n.id
          from unnest(:ids::uuid[]) as n(id)
         order by n.id
            on conflict do nothing
     returning id
    )
    select n.id
      from unnest(:ids::uuid[]) as n(id)
     where not exists (select from taken as t where t.id = n.id)
    """,
    row=EventIdRow,
)

LOCK_SERIES = Query(
    """
    /* series.lock */
    select fingerprint, rule_id, rule_version, alert_type, metric, tenant_type, tenant_id, currency, state,
           since, judged_at, due_at, last_at, last_value, previous_value, context, waiting, severity,
           opened_by, recent, recent_count, flap_at, is_flapping, episode, late_samples
      from alerts.series
     where fingerprint = any(:fingerprints::bytea[])
     order by fingerprint
       for update
    """,
    row=SeriesRow,
    locks=Rank.METRIC_SERIES,
)

GET_SERIES = Query(
    """
    /* series.get */
    select fingerprint, rule_id, rule_version, alert_type, metric, tenant_type, tenant_id, currency, state,
           since, judged_at, due_at, last_at, last_value, previous_value, context, waiting, severity,
           opened_by, recent, recent_count, flap_at, is_flapping, episode, late_samples
      from alerts.series
     where fingerprint = :fingerprint
    """,
    row=SeriesRow,
)

INSERT_SERIES = Query(
    """
    /* series.insert */
    insert into alerts.series
           (fingerprint, rule_id, rule_version, alert_type, metric, tenant_type, tenant_id, currency, since,
            judged_at, last_at, last_value, flap_at)
    select n.fingerprint, n.rule_id, n.rule_version, n.alert_type, n.metric, n.tenant_type, n.tenant_id,
           n.currency, n.begin_at, n.begin_at, n.last_at, n.last_value, n.begin_at
      from unnest(:fingerprints::bytea[], :rule_ids::text[], :rule_versions::int[], :alert_types::text[],
                  :metrics::text[], :tenant_types::text[], :tenant_ids::text[], :currencies::text[],
                  :begin_ats::timestamptz[], :last_ats::timestamptz[], :last_values::numeric[])
           as n(fingerprint, rule_id, rule_version, alert_type, metric, tenant_type, tenant_id, currency,
                begin_at, last_at, last_value)
     order by n.fingerprint
        on conflict do nothing
    returning fingerprint
    """,
    row=FingerprintRow,
)

WRITE_SERIES = Query(
    """
    /* series.write */
    update alerts.series as s
       set rule_id = n.rule_id,
           rule_version = n.rule_version,
           state = n.state,
           since = n.since,
           judged_at = n.judged_at,
           due_at = n.due_at,
           last_at = n.last_at,
           last_value = n.last_value,
           previous_value = n.previous_value,
           context = n.context,
           waiting = n.waiting,
           severity = n.severity,
           opened_by = n.opened_by,
           recent = n.recent,
           recent_count = n.recent_count,
           flap_at = n.flap_at,
           is_flapping = n.is_flapping,
           episode = n.episode,
           late_samples = n.late_samples,
           version = s.version + 1,
           updated_at = now()
      from unnest(:fingerprints::bytea[], :rule_ids::text[], :rule_versions::int[], :states::text[],
                  :sinces::timestamptz[], :judged_ats::timestamptz[], :due_ats::timestamptz[],
                  :last_ats::timestamptz[], :last_values::numeric[], :previous_values::numeric[],
                  :contexts::jsonb[], :waitings::bytea[], :severities::text[], :opened_bys::text[],
                  :recents::bigint[], :recent_counts::smallint[], :flap_ats::timestamptz[],
                  :are_flapping::boolean[], :episodes::int[], :late_samples::bigint[])
           as n(fingerprint, rule_id, rule_version, state, since, judged_at, due_at, last_at, last_value,
                previous_value, context, waiting, severity, opened_by, recent, recent_count, flap_at,
                is_flapping, episode, late_samples)
     where s.fingerprint = n.fingerprint
    """,
    row=Nothing,
)

ADD_POINTS = Query(
    """
    /* series.add_points */
    insert into alerts.metric_points as p
           (metric, tenant_type, tenant_id, currency, minute, last_at, last_value, low, high, total,
            samples, context)
    select n.metric, n.tenant_type, n.tenant_id, n.currency, n.minute, n.last_at, n.last_value, n.low,
           n.high, n.total, n.samples, n.context
      from unnest(:metrics::text[], :tenant_types::text[], :tenant_ids::text[], :currencies::text[],
                  :minutes::timestamptz[], :last_ats::timestamptz[], :last_values::numeric[],
                  :lows::numeric[], :highs::numeric[], :totals::numeric[], :samples::int[],
                  :contexts::jsonb[])
           as n(metric, tenant_type, tenant_id, currency, minute, last_at, last_value, low, high, total,
                samples, context)
     order by n.metric, n.tenant_type, n.tenant_id, n.currency, n.minute
        on conflict (metric, tenant_type, tenant_id, currency, minute) do update
       set last_at = greatest(p.last_at, excluded.last_at),
           last_value = case when excluded.last_at >= p.last_at then excluded.last_value
                             else p.last_value end,
           context = case when excluded.last_at >= p.last_at then excluded.context else p.context end,
           low = least(p.low, excluded.low),
           high = greatest(p.high, excluded.high),
           total = p.total + excluded.total,
           samples = p.samples + excluded.samples
    """,
    row=Nothing,
)

# Tenants for whom the clock has come to something. It is not asked about them again for a
# minute: what answers may be behind, and then asking more helps nobody.
TAKE_DUE = Query(
    """
    /* series.take_due */
    with due as (
        select fingerprint
          from alerts.series
         where due_at <= :now
         order by fingerprint
         limit :series_max
           for update skip locked
    ), taken as (
        update alerts.series as s
           set due_at = :now::timestamptz + interval '1 minute'
          from due
         where s.fingerprint = due.fingerprint
     returning s.tenant_type, s.tenant_id
    )
    select distinct tenant_type, tenant_id
      from taken
    """,
    row=TenantRow,
    locks=Rank.METRIC_SERIES,
)

NEXT_DUE = Query(
    """
    /* series.next_due */
    select min(due_at) as due_at
      from alerts.series
     where due_at > :now
    """,
    row=DueRow,
)

LIST_TIMED = Query(
    """
    /* series.list_timed */
    select s.fingerprint, s.rule_id, s.alert_type, s.metric, s.tenant_type, s.tenant_id, s.currency
      from unnest(:tenant_types::text[], :tenant_ids::text[]) as n(tenant_type, tenant_id)
      join alerts.series as s
        on s.tenant_type = n.tenant_type
       and s.tenant_id = n.tenant_id
     where s.due_at is not null
     union all
    select fingerprint, rule_id, alert_type, metric, tenant_type, tenant_id, currency
      from alerts.series
     where :with_platform
       and tenant_type = 'platform'
       and due_at is not null
    """,
    row=NamedRow,
)

MAKE_DUE = Query(
    """
    /* series.make_due */
    update alerts.series as s
       set due_at = :now
      from (select fingerprint
              from alerts.series
             where alert_type = :alert_type
               and metric = :metric
               and tenant_type = :tenant_type
             order by fingerprint
               for update) as of_family
     where s.fingerprint = of_family.fingerprint
    """,
    row=Nothing,
    locks=Rank.METRIC_SERIES,
)

LIST_POINTS = Query(
    """
    /* series.list_points */
    select currency, minute, last_at, last_value, low, high, total, samples, context
      from alerts.metric_points
     where metric = :metric
       and tenant_type = :tenant_type
       and tenant_id = :tenant_id
       and currency = :currency
       and minute >= date_trunc('minute', :begin::timestamptz)
     order by minute desc
     limit :limit
    """,
    row=PointRow,
)

COUNT_SERIES = Query(
    """
    /* series.count */
    select count(*) as count
      from alerts.series
    """,
    row=CountRow,
)

PURGE_POINTS = Query(
    """
    /* series.purge_points */
    delete from alerts.metric_points
     where ctid = any(array(
           select ctid
             from alerts.metric_points
            where minute < now() - make_interval(days => :days)
            limit :rows_max))
    """,
    row=Nothing,
)

PURGE_EVENTS = Query(
    """
    /* series.purge_events */
    delete from alerts.heard_events
     where ctid = any(array(
           select ctid
             from alerts.heard_events
            where heard_at < now() - make_interval(days => :days)
            limit :rows_max))
    """,
    row=Nothing,
)
