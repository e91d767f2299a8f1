"""Leading payouts that were made after a route into another region was applied."""

from __future__ import annotations

from molam.mesh.control import following_store
from molam.mesh.control.apply import SWEEP, Sweep
from molam.mesh.control.sweeping import ROUNDS_MAX
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue

# Note [Whoever comes later]
#
# No route in force names a bank of another region, for whoever is given one without a
# reservation could fill its corridor beyond what was agreed. So a payout that is made while
# such a route stands has no bank for a moment: the transaction that makes it leaves a job,
# and that sweeps it like all others, with the corridor locked and its amount reserved. Only
# the newest route of these amounts leads on, and only while the gate that it closed is
# shut. What finds no room is tried again each minute, for a corridor frees as payouts
# fail and regions settle.


async def follow(tx: Tx, currency: str | None = None, *, again: bool = False) -> int:
    """
    Let what waits go where routes into other regions lead; return how many routes do so.

    *again* is for whoever comes by the clock: a sweep that waits already is enough then.
    """
    standing = await tx.all(following_store.LIST_STANDING, currency=currency)
    for row in standing:
        # The last round: it is not for this sweep to come back, the next minute does.
        asked = Sweep(
            row.proposal_id, row.share, row.action_id, row.actor_kind, row.actor_id, ROUNDS_MAX
        )
        once = f"{SWEEP}/follow/{row.proposal_id}" if again else None
        await enqueue(tx, SWEEP, asked, once=once)
    return len(standing)


async def follow_all(db: Database) -> None:
    """Do so for every currency."""
    async with db.transaction("mesh.follow") as tx:
        await follow(tx, again=True)
