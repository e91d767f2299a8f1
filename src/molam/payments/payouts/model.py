"""What a payout is, and which step follows from what its bank says: decided without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from molam.kernel.refusals import Kind, Refusal
from molam.payments.banks.model import OutcomeState


class State(StrEnum):
    """Where a payout stands. Values are stored, so they are never renamed."""

    SCHEDULED = "scheduled"
    HELD = "held"
    PENDING = "pending"
    IN_TRANSIT = "in_transit"
    PAID = "paid"
    RETURNED = "returned"
    FAILED = "failed"
    CANCELLED = "cancelled"


# The same pairs are rows of payments.payout_moves, which the timeline references.
MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.SCHEDULED: frozenset({State.HELD, State.PENDING, State.CANCELLED}),
        State.HELD: frozenset({State.SCHEDULED, State.PENDING, State.CANCELLED, State.PAID}),
        State.PENDING: frozenset({State.HELD, State.IN_TRANSIT, State.CANCELLED, State.PAID}),
        State.IN_TRANSIT: frozenset({State.PAID, State.FAILED, State.RETURNED}),
        State.PAID: frozenset({State.RETURNED}),
        State.FAILED: frozenset({State.PENDING, State.PAID}),
        State.RETURNED: frozenset(),
        State.CANCELLED: frozenset(),
    }
)
assert MOVES.keys() == set(State)

WAITING = (State.SCHEDULED, State.HELD, State.PENDING)
"""Not sent yet: may still be cancelled, or go to another bank."""
UPCOMING = (*WAITING, State.IN_TRANSIT)
ENDED = (State.PAID, State.RETURNED, State.FAILED, State.CANCELLED)

# What other systems read in events; the specification's consumers know these six words.
TOLD: Mapping[State, str] = MappingProxyType(
    {
        State.SCHEDULED: "pending",
        State.HELD: "pending",
        State.PENDING: "pending",
        State.IN_TRANSIT: "in_transit",
        State.PAID: "paid",
        State.RETURNED: "returned",
        State.FAILED: "failed",
        State.CANCELLED: "cancelled",
    }
)
assert TOLD.keys() == set(State)

Money = Literal["stays", "pays", "releases", "returns", "pays_late", "returns_late"]


@dataclass(frozen=True, slots=True)
class Step:
    """What an outcome does to a payout: its next state, what its money does, and why."""

    state: State
    money: Money
    what: str


_NOTHING: Mapping[State, Step] = MappingProxyType(
    {state: Step(state, "stays", "repeated") for state in State}
)

# Note [Late truth]
#
# A bank may say "paid" after it said "refused", or take back what it paid weeks ago. The
# truth is accepted whenever it comes. What a payout owned may belong to another payout
# by then; so money that left after all is taken from the balance by an entry of its
# own, which the next payout pays less for. Nothing is ever taken twice, and no entry
# belongs to two payouts.

_STEPS: Mapping[tuple[State, OutcomeState], Step] = MappingProxyType(
    {
        (State.IN_TRANSIT, "accepted"): Step(State.IN_TRANSIT, "stays", "accepted"),
        (State.IN_TRANSIT, "unknown"): Step(State.IN_TRANSIT, "stays", "in_doubt"),
        (State.IN_TRANSIT, "settled"): Step(State.PAID, "pays", "paid"),
        (State.IN_TRANSIT, "rejected"): Step(State.FAILED, "releases", "refused"),
        (State.IN_TRANSIT, "needs_details"): Step(State.FAILED, "releases", "details_wrong"),
        (State.IN_TRANSIT, "returned"): Step(State.RETURNED, "releases", "returned"),
        (State.PAID, "returned"): Step(State.RETURNED, "returns", "returned"),
        (State.PAID, "rejected"): Step(State.RETURNED, "returns", "refused_late"),
        # Approved to be sent once more, and then the first sending turned out to have worked.
        (State.PENDING, "settled"): Step(State.PAID, "pays", "paid_late"),
        (State.HELD, "settled"): Step(State.PAID, "pays", "paid_late"),
        (State.FAILED, "settled"): Step(State.PAID, "pays_late", "paid_late"),
    }
)
assert all(s.state is state or s.state in MOVES[state] for (state, _), s in _STEPS.items())


def hear(state: State, told: OutcomeState, *, owns_entries: bool, was_sent: bool) -> Step:
    """
    Decide what it means that the bank says *told* of a payout in *state*.

    What only repeats something, or comes too late to matter, moves nothing.
    """
    if not was_sent:
        return _NOTHING[state]
    step = _STEPS.get((state, told), _NOTHING[state])
    if step.money == "returns" and not owns_entries:
        return Step(step.state, "returns_late", step.what)
    return step


# What a payout is made of, as merchants read it. Other causes are adjustments.
def part_of(cause: str) -> Literal["gross", "fees", "refunds", "disputes", "adjustments"]:
    """Name the line of a payout's composition that an entry of *cause* belongs to."""
    if cause == "payment":
        return "gross"
    if cause.endswith("_fee") and not cause.startswith("dispute"):
        return "fees"
    if cause.startswith("refund"):
        return "refunds"
    if cause.startswith("dispute"):
        return "disputes"
    return "adjustments"


# Reasons of banks that will not change until the merchant names another account.
ACCOUNT_CODES = frozenset(
    {"AC01", "AC02", "AC03", "AC04", "AC06", "AG01", "BE01", "BE04", "BE05", "BE06", "RC01"}
    | {"account_closed", "account_unknown", "account_blocked", "holder_mismatch"}
    | {"recipient-not-found", "recipient-account-blocked", "invalid_account", "needs_details"}
)


class PayoutAbsent(Refusal):
    code = "payout-absent"
    kind = Kind.ABSENT
    title = "No such payout"


class PayoutNotInState(Refusal):
    code = "payout-not-in-state"
    kind = Kind.CONFLICT
    title = "The payout's state does not allow this"


class NothingToPay(Refusal):
    code = "nothing-to-pay"
    kind = Kind.BROKEN_RULE
    title = "There is nothing to pay out"


class PayoutAmountChanged(Refusal):
    code = "payout-amount-changed"
    kind = Kind.CONFLICT
    title = "Less can be paid out than you were shown"


class NoDestination(Refusal):
    code = "no-payout-destination"
    kind = Kind.BROKEN_RULE
    title = "Nobody has said where to pay"


class ScheduleMissing(Refusal):
    code = "missing-schedule"
    kind = Kind.MALFORMED
    title = "Say how often"


class ScheduleInvalid(Refusal):
    code = "invalid-payout-schedule"
    kind = Kind.MALFORMED
    title = "This is not a payout schedule"


class DestinationRefused(Refusal):
    code = "payout-destination-refused"
    kind = Kind.BROKEN_RULE
    title = "Payouts cannot go there"


class HoldAbsent(Refusal):
    code = "hold-absent"
    kind = Kind.ABSENT
    title = "Nothing is held under this id"


class EntriesTaken(Refusal):
    code = "payout-entries-taken"
    kind = Kind.CONFLICT
    title = "Another payout pays this money"


class PayoutsNotPaused(Refusal):
    code = "payouts-not-paused"
    kind = Kind.CONFLICT
    title = "The merchant's payouts are not paused"
