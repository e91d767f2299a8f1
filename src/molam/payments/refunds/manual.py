"""Refunds that operations give for a merchant, once enough people agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal
from molam.ledger import commands as ledger
from molam.ledger import queries as balances
from molam.payments.queries import TransactionAbsent
from molam.payments.refunds import asking, model, moves, store
from molam.payments.refunds.asking import NewRefund
from molam.payments.refunds.model import Situation, State, Wish
from molam.payments.refunds.moves import By
from molam.payments.refunds.store import PaymentRow, RefundRow
from molam.payments.refunds.terms import Terms
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx
from molam.platform.web.l10n import Formats
from molam.tenancy import standing

_ID_LENGTH_MAX = 255
_NOBODY = ""
"""Operations answer to their policies, and not to what one person gave back before."""
_LIMITLESS = Terms("", "UTC", {}, None, None)
"""Nor to the limits that a merchant has set for itself."""

Why = Literal["manual", "reversal"]


class SeveralPayments(Refusal):
    code = "transaction-ambiguous"
    kind = Kind.BROKEN_RULE
    title = "Several merchants have a transaction of this id"


class IssueManualRefund(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give *amount* of a payment back."""

    transaction_id: str
    merchant_id: str
    amount: Amount
    reason: str

    def __post_init__(self) -> None:
        _check_ids(self.transaction_id, self.merchant_id)
        if not 1 <= self.amount.minor <= MINOR_MAX:
            raise ValueError(f"amount lies between 1 and {MINOR_MAX} minor units")
        if not 1 <= len(self.reason.strip()) <= model.REASON_LENGTH_MAX:
            raise ValueError(f"reason has 1 to {model.REASON_LENGTH_MAX} characters")


class ManualReversal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give back all that is left of a payment, and its fee, as if it had not been."""

    transaction_id: str
    merchant_id: str

    def __post_init__(self) -> None:
        _check_ids(self.transaction_id, self.merchant_id)


@dataclass(frozen=True, slots=True)
class _Gift:
    """What an action would give back, and what stands behind it."""

    payment: PaymentRow
    found: Situation
    amount: int
    balance: int


def _check_ids(*ids: str) -> None:
    if not all(1 <= len(each) <= _ID_LENGTH_MAX for each in ids):
        raise ValueError(f"an id has 1 to {_ID_LENGTH_MAX} characters")


async def _complete(tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    """
    Find whose payment it is, and give a bare amount its currency.

    Raises:
        TransactionAbsent: nobody's.
        SeveralPayments: more than one merchant has a payment of this id.
    """
    completed, transaction_id = dict(raw), raw.get("transaction_id")
    if not isinstance(transaction_id, str):
        return completed
    if completed.get("merchant_id") is None:
        owners = await tx.all(store.LIST_PAYMENT_OWNERS, id=transaction_id[:_ID_LENGTH_MAX])
        if not owners:
            raise TransactionAbsent("Check the payment's id.")
        if len(owners) > 1:
            raise SeveralPayments("Say whose it is in merchant_id.")
        completed["merchant_id"] = owners[0].merchant_id
    if "amount" in completed and not isinstance(completed["amount"], dict):
        completed["amount"] = await _amount(tx, completed, transaction_id)
        completed.pop("currency", None)
    return completed


async def _amount(tx: Tx, raw: dict[str, Any], transaction_id: str) -> dict[str, object]:
    minor = raw["amount"]
    if not isinstance(minor, int) or isinstance(minor, bool):
        raise ParamsRefused(
            "An amount counts minor units (francs, cents) and is written as a whole number,"
            " without point or exponent."
        )
    payment = await tx.one(
        store.FIND_PAYMENT, merchant_id=str(raw["merchant_id"]), id=transaction_id
    )
    if payment is None:
        raise TransactionAbsent("Check the payment's id.")
    return {"currency": str(raw.get("currency") or payment.currency), "minor": minor}


async def _plan_refund(tx: Tx, params: IssueManualRefund) -> Plan:
    return await _plan(tx, params, params.amount, why="manual")


async def _plan_reversal(tx: Tx, params: ManualReversal) -> Plan:
    return await _plan(tx, params, None, why="reversal")


async def _plan(
    tx: Tx, params: IssueManualRefund | ManualReversal, amount: Amount | None, *, why: Why
) -> Plan:
    merchant = await standing.standing_of(tx, params.merchant_id)
    payment = await tx.one(
        store.FIND_PAYMENT, merchant_id=params.merchant_id, id=params.transaction_id
    )
    if payment is None:
        raise TransactionAbsent("Check the payment's id.")
    free = await balances.balances_of(tx, merchant_id=params.merchant_id)
    balance = next((each.available for each in free if each.currency == payment.currency), 0)
    gift = await _gift(tx, params.merchant_id, payment, balance, amount=amount)
    _check(gift, amount, why)
    after = gift.found.refundable - gift.amount
    return Plan(
        target_name=merchant.merchant.name,
        changes=(
            Change("refundable", _money(payment, gift.found.refundable), _money(payment, after)),
            Change("available", _money(payment, balance), _money(payment, balance - gift.amount)),
        ),
        reversible=False,
        expect={"refundable": gift.found.refundable},
        effects=("refund_sent_to_customer",),
        amount=Amount(payment.currency, gift.amount),
        country=merchant.merchant.country,
    )


async def _gift(
    tx: Tx, merchant_id: str, payment: PaymentRow, balance: int, *, amount: Amount | None
) -> _Gift:
    found = await asking.situation_of(tx, payment, _NOBODY, _LIMITLESS, of=(merchant_id, balance))
    return _Gift(payment, found, found.refundable if amount is None else amount.minor, balance)


def _check(gift: _Gift, amount: Amount | None, why: Why) -> None:
    code = gift.payment.currency if amount is None else amount.currency
    wish = Wish(max(1, gift.amount), code)
    # What was wrongly posted is taken back even from who has spent it; the debt is carried.
    needs_balance = why == "manual"
    for objection in model.objections(gift.found, wish, _LIMITLESS, needs_balance=needs_balance):
        raise objection


async def _apply_refund(tx: Tx, execution: Execution[IssueManualRefund]) -> Outcome:
    params = execution.params
    row = await _carry_out(tx, execution, params.amount, reason=params.reason, why="manual")
    result = {"refunded": True, "refund_id": row.id, "transaction_id": row.transaction_id}
    return Outcome(result, (Change("refund_state", None, row.state),))


async def _apply_reversal(tx: Tx, execution: Execution[ManualReversal]) -> Outcome:
    row = await _carry_out(tx, execution, None, reason="manual_reversal", why="reversal")
    result = {"reversed": True, "transaction_id": row.transaction_id, "refund_id": row.id}
    return Outcome(result, (Change("refund_state", None, row.state),))


async def _carry_out(
    tx: Tx,
    execution: Execution[IssueManualRefund] | Execution[ManualReversal],
    amount: Amount | None,
    *,
    reason: str,
    why: Why,
) -> RefundRow:
    """
    Raises:
        PreconditionChanged: another amount can be refunded by now.
        ON_CREATION: it is not possible any more; each says why.
    """
    merchant_id, payment_id = execution.params.merchant_id, execution.params.transaction_id
    payment = await asking.lock_payment(tx, merchant_id, payment_id)
    balance = await ledger.lock_available(tx, merchant_id=merchant_id, currency=payment.currency)
    gift = await _gift(tx, merchant_id, payment, balance, amount=amount)
    if gift.found.refundable != execution.expect.get("refundable"):
        raise PreconditionChanged("Another amount of the payment can be refunded by now.")
    _check(gift, amount, why)
    asked = NewRefund(
        merchant_id=merchant_id,
        transaction_id=payment_id,
        amount=gift.amount,
        currency=payment.currency,
        reason=reason,
        metadata={"kind": why, "action_id": execution.action_id},
    )
    by = By(execution.executed_by, "Molam", "service")
    row = await asking.insert(
        tx,
        asked,
        (payment, gift.found),
        reason=model.read_reason(reason),
        state=State.QUEUED,
        by=by,
    )
    await moves.set_out(tx, row, payment)
    return row


def _money(payment: PaymentRow, minor: int) -> dict[str, object]:
    return {"currency": payment.currency, "minor": minor}


def _refund_title(params: IssueManualRefund, locale: str) -> str:
    amount = Formats("fr" if locale == "fr" else "en").money(
        params.amount.minor, params.amount.currency
    )
    if locale == "fr":
        return f"Rembourser {amount} du paiement {params.transaction_id} ({params.merchant_id})"
    return f"Refund {amount} of payment {params.transaction_id} ({params.merchant_id})"


def _reversal_title(params: ManualReversal, locale: str) -> str:
    if locale == "fr":
        return f"Annuler le paiement {params.transaction_id} ({params.merchant_id})"
    return f"Reverse payment {params.transaction_id} ({params.merchant_id})"


ACTIONS = (
    ActionType(
        name="ISSUE_MANUAL_REFUND",
        params=IssueManualRefund,
        risk="high",
        moves_money=True,
        title=_refund_title,
        target=lambda params: Target("merchant", params.merchant_id),
        twin=lambda params: f"ISSUE_MANUAL_REFUND/{params.merchant_id}/{params.transaction_id}",
        complete=_complete,
        plan=_plan_refund,
        apply=_apply_refund,
    ),
    ActionType(
        name="MANUAL_REVERSAL",
        params=ManualReversal,
        risk="high",
        moves_money=True,
        title=_reversal_title,
        target=lambda params: Target("merchant", params.merchant_id),
        twin=lambda params: f"MANUAL_REVERSAL/{params.merchant_id}/{params.transaction_id}",
        complete=_complete,
        plan=_plan_reversal,
        apply=_apply_reversal,
    ),
)
