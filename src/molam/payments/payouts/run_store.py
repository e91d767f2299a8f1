"""The statements of a run: who is due, what each is owed, and the payouts that pay it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class DueRow:
    """A merchant's schedule in one currency, and what decides about its next payout."""

    merchant_id: str
    currency: str
    interval: str
    weekday: int
    month_day: int
    delay_days: int
    minimum: int
    next_at: datetime | None
    next_on: date | None
    timezone: str
    country: str
    hold_until: datetime | None
    refused_code: str | None
    has_destination: bool
    paused_until: datetime | None
    is_frozen: bool
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class MissingRow:
    """Somebody with a balance whose schedule was never written down."""

    merchant_id: str
    currency: str
    interval: str
    timezone: str
    country: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class BalanceRow:
    id: str
    balance: int


@dataclass(frozen=True, slots=True)
class MadeRow:
    """What a run found for one merchant and currency; *made* says whether it is paid."""

    merchant_id: str
    currency: str
    payout_id: str
    payable: int
    made: bool
    gross: int
    fees: int
    refunds: int
    disputes: int
    adjustments: int
    entry_count: int
    state: str | None
    occurred_at: datetime | None
    version: int | None


_DUE = """
    select s.merchant_id, s.currency, s.interval, s.weekday::int, s.month_day::int, s.delay_days::int,
           s.minimum, s.next_at, s.next_on, coalesce(b.timezone, 'UTC') as timezone, m.country,
           d.hold_until, d.refused_code, d.merchant_id is not null as has_destination,
           (select max(u.until) from payments.payout_pauses u
             where u.merchant_id = s.merchant_id and u.ended_at is null and u.until > now())
               as paused_until,
           m.status <> 'active' as is_frozen,
           now() as asked_at
      from payments.payout_schedules s
      join tenancy.merchants m on m.id = s.merchant_id
      left join merchant.merchant_dashboards b on b.merchant_id = s.merchant_id
      left join payments.payout_destinations d
        on d.merchant_id = s.merchant_id and d.currency = s.currency"""

LOCK_DUE = Query(
    "/* payouts.lock_due */"
    + _DUE
    + """
     where s.next_at <= now()
     order by s.next_at, s.merchant_id, s.currency
     limit :limit
       for update of s skip locked""",
    row=DueRow,
    locks=Rank.PAYOUT,
)

# Whoever asks by hand waits for a run of the same merchant, and then looks again.
LOCK_SCHEDULE = Query(
    "/* payouts.lock_schedule */"
    + _DUE
    + """
     where s.merchant_id = :merchant_id and s.currency = :currency
       for update of s""",
    row=DueRow,
    locks=Rank.PAYOUT,
)

# Also those that nobody has written down yet, as the next run would write them.
FIND_SCHEDULES = Query(
    """
    /* payouts.find_schedules */
    select k.merchant_id, k.currency, k.interval, coalesce(s.weekday, 1)::int as weekday,
           coalesce(s.month_day, 1)::int as month_day,
           coalesce(s.delay_days, case when k.interval = 'instant' then 0 else 1 end)::int as delay_days,
           coalesce(s.minimum, 0)::bigint as minimum, s.next_at, s.next_on, k.timezone, k.country,
           d.hold_until, d.refused_code, d.merchant_id is not null as has_destination,
           (select max(u.until) from payments.payout_pauses u
             where u.merchant_id = k.merchant_id and u.ended_at is null and u.until > now())
               as paused_until,
           k.is_frozen, now() as asked_at
      from (select m.id as merchant_id, c.currency, m.country, m.status <> 'active' as is_frozen,
                   coalesce(x.interval, b.payout_schedule, 'weekly') as interval,
                   coalesce(b.timezone, 'UTC') as timezone
              from tenancy.merchants m
              left join merchant.merchant_dashboards b on b.merchant_id = m.id
             cross join lateral (
                   select a.currency from ledger.accounts a
                    where a.owner_id = m.id and a.kind = 'merchant_available'
                    union
                   select y.currency from payments.payout_schedules y where y.merchant_id = m.id
                    union
                   select z.currency from payments.payout_destinations z where z.merchant_id = m.id
                    union
                   select coalesce(b.default_currency, m.default_currency)) as c
              left join payments.payout_schedules x on x.merchant_id = m.id and x.currency = c.currency
             where m.id = :merchant_id) as k
      left join payments.payout_schedules s on s.merchant_id = k.merchant_id and s.currency = k.currency
      left join payments.payout_destinations d on d.merchant_id = k.merchant_id and d.currency = k.currency
     order by k.currency
    """,
    row=DueRow,
)

LIST_UNSCHEDULED = Query(
    """
    /* payouts.list_unscheduled */
    select a.owner_id as merchant_id, a.currency,
           coalesce(b.payout_schedule, 'weekly') as interval, coalesce(b.timezone, 'UTC') as timezone,
           m.country, now() as asked_at
      from ledger.accounts a
      join tenancy.merchants m on m.id = a.owner_id
      left join merchant.merchant_dashboards b on b.merchant_id = a.owner_id
     where a.kind = 'merchant_available'
       and (:merchant_id::text is null or a.owner_id = :merchant_id)
       and not exists (select from payments.payout_schedules s
                        where s.merchant_id = a.owner_id and s.currency = a.currency)
     order by a.owner_id, a.currency
     limit :limit
    """,
    row=MissingRow,
)

PUT_SCHEDULES = Query(
    """
    /* payouts.put_schedules */
    insert into payments.payout_schedules
           (merchant_id, currency, interval, delay_days, next_at, next_on, updated_by)
    select s.merchant_id, s.currency, s.interval, s.delay_days, s.next_at, s.next_on, 'molam'
      from json_to_recordset(:schedules::json) as s(
           merchant_id text, currency text, interval text, delay_days smallint,
           next_at timestamptz, next_on date)
     order by s.merchant_id, s.currency
        on conflict (merchant_id, currency) do nothing
    """,
    row=Nothing,
)

SET_RUN = Query(
    """
    /* payouts.set_run */
    update payments.payout_schedules s
       set next_at = r.next_at, next_on = r.next_on, last_run_at = now(), last_result = r.result
      from json_to_recordset(:runs::json) as r(
           merchant_id text, currency text, next_at timestamptz, next_on date, result text)
     where s.merchant_id = r.merchant_id and s.currency = r.currency
    """,
    row=Nothing,
)

# A refund that is being promised has locked the balance. Its promise is an entry that
# counts at once, so it must be seen, or the payout would pay what was promised.
LOCK_BALANCES = Query(
    """
    /* payouts.lock_balances */
    select id, balance
      from ledger.accounts
     where id = any(:ids::text[])
     order by id
       for update
    """,
    row=BalanceRow,
    locks=Rank.LEDGER_ACCOUNT,
)

# Note [What a payout pays]
#
# Every entry on a merchant's balance is either paid by exactly one live payout or still
# in the balance; the movements of payouts themselves are no such entries. So the balance
# is, at any moment, the sum of the entries that no payout owns.
#
# A sale counts when its day, as the merchant's clock has it, is old enough; its fee goes
# with it. Whatever takes money away counts at once. A payment that is held, and its fee,
# do not count.
#
# The entries are read by one index range a merchant, from the mark on, and whether one is
# owned is asked of the primary key: as a scalar subquery, because the planner would
# otherwise read all owned entries of everybody to answer for a few.
_ENTRIES = """
    due as materialized (
        select d.merchant_id, d.currency, d.payout_id, d.cutoff, d.minimum, d.asked_as, d.state,
               d.held_reason, d.held_until, d.scheduled_for, d.reference_code, d.created_by,
               coalesce(k.posted_before, '-infinity'::timestamptz) as mark,
               'merchant:' || d.merchant_id || ':available:' || d.currency as account
          from json_to_recordset(:wanted::json) as d(
               merchant_id text, currency text, payout_id text, cutoff timestamptz, minimum bigint,
               asked_as text, state text, held_reason text, held_until timestamptz,
               scheduled_for timestamptz, reference_code text, created_by text)
          left join payments.payout_marks k
            on k.merchant_id = d.merchant_id and k.currency = d.currency
    ),
    withheld as materialized (
        select h.merchant_id, h.transaction_id
          from payments.payout_holds h
         where h.kind = 'payment' and h.status = 'active' and (h.until is null or h.until > now())
           and h.merchant_id in (select merchant_id from due)
    ),
    entry as materialized (
        select d.payout_id, d.merchant_id, d.currency, t.id as transfer_id, t.amount, t.cause,
               t.cause_id, t.occurred_at, t.posted_at,
               (t.occurred_at < d.cutoff or (t.amount < 0 and t.cause <> 'payment_fee'))
               and not (t.cause in ('payment', 'payment_fee') and exists (
                       select from withheld h
                        where h.merchant_id = d.merchant_id and h.transaction_id = t.cause_id))
                   as counts
          from due d
         cross join lateral (
               select x.id, x.cause, x.cause_id, x.occurred_at, x.posted_at,
                      case when x.target = d.account then x.amount else -x.amount end as amount
                 from ledger.transfers x
                where x.merchant_id = d.merchant_id and x.currency = d.currency
                  and x.posted_at >= d.mark
                  and (x.source = d.account or x.target = d.account)
                  and x.cause not in ('payout_reserved', 'payout_released', 'payout_returned')
                  and (select e.transfer_id from payments.payout_entries e
                        where e.transfer_id = x.id) is null
               offset 0) as t
    ),
    summed as (
        select payout_id,
               coalesce(sum(amount) filter (where counts), 0)::bigint as payable,
               coalesce(sum(amount) filter (where counts and part = 'gross'), 0)::bigint as gross,
               coalesce(sum(amount) filter (where counts and part = 'fees'), 0)::bigint as fees,
               coalesce(sum(amount) filter (where counts and part = 'refunds'), 0)::bigint as refunds,
               coalesce(sum(amount) filter (where counts and part = 'disputes'), 0)::bigint as disputes,
               coalesce(sum(amount) filter (where counts and part = 'adjustments'), 0)::bigint
                   as adjustments,
               (count(*) filter (where counts))::int as entry_count
          from (select e.*, payments.payout_part(e.cause) as part from entry e) as e
         group by payout_id
    )"""

MAKE = Query(
    "/* payouts.make */ with"
    + _ENTRIES
    + """,
    made as (
        insert into payments.payouts
               (merchant_id, id, state, amount, currency, occurred_at, version, origin, asked_as,
                destination, scheduled_for, cutoff, held_reason, held_until,
                reference_code, owns_entries, reserves, gross, fees, refunds, disputes,
                adjustments, entry_count, created_by)
        select d.merchant_id, d.payout_id, d.state, s.payable, d.currency, now(), 1, 'molam', d.asked_as,
               o.destination, d.scheduled_for, d.cutoff, d.held_reason,
               d.held_until, d.reference_code, true, 1, s.gross, s.fees, s.refunds, s.disputes,
               s.adjustments, s.entry_count, d.created_by
          from due d
          join summed s on s.payout_id = d.payout_id
          join payments.payout_destinations o
            on o.merchant_id = d.merchant_id and o.currency = d.currency
          join ledger.accounts a on a.id = d.account and a.balance >= s.payable
         where s.payable >= greatest(d.minimum, 1)
     returning merchant_id, id, state, occurred_at, version, created_by
    ),
    owned as (
        insert into payments.payout_entries
               (transfer_id, merchant_id, payout_id, amount, cause, cause_id, occurred_at, posted_at)
        select e.transfer_id, e.merchant_id, e.payout_id, e.amount, e.cause, e.cause_id,
               e.occurred_at, e.posted_at
          from entry e
          join made m on m.id = e.payout_id
         where e.counts
    ),
    told as (
        insert into payments.payout_events (merchant_id, payout_id, old_state, new_state, what, actor, detail)
        select m.merchant_id, m.id, 'new', m.state, 'created', m.created_by,
               case when d.held_reason is null then '{}'::jsonb
                    else jsonb_build_object('held_reason', d.held_reason) end
          from made m join due d on d.payout_id = m.id
    ),
    marked as (
        -- A payout that fails meanwhile puts the mark back; then it stays where that put it.
        insert into payments.payout_marks as k (merchant_id, currency, posted_before)
        select d.merchant_id, d.currency,
               least(now() - interval '1 hour',
                     min(e.posted_at) filter (where m.id is null or not e.counts))
          from due d
          left join entry e on e.payout_id = d.payout_id
          left join made m on m.id = d.payout_id
         group by d.merchant_id, d.currency
            on conflict (merchant_id, currency) do update
           set posted_before = excluded.posted_before
         where k.posted_before = (select d.mark from due d
                                   where d.merchant_id = k.merchant_id and d.currency = k.currency)
           and excluded.posted_before > k.posted_before
    )
    select d.merchant_id, d.currency, d.payout_id, coalesce(s.payable, 0) as payable,
           m.id is not null as made, coalesce(s.gross, 0) as gross, coalesce(s.fees, 0) as fees,
           coalesce(s.refunds, 0) as refunds, coalesce(s.disputes, 0) as disputes,
           coalesce(s.adjustments, 0) as adjustments, coalesce(s.entry_count, 0) as entry_count,
           m.state, m.occurred_at, m.version
      from due d
      left join summed s on s.payout_id = d.payout_id
      left join made m on m.id = d.payout_id
     order by d.merchant_id, d.currency""",
    row=MadeRow,
)

# The same sums without doing anything: what a page shows before money moves.
WEIGH = Query(
    "/* payouts.weigh */ with"
    + _ENTRIES
    + """
    select d.merchant_id, d.currency, d.payout_id, coalesce(s.payable, 0) as payable,
           false as made, coalesce(s.gross, 0) as gross, coalesce(s.fees, 0) as fees,
           coalesce(s.refunds, 0) as refunds, coalesce(s.disputes, 0) as disputes,
           coalesce(s.adjustments, 0) as adjustments, coalesce(s.entry_count, 0) as entry_count,
           null::text as state, null::timestamptz as occurred_at, null::int as version
      from due d
      left join summed s on s.payout_id = d.payout_id
     order by d.merchant_id, d.currency""",
    row=MadeRow,
)
