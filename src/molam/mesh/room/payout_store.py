"""Payouts as the control room lists them: those that wait, and those that banks have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class PayoutRow:
    id: str
    merchant_id: str
    merchant_name: str
    amount: int
    currency: str
    rail: str
    bank_profile_id: str | None
    bank_name: str | None
    state: str
    scheduled_for: datetime
    recall: str | None
    """Where the newest request to give it back stands."""


# What waits was never handed to a bank; what is sent was. Of a proposal: those it moved.
LIST_PAYOUTS = Query(
    """
    /* mesh.list_payouts_shown */
    select p.id, p.merchant_id, m.name as merchant_name, p.amount, p.currency,
           mesh.rail_of(p.destination) as rail, p.bank_profile_id, b.name as bank_name, p.state, p.scheduled_for,
           (select r.state from payments.recalls as r
             where r.payout_id = p.id order by r.requested_at desc limit 1) as recall
      from payments.payouts as p
      join tenancy.merchants as m on m.id = p.merchant_id
      left join payments.bank_profiles as b on b.id = p.bank_profile_id
     where p.origin = 'molam'
       and case :show::text
               when 'waiting' then p.state in ('scheduled', 'held', 'pending') and p.attempts = 0
               else p.state in ('in_transit', 'paid') and p.attempts > 0 end
       and (:bank::text is null or p.bank_profile_id = :bank::text)
       and (:currency::text is null or p.currency = :currency::text)
       and (:proposal::text is null or exists (select from mesh.mesh_reconciliations as c
                                                where c.routing_proposal_id = :proposal::text
                                                  and c.merchant_id = p.merchant_id and c.payout_id = p.id))
       and (p.scheduled_for, p.id) < (:at::timestamptz, :id::text)
     order by p.scheduled_for desc, p.id desc
     limit :limit
    """,
    row=PayoutRow,
)


@dataclass(frozen=True, slots=True)
class AskRow:
    """A recall that somebody has asked for and others have not agreed to yet."""

    id: str
    payouts: int
    reason_code: str
    reason: str
    created_at: datetime


LIST_ASKS = Query(
    """
    /* mesh.list_recall_asks */
    select a.id::text as id, jsonb_array_length(a.params -> 'payout_ids') as payouts,
           a.params ->> 'reason_code' as reason_code, a.params ->> 'reason' as reason, a.created_at
      from approvals.ops_actions as a
     where a.action_type = 'RECALL_PAYOUTS' and a.state in ('pending', 'blocked')
     order by a.created_at desc
     limit :limit
    """,
    row=AskRow,
)
