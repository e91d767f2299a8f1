"""What a monthly statement reads: all of it in one snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class CauseRow:
    """What one kind of movement did to a merchant's money, before, in and after a month."""

    cause: str
    before: int
    during: int
    during_count: int
    after: int


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One of the merchant's accounts as it stands now, and what it has moved since the month."""

    kind: str
    balance: int
    after: int


@dataclass(frozen=True, slots=True)
class PayoutRow:
    id: str
    state: str
    amount: int
    day: str


_OWN = """
           select id, kind, balance
             from ledger.accounts
            where owner_id = :merchant_id and currency = :currency
              and kind in ('merchant_available', 'merchant_reserved', 'merchant_in_payout')"""

# Movements between two accounts of the merchant's own move nothing here.
SUM_CAUSES = Query(
    """
    /* merchant.sum_causes */
    with own as materialized ("""
    + _OWN
    + """),
    moved as (
        select t.cause, t.posted_at,
               t.amount * ((t.target in (select id from own))::int - (t.source in (select id from own))::int) as net
          from ledger.transfers t
         where t.merchant_id = :merchant_id and t.currency = :currency
    )
    select cause,
           coalesce(sum(net) filter (where posted_at < :from_at), 0)::bigint as before,
           coalesce(sum(net) filter (where posted_at >= :from_at and posted_at < :to_at), 0)::bigint as during,
           count(*) filter (where posted_at >= :from_at and posted_at < :to_at) as during_count,
           coalesce(sum(net) filter (where posted_at >= :to_at), 0)::bigint as after
      from moved
     where net <> 0
     group by cause
     order by cause
    """,
    row=CauseRow,
)

LIST_ACCOUNTS = Query(
    """
    /* merchant.list_statement_accounts */
    with own as materialized ("""
    + _OWN
    + """)
    select own.kind, own.balance,
           coalesce((select sum(case when t.target = own.id then t.amount else -t.amount end)
                       from ledger.transfers t
                      where t.merchant_id = :merchant_id and t.currency = :currency
                        and t.posted_at >= :to_at and own.id in (t.source, t.target)), 0)::bigint as after
      from own
     order by own.kind
    """,
    row=AccountRow,
)

LIST_PAYOUTS = Query(
    """
    /* merchant.list_statement_payouts */
    select p.id, p.state, p.amount,
           (coalesce(p.ended_at, p.scheduled_for, p.occurred_at) at time zone :timezone)::date::text as day
      from payments.payouts p
     where p.merchant_id = :merchant_id and p.currency = :currency
       and coalesce(p.ended_at, p.scheduled_for, p.occurred_at) >= :from_at
       and coalesce(p.ended_at, p.scheduled_for, p.occurred_at) < :to_at
     order by 4, p.id
     limit 1000
    """,
    row=PayoutRow,
)
