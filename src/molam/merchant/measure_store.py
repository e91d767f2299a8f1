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


# History that was imported lies before the end of its import: only hours after that count.
_AFTER_IMPORTS = """
      left join lateral (
            select max(i.updated_at) as at from merchant.imports as i where i.merchant_id = s.merchant_id
           ) as imported on true"""

MEASURE_RATES = Query(
    """
    /* merchant.measure_rates */
    select s.merchant_id,
           coalesce(sum(h.created_count) filter (where h.ends_at > s.local - make_interval(hours => :lately_h)), 0)::int
               as created_lately,
           coalesce(sum(h.payment_count) filter (where h.ends_at > s.local - make_interval(hours => :lately_h)), 0)::int
               as payments_lately,
           sum(h.payment_count)::int as payments_of_day,
           sum(h.refund_count)::int as refunds_of_day,
           now() as at
      from (select d.merchant_id, d.timezone, now() at time zone d.timezone as local
              from merchant.merchant_dashboards as d
              join merchant.kpi_heads as k on k.merchant_id = d.merchant_id
             where k.changed_at > now() - interval '25 hours') as s"""
    + _AFTER_IMPORTS
    + """
     cross join lateral (
            select b.created_count, b.payment_count, b.refund_count,
                   b.day + make_interval(hours => b.hour + 1) as ends_at
              from merchant.kpi_hours as b
             where b.merchant_id = s.merchant_id
               and b.day >= (s.local - interval '24 hours')::date
           ) as h
     where h.ends_at > s.local - interval '24 hours'
       and (imported.at is null or h.ends_at > (imported.at at time zone s.timezone) + interval '1 hour')
     group by s.merchant_id
    having sum(h.created_count) >= :trials_min
     order by s.merchant_id
    """,
    row=RatesRow,
)

# Customers dispute weeks later, so a day would say nothing. Only where something moved:
# what stays is told already.
MEASURE_DISPUTES = Query(
    """
    /* merchant.measure_disputes */
    select s.merchant_id, sum(d.payment_count)::int as payments, sum(d.dispute_count)::int as disputes,
           now() as at
      from (select m.merchant_id, m.timezone, (now() at time zone m.timezone)::date as today
              from merchant.merchant_dashboards as m
              join merchant.kpi_heads as k on k.merchant_id = m.merchant_id
             where k.changed_at > now() - make_interval(mins => :changed_within_min)) as s"""
    + _AFTER_IMPORTS
    + """
      join merchant.kpi_days as d
        on d.merchant_id = s.merchant_id and d.day > s.today - :days::int
       and (imported.at is null or d.day > (imported.at at time zone s.timezone)::date)
     group by s.merchant_id
    having sum(d.payment_count) >= :trials_min
     order by s.merchant_id
    """,
    row=DisputesRow,
)
