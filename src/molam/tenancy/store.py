"""Every statement tenancy runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class RoleRow:
    known: bool
    role: str | None


@dataclass(frozen=True, slots=True)
class MerchantRow:
    id: str
    name: str
    city: str | None
    country: str
    default_currency: str
    status: str


@dataclass(frozen=True, slots=True)
class PersonRow:
    id: str
    name: str
    email: str
    locale: str


@dataclass(frozen=True, slots=True)
class GrantRow:
    id: UUID
    person_id: str
    role: str
    merchant_id: str | None
    granted_at: datetime


LIST_ROLES = Query(
    """
    /* tenancy.list_roles */
    select p.id is not null as known, g.role
      from (select :person_id::text as id) as asked
      left join tenancy.people p on p.id = asked.id
      left join tenancy.role_grants g
        on g.person_id = p.id
       and g.revoked_at is null
       and (g.merchant_id is null or g.merchant_id = :merchant_id::text)
    """,
    row=RoleRow,
)

FIND_MERCHANT = Query(
    """
    /* tenancy.find_merchant */
    select id, name, city, country, default_currency, status
      from tenancy.merchants
     where id = :id
    """,
    row=MerchantRow,
)

PUT_MERCHANT = Query(
    """
    /* tenancy.put_merchant */
    insert into tenancy.merchants (id, name, city, country, default_currency)
    values (:id, :name, :city, :country, :default_currency)
    on conflict (id) do nothing
    """,
    row=Nothing,
)

PUT_PERSON = Query(
    """
    /* tenancy.put_person */
    insert into tenancy.people (id, name, email, locale)
    values (:id, :name, :email, :locale)
    on conflict (id) do nothing
    """,
    row=Nothing,
)

PUT_GRANT = Query(
    """
    /* tenancy.put_grant */
    insert into tenancy.role_grants (id, person_id, role, merchant_id, granted_at, granted_by)
    values (:id, :person_id, :role, :merchant_id, :granted_at, :granted_by)
    on conflict (person_id, role, coalesce(merchant_id, '')) where revoked_at is null do nothing
    """,
    row=Nothing,
)

END_GRANT = Query(
    """
    /* tenancy.end_grant */
    update tenancy.role_grants
       set revoked_at = now()
     where person_id = :person_id
       and role = :role
       and merchant_id is not distinct from :merchant_id::text
       and revoked_at is null
    """,
    row=Nothing,
)
