"""A refund that others must agree to, as the approval engine knows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec

from molam.approvals import commands as engine
from molam.approvals.drafts import Ruling
from molam.approvals.model import Actor, Auth, NewAction
from molam.approvals.policy.durations import Duration
from molam.approvals.policy.quorum import Role, Users
from molam.approvals.policy.rules import Rules
from molam.approvals.runtime import Runtime
from molam.approvals.store import ActionRow
from molam.approvals.tightening import RULED
from molam.kernel.currency import currency
from molam.kernel.money import Money
from molam.payments.refunds import list_store, model, moves, store
from molam.payments.refunds.model import State, Weight
from molam.payments.refunds.moves import By
from molam.payments.refunds.refusals import RefundAbsent
from molam.payments.refunds.store import PersonRow, RefundRow
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx
from molam.platform.web.l10n import Formats
from molam.tenancy import standing

ACTION_TYPE = "MERCHANT_REFUND"
PLATFORM_ROLE = "finance_ops"
EXECUTION_WINDOW_S = 3600
"""What was approved and not carried out within this time is not carried out any more."""


class MerchantRefund(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is agreed to: this amount of this payment, for this reason, and nothing else."""

    merchant_id: str
    refund_id: str
    transaction_id: str
    amount: Amount
    reason: str


@dataclass(frozen=True, slots=True)
class Ballot:
    """Who may agree (nobody: the platform's finance_ops), within how long, and why they must."""

    others: Sequence[PersonRow]
    minutes: int
    weight: Weight


async def ask(
    tx: Tx, runtime: Runtime, row: RefundRow, actor: Actor, *, ballot: Ballot
) -> ActionRow:
    """
    Put a refund to those who must agree, in the transaction that set its amount aside.

    Raises:
        Unsatisfiable: nobody could agree.
    """
    created = await engine.create_in(
        tx,
        runtime,
        NewAction(
            origin="module",
            origin_id=row.id,
            action_type=ACTION_TYPE,
            params={
                "merchant_id": row.merchant_id,
                "refund_id": row.id,
                "transaction_id": row.transaction_id,
                "amount": {"currency": row.currency, "minor": row.amount},
                "reason": row.reason,
            },
        ),
        actor,
        ruling=_ruling(ballot),
    )
    return created.row


def _ruling(ballot: Ballot) -> Ruling:
    users = tuple(each.id for each in ballot.others)
    rules = Rules(
        quorum=Users(users, 1) if users else Role(frozenset({PLATFORM_ROLE}), 1),
        ratio=Fraction(1),
        timeout=Duration(seconds=ballot.minutes * 60),
        auto_execute=True,
        execution_window=Duration(seconds=EXECUTION_WINDOW_S),
        reject_threshold=1,
    )
    name = "Refund above the threshold, " + ("the merchant" if users else "the platform")
    trace = {RULED: True, "counted": ballot.weight.counted, "threshold": ballot.weight.threshold}
    return Ruling(name, 1, rules, trace)


def actor_of(by: By, *, roles: frozenset[str], auth: Auth | None) -> Actor:
    return Actor(
        id=by.id,
        roles=roles,
        kind=by.kind,
        auth=auth,
        channel="merchant",
        ip=by.ip,
        user_agent=by.user_agent,
    )


async def settle_ended(tx: Tx, params: MerchantRefund, state: str) -> None:
    """Give the money of a refund that nobody agreed to back; safe to repeat."""
    await tx.one(store.ACT_FOR, merchant_id=params.merchant_id)
    locked = await moves.lock(tx, params.merchant_id, params.refund_id)
    if locked.refund.state != State.AWAITING_APPROVAL.value:
        return
    to = end_of(state)
    by, why = await _refused_by(tx, locked.refund) if to is State.REJECTED else (moves.SYSTEM, None)
    await moves.release(tx, locked, to, by, code=f"approval-{state}", detail=why)


def end_of(state: str) -> State:
    """Say what a refund becomes whose action ended in *state*, without its effect."""
    return _ENDS.get(state, State.FAILED)


async def _refused_by(tx: Tx, row: RefundRow) -> tuple[By, str | None]:
    """Find who said no, and why."""
    assert row.approval_id is not None
    found = await tx.one(list_store.FIND_REFUSAL, action_id=UUID(row.approval_id))
    return (moves.SYSTEM, None) if found is None else (By(found.id, found.name), found.comment)


_ENDS = {
    "rejected": State.REJECTED,
    "expired": State.EXPIRED,
    "cancelled": State.CANCELLED,
    "superseded": State.CANCELLED,
}


async def _plan(tx: Tx, params: MerchantRefund) -> Plan:
    row = await _found(tx, params)
    found = await standing.standing_of(tx, params.merchant_id)
    payment = await tx.one(
        store.FIND_PAYMENT, merchant_id=params.merchant_id, id=params.transaction_id
    )
    assert payment is not None, "a refund refers to its payment"
    given = await tx.one(
        store.READ_GIVEN_BACK,
        merchant_id=params.merchant_id,
        transaction_id=params.transaction_id,
    )
    assert given is not None
    return Plan(
        target_name=found.merchant.name,
        changes=(
            Change(
                "refunded_of_payment",
                _amount(row.currency, given.amount),
                _amount(row.currency, given.amount + row.amount),
            ),
            Change("refund_reason", None, row.reason),
            Change("payment", None, params.transaction_id),
        ),
        reversible=False,
        expect={"state": State.AWAITING_APPROVAL.value},
        effects=("refund_sent_to_customer",),
        amount=params.amount,
        country=found.merchant.country,
    )


async def _apply(tx: Tx, execution: Execution[MerchantRefund]) -> Outcome:
    """Let the refund be sent, after looking at everything again under its locks."""
    params = execution.params
    await tx.one(store.ACT_FOR, merchant_id=params.merchant_id)
    locked = await moves.lock(tx, params.merchant_id, params.refund_id)
    row = locked.refund
    if row.approval_id != execution.action_id or row.state != State.AWAITING_APPROVAL.value:
        raise PreconditionChanged(f"The refund is {row.state} by now.")
    _check_same(row, params)
    found = await standing.standing_of(tx, params.merchant_id, now=execution.at)
    if found.status != "active":
        raise PreconditionChanged(f"The merchant is {found.status} by now.")
    await check_still_possible(tx, locked)
    agreed = await tx.all(
        store.LIST_RIGHTFUL_APPROVERS,
        action_id=UUID(execution.action_id),
        merchant_id=params.merchant_id,
        requester=row.created_by,
    )
    if not agreed:
        raise PreconditionChanged("Whoever agreed may not decide for this merchant any more.")
    person = agreed[0]
    moved = await moves.approve(tx, locked, By(person.id, person.name), approved_by=person.id)
    result = {"refund_id": moved.id, "transaction_id": moved.transaction_id, "state": moved.state}
    return Outcome(result, (Change("refund_state", row.state, moved.state),))


async def check_still_possible(tx: Tx, locked: moves.Locked) -> None:
    """
    Look again at what may have changed since the money was set aside.

    Raises:
        PreconditionChanged: the payment is disputed, or was given back otherwise.
    """
    payment, row = locked.payment, locked.refund
    sums = await tx.one(
        store.READ_TAKEN,
        merchant_id=row.merchant_id,
        transaction_id=row.transaction_id,
        counted=[each.value for each in model.COUNTED],
    )
    assert sums is not None
    if payment.state != "succeeded":
        raise PreconditionChanged(f"The payment is {payment.state} by now.")
    if sums.open_dispute is not None:
        raise PreconditionChanged("The customer disputes the payment by now.")
    if sums.ours + sums.reported + sums.lost > payment.amount:
        raise PreconditionChanged("The payment has been given back otherwise by now.")


def _check_same(row: RefundRow, params: MerchantRefund) -> None:
    stored = row.transaction_id, row.amount, row.currency, row.reason
    asked = params.transaction_id, params.amount.minor, params.amount.currency, params.reason
    if stored != asked:
        raise PreconditionChanged("The refund is not the one that was agreed to.")


async def _found(tx: Tx, params: MerchantRefund) -> RefundRow:
    row = await tx.one(store.FIND_REFUND, merchant_id=params.merchant_id, id=params.refund_id)
    if row is None:
        raise RefundAbsent("Check the refund's id.")
    return row


def _title(params: MerchantRefund, locale: str) -> str:
    amount = Formats("fr" if locale == "fr" else "en").money(
        params.amount.minor, params.amount.currency
    )
    if locale == "fr":
        return f"Rembourser {amount} du paiement {params.transaction_id}"
    return f"Refund {amount} of payment {params.transaction_id}"


def _amount(code: str, minor: int) -> dict[str, Any]:
    money = Money(minor, currency(code))
    return {"currency": money.currency.code, "minor": money.minor}


ACTIONS = (
    ActionType(
        name=ACTION_TYPE,
        params=MerchantRefund,
        context=frozenset(),
        risk="high",
        moves_money=True,
        is_asked_by_code=True,
        title=_title,
        target=lambda params: Target("merchant", params.merchant_id),
        twin=lambda params: f"{ACTION_TYPE}/{params.refund_id}",
        plan=_plan,
        apply=_apply,
        page=lambda params: f"/refunds/{params.refund_id}",
        ended=settle_ended,
    ),
)
