"""Which refunds are possible, which need approval, and what may become of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.money import Money
from molam.kernel.refusals import Refusal
from molam.payments.refunds.refusals import (
    BalanceInsufficient,
    PaymentDisputed,
    PaymentNotRefundable,
    RefundableChanged,
    RefundCurrencyDiffers,
    RefundExceedsPayment,
    RefundLimitReached,
    RefundReasonRefused,
    RefundWindowClosed,
)
from molam.payments.refunds.terms import Terms

REASON_LENGTH_MAX = 500
WINDOW = timedelta(hours=24)
"""Over which refunds of one payment, and of one person, count together."""


class State(Enum):
    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    SUBMITTED = "submitted"
    NEEDS_DETAILS = "needs_details"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REVERSED = "reversed"


# The same pairs are rows of payments.refund_moves, which a trigger and the timeline
# refer to, so a move that is missing here cannot be written by hand either.
MOVES: Mapping[State, frozenset[State]] = {
    State.AWAITING_APPROVAL: frozenset(
        {State.QUEUED, State.REJECTED, State.EXPIRED, State.CANCELLED, State.FAILED}
    ),
    State.QUEUED: frozenset({State.SUBMITTED, State.NEEDS_DETAILS, State.FAILED}),
    State.SUBMITTED: frozenset({State.SUCCEEDED, State.FAILED, State.NEEDS_DETAILS, State.UNKNOWN}),
    State.NEEDS_DETAILS: frozenset({State.QUEUED, State.FAILED}),
    State.UNKNOWN: frozenset({State.SUBMITTED, State.SUCCEEDED, State.FAILED, State.NEEDS_DETAILS}),
    State.SUCCEEDED: frozenset({State.REVERSED}),
    State.FAILED: frozenset(),
    State.REJECTED: frozenset(),
    State.EXPIRED: frozenset(),
    State.CANCELLED: frozenset(),
    State.REVERSED: frozenset(),
}
assert MOVES.keys() == set(State)

COUNTED = frozenset(
    {
        State.AWAITING_APPROVAL,
        State.QUEUED,
        State.SUBMITTED,
        State.NEEDS_DETAILS,
        State.UNKNOWN,
        State.SUCCEEDED,
    }
)
"""These take from what can be refunded, from limits, and towards the threshold."""

RESERVING = COUNTED - {State.SUCCEEDED}
"""While in one of these, a refund's amount is set aside for the customer."""

RELEASING = frozenset({State.REJECTED, State.EXPIRED, State.CANCELLED, State.FAILED})
"""Reaching one of these gives what was set aside back, once."""

STATUS: Mapping[State, str] = {
    State.AWAITING_APPROVAL: "pending",
    State.QUEUED: "processing",
    State.SUBMITTED: "processing",
    State.NEEDS_DETAILS: "processing",
    State.UNKNOWN: "processing",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.REVERSED: "failed",
    State.REJECTED: "cancelled",
    State.EXPIRED: "cancelled",
    State.CANCELLED: "cancelled",
}
assert STATUS.keys() == set(State)


@dataclass(frozen=True, slots=True)
class Window:
    """How long an operator takes a payment back, and whether it can be sent anew later."""

    days: int
    is_refused_later: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that decides whether a refund is possible now. Amounts are minor units."""

    state: str
    amount: int
    currency: str
    fee: int
    imported: bool
    occurred_at: Instant
    window: Window | None
    ours: int
    """Of refunds asked for here that count."""
    reported: int
    """Of refunds that the wallet told us of, and that were not asked for here."""
    lost: int
    """Of disputes that the customer won."""
    open_dispute: str | None
    balance: int
    today: int
    this_month: int
    of_payment: int
    """Of this payment within `WINDOW`."""
    of_requester: int
    """By the same person within `WINDOW`, of any payment."""
    fee_given_back: int
    now: Instant

    @property
    def refundable(self) -> int:
        return max(0, self.amount - self.lost - self.ours - self.reported)

    @property
    def is_past_window(self) -> bool:
        window = self.window
        return window is not None and self.now - self.occurred_at > timedelta(days=window.days)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. *expected* is what the asker believes can be refunded."""

    amount: int
    currency: str
    expected: int | None = None


def objections(
    found: Situation, wish: Wish, terms: Terms, *, needs_balance: bool = True
) -> Iterator[Refusal]:
    """Say everything that stands against a refund, the most basic first."""
    yield from _of_payment(found)
    if wish.currency != found.currency:
        yield RefundCurrencyDiffers(f"The payment is in {found.currency}.", currency=found.currency)
        return
    yield from _of_amount(found, wish)
    if needs_balance and wish.amount > found.balance:
        yield BalanceInsufficient(
            f"{_text(found.balance, wish)} are free, and {_text(wish.amount, wish)} are needed.",
            available=found.balance,
            needed=wish.amount,
            currency=wish.currency,
        )
    yield from _of_limits(found, wish, terms)


def _of_payment(found: Situation) -> Iterator[Refusal]:
    if found.imported:
        yield PaymentNotRefundable("It was imported: its money never passed here.")
    elif found.state != "succeeded":
        yield PaymentNotRefundable(
            f"It is {found.state}, and only what succeeded is given back.", state=found.state
        )
    if found.open_dispute is not None:
        yield PaymentDisputed(
            "Answer or accept the dispute instead, or the customer is paid twice.",
            dispute_id=found.open_dispute[:255],
        )
    if found.window is not None and found.window.is_refused_later and found.is_past_window:
        yield RefundWindowClosed(
            f"The operator gives it back within {found.window.days} days.", days=found.window.days
        )


def _of_amount(found: Situation, wish: Wish) -> Iterator[Refusal]:
    if wish.expected is not None and wish.expected != found.refundable:
        yield RefundableChanged(
            f"{_text(found.refundable, wish)} can be refunded.", refundable=found.refundable
        )
    if wish.amount > found.refundable:
        yield RefundExceedsPayment(
            f"{_text(found.refundable, wish)} are left to refund of {_text(found.amount, wish)}.",
            refundable=found.refundable,
            captured=found.amount,
        )


def _of_limits(found: Situation, wish: Wish, terms: Terms) -> Iterator[Refusal]:
    limits = terms.limits(wish.currency)
    for name, limit, used in (
        ("day", limits.daily, found.today),
        ("month", limits.monthly, found.this_month),
    ):
        if limit is not None and used + wish.amount > limit:
            yield RefundLimitReached(
                f"Of {_text(limit, wish)} a {name}, {_text(used, wish)} are used.",
                per=name,
                limit=limit,
                used=used,
                left=max(0, limit - used),
            )


@dataclass(frozen=True, slots=True)
class Weight:
    """What a refund counts as against the threshold from which others must agree."""

    counted: int
    threshold: int

    @property
    def needs_approval(self) -> bool:
        return self.counted >= self.threshold


def weigh(found: Situation, amount: int, threshold: int) -> Weight:
    """
    Count a refund with those before it, so that splitting one does not go round the threshold.

    The sum over the window counts of one payment, and of one person, whichever is more.
    """
    return Weight(max(found.of_payment, found.of_requester) + amount, threshold)


def fee_returned(*, fee: int, captured: int, amount: int, before: int, given_back: int) -> int:
    """
    Return the part of a payment's fee that a refund gives back, rounded half to even.

    *before* is what earlier refunds gave back of the payment, *given_back* of its fee. The
    refund that completes the payment returns the rest, so that no unit is lost or made.
    """
    assert 0 <= given_back <= fee
    assert captured > 0
    rest = fee - given_back
    if before + amount >= captured:
        return min(rest, amount)
    quotient, remainder = divmod(fee * amount, captured)
    if remainder * 2 > captured or (remainder * 2 == captured and quotient % 2):
        quotient += 1
    return min(quotient, rest, amount)


def read_reason(text: str) -> str:
    """
    Read why: a code, or a sentence.

    Raises:
        RefundReasonRefused: blank, too long, or with characters that cannot be shown.
    """
    reason = " ".join(text.split())
    if not 1 <= len(reason) <= REASON_LENGTH_MAX or not reason.isprintable():
        raise RefundReasonRefused(f"Write 1 to {REASON_LENGTH_MAX} characters.", field="reason")
    return reason


def _text(minor: int, wish: Wish) -> str:
    return str(Money(minor, currency(wish.currency)))
