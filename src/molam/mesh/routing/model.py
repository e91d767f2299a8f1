"""What is asked of routing, what it proposes, and what a simulation found."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import msgspec

from molam.kernel.refusals import Kind, Refusal

ProposalKind = Literal["failover", "return", "reorder", "manual", "override", "practice"]
Status = Literal["proposed", "simulated", "approved", "rejected", "applied", "rolled_back"]
Role = Literal["primary", "secondary", "tertiary", "observer", "member"]

UNDECIDED = ("proposed", "simulated", "approved")
SIMULABLE = ("proposed", "simulated")
TTL_S = 3600
"""How long a proposal may wait to be applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    A route that somebody would like to have proposed.

    *from_bank_id* is whom payouts would leave; None: the bank that the route in force
    gives them now, if it is not the best. *first* are banks that must come first, in this
    order: how a return and an override say where to. *min_amount* and *max_amount* are
    minor units, both included.
    """

    mesh_region_id: str
    """An id or a name."""
    currency: str
    rail: str = "bank"
    min_amount: int = 0
    max_amount: int | None = None
    reason: str | None = None
    kind: ProposalKind = "manual"
    created_by: str = "sira"
    from_bank_id: str | None = None
    first: tuple[str, ...] = ()
    not_to: tuple[str, ...] = ()
    """Banks that have been left already, besides *from_bank_id*."""
    payouts: tuple[tuple[str, str], ...] = ()
    """Only these, each as it is in this version; none: all that are within the bounds."""


class MemberCount(msgspec.Struct, frozen=True):
    """How many payouts a bank holds, and what they are worth, before and after."""

    bank_profile_id: str | None
    """None: payouts that no bank has yet."""
    bank_name: str
    payouts_before: int
    value_before: int
    payouts_after: int
    value_after: int
    share_before: Decimal
    share_after: Decimal
    """Of the value that waits in the scope, in percent."""


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which share of the last weeks' payments was paid, and would have been by a proposal.

    Nobody can know: *low* to *high* hold it 19 times in 20. *samples* are how many payments
    of its own the estimate is worth; below 200 it is not *is_enough* to act on without people.
    """

    attempts: int
    samples: float
    paid_before: float | None
    paid_after: float | None
    """None: its banks have carried nothing like it."""
    low: float
    high: float
    is_enough: bool


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a proposal would do to the payouts that are waiting now. Nothing was moved.

    Amounts are minor units of *currency*. A violation is a payout that its first choice
    could not take, in the order in which they would be moved; the next bank is then tried.
    """

    affected_payouts: int
    affected_value: int
    currency: str
    estimated_cost_before: int
    estimated_cost_after: int
    estimated_cost_delta: int
    estimated_latency_delta_seconds: int
    """On average; less than 0 is faster."""
    fx_delta: int
    new_bank_profile_id: str | None
    new_bank_name: str | None
    confidence: Decimal
    members: tuple[MemberCount, ...]
    sla_breaches_before: int
    sla_breaches_after: int
    limit_violations: int
    cap_violations: int
    cover_violations: int
    cost_rule_violations: int
    without_route: int
    without_route_value: int
    """Payouts of the bank to be left for which the mesh says no route."""
    approval_threshold: int | None
    """In *currency*; None: there is no rate to say, and every payout counts as above it."""
    above_threshold: int
    above_threshold_value: int
    above_threshold_ids: tuple[str, ...]
    """The first of them."""
    concentration_before: Decimal
    concentration_after: Decimal
    """The largest share of waiting value at one bank, in percent."""
    worst_case_bank_profile_id: str | None
    """The bank that is given most: should it fail next, what follows would be stuck there."""
    worst_case_bank_name: str | None
    worst_case_payouts: int
    worst_case_value: int
    worst_case_without_next: int
    """Payouts for which the proposal then has no other bank."""
    logged: Logged | None = None
    """What it would have achieved lately; None in what an earlier release found."""


class NoRoute(Refusal):
    """The mesh says no route: nobody may carry these payouts, or nobody better."""

    code = "no-mesh-route"
    kind = Kind.BROKEN_RULE
    title = "The mesh says no route"


class ProposalAbsent(Refusal):
    code = "proposal-not-found"
    kind = Kind.ABSENT
    title = "There is no such proposal"


class ProposalNotInState(Refusal):
    code = "proposal-not-in-state"
    kind = Kind.CONFLICT
    title = "The proposal can no longer do this"


class ProposalExpired(Refusal):
    code = "proposal-expired"
    kind = Kind.CONFLICT
    title = "The proposal has expired"


class BoundsMalformed(Refusal):
    code = "amount-bounds-malformed"
    kind = Kind.MALFORMED
    title = "The range of amounts is empty"
