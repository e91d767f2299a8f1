"""Regions: groups of banks that can stand in for one another."""

from __future__ import annotations

from molam.mesh.members import store
from molam.mesh.members.model import RegionAbsent
from molam.mesh.members.store import RegionRow
from molam.platform.db import Tx

_REGIONS_MAX = 100


async def find(tx: Tx, region: str) -> RegionRow | None:
    """Find a region by its id or its name."""
    return await tx.one(store.FIND_REGION, region=region)


async def get(tx: Tx, region: str) -> RegionRow:
    """
    Read a region by its id or its name.

    Raises:
        RegionAbsent: there is none.
    """
    row = await find(tx, region)
    if row is None:
        raise RegionAbsent("Regions are listed by GET /api/mesh/regions.")
    return row


async def all_of(tx: Tx) -> list[RegionRow]:
    return await tx.all(store.LIST_REGIONS, limit=_REGIONS_MAX)
