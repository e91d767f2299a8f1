"""The steps a refund takes, each with its money, its line in the timeline and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack
from uuid import UUID

from prometheus_client import Counter

from molam.kernel.ids import uuid8
from molam.ledger import commands as ledger
from molam.ledger.commands import Transfer
from molam.payments.banks import commands as banks
from molam.payments.refunds import model, store, telling
from molam.payments.refunds.model import State
from molam.payments.refunds.refusals import RefundAbsent
from molam.payments.refunds.store import PaymentRow, RefundRow
from molam.payments.refunds.terms import Terms
from molam.platform.db import Tx

ENDED = Counter("molam_merchant_refunds_ended_total", "Refunds that came to an end.", ["state"])

KIND: Literal["refund"] = "refund"
CUSTOMERS = "customers:wallet"
FEES = "molam:fees"
DETAILS_DAYS = 14
"""How long a merchant has to say where the money should go."""


@dataclass(frozen=True, slots=True)
class By:
    """Who takes a step, and from where."""

    id: str
    name: str
    kind: Literal["user", "service", "system"] = "user"
    ip: str | None = None
    user_agent: str | None = None


class Changes(TypedDict, total=False):
    """What a step writes beside the state; *code* and *detail* only into the timeline."""

    approved_by: str | None
    provider_ref: str | None
    failed_code: str | None
    failed_reason: str | None
    fee_returned: int
    ledger_entry_id: UUID
    destination: dict[str, Any]
    code: str | None
    detail: str | None


SYSTEM = By("system", "Molam", "system")
OPERATOR = By("operator", "Operator", "system")
"""The bank or wallet that was told to pay."""


@dataclass(frozen=True, slots=True)
class Locked:
    """A refund and its payment, both held until the transaction ends."""

    payment: PaymentRow
    refund: RefundRow


async def lock(tx: Tx, merchant_id: str, id_: str) -> Locked:
    """
    Lock a refund, after the payment it belongs to, and read both.

    Raises:
        RefundAbsent: the merchant has no such refund.
    """
    found = await tx.one(store.FIND_REFUND, merchant_id=merchant_id, id=id_)
    if found is None:
        raise RefundAbsent("Check the refund's id.")
    payment = await tx.one(store.LOCK_PAYMENT, merchant_id=merchant_id, id=found.transaction_id)
    refund = await tx.one(store.LOCK_REFUND, merchant_id=merchant_id, id=id_)
    assert payment is not None, "a refund refers to its payment"
    assert refund is not None, "refunds are never deleted"
    return Locked(payment, refund)


async def begin(tx: Tx, row: RefundRow, by: By) -> None:
    """Set the amount of a new refund aside, and open its timeline."""
    route = ledger.available(row.merchant_id), ledger.reserved(row.merchant_id)
    await ledger.post(tx, [_transfer(row, "reserve", route, cause="refund_reserved")])
    await _write(tx, row, by, old=None, code=None, detail=row.reason)


async def set_out(tx: Tx, row: RefundRow, payment: PaymentRow) -> None:
    """Let a queued refund be sent, and tell everybody that it was given."""
    assert row.state == State.QUEUED.value
    await telling.left_approval(tx, row, payment)
    await banks.enqueue_send(tx, kind=KIND, object_id=row.id)


async def approve(tx: Tx, locked: Locked, by: By, *, approved_by: str) -> RefundRow:
    """Let a refund that others had to agree to be sent."""
    row = await _set(tx, locked.refund, State.QUEUED, by, approved_by=approved_by)
    await set_out(tx, row, locked.payment)
    return row


async def send_again(tx: Tx, row: RefundRow, by: By, *, destination: dict[str, Any]) -> RefundRow:
    """Send a refund for which the merchant has now said where to."""
    row = await _set(tx, row, State.QUEUED, by, destination=destination)
    await telling.changed(tx, row)
    await banks.enqueue_send(tx, kind=KIND, object_id=row.id)
    return row


async def go(tx: Tx, row: RefundRow, to: State, by: By, **changes: Unpack[Changes]) -> RefundRow:
    """Take a step that moves no money."""
    assert to in model.RESERVING
    row = await _set(tx, row, to, by, **changes)
    await telling.changed(tx, row)
    return row


async def release(
    tx: Tx, locked: Locked, to: State, by: By, *, code: str, detail: str | None = None
) -> RefundRow:
    """End a refund without its effect: the merchant has the money back, once."""
    assert to in model.RELEASING
    before = locked.refund
    row = await _set(
        tx, before, to, by, failed_code=code, failed_reason=detail, code=code, detail=detail
    )
    route = ledger.reserved(row.merchant_id), ledger.available(row.merchant_id)
    await ledger.post(tx, [_transfer(row, "release", route, cause="refund_released")])
    if before.queued_at is None:
        await telling.changed(tx, row)
    else:
        await telling.failed(tx, row, locked.payment)
    ENDED.labels(to.value).inc()
    return row


async def succeed(tx: Tx, locked: Locked, terms: Terms, *, provider_ref: str | None) -> RefundRow:
    """Write down that the customer has the money, and give back of the fee what is owed."""
    payment, before = locked.payment, locked.refund
    given = await tx.one(
        store.READ_GIVEN_BACK,
        merchant_id=before.merchant_id,
        transaction_id=before.transaction_id,
    )
    assert given is not None
    is_returned = terms.fee_rule == "returned" or before.metadata.get("kind") == "reversal"
    fee = 0
    if is_returned:
        fee = model.fee_returned(
            fee=payment.fee_molam,
            captured=payment.amount,
            amount=before.amount,
            before=given.amount,
            given_back=min(given.fee, payment.fee_molam),
        )
    row = await _set(
        tx,
        before,
        State.SUCCEEDED,
        OPERATOR,
        provider_ref=provider_ref,
        fee_returned=fee,
        ledger_entry_id=transfer_id(before.id, "pay"),
    )
    mine, reserved = ledger.available(row.merchant_id), ledger.reserved(row.merchant_id)
    await ledger.post(
        tx,
        [
            _transfer(row, "pay", (reserved, CUSTOMERS), cause="refund"),
            _transfer(row, "fee", (FEES, mine), cause="refund_fee", amount=fee),
        ],
    )
    await telling.succeeded(tx, row, payment)
    ENDED.labels(State.SUCCEEDED.value).inc()
    return row


async def reverse(tx: Tx, locked: Locked, *, code: str, detail: str | None) -> RefundRow:
    """Take back what an operator returned after it had said that it was paid."""
    row = await _set(
        tx,
        locked.refund,
        State.REVERSED,
        OPERATOR,
        failed_code=code,
        failed_reason=detail,
        code=code,
        detail=detail,
    )
    mine = ledger.available(row.merchant_id)
    await ledger.post(
        tx,
        [
            _transfer(row, "reverse", (CUSTOMERS, mine), cause="refund_reversed"),
            _transfer(
                row, "reverse-fee", (mine, FEES), cause="refund_fee", amount=row.fee_returned
            ),
        ],
    )
    await telling.failed(tx, row, locked.payment)
    ENDED.labels(State.REVERSED.value).inc()
    return row


def transfer_id(refund_id: str, step: str) -> UUID:
    """Name the one transfer that a step of a refund makes, however often it is tried."""
    return uuid8(f"refund/{refund_id}/{step}")


async def _set(tx: Tx, row: RefundRow, to: State, by: By, **changes: Unpack[Changes]) -> RefundRow:
    assert to in model.MOVES[State(row.state)], f"{row.state} does not become {to.value}"
    told = {name: changes.get(name) for name in _TOLD}
    moved = await tx.one(
        store.SET_STATE,
        merchant_id=row.merchant_id,
        id=row.id,
        old=row.state,
        state=to.value,
        details_s=DETAILS_DAYS * 86400.0,
        **told,
    )
    assert moved is not None, "it is locked, so nobody else has moved it"
    await _write(
        tx, moved, by, old=row.state, code=changes.get("code"), detail=changes.get("detail")
    )
    return moved


_TOLD = (
    "approved_by",
    "provider_ref",
    "failed_code",
    "failed_reason",
    "fee_returned",
    "ledger_entry_id",
    "destination",
)


def _transfer(
    row: RefundRow, step: str, route: tuple[str, str], *, cause: str, amount: int | None = None
) -> Transfer:
    return Transfer(
        id=transfer_id(row.id, step),
        source=route[0],
        target=route[1],
        amount=row.amount if amount is None else amount,
        currency=row.currency,
        merchant_id=row.merchant_id,
        cause=cause,
        cause_id=row.id,
        occurred_at=row.updated_at,
    )


async def _write(
    tx: Tx, row: RefundRow, by: By, *, old: str | None, code: str | None, detail: str | None
) -> None:
    await tx.run(
        store.APPEND_EVENT,
        merchant_id=row.merchant_id,
        refund_id=row.id,
        seq=row.version,
        actor_id=by.id,
        actor_name=by.name,
        actor_kind=by.kind,
        ip_address=by.ip,
        user_agent=by.user_agent,
        old_state=old,
        new_state=row.state,
        code=code,
        detail=detail,
    )
