"""The statements about roles lent for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.approvals.store import Told
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class DelegationRow:
    """*names* may be of people who have left since."""

    id: UUID
    delegator_id: str
    delegator_name: str | None
    delegate_id: str
    delegate_name: str | None
    role: str
    action_types: list[str]
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_at: datetime
    revoked_at: datetime | None
    is_open: bool


@dataclass(frozen=True, slots=True)
class StandingRow:
    """What decides whether a role may be lent: who is who, and what is lent already."""

    now: datetime
    delegator: str
    delegate: str
    delegator_name: str | None
    delegate_name: str | None
    holds_role: bool
    delegate_may_vote: bool
    open_count: int
    overlaps: bool


# One person's delegations are counted and added to by one transaction at a time.
LOCK_DELEGATOR = Query(
    """
    /* approvals.lock_delegator */
    select pg_advisory_xact_lock(hashtext('approvals.delegations'),
                                 hashtext(tenancy.principal(:delegator))) is not null as done
    """,
    row=Told,
)

FIND_STANDING = Query(
    """
    /* approvals.find_delegation_standing */
    with who as materialized (
        select clock_timestamp() as now,
               tenancy.principal(:delegator) as delegator,
               tenancy.principal(:delegate) as delegate
    )
    select w.now, w.delegator, w.delegate,
           (select h.name from tenancy.role_holders as h
             where h.person_id = w.delegator and h.role = '') as delegator_name,
           (select h.name from tenancy.role_holders as h
             where h.person_id = w.delegate and h.role = '') as delegate_name,
           exists (select from tenancy.role_holders as h
                    where h.person_id = w.delegator and h.role = :role and h.role <> '')
               as holds_role,
           exists (select from tenancy.role_holders as h
                    where h.person_id = w.delegate and h.role = any(:voting::text[]))
               as delegate_may_vote,
           (select count(*) from approvals.delegations as d
             where d.delegator_id = w.delegator and d.revoked_at is null and d.ends_at > w.now)
               as open_count,
           exists (select from approvals.delegations as d
                    where d.delegator_id = w.delegator
                      and d.delegate_id = w.delegate
                      and d.role = :role
                      and d.revoked_at is null
                      and d.starts_at < :ends_at
                      and d.ends_at > greatest(w.now, :starts_at::timestamptz)) as overlaps
      from who as w
    """,
    row=StandingRow,
)

_COLUMNS = """
           d.id, d.delegator_id, p.name as delegator_name, d.delegate_id, q.name as delegate_name,
           d.role, d.action_types, d.starts_at, d.ends_at, d.reason, d.created_at, d.revoked_at,
           d.revoked_at is null and d.ends_at > clock_timestamp() as is_open"""

_PEOPLE = """
      left join tenancy.people as p on p.id = d.delegator_id
      left join tenancy.people as q on q.id = d.delegate_id"""

INSERT_DELEGATION = Query(
    """
    /* approvals.insert_delegation */
    with d as (
        insert into approvals.delegations (
            id, delegator_id, delegate_id, role, action_types, starts_at, ends_at, reason,
            created_at)
        values (:id, :delegator, :delegate, :role, :action_types, :starts_at, :ends_at, :reason,
                :now)
        returning *
    )
    select """
    + _COLUMNS
    + " from d "
    + _PEOPLE,
    row=DelegationRow,
)

FIND_DELEGATION = Query(
    """
    /* approvals.find_delegation */
    select """
    + _COLUMNS
    + """
      from approvals.delegations as d """
    + _PEOPLE
    + """
     where d.id = :id
    """,
    row=DelegationRow,
)

SET_REVOKED = Query(
    """
    /* approvals.set_delegation_revoked */
    with d as (
        update approvals.delegations
           set revoked_at = clock_timestamp()
         where id = :id
           and revoked_at is null
           and ends_at > clock_timestamp()
        returning *
    )
    select """
    + _COLUMNS
    + " from d "
    + _PEOPLE,
    row=DelegationRow,
)

# Open ones first. A null person means everybody's.
LIST_DELEGATIONS = Query(
    """
    /* approvals.list_delegations */
    select """
    + _COLUMNS
    + """
      from approvals.delegations as d """
    + _PEOPLE
    + """
     where (:person::text is null
            or d.delegator_id = tenancy.principal(:person)
            or d.delegate_id = tenancy.principal(:person))
     order by d.revoked_at is null and d.ends_at > clock_timestamp() desc, d.created_at desc, d.id
     limit :limit
    """,
    row=DelegationRow,
)


@dataclass(frozen=True, slots=True)
class RoleRow:
    role: str


LIST_ROLES_HELD = Query(
    """
    /* approvals.list_roles_held */
    select role
      from tenancy.role_holders
     where person_id = tenancy.principal(:person)
       and role <> ''
     order by role
    """,
    row=RoleRow,
)


@dataclass(frozen=True, slots=True)
class ColleagueRow:
    id: str
    name: str
    roles: list[str]


LIST_COLLEAGUES = Query(
    """
    /* approvals.list_colleagues */
    select person_id as id, name, array_agg(role order by role) as roles
      from tenancy.role_holders
     where role = any(:voting::text[])
       and person_id <> tenancy.principal(:person)
     group by person_id, name
     order by name, person_id
     limit :limit
    """,
    row=ColleagueRow,
)


@dataclass(frozen=True, slots=True)
class PrincipalRow:
    id: str


FIND_PRINCIPAL = Query(
    """
    /* approvals.find_principal */
    select tenancy.principal(:person) as id
    """,
    row=PrincipalRow,
)
