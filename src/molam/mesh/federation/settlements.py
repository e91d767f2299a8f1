"""What regions pay each other for what went through a corridor."""

from __future__ import annotations

from molam.kernel.clock import Instant
from molam.kernel.ids import show, uuid7
from molam.mesh.federation import corridor_store as store
from molam.mesh.federation import corridors, model
from molam.mesh.federation.corridor_store import CorridorRow, SettlementRow
from molam.mesh.federation.store import NOTIFY_PAGES
from molam.platform.db import Tx

LIMIT = 100


async def record(
    tx: Tx, corridor_id: str, *, amount: int, reference: str, by: str, now: Instant
) -> SettlementRow:
    """
    Note that *amount* was paid for what a corridor carried; it counts once somebody else agrees.

    The same reference and amount again is the same settlement, also once it counts.

    Raises:
        CorridorAbsent
        SettlementRefused: the reference stands for another amount; or more than was used.
    """
    await tx.run(store.LOCK_CORRIDOR, id=corridor_id)
    corridor = await corridors.get(tx, corridor_id)
    of = {"corridor_id": corridor_id, "id": None, "reference": reference}
    row = await tx.one(store.FIND_SETTLEMENT, **of)
    if row is None:
        _check_carried(corridor, amount)
        await tx.run(
            store.INSERT_SETTLEMENT,
            id=show("cst", uuid7(now)),
            corridor_id=corridor_id,
            amount=amount,
            reference=reference,
            by=by,
        )
        row = await tx.one(store.FIND_SETTLEMENT, **of)
    assert row is not None
    if row.amount != amount:
        raise model.SettlementRefused("This reference stands for another amount.")
    return row


async def confirm(tx: Tx, corridor_id: str, settlement_id: str, *, by: str) -> SettlementRow:
    """
    Let a settlement count: what the corridor has used shrinks by it, once.

    Raises:
        CorridorAbsent, SettlementAbsent
        SettlementRefused: whoever noted it does not confirm it; or more than was used.
    """
    await tx.run(store.LOCK_CORRIDOR, id=corridor_id)
    corridor = await corridors.get(tx, corridor_id)
    row = await _get(tx, corridor_id, settlement_id)
    if row.confirmed_by is not None:
        return row
    if row.created_by == by:
        raise model.SettlementRefused("Somebody else than whoever noted it confirms it.")
    _check_carried(corridor, row.amount)
    await tx.run(store.CONFIRM_SETTLEMENT, id=row.id, by=by)
    await tx.run(NOTIFY_PAGES)
    return await _get(tx, corridor_id, settlement_id)


async def list_of(tx: Tx, corridor_id: str, *, limit: int = LIMIT) -> list[SettlementRow]:
    """
    Raises:
        CorridorAbsent
    """
    await corridors.get(tx, corridor_id)
    return await tx.all(store.LIST_SETTLEMENTS, corridor_id=corridor_id, limit=limit)


def _check_carried(corridor: CorridorRow, amount: int) -> None:
    # What payouts under way have reserved is not carried yet: they may still come back.
    if amount > corridor.position:
        raise model.SettlementRefused("It is more than the corridor has carried and not settled.")


async def _get(tx: Tx, corridor_id: str, settlement_id: str) -> SettlementRow:
    row = await tx.one(
        store.FIND_SETTLEMENT, corridor_id=corridor_id, id=settlement_id, reference=None
    )
    if row is None:
        raise model.SettlementAbsent("Settlements are listed beside their corridor.")
    return row
