"""Whom the development issuer knows, read from the directory's tables."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Database, Query


@dataclass(frozen=True, slots=True)
class Holder:
    """A person at one merchant, or on the platform, with the roles held there."""

    id: str
    name: str
    email: str
    locale: str
    merchant_id: str | None
    merchant_name: str | None
    country: str | None
    currency: str | None
    roles: list[str]


_FIND_HOLDER = Query(
    """
    /* simulator.find_holder */
    select p.id,
           p.name,
           p.email,
           p.locale,
           m.id as merchant_id,
           m.name as merchant_name,
           m.country::text as country,
           m.default_currency as currency,
           array_agg(g.role order by g.role) as roles
      from tenancy.people p
      join tenancy.role_grants g on g.person_id = p.id
       and g.revoked_at is null
      left join tenancy.merchants m on m.id = g.merchant_id
     where (p.id = :login or p.email = :login)
       and p.deactivated_at is null
       and not p.is_service
     group by p.id, m.id
     order by m.id nulls last
     limit 1
    """,
    row=Holder,
)

_LIST_HOLDERS = Query(
    """
    /* simulator.list_holders */
    select p.id,
           p.name,
           p.email,
           p.locale,
           m.id as merchant_id,
           m.name as merchant_name,
           m.country::text as country,
           m.default_currency as currency,
           array_agg(g.role order by g.role) as roles
      from tenancy.people p
      join tenancy.role_grants g on g.person_id = p.id
       and g.revoked_at is null
      left join tenancy.merchants m on m.id = g.merchant_id
     where (:merchant_id::text is null or m.id = :merchant_id)
       and p.deactivated_at is null
       and not p.is_service
     group by p.id, m.id
     order by m.id = 'merchant-123' desc nulls last, m.id nulls last, min(g.granted_at), p.id
     limit 100
    """,
    row=Holder,
)


async def find_holder(db: Database, login: str) -> Holder | None:
    """Find somebody by id or e-mail address; of several merchants, the first by id."""
    rows = await db.read(_FIND_HOLDER, login=login)
    return rows[0] if rows else None


async def list_holders(db: Database, merchant_id: str | None = None) -> list[Holder]:
    """List people of one merchant, or of all and the platform."""
    return await db.read(_LIST_HOLDERS, merchant_id=merchant_id)
