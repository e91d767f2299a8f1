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


@dataclass(frozen=True, slots=True)
class HolderRow:
    person_id: str
    name: str
    email: str
    locale: str
    role: str
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class PersonIdRow:
    person_id: str


@dataclass(frozen=True, slots=True)
class PrincipalRow:
    alias: str
    person_id: str


@dataclass(frozen=True, slots=True)
class KnownPersonRow:
    id: str
    name: str
    email: str
    locale: str
    is_service: bool
    owner_id: str | None
    deactivated_at: datetime | None


@dataclass(frozen=True, slots=True)
class OwnerRow:
    owner_id: str | None


LIST_ROLES = Query(
    """
    /* tenancy.list_roles */
    select (p.id is not null and not p.is_service) as known, g.role
      from (select :person_id::text as id) as asked
      left join tenancy.people p on p.id = asked.id
      left join tenancy.role_grants g
        on g.person_id = p.id
       and p.deactivated_at is null
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

# Merchants' own roles are left out: they decide nothing of the platform's.
LIST_HOLDERS = Query(
    """
    /* tenancy.list_holders */
    select p.id as person_id, p.name, p.email, p.locale, g.role, g.granted_at
      from tenancy.role_grants g
      join tenancy.people p on p.id = g.person_id
     where g.role = any(:roles::text[])
       and g.merchant_id is null
       and g.revoked_at is null
       and p.deactivated_at is null
       and not p.is_service
     union all
    select p.id, p.name, p.email, p.locale, '', p.created_at
      from tenancy.people p
     where p.id = any(:people::text[])
       and p.deactivated_at is null
       and not p.is_service
     order by person_id, role
    """,
    row=HolderRow,
)

LIST_PLATFORM_PEOPLE = Query(
    """
    /* tenancy.list_platform_people */
    select distinct person_id
      from tenancy.role_grants
     where person_id = any(:people::text[])
       and merchant_id is null
       and revoked_at is null
    """,
    row=PersonIdRow,
)

# An id of somebody's own wins over an alias of the same spelling.
LIST_PRINCIPALS = Query(
    """
    /* tenancy.list_principals */
    select asked.alias, coalesce(p.id, a.person_id, asked.alias) as person_id
      from unnest(:ids::text[]) as asked (alias)
      left join tenancy.people p on p.id = asked.alias
      left join tenancy.person_aliases a on a.alias = asked.alias
    """,
    row=PrincipalRow,
)

LIST_PEOPLE = Query(
    """
    /* tenancy.list_people */
    select id, name, email, locale, is_service, owner_id, deactivated_at
      from tenancy.people
     where id = any(:ids::text[])
     order by id
    """,
    row=KnownPersonRow,
)


SEARCH_PEOPLE = Query(
    """
    /* tenancy.search_people */
    select id, name, email, locale, is_service, owner_id, deactivated_at
      from tenancy.people
     where id = :exact
        or lower(id) like :prefix::text escape '!'
        or lower(email) like :prefix::text escape '!'
        or tenancy.folded(' ' || name) like tenancy.folded('% ' || :prefix::text) escape '!'
     order by (id = :exact) desc, name, id
     limit :limit
    """,
    row=KnownPersonRow,
)

FIND_AGENT_OWNER = Query(
    """
    /* tenancy.find_agent_owner */
    select owner_id
      from tenancy.agents
     where id = :id
    """,
    row=OwnerRow,
)

PUT_ALIAS = Query(
    """
    /* tenancy.put_alias */
    insert into tenancy.person_aliases (alias, person_id)
    values (:alias, :person_id)
    on conflict (alias) do nothing
    """,
    row=Nothing,
)

SET_SERVICE = Query(
    """
    /* tenancy.set_service */
    update tenancy.people
       set is_service = true,
           owner_id = :owner_id::text
     where id = :id
       and (not is_service or owner_id is distinct from :owner_id::text)
    """,
    row=Nothing,
)

SET_DEACTIVATED = Query(
    """
    /* tenancy.set_deactivated */
    update tenancy.people
       set deactivated_at = now()
     where id = :id
       and deactivated_at is null
    """,
    row=Nothing,
)
