"""Every statement about routing proposals themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class ProposalRow:
    id: str
    mesh_region_id: str
    currency: str
    rail: str
    min_amount: int
    max_amount: int | None
    proposal: dict[str, Any]
    status: str
    from_bank_id: str | None
    to_bank_id: str | None
    kind: str
    confidence: Decimal
    p_down: float
    simulation_results: dict[str, Any] | None
    simulated_at: datetime | None
    created_by: str
    reviewed_by: str | None
    reviewed_at: datetime | None
    applied_at: datetime | None
    rolled_back_at: datetime | None
    rollback_reason: str | None
    rejected_reason: str | None
    sira_signature: str
    token_id: str
    ops_action_id: str | None
    rollback_action_id: str | None
    policy_id: str | None
    policy_version: int | None
    shift_share: int
    shift_due_at: datetime | None
    last_failure: str | None
    created_at: datetime
    expires_at: datetime


_COLUMNS = """p.id, p.mesh_region_id, p.currency, p.rail, p.min_amount, p.max_amount, p.proposal, p.status,
           p.from_bank_id, p.to_bank_id, p.kind, p.confidence, p.p_down, p.simulation_results,
           p.simulated_at, p.created_by, p.reviewed_by, p.reviewed_at, p.applied_at, p.rolled_back_at,
           p.rollback_reason, p.rejected_reason, p.sira_signature, p.token_id, p.ops_action_id,
           p.rollback_action_id, p.policy_id, p.policy_version, p.shift_share, p.shift_due_at,
           p.last_failure, p.created_at, p.expires_at"""

FIND_PROPOSAL = Query(
    "/* routing.find_proposal */ select "
    + _COLUMNS
    + """
      from mesh.mesh_routing_proposals p
     where p.id = :id""",
    row=ProposalRow,
)

LIST_PROPOSALS = Query(
    "/* routing.list_proposals */ select "
    + _COLUMNS
    + """
      from mesh.mesh_routing_proposals p
     where (:region::text is null or p.mesh_region_id = :region::text)
       and (:status::text is null or p.status = :status::text)
       and (p.created_at, p.id) < (:at::timestamptz, :id::text)
     order by p.created_at desc, p.id desc
     limit :limit""",
    row=ProposalRow,
)

INSERT_PROPOSAL = Query(
    "/* routing.insert_proposal */ insert into mesh.mesh_routing_proposals as p"
    """ (id, mesh_region_id, currency, rail, min_amount, max_amount, proposal, from_bank_id,
            to_bank_id, kind, confidence, p_down, created_by, sira_signature, token_id, policy_id,
            policy_version, created_at, expires_at)
    values (:id, :mesh_region_id, :currency, :rail, :min_amount, :max_amount, :proposal::jsonb, :from_bank_id,
            :to_bank_id, :kind, :confidence::text::numeric, :p_down::float8, :created_by, :sira_signature,
            :token_id, :policy_id, :policy_version, :created_at::timestamptz, :expires_at::timestamptz)
    returning """ + _COLUMNS,
    row=ProposalRow,
)

# Another simulation of the same proposal replaces the former: the payouts are others now.
SET_SIMULATION = Query(
    """
    /* routing.set_simulation */
    update mesh.mesh_routing_proposals
       set status = 'simulated', simulation_results = :results::jsonb, simulated_at = now()
     where id = :id and status in ('proposed', 'simulated')
    """,
    row=Nothing,
)

TELL_PAGES = Query(
    """
    /* routing.tell_pages */
    select pg_notify('mesh', '')
    """,
    row=Nothing,
)
