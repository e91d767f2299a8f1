"""Every statement about what each day took from our accounts, and what is foreseen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


@dataclass(frozen=True, slots=True)
class FlowRow:
    bank_profile_id: str
    currency: str
    day: date
    net_outflow: int
    peak_outflow: int


@dataclass(frozen=True, slots=True)
class ForecastRow:
    bank_profile_id: str
    bank: str
    currency: str
    measure: str
    made_on: date
    for_day: date
    q50: int
    q90: int
    q975: int
    to_hold: int
    stands_on_days: int
    weights: dict[str, object]
    made_at: datetime


# What moved between our own accounts and pools is no need of a bank's, and neither is what
# the books begin with. A day without any movement, between days with some, is a day of zero.
ROLL_UP = Query(
    """
    /* liquidity.roll_up_flows */
    with sides as (
        select t.bank_profile_id, t.currency, b.timezone, l.occurred_at, l.posted_at, l.id,
               case when l.target = t.account then l.amount else -l.amount end as outflow
          from (select distinct bank_profile_id, currency,
                       'banks:' || bank_profile_id || ':' || currency as account
                  from payments.treasury_accounts) as t
          join payments.bank_profiles as b on b.id = t.bank_profile_id
         cross join lateral (
               select id, source, target, amount, occurred_at, posted_at, cause from ledger.transfers
                where source = t.account and source like 'banks:%' and occurred_at >= now() - make_interval(days => :days::int + 2)
                union all
               select id, source, target, amount, occurred_at, posted_at, cause from ledger.transfers
                where target = t.account and target like 'banks:%' and occurred_at >= now() - make_interval(days => :days::int + 2)
               ) as l
         where l.cause not in ('bank_opening', 'pool_paid_in', 'pool_draw', 'pool_return',
                               'bank_transfer_sent', 'bank_transfer_received', 'bank_transfer_exchanged')
    ),
    running as (
        select bank_profile_id, currency, (occurred_at at time zone timezone)::date as day, outflow,
               (now() at time zone timezone)::date as today,
               sum(outflow) over (partition by bank_profile_id, currency, (occurred_at at time zone timezone)::date
                                  order by occurred_at, posted_at, id) as so_far
          from sides
    ),
    days as (
        select bank_profile_id, currency, day, sum(outflow)::bigint as net, greatest(max(so_far), 0)::bigint as peak
          from running
         where day < today and day >= today - :days::int
         group by bank_profile_id, currency, day
    ),
    spans as (
        select t.bank_profile_id, t.currency,
               coalesce((select min(f.day) from mesh.daily_flows as f
                          where f.bank_profile_id = t.bank_profile_id and f.currency = t.currency),
                        (select min(d.day) from days as d
                          where d.bank_profile_id = t.bank_profile_id and d.currency = t.currency)) as first,
               (now() at time zone b.timezone)::date as today
          from (select distinct bank_profile_id, currency from payments.treasury_accounts) as t
          join payments.bank_profiles as b on b.id = t.bank_profile_id
    ),
    written as (
        insert into mesh.daily_flows as f (bank_profile_id, currency, day, net_outflow, peak_outflow, source)
        select s.bank_profile_id, s.currency, g.day::date, coalesce(d.net, 0), coalesce(d.peak, 0), 'ledger'
          from spans as s
         cross join lateral generate_series(greatest(s.first, s.today - :days::int)::timestamp,
                                            (s.today - 1)::timestamp, interval '1 day') as g(day)
          left join days as d
            on d.bank_profile_id = s.bank_profile_id and d.currency = s.currency and d.day = g.day::date
         where s.first is not null
            on conflict (bank_profile_id, currency, day) do update
           set net_outflow = excluded.net_outflow, peak_outflow = excluded.peak_outflow,
               source = 'ledger', updated_at = now()
         -- A day that a file told us of stays as it was told, unless the ledger knows better.
         where (f.net_outflow, f.peak_outflow) is distinct from (excluded.net_outflow, excluded.peak_outflow)
           and (f.source = 'ledger' or excluded.net_outflow <> 0 or excluded.peak_outflow <> 0)
     returning 1
    )
    select count(*) as count from written
    """,
    row=CountRow,
)

IMPORT = Query(
    """
    /* liquidity.import_flows */
    insert into mesh.daily_flows as f (bank_profile_id, currency, day, net_outflow, peak_outflow, source)
    select :bank_profile_id, :currency, t.day, t.net, t.peak, 'imported'
      from unnest(:days::date[], :nets::bigint[], :peaks::bigint[]) as t(day, net, peak)
        on conflict (bank_profile_id, currency, day) do update
       set net_outflow = excluded.net_outflow, peak_outflow = excluded.peak_outflow, updated_at = now()
     where f.source = 'imported'
    """,
    row=Nothing,
)

LIST_FLOWS = Query(
    """
    /* liquidity.list_flows */
    select bank_profile_id, currency, day, net_outflow, peak_outflow
      from mesh.daily_flows
     where (:bank_profile_id::text is null or bank_profile_id = :bank_profile_id)
       and (:currency::text is null or currency = :currency)
       and day >= (now() at time zone 'UTC')::date - :days::int
     order by bank_profile_id, currency, day
    """,
    row=FlowRow,
)

PUT_FORECASTS = Query(
    """
    /* liquidity.put_forecasts */
    insert into mesh.float_forecasts as f
           (bank_profile_id, currency, measure, made_on, for_day, q50, q90, q975, to_hold, stands_on_days, weights)
    select t.bank_profile_id, t.currency, t.measure, t.made_on, t.for_day, t.q50, t.q90, t.q975, t.to_hold,
           t.stands_on_days, t.weights
      from jsonb_to_recordset(:rows::jsonb) as t(
           bank_profile_id text, currency text, measure text, made_on date, for_day date, q50 bigint, q90 bigint,
           q975 bigint, to_hold bigint, stands_on_days int, weights jsonb)
        on conflict (bank_profile_id, currency, measure, made_on, for_day) do update
       set q50 = excluded.q50, q90 = excluded.q90, q975 = excluded.q975, to_hold = excluded.to_hold,
           stands_on_days = excluded.stands_on_days, weights = excluded.weights, made_at = now()
    """,
    row=Nothing,
)

# The newest forecast for each day to come.
LIST_FORECASTS = Query(
    """
    /* liquidity.list_forecasts */
    select distinct on (b.name, f.bank_profile_id, f.currency, f.measure, f.for_day)
           f.bank_profile_id, b.name as bank, f.currency, f.measure, f.made_on, f.for_day, f.q50, f.q90, f.q975,
           f.to_hold, f.stands_on_days, f.weights, f.made_at
      from mesh.float_forecasts as f
      join payments.bank_profiles as b on b.id = f.bank_profile_id
     where f.for_day >= (now() at time zone b.timezone)::date
       and f.for_day < (now() at time zone b.timezone)::date + :days::int
       and f.made_on >= (now() at time zone b.timezone)::date - 14
       and (:bank_profile_id::text is null or f.bank_profile_id = :bank_profile_id)
       and (:currency::text is null or f.currency = :currency)
       and (:measure::text is null or f.measure = :measure)
     order by b.name, f.bank_profile_id, f.currency, f.measure, f.for_day, f.made_on desc
     limit :limit
    """,
    row=ForecastRow,
)

PURGE_FORECASTS = Query(
    """
    /* liquidity.purge_forecasts */
    delete from mesh.float_forecasts where made_on < (now() at time zone 'UTC')::date - :days::int
    """,
    row=Nothing,
)
