"""The statements about reconciliations: what became of each payout that was led elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class EndedRow:
    matched: int
    unmatched: int
    disputed: int
    resolved: int


@dataclass(frozen=True, slots=True)
class OverdueRow:
    told: int
    first_id: str | None
    overdue: int


@dataclass(frozen=True, slots=True)
class ReconciliationRow:
    id: str
    payout_id: str
    mesh_region_id: str | None
    original_bank_profile_id: str | None
    original_treasury_account_id: str | None
    rerouted_bank_profile_id: str | None
    rerouted_treasury_account_id: str | None
    routing_proposal_id: str | None
    action_log_id: str
    original_amount: int
    original_currency: str
    rerouted_amount: int | None
    rerouted_currency: str | None
    fx_rate: Decimal | None
    original_estimated_cost: int | None
    rerouted_estimated_cost: int | None
    actual_cost: int | None
    cost_delta: int | None
    original_estimated_settlement: datetime | None
    promised_settlement: datetime | None
    actual_settlement: datetime | None
    settlement_delta_seconds: int | None
    reconciliation_status: str
    outcome: str | None
    is_overdue: bool
    ledger_entry_ids: list[str]
    bank_statement_line_ids: list[str]
    metadata: dict[str, Any]
    created_at: datetime
    reconciled_at: datetime | None


# A payout that has been led on to a third bank is followed by that route's own row. The
# cost is the paying bank's tariff until its statement says what it took.
_END = """
    update mesh.mesh_reconciliations as r
       set reconciliation_status = d.status,
           outcome = d.outcome,
           reconciled_at = now(),
           actual_settlement = case when d.outcome = 'paid' then d.ended_at end,
           settlement_delta_seconds = case when d.outcome = 'paid'
               then extract(epoch from d.ended_at - r.original_estimated_settlement)::int end,
           actual_cost = case when d.outcome = 'paid' then r.rerouted_estimated_cost end,
           cost_delta = case when d.outcome = 'paid'
               then r.rerouted_estimated_cost - r.original_estimated_cost end,
           metadata = r.metadata || case when d.outcome = 'paid' then '{"cost_from": "tariff"}'::jsonb
                                         else '{}'::jsonb end,
           ledger_entry_ids = case when d.outcome in ('paid', 'returned')
               then array[payments.uuid_of('payout/' || r.payout_id || '/sent')::text]
               else r.ledger_entry_ids end
      from due as d
     where r.id = d.id
 returning r.reconciliation_status
"""

_COUNT = """
    select (count(*) filter (where reconciliation_status = 'matched'))::int as matched,
           (count(*) filter (where reconciliation_status = 'unmatched'))::int as unmatched,
           (count(*) filter (where reconciliation_status = 'disputed'))::int as disputed,
           (count(*) filter (where reconciliation_status = 'resolved'))::int as resolved
      from ended
"""

END_PENDING = Query(
    """
    /* control.end_pending */
    with due as materialized (
        select r.id, p.ended_at,
               case when p.state = 'paid' and p.bank_profile_id = r.rerouted_bank_profile_id then 'matched'
                    when p.state = 'failed' then 'unmatched'
                    when p.state = 'returned' then 'disputed'
                    else 'resolved' end as status,
               case when p.bank_profile_id is distinct from r.rerouted_bank_profile_id then 'moved_again'
                    else p.state end as outcome
          from mesh.mesh_reconciliations as r
          join payments.payouts as p on p.merchant_id = r.merchant_id and p.id = r.payout_id
         where r.reconciliation_status = 'pending'
           and (p.state in ('paid', 'failed', 'returned', 'cancelled')
                or p.bank_profile_id is distinct from r.rerouted_bank_profile_id)
         order by r.id
         limit :limit
           for update of r skip locked
    ),
    ended as ("""
    + _END
    + ")"
    + _COUNT,
    row=EndedRow,
    locks=Rank.PAYOUT,
)

# A bank may pay after it said that it would not.
END_LATE = Query(
    """
    /* control.end_late */
    with due as materialized (
        select r.id, p.ended_at, 'matched' as status, 'paid' as outcome
          from mesh.mesh_reconciliations as r
          join payments.payouts as p on p.merchant_id = r.merchant_id and p.id = r.payout_id
         where r.reconciliation_status in ('unmatched', 'disputed')
           and p.state = 'paid' and p.bank_profile_id = r.rerouted_bank_profile_id
         order by r.id
         limit :limit
           for update of r skip locked
    ),
    ended as ("""
    + _END
    + ")"
    + _COUNT,
    row=EndedRow,
    locks=Rank.PAYOUT,
)

# What a statement says of a payout: its line, and what the bank took for it.
ADD_LINES = Query(
    """
    /* control.add_lines */
    with found as materialized (
        select r.id, m.line_id::text as line_id, m.fee + greatest(-m.difference, 0) as taken
          from payments.statement_matches as m
          join mesh.mesh_reconciliations as r
            on r.payout_id = m.object_id and r.rerouted_bank_profile_id = m.bank_profile_id
         where m.kind = 'payout' and m.undone_at is null
           and m.matched_at > now() - make_interval(hours => :hours)
           and r.outcome in ('paid', 'returned')
           and m.line_id::text <> all(r.bank_statement_line_ids)
         order by r.id, m.line_id
         limit :limit
    ),
    summed as (
        select id, array_agg(line_id order by line_id) as lines, sum(taken)::bigint as taken
          from found
         group by id
    )
    update mesh.mesh_reconciliations as r
       set bank_statement_line_ids = r.bank_statement_line_ids || s.lines,
           actual_cost = case when s.taken > 0 then s.taken else r.actual_cost end,
           cost_delta = case when s.taken > 0 then s.taken - r.original_estimated_cost else r.cost_delta end,
           metadata = case when s.taken > 0 then r.metadata || '{"cost_from": "statement"}' else r.metadata end
      from summed as s
     where r.id = s.id
    """,
    row=Nothing,
)

TELL_OVERDUE = Query(
    """
    /* control.tell_overdue */
    with late as (
        update mesh.mesh_reconciliations
           set overdue_told_at = now()
         where id in (select id
                        from mesh.mesh_reconciliations
                       where reconciliation_status = 'pending' and promised_settlement < now()
                         and overdue_told_at is null
                       order by promised_settlement
                       limit :limit
                         for update skip locked)
     returning id
    )
    select count(*)::int as told, min(id) as first_id,
           (select count(*)::int
              from mesh.mesh_reconciliations
             where reconciliation_status = 'pending' and promised_settlement < now()) as overdue
      from late
    """,
    row=OverdueRow,
    locks=Rank.PAYOUT,
)

LIST_RECONCILIATIONS = Query(
    """
    /* control.list_reconciliations */
    select r.id, r.payout_id, r.mesh_region_id, r.original_bank_profile_id, r.original_treasury_account_id,
           r.rerouted_bank_profile_id, r.rerouted_treasury_account_id, r.routing_proposal_id,
           r.action_log_id, r.original_amount, r.original_currency, r.rerouted_amount, r.rerouted_currency,
           r.fx_rate, r.original_estimated_cost, r.rerouted_estimated_cost, r.actual_cost, r.cost_delta,
           r.original_estimated_settlement, r.promised_settlement, r.actual_settlement,
           r.settlement_delta_seconds, r.reconciliation_status, r.outcome,
           r.reconciliation_status = 'pending' and r.promised_settlement < now() as is_overdue,
           r.ledger_entry_ids, r.bank_statement_line_ids, r.metadata, r.created_at, r.reconciled_at
      from mesh.mesh_reconciliations as r
     where (:status::text is null or r.reconciliation_status = :status::text)
       and (:region::text is null or r.mesh_region_id = :region::text)
       and (:proposal_id::text is null or r.routing_proposal_id = :proposal_id::text)
       and (r.created_at, r.id) < (:at::timestamptz, :id::text)
     order by r.created_at desc, r.id desc
     limit :limit
    """,
    row=ReconciliationRow,
)
