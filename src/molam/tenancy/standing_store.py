"""The statements about how merchants and agents stand: frozen or not, at which fee."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class LockedMerchantRow:
    id: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class StandingRow:
    """A merchant and, if there is one, the freeze that nobody has ended yet."""

    id: str
    name: str
    city: str | None
    country: str
    default_currency: str
    status: str
    created_at: datetime
    freeze_id: UUID | None
    reason: str | None
    frozen_by: str | None
    frozen_at: datetime | None
    until: datetime | None
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class FreezeRow:
    id: UUID
    merchant_id: str
    reason: str
    frozen_by: str
    frozen_at: datetime
    until: datetime | None
    ended_at: datetime | None = None
    ended_by: str | None = None
    action_id: str | None = None
    ended_action_id: str | None = None


@dataclass(frozen=True, slots=True)
class FrozenMerchantRow:
    merchant_id: str


@dataclass(frozen=True, slots=True)
class FeeRow:
    id: UUID
    merchant_id: str
    basis_points: Decimal
    effective_date: date
    set_by: str
    set_at: datetime
    action_id: str | None


@dataclass(frozen=True, slots=True)
class AgentRow:
    id: str
    name: str
    city: str | None
    country: str
    currency: str
    status: str
    owner_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FoundMerchantRow:
    id: str
    name: str
    city: str | None
    country: str
    default_currency: str
    status: str


LOCK_MERCHANT = Query(
    """
    /* tenancy.lock_merchant */
    select id, name, status
      from tenancy.merchants
     where id = :id
       for update
    """,
    row=LockedMerchantRow,
    locks=Rank.MERCHANT,
)

FIND_STANDING = Query(
    """
    /* tenancy.find_standing */
    select m.id, m.name, m.city, m.country, m.default_currency, m.status, m.created_at,
           f.id as freeze_id, f.reason, f.frozen_by, f.frozen_at, f.until,
           now() as asked_at
      from tenancy.merchants m
      left join tenancy.merchant_freezes f on f.merchant_id = m.id and f.ended_at is null
     where m.id = :id
    """,
    row=StandingRow,
)

FIND_FREEZE = Query(
    """
    /* tenancy.find_freeze */
    select id, merchant_id, reason, frozen_by, frozen_at, until, ended_at, ended_by,
           action_id, ended_action_id
      from tenancy.merchant_freezes
     where id = :id
    """,
    row=FreezeRow,
)

LIST_FREEZES = Query(
    """
    /* tenancy.list_freezes */
    select id, merchant_id, reason, frozen_by, frozen_at, until, ended_at, ended_by,
           action_id, ended_action_id
      from tenancy.merchant_freezes
     where merchant_id = :merchant_id
     order by frozen_at desc, id desc
     limit :limit
    """,
    row=FreezeRow,
)

LIST_LAPSED = Query(
    """
    /* tenancy.list_lapsed */
    select merchant_id
      from tenancy.merchant_freezes
     where ended_at is null
       and until <= :now
     order by until, merchant_id
     limit :limit
    """,
    row=FrozenMerchantRow,
)

APPEND_FREEZE = Query(
    """
    /* tenancy.append_freeze */
    insert into tenancy.merchant_freezes
           (id, merchant_id, reason, frozen_by, frozen_at, until, action_id)
    values (:id, :merchant_id, :reason, :frozen_by, :frozen_at, :until, :action_id)
    """,
    row=Nothing,
)

SET_FREEZE_ENDED = Query(
    """
    /* tenancy.set_freeze_ended */
    update tenancy.merchant_freezes
       set ended_at = :ended_at,
           ended_by = :ended_by,
           ended_action_id = :action_id::text
     where merchant_id = :merchant_id
       and ended_at is null
    """,
    row=Nothing,
)

SET_MERCHANT_STATUS = Query(
    """
    /* tenancy.set_merchant_status */
    update tenancy.merchants
       set status = :status
     where id = :id
       and status = :old
    """,
    row=Nothing,
)

# A fee whose day has come counts from that day; of two for one day, the one set last.
FIND_FEE = Query(
    """
    /* tenancy.find_fee */
    select id, merchant_id, basis_points, effective_date, set_by, set_at, action_id
      from tenancy.merchant_fees
     where merchant_id = :merchant_id
       and effective_date <= :on
     order by effective_date desc, set_at desc, id desc
     limit 1
    """,
    row=FeeRow,
)


APPEND_FEE = Query(
    """
    /* tenancy.append_fee */
    insert into tenancy.merchant_fees
           (id, merchant_id, basis_points, effective_date, set_by, set_at, action_id)
    values (:id, :merchant_id, :basis_points, :effective_date, :set_by, :set_at, :action_id)
    on conflict (id) do nothing
    """,
    row=Nothing,
)

FIND_AGENT = Query(
    """
    /* tenancy.find_agent */
    select id, name, city, country, currency, status, owner_id, created_at
      from tenancy.agents
     where id = :id
    """,
    row=AgentRow,
)

# What hangs on an agent's status may not happen while somebody closes it.
LOCK_AGENT = Query(
    """
    /* tenancy.lock_agent */
    select id, name, city, country, currency, status, owner_id, created_at
      from tenancy.agents
     where id = :id
       for update
    """,
    row=AgentRow,
    locks=Rank.AGENT,
)

PUT_AGENT = Query(
    """
    /* tenancy.put_agent */
    insert into tenancy.agents (id, name, city, country, currency, owner_id)
    values (:id, :name, :city, :country, :currency, :owner_id)
    on conflict (id) do nothing
    """,
    row=Nothing,
)

SEARCH_MERCHANTS = Query(
    """
    /* tenancy.search_merchants */
    select id, name, city, country, default_currency, status
      from tenancy.merchants
     where id = :exact
        or lower(id) like :prefix::text escape '!'
        or tenancy.folded(' ' || name) like tenancy.folded('% ' || :prefix::text) escape '!'
     order by (id = :exact) desc, name, id
     limit :limit
    """,
    row=FoundMerchantRow,
)

SEARCH_AGENTS = Query(
    """
    /* tenancy.search_agents */
    select id, name, city, country, currency, status, owner_id, created_at
      from tenancy.agents
     where id = :exact
        or lower(id) like :prefix::text escape '!'
        or tenancy.folded(' ' || name) like tenancy.folded('% ' || :prefix::text) escape '!'
     order by (id = :exact) desc, name, id
     limit :limit
    """,
    row=AgentRow,
)
