"""The statements that gather what routing must know of banks: money, limits, gates, history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from molam.mesh.routing.scope_store import PAYOUTS_IN_SCOPE
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class BankFactsRow:
    bank_profile_id: str
    bank_name: str
    country: str
    fees: dict[str, Any]
    flat_fee: int
    percent_fee: Decimal
    avg_delay_sec: int
    treasury_account_id: str | None
    balance: int
    reserved: int
    has_books: bool
    """Whether the ledger knows what is on the account; elsewhere the bank alone does."""
    sent_today: int
    waiting: int
    closed_because: str
    shut_from: list[int]
    """For which amounts no payout is handed to it: from each of these up to its *shut_to*."""
    shut_to: list[int | None]
    is_switched_off: bool
    is_announced_down: bool

    @property
    def shut(self) -> tuple[tuple[int, int | None], ...]:
        return tuple(zip(self.shut_from, self.shut_to, strict=True))


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """What waits in the scope of a proposal, by the bank that has it."""

    bank_profile_id: str | None
    payouts: int
    value: int
    usual: int
    """The amount in the middle."""


@dataclass(frozen=True, slots=True)
class InForceRow:
    min_amount: int
    max_amount: int | None
    bank_profile_ids: list[str]


@dataclass(frozen=True, slots=True)
class TogetherRow:
    one: str
    other: str
    alone_or_together: int
    together: int


@dataclass(frozen=True, slots=True)
class NowRow:
    at: datetime


ASK_TIME = Query("/* routing.ask_time */ select now() as at", row=NowRow)

# A bank's day begins at midnight where it is. What waits for a bank is spoken for already.
LIST_BANK_FACTS = Query(
    """
    /* routing.list_bank_facts */
    select b.id as bank_profile_id, b.name as bank_name, b.country, b.fees, b.flat_fee, b.percent_fee,
           b.avg_delay_sec, t.id as treasury_account_id, coalesce(t.balance, 0) as balance,
           coalesce(t.reserved, 0) as reserved,
           exists (select from payments.books as k
                    where k.bank_profile_id = b.id and k.currency = :currency::text) as has_books,
           coalesce((select sum(a.amount)
                       from payments.bank_attempts as a
                      where a.bank_profile_id = b.id and a.currency = :currency::text
                        and a.state in ('sending', 'accepted', 'unknown', 'settled')
                        and a.created_at >= date_trunc('day', now() at time zone b.timezone)
                                            at time zone b.timezone), 0)::bigint as sent_today,
           coalesce(w.value, 0)::bigint as waiting,
           coalesce(case when g.held_until > now() then g.held_cause else g.cause end, '') as closed_because,
           coalesce(s.shut_from, '{}') as shut_from, coalesce(s.shut_to, '{}') as shut_to,
           exists (select
                     from mesh.kill_switches as k
                    where k.is_engaged
                      and (k.scope = 'member:' || b.id
                           or k.scope in (select 'member:' || m.id from mesh.mesh_members as m
                                           where m.bank_profile_id = b.id
                                             and m.mesh_region_id = :region::text))) as is_switched_off,
           exists (select
                     from mesh.declared_outages as d
                    where d.bank_profile_id = b.id and d.begins_at <= now()
                      and (d.ends_at is null or d.ends_at > now())
                      and (d.rail is null or d.rail = :rail::text)
                      and (d.currency is null or d.currency = :currency::text)) as is_announced_down
      from payments.bank_profiles as b
      left join payments.bank_gates as g
        on g.bank_profile_id = b.id and g.rail = :rail::text and g.currency = :currency::text
      left join lateral (
           select array_agg(coalesce(lower(r.part), 0) order by r.part) as shut_from,
                  array_agg(upper(r.part) - 1 order by r.part) as shut_to
             from unnest(case when g.held_until > now() then '{(,)}' when not g.is_open then g.closed_for end)
                  as r(part)) as s on true
      left join lateral (
           select a.id
             from payments.treasury_accounts as a
            where a.bank_profile_id = b.id and a.currency = :currency::text and a.status = 'active'
            order by a.account_type = 'payout' desc, a.account_type = 'operational' desc, a.id
            limit 1) as x on true
      left join payments.treasury_balances as t on t.id = x.id
      left join (select p.bank_profile_id, sum(p.amount) as value
                   from payments.payouts as p
                  where p.bank_profile_id = any(:bank_ids::text[]) and p.currency = :currency::text
                    and p.origin = 'molam' and p.state in ('scheduled', 'held', 'pending')
                  group by p.bank_profile_id) as w on w.bank_profile_id = b.id
     where b.id = any(:bank_ids::text[])
     order by b.id
    """,
    row=BankFactsRow,
)

LIST_IN_FORCE = Query(
    """
    /* routing.list_in_force */
    select min_amount, max_amount, bank_profile_ids
      from payments.bank_routes
     where replaced_at is null and currency = :currency and rail = :rail
       and (:max_amount::bigint is null or min_amount <= :max_amount::bigint)
       and (max_amount is null or max_amount >= :min_amount::bigint)
     order by min_amount
     limit 1000
    """,
    row=InForceRow,
)

# By the hour, so that one long outage is not hundreds of proofs.
LIST_TOGETHER = Query(
    """
    /* routing.list_together */
    with down as materialized (
        select distinct bank_profile_id, date_trunc('hour', checked_at) as hour
          from mesh.bank_health_logs
         where p_down >= 0.5
           and checked_at >= now() - make_interval(days => :days)
           and bank_profile_id = any(:bank_ids::text[])
    )
    select a.id as one, b.id as other,
           (select count(distinct d.hour) from down as d
             where d.bank_profile_id in (a.id, b.id))::int as alone_or_together,
           (select count(*) from down as d
              join down as e on e.hour = d.hour and e.bank_profile_id = b.id
             where d.bank_profile_id = a.id)::int as together
      from unnest(:bank_ids::text[]) as a(id)
      join unnest(:bank_ids::text[]) as b(id) on a.id < b.id
     where exists (select from down as d where d.bank_profile_id in (a.id, b.id))
     order by a.id, b.id
    """,
    row=TogetherRow,
)

LIST_WAITING = Query(
    "/* routing.list_waiting */"
    " select p.bank_profile_id, count(*)::int as payouts, sum(p.amount)::bigint as value,"
    " percentile_disc(0.5) within group (order by p.amount) as usual"
    + PAYOUTS_IN_SCOPE
    + " group by p.bank_profile_id order by p.bank_profile_id nulls last",
    row=WaitingRow,
)
