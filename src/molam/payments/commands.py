"""Intake: what wallets report becomes rows and ledger transfers, each fact once."""

from __future__ import annotations

import json

import msgspec

from molam.ledger import commands as ledger
from molam.payments import store
from molam.payments.disputes import intake as disputes
from molam.platform.db import Tx

TOPICS = (
    "wallet_txn_created",
    "wallet_txn_succeeded",
    "refund_created",
    "payout_created",
    "dispute_created",
)

ABANDONED_BATCH_MAX = 1000


async def store_events(tx: Tx, payloads: list[str]) -> None:
    """
    Store a batch of CloudEvents and move the money they report, in the same commit.

    Order, repetition and batch boundaries do not matter: the greatest version of
    a fact wins, and the ledger moves by the difference to what it moved before.
    """
    await store_facts(tx, f"[{','.join(payloads)}]")


async def store_facts(tx: Tx, events: str) -> int:
    """Do the same for a JSON array of events; return how many rows changed."""
    told = await tx.one(store.LOCK_MERCHANTS, events=events)
    assert told is not None
    statements = [store.STORE_TRANSACTIONS]
    if "payout_created" in told.topics:
        statements.append(store.STORE_PAYOUTS)
    changed = 0
    transfers: list[str] = []
    merchants: set[str] = set()
    if "dispute_created" in told.topics:
        # Before the payments, as locks are ranked.
        disputed = await disputes.take_in(tx, events)
        changed += len(disputed.merchants)
        merchants.update(disputed.merchants)
        if disputed.transfers:
            transfers.append(_listed(msgspec.json.encode(disputed.transfers).decode()))
    for statement in statements:
        stored = await tx.one(statement, events=events)
        assert stored is not None
        changed += stored.rows
        merchants.update(stored.merchants or ())
        if stored.refunded is not None:
            await tx.run(store.SET_REFUNDED, refunded=stored.refunded)
        if stored.transfers is not None:
            transfers.append(_listed(stored.transfers))
    if transfers:
        await ledger.post_transfers(tx, f"[{','.join(transfers)}]")
    if merchants:
        await tx.run(store.TELL_MERCHANTS, merchants=sorted(merchants))
    return changed


async def store_imported(tx: Tx, rows_json: str) -> int:
    """
    Store imported history; return how many rows are new.

    *rows_json* is a JSON array of event ``data`` objects. They post nothing, tell
    nobody, and never replace what a wallet reported.
    """
    events = _as_events(rows_json)
    await tx.one(store.LOCK_MERCHANTS, events=events)
    stored = await tx.one(store.STORE_IMPORTED, events=events)
    assert stored is not None
    if stored.refunded is not None:
        await tx.run(store.SET_REFUNDED, refunded=stored.refunded)
    return stored.rows


async def abandon_undecided(tx: Tx) -> int:
    """Mark payments that nobody decided for 24 hours; return how many, at most a batch."""
    found = await tx.one(store.FIND_ABANDONED, limit=ABANDONED_BATCH_MAX)
    assert found is not None
    if found.events is None:
        return 0
    return await store_facts(tx, found.events)


def _as_events(rows_json: str) -> str:
    rows = json.loads(rows_json)
    return json.dumps(
        [
            {
                "type": "refund_created" if row.get("type") == "refund" else "wallet_txn_created",
                "data": row,
            }
            for row in rows
        ]
    )


def _listed(array: str) -> str:
    """Take the brackets off a JSON array, to put it together with others."""
    return array.removeprefix("[").removesuffix("]")
