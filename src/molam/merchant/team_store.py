"""The statements about a merchant's team."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class GrantedRow:
    person_id: str
    name: str
    email: str
    locale: str
    is_active: bool
    role: str
    granted_at: datetime
    granted_by: str
    granted_by_name: str | None


@dataclass(frozen=True, slots=True)
class FoundRow:
    """Somebody whom an address or an id leads to. *may_join* is nobody's program, and no operator."""

    id: str
    may_join: bool


LIST_TEAM = Query(
    """
    /* merchant.list_team */
    select p.id as person_id, p.name, p.email, p.locale,
           (p.deactivated_at is null and not p.is_service) as is_active,
           g.role, g.granted_at, g.granted_by, b.name as granted_by_name
      from tenancy.role_grants g
      join tenancy.people p on p.id = g.person_id
      left join tenancy.people b on b.id = g.granted_by
     where g.merchant_id = :merchant_id
       and g.revoked_at is null
     order by p.name, p.id, g.role
     limit 1000
    """,
    row=GrantedRow,
)

# Whoever operates the platform decides about merchants, and cannot be one of them.
FIND_PERSON = Query(
    """
    /* merchant.find_person_to_add */
    select p.id,
           p.deactivated_at is null
           and not p.is_service
           and not exists (select from tenancy.role_grants g
                            where g.person_id = p.id and g.merchant_id is null
                              and g.revoked_at is null) as may_join
      from tenancy.people p
     where p.id = :person_id::text or lower(p.email) = lower(:email::text)
     order by (p.id = :person_id::text) desc nulls last, p.created_at, p.id
     limit 2
    """,
    row=FoundRow,
)
