"""The statements that refresh, compare and rebuild what is derived from facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from molam.merchant import kpi_sql
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class DriftRow:
    """A derived figure that differs from what it is derived from."""

    merchant_id: str
    currency: str
    what: str
    expected: int
    found: int


@dataclass(frozen=True, slots=True)
class EventsRow:
    events: str | None


@dataclass(frozen=True, slots=True)
class HeadRow:
    version: int


REFRESH_VIEW = Query(
    "/* merchant.refresh_view */ refresh materialized view concurrently merchant.mv_merchant_tx_agg",
    row=Nothing,
)

# Buckets against the transactions behind them, for days that changed lately and
# have come to rest: intake and the KPI worker each go at their own pace, so a
# day that moved within the last half minute may differ without being wrong.
FIND_BUCKET_DRIFT = Query(
    """
    /* merchant.find_bucket_drift */
    with days as (
        select d.merchant_id, d.currency, d.day, d.sales, d.refunds, d.fees, d.payment_count,
               d.created_count, d.refund_count,
               (d.day::timestamp at time zone s.timezone) as starts_at,
               ((d.day + 1)::timestamp at time zone s.timezone) as ends_at
          from merchant.kpi_days d
          join merchant.merchant_dashboards s using (merchant_id)
         where d.changed_at > now() - make_interval(hours => :hours)
           and d.changed_at < now() - make_interval(secs => :rest_s)
           and (:merchant_id::text is null or d.merchant_id = :merchant_id)
    ),
    raw as (
        select d.merchant_id, d.currency, d.day,
               coalesce(sum(w.amount) filter (where w.type = 'payment' and w.state = 'succeeded'), 0)::bigint as sales,
               coalesce(sum(w.amount) filter (where w.type = 'refund' and w.state = 'succeeded'), 0)::bigint as refunds,
               coalesce(sum(w.fee_molam) filter (where w.state = 'succeeded'), 0)::bigint as fees,
               count(*) filter (where w.type = 'payment' and w.state = 'succeeded') as payment_count,
               count(*) filter (where w.type = 'payment') as created_count,
               count(*) filter (where w.type = 'refund' and w.state = 'succeeded') as refund_count,
               max(w.updated_at) as updated_at
          from days d
          left join payments.wallet_transactions w
            on w.merchant_id = d.merchant_id and w.currency = d.currency
           and w.occurred_at >= d.starts_at and w.occurred_at < d.ends_at
         group by d.merchant_id, d.currency, d.day
    )
    select d.merchant_id, d.currency, f.what || ' ' || d.day as what, f.expected, f.found
      from days d
      join raw r using (merchant_id, currency, day)
     cross join lateral (values
        ('sales', r.sales, d.sales), ('refunds', r.refunds, d.refunds), ('fees', r.fees, d.fees),
        ('payment_count', r.payment_count, d.payment_count),
        ('created_count', r.created_count, d.created_count),
        ('refund_count', r.refund_count, d.refund_count)
     ) as f(what, expected, found)
     where f.expected <> f.found
       and (r.updated_at is null or r.updated_at < now() - make_interval(secs => :rest_s))
     order by d.merchant_id, d.day
     limit 1000
    """,
    row=DriftRow,
)

# A cached figure that claims to be exact at the present head is compared in one
# snapshot, so there is nothing to wait for.
FIND_CACHE_DRIFT = Query(
    """
    /* merchant.find_cache_drift */
    with c as (
        select c.merchant_id, c.period, c.currency, c.from_day, c.to_day, c.previous_from_day
          from merchant.merchant_kpis_cache c
          join merchant.kpi_heads h on h.merchant_id = c.merchant_id and h.version = c.as_of
         where c.kpi_key = 'sales'
    ),
    s as (
        select c.merchant_id, c.period, c.currency, """
    + kpi_sql.SUMS_NOW
    + """
          from c left join merchant.kpi_days d
            on d.merchant_id = c.merchant_id and d.currency = c.currency
           and d.day between c.previous_from_day and c.to_day
         group by c.merchant_id, c.period, c.currency
    )
    select t.merchant_id, t.currency, t.period || ' ' || t.kpi_key as what,
           k.numerator as expected, t.numerator as found
      from s cross join lateral """
    + kpi_sql.KPI_ROWS
    + """
      join merchant.merchant_kpis_cache t
        on t.merchant_id = s.merchant_id and t.period = s.period
       and t.currency = s.currency and t.kpi_key = k.kpi_key
     where t.numerator <> k.numerator
        or t.denominator is distinct from k.denominator
        or t.value is distinct from
           round(coalesce(k.numerator::numeric * k.factor / nullif(coalesce(k.denominator, 1), 0), 0), 8)
     order by t.merchant_id, t.period, t.kpi_key
     limit 1000
    """,
    row=DriftRow,
)

FIND_VIEW_DRIFT = Query(
    """
    /* merchant.find_view_drift */
    select d.merchant_id, d.currency, 'view ' || d.day as what, d.sales as expected,
           coalesce(v.total_sales, 0) as found
      from merchant.kpi_days d
      left join merchant.mv_merchant_tx_agg v using (merchant_id, currency, day)
     where d.changed_at < now() - make_interval(secs => :settled_s)
       and d.changed_at > now() - make_interval(hours => :hours)
       and d.day >= (now() - interval '2 years')::date
       and (v.merchant_id is null or (v.total_sales, v.total_refunds, v.total_fees, v.payment_count, v.refund_count)
            is distinct from (d.sales, d.refunds, d.fees, d.payment_count, d.refund_count))
     order by d.merchant_id, d.day
     limit 1000
    """,
    row=DriftRow,
)

DROP_CACHE = Query(
    """
    /* merchant.drop_cache */
    delete from merchant.merchant_kpis_cache where merchant_id = :merchant_id
    """,
    row=Nothing,
)

# The merchant's transactions as the events they came from, to be counted again:
# a fact that is there already changes nothing.
READ_BACK = Query(
    """
    /* merchant.read_back */
    select json_agg(json_build_object(
               'type', case type when 'refund' then 'refund_created' else 'wallet_txn_created' end,
               'data', json_build_object(
                   'id', id, 'transaction_id', case type when 'refund' then original_id else id end,
                   'merchant_id', merchant_id, 'amount', amount, 'currency', currency,
                   'fee_molam', fee_molam, 'status', state, 'version', version,
                   'occurred_at', occurred_at, 'channel', channel, 'provider', provider)))::text as events
      from (select *
              from payments.wallet_transactions w
             where w.merchant_id = :merchant_id and not w.imported
               and not exists (
                   select from merchant.kpi_facts f
                    where f.merchant_id = w.merchant_id and f.kind = w.type and f.id = w.id
                      and f.version >= w.version and f.amount = w.amount and f.state = w.state)
             order by w.occurred_at
             limit 1000) as missing
    """,
    row=EventsRow,
)

BEGIN_HEAD = Query(
    """
    /* merchant.begin_head */
    insert into merchant.kpi_heads (merchant_id)
    select merchant_id from merchant.merchant_dashboards where merchant_id = :merchant_id
        on conflict do nothing
    """,
    row=Nothing,
)

LOCK_HEAD = Query(
    """
    /* merchant.lock_head */
    update merchant.kpi_heads
       set version = version + 1, changed_at = now()
     where merchant_id = :merchant_id
    returning version
    """,
    row=HeadRow,
    locks=Rank.KPI_HEAD,
)

SET_TIMEZONE = Query(
    """
    /* merchant.set_timezone */
    update merchant.merchant_dashboards
       set timezone = :timezone, updated_at = now()
     where merchant_id = :merchant_id
    """,
    row=Nothing,
)

PLACE_FACTS = Query(
    """
    /* merchant.place_facts */
    update merchant.kpi_facts f
       set day = (f.occurred_at at time zone s.timezone)::date,
           hour = extract(hour from f.occurred_at at time zone s.timezone)::smallint
      from merchant.merchant_dashboards s
     where f.merchant_id = :merchant_id
       and s.merchant_id = f.merchant_id
       and (f.day, f.hour) is distinct from
           ((f.occurred_at at time zone s.timezone)::date,
            extract(hour from f.occurred_at at time zone s.timezone)::smallint)
    """,
    row=Nothing,
    locks=Rank.KPI_BUCKET,
)

CLEAR_HOURS = Query(
    "/* merchant.clear_hours */ delete from merchant.kpi_hours where merchant_id = :merchant_id",
    row=Nothing,
)
CLEAR_DAYS = Query(
    "/* merchant.clear_days */ delete from merchant.kpi_days where merchant_id = :merchant_id",
    row=Nothing,
)
CLEAR_METHODS = Query(
    "/* merchant.clear_methods */ delete from merchant.kpi_methods where merchant_id = :merchant_id",
    row=Nothing,
)

FILL_HOURS = Query(
    """
    /* merchant.fill_hours */
    insert into merchant.kpi_hours (merchant_id, currency, day, hour, """
    + kpi_sql.SUM_NAMES
    + """)
    select merchant_id, currency, day, hour, """
    + kpi_sql.CONTRIBUTION
    + """
      from (select *, 1 as sign from merchant.kpi_facts where merchant_id = :merchant_id) as f
     group by merchant_id, currency, day, hour
    """,
    row=Nothing,
)

FILL_DAYS = Query(
    """
    /* merchant.fill_days */
    insert into merchant.kpi_days (merchant_id, currency, day, """
    + kpi_sql.SUM_NAMES
    + """)
    select merchant_id, currency, day, """
    + kpi_sql.CONTRIBUTION
    + """
      from (select *, 1 as sign from merchant.kpi_facts where merchant_id = :merchant_id) as f
     group by merchant_id, currency, day
    """,
    row=Nothing,
)

FILL_METHODS = Query(
    """
    /* merchant.fill_methods */
    insert into merchant.kpi_methods (merchant_id, currency, day, method, payment_count, sales)
    select merchant_id, currency, day, method, count(*), sum(amount)
      from merchant.kpi_facts
     where merchant_id = :merchant_id and kind = 'payment' and state = 'succeeded'
     group by merchant_id, currency, day, method
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class HourRow:
    day: date
    hour: int
    created_count: int
    payment_count: int
    sales: int
    refund_count: int
    dispute_count: int
    fees: int


@dataclass(frozen=True, slots=True)
class IdRow:
    id: UUID


@dataclass(frozen=True, slots=True)
class IncidentRow:
    merchant_id: str
    currency: str


@dataclass(frozen=True, slots=True)
class BehindRow:
    behind: bool


@dataclass(frozen=True, slots=True)
class LiveMerchantRow:
    merchant_id: str
    timezone: str
    currency: str


LIST_LIVE = Query(
    """
    /* merchant.list_live */
    select s.merchant_id, s.timezone, d.currency
      from merchant.merchant_dashboards s
      join merchant.kpi_days d
        on d.merchant_id = s.merchant_id and d.day = (now() at time zone s.timezone)::date - 1
     where d.created_count > 0
       and not exists (
           select from payments.wallet_transactions w
            where w.merchant_id = s.merchant_id and w.imported
              and w.occurred_at > now() - interval '25 hours')
     order by s.merchant_id, d.currency
     limit 10000
    """,
    row=LiveMerchantRow,
)

LIST_HOURLY_COUNTS = Query(
    """
    /* merchant.list_hourly_counts */
    select day, hour::int, created_count, payment_count, sales, refund_count, dispute_count, fees
      from merchant.kpi_hours
     where merchant_id = :merchant_id and currency = :currency and day >= :since::date
     order by day, hour
    """,
    row=HourRow,
)

# Marks the alert as still going on, so that the quiet after an incident is
# measured from its last finding.
MARK_RECENT_FINDING = Query(
    """
    /* merchant.list_recent_findings */
    update merchant.merchant_alerts
       set facts = facts || jsonb_build_object('last_at', now())
     where merchant_id = :merchant_id
       and facts ->> 'finding' = :finding
       and facts ->> 'currency' = :currency
       and coalesce((facts ->> 'last_at')::timestamptz, created_at) > now() - :refractory::interval
    returning id
    """,
    row=IdRow,
)

LIST_INCIDENTS = Query(
    """
    /* merchant.list_incidents */
    select distinct merchant_id, facts ->> 'currency' as currency
      from merchant.merchant_alerts
     where facts ->> 'rule' = 'seasonal' and facts ->> 'finding' <> :but
       and coalesce((facts ->> 'last_at')::timestamptz, created_at) > now() - :refractory::interval
    """,
    row=IncidentRow,
)

FIND_BEHIND = Query(
    """
    /* merchant.find_behind */
    select exists (
        select from platform.consumer_progress p
          join platform.events e on e.part = p.part and (e.xid, e.id) > (p.xid, p.pos)
         where p."group" = 'kpi' and p.topic = 'events'
           and e.created_at < :before::timestamptz
    ) as behind
    """,
    row=BehindRow,
)
