"""Questions about proposals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from molam.mesh.routing import facts_store, store
from molam.mesh.routing.model import ProposalAbsent
from molam.platform.db import Tx

_END = datetime(9999, 1, 1, tzinfo=UTC)


class Position(msgspec.Struct, frozen=True):
    """The last proposal of a page."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[store.ProposalRow]
    has_more: bool


async def get(tx: Tx, proposal_id: str) -> store.ProposalRow:
    """
    Raises:
        ProposalAbsent: no proposal has this id.
    """
    row = await tx.one(store.FIND_PROPOSAL, id=proposal_id)
    if row is None:
        raise ProposalAbsent("No proposal has this id.")
    return row


async def newest(
    tx: Tx,
    *,
    region_id: str | None = None,
    status: str | None = None,
    beyond: Position | None = None,
    limit: int = 100,
) -> Page:
    """List proposals, the newest first."""
    beyond = beyond or Position(_END, "")
    rows = await tx.all(
        store.LIST_PROPOSALS,
        region=region_id,
        status=status,
        at=beyond.at,
        id=beyond.id,
        limit=limit + 1,
    )
    return Page(rows[:limit], len(rows) > limit)


async def now(tx: Tx) -> datetime:
    """Ask PostgreSQL for the time, which is the only clock that deadlines go by."""
    asked = await tx.one(facts_store.ASK_TIME)
    assert asked is not None
    return asked.at
