"""What merchants and operations do to payouts: ask for one, cancel it, hold it, pause them all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.payments.payouts import metrics, model, run, run_store, settings_store, steps, store
from molam.payments.payouts.model import State
from molam.payments.payouts.run_store import DueRow
from molam.payments.payouts.settings_store import HoldRow
from molam.payments.payouts.steps import Said
from molam.payments.payouts.store import PayoutRow
from molam.platform.db import Tx


async def request(
    tx: Tx, *, merchant_id: str, currency: str, expected_amount: int | None, by: str
) -> PayoutRow:
    """
    Pay out now what can be paid, whatever the schedule says; its minimum does not count.

    *expected_amount* is what the person was shown: more is fine, and less is refused.

    Raises:
        model.NoDestination: nobody has said where to pay.
        model.NothingToPay: the balance is empty, or all of it still has to wait.
        model.PayoutAmountChanged: there is less than *expected_amount* now.
    """
    due = await lock_schedule(tx, merchant_id=merchant_id, currency=currency)
    if due is None:
        raise model.NothingToPay(f"Nothing was ever sold in {currency}.", payable=0)
    if not due.has_destination:
        raise model.NoDestination("Say first where payouts should go.", currency=currency)
    id_ = uuid7(due.asked_at)
    wanted = run.wanted_of(due, asked_as="manual", by=by, id_=id_)
    (found,) = await run.make(tx, [wanted])
    if not found.made:
        raise model.NothingToPay(
            "What came in lately waits for its day, and what is owed is taken first.",
            payable=max(found.payable, 0),
        )
    if expected_amount is not None and found.payable < expected_amount:
        raise model.PayoutAmountChanged(
            f"There are {found.payable} minor units to pay out now.", payable=found.payable
        )
    row = await tx.one(store.FIND_PAYOUT, merchant_id=merchant_id, id=wanted.payout_id)
    assert row is not None
    return row


async def lock_schedule(tx: Tx, *, merchant_id: str, currency: str) -> DueRow | None:
    """Lock a merchant's schedule, written down now if nobody has; None if it never had money."""
    found = await tx.one(run_store.LOCK_SCHEDULE, merchant_id=merchant_id, currency=currency)
    if found is None and await run.write_missing_schedules(tx, merchant_id=merchant_id):
        found = await tx.one(run_store.LOCK_SCHEDULE, merchant_id=merchant_id, currency=currency)
    return found


async def cancel(
    tx: Tx, *, merchant_id: str, payout_id: str, by: str, at: Instant
) -> tuple[PayoutRow, PayoutRow]:
    """
    Put the money of a payout that was not sent yet back into the balance. Safe to repeat.

    Return it before and after.

    Raises:
        model.PayoutAbsent: the merchant has no such payout of ours.
        model.PayoutNotInState: it is with the bank, or has ended.
    """
    row = await tx.one(store.LOCK_MERCHANTS_OWN, merchant_id=merchant_id, id=payout_id)
    if row is None:
        raise model.PayoutAbsent("Check the payout's id.")
    return row, await cancel_locked(tx, row, by=by, at=at)


async def cancel_locked(tx: Tx, row: PayoutRow, *, by: str, at: Instant) -> PayoutRow:
    """Cancel a payout that *tx* has locked."""
    if row.state == State.CANCELLED:
        return row
    if row.state not in model.WAITING:
        raise model.PayoutNotInState(
            "Only a payout that was not sent to its bank yet can be cancelled.", state=row.state
        )
    if row.attempts:
        # Its first sending may yet turn out to have worked.
        raise model.PayoutNotInState("It was sent before and is tried again.", state=row.state)
    cancelled = replace(
        row, state=State.CANCELLED.value, held_reason=None, held_until=None, owns_entries=False
    )
    await steps.release(tx, row, at=at)
    await steps.move(tx, row, cancelled, Said("cancelled", by, {}))
    await steps.announce(tx, cancelled, version=row.version + 1, at=at)
    metrics.ENDED.labels(State.CANCELLED.value).inc()
    after = await tx.one(store.FIND_PAYOUT, merchant_id=row.merchant_id, id=row.id)
    assert after is not None
    return after


async def lock_any(tx: Tx, payout_id: str) -> PayoutRow:
    """
    Lock a payout of ours, whoever's it is.

    Raises:
        model.PayoutAbsent: there is none of this id.
    """
    row = await tx.one(store.LOCK_OURS, id=payout_id)
    if row is None:
        raise model.PayoutAbsent("Check the payout's id; those that wallets report are not ours.")
    return row


async def try_again(tx: Tx, row: PayoutRow, *, by: str, at: Instant) -> PayoutRow:
    """
    Let a payout that failed, or whose answer is lost, be sent once more under its key.

    Raises:
        model.PayoutNotInState: it neither failed nor is in doubt.
        model.EntriesTaken: a later payout pays its money.
    """
    if row.state == State.IN_TRANSIT and row.in_doubt_since is not None:
        wanted = replace(row, retry_wanted=True)
        await steps.move(tx, row, wanted, Said("retry_asked", by, {}))
        return wanted
    if row.state != State.FAILED:
        raise model.PayoutNotInState(
            "Only a payout that failed, or whose answer was lost, can be sent again.",
            state=row.state,
        )
    again = replace(
        await steps.reserve_again(tx, row, at=at),
        state=State.PENDING.value,
        failure_code=None,
        failure_reason=None,
    )
    await steps.move(tx, row, again, Said("retry_asked", by, {}))
    await steps.announce(tx, again, version=row.version + 1, at=at)
    return again


async def ask_back(tx: Tx, row: PayoutRow, *, by: str, reason: str | None) -> None:
    """Write down that a bank was asked to give a paid payout back; it decides."""
    await tx.run(store.SET_RECALL, merchant_id=row.merchant_id, id=row.id)
    detail = {} if reason is None else {"reason": reason}
    await say(tx, row, Said("recall_asked", by, detail))


async def take_back(tx: Tx, row: PayoutRow, *, by: str, at: Instant) -> None:
    """Book that a paid payout's money is on our account at the bank again."""
    step = model.hear(State.PAID, "returned", owns_entries=row.owns_entries, was_sent=True)
    returned = replace(row, state=State.RETURNED.value, failure_code="reversed", owns_entries=False)
    await steps.settle_money(tx, row, step.money, at=at)
    await steps.move(tx, row, returned, Said("reversed", by, {}))
    await steps.announce(tx, returned, version=row.version + 1, at=at)
    metrics.ENDED.labels(State.RETURNED.value).inc()


async def say(tx: Tx, row: PayoutRow, said: Said) -> None:
    """Put into a payout's timeline what moves nothing."""
    await tx.run(
        store.APPEND_EVENT,
        merchant_id=row.merchant_id,
        id=row.id,
        what=said.what,
        actor=said.actor,
        detail=dict(said.detail),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Money to be kept back: a payment's, or that of one payout."""

    merchant_id: str
    kind: Literal["payment", "payout"]
    transaction_id: str
    amount: int
    currency: str
    reason: str
    until: Instant | None
    by: str


async def hold(tx: Tx, asked: Hold, *, id_: UUID) -> None:
    """Keep a payment's money out of payouts, or a payout from being sent, until it is released."""
    await tx.run(
        settings_store.PUT_HOLD,
        id=id_,
        merchant_id=asked.merchant_id,
        kind=asked.kind,
        transaction_id=asked.transaction_id,
        amount=asked.amount,
        currency=asked.currency,
        reason=asked.reason,
        until=asked.until,
        by=asked.by,
    )


async def find_hold(
    tx: Tx, transaction_id: str, *, merchant_id: str | None, lock: bool = False
) -> HoldRow:
    """
    Find what is held under an id, of one merchant if that is said.

    Raises:
        model.HoldAbsent: nothing is, or it must be said whose is meant.
    """
    statement = settings_store.LOCK_HOLD if lock else settings_store.FIND_HOLD
    rows = await tx.all(statement, transaction_id=transaction_id, merchant_id=merchant_id)
    if not rows:
        raise model.HoldAbsent("It was released, or it has come to its end.")
    if len(rows) > 1:
        raise model.HoldAbsent("Several merchants have such a transaction: name merchant_id.")
    return rows[0]


async def release_hold(
    tx: Tx, row: HoldRow, *, by: str, status: Literal["released", "reversed"] = "released"
) -> None:
    """Let held money be paid out again, from the next payout on."""
    await tx.run(settings_store.END_HOLD, id=row.id, by=by, status=status)
