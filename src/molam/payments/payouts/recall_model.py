"""What asking a bank to give a payout back can come to, and why it may not be asked."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from molam.kernel.refusals import Kind, Refusal

RECALLS_MAX = 1000

# Note [A promise is no money]
#
# A recall is camt.056 and its answer camt.029, whatever a bank calls them. The answer
# books nothing: a bank that agrees has still to find the money, and a beneficiary may have
# spent it. What is booked is a return (pacs.004, or what the bank's own words are for it),
# which reaches the payout by the way every outcome takes, and therefore once; money may
# come back although the bank refused. Until then the payout is paid, and says so.

# Those of ISO 20022 that we have a use for; banks know the others as well.
ReasonCode = Literal["DUPL", "TECH", "FRAD", "CUST", "AC03", "AM09", "AGNT"]


class State(StrEnum):
    """Where one request stands. Values are stored, so they are never renamed."""

    REQUESTED = "requested"
    UNKNOWN = "unknown"
    """The bank was told and has not answered, or its answer was lost."""
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RETURNED = "returned"
    MOOT = "moot"
    """The payout failed: there is nothing to give back."""


OPEN = (State.REQUESTED, State.UNKNOWN, State.PENDING, State.ACCEPTED)

# The same pairs are rows of payments.recall_moves.
MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.REQUESTED: frozenset({State.UNKNOWN, State.RETURNED, State.MOOT}),
        State.UNKNOWN: frozenset(
            {State.PENDING, State.ACCEPTED, State.REJECTED, State.RETURNED, State.MOOT}
        ),
        State.PENDING: frozenset({State.ACCEPTED, State.REJECTED, State.RETURNED, State.MOOT}),
        State.ACCEPTED: frozenset({State.RETURNED, State.MOOT}),
        State.REJECTED: frozenset({State.RETURNED}),
        State.RETURNED: frozenset(),
        State.MOOT: frozenset(),
    }
)
assert MOVES.keys() == set(State)

WhyNot = Literal["absent", "waiting", "ended", "in_doubt", "asked", "no_interface"]


class Unasked(msgspec.Struct, frozen=True):
    """A payout whose bank is not asked, and why: a word, which pages put into sentences."""

    payout_id: str
    why: WhyNot


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Which payouts are to come back, why, and by whose decision."""

    payout_ids: tuple[str, ...]
    reason_code: ReasonCode
    reason: str | None
    action_id: str
    proposal_id: str | None
    by: str


Ids = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=255)], ...],
    Meta(min_length=1, max_length=RECALLS_MAX),
]


class NothingToRecall(Refusal):
    code = "nothing-to-recall"
    kind = Kind.CONFLICT
    title = "None of these payouts can be recalled"
