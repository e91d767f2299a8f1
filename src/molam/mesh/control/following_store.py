"""The statement that finds routes into other regions which decide about payouts to come."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class StandingRouteRow:
    """A route into another region, and who had it applied."""

    proposal_id: str
    share: int
    action_id: str
    actor_kind: str
    actor_id: str


# Routes into other regions that decide about payouts to come: the newest of their amounts,
# while the gate that they closed is shut, and where something waits that has no bank.
LIST_STANDING = Query(
    """
    /* control.list_standing */
    select p.id as proposal_id, p.shift_share::int as share, a.id as action_id, a.actor_type as actor_kind,
           a.actor_id
      from mesh.mesh_routing_proposals as p
     cross join lateral (
           select l.id, l.actor_type, l.actor_id
             from mesh.mesh_action_logs as l
            where l.routing_proposal_id = p.id and l.result in ('success', 'partial')
            order by l.created_at, l.id
            limit 1) as a
     where p.status = 'applied' and p.shift_share = 100
       and (:currency::text is null or p.currency = :currency::text)
       and p.proposal -> 'corridors' <> '{}' and not p.proposal ? 'payouts'
       and not exists (select from mesh.mesh_routing_proposals as l
                        where l.id <> p.id and l.status = 'applied' and l.applied_at > p.applied_at
                          and l.kind <> 'practice' and not l.proposal ? 'payouts'
                          and l.currency = p.currency and l.rail = p.rail
                          and l.min_amount <= coalesce(p.max_amount, l.min_amount)
                          and p.min_amount <= coalesce(l.max_amount, p.min_amount))
       and (p.from_bank_id is null
            or exists (select from payments.bank_gates as g
                        where g.bank_profile_id = p.from_bank_id and g.rail = p.rail
                          and g.currency = p.currency and not g.is_open))
       and exists (select from payments.payouts as w
                    where w.origin = 'molam' and w.state in ('scheduled', 'held', 'pending')
                      and w.currency = p.currency and w.attempts = 0
                      and (w.bank_profile_id is null or w.bank_profile_id = p.from_bank_id)
                      and w.amount >= p.min_amount
                      and (p.max_amount is null or w.amount <= p.max_amount)
                      and mesh.rail_of(w.destination) = p.rail)
     order by p.applied_at desc, p.id
     limit 100
    """,
    row=StandingRouteRow,
)
