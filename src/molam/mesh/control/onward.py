"""Sending what a route has moved, at once: it waited for a bank that was left, and has another."""

from __future__ import annotations

import msgspec

from molam.mesh.control import sweep_store
from molam.mesh.routing.store import ProposalRow
from molam.payments.payouts import sending
from molam.platform.db import Tx
from molam.platform.jobs import enqueue

SEND_MOVED = "mesh.send_moved"

# Note [After the route and not in it]
#
# Whoever is told to send ten thousand payouts needs not be told while the route holds its
# locks. So applying leaves one job, and that job wakes the payouts' own: most of them have
# one that waits, since their bank's gate was closed when they last tried.


class SendMoved(msgspec.Struct, frozen=True):
    """Arguments of the job `SEND_MOVED`; *opened* is a bank whose gate is open again."""

    proposal_id: str
    currency: str
    rail: str
    opened: str | None = None
    version: int = 1


async def enqueue_send_moved(tx: Tx, row: ProposalRow, *, opened: str | None = None) -> None:
    """Let what the route of *row* moved be sent as soon as *tx* commits."""
    await enqueue(tx, SEND_MOVED, SendMoved(row.id, row.currency, row.rail, opened))


async def send_moved(tx: Tx, asked: SendMoved) -> int:
    """Let what a route moved, and whose time has come, be sent now; return how many those are."""
    due = await tx.all(
        sweep_store.LIST_TO_SEND,
        proposal_id=asked.proposal_id,
        opened=asked.opened,
        currency=asked.currency,
        rail=asked.rail,
    )
    held = [each.id for each in due if each.is_held][: sending.BATCH]
    ready = [id_ for id_ in held if await sending.make_ready(tx, id_)]
    ready += [each.id for each in due if not each.is_held]
    await sending.send_now(tx, ready)
    return len(ready)
