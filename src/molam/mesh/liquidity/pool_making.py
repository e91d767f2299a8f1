"""Making a pool: who takes part in it, and what it allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.ids import show, uuid7
from molam.mesh.liquidity import model, pool_store
from molam.mesh.liquidity.pool_store import PoolRow
from molam.mesh.members import regions
from molam.platform.db import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPool:
    id: str | None
    mesh_region_id: str
    name: str
    currency: str
    participants: Sequence[str]
    max_single_draw: int | None = None
    daily_draw_limit: int | None = None
    auto_rebalance_enabled: bool = False
    rebalance_threshold_pct: int = 20


async def create(tx: Tx, asked: NewPool, *, now: Instant) -> PoolRow:
    """
    Make an empty pool; the same id again gives the pool that is there.

    Raises:
        RegionAbsent: no such region.
        PoolRefused: the name is taken, or a participant is no bank for the currency.
    """
    currency(asked.currency)
    region = await regions.get(tx, asked.mesh_region_id)
    participants = sorted(set(asked.participants))
    known = {
        row.id: row.currency_codes for row in await tx.all(pool_store.LIST_BANKS, ids=participants)
    }
    for id_ in participants:
        if asked.currency not in known.get(id_, ()):
            raise model.PoolRefused(f"{id_[:64]!r} is no bank of ours that keeps {asked.currency}.")
    id_ = asked.id or show("pool", uuid7(now))
    made = await tx.run(
        pool_store.INSERT_POOL,
        id=id_,
        mesh_region_id=region.id,
        name=asked.name,
        currency=asked.currency,
        participants=participants,
        max_single_draw=asked.max_single_draw,
        daily_draw_limit=asked.daily_draw_limit,
        auto_rebalance_enabled=asked.auto_rebalance_enabled,
        rebalance_threshold_pct=asked.rebalance_threshold_pct,
    )
    row = await tx.one(pool_store.FIND_POOL, id=id_)
    if row is None or (not made and asked.id is None):
        raise model.PoolRefused("The region has a pool of this name already.")
    if not made and (row.name, row.currency) != (asked.name, asked.currency):
        raise model.PoolRefused("There is another pool of this id.")
    return row
