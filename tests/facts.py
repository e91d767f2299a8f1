"""Wallet events for tests: valid by default, everything named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from molam.kernel.clock import Clock, SystemClock
from molam.merchant import commands as merchant
from molam.payments import commands as payments
from molam.platform.db import Database, Tx
from molam.platform.events.consumer import Consumer, Patience
from molam.platform.events.postgres_source import PostgresSource

MERCHANT = "merchant-123"


def an_event(topic: str, **data: Any) -> str:
    """One CloudEvent; give ``id`` or ``transaction_id``, and what matters to the test."""
    data = {
        "merchant_id": MERCHANT,
        "amount": 1000,
        "currency": "XOF",
        "occurred_at": "2026-11-16T12:00:00Z",
        **data,
    }
    name = data.get("id") or data.get("transaction_id")
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{topic}-{name}-{data.get('version', 0)}",
            "source": "tests",
            "type": topic,
            "data": data,
        }
    )


def created(transaction_id: str, **data: Any) -> str:
    return an_event("wallet_txn_created", transaction_id=transaction_id, **data)


def succeeded(transaction_id: str, **data: Any) -> str:
    return an_event("wallet_txn_succeeded", transaction_id=transaction_id, **data)


def refund(id_: str, of: str, **data: Any) -> str:
    return an_event("refund_created", id=id_, transaction_id=of, **{"status": "succeeded", **data})


async def take_in(db: Database, events: Sequence[str]) -> None:
    """Let intake store one batch."""
    async with db.transaction("tests.intake") as tx:
        await payments.store_events(tx, list(events))


async def count(db: Database, events: Sequence[str], *, imported: bool = False) -> int:
    """Let the KPI worker's statement count one batch; return how many facts changed."""
    async with db.transaction("tests.count") as tx:
        counted = await merchant.count_facts(tx, f"[{','.join(events)}]", imported=imported)
    return counted.facts


async def both(db: Database, events: Sequence[str]) -> None:
    await take_in(db, events)
    await count(db, events)


async def drain(db: Database, clock: Clock | None = None, *, batch_max: int = 500) -> int:
    """Let intake and the KPI worker read the log to its end; return how many events they read."""
    worker = merchant.KpiWorker(clock or SystemClock())
    read = 0
    for group, handle in (("intake", payments.store_events), ("kpi", worker.handle)):
        consumer = Consumer(group, merchant.TOPICS, handle, batch_max)
        source = PostgresSource(db, consumer, asyncio.Event())
        await source.open()
        while moved := await source.step(Patience()):
            read += moved
    return read


async def rows(tx: Tx, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await tx.connection.fetch(sql, *arguments)]


async def look(db: Database, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Read rows as the owner of the database sees them."""
    async with db.transaction("tests.look", readonly=True) as tx:
        return await rows(tx, sql, *arguments)
