"""The statements that measure merchants' rates, from counts that are kept already."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class RatesRow:
    """What a merchant counted: in the last hours, in the last day, and over weeks."""

    merchant_id: str
    created_lately: int
    payments_lately: int
    payments_of_day: int
    refunds_of_day: int
    at: datetime


@dataclass(frozen=True, slots=True)
class DisputesRow:
    merchant_id: str
    payments: int
    disputes: int
    at: datetime


# History that was imported lies before the end of its import: only what is after that counts.
_WHO = """
    with imported as (
        select merchant_id, max(updated_at) as at from merchant.imports group by merchant_id
    ),
    who as materialized (
        select d.merchant_id, d.default_currency as currency, now() at time zone d.timezone as local, i.at at time zone d.timezone as imported
          from merchant.merchant_dashboards as d
          join merchant.kpi_heads as k on k.merchant_id = d.merchant_id
          left join imported as i on i.merchant_id = d.merchant_id
         where k.changed_at > now() - make_interval(mins => :changed_within_min)
    )"""

MEASURE_RATES = Query(
    "/* merchant.measure_rates */"
    + _WHO
    + """,
    cut as materialized (
        select w.merchant_id, w.currency, t.since::date as day, extract(hour from t.since)::smallint as hour,
               t.lately::date as lately_day, extract(hour from t.lately)::smallint as lately_hour
          from who as w
         cross join lateral (
                select greatest(w.local - interval '24 hours', w.imported + interval '1 hour') as since,
                       w.local - make_interval(hours => :lately_h) as lately
               ) as t
    )
    select c.merchant_id,
           coalesce(sum(h.created_count) filter (where (h.day, h.hour) >= (c.lately_day, c.lately_hour)), 0)::int
               as created_lately,
           coalesce(sum(h.payment_count) filter (where (h.day, h.hour) >= (c.lately_day, c.lately_hour)), 0)::int
               as payments_lately,
           sum(h.payment_count)::int as payments_of_day,
           sum(h.refund_count)::int as refunds_of_day,
           now() as at
      from cut as c
      join merchant.kpi_hours as h
        on h.merchant_id = c.merchant_id and h.currency = c.currency and (h.day, h.hour) >= (c.day, c.hour)
     group by c.merchant_id
    having sum(h.created_count) >= :trials_min
     order by c.merchant_id
    """,
    row=RatesRow,
)

# Customers dispute weeks later, so a day would say nothing.
MEASURE_DISPUTES = Query(
    "/* merchant.measure_disputes */"
    + _WHO
    + """,
    cut as materialized (
        select w.merchant_id, w.currency, greatest(w.local::date - :days::int, w.imported::date) as after from who as w
    )
    select c.merchant_id, sum(d.payment_count)::int as payments, sum(d.dispute_count)::int as disputes,
           now() as at
      from cut as c
      join merchant.kpi_days as d on d.merchant_id = c.merchant_id and d.currency = c.currency and d.day > c.after
     group by c.merchant_id
    having sum(d.payment_count) >= :trials_min
     order by c.merchant_id
    """,
    row=DisputesRow,
)
