"""Every statement about rates from outside: what is believed, what is doubted, who answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class DayRow:
    base_currency: str
    quote_currency: str
    as_of_date: date
    rate: Decimal


@dataclass(frozen=True, slots=True)
class DoubtRow:
    base_currency: str
    quote_currency: str
    as_of_date: date
    rate: Decimal
    source: str
    previous_rate: Decimal
    previous_date: date
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


@dataclass(frozen=True, slots=True)
class RefreshRow:
    provider: str
    attempted_at: datetime
    succeeded_at: datetime | None
    newest_on: date | None
    problem: str | None
    asked_at: datetime


LIST_DAYS = Query(
    """
    /* ledger.list_rate_days */
    select base_currency, quote_currency, as_of_date, rate
      from ledger.fx_rates
     where (base_currency || '/' || quote_currency) = any(:pairs::text[])
       and as_of_date between :first::date - :days::int and :last::date
       and not indicative
     limit 400000
    """,
    row=DayRow,
)

# What is older than yesterday has been used, and stays.
PUT_RATES = Query(
    """
    /* ledger.put_rates */
    insert into ledger.fx_rates as r (base_currency, quote_currency, as_of_date, rate, source)
    select q.base, q.quote, q.as_of, q.rate, q.source
      from json_to_recordset(:rates::json)
           as q (base text, quote text, as_of date, rate numeric, source text)
     order by q.base, q.quote, q.as_of
        on conflict (base_currency, quote_currency, as_of_date) do update
       set rate = excluded.rate,
           source = excluded.source
     where r.as_of_date >= current_date - 1
       and r.rate <> excluded.rate
       and not r.indicative
    """,
    row=Nothing,
)

# A doubt that was accepted is not doubted again unless it says something else.
PUT_DOUBTS = Query(
    """
    /* ledger.put_doubts */
    insert into ledger.fx_doubts as d
           (base_currency, quote_currency, as_of_date, rate, source, previous_rate, previous_date)
    select q.base, q.quote, q.as_of, q.rate, q.source, q.previous, q.previous_on
      from json_to_recordset(:doubts::json)
           as q (base text, quote text, as_of date, rate numeric, source text,
                 previous numeric, previous_on date)
     order by q.base, q.quote, q.as_of
        on conflict (base_currency, quote_currency, as_of_date) do update
       set rate = excluded.rate, source = excluded.source,
           previous_rate = excluded.previous_rate, previous_date = excluded.previous_date,
           seen_at = now(), accepted_at = null, accepted_by = null
     where d.rate <> excluded.rate
    """,
    row=Nothing,
)

LIST_DOUBTS = Query(
    """
    /* ledger.list_doubts */
    select base_currency, quote_currency, as_of_date, rate, source, previous_rate, previous_date,
           seen_at
      from ledger.fx_doubts
     where accepted_at is null
     order by as_of_date desc, base_currency, quote_currency
     limit :limit
    """,
    row=DoubtRow,
)

COUNT_DOUBTS = Query(
    """
    /* ledger.count_doubts */
    select count(*) as count
      from ledger.fx_doubts
     where accepted_at is null
    """,
    row=CountRow,
)

ACCEPT_DOUBT = Query(
    """
    /* ledger.accept_doubt */
    with accepted as (
        update ledger.fx_doubts
           set accepted_at = now(), accepted_by = :by
         where base_currency = :base and quote_currency = :quote and as_of_date = :on::date
           and accepted_at is null
        returning base_currency, quote_currency, as_of_date, rate, source
    )
    insert into ledger.fx_rates as r (base_currency, quote_currency, as_of_date, rate, source)
    select base_currency, quote_currency, as_of_date, rate, source
      from accepted
        on conflict (base_currency, quote_currency, as_of_date) do update
       set rate = excluded.rate, source = excluded.source
    """,
    row=Nothing,
)

PUT_REFRESH = Query(
    """
    /* ledger.put_refresh */
    insert into ledger.fx_refreshes as f (provider, attempted_at, succeeded_at, newest_on, problem)
    values (:provider, now(), case when :problem::text is null then now() end,
            :newest_on::date, :problem::text)
        on conflict (provider) do update
       set attempted_at = now(),
           succeeded_at = coalesce(excluded.succeeded_at, f.succeeded_at),
           newest_on = greatest(excluded.newest_on, f.newest_on),
           problem = excluded.problem
    """,
    row=Nothing,
)

# Whoever was asked last is who the installation asks now.
FIND_REFRESH = Query(
    """
    /* ledger.find_refresh */
    select provider, attempted_at, succeeded_at, newest_on, problem, now() as asked_at
      from ledger.fx_refreshes
     where :provider::text is null or provider = :provider
     order by attempted_at desc
     limit 1
    """,
    row=RefreshRow,
)
