"""How banks stand as routing sees them: doubted, where other regions make us."""

from __future__ import annotations

from dataclasses import replace

from molam.mesh.room import overview_store
from molam.mesh.room.overview_store import StandingRow
from molam.mesh.signals import queries as signals
from molam.platform.db import Database


async def standings(db: Database, *, limit: int, bank: str | None = None) -> list[StandingRow]:
    """List how banks stand on each rail and in each currency, or how one does."""
    rows = await db.read(overview_store.LIST_STANDINGS, bank=bank, limit=limit)
    async with db.transaction("mesh.doubts", readonly=True) as tx:
        health = await signals.health_of(tx, bank_ids=None if bank is None else [bank])
    doubted = {each.key: each for each in health if each.doubted_by}
    found = []
    for row in rows:
        belief = doubted.get((row.bank_profile_id, row.rail, row.currency))
        if belief is None:
            found.append(row)
            continue
        found.append(
            replace(
                row,
                p_down=belief.p_down,
                score=belief.score,
                score_low=belief.score_low,
                doubted_by=list(belief.doubted_by),
            )
        )
    return found
