"""Every statement about corridors: their terms, what they carry, and what was settled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class CorridorRow:
    id: str
    from_region_id: str
    from_region: str
    to_region_id: str
    to_region: str
    currency: str
    path: list[str]
    cover: int
    net_debit_cap: int
    position: int
    reserved: int
    state: str
    approved_from: str | None
    approved_to: str | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class QuoteRow:
    from_region_id: str
    currency: str
    path: list[str]
    available: int


@dataclass(frozen=True, slots=True)
class WayRow:
    """A corridor as a payout looks at it, with what the other end last quoted for it."""

    id: str
    to_region_id: str
    to_region: str
    path: list[str]
    state: str
    is_agreed: bool
    cover: int
    net_debit_cap: int
    position: int
    reserved: int
    quoted: int | None
    quoted_bps: float | None


@dataclass(frozen=True, slots=True)
class SettlementRow:
    id: str
    corridor_id: str
    amount: int
    reference: str
    created_by: str
    created_at: datetime
    confirmed_by: str | None
    confirmed_at: datetime | None


@dataclass(frozen=True, slots=True)
class UnroutedRow:
    """Payouts that no bank was found for, and the smallest of them."""

    payouts: int
    value: int
    smallest: int


_CORRIDOR = """
    select c.id, c.from_region_id, f.name as from_region, c.to_region_id, t.name as to_region, c.currency, c.path,
           c.cover, c.net_debit_cap, c.position, c.reserved, c.state, c.approved_from, c.approved_to, c.created_by,
           c.created_at
      from mesh.corridors as c
      join mesh.mesh_regions as f on f.id = c.from_region_id
      join mesh.mesh_regions as t on t.id = c.to_region_id
"""

LIST_CORRIDORS = Query(
    f"""
    /* federation.list_corridors */
    {_CORRIDOR}
     order by c.created_at desc, c.id
     limit :limit
    """,
    row=CorridorRow,
)

FIND_CORRIDOR = Query(
    f"""
    /* federation.find_corridor */
    {_CORRIDOR}
     where c.id = :id
    """,
    row=CorridorRow,
)

LOCK_CORRIDOR = Query(
    """
    /* federation.lock_corridor */
    select from mesh.corridors where id = :id for update
    """,
    row=Nothing,
    locks=Rank.BANK_ROUTE,
)

INSERT_CORRIDOR = Query(
    """
    /* federation.insert_corridor */
    insert into mesh.corridors
           (id, from_region_id, to_region_id, currency, path, cover, net_debit_cap, created_by)
    values (:id, :from_region_id, :to_region_id, :currency, :path::text[], :cover, :net_debit_cap, :by)
        on conflict do nothing
    """,
    row=Nothing,
)

SET_CORRIDOR = Query(
    """
    /* federation.set_corridor */
    update mesh.corridors
       set state = :state, approved_from = :approved_from, approved_to = :approved_to, updated_at = now()
     where id = :id
    """,
    row=Nothing,
)

# What we would carry for others: the corridors that end with us.
LIST_QUOTES = Query(
    """
    /* federation.list_quotes */
    select from_region_id, currency, path, least(cover, net_debit_cap) - position - reserved as available
      from mesh.corridors
     where state = 'active' and to_region_id = :region
     order by from_region_id, currency
     limit 100
    """,
    row=QuoteRow,
)

# What a region has to be told of corridors that it shares with us: that we agree to one,
# and for a day that one is over.
LIST_TO_TELL = Query(
    f"""
    /* federation.list_to_tell */
    {_CORRIDOR}
     where ((c.from_region_id = :ours and c.to_region_id = :peer and c.approved_from is not null)
            or (c.to_region_id = :ours and c.from_region_id = :peer and c.approved_to is not null))
       and (c.state = 'proposed' or c.updated_at > now() - interval '1 day')
     order by c.created_at desc, c.id
     limit 50
    """,
    row=CorridorRow,
)

# What leads out of a region in one currency, whether or not it may be used.
LIST_WAYS = Query(
    """
    /* federation.list_ways */
    select c.id, c.to_region_id, t.name as to_region, c.path, c.state,
           c.approved_from is not null and c.approved_to is not null as is_agreed,
           c.cover, c.net_debit_cap, c.position, c.reserved,
           (q.content ->> 'available')::numeric::bigint as quoted, (q.content ->> 'cost_bps')::float8 as quoted_bps
      from mesh.corridors as c
      join mesh.mesh_regions as t on t.id = c.to_region_id
      left join lateral (
           select m.content
             from mesh.foreign_messages as m
            where m.kind = 'quote' and m.mesh_region_id = c.to_region_id and m.currency = c.currency
              and m.expires_at > now() and m.content -> 'path' = to_jsonb(c.path)
            order by m.issued_at desc, m.received_at desc
            limit 1) as q on true
     where c.from_region_id = :region and c.currency = :currency
     order by c.to_region_id, c.created_at desc, c.id
     limit 100
    """,
    row=WayRow,
)

# Whoever leads payouts through corridors, or closes one, waits here for the other.
LOCK_CORRIDORS_OF = Query(
    """
    /* federation.lock_corridors_of */
    select from mesh.corridors where from_region_id = :region and currency = :currency order by id for update
    """,
    row=Nothing,
    locks=Rank.BANK_ROUTE,
)

LOCK_ALL = Query(
    """
    /* federation.lock_all_corridors */
    select from mesh.corridors where reserved > 0 or position > 0 order by id for update
    """,
    row=Nothing,
    locks=Rank.BANK_ROUTE,
)

# A payout that was paid has used its corridor; one that went elsewhere, ended or came back
# has not. Corridors are locked before.
SETTLE_USES = Query(
    """
    /* federation.settle_uses */
    with found as materialized (
        select u.reconciliation_id,
               case when p.bank_profile_id is distinct from u.bank_profile_id then 'released'
                    when p.state = 'paid' then 'used'
                    when p.state in ('failed', 'cancelled', 'returned') then 'released' end as state
          from mesh.corridor_uses as u
          join payments.payouts as p on p.merchant_id = u.merchant_id and p.id = u.payout_id
         where u.state = 'reserved' or (u.state = 'used' and u.ended_at > now() - interval '60 days'
                                        and p.state = 'returned')
    )
    update mesh.corridor_uses as u
       set state = f.state, ended_at = now()
      from found as f
     where u.reconciliation_id = f.reconciliation_id and f.state is not null and u.state <> f.state
    """,
    row=Nothing,
)

# Every payout that an application has just led to a bank of another region.
RESERVE_MOVED = Query(
    """
    /* federation.reserve_moved */
    insert into mesh.corridor_uses (reconciliation_id, corridor_id, merchant_id, payout_id, bank_profile_id, amount)
    select r.id, k.corridor_id, r.merchant_id, r.payout_id, r.rerouted_bank_profile_id, r.rerouted_amount
      from mesh.mesh_reconciliations as r
      join unnest(:banks::text[], :corridors::text[]) as k (bank_profile_id, corridor_id)
        on k.bank_profile_id = r.rerouted_bank_profile_id
     where r.action_log_id = :action_id
    """,
    row=Nothing,
)

_SETTLEMENT = """
    select id, corridor_id, amount, reference, created_by, created_at, confirmed_by, confirmed_at
      from mesh.corridor_settlements
"""

LIST_SETTLEMENTS = Query(
    f"""
    /* federation.list_settlements */
    {_SETTLEMENT}
     where corridor_id = :corridor_id
     order by created_at desc, id
     limit :limit
    """,
    row=SettlementRow,
)

FIND_SETTLEMENT = Query(
    f"""
    /* federation.find_settlement */
    {_SETTLEMENT}
     where corridor_id = :corridor_id and (id = :id::text or reference = :reference::text)
    """,
    row=SettlementRow,
)

INSERT_SETTLEMENT = Query(
    """
    /* federation.insert_settlement */
    insert into mesh.corridor_settlements (id, corridor_id, amount, reference, created_by)
    values (:id, :corridor_id, :amount, :reference, :by)
        on conflict do nothing
    """,
    row=Nothing,
)

CONFIRM_SETTLEMENT = Query(
    """
    /* federation.confirm_settlement */
    update mesh.corridor_settlements
       set confirmed_by = :by, confirmed_at = now()
     where id = :id and confirmed_by is null
    """,
    row=Nothing,
)

# What waits in a region and was given no bank: a route into another region may take it.
SUM_UNROUTED = Query(
    """
    /* federation.sum_unrouted */
    select count(*)::int as payouts, coalesce(sum(p.amount), 0)::bigint as value,
           coalesce(min(p.amount), 0)::bigint as smallest
      from payments.payouts as p
      join tenancy.merchants as m on m.id = p.merchant_id
      join mesh.countries_of(:region::text) as here (country)
        on here.country = coalesce(p.destination ->> 'country', m.country::text)
     where p.origin = 'molam' and p.state in ('scheduled', 'held', 'pending') and p.attempts = 0
       and p.bank_profile_id is null and p.currency = :currency
    """,
    row=UnroutedRow,
)
