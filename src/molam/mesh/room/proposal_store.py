"""What a proposal's page reads beyond the proposal: names, and what a rollback would restore."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class NameRow:
    id: str
    name: str


LIST_BANK_NAMES = Query(
    """
    /* mesh.list_bank_names */
    select id, name from payments.bank_profiles where id = any(:ids::text[])
    """,
    row=NameRow,
)

LIST_PEOPLE_NAMES = Query(
    """
    /* mesh.list_people_names */
    select id, name from tenancy.people where id = any(:ids::text[])
    """,
    row=NameRow,
)

LIST_REGION_NAMES = Query(
    """
    /* mesh.list_region_names */
    select id, name from mesh.mesh_regions order by name limit :limit
    """,
    row=NameRow,
)


@dataclass(frozen=True, slots=True)
class LaneRow:
    currency: str
    rail: str


LIST_LANES = Query(
    """
    /* mesh.list_lanes */
    select distinct currency, rail from payments.bank_routes
     where replaced_at is null order by currency, rail limit :limit
    """,
    row=LaneRow,
)


@dataclass(frozen=True, slots=True)
class RestorableRow:
    """Of the payouts that a route moved: what could go back now, and why the others could not."""

    moved: int
    restorable: int
    restorable_value: int
    sent: int
    ended: int
    changed: int


# The newest move of each payout under this proposal; a later one of another route changed it.
COUNT_RESTORABLE = Query(
    """
    /* mesh.count_restorable */
    with moved as (
        select distinct on (r.merchant_id, r.payout_id)
               r.merchant_id, r.payout_id, r.rerouted_bank_profile_id, r.version_after
          from mesh.mesh_reconciliations as r
         where r.routing_proposal_id = :proposal_id
         order by r.merchant_id, r.payout_id, r.created_at desc
    )
    select count(*)::int as moved,
           count(*) filter (where k.fate = 'restorable')::int as restorable,
           coalesce(sum(k.amount) filter (where k.fate = 'restorable'), 0)::bigint as restorable_value,
           count(*) filter (where k.fate = 'sent')::int as sent,
           count(*) filter (where k.fate = 'ended')::int as ended,
           count(*) filter (where k.fate = 'changed')::int as changed
      from (select p.amount,
                   case when p.state in ('paid', 'failed', 'returned', 'cancelled') then 'ended'
                        when p.state = 'in_transit' or p.attempts > 0 then 'sent'
                        when p.version <> m.version_after
                          or p.bank_profile_id is distinct from m.rerouted_bank_profile_id then 'changed'
                        else 'restorable' end as fate
              from moved as m
              join payments.payouts as p on (p.merchant_id, p.id) = (m.merchant_id, m.payout_id)) as k
    """,
    row=RestorableRow,
)

LIST_ALL_BANKS = Query(
    """
    /* mesh.list_all_banks */
    select id, name from payments.bank_profiles order by name, id limit :limit
    """,
    row=NameRow,
)

LIST_MEMBER_BANKS = Query(
    """
    /* mesh.list_member_banks */
    select distinct b.id, b.name
      from mesh.mesh_members as m join payments.bank_profiles as b on b.id = m.bank_profile_id
     where m.status = 'active'
     order by b.name, b.id
     limit :limit
    """,
    row=NameRow,
)
