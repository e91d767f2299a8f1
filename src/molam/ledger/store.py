"""Every statement the ledger runs. Nothing else in the product writes its tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PostedRow:
    transfers: int


@dataclass(frozen=True, slots=True)
class EntryRow:
    account_id: str
    amount: int
    currency: str
    cause: str
    posted_at: datetime


@dataclass(frozen=True, slots=True)
class RateRow:
    base_currency: str
    quote_currency: str
    as_of_date: date
    rate: Decimal
    source: str
    indicative: bool


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """What a merchant has in one currency, in minor units."""

    currency: str
    available: int
    reserved: int
    in_payout: int


@dataclass(frozen=True, slots=True)
class AccountBalanceRow:
    balance: int


@dataclass(frozen=True, slots=True)
class ImbalanceRow:
    account_id: str
    balance: int
    entries: int


# A transfer that is already there moves nothing. The accounts are created or added to by
# one upsert, those of merchants and agents first and each kind in the order of its ids, so
# two batches cannot deadlock on them, nor a batch and a command that has locked a merchant's
# balance to look at it before it moves anything.
POST_TRANSFERS = Query(
    """
    /* ledger.post_transfers */
    with asked as materialized (
        select t.id, t.amount, t.currency, t.merchant_id, t.agent_id, t.cause, t.cause_id, t.occurred_at,
               case t.source when 'available' then 'merchant:' || t.merchant_id || ':available:' || t.currency
                             else t.source || ':' || t.currency end as source,
               case t.target when 'available' then 'merchant:' || t.merchant_id || ':available:' || t.currency
                             else t.target || ':' || t.currency end as target
          from json_to_recordset(:transfers::json) as t(
               id uuid, source text, target text, amount bigint, currency text,
               merchant_id text, agent_id text, cause text, cause_id text, occurred_at timestamptz)
    ),
    moved as (
        insert into ledger.transfers
               (id, source, target, amount, currency, merchant_id, agent_id, cause, cause_id, occurred_at)
        select id, source, target, amount, currency, merchant_id, agent_id, cause, cause_id, occurred_at
          from asked
         order by id
            on conflict (id) do nothing
     returning source, target, amount, currency, merchant_id
    ),
    change as (
        select account_id, currency, merchant_id, sum(amount) as amount
          from (select source as account_id, currency, merchant_id, -amount as amount from moved
                 union all
                select target, currency, merchant_id, amount from moved) as sides
         group by account_id, currency, merchant_id
    ),
    summed as (
        select account_id, currency, sum(amount)::bigint as amount,
               case when account_id like 'merchant:%' then min(merchant_id) end as owner_id
          from change
         group by account_id, currency
    ),
    balanced as (
        insert into ledger.accounts as a (id, kind, owner_id, currency, balance)
        select account_id,
               case when owner_id is not null
                    then 'merchant_' || case when account_id like '%:reserved:' || currency then 'reserved'
                                             when account_id like '%:in_payout:' || currency then 'in_payout'
                                             else 'available' end
                    else split_part(account_id, ':', 1) || '_' || split_part(account_id, ':', 2) end,
               owner_id, currency, amount
          from summed
         order by account_id not like 'merchant:%' and account_id not like 'agent:%', account_id
            on conflict (id) do update set balance = a.balance + excluded.balance
     returning 1
    )
    select count(*) as transfers from moved, (select count(*) from balanced) as done
    """,
    row=PostedRow,
    locks=Rank.LEDGER_ACCOUNT,
)

LIST_ENTRIES = Query(
    """
    /* ledger.list_entries */
    select source as account_id, -amount as amount, currency, cause, posted_at
      from ledger.transfers
     where merchant_id = :merchant_id and cause_id = any(:cause_ids::text[])
     union all
    select target, amount, currency, cause, posted_at
      from ledger.transfers
     where merchant_id = :merchant_id and cause_id = any(:cause_ids::text[])
     order by posted_at, cause, amount
     limit 200
    """,
    row=EntryRow,
)

LIST_RATES = Query(
    """
    /* ledger.list_rates */
    select distinct on (base_currency, quote_currency)
           base_currency, quote_currency, as_of_date, rate, source, indicative
      from ledger.fx_rates
     where as_of_date <= :on::date
     order by base_currency, quote_currency, as_of_date desc
    """,
    row=RateRow,
)

LIST_IMBALANCES = Query(
    """
    /* ledger.list_imbalances */
    select a.id as account_id, a.balance, coalesce(sum(e.amount), 0)::bigint as entries
      from ledger.accounts a
      left join (select source as account_id, -amount as amount from ledger.transfers
                  union all
                 select target, amount from ledger.transfers) as e on e.account_id = a.id
     group by a.id, a.balance
    having a.balance <> coalesce(sum(e.amount), 0)
     order by a.id
     limit 100
    """,
    row=ImbalanceRow,
)

PUT_AVAILABLE = Query(
    """
    /* ledger.put_available */
    insert into ledger.accounts (id, kind, owner_id, currency)
    values (:id, 'merchant_available', :merchant_id, :currency)
        on conflict (id) do nothing
    """,
    row=Nothing,
    locks=Rank.LEDGER_ACCOUNT,
)

LOCK_BALANCE = Query(
    """
    /* ledger.lock_balance */
    select balance
      from ledger.accounts
     where id = :id
       for update
    """,
    row=AccountBalanceRow,
    locks=Rank.LEDGER_ACCOUNT,
)

LIST_BALANCES = Query(
    """
    /* ledger.list_balances */
    select currency,
           coalesce(sum(balance) filter (where kind = 'merchant_available'), 0)::bigint as available,
           coalesce(sum(balance) filter (where kind = 'merchant_reserved'), 0)::bigint as reserved,
           coalesce(sum(balance) filter (where kind = 'merchant_in_payout'), 0)::bigint as in_payout
      from ledger.accounts
     where owner_id = :merchant_id
     group by currency
     order by currency
    """,
    row=BalanceRow,
)
