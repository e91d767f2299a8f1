"""The statements that count facts into buckets and bring the cache along."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from molam.merchant import kpi_sql
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class HeadRow:
    merchant_id: str
    version: int


@dataclass(frozen=True, slots=True)
class CountedRow:
    facts: int
    buckets: int
    cached: int
    disputes: int
    merchants: list[str] | None


@dataclass(frozen=True, slots=True)
class SurgeRow:
    merchant_id: str
    currency: str
    day: date
    sales: int
    previous_sales: int


@dataclass(frozen=True, slots=True)
class DisputeRow:
    merchant_id: str
    id: str
    transaction_id: str | None
    amount: int
    currency: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class EventsRow:
    events: str | None
    count: int


# Locks each merchant's head for the rest of the transaction, in id order, so
# that whoever counts for a merchant (the worker, an import, a repair) does it
# alone; and counts up, so that every cached figure of theirs is stale until the
# statement that follows brings it along.
TOUCH_HEADS = Query(
    """
    /* merchant.touch_heads */
    insert into merchant.kpi_heads as h (merchant_id)
    select distinct e.data ->> 'merchant_id' as merchant_id
      from json_to_recordset(:events::json) as e(data json)
     order by 1
        on conflict (merchant_id) do update set version = h.version + 1, changed_at = now()
    returning merchant_id, version
    """,
    row=HeadRow,
    locks=Rank.KPI_HEAD,
)

# One statement counts a batch: newest state of each fact, what that moves, the
# hours, days and methods it moves in, and the cached figures that cover them.
# A cached row is brought along only if it was exact before this batch (as_of) and
# its period has a name; any other is left stale, and whoever reads it next computes
# it anew. There are as many custom periods as somebody cares to ask for: with 2,000
# of them in the cache, one event took 20 s.
COUNT_FACTS = Query(
    """
    /* merchant.count_facts */
    with latest as materialized (
        select distinct on (merchant_id, kind, id)
               merchant_id, kind, id, version, state, rank, amount, fee, currency,
               min(occurred_at) over fact as first_at,
               coalesce(max(nullif(method, 'wallet')) over fact, method) as method
          from payments.facts_in(:events::json) as f
        window fact as (partition by merchant_id, kind, id)
         order by merchant_id, kind, id, version desc, rank desc, amount desc, fee desc, currency desc
    ),
    before as materialized (
        select t.merchant_id, t.kind, t.id, t.state, t.amount, t.fee, t.currency, t.method,
               t.occurred_at, t.day, t.hour, t.version
          from merchant.kpi_facts t
          join latest l using (merchant_id, kind, id)
    ),
    placed as (
        select l.*, least(l.first_at, b.occurred_at) as placed_at,
               least(l.first_at, b.occurred_at) at time zone coalesce(s.timezone, 'UTC') as local_at
          from latest l
          left join before b using (merchant_id, kind, id)
          left join merchant.merchant_dashboards s using (merchant_id)
    ),
    written as (
        insert into merchant.kpi_facts as t
               (merchant_id, kind, id, version, state, rank, amount, fee, currency, method,
                occurred_at, day, hour, imported)
        select merchant_id, kind, id, version, state, rank, amount, fee, currency, method,
               placed_at, local_at::date, extract(hour from local_at)::smallint, :imported
          from placed
         order by merchant_id, kind, id
            on conflict (merchant_id, kind, id) do update
           set (version, state, rank, amount, fee, currency, method) = (
                   select case when wins then excluded.version else t.version end,
                          case when wins then excluded.state else t.state end,
                          case when wins then excluded.rank else t.rank end,
                          case when wins then excluded.amount else t.amount end,
                          case when wins then excluded.fee else t.fee end,
                          case when wins then excluded.currency else t.currency end,
                          case when t.method = 'wallet' then excluded.method
                               when excluded.method = 'wallet' then t.method
                               else greatest(t.method, excluded.method) end
                     from (select (excluded.version, excluded.rank, excluded.amount, excluded.fee, excluded.currency)
                                > (t.version, t.rank, t.amount, t.fee, t.currency) as wins) as decided),
               occurred_at = excluded.occurred_at,
               day = excluded.day,
               hour = excluded.hour,
               imported = t.imported and excluded.imported,
               updated_at = now()
         where not :imported
           and ((excluded.version, excluded.rank, excluded.amount, excluded.fee, excluded.currency)
              > (t.version, t.rank, t.amount, t.fee, t.currency)
                or excluded.occurred_at < t.occurred_at
                or (excluded.method <> 'wallet' and (t.method = 'wallet' or excluded.method > t.method)))
     returning merchant_id, kind, id, state, amount, fee, currency, method, day, hour
    ),
    movement as materialized (
        select merchant_id, currency, day, hour, method, kind, state, amount, fee, 1 as sign
          from written
         union all
        select b.merchant_id, b.currency, b.day, b.hour, b.method, b.kind, b.state, b.amount, b.fee, -1
          from before b join written w using (merchant_id, kind, id)
    ),
    hourly as materialized (
        select merchant_id, currency, day, hour, """
    + kpi_sql.CONTRIBUTION
    + """
          from movement
         group by merchant_id, currency, day, hour
    ),
    daily as materialized (
        select merchant_id, currency, day,
               sum(created_count)::bigint as created_count, sum(payment_count)::bigint as payment_count,
               sum(failed_count)::bigint as failed_count, sum(abandoned_count)::bigint as abandoned_count,
               sum(sales)::bigint as sales, sum(fees)::bigint as fees,
               sum(refund_count)::bigint as refund_count, sum(refunds)::bigint as refunds,
               sum(dispute_count)::bigint as dispute_count, sum(disputes)::bigint as disputes,
               sum(payout_count)::bigint as payout_count, sum(payouts)::bigint as payouts
          from hourly
         group by merchant_id, currency, day
    ),
    hours as (
        insert into merchant.kpi_hours as b (merchant_id, currency, day, hour, """
    + kpi_sql.SUM_NAMES
    + """)
        select merchant_id, currency, day, hour, """
    + kpi_sql.SUM_NAMES
    + """
          from hourly
         order by merchant_id, currency, day, hour
            on conflict (merchant_id, currency, day, hour) do update"""
    + kpi_sql.ADD_TO_BUCKET
    + """
     returning 1
    ),
    days as (
        insert into merchant.kpi_days as b (merchant_id, currency, day, """
    + kpi_sql.SUM_NAMES
    + """)
        select merchant_id, currency, day, """
    + kpi_sql.SUM_NAMES
    + """
          from daily
         order by merchant_id, currency, day
            on conflict (merchant_id, currency, day) do update"""
    + kpi_sql.ADD_TO_BUCKET
    + """
     returning 1
    ),
    methods as (
        insert into merchant.kpi_methods as m (merchant_id, currency, day, method, payment_count, sales)
        select merchant_id, currency, day, method, sum(sign), sum(sign * amount)
          from movement
         where kind = 'payment' and state = 'succeeded'
         group by merchant_id, currency, day, method
         order by merchant_id, currency, day, method
            on conflict (merchant_id, currency, day, method) do update
           set payment_count = m.payment_count + excluded.payment_count, sales = m.sales + excluded.sales
     returning 1
    ),
    heads as materialized (
        select h.merchant_id, h.version
          from merchant.kpi_heads h
         where h.merchant_id = any(:merchants::text[])
    ),
    exact as materialized (
        select c.merchant_id, c.period, c.currency, c.from_day, c.to_day, c.previous_from_day
          from merchant.merchant_kpis_cache c
          join heads h on h.merchant_id = c.merchant_id and c.as_of = h.version - 1
         where c.kpi_key = 'sales'
           and c.period not like 'custom:%'
    ),
    now_sums as (
        select c.merchant_id, c.period, c.currency, """
    + kpi_sql.SUMS_NOW
    + """
          from exact c
          left join daily d on d.merchant_id = c.merchant_id and d.currency = c.currency
                           and d.day between c.previous_from_day and c.to_day
         group by c.merchant_id, c.period, c.currency
    ),
    before_sums as (
        select c.merchant_id, c.period, c.currency, """
    + kpi_sql.SUMS_BEFORE
    + """
          from exact c
          left join daily d on d.merchant_id = c.merchant_id and d.currency = c.currency
                           and d.day between c.previous_from_day and c.to_day
         group by c.merchant_id, c.period, c.currency
    ),
    shift as (
        select s.merchant_id, s.period, s.currency, k.kpi_key, k.numerator, k.denominator, k.txn_count,
               k.factor
          from now_sums s cross join lateral """
    + kpi_sql.KPI_ROWS
    + """
    ),
    previous_shift as (
        select s.merchant_id, s.period, s.currency, k.kpi_key, k.numerator, k.denominator
          from before_sums s cross join lateral """
    + kpi_sql.KPI_ROWS
    + """
    ),
    cached as (
        update merchant.merchant_kpis_cache c
           set numerator = c.numerator + n.numerator,
               denominator = c.denominator + n.denominator,
               txn_count = c.txn_count + n.txn_count,
               previous_numerator = c.previous_numerator + p.numerator,
               previous_denominator = c.previous_denominator + p.denominator,
               value = coalesce((c.numerator + n.numerator)::numeric * n.factor
                                / nullif(coalesce(c.denominator + n.denominator, 1), 0), 0),
               usd_equivalent = c.usd_rate
                   * coalesce((c.numerator + n.numerator)::numeric
                              / nullif(coalesce(c.denominator + n.denominator, 1), 0), 0),
               previous_value = coalesce((c.previous_numerator + p.numerator)::numeric * n.factor
                                / nullif(coalesce(c.previous_denominator + p.denominator, 1), 0), 0),
               computed_at = now(),
               as_of = c.as_of + 1
          from shift n
          join previous_shift p using (merchant_id, period, currency, kpi_key)
         where c.merchant_id = n.merchant_id and c.period = n.period
           and c.currency = n.currency and c.kpi_key = n.kpi_key
     returning 1
    )
    select (select count(*) from written) as facts,
           (select count(*) from days) + (select count(*) from hours) + (select count(*) from methods) as buckets,
           (select count(*) from cached) as cached,
           (select count(*) from written where kind = 'dispute') as disputes,
           (select array_agg(distinct merchant_id) from written) as merchants
    """,
    row=CountedRow,
    locks=Rank.KPI_BUCKET,
)

TELL_DASHBOARDS = Query(
    """
    /* merchant.tell_dashboards */
    select pg_notify('kpi', m) from unnest(:merchants::text[]) as m
    """,
    row=Nothing,
)

# The specification's floor: today's sales above three times the previous day's.
# Only merchants of this batch, only episodes nobody was told of yet, and no days
# that history was imported into: imports raise no alerts.
FIND_SURGES = Query(
    """
    /* merchant.find_surges */
    select t.merchant_id, t.currency, t.day, t.sales, y.sales as previous_sales
      from merchant.merchant_dashboards s
      join merchant.kpi_days t
        on t.merchant_id = s.merchant_id and t.day = (now() at time zone s.timezone)::date
      join merchant.kpi_days y
        on y.merchant_id = t.merchant_id and y.currency = t.currency and y.day = t.day - 1
     where s.merchant_id = any(:merchants::text[])
       and y.sales > 0
       and t.sales > 3 * y.sales
       and not exists (
           select from merchant.merchant_alerts a
            where a.merchant_id = t.merchant_id and a.alert_type = 'unusual_sales_volume'
              and a.episode = t.currency || ':' || t.day)
       and not exists (
           select from payments.wallet_transactions w
            where w.merchant_id = t.merchant_id and w.imported
              and w.occurred_at >= (t.day - 1)::timestamp at time zone s.timezone)
    """,
    row=SurgeRow,
)

FIND_NEW_DISPUTES = Query(
    """
    /* merchant.find_new_disputes */
    select f.merchant_id, f.id, f.original_id as transaction_id, f.amount, f.currency, f.reason
      from payments.facts_in(:events::json) as f
     where f.kind = 'dispute'
       and f.state in ('open', 'under_review', 'escalated')
       and f.occurred_at > now() - interval '7 days'
       and not exists (
           select from merchant.merchant_alerts a
            where a.merchant_id = f.merchant_id and a.alert_type = 'dispute_created' and a.episode = f.id)
    """,
    row=DisputeRow,
)

# Shaped as the events they stand for, so that the sweep takes the road of every
# other fact. The version stays: a decision that arrives later still wins.
FIND_ABANDONED = Query(
    """
    /* merchant.find_abandoned */
    select json_agg(json_build_object('type', 'wallet_txn_created', 'data', json_build_object(
               'transaction_id', id, 'merchant_id', merchant_id, 'amount', amount,
               'currency', currency, 'fee_molam', fee, 'status', 'abandoned',
               'version', version, 'occurred_at', occurred_at)))::text as events,
           count(*) as count
      from (select id, merchant_id, amount, currency, fee, version, occurred_at
              from merchant.kpi_facts
             where kind = 'payment' and state = 'pending' and not imported
               and occurred_at < now() - interval '24 hours'
             order by occurred_at
             limit :limit) as undecided
    """,
    row=EventsRow,
)
