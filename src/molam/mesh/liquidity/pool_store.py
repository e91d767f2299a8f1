"""Every statement about pools and what moves in and out of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PoolRow:
    id: str
    mesh_region_id: str
    region: str
    name: str
    currency: str
    participants: list[str]
    total_available: int
    reserved: int
    max_single_draw: int | None
    daily_draw_limit: int | None
    auto_rebalance_enabled: bool
    rebalance_threshold_pct: int
    drawn_today: int
    approval_threshold: int
    approval_currency: str
    today: date
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ShareRow:
    bank_profile_id: str
    bank: str
    contributed: int
    drawn: int
    returned: int
    waiting: int


@dataclass(frozen=True, slots=True)
class MovementRow:
    id: str
    pool_id: str
    bank_profile_id: str
    bank: str
    kind: str
    amount: int
    currency: str
    reason: str
    state: str
    draw_id: str | None
    returned: int
    ops_action_id: str | None
    ended_as: str | None
    fingerprint: bytes
    created_by: str
    created_at: datetime
    booked_at: datetime | None


@dataclass(frozen=True, slots=True)
class BankRow:
    id: str
    name: str
    country: str
    currency_codes: list[str]


_POOL = """
    select p.id, p.mesh_region_id, r.name as region, p.name, p.currency,
           p.participant_bank_profiles as participants, p.total_available, p.reserved, p.max_single_draw,
           p.daily_draw_limit, p.auto_rebalance_enabled, p.rebalance_threshold_pct::int as rebalance_threshold_pct,
           (select coalesce(sum(m.amount), 0)
              from mesh.pool_movements as m
             where m.pool_id = p.id and m.kind = 'draw' and m.state <> 'refused'
               and m.created_at >= date_trunc('day', now() at time zone 'UTC') at time zone 'UTC')::bigint
               as drawn_today,
           r.approval_threshold, r.approval_currency, (now() at time zone 'UTC')::date as today,
           p.created_at, p.updated_at
      from mesh.mesh_liquidity_pools as p
      join mesh.mesh_regions as r on r.id = p.mesh_region_id
"""
_MOVEMENT = """
    select m.id, m.pool_id, m.bank_profile_id, b.name as bank, m.kind, m.amount, p.currency, m.reason, m.state,
           m.draw_id, m.returned, m.ops_action_id, m.ended_as, m.fingerprint, m.created_by, m.created_at, m.booked_at
      from mesh.pool_movements as m
      join mesh.mesh_liquidity_pools as p on p.id = m.pool_id
      join payments.bank_profiles as b on b.id = m.bank_profile_id
"""

LIST_POOLS = Query(
    f"""
    /* liquidity.list_pools */
    {_POOL}
     where (:region::text is null or r.id = :region or r.name = :region)
     order by r.name, p.name
     limit :limit
    """,
    row=PoolRow,
)

FIND_POOL = Query(
    f"""
    /* liquidity.find_pool */
    {_POOL}
     where p.id = :id
    """,
    row=PoolRow,
)

LOCK_POOL = Query(
    """
    /* liquidity.lock_pool */
    select from mesh.mesh_liquidity_pools where id = :id for update
    """,
    row=Nothing,
    locks=Rank.LIQUIDITY_POOL,
)

INSERT_POOL = Query(
    """
    /* liquidity.insert_pool */
    insert into mesh.mesh_liquidity_pools
           (id, mesh_region_id, name, currency, participant_bank_profiles, max_single_draw, daily_draw_limit,
            auto_rebalance_enabled, rebalance_threshold_pct)
    values (:id, :mesh_region_id, :name, :currency, :participants::text[], :max_single_draw, :daily_draw_limit,
            :auto_rebalance_enabled, :rebalance_threshold_pct)
        on conflict do nothing
    """,
    row=Nothing,
)

RESERVE = Query(
    """
    /* liquidity.reserve */
    update mesh.mesh_liquidity_pools
       set reserved = reserved + :amount::bigint, updated_at = now()
     where id = :id
    """,
    row=Nothing,
    locks=Rank.LIQUIDITY_POOL,
)

LIST_SHARES = Query(
    """
    /* liquidity.list_shares */
    select b.id as bank_profile_id, b.name as bank,
           coalesce(sum(m.amount) filter (where m.kind = 'contribution' and m.state = 'booked'), 0)::bigint as contributed,
           coalesce(sum(m.amount) filter (where m.kind = 'draw' and m.state = 'booked'), 0)::bigint as drawn,
           coalesce(sum(m.returned) filter (where m.kind = 'draw'), 0)::bigint as returned,
           coalesce(sum(m.amount) filter (where m.kind = 'draw' and m.state = 'waiting'), 0)::bigint as waiting
      from mesh.mesh_liquidity_pools as p
      join payments.bank_profiles as b
        on b.id = any(p.participant_bank_profiles)
        or b.id in (select bank_profile_id from mesh.pool_movements where pool_id = p.id)
      left join mesh.pool_movements as m on m.pool_id = p.id and m.bank_profile_id = b.id
     where p.id = :pool_id
     group by b.id, b.name
     order by b.name, b.id
    """,
    row=ShareRow,
)

LIST_MOVEMENTS = Query(
    f"""
    /* liquidity.list_movements */
    {_MOVEMENT}
     where m.pool_id = :pool_id
     order by m.created_at desc, m.id desc
     limit :limit
    """,
    row=MovementRow,
)

FIND_MOVEMENT = Query(
    f"""
    /* liquidity.find_movement */
    {_MOVEMENT}
     where m.id = :id
    """,
    row=MovementRow,
)

FIND_BY_KEY = Query(
    f"""
    /* liquidity.find_movement_by_key */
    {_MOVEMENT}
     where m.pool_id = :pool_id and m.idempotency_key = :key
    """,
    row=MovementRow,
)

INSERT_MOVEMENT = Query(
    """
    /* liquidity.insert_movement */
    insert into mesh.pool_movements
           (id, pool_id, bank_profile_id, kind, amount, reason, state, draw_id, idempotency_key, fingerprint,
            created_by, booked_at)
    values (:id, :pool_id, :bank_profile_id, :kind, :amount, :reason, :state::text, :draw_id, :key, :fingerprint,
            :by, case when :state::text = 'booked' then now() end)
    """,
    row=Nothing,
)

SET_STATE = Query(
    """
    /* liquidity.set_movement_state */
    update mesh.pool_movements
       set state = :state::text, ended_as = :ended_as,
           booked_at = case when :state::text = 'booked' then now() end
     where id = :id and state = 'waiting'
    """,
    row=Nothing,
)

SET_ACTION = Query(
    """
    /* liquidity.set_movement_action */
    update mesh.pool_movements set ops_action_id = :action_id where id = :id
    """,
    row=Nothing,
)

ADD_RETURNED = Query(
    """
    /* liquidity.add_returned */
    update mesh.pool_movements set returned = returned + :amount::bigint where id = :id
    """,
    row=Nothing,
)

NOTIFY_PAGES = Query(
    """
    /* liquidity.notify_pages */
    select pg_notify('mesh', '')
    """,
    row=Nothing,
)

LIST_BANKS = Query(
    """
    /* liquidity.list_banks */
    select id, name, country, currency_codes
      from payments.bank_profiles
     where id = any(:ids::text[])
     order by id
    """,
    row=BankRow,
)

LIST_ALL_BANKS = Query(
    """
    /* liquidity.list_all_banks */
    select id, name, country, currency_codes
      from payments.bank_profiles
     where provider_type = 'bank' or id in (select bank_profile_id from payments.treasury_accounts)
     order by name, id
     limit 500
    """,
    row=BankRow,
)
