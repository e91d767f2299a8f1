"""Questions about disputes; every one names its merchant."""

from __future__ import annotations

from dataclasses import dataclass

from molam.kernel.clock import Instant
from molam.payments.disputes import list_store, store
from molam.payments.disputes.model import Dispute, DisputeAbsent, State
from molam.platform.db import Tx

LIMIT_MAX = 200


@dataclass(frozen=True, slots=True)
class OpenDispute:
    """A dispute that keeps its payment from being refunded as well."""

    id: str
    state: State
    stage: int
    amount: int
    currency: str
    evidence_due_at: Instant | None


@dataclass(frozen=True, slots=True)
class Filters:
    """What to list; None does not filter. Dates are half-open instants."""

    state: str | None = None
    status: str | None = None
    transaction_id: str | None = None
    waiting: bool = False
    """Only those somebody must still do something about, the most urgent first."""
    from_at: Instant | None = None
    to_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: strictly beyond this row."""

    at: Instant
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[list_store.ListedRow]
    has_more: bool


async def open_dispute_of(tx: Tx, *, merchant_id: str, transaction_id: str) -> OpenDispute | None:
    """
    Find the dispute that holds a payment's money, or None.

    A refund on top of it would give the customer the money twice. An early warning holds
    nothing: refunding is how it is prevented.
    """
    rows = await tx.all(
        list_store.LIST_OPEN_OF, merchant_id=merchant_id, transaction_id=transaction_id
    )
    if not rows:
        return None
    row = rows[0]
    return OpenDispute(
        row.id, State(row.state), row.stage, row.amount, row.currency, row.evidence_due_at
    )


async def lost_amount_of(tx: Tx, *, merchant_id: str, transaction_id: str) -> int:
    """Sum what of a payment went back to its customer by disputes, in minor units."""
    row = await tx.one(
        list_store.SUM_LOST_OF, merchant_id=merchant_id, transaction_id=transaction_id
    )
    assert row is not None
    return row.amount


async def get(tx: Tx, *, merchant_id: str, id_: str) -> Dispute:
    """
    Raises:
        DisputeAbsent: the merchant has no such dispute.
    """
    row = await tx.one(store.FIND, merchant_id=merchant_id, id=id_)
    if row is None:
        raise DisputeAbsent("Check its number; it may be of another account.")
    return row.dispute


async def lock(tx: Tx, *, merchant_id: str, id_: str) -> tuple[Dispute, Instant]:
    """
    Lock a dispute, look at it then, and tell the time by PostgreSQL's clock.

    Raises:
        DisputeAbsent: the merchant has no such dispute.
    """
    row = await tx.one(store.LOCK, merchant_id=merchant_id, id=id_)
    if row is None:
        raise DisputeAbsent("Check its number; it may be of another account.")
    now = await tx.one(store.NOW)
    assert now is not None
    return row.dispute, now.now


async def listed(
    tx: Tx, *, merchant_id: str, filters: Filters, beyond: Position | None, limit: int
) -> Page:
    """List disputes: the waiting ones by deadline, all others newest first."""
    assert 1 <= limit <= LIMIT_MAX
    params = {
        "merchant_id": merchant_id,
        "state": filters.state,
        "status": filters.status,
        "transaction_id": filters.transaction_id,
        "limit": limit + 1,
    }
    if filters.waiting:
        rows = await tx.all(
            list_store.LIST_WAITING,
            **params,
            at=None if beyond is None else beyond.at,
            id="" if beyond is None else beyond.id,
        )
    else:
        rows = await tx.all(
            list_store.LIST,
            **params,
            from_at=filters.from_at,
            to_at=filters.to_at,
            at=None if beyond is None else beyond.at,
            id="" if beyond is None else beyond.id,
        )
    return Page(rows[:limit], len(rows) > limit)


async def at_risk(tx: Tx, *, merchant_id: str) -> list[list_store.AtRiskRow]:
    """Sum by currency what is held or threatened, and how many disputes wait for an answer."""
    return await tx.all(list_store.SUM_AT_RISK, merchant_id=merchant_id)


async def timeline(tx: Tx, *, merchant_id: str, id_: str) -> list[list_store.EventRow]:
    """List what happened to a dispute, oldest first."""
    return await tx.all(list_store.LIST_EVENTS, merchant_id=merchant_id, id=id_)


def position_of(row: list_store.ListedRow, filters: Filters) -> Position:
    """Say where the page after *row* begins."""
    at = row.evidence_due_at if filters.waiting else row.occurred_at
    assert at is not None, "whatever waits has a deadline"
    return Position(at, row.id)
