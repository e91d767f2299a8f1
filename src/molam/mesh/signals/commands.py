"""Asking for a decision when what is believed of a bank passes a level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from molam.mesh.signals import store
from molam.mesh.signals.model import Decide
from molam.platform.db import Tx
from molam.platform.jobs import enqueue

DECIDE = "mesh.decide"


@dataclass(frozen=True, slots=True)
class Crossing:
    """A bank's probability of being down, at another level than before."""

    bank_profile_id: str
    rail: str
    currency: str
    level: int


async def ask_to_decide(tx: Tx, crossings: Iterable[Crossing]) -> None:
    """
    Let the controller decide about each *crossing*, once.

    A decision about the same bank that has reached the same level may be waiting or under
    way: it sees, or will see, what this one would. One about another level may have looked
    before this was true, so it does not stand for this one.
    """
    for each in sorted(set(crossings), key=lambda c: (c.currency, c.rail, c.bank_profile_id)):
        once = f"{DECIDE}/{each.currency}/{each.rail}/{each.bank_profile_id}/{each.level}"
        await enqueue(tx, DECIDE, Decide(each.currency, each.rail), once=once)


async def tell_pages(tx: Tx) -> None:
    """Let open pages look again when *tx* commits."""
    await tx.run(store.TELL_PAGES)
