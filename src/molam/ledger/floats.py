"""Agents' floats: how much is left, what moved, and moving some between treasury and agent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from molam.kernel.clock import Instant
from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal
from molam.ledger import commands
from molam.ledger import float_store as store
from molam.platform.db import Tx

TREASURY = "treasury:float"
CAUSE = "float.adjusted"

Adjustment = Literal["top_up", "sweep"]


class FloatOutOfRange(Refusal):
    code = "float-out-of-range"
    kind = Kind.BROKEN_RULE
    title = "The float cannot take this adjustment"


@dataclass(frozen=True, slots=True)
class Move:
    """
    One adjustment of an agent's float. *id* is its transfer's: it moves money once.

    A ``top_up`` moves money from the treasury to the agent, a ``sweep`` back.
    """

    id: UUID
    agent_id: str
    adjustment: Adjustment
    minor: int
    currency: str
    cause_id: str
    at: Instant


def account_of(agent_id: str, currency: str) -> str:
    return f"agent:{agent_id}:float:{currency}"


def balance_after(balance: int, adjustment: Adjustment, minor: int) -> int:
    """
    Tell what an adjustment makes of a balance, in minor units.

    Raises:
        FloatOutOfRange: the float has less than that, or would have more than can be kept.
    """
    assert minor > 0
    after = balance + minor if adjustment == "top_up" else balance - minor
    if after < 0:
        raise FloatOutOfRange("The float holds less than that.", balance=balance, asked=minor)
    if after > MINOR_MAX:
        raise FloatOutOfRange("The float would be too large.", balance=balance, asked=minor)
    return after


async def balance_of(tx: Tx, agent_id: str, currency: str) -> int:
    """Return an agent's float in minor units; one that never had any has 0."""
    row = await tx.one(store.FIND_FLOAT, id=account_of(agent_id, currency))
    return 0 if row is None else row.balance


async def movements_of(
    tx: Tx, agent_id: str, currency: str, *, limit: int = 50
) -> list[store.MovementRow]:
    """List what moved an agent's float, newest first."""
    return await tx.all(
        store.LIST_MOVEMENTS,
        agent_id=agent_id,
        account_id=account_of(agent_id, currency),
        limit=limit,
    )


async def merchant_balances(tx: Tx, merchant_id: str) -> list[store.MerchantBalanceRow]:
    """List what a merchant has with us, one row a currency."""
    return await tx.all(store.LIST_MERCHANT_BALANCES, merchant_id=merchant_id)


async def adjust(tx: Tx, move: Move) -> tuple[int, int] | None:
    """
    Move money between the treasury and a float; return the float before and after.

    None means that this very move was made before, and nothing moved now.

    Raises:
        FloatOutOfRange: the float has less than that, or would have more than can be kept.
    """
    account_id = account_of(move.agent_id, move.currency)
    await tx.run(store.PUT_FLOAT, id=account_id, currency=move.currency)
    locked = await tx.one(store.LOCK_FLOAT, id=account_id)
    assert locked is not None
    if await tx.one(store.FIND_MOVE, id=move.id) is not None:
        return None
    after = balance_after(locked.balance, move.adjustment, move.minor)
    agent = account_id.removesuffix(f":{move.currency}")
    source, target = (TREASURY, agent) if move.adjustment == "top_up" else (agent, TREASURY)
    moved = await commands.post_transfers(
        tx,
        json.dumps(
            [
                {
                    "id": str(move.id),
                    "source": source,
                    "target": target,
                    "amount": move.minor,
                    "currency": move.currency,
                    "agent_id": move.agent_id,
                    "cause": CAUSE,
                    "cause_id": move.cause_id,
                    "occurred_at": move.at.isoformat(),
                }
            ]
        ),
    )
    assert moved == 1, "the float is locked, and the move was not there"
    return locked.balance, after
