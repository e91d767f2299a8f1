"""What other domains may ask the ledger to do."""

from __future__ import annotations

from molam.ledger import store
from molam.platform.db import Tx


async def post_transfers(tx: Tx, transfers: str) -> int:
    """
    Move money between accounts, each transfer once per id; return how many moved.

    *transfers* is a JSON array of ``{id, source, target, amount, currency,
    merchant_id, cause, cause_id, occurred_at}`` with amounts in minor units, or
    with ``agent_id`` where an agent's money moves. An account is named without its
    currency: ``customers:wallet``, ``molam:fees``, or ``available`` for the
    merchant's own balance.

    It is text, and not objects, because its callers get it from PostgreSQL as it
    is: a batch of intake crosses Python without being taken apart.
    """
    posted = await tx.one(store.POST_TRANSFERS, transfers=transfers)
    assert posted is not None
    return posted.transfers
