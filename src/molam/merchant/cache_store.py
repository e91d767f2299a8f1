"""The statements that read the KPI cache, and that fill it from the buckets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from molam.merchant import kpi_sql
from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class CacheRow:
    """One cached figure: its two sums, those of the previous period, and their days."""

    kpi_key: str
    numerator: int
    denominator: int | None
    txn_count: int
    previous_numerator: int
    previous_denominator: int | None
    from_day: date
    to_day: date
    computed_at: datetime
    as_of: int


@dataclass(frozen=True, slots=True)
class VersionRow:
    version: int


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A whole summary as the cache has it; *figures* and *series* are JSON text."""

    figures: str
    from_day: date
    to_day: date
    computed_at: datetime
    valid_until: datetime
    as_of: int
    series: str | None


# Fresh means: exact at the merchant's present head, within the specification's
# two minutes, and on the same local day. The series is read beside the figures,
# so that the hottest question of the product is one round trip.
READ_SUMMARY = Query(
    """
    /* merchant.read_summary */
    select k.figures, k.from_day, k.to_day, k.computed_at, k.valid_until, k.as_of, points.series
      from set_config('molam.merchant_id', :merchant_id, true) as tenant(id)
     cross join lateral (
        select json_agg(json_build_array(c.kpi_key, c.numerator, c.denominator, c.txn_count,
                                         c.previous_numerator, c.previous_denominator))::text as figures,
               min(c.merchant_id) as merchant_id, min(c.from_day) as from_day, min(c.to_day) as to_day,
               min(c.computed_at) as computed_at, min(c.valid_until) as valid_until,
               min(c.as_of) as as_of
          from merchant.kpi_heads h
          join merchant.merchant_kpis_cache c on c.merchant_id = h.merchant_id and c.as_of = h.version
         where h.merchant_id = tenant.id
           and c.period = :period
           and c.currency = :currency
           and c.computed_at > now() - interval '2 minutes'
           and c.valid_until > now()
     ) as k
     cross join lateral (
        select case when k.from_day = k.to_day then (
            select json_agg(json_build_array(to_char(b.day + make_interval(hours => b.hour), 'YYYY-MM-DD"T"HH24:MI'),
                                             b.sales, b.refunds, b.fees, b.payment_count, b.created_count) order by b.hour)
              from merchant.kpi_hours b
             where b.merchant_id = tenant.id and b.currency = :currency and b.day = k.from_day
        ) else (
            select json_agg(json_build_array(b.day, b.sales, b.refunds, b.fees, b.payment_count, b.created_count) order by b.day)
              from merchant.kpi_days b
             where b.merchant_id = tenant.id and b.currency = :currency and b.day between k.from_day and k.to_day
        ) end::text as series
     ) as points
     where k.figures is not null
    """,
    row=SummaryRow,
)

READ_HEAD = Query(
    """
    /* merchant.read_head */
    select h.version
      from set_config('molam.merchant_id', :merchant_id, true) as tenant(id)
     cross join lateral (
        select version from merchant.kpi_heads where merchant_id = tenant.id
     ) as h
    """,
    row=VersionRow,
)

# Sums and head are read by one statement, hence at one instant: if the worker
# commits in between, the head it left behind is not the one stored here. An
# older computation never replaces a newer one. Periods without a name are kept while
# they are few, since there are as many as somebody cares to ask for.
COMPUTE_CACHE = Query(
    """
    /* merchant.compute_cache */
    with head as (
        select coalesce(max(version), 0) as version
          from merchant.kpi_heads where merchant_id = :merchant_id
    ),
    c as (
        select :from_day::date as from_day
    ),
    now_sums as ( select """
    + kpi_sql.SUMS_NOW
    + """
          from c left join merchant.kpi_days d
            on d.merchant_id = :merchant_id and d.currency = :currency
           and d.day between :from_day and :to_day::date
    ),
    before_sums as ( select """
    + kpi_sql.SUMS_BEFORE
    + """
          from c left join merchant.kpi_days d
            on d.merchant_id = :merchant_id and d.currency = :currency
           and d.day between :previous_from_day::date and :previous_to_day::date
    ),
    figures as (
        select n.kpi_key, n.numerator, n.denominator, n.txn_count, n.factor,
               n.kpi_key in ('sales', 'refunds', 'fees', 'net_revenue', 'avg_ticket', 'disputes') as is_money,
               p.numerator as previous_numerator, p.denominator as previous_denominator
          from (select k.* from now_sums s cross join lateral """
    + kpi_sql.KPI_ROWS
    + """) as n
          join (select k.* from before_sums s cross join lateral """
    + kpi_sql.KPI_ROWS
    + """) as p using (kpi_key)
    ),
    kept as (
        insert into merchant.merchant_kpis_cache as t
               (merchant_id, period, kpi_key, currency, value, usd_rate, usd_equivalent, txn_count,
                numerator, denominator,
                previous_value, previous_numerator, previous_denominator, from_day, to_day,
                previous_from_day, previous_to_day, valid_until, as_of)
        select :merchant_id, :period, kpi_key, :currency,
               coalesce(numerator::numeric * factor / nullif(coalesce(denominator, 1), 0), 0),
               case when is_money then :usd_rate::numeric end,
               case when is_money then :usd_rate
                    * coalesce(numerator::numeric / nullif(coalesce(denominator, 1), 0), 0) end,
               txn_count, numerator, denominator,
               coalesce(previous_numerator::numeric * factor / nullif(coalesce(previous_denominator, 1), 0), 0),
               previous_numerator, previous_denominator, :from_day, :to_day, :previous_from_day,
               :previous_to_day, :valid_until, head.version
          from figures, head
         where :period not like 'custom:%'
            or (select count(*) from merchant.merchant_kpis_cache
                 where merchant_id = :merchant_id and period like 'custom:%') < 1000
         order by kpi_key
            on conflict (merchant_id, period, kpi_key, currency) do update
           set value = excluded.value, usd_rate = excluded.usd_rate,
               usd_equivalent = excluded.usd_equivalent, txn_count = excluded.txn_count, numerator = excluded.numerator,
               denominator = excluded.denominator, previous_value = excluded.previous_value,
               previous_numerator = excluded.previous_numerator,
               previous_denominator = excluded.previous_denominator, from_day = excluded.from_day,
               to_day = excluded.to_day, previous_from_day = excluded.previous_from_day,
               previous_to_day = excluded.previous_to_day, valid_until = excluded.valid_until,
               as_of = excluded.as_of, computed_at = now()
         where t.as_of <= excluded.as_of
    )
    select k.kpi_key, k.numerator, k.denominator, k.txn_count, k.previous_numerator,
           k.previous_denominator, :from_day as from_day, :to_day as to_day, now() as computed_at,
           head.version as as_of
      from figures k, head
    """,
    row=CacheRow,
)

PURGE_CACHE = Query(
    """
    /* merchant.purge_cache */
    delete from merchant.merchant_kpis_cache where computed_at < now() - interval '1 day'
    """,
    row=Nothing,
)
