"""A refund's side of being sent: what to send where, and what each answer means for it."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from molam.payments.banks import queries as banks
from molam.payments.banks.model import (
    REFERENCE_LENGTH_MAX,
    Destination,
    Instruction,
    NoRoute,
    Outcome,
)
from molam.payments.refunds import approval, asking, moves, store
from molam.payments.refunds.model import RESERVING, State
from molam.payments.refunds.moves import OPERATOR, SYSTEM, Locked
from molam.payments.refunds.store import RefundRow
from molam.platform.actions import PreconditionChanged
from molam.platform.db import Tx

log = structlog.get_logger()

NO_DESTINATION = "destination-unknown"

_SENT = frozenset({State.SUBMITTED, State.UNKNOWN})


class Refunds:
    """Owns refunds: the `Owner` that banks ask."""

    kind = moves.KIND

    async def claim(self, tx: Tx, object_id: str) -> Instruction | None:
        """
        Mark a queued refund as on its way, after looking once more whether it may go.

        One that may not go any more ends here, and one that nobody knows where to send
        waits for the merchant.
        """
        locked = await _locked(tx, object_id)
        if locked is None or locked.refund.state != State.QUEUED.value:
            return None
        try:
            await approval.check_still_possible(tx, locked)
        except PreconditionChanged as changed:
            await moves.release(
                tx, locked, State.FAILED, SYSTEM, code="no-longer-possible", detail=changed.detail
            )
            return None
        return await _instruct(tx, locked.refund)

    async def settle(self, tx: Tx, object_id: str, outcome: Outcome) -> None:
        """Let an answer have its effect; one that comes again, or too late, has none."""
        locked = await _locked(tx, object_id)
        if locked is None:
            log.error("refunds.outcome.of_nothing", refund=object_id, outcome=outcome.state)
            return
        match outcome.state:
            case "settled":
                await _settled(tx, locked, outcome)
            case "rejected":
                await _failed(tx, locked, outcome, code=outcome.code or "rejected-by-operator")
            case "returned":
                await _returned(tx, locked, outcome)
            case "accepted" | "unknown" | "needs_details":
                await _step(tx, locked.refund, outcome)


async def _locked(tx: Tx, refund_id: str) -> Locked | None:
    found = await tx.one(store.FIND_ANYWHERE, id=refund_id)
    return None if found is None else await moves.lock(tx, found.merchant_id, refund_id)


async def _instruct(tx: Tx, row: RefundRow) -> Instruction | None:
    if row.destination is None:
        await moves.go(tx, row, State.NEEDS_DETAILS, SYSTEM, code=NO_DESTINATION)
        return None
    destination = read_destination(row.destination)
    try:
        route = await banks.route_for(tx, row.currency, destination, row.amount)
    except NoRoute as refusal:
        await moves.go(
            tx, row, State.NEEDS_DETAILS, SYSTEM, code=refusal.code, detail=refusal.detail
        )
        return None
    await moves.go(tx, row, State.SUBMITTED, SYSTEM, code=route.bank_profile_id)
    return Instruction(
        key=f"refund-{row.id}",
        purpose="refund",
        merchant_id=row.merchant_id,
        object_id=row.id,
        amount=row.amount,
        currency=row.currency,
        destination=destination,
        reference=f"Refund {row.transaction_id}"[:REFERENCE_LENGTH_MAX],
        bank_profile_id=route.bank_profile_id,
    )


def read_destination(stored: dict[str, Any]) -> Destination:
    """Read back where a refund goes."""
    # A union's tag is read by convert; the type itself is only an alias of the union.
    destination: Destination = msgspec.convert(stored, Destination)
    return destination


async def _settled(tx: Tx, locked: Locked, outcome: Outcome) -> None:
    row = locked.refund
    if State(row.state) not in _SENT:
        _late(row, outcome)
        return
    terms = await asking.terms_of(tx, row.merchant_id)
    await moves.succeed(tx, locked, terms, provider_ref=outcome.provider_ref)


async def _failed(tx: Tx, locked: Locked, outcome: Outcome, *, code: str) -> None:
    row = locked.refund
    if State(row.state) not in _SENT:
        _late(row, outcome)
        return
    await moves.release(tx, locked, State.FAILED, OPERATOR, code=code, detail=outcome.reason)


async def _returned(tx: Tx, locked: Locked, outcome: Outcome) -> None:
    code = outcome.code or "returned-by-operator"
    if locked.refund.state == State.SUCCEEDED.value:
        await moves.reverse(tx, locked, code=code, detail=outcome.reason)
        return
    await _failed(tx, locked, outcome, code=code)


async def _step(tx: Tx, row: RefundRow, outcome: Outcome) -> None:
    state, to = State(row.state), _STEPS[outcome.state]
    if state is to or state not in _SENT:
        if state not in RESERVING and state is not State.SUCCEEDED:
            _late(row, outcome)
        return
    await moves.go(
        tx,
        row,
        to,
        OPERATOR,
        provider_ref=outcome.provider_ref,
        code=outcome.code,
        detail=outcome.reason,
    )


_STEPS = {
    "accepted": State.SUBMITTED,
    "unknown": State.UNKNOWN,
    "needs_details": State.NEEDS_DETAILS,
}


def _late(row: RefundRow, outcome: Outcome) -> None:
    """Banks repeat themselves; what says money left after a release is worth a look."""
    is_worrying = outcome.state == "settled" and row.state != State.SUCCEEDED.value
    say = log.error if is_worrying else log.info
    say("refunds.outcome.late", refund=row.id, state=row.state, outcome=outcome.state)
