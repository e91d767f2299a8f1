"""Refunds that another service decides about: asked after the commit, heard until time is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import structlog
from prometheus_client import Counter

from molam.approvals.model import SameHands
from molam.approvals.risk.model import payload_hash
from molam.kernel.clock import Instant
from molam.payments.refunds import approval, moves, remote_store, store
from molam.payments.refunds.model import State
from molam.payments.refunds.moves import SYSTEM, By
from molam.payments.refunds.refusals import RefundNotInState
from molam.payments.refunds.remote_service import MISMATCH, ApprovalService, Asked, Seen, Trouble
from molam.payments.refunds.remote_store import DueRow, PlaceRow
from molam.payments.refunds.store import RefundRow
from molam.platform import jobs
from molam.platform.actions import PreconditionChanged
from molam.platform.db import Database, Query, Tx
from molam.platform.db.transaction import Nothing
from molam.tenancy import standing

# Note [Approvals by another service]
#
# What the service is asked is written down with the refund, in one transaction, and never
# changes. A job asks it after the commit under the refund's id, so that however often that
# is repeated there is one approval. Then the service is looked at until it has decided.
#
# Its word counts under the refund's lock, before the refund's own end by PostgreSQL's
# clock, and only about exactly what it was asked: amount, payment, merchant and refund are
# part of the payload. Anything else it says is reported and changes nothing. At the end of
# its time the refund gives its money back whatever the service says, or does not say.

log = structlog.get_logger()

FOLLOW = "refunds.follow_remote"
ACTION_TYPE = "refund.merchant_initiated"
ORIGIN_MODULE = "merchant_dashboard"
SERVICE = By("approval-service", "Approval service", "service")

HEARD = Counter(
    "molam_refund_remote_approvals_total", "What the approval service said of refunds.", ["said"]
)

LOOK_EVERY_S = 10.0
LEASE_S = 60.0
"""Longer than a question and a look may take together."""
_TROUBLE_MAX_S = 120.0
_LATE_S = 30.0
_BATCH = 200
_OPENS, _CLOSES = 8, 18
_SATURDAY = 5
_COUNTRY_LENGTH = 2

_APPROVED = frozenset({"approved", "auto_approved"})
_WAITING = frozenset({"held", "pending"})


class Follow(msgspec.Struct, frozen=True):
    """Arguments of the job `FOLLOW`."""

    merchant_id: str
    refund_id: str
    version: int = 1


async def ask(tx: Tx, row: RefundRow, *, minutes: int, timezone: str) -> RefundRow:
    """Write down what the service will be asked about a refund, and let it be asked."""
    place = await tx.one(
        remote_store.READ_PLACE, merchant_id=row.merchant_id, transaction_id=row.transaction_id
    )
    assert place is not None, "a refund refers to its payment"
    request = request_of(row, place, minutes=minutes, timezone=timezone)
    await tx.run(
        remote_store.INSERT_REMOTE,
        merchant_id=row.merchant_id,
        refund_id=row.id,
        request=request,
        payload_hash=payload_hash(request["payload"]).hex(),
    )
    await jobs.enqueue(tx, FOLLOW, Follow(row.merchant_id, row.id))
    written = await tx.one(
        store.SET_APPROVAL,
        merchant_id=row.merchant_id,
        id=row.id,
        approval_id=None,
        approval_via="remote",
        approvers=[],
        expires_at=place.now + timedelta(minutes=minutes),
    )
    assert written is not None
    return written


def request_of(row: RefundRow, place: PlaceRow, *, minutes: int, timezone: str) -> dict[str, Any]:
    """Write the question as the specification has it, and which refund it is about."""
    country = _country(place.payment_country) or place.merchant_country
    return {
        "action_type": ACTION_TYPE,
        "origin_module": ORIGIN_MODULE,
        "origin_entity_id": row.transaction_id,
        "created_by": row.created_by,
        "expires_in_minutes": minutes,
        "payload": {
            "amount": row.amount,
            "currency": row.currency,
            "origin_country": country,
            "account_country": country,
            "business_hours": is_business_hours(place.now, timezone),
            "description": row.reason,
            "merchant_id": row.merchant_id,
            "transaction_id": row.transaction_id,
            "refund_id": row.id,
        },
    }


def is_business_hours(now: Instant, timezone: str) -> bool:
    """Tell whether it is a working day, from 8 to 18 o'clock, where the merchant is."""
    local = now.astimezone(ZoneInfo(timezone))
    return local.weekday() < _SATURDAY and _OPENS <= local.hour < _CLOSES


def _country(said: str | None) -> str | None:
    """Read a payment's country; what is not one counts as not said."""
    if said is None or len(said) != _COUNTRY_LENGTH or not (said.isascii() and said.isalpha()):
        return None
    return said.upper()


async def follow(service: ApprovalService, db: Database, merchant_id: str, refund_id: str) -> None:
    """Ask the service about a refund, or what has become of that; safe to repeat at any point."""
    async with db.transaction("refunds.claim_remote") as tx:
        due = await tx.one(
            remote_store.CLAIM_REMOTE,
            merchant_id=merchant_id,
            refund_id=refund_id,
            lease_s=LEASE_S,
        )
    if due is None:
        return
    approval_id = due.approval_id
    if approval_id is None:
        asked = await service.ask(due.request, key=due.refund_id)
        if isinstance(asked, Trouble):
            await _note(db, due, asked)
            return
        await _keep(db, due, asked)
        if asked.status in _WAITING:
            return
        approval_id = asked.approval_id
    seen = await service.look(approval_id)
    trouble = seen if isinstance(seen, Trouble) else _mismatch(due, approval_id, seen)
    if trouble is not None:
        await _note(db, due, trouble)
        return
    assert isinstance(seen, Seen)
    await hear(db, due, seen)


def _mismatch(due: DueRow, approval_id: str, seen: Seen) -> Trouble | None:
    """Find whether the service speaks of something else than it was asked."""
    said, asked = seen.approval, due.request
    is_same = (
        said.id == approval_id
        and said.action_type == asked["action_type"]
        and (
            said.payload == asked["payload"]
            if said.payload_hash is None
            else said.payload_hash == due.payload_hash
        )
    )
    if is_same:
        return None
    log.error("refunds.approval_service.mismatch", refund=due.refund_id, approval=said.id)
    return Trouble(MISMATCH)


async def hear(db: Database, due: DueRow, seen: Seen) -> None:
    """Let what the service decided have its effect, if the refund still waits for it."""
    said = seen.approval
    status = said.status
    if status == "overridden":
        status = "approved" if said.override_decision == "approve" else "rejected"
    HEARD.labels(said.status).inc()
    async with db.transaction("refunds.hear_remote") as tx:
        if status in _WAITING:
            await _go_on(tx, due, remote_store.SET_HEARD, delay_s=LOOK_EVERY_S)
            return
        locked = await moves.lock(tx, due.merchant_id, due.refund_id)
        row = locked.refund
        if row.state != State.AWAITING_APPROVAL.value or row.approval_id != said.id:
            return
        await tx.run(
            remote_store.SET_HEARD,
            merchant_id=due.merchant_id,
            refund_id=due.refund_id,
            delay_s=LEASE_S,
        )
        if await _is_overdue(tx, row):
            await moves.release(tx, locked, State.EXPIRED, SYSTEM, code="approval-expired")
        elif status in _APPROVED:
            await _let_go(tx, locked, approved_by=_approver(row, seen))
        else:
            to = State.EXPIRED if status == "expired" else State.REJECTED
            await moves.release(tx, locked, to, SERVICE, code=f"approval-{to.value}")


async def _let_go(tx: Tx, locked: moves.Locked, *, approved_by: str) -> None:
    """Let an approved refund be sent, after looking at everything again under its locks."""
    row = locked.refund
    found = await standing.standing_of(tx, row.merchant_id)
    try:
        if found.status != "active":
            raise PreconditionChanged(f"The merchant is {found.status} by now.")
        await approval.check_still_possible(tx, locked)
    except PreconditionChanged as changed:
        await moves.release(
            tx, locked, State.FAILED, SYSTEM, code="no-longer-possible", detail=changed.detail
        )
        return
    await moves.approve(tx, locked, SERVICE, approved_by=approved_by)


def _approver(row: RefundRow, seen: Seen) -> str:
    """Name who agreed; whoever asked for the refund is never one of them."""
    said = [each.approver_id for each in seen.votes if each.decision == "approve"]
    return next((each for each in said if each != row.created_by), SERVICE.id)


async def cancel(tx: Tx, merchant_id: str, refund_id: str, by: By) -> None:
    """
    Take back one's own refund while it waits for the service, whose word then changes nothing.

    Raises:
        RefundAbsent, RefundNotInState, SameHands
    """
    locked = await moves.lock(tx, merchant_id, refund_id)
    row = locked.refund
    if row.state != State.AWAITING_APPROVAL.value:
        raise RefundNotInState(f"It is {row.state}, and waits for nobody.", state=row.state)
    if by.id != row.created_by:
        raise SameHands("Only whoever asked for it may take it back.")
    await moves.release(tx, locked, State.CANCELLED, by, code="approval-cancelled")


async def end_overdue(db: Database) -> int:
    """Give back what the service did not agree to in time; return how many."""
    rows = await db.read(remote_store.LIST_OVERDUE, limit=_BATCH)
    for each in rows:
        async with db.transaction("refunds.expire_remote") as tx:
            locked = await moves.lock(tx, each.merchant_id, each.id)
            waits = locked.refund.state == State.AWAITING_APPROVAL.value
            if waits and await _is_overdue(tx, locked.refund):
                await moves.release(tx, locked, State.EXPIRED, SYSTEM, code="approval-expired")
    return len(rows)


async def pick_up(db: Database) -> int:
    """Let those be followed again whose job was lost; return how many."""
    rows = await db.read(remote_store.LIST_DUE, late_s=_LATE_S, limit=_BATCH)
    async with db.transaction("refunds.pick_up_remote") as tx:
        await jobs.enqueue_all(tx, [(FOLLOW, Follow(each.merchant_id, each.id)) for each in rows])
    return len(rows)


async def _keep(db: Database, due: DueRow, asked: Asked) -> None:
    """Write down under which id the service knows the refund."""
    async with db.transaction("refunds.asked_remote") as tx:
        await moves.lock(tx, due.merchant_id, due.refund_id)
        await tx.run(
            remote_store.SET_REMOTE_ID,
            merchant_id=due.merchant_id,
            refund_id=due.refund_id,
            approval_id=asked.approval_id,
        )
        await _go_on(tx, due, remote_store.SET_HEARD, delay_s=LOOK_EVERY_S)


async def _note(db: Database, due: DueRow, trouble: Trouble) -> None:
    """Keep why nothing was learned, and try again later, less and less often."""
    HEARD.labels(trouble.code).inc()
    delay_s = min(LOOK_EVERY_S * 2**due.failures, _TROUBLE_MAX_S)
    async with db.transaction("refunds.note_remote") as tx:
        await _go_on(tx, due, remote_store.SET_TROUBLE, delay_s=delay_s, trouble=trouble.code)


async def _go_on(
    tx: Tx, due: DueRow, query: Query[Nothing], *, delay_s: float, **more: str
) -> None:
    about = Follow(due.merchant_id, due.refund_id)
    await tx.run(
        query, merchant_id=about.merchant_id, refund_id=about.refund_id, delay_s=delay_s, **more
    )
    await jobs.enqueue(tx, FOLLOW, about, delay_s=delay_s)


async def _is_overdue(tx: Tx, row: RefundRow) -> bool:
    found = await tx.one(remote_store.IS_OVERDUE, merchant_id=row.merchant_id, refund_id=row.id)
    assert found is not None
    return found.is_overdue
