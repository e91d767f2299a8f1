"""What is sent to banks and what they answer, and which answers change an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Tx

REFERENCE_LENGTH_MAX = 35
KEY_LENGTH_MAX = 64
REASON_LENGTH_MAX = 300

_Name = Annotated[str, Meta(min_length=1, max_length=140)]
_Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]

# Note [An unknown is no failure]
#
# A request whose answer was lost may have been carried out. It is therefore never
# called failed and never sent again on suspicion: the bank is asked under the same key,
# and only when it says that it never saw that key is the same key sent again, to the
# same bank. Banks that know keys carry one out once. Orange Money knows no keys, but it
# refuses an order_id that it has seen.


class BankAccount(msgspec.Struct, frozen=True, tag="bank_account", forbid_unknown_fields=True):
    """An account at a bank: an IBAN, or a number with the bank's BIC."""

    holder: _Name
    country: _Country
    iban: Annotated[str, Meta(pattern=r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{8,30}\Z")] | None = None
    account_number: Annotated[str, Meta(pattern=r"^[A-Za-z0-9 -]{4,34}\Z")] | None = None
    bic: Annotated[str, Meta(pattern=r"^[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?\Z")] | None = None


class Wallet(msgspec.Struct, frozen=True, tag="wallet", forbid_unknown_fields=True):
    """A mobile-money wallet, by its telephone number."""

    provider: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{1,31}\Z")]
    phone: Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{6,14}\Z")]
    holder: _Name


Destination = BankAccount | Wallet


@dataclass(frozen=True, slots=True)
class Instruction:
    """An order to pay somebody. *key* is the same for every attempt at it, for ever."""

    key: str
    purpose: Literal["payout", "refund"]
    merchant_id: str
    object_id: str
    amount: int
    currency: str
    destination: Destination
    reference: str
    """What the beneficiary reads, at most `REFERENCE_LENGTH_MAX` characters."""
    bank_profile_id: str

    def __post_init__(self) -> None:
        assert type(self.amount) is int
        assert self.amount > 0
        assert 0 < len(self.key) <= KEY_LENGTH_MAX
        assert 0 < len(self.reference) <= REFERENCE_LENGTH_MAX


OutcomeState = Literal["accepted", "settled", "rejected", "unknown", "needs_details", "returned"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of an instruction now. Late, repeated and reordered ones are normal."""

    state: OutcomeState
    provider_ref: str | None
    code: str | None
    reason: str | None
    at: Instant


class Owner(Protocol):
    """Whose money an instruction moves: refunds and payouts each have one."""

    @property
    def kind(self) -> str:
        """``refund`` or ``payout``: the `kind` of `commands.enqueue_send`."""
        ...

    async def claim(self, tx: Tx, object_id: str) -> Instruction | None:
        """Lock the object and mark it as on its way; None when it must not be sent (any more)."""
        ...

    async def settle(self, tx: Tx, object_id: str, outcome: Outcome) -> None:
        """Do what *outcome* means. Repeating it, or telling it too late, changes nothing."""
        ...


class State(Enum):
    """Where one attempt stands."""

    SENDING = "sending"
    ACCEPTED = "accepted"
    SETTLED = "settled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    RETURNED = "returned"


# The same pairs are what the trigger on payments.bank_attempts lets pass.
MOVES: Mapping[State, frozenset[State]] = {
    State.SENDING: frozenset(
        {State.ACCEPTED, State.SETTLED, State.REJECTED, State.UNKNOWN, State.RETURNED}
    ),
    State.UNKNOWN: frozenset(
        {State.SENDING, State.ACCEPTED, State.SETTLED, State.REJECTED, State.RETURNED}
    ),
    State.ACCEPTED: frozenset({State.SETTLED, State.REJECTED, State.RETURNED}),
    State.SETTLED: frozenset({State.RETURNED}),
    State.REJECTED: frozenset(),
    State.RETURNED: frozenset(),
}
assert MOVES.keys() == set(State)

LIVE = frozenset({State.SENDING, State.ACCEPTED, State.UNKNOWN})
"""While one of these stands, no other attempt at the same object may begin."""

_STATE_OF: Mapping[OutcomeState, State] = {
    "accepted": State.ACCEPTED,
    "settled": State.SETTLED,
    "rejected": State.REJECTED,
    "unknown": State.UNKNOWN,
    "needs_details": State.REJECTED,
    "returned": State.RETURNED,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What hearing an outcome does to an attempt."""

    state: State
    changes: bool
    contradicts: bool
    """The bank now says what cannot follow from what it said before; a person must look."""


def hear(before: State, outcome: Outcome) -> Verdict:
    """Decide what *outcome* makes of an attempt in state *before*."""
    told = _STATE_OF[outcome.state]
    if told in MOVES[before]:
        return Verdict(told, changes=True, contradicts=False)
    # What only repeats, or tells an earlier chapter, is late; anything else is a lie
    # of some kind, and one of them is worth an alarm: money left after a rejection.
    late = told is before or told in {State.ACCEPTED, State.UNKNOWN, State.SENDING}
    late = late or (before is State.RETURNED and told is State.SETTLED)
    return Verdict(before, changes=False, contradicts=not late)


@dataclass(frozen=True, slots=True)
class Order:
    """An attempt as connectors see it."""

    outward_key: str
    wire_key: str
    amount: int
    currency: str
    destination: Destination
    reference: str
    provider_ref: str | None = None
    tokens: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """
    What a connector understood of an answer.

    *amount* is what the bank says it moves; None where its wire does not say.
    """

    state: OutcomeState
    provider_ref: str | None = None
    code: str | None = None
    reason: str | None = None
    amount: int | None = None
    currency: str | None = None
    tokens: Mapping[str, str] = field(default_factory=dict)

    def about(self, amount: int, currency: str, *, at: Instant) -> Outcome:
        """Believe the report if it is about the very money that was sent."""
        wrong = self.amount is not None and (self.amount, self.currency or currency) != (
            amount,
            currency,
        )
        if wrong and self.state in {"accepted", "settled", "returned"}:
            said = f"It says {self.amount} {self.currency or currency}."
            return Outcome("unknown", self.provider_ref, AMOUNT_DIFFERS, said, at)
        return Outcome(self.state, self.provider_ref, self.code, self.reason, at)


AMOUNT_DIFFERS = "amount-differs"


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """
    A wish to have an order's money back. *key* is the same each time the bank is told.

    *code* is one of ISO 20022's cancellation reasons, as camt.056 carries them.
    """

    key: str
    code: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RecallAnswer:
    """
    What a bank answered to a wish to have money back, as camt.029 would.

    ``accepted`` is a promise and no money: that comes, if it does, as a return.
    """

    state: Literal["accepted", "rejected", "pending"]
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CallbackKey:
    """What is known of a callback before it is read: its name, and whether to believe it."""

    dedupe_key: str
    is_signed: bool


@dataclass(frozen=True, slots=True)
class CallbackSaid:
    """A callback, read. Without a report it is a hint to ask."""

    wire_key: str
    provider_ref: str | None
    notif_token: str | None
    report: Report | None


class SurprisingAnswer(Exception):
    """A bank said what its interface does not have. Whatever it meant is unknown."""


class BankAbsent(Refusal):
    code = "bank-absent"
    kind = Kind.ABSENT
    title = "There is no such bank"


class NoRoute(Refusal):
    code = "no-bank-route"
    kind = Kind.BROKEN_RULE
    title = "No bank or wallet can carry this payment"


class CallbackRefused(Refusal):
    code = "callback-refused"
    kind = Kind.UNAUTHENTICATED
    title = "This callback cannot be believed"
