"""Corridors: what two regions agree to carry for each other, and what goes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.ids import show, uuid7
from molam.mesh.federation import corridor_store as store
from molam.mesh.federation import model
from molam.mesh.federation.corridor_store import CorridorRow, WayRow
from molam.mesh.federation.model import ProposalContent, Room, Way
from molam.mesh.federation.peers import Peers
from molam.mesh.federation.store import NOTIFY_PAGES
from molam.mesh.members import regions
from molam.platform.db import Database, Tx

log = structlog.get_logger()

STEP_COST_BPS = 10.0
"""What a step from region to region is taken to cost where nobody has quoted."""

# Note [No more than there is]
#
# What a corridor has reserved and carried is kept by triggers from the payouts that go
# through it, each in its row. Whoever leads payouts through locks the corridors first, reads
# what they can still take, gives banks behind the same corridor no more than that together,
# and reserves what has moved in the same transaction. So a batch never reserves more than
# its payouts one by one, and two batches wait for each other. A payout that was paid has
# used what it reserved, until the regions settle; one that went elsewhere gives it back.
#
# Routes in force never name a bank of another region: payouts that come later would reach
# it without a reservation. They follow by a sweep of their own, or take a bank of ours.


async def propose(
    tx: Tx,
    path: Sequence[str],
    *,
    code: str,
    limits: tuple[int, int],
    by: str,
    now: Instant,
) -> CorridorRow:
    """
    Propose that money may go from region to region along *path*, up to cover and net debit cap.

    Raises:
        RegionAbsent: one of them is none.
        CorridorRefused: it loops, is too long, or is there already.
    """
    ids = [(await regions.get(tx, each)).id for each in path]
    return await _put(tx, show("cor", uuid7(now)), ids, code=code, limits=limits, by=by)


async def _put(
    tx: Tx, id_: str, path: list[str], *, code: str, limits: tuple[int, int], by: str
) -> CorridorRow:
    currency(code)
    model.check_path(path, path[0], path[-1])
    made = await tx.run(
        store.INSERT_CORRIDOR,
        id=id_,
        from_region_id=path[0],
        to_region_id=path[-1],
        currency=code,
        path=path,
        cover=limits[0],
        net_debit_cap=limits[1],
        by=by,
    )
    if not made:
        raise model.CorridorRefused("There is one along this path already.")
    await tx.run(NOTIFY_PAGES)
    return await get(tx, id_)


async def agree_here(
    tx: Tx, peers: Peers, corridor_id: str, region: str, *, by: str
) -> CorridorRow:
    """
    Agree to a corridor for one of its ends, as somebody who is signed in here.

    Raises:
        CorridorAbsent, RegionAbsent
        CorridorRefused: as `agree`; or that region has a key here, and speaks for itself.
    """
    end = (await regions.get(tx, region)).id
    if end in peers.known:
        raise model.CorridorRefused("That region agrees by itself, with a message that it signs.")
    return await agree(tx, corridor_id, end, by=by)


async def agree(tx: Tx, corridor_id: str, end: str, *, by: str) -> CorridorRow:
    """
    Agree to a corridor for one of its two ends; it is active once both have.

    Raises:
        CorridorAbsent: there is none.
        CorridorRefused: it is decided, the region is no end of it, or the other end was
            agreed to by the same hand.
    """
    await tx.run(store.LOCK_CORRIDOR, id=corridor_id)
    row = await get(tx, corridor_id)
    if end not in {row.from_region_id, row.to_region_id}:
        raise model.CorridorRefused("The region is neither end of it.")
    first, last = row.approved_from, row.approved_to
    if end == row.from_region_id:
        first = first or by
    else:
        last = last or by
    if first == last:
        raise model.CorridorRefused("Each end is agreed to by somebody else.")
    if row.state == "active" or (first, last) == (row.approved_from, row.approved_to):
        return row
    if row.state != "proposed":
        raise model.CorridorRefused(f"It is {row.state}.")
    state = "active" if first is not None and last is not None else "proposed"
    return await _set(tx, row, state, (first, last))


async def reject(tx: Tx, corridor_id: str) -> CorridorRow:
    """
    Say no to a corridor, or close one.

    Raises:
        CorridorAbsent: there is none.
    """
    await tx.run(store.LOCK_CORRIDOR, id=corridor_id)
    row = await get(tx, corridor_id)
    state = {"proposed": "rejected", "active": "closed"}.get(row.state, row.state)
    if state == row.state:
        return row
    return await _set(tx, row, state, (row.approved_from, row.approved_to))


async def hear(tx: Tx, region_id: str, said: ProposalContent) -> None:
    """
    Take what a region says of a corridor: that it agrees to one that it may have proposed
    itself, or that it does not, or no longer.

    Raises:
        CorridorAbsent: it is unknown here, and its terms were not told.
        CorridorRefused: it cannot be, or was agreed to on other terms.
    """
    assert said.corridor_id is not None
    known = await tx.one(store.FIND_CORRIDOR, id=said.corridor_id)
    by = f"region:{region_id}"
    if known is None and said.terms is not None and said.agrees:
        terms = said.terms
        path = [(await regions.get(tx, each)).id for each in terms.path]
        if region_id not in {path[0], path[-1]}:
            raise model.CorridorRefused("The region is neither end of it.")
        known = await _put(
            tx,
            said.corridor_id,
            path,
            code=said.currency,
            limits=(terms.cover, terms.net_debit_cap),
            by=by,
        )
    row = known or await get(tx, said.corridor_id)
    if region_id not in {row.from_region_id, row.to_region_id}:
        raise model.CorridorRefused("The region is neither end of it.")
    if not said.agrees:
        await reject(tx, row.id)
        return
    if said.terms is not None and _terms(row) != (said.currency, said.terms):
        raise model.CorridorRefused("It was proposed here on other terms.")
    await agree(tx, row.id, region_id, by=by)


def _terms(row: CorridorRow) -> tuple[str, model.CorridorTerms]:
    return row.currency, model.CorridorTerms(row.path, row.cover, row.net_debit_cap)


async def to_tell(tx: Tx, ours: str, peer: str) -> list[ProposalContent]:
    """List what a peer should know of the corridors between it and us."""
    rows = await tx.all(store.LIST_TO_TELL, ours=ours, peer=peer)
    return [
        ProposalContent(
            mesh_region_id=ours,
            currency=row.currency,
            corridor_id=row.id,
            terms=_terms(row)[1],
            agrees=row.state in {"proposed", "active"},
        )
        for row in rows
    ]


async def get(tx: Tx, corridor_id: str) -> CorridorRow:
    """
    Raises:
        CorridorAbsent: there is none.
    """
    row = await tx.one(store.FIND_CORRIDOR, id=corridor_id)
    if row is None:
        raise model.CorridorAbsent("Corridors are listed by GET /api/mesh/corridors.")
    return row


async def _set(
    tx: Tx, row: CorridorRow, state: str, approved: tuple[str | None, str | None]
) -> CorridorRow:
    await tx.run(
        store.SET_CORRIDOR,
        id=row.id,
        state=state,
        approved_from=approved[0],
        approved_to=approved[1],
    )
    await tx.run(NOTIFY_PAGES)
    log.info("federation.corridor.changed", corridor=row.id, state=state)
    return await get(tx, row.id)


async def ways(tx: Tx, *, region_id: str, currency: str) -> dict[str, Way]:
    """Find the best way out of a region to each other one, by the other's id."""
    found: dict[str, Way] = {}
    for row in await tx.all(store.LIST_WAYS, region=region_id, currency=currency):
        way = _way(row)
        known = found.get(way.to_region_id)
        if known is None or _rank(way) > _rank(known):
            found[way.to_region_id] = way
    return found


async def lock_ways(tx: Tx, *, region_id: str, currency: str) -> dict[str, Way]:
    """Do so with nobody else using them until *tx* ends; see Note [No more than there is]."""
    if not await tx.run(store.LOCK_CORRIDORS_OF, region=region_id, currency=currency):
        return {}
    await tx.run(store.SETTLE_USES)
    return await ways(tx, region_id=region_id, currency=currency)


def _rank(way: Way) -> tuple[bool, bool, int, str]:
    return way.is_active, way.is_sound, way.free, way.corridor_id


def _way(row: WayRow) -> Way:
    free = Room(row.cover, row.net_debit_cap, row.position, row.reserved).free
    if row.quoted is not None:
        # The other end knows what it has promised to others.
        free = min(free, row.quoted)
    cost = row.quoted_bps
    return Way(
        corridor_id=row.id,
        to_region_id=row.to_region_id,
        to_region=row.to_region,
        is_active=row.state == "active" and row.is_agreed,
        is_sound=model.is_sound(row.path),
        free=max(free, 0),
        cost_bps=STEP_COST_BPS * (len(row.path) - 1) if cost is None else cost,
    )


async def reserve(tx: Tx, corridors: Mapping[str, str], *, action_id: str) -> int:
    """
    Reserve what an application has led to banks behind *corridors*; return how many payouts.

    The corridors are locked, and the sweep gave each no more than it can take.
    """
    if not corridors:
        return 0
    await tx.run(store.SETTLE_USES)
    banks = sorted(corridors)
    return await tx.run(
        store.RESERVE_MOVED,
        banks=banks,
        corridors=[corridors[each] for each in banks],
        action_id=action_id,
    )


async def settle_uses(db: Database) -> None:
    """Free what payouts had reserved that ended, and count what was paid."""
    async with db.transaction("federation.settle_uses") as tx:
        if await tx.run(store.LOCK_ALL):
            await tx.run(store.SETTLE_USES)
