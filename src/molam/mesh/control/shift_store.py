"""The statements about gradual shifts: those that were halted, and the lots of their steps."""

from __future__ import annotations

from dataclasses import dataclass

from molam.mesh.routing.scope_store import FROM_PAYOUTS, IN_SCOPE
from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class ShiftRow:
    """A shift that was halted, with the evidence of its last step."""

    share: int
    result: str
    outcomes: int
    failures: int
    why: str | None
    seconds_left: int
    """For so long its signature holds; below zero: no more."""


@dataclass(frozen=True, slots=True)
class HaltedRow:
    currency: str
    number: int


FIND_HALTED = Query(
    """
    /* control.find_halted */
    select p.shift_share::int as share, s.result, coalesce(s.outcomes, 0) as outcomes,
           coalesce(s.failures, 0) as failures, p.last_failure as why,
           floor(extract(epoch from p.expires_at - now()))::int as seconds_left
      from mesh.mesh_routing_proposals as p
      join mesh.shift_steps as s on s.proposal_id = p.id and s.share = p.shift_share
     where p.id = :id and p.status = 'applied' and p.shift_due_at is null
       and p.shift_share between 1 and 99 and s.ended_at is not null
    """,
    row=ShiftRow,
)

RESUME = Query(
    """
    /* control.resume_shift */
    update mesh.mesh_routing_proposals
       set shift_due_at = now() + make_interval(mins => :step_minutes), last_failure = null
     where id = :id and status = 'applied' and shift_due_at is null and shift_share = :share::int
       and shift_share between 1 and 99 and expires_at > now()
    """,
    row=Nothing,
)

BEGIN_AGAIN = Query(
    """
    /* control.begin_step_again */
    update mesh.shift_steps
       set began_at = now(), ended_at = null, result = null, outcomes = null, failures = null,
           log_ratio = null
     where proposal_id = :id and share = :share::int
    """,
    row=Nothing,
)

# Those of the last day that nobody has decided about since.
COUNT_HALTED = Query(
    """
    /* control.count_halted */
    select p.currency, count(*)::int as number
      from mesh.mesh_routing_proposals as p
     where p.status = 'applied' and p.shift_due_at is null and p.shift_share between 1 and 99
       and p.applied_at > now() - interval '24 hours'
     group by p.currency
     order by p.currency
    """,
    row=HaltedRow,
)

# A step of a gradual shift leaves to lots, drawn by ids, who goes and who stays: how likely
# each had become to be where it is. The last step leaves nothing to them.
NOTE_LOTS = Query(
    "/* control.note_lots */"
    """
    insert into payments.bank_choices as k (payout_id, bank_profile_id, propensity)
    select p.id, p.bank_profile_id,
           case when :share::int = 100 then 1 when g.is_gone then :share::int / 100.0
                else 1 - :share::int / 100.0 end"""
    + FROM_PAYOUTS
    + """
     cross join lateral (
           select exists (select from mesh.mesh_reconciliations as r
                           where r.routing_proposal_id = :proposal_id and r.payout_id = p.id
                             and r.rerouted_bank_profile_id = p.bank_profile_id) as is_gone) as g"""
    + IN_SCOPE
    + """
       and p.attempts = 0 and (:each_max::bigint is null or p.amount <= :each_max::bigint)
       and (g.is_gone or (p.bank_profile_id = :left_bank and :share::int < 100
                          and abs(hashtextextended(p.id, 0) % 100) >= :share::int))
        on conflict (payout_id) do update
       set bank_profile_id = excluded.bank_profile_id, propensity = excluded.propensity, chosen_at = now()
    """,
    row=Nothing,
)
