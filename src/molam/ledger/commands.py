"""What other domains may ask the ledger to do."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from molam.kernel.clock import Instant
from molam.ledger import store
from molam.platform.db import Tx


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """
    One movement between two accounts, named without their currency.

    *id* is derived from the fact and the step it takes, so that a step moves its money
    once however often it is taken.
    """

    id: UUID
    source: str
    target: str
    amount: int
    currency: str
    merchant_id: str
    cause: str
    cause_id: str
    occurred_at: Instant


class OwnTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """A movement of money that is nobody's but the platform's, such as between its banks."""

    id: UUID
    source: str
    target: str
    amount: int
    currency: str
    cause: str
    cause_id: str
    occurred_at: Instant


def available(merchant_id: str) -> str:
    """Name the account a merchant is paid from."""
    return f"merchant:{merchant_id}:available"


def reserved(merchant_id: str) -> str:
    """Name the account that holds what a merchant has promised to customers."""
    return f"merchant:{merchant_id}:reserved"


def in_payout(merchant_id: str) -> str:
    """Name the account that holds what is on its way to a merchant's bank."""
    return f"merchant:{merchant_id}:in_payout"


def at_bank(bank_profile_id: str) -> str:
    """Name the account that stands for our money at a bank."""
    return f"banks:{bank_profile_id}"


async def post(tx: Tx, transfers: Sequence[Transfer | OwnTransfer]) -> int:
    """
    Move money between accounts, each transfer once per id; return how many moved.

    Transfers of nothing are left out, so callers need not ask whether there is a fee.
    """
    moving = [each for each in transfers if each.amount]
    assert all(each.amount > 0 for each in moving), "money moves forward; swap the accounts"
    if not moving:
        return 0
    return await post_transfers(tx, msgspec.json.encode(moving).decode())


async def post_transfers(tx: Tx, transfers: str) -> int:
    """
    Do what `post` does for a JSON array of transfers.

    It is text, and not objects, because some callers get it from PostgreSQL as it is: a
    batch of intake crosses Python without being taken apart. There ``available`` alone
    names the merchant's own balance, and ``agent_id`` stands where an agent's money moves.
    """
    posted = await tx.one(store.POST_TRANSFERS, transfers=transfers)
    assert posted is not None
    return posted.transfers


async def lock_available(tx: Tx, *, merchant_id: str, currency: str) -> int:
    """Read a merchant's balance, and let nothing else move it until *tx* ends."""
    id_ = f"{available(merchant_id)}:{currency}"
    row = await tx.one(store.LOCK_BALANCE, id=id_)
    if row is None:
        # Nothing was ever sold in this currency, or it is just being sold.
        await tx.run(store.PUT_AVAILABLE, id=id_, merchant_id=merchant_id, currency=currency)
        row = await tx.one(store.LOCK_BALANCE, id=id_)
    assert row is not None
    return row.balance
