"""What is said no to when somebody asks for a refund."""

from __future__ import annotations

from molam.kernel.refusals import Kind, Refusal


class RefundAbsent(Refusal):
    code = "refund-absent"
    kind = Kind.ABSENT
    title = "No such refund"


class PaymentNotRefundable(Refusal):
    code = "payment-not-refundable"
    kind = Kind.BROKEN_RULE
    title = "This payment cannot be refunded"


class PaymentDisputed(Refusal):
    code = "payment-disputed"
    kind = Kind.CONFLICT
    title = "The customer disputes this payment"


class RefundExceedsPayment(Refusal):
    code = "refund-exceeds-payment"
    kind = Kind.BROKEN_RULE
    title = "That is more than is left of the payment"


class RefundCurrencyDiffers(Refusal):
    code = "refund-currency-differs"
    kind = Kind.BROKEN_RULE
    title = "A refund is in the currency of its payment"


class RefundableChanged(Refusal):
    code = "refundable-changed"
    kind = Kind.CONFLICT
    title = "Another amount can be refunded by now"


class BalanceInsufficient(Refusal):
    code = "balance-insufficient"
    kind = Kind.BROKEN_RULE
    title = "The balance does not cover this"


class RefundLimitReached(Refusal):
    code = "refund-limit-reached"
    kind = Kind.BROKEN_RULE
    title = "A limit on refunds is reached"


class RefundWindowClosed(Refusal):
    code = "refund-window-closed"
    kind = Kind.BROKEN_RULE
    title = "The payment is too old to be refunded"


class ClientReferenceUsed(Refusal):
    code = "client-reference-used"
    kind = Kind.CONFLICT
    title = "This reference belongs to another refund"


class RefundNotInState(Refusal):
    code = "refund-not-in-state"
    kind = Kind.CONFLICT
    title = "The refund is past that"


class RefundReasonRefused(Refusal):
    code = "refund-reason-refused"
    kind = Kind.MALFORMED
    title = "Say why in one readable line"


ON_CREATION: tuple[type[Refusal], ...] = (
    PaymentNotRefundable,
    PaymentDisputed,
    RefundExceedsPayment,
    RefundCurrencyDiffers,
    RefundableChanged,
    BalanceInsufficient,
    RefundLimitReached,
    RefundWindowClosed,
    ClientReferenceUsed,
    RefundReasonRefused,
)
"""What `asking.ask` may refuse, beside what approvals and tenancy do."""
