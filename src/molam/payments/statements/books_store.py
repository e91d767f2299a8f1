"""Every statement of the books: what a day holds, what is open in it, and closing it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class BooksRow:
    bank_profile_id: str
    bank_name: str
    currency: str
    begins_on: date
    opening: int
    closed_through: date | None
    last_day: date | None
    transit_days: int


@dataclass(frozen=True, slots=True)
class SumsRow:
    """What the lines of a range of days add up to."""

    money_in: int
    money_out: int
    fees: int


@dataclass(frozen=True, slots=True)
class ClosingRow:
    closing: int


@dataclass(frozen=True, slots=True)
class MovedRow:
    moved: int


@dataclass(frozen=True, slots=True)
class ItemRow:
    """Something that one side has and the other has not."""

    item: str
    kind: str
    amount: int
    since: date
    what: str
    reason: str | None
    explained_by: str | None


@dataclass(frozen=True, slots=True)
class DayRow:
    bank_profile_id: str
    currency: str
    day: date
    opening: int
    money_in: int
    money_out: int
    fees: int
    closing: int
    ledger_closing: int
    open_items: int
    open_amount: int
    difference: int
    items: list[dict[str, object]]
    closed_by: str
    closed_at: datetime
    checked_at: datetime | None
    drift: int


_BOOKS = """
    select k.bank_profile_id, b.name as bank_name, k.currency, k.begins_on, k.opening, k.closed_through,
           (select max(s.last_day) from payments.statements as s
             where s.bank_profile_id = k.bank_profile_id and s.currency = k.currency
               and s.discarded_at is null) as last_day,
           coalesce(r.transit_days, 3)::int as transit_days
      from payments.books as k
      join payments.bank_profiles as b on b.id = k.bank_profile_id
      left join payments.statement_rules as r on r.bank_profile_id = k.bank_profile_id
"""

LIST_BOOKS = Query(
    f"""
    /* statements.list_books */
    {_BOOKS}
     order by b.name, k.currency
     limit 500
    """,
    row=BooksRow,
)

FIND_BOOKS = Query(
    f"""
    /* statements.find_books */
    {_BOOKS}
     where k.bank_profile_id = :bank_profile_id and k.currency = :currency
    """,
    row=BooksRow,
)

SUM_LINES = Query(
    """
    /* statements.sum_lines */
    select coalesce(sum(amount) filter (where amount > 0), 0)::bigint as money_in,
           coalesce(-sum(amount) filter (where amount < 0), 0)::bigint as money_out,
           coalesce(sum(fee), 0)::bigint as fees
      from payments.statement_lines
     where bank_profile_id = :bank_profile_id and currency = :currency
       and booked_on between :first::date and :last::date and state <> 'void'
    """,
    row=SumsRow,
)

# What the newest statement that ends on this day says the account held then.
FIND_DECLARED = Query(
    """
    /* statements.find_declared */
    select closing
      from payments.statements
     where bank_profile_id = :bank_profile_id and currency = :currency and last_day = :day
       and closing is not null and discarded_at is null
     order by imported_at desc, id desc
     limit 1
    """,
    row=ClosingRow,
)

# The ledger's account stands for the world outside, so what it received left the bank.
# The opening entry is what the books begin with, and no movement of a day.
SUM_LEDGER = Query(
    """
    /* statements.sum_ledger */
    select (coalesce((select sum(amount) from ledger.transfers
                       where source = :account and source like 'banks:%' and cause <> 'bank_opening'
                         and occurred_at >= :first::date::timestamp at time zone 'UTC'
                         and occurred_at < (:last::date + 1)::timestamp at time zone 'UTC'), 0)
          - coalesce((select sum(amount) from ledger.transfers
                       where target = :account and target like 'banks:%' and cause <> 'bank_opening'
                         and occurred_at >= :first::date::timestamp at time zone 'UTC'
                         and occurred_at < (:last::date + 1)::timestamp at time zone 'UTC'), 0))::bigint as moved
    """,
    row=MovedRow,
)

# Both sides by what they are about: a payout by its id, anything else by its line. What
# stands on one side alone, or with another amount, is an open item.
LIST_ITEMS = Query(
    """
    /* statements.list_items */
    with lines as (
        select l.id, l.booked_on, l.amount, l.fee, l.state, m.kind, m.object_id, m.difference,
               l.line_no, l.counterparty, l.text
          from payments.statement_lines as l
          left join payments.statement_matches as m on m.line_id = l.id and m.undone_at is null
         where l.bank_profile_id = :bank_profile_id and l.currency = :currency
           and l.booked_on between :first::date and :last::date and l.state <> 'void'
    ),
    sides as (
        select case when kind in ('payout', 'transfer') then kind || ':' || object_id else 'line:' || id end as item,
               case when kind in ('payout', 'transfer') then amount - difference else amount - fee end as booked, 0::bigint as ours,
               booked_on as since, state, coalesce(nullif(counterparty, ''), text) as what
          from lines
         union all
        select 'line:' || id, difference - fee, 0, booked_on, state, coalesce(nullif(counterparty, ''), text)
          from lines
         where kind in ('payout', 'transfer') and difference - fee <> 0
         union all
        select case when cause like 'payout%' then 'payout:' || cause_id else cause_id end,
               0, case when source = :account then amount else -amount end,
               (occurred_at at time zone 'UTC')::date, null, ''
          from ledger.transfers
         where (source = :account or target = :account) and (source like 'banks:%' or target like 'banks:%')
           and cause <> 'bank_opening'
           and occurred_at >= :first::date::timestamp at time zone 'UTC'
           and occurred_at < (:last::date + 1)::timestamp at time zone 'UTC'
    ),
    items as (
        select item, (sum(booked) - sum(ours))::bigint as amount, min(since) as since, max(what) as what,
               case when sum(ours) = 0 and bool_or(state in ('posted', 'mismatched')) then 'unmatched_line'
                    when bool_and(state is null) then 'in_transit'
                    when bool_and(state is not null) then 'not_in_ledger'
                    else 'amount_differs' end as kind
          from sides
         group by item
        having sum(booked) <> sum(ours)
    )
    select i.item, i.kind, i.amount, i.since, i.what, e.reason, e.explained_by
      from items as i
      left join payments.books_explanations as e
        on e.bank_profile_id = :bank_profile_id and e.currency = :currency and e.item = i.item
     order by i.since, i.item
     limit :limit
    """,
    row=ItemRow,
)

PUT_EXPLANATION = Query(
    """
    /* statements.put_explanation */
    insert into payments.books_explanations (bank_profile_id, currency, item, reason, explained_by)
    values (:bank_profile_id, :currency, :item, :reason, :by)
    on conflict (bank_profile_id, currency, item) do update
       set reason = excluded.reason, explained_by = excluded.explained_by, explained_at = now()
    """,
    row=Nothing,
)

INSERT_DAY = Query(
    """
    /* statements.insert_day */
    insert into payments.books_days
           (bank_profile_id, currency, day, opening, money_in, money_out, fees, closing, ledger_closing,
            open_items, open_amount, items, closed_by)
    values (:bank_profile_id, :currency, :day, :opening, :money_in, :money_out, :fees, :closing, :ledger_closing,
            :open_items, :open_amount, :items::jsonb, :by)
    """,
    row=Nothing,
)

SET_CLOSED = Query(
    """
    /* statements.set_closed */
    update payments.books
       set closed_through = :day
     where bank_profile_id = :bank_profile_id and currency = :currency
       and coalesce(closed_through + 1, begins_on) = :day
    """,
    row=Nothing,
)

_DAY = """
    select bank_profile_id, currency, day, opening, money_in, money_out, fees, closing, ledger_closing,
           open_items, open_amount, difference, items, closed_by, closed_at, checked_at, drift
      from payments.books_days
"""

FIND_DAY = Query(
    f"""
    /* statements.find_day */
    {_DAY}
     where bank_profile_id = :bank_profile_id and currency = :currency and day = :day
    """,
    row=DayRow,
)

LIST_DAYS = Query(
    f"""
    /* statements.list_days */
    {_DAY}
     where bank_profile_id = :bank_profile_id and currency = :currency
     order by day desc
     limit :limit
    """,
    row=DayRow,
)

SET_CHECKED = Query(
    """
    /* statements.set_checked */
    update payments.books_days
       set checked_at = now(), drift = :drift
     where bank_profile_id = :bank_profile_id and currency = :currency and day = :day
    """,
    row=Nothing,
)

# What had moved through the account before its books began, as the bank would see it.
BALANCE_BEFORE = Query(
    """
    /* statements.balance_before */
    select (coalesce(sum(t.amount) filter (where t.source = :account), 0)
          - coalesce(sum(t.amount) filter (where t.target = :account), 0))::bigint as moved
      from payments.books as b
      left join ledger.transfers as t
        on (t.source = :account or t.target = :account) and (t.source like 'banks:%' or t.target like 'banks:%')
       and t.occurred_at < b.begins_on::timestamp at time zone 'UTC'
     where b.bank_profile_id = :bank_profile_id and b.currency = :currency
    """,
    row=MovedRow,
)
