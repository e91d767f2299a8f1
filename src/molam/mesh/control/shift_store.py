"""The statements about gradual shifts that were halted."""

from __future__ import annotations

from dataclasses import dataclass

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
