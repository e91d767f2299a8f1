"""What was done and what came of it, as lists of the control room show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.mesh.room.overview_store import ACTIONS, LatestActionRow
from molam.platform.db import Query

LIST_ACTIONS = Query(
    "/* mesh.list_actions_shown */"
    + ACTIONS
    + """
     where (:region::text is null or a.mesh_region_id = :region)
       and (:type::text is null or a.action_type = :type)
       and (a.created_at, a.id) < (:at::timestamptz, :id::text)
     order by a.created_at desc, a.id desc
     limit :limit
    """,
    row=LatestActionRow,
)


@dataclass(frozen=True, slots=True)
class ActionRow:
    id: str
    action_type: str
    region_name: str | None
    proposal_id: str | None
    actor_type: str
    actor_id: str
    actor_name: str | None
    affected_count: int
    affected_value: int
    currency: str | None
    from_bank: str | None
    to_bank: str | None
    result: str
    duration_ms: int | None
    created_at: datetime
    payload: dict[str, Any]
    affected_payouts: list[str]
    error_details: str | None
    timings: dict[str, Any]
    started_at: datetime
    completed_at: datetime | None
    idempotency_key: str
    reconciling: int
    reconciled: int


FIND_ACTION = Query(
    """
    /* mesh.find_action_shown */
    select a.id, a.action_type, r.name as region_name, a.routing_proposal_id as proposal_id,
           a.actor_type, a.actor_id, n.name as actor_name, a.affected_count, a.affected_value,
           p.currency, f.name as from_bank, t.name as to_bank, a.result, a.duration_ms, a.created_at,
           a.payload, a.affected_payouts[1:100] as affected_payouts, a.error_details, a.timings,
           a.started_at, a.completed_at, a.idempotency_key,
           coalesce(c.pending, 0)::int as reconciling, coalesce(c.done, 0)::int as reconciled
      from mesh.mesh_action_logs as a
      left join mesh.mesh_regions as r on r.id = a.mesh_region_id
      left join mesh.mesh_routing_proposals as p on p.id = a.routing_proposal_id
      left join payments.bank_profiles as f on f.id = p.from_bank_id
      left join payments.bank_profiles as t on t.id = p.to_bank_id
      left join tenancy.people as n on n.id = a.actor_id
      left join lateral (
          select count(*) filter (where reconciliation_status = 'pending') as pending,
                 count(*) filter (where reconciliation_status <> 'pending') as done
            from mesh.mesh_reconciliations
           where routing_proposal_id = a.routing_proposal_id and action_log_id = a.id) as c on true
     where a.id = :id
    """,
    row=ActionRow,
)


@dataclass(frozen=True, slots=True)
class ReconciliationRow:
    """A payout that was led elsewhere, and what came of it beside what was expected."""

    id: str
    payout_id: str
    merchant_id: str
    merchant_name: str
    from_bank: str | None
    to_bank: str | None
    proposal_id: str | None
    action_id: str
    amount: int
    currency: str
    rerouted_amount: int | None
    rerouted_currency: str | None
    cost_delta: int | None
    estimated_delta: int | None
    promised_settlement: datetime | None
    actual_settlement: datetime | None
    settlement_delta_seconds: int | None
    status: str
    outcome: str | None
    is_overdue: bool
    created_at: datetime
    reconciled_at: datetime | None


# 'overdue' is what still waits although it was promised for before now.
LIST_RECONCILIATIONS = Query(
    """
    /* mesh.list_reconciliations_shown */
    select c.id, c.payout_id, c.merchant_id, coalesce(m.name, c.merchant_id) as merchant_name,
           f.name as from_bank, t.name as to_bank, c.routing_proposal_id as proposal_id, c.action_log_id as action_id,
           c.original_amount as amount, c.original_currency as currency, c.rerouted_amount,
           c.rerouted_currency, c.cost_delta,
           c.rerouted_estimated_cost - c.original_estimated_cost as estimated_delta,
           c.promised_settlement, c.actual_settlement, c.settlement_delta_seconds,
           c.reconciliation_status as status, c.outcome,
           c.reconciliation_status = 'pending' and coalesce(c.promised_settlement < now(), false) as is_overdue,
           c.created_at, c.reconciled_at
      from mesh.mesh_reconciliations as c
      left join tenancy.merchants as m on m.id = c.merchant_id
      left join payments.bank_profiles as f on f.id = c.original_bank_profile_id
      left join payments.bank_profiles as t on t.id = c.rerouted_bank_profile_id
     where case :show::text
               when 'overdue' then c.reconciliation_status = 'pending' and c.promised_settlement < now()
               when 'all' then true
               else c.reconciliation_status = :show end
       and (:proposal::text is null or c.routing_proposal_id = :proposal)
       and (:payout::text is null or c.payout_id = :payout)
       and (c.created_at, c.id) < (:at::timestamptz, :id::text)
     order by c.created_at desc, c.id desc
     limit :limit
    """,
    row=ReconciliationRow,
)


@dataclass(frozen=True, slots=True)
class CountsRow:
    pending: int
    overdue: int
    unmatched: int
    disputed: int


COUNT_RECONCILIATIONS = Query(
    """
    /* mesh.count_reconciliations */
    select count(*) filter (where reconciliation_status = 'pending')::int as pending,
           count(*) filter (where reconciliation_status = 'pending' and promised_settlement < now())::int as overdue,
           count(*) filter (where reconciliation_status = 'unmatched')::int as unmatched,
           count(*) filter (where reconciliation_status = 'disputed')::int as disputed
      from mesh.mesh_reconciliations
     where reconciliation_status in ('pending', 'unmatched', 'disputed')
    """,
    row=CountsRow,
)
