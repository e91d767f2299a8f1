"""Sending one payout again, and taking one back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.payments.banks.commands import enqueue_send
from molam.payments.payouts import commands, model, store
from molam.payments.payouts.model import State
from molam.payments.payouts.store import PayoutRow
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
from molam.tenancy import standing
from molam.tenancy.freeze_actions import check_id, check_text

Id = Annotated[str, Meta(min_length=1, max_length=255)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]


class ForceRetryPayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payout_id: Id
    amount: Amount | None = None
    """What it is worth: filled in from the payout."""
    reason: Reason | None = None

    def __post_init__(self) -> None:
        check_id("payout_id", self.payout_id)


class ReversePayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One that was not sent is cancelled. Of one that was paid, the bank is asked to give it
    back, or (*money_is_back*) what is on our account again is booked.
    """

    payout_id: Id
    reason: Reason
    amount: Amount | None = None
    """What it is worth: filled in from the payout."""
    money_is_back: bool = False

    def __post_init__(self) -> None:
        check_id("payout_id", self.payout_id)
        check_text("reason", self.reason)


async def _complete(tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    """Say in the params what the payout is worth, so that policies can ask for it."""
    id_, asked = raw.get("payout_id"), raw.get("amount")
    if not isinstance(id_, str):
        return raw
    row = await tx.one(store.FIND_OURS, id=id_[:256])
    if row is None:
        return raw
    worth = {"currency": row.currency, "minor": row.amount}
    if asked is not None and asked not in (row.amount, worth):
        raise ParamsRefused(f"The payout is worth {row.amount} minor units of {row.currency}.")
    rest = {key: value for key, value in raw.items() if key != "currency"}
    return {**rest, "amount": worth}


async def _found(tx: Tx, payout_id: str) -> PayoutRow:
    row = await tx.one(store.FIND_OURS, id=payout_id)
    if row is None:
        raise model.PayoutAbsent("Check the payout's id; those that wallets report are not ours.")
    return row


async def _plan_retry(tx: Tx, params: ForceRetryPayout) -> Plan:
    row = await _found(tx, params.payout_id)
    if row.state != State.FAILED and row.in_doubt_since is None:
        raise model.PayoutNotInState(
            "Only a payout that failed, or whose answer was lost, can be sent again.",
            state=row.state,
        )
    effects = ("sent_under_same_key", "balance_reserved_again")
    return await _plan(
        tx,
        row,
        after=State.PENDING,
        effects=effects if row.state == State.FAILED else effects[:1],
        reversible=False,
    )


async def _retry(tx: Tx, execution: Execution[ForceRetryPayout]) -> Outcome:
    row = await _expected(tx, execution.params.payout_id, execution)
    after = await commands.try_again(tx, row, by=execution.executed_by, at=execution.at)
    await enqueue_send(tx, kind="payout", object_id=row.id)
    return Outcome(
        {"retried": True, "payout_id": row.id},
        (Change("payout_state", row.state, after.state),),
    )


async def _plan_reverse(tx: Tx, params: ReversePayout) -> Plan:
    row = await _found(tx, params.payout_id)
    way = _way(row, params)
    after = {"cancel": State.CANCELLED, "ask": State.PAID, "book": State.RETURNED}[way]
    effects = {
        "cancel": ("payout_not_sent", "balance_given_back"),
        "ask": ("bank_asked_to_return",),
        "book": ("ledger_entry", "balance_given_back"),
    }[way]
    return await _plan(tx, row, after=after, effects=effects, reversible=False)


async def _reverse(tx: Tx, execution: Execution[ReversePayout]) -> Outcome:
    params, by, at = execution.params, execution.executed_by, execution.at
    row = await _expected(tx, params.payout_id, execution)
    way = _way(row, params)
    match way:
        case "cancel":
            await commands.cancel_locked(tx, row, by=by, at=at)
        case "book":
            await commands.take_back(tx, row, by=by, at=at)
        case "ask":
            await commands.ask_back(tx, row, by=by, reason=params.reason)
    after = await _found(tx, row.id)
    return Outcome(
        {
            "reversed": way != "ask",
            "recall_requested": way == "ask",
            "payout_id": row.id,
            "amount": row.amount,
            "currency": row.currency,
        },
        (Change("payout_state", row.state, after.state),),
    )


def _way(row: PayoutRow, params: ReversePayout) -> Literal["cancel", "ask", "book"]:
    if row.state in model.WAITING and not params.money_is_back:
        return "cancel"
    if row.state == State.PAID:
        return "book" if params.money_is_back else "ask"
    raise model.PayoutNotInState(
        "A payout is taken back before it is sent, or after it was paid.", state=row.state
    )


async def _plan(
    tx: Tx, row: PayoutRow, *, after: State, effects: tuple[str, ...], reversible: bool
) -> Plan:
    found = await standing.standing_of(tx, row.merchant_id)
    return Plan(
        target_name=f"{found.merchant.name}: {row.reference_code}",
        changes=(Change("payout_state", row.state, after.value),),
        reversible=reversible,
        expect={"state": row.state, "attempts": row.attempts},
        effects=effects,
        amount=Amount(row.currency, row.amount),
        country=found.merchant.country,
    )


async def _expected(
    tx: Tx, payout_id: str, execution: Execution[ForceRetryPayout] | Execution[ReversePayout]
) -> PayoutRow:
    """Lock the payout, which must be as it was when people agreed."""
    row = await commands.lock_any(tx, payout_id)
    for name, value in {"state": row.state, "attempts": row.attempts}.items():
        if execution.expect.get(name) != value:
            raise PreconditionChanged(
                f"Approved when {name} was {execution.expect.get(name)}; now it is {value}."
            )
    return row


def _retry_title(params: ForceRetryPayout, locale: str) -> str:
    verb = "Renvoyer le versement" if locale == "fr" else "Send payout again:"
    return f"{verb} {params.payout_id}"


def _reverse_title(params: ReversePayout, locale: str) -> str:
    verb = "Annuler ou reprendre le versement" if locale == "fr" else "Take back payout"
    return f"{verb} {params.payout_id}"


ACTIONS = (
    ActionType(
        name="FORCE_RETRY_PAYOUT",
        params=ForceRetryPayout,
        risk="high",
        moves_money=True,
        title=_retry_title,
        target=lambda params: Target("payout", params.payout_id),
        complete=_complete,
        plan=_plan_retry,
        apply=_retry,
    ),
    ActionType(
        name="REVERSE_PAYOUT",
        params=ReversePayout,
        risk="critical",
        moves_money=True,
        title=_reverse_title,
        target=lambda params: Target("payout", params.payout_id),
        complete=_complete,
        plan=_plan_reverse,
        apply=_reverse,
    ),
)
