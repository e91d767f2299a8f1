"""Every statement about where our money at banks is, and what must stay there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PositionRow:
    bank_profile_id: str
    bank: str
    country: str
    currency: str
    is_usable: bool
    cut_off: str | None
    timezone: str
    balance: int
    in_flight: int
    in_flight_count: int
    waiting: int
    waiting_count: int
    arriving: int
    minimum_float: int
    in_today: int
    out_today: int
    sent_today: int
    daily_limit: int | None
    as_of: datetime


@dataclass(frozen=True, slots=True)
class DualRow:
    bank_profile_id: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class FreeRow:
    free: int


@dataclass(frozen=True, slots=True)
class AccountRow:
    bank_profile_id: str
    currency: str


# Money at a bank is minus the balance of its account. In flight is what the bank has been
# told of and has not paid yet; waiting is what would be sent through it next. A bank's day
# is that of its own clock.
LIST_POSITIONS = Query(
    """
    /* liquidity.list_positions */
    with accounts as (
        select distinct t.bank_profile_id, t.currency
          from payments.treasury_accounts as t
         where t.status = 'active'
           and (:region::text is null
                or exists (select from mesh.mesh_members as m
                            where m.bank_profile_id = t.bank_profile_id and m.mesh_region_id = :region))
    ),
    attempts as (
        select a.bank_profile_id, a.currency, sum(a.amount)::bigint as amount, count(*)::int as number
          from payments.bank_attempts as a
         where a.state in ('sending', 'accepted', 'unknown')
         group by a.bank_profile_id, a.currency
    ),
    payouts as (
        select p.bank_profile_id, p.currency, sum(p.amount)::bigint as amount, count(*)::int as number
          from payments.payouts as p
         where p.origin = 'molam' and p.state in ('scheduled', 'held', 'pending') and p.bank_profile_id is not null
         group by p.bank_profile_id, p.currency
    ),
    arriving as (
        select t.to_bank_id, t.to_currency, sum(t.arrives)::bigint as amount
          from mesh.bank_transfers as t
         where t.state = 'sent'
         group by t.to_bank_id, t.to_currency
    ),
    limits as (
        select m.bank_profile_id, c.currency,
               min(mesh.amount_in(m.capabilities -> 'daily_volume_limit', c.currency)) as daily
          from mesh.mesh_members as m
          join accounts as c on c.bank_profile_id = m.bank_profile_id
         where m.status = 'active'
         group by m.bank_profile_id, c.currency
    )
    select a.bank_profile_id, b.name as bank, b.country, a.currency, b.enabled and b.status = 'active' as is_usable,
           b.cut_off::text as cut_off, b.timezone, coalesce(-l.balance, 0) as balance,
           coalesce(f.amount, 0) as in_flight, coalesce(f.number, 0) as in_flight_count,
           coalesce(w.amount, 0) as waiting, coalesce(w.number, 0) as waiting_count,
           coalesce(i.amount, 0) as arriving, coalesce(o.minimum_float, 0) as minimum_float,
           coalesce((select sum(t.amount) from ledger.transfers as t
                      where t.source = d.account and t.source like 'banks:%' and t.occurred_at >= d.midnight
                        and t.cause <> 'bank_opening'), 0)::bigint as in_today,
           coalesce((select sum(t.amount) from ledger.transfers as t
                      where t.target = d.account and t.target like 'banks:%' and t.occurred_at >= d.midnight
                        and t.cause <> 'bank_opening'), 0)::bigint as out_today,
           coalesce((select sum(s.amount) from payments.bank_attempts as s
                      where s.bank_profile_id = a.bank_profile_id and s.currency = a.currency
                        and s.sent_at >= d.midnight and s.state <> 'rejected'), 0)::bigint as sent_today,
           v.daily as daily_limit, now() as as_of
      from accounts as a
      join payments.bank_profiles as b on b.id = a.bank_profile_id
     cross join lateral (select 'banks:' || a.bank_profile_id || ':' || a.currency as account,
                                date_trunc('day', now() at time zone b.timezone) at time zone b.timezone as midnight) as d
      left join ledger.accounts as l on l.id = d.account
      left join attempts as f on f.bank_profile_id = a.bank_profile_id and f.currency = a.currency
      left join payouts as w on w.bank_profile_id = a.bank_profile_id and w.currency = a.currency
      left join arriving as i on i.to_bank_id = a.bank_profile_id and i.to_currency = a.currency
      left join mesh.float_floors as o on o.bank_profile_id = a.bank_profile_id and o.currency = a.currency
      left join limits as v on v.bank_profile_id = a.bank_profile_id and v.currency = a.currency
     order by b.name, a.currency
     limit 1000
    """,
    row=PositionRow,
)

# What of our money at a bank is neither in flight nor waiting to be sent.
FIND_FREE = Query(
    """
    /* liquidity.find_free */
    select (-l.balance
            - coalesce((select sum(a.amount) from payments.bank_attempts as a
                         where a.bank_profile_id = :bank_profile_id and a.currency = :currency
                           and a.state in ('sending', 'accepted', 'unknown')), 0)
            - coalesce((select sum(p.amount) from payments.payouts as p
                         where p.bank_profile_id = :bank_profile_id and p.currency = :currency
                           and p.origin = 'molam' and p.state in ('scheduled', 'held', 'pending')), 0))::bigint as free
      from ledger.accounts as l
     where l.id = 'banks:' || :bank_profile_id || ':' || :currency
    """,
    row=FreeRow,
)

HAS_ACCOUNT = Query(
    """
    /* liquidity.has_account */
    select distinct bank_profile_id, currency
      from payments.treasury_accounts
     where bank_profile_id = :bank_profile_id and currency = :currency and status = 'active'
    """,
    row=AccountRow,
)

LIST_ACCOUNTS = Query(
    """
    /* liquidity.list_accounts */
    select distinct bank_profile_id, currency
      from payments.treasury_accounts
     where status = 'active'
     order by bank_profile_id, currency
    """,
    row=AccountRow,
)

PUT_FLOOR = Query(
    """
    /* liquidity.put_floor */
    insert into mesh.float_floors (bank_profile_id, currency, minimum_float, changed_by)
    values (:bank_profile_id, :currency, :minimum_float, :by)
        on conflict (bank_profile_id, currency) do update
       set minimum_float = excluded.minimum_float, changed_by = excluded.changed_by, changed_at = now()
    """,
    row=Nothing,
)

# Prices of a plan that is two days old say nothing about today.
LIST_DUALS = Query(
    """
    /* liquidity.list_duals */
    select bank_profile_id, price
      from mesh.dual_prices
     where currency = :currency and computed_at > now() - interval '36 hours'
    """,
    row=DualRow,
)
