"""What merchants look at: their endpoints, how these are doing, and the delivery log."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import msgspec

from molam.platform.db import Database, Tx
from molam.webhooks import log_store, store
from molam.webhooks.bodies import body_of
from molam.webhooks.log_store import AttemptRow, DeliveryRow, HealthRow
from molam.webhooks.store import EndpointRow
from molam.webhooks.subscriptions import DeliveryAbsent, EndpointAbsent


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which deliveries of an endpoint are listed; None is all."""

    state: str | None = None
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """A page of the log, newest first."""

    rows: list[DeliveryRow]
    has_more: bool


async def endpoints(db: Database, merchant_id: str) -> list[EndpointRow]:
    """List a merchant's endpoints, oldest first; there are few."""
    return await db.read(store.LIST_ENDPOINTS, merchant_id=merchant_id, id=None)


async def endpoint(db: Database, merchant_id: str, endpoint_id: str) -> EndpointRow:
    """
    Raises:
        EndpointAbsent: the merchant has no such endpoint.
    """
    rows = await db.read(store.LIST_ENDPOINTS, merchant_id=merchant_id, id=endpoint_id)
    if not rows:
        raise EndpointAbsent("Check the id, or list your endpoints.")
    return rows[0]


async def health(db: Database, merchant_id: str) -> dict[str, HealthRow]:
    """Say how each endpoint is doing, from its latest 500 deliveries."""
    rows = await db.read(log_store.HEALTH, merchant_id=merchant_id)
    return {row.endpoint_id: row for row in rows}


async def deliveries(
    db: Database,
    merchant_id: str,
    endpoint_id: str,
    narrowing: Narrowing,
    *,
    beyond: int | None,
    limit: int,
) -> Log:
    """List what an endpoint got, newest first, from the sequence *beyond* on."""
    rows = await db.read(
        log_store.LIST_DELIVERIES,
        merchant_id=merchant_id,
        endpoint_id=endpoint_id,
        state=narrowing.state,
        event=narrowing.event,
        beyond=beyond,
        limit=limit + 1,
    )
    return Log(rows[:limit], len(rows) > limit)


async def delivery(
    db: Database, merchant_id: str, delivery_id: UUID
) -> tuple[DeliveryRow, list[AttemptRow]]:
    """
    Find one delivery with its attempts.

    Raises:
        DeliveryAbsent: the merchant has no such delivery.
    """
    rows = await db.read(log_store.FIND_DELIVERY, merchant_id=merchant_id, id=delivery_id)
    if not rows:
        raise DeliveryAbsent("It may be older than what is kept.")
    attempts = await db.read(
        log_store.LIST_ATTEMPTS, merchant_id=merchant_id, delivery_id=delivery_id
    )
    return rows[0], attempts


async def body(db: Database, merchant_id: str, event_id: str) -> str:
    """
    Write what was sent for people to read.

    Raises:
        DeliveryAbsent: the merchant has no such event.
    """
    rows = await db.read(log_store.FIND_EVENT, merchant_id=merchant_id, id=event_id)
    if not rows:
        raise DeliveryAbsent("It may be older than what is kept.")
    return msgspec.json.format(body_of(rows[0]), indent=2).decode()


async def subscribed(tx: Tx, event: str) -> list[str]:
    """List the merchants that hear of *event*."""
    return [row.merchant_id for row in await tx.all(store.SUBSCRIBED, event=event)]
