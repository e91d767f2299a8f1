"""The statements about regions and members."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class RegionRow:
    id: str
    name: str
    description: str
    countries: list[str]
    auto_failover_enabled: bool
    approval_threshold: int
    approval_currency: str
    allowed_crossborder: bool
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A member as stored, with what its bank's profile says."""

    id: str
    mesh_region_id: str
    region_name: str
    bank_profile_id: str
    bank_name: str
    bank_country: str
    bank_currencies: list[str]
    bank_rails: list[str]
    bank_in_use: bool
    role: str
    prefer_order: int
    status: str
    capabilities: dict[str, Any]
    failure_domains: list[str]
    last_health_update: datetime | None
    current_health_score: Decimal | None
    kyc_verified: bool
    contract_signed: bool
    compliance_status: str
    ops_action_id: str | None
    created_by: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class EligibleRow:
    id: str
    region_id: str
    bank_profile_id: str
    bank_name: str
    country: str
    role: str
    prefer_order: int
    flat_fee: int
    percent_fee: Decimal
    avg_delay_sec: int
    cut_off: str | None
    timezone: str
    risk_score: Decimal
    connector: str
    health_score: Decimal | None
    last_health_update: datetime | None
    failure_domains: list[str]
    capabilities: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CurrencyRow:
    currency: str


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


@dataclass(frozen=True, slots=True)
class NotifiedRow:
    said: str


_REGION = """
    select id, name, description, countries, auto_failover_enabled, approval_threshold, approval_currency,
           allowed_crossborder, metadata, created_at, updated_at
      from mesh.mesh_regions"""

LIST_REGIONS = Query(
    "/* mesh.list_regions */" + _REGION + " order by id limit :limit",
    row=RegionRow,
)

FIND_REGION = Query(
    "/* mesh.find_region */"
    + _REGION
    + " where :region in (id, name) order by id = :region desc limit 1",
    row=RegionRow,
)

_MEMBER = """
    select m.id, m.mesh_region_id, r.name as region_name, m.bank_profile_id, b.name as bank_name,
           b.country as bank_country, b.currency_codes as bank_currencies, b.rails as bank_rails,
           b.enabled and b.status = 'active' as bank_in_use, m.role, m.prefer_order, m.status,
           m.capabilities, m.failure_domains, m.last_health_update, m.current_health_score,
           m.kyc_verified, m.contract_signed, m.compliance_status, m.ops_action_id, m.created_by,
           m.metadata, m.created_at, m.updated_at
      from mesh.mesh_members as m
      join mesh.mesh_regions as r on r.id = m.mesh_region_id
      join payments.bank_profiles as b on b.id = m.bank_profile_id"""

LIST_MEMBERS = Query(
    "/* mesh.list_members */"
    + _MEMBER
    + """
     where (:region::text is null or :region::text in (r.id, r.name))
       and (:status::text is null or m.status = :status::text)
     order by m.mesh_region_id, m.prefer_order, m.id
     limit :limit""",
    row=MemberRecord,
)

FIND_MEMBER = Query(
    "/* mesh.find_member */" + _MEMBER + " where m.id = :id",
    row=MemberRecord,
)

FIND_MEMBER_OF = Query(
    "/* mesh.find_member_of */"
    + _MEMBER
    + " where m.mesh_region_id = :region_id and m.bank_profile_id = :bank_profile_id",
    row=MemberRecord,
)

LOCK_MEMBER = Query(
    "/* mesh.lock_member */" + _MEMBER + " where m.id = :id for update of m",
    row=MemberRecord,
    locks=Rank.BANK_ROUTE,
)

# Only those that payouts may be led to; whether they are healthy is another question.
LIST_ELIGIBLE = Query(
    """
    /* mesh.list_eligible */
    select m.id, m.mesh_region_id as region_id, m.bank_profile_id, b.name as bank_name, b.country, m.role,
           m.prefer_order, b.flat_fee, b.percent_fee, b.avg_delay_sec, b.cut_off::text as cut_off,
           b.timezone, b.risk_score, b.connector, m.current_health_score as health_score,
           m.last_health_update, m.failure_domains, m.capabilities
      from mesh.mesh_members as m
      join payments.bank_profiles as b on b.id = m.bank_profile_id
     where m.mesh_region_id = :region_id
       and m.status = 'active' and m.role <> 'observer'
       and m.kyc_verified and m.contract_signed and m.compliance_status = 'approved'
       and b.enabled and b.status = 'active'
       and :currency = any(b.currency_codes) and :rail = any(b.rails)
       and (m.capabilities -> 'supported_currencies') ? :currency
     order by m.prefer_order, m.id
     limit :limit
    """,
    row=EligibleRow,
)

# A region holds a bank once; a bank that was refused or left may be asked for again.
PUT_MEMBER = Query(
    """
    /* mesh.put_member */
    insert into mesh.mesh_members as m
           (id, mesh_region_id, bank_profile_id, role, prefer_order, status, capabilities,
            failure_domains, ops_action_id, created_by)
    values (:id, :region_id, :bank_profile_id, :role, :prefer_order, 'pending_approval', :capabilities::jsonb,
            :failure_domains::text[], :ops_action_id, :created_by)
        on conflict (mesh_region_id, bank_profile_id) do update
       set role = excluded.role, prefer_order = excluded.prefer_order, status = 'pending_approval',
           capabilities = excluded.capabilities, failure_domains = excluded.failure_domains,
           kyc_verified = false, contract_signed = false, compliance_status = 'pending',
           ops_action_id = excluded.ops_action_id, created_by = excluded.created_by, updated_at = now()
     where m.status = 'disabled'
    """,
    row=Nothing,
)

SET_MEMBER = Query(
    """
    /* mesh.set_member */
    update mesh.mesh_members
       set status = :status, kyc_verified = :kyc_verified, contract_signed = :contract_signed,
           compliance_status = :compliance_status, ops_action_id = :ops_action_id, updated_at = now()
     where id = :id
    """,
    row=Nothing,
)

# The currencies for which no other member of the region could stand in now. One that
# nobody has heard of yet counts as healthy.
LIST_ALONE = Query(
    """
    /* mesh.list_alone */
    select c.currency
      from mesh.mesh_members as m
      join payments.bank_profiles as b on b.id = m.bank_profile_id
     cross join lateral unnest(b.currency_codes) as c(currency)
     where m.id = :id and m.status = 'active' and m.role <> 'observer'
       and (m.capabilities -> 'supported_currencies') ? c.currency
       and not exists (
           select from mesh.mesh_members as o
             join payments.bank_profiles as ob on ob.id = o.bank_profile_id
            where o.mesh_region_id = m.mesh_region_id and o.id <> m.id
              and o.status = 'active' and o.role <> 'observer'
              and ob.enabled and ob.status = 'active'
              and c.currency = any(ob.currency_codes)
              and (o.capabilities -> 'supported_currencies') ? c.currency
              and not exists (
                  select from mesh.member_health as h
                   where h.bank_profile_id = o.bank_profile_id and h.currency = c.currency
                     and (h.p_down >= 0.5 or h.mode = 'left')))
     order by c.currency
    """,
    row=CurrencyRow,
)

COUNT_WAITING_AT = Query(
    """
    /* mesh.count_waiting_at */
    select count(*)::int as count
      from payments.payouts
     where bank_profile_id = any(:bank_profile_ids::text[])
       and state in ('scheduled', 'held', 'pending')
    """,
    row=CountRow,
)

NOTIFY_PAGES = Query(
    "/* mesh.notify_pages */ select pg_notify('mesh', '')::text as said", row=NotifiedRow
)
