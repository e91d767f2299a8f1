"""What else is done to a refund: cancelled, given details, ended when its time is over."""

from __future__ import annotations

import contextlib
from uuid import UUID

import msgspec

from molam.approvals import ballot_checks, execution, sweeps, voting
from molam.approvals import commands as approvals
from molam.approvals.model import Actor, NotEligible, VoteRequest
from molam.approvals.runtime import Runtime
from molam.kernel.refusals import Outage, Refusal
from molam.payments.banks.model import Destination
from molam.payments.refunds import approval, list_store, moves, remote, store
from molam.payments.refunds.approval import MerchantRefund
from molam.payments.refunds.model import State
from molam.payments.refunds.moves import By
from molam.payments.refunds.refusals import RefundAbsent, RefundNotInState
from molam.payments.refunds.store import RefundRow
from molam.platform.actions import Amount
from molam.platform.db import Database, Tx

_BATCH = 200
_NEVER_TOLD = "details-never-given"
_AGREED = frozenset({"approved", "scheduled"})

# Note [Who decides, and who carries it out]
#
# A vote is counted in one transaction with the merchant's own audit row. What follows from
# it is a second one: the refund is sent, or its money is given back. A crash in between
# changes nothing, since the workers do the same soon afterwards, and each step is taken
# under the refund's lock and only from the state it begins in.


async def find(tx: Tx, merchant_id: str, id_: str) -> RefundRow:
    """
    Raises:
        RefundAbsent: the merchant has no such refund.
    """
    row = await tx.one(store.FIND_REFUND, merchant_id=merchant_id, id=id_)
    if row is None:
        raise RefundAbsent("Check the refund's id.")
    return row


async def vote(
    tx: Tx, runtime: Runtime, of: tuple[str, str], *, request: VoteRequest, actor: Actor
) -> RefundRow:
    """
    Count somebody's decision about a merchant's refund; `carry_on` then does what follows.

    Raises:
        RefundAbsent, RefundNotInState, NotEligible, StepUpRequired, ReasonRequired,
        ActionExpired, TransitionRefused, FieldsRefused
    """
    ballot_checks.check_request(request)
    row = await find(tx, *of)
    await voting.vote_in(tx, runtime, _action_of(row), request, actor=actor)
    return row


async def decided_state(tx: Tx, row: RefundRow) -> str:
    """Say what a refund becomes by the decision so far; *row* is it before what follows."""
    decided = await _decided(tx, row)
    if decided is None:
        return row.state
    return State.QUEUED.value if decided in _AGREED else approval.end_of(decided).value


async def cancel(runtime: Runtime, row: RefundRow, actor: Actor, *, reason: str | None) -> None:
    """
    Let whoever asked for a refund take it back before others have agreed.

    Raises:
        RefundNotInState, SameHands, TransitionRefused
    """
    await approvals.cancel(runtime.db, _action_of(row), actor, reason=reason)


def _action_of(row: RefundRow) -> UUID:
    if row.state != State.AWAITING_APPROVAL.value:
        raise RefundNotInState(f"It is {row.state}, and waits for nobody.", state=row.state)
    if row.approval_via == "remote":
        raise NotEligible("Another service decides about this refund.", why="decided-elsewhere")
    assert row.approval_id is not None
    return UUID(row.approval_id)


async def carry_on(runtime: Runtime, merchant_id: str, refund_id: str) -> RefundRow:
    """Do what the decision about a refund asks for, unless that has been done."""
    db = runtime.db
    async with db.transaction("refunds.look", merchant_id=merchant_id, readonly=True) as tx:
        row = await find(tx, merchant_id, refund_id)
        decided = await _decided(tx, row)
    if decided == "approved":
        assert row.approval_id is not None
        # A refusal is written down by the engine; the workers try again, or give it back.
        with contextlib.suppress(Refusal, Outage):
            await execution.execute(runtime, UUID(row.approval_id), sweeps.AUTO_EXECUTOR)
    elif decided is not None:
        async with db.transaction("refunds.settle_ended", merchant_id=merchant_id) as tx:
            await approval.settle_ended(tx, params_of(row), decided)
    async with db.transaction("refunds.look", merchant_id=merchant_id, readonly=True) as tx:
        return await find(tx, merchant_id, refund_id)


async def _decided(tx: Tx, row: RefundRow) -> str | None:
    """Return how its action was decided, if the refund does not know that yet."""
    if row.state != State.AWAITING_APPROVAL.value or row.approval_via == "remote":
        return None
    assert row.approval_id is not None
    found = await tx.one(list_store.FIND_DECISION, action_id=UUID(row.approval_id))
    return None if found is None or found.state not in list_store.DECIDED else found.state


def params_of(row: RefundRow) -> MerchantRefund:
    return MerchantRefund(
        merchant_id=row.merchant_id,
        refund_id=row.id,
        transaction_id=row.transaction_id,
        amount=Amount(row.currency, row.amount),
        reason=row.reason,
    )


async def give_details(
    tx: Tx, merchant_id: str, refund_id: str, destination: Destination, *, by: By
) -> tuple[RefundRow, RefundRow]:
    """
    Say where a refund goes whose payment does not tell; it is sent again. Return before and after.

    Raises:
        RefundAbsent: the merchant has no such refund.
        RefundNotInState: it does not wait for that.
    """
    before = (await moves.lock(tx, merchant_id, refund_id)).refund
    if before.state != State.NEEDS_DETAILS.value:
        raise RefundNotInState(f"It is {before.state}.", state=before.state)
    written = msgspec.to_builtins(destination)
    after = await moves.send_again(tx, before, by, destination=written)
    return before, after


async def end_overdue(runtime: Runtime) -> int:
    """
    Give back what nobody agreed to, or said where to send, in time; return how many.

    The engine tells of each action that ends; this is for those it could not tell of.
    """
    db = runtime.db
    await sweeps.escalate_expired(runtime)
    count = 0
    for row in await db.read(list_store.LIST_ENDED, limit=_BATCH):
        async with db.transaction("refunds.settle_ended") as tx:
            refund = await find(tx, row.merchant_id, row.id)
            await approval.settle_ended(tx, params_of(refund), row.state)
        count += 1
    count += await remote.end_overdue(db)
    for each in await db.read(list_store.LIST_WITHOUT_DETAILS, limit=_BATCH):
        await _give_up(db, each.merchant_id, each.id)
        count += 1
    return count


async def _give_up(db: Database, merchant_id: str, refund_id: str) -> None:
    async with db.transaction("refunds.give_up") as tx:
        locked = await moves.lock(tx, merchant_id, refund_id)
        if locked.refund.state == State.NEEDS_DETAILS.value:
            await moves.release(tx, locked, State.FAILED, moves.SYSTEM, code=_NEVER_TOLD)
