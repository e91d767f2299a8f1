"""Whom payouts of a region may be led to: its own members, and those behind its corridors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from molam.mesh.federation import corridors
from molam.mesh.federation.model import Way
from molam.mesh.members import queries as members
from molam.mesh.members import switches
from molam.mesh.members.model import MemberRow
from molam.mesh.members.store import MemberRecord
from molam.platform.db import Tx

Ways = Mapping[str, Way]
"""The way to each other region, by its id."""


@dataclass(frozen=True, slots=True)
class Known:
    """Every member that is looked at, and how the banks of other regions are reached."""

    records: list[MemberRecord]
    elsewhere: dict[str, Way | None]
    """By bank; None: no corridor leads there."""


async def ways_from(tx: Tx, region_id: str, currency: str, *, lock: bool = False) -> dict[str, Way]:
    """Find the ways out of a region; none leads into one that is stopped."""
    find = corridors.lock_ways if lock else corridors.ways
    found = await find(tx, region_id=region_id, currency=currency)
    for id_, way in found.items():
        if way.is_active and await switches.engaged(tx, id_) is not None:
            found[id_] = replace(way, is_active=False)
    return found


async def known(tx: Tx, region_id: str, ways: Ways, asked: Collection[str] = ()) -> Known:
    """
    List the members of a region, and of those that ways lead to.

    A bank that is *asked* for and is a member of other regions alone is among them, so that
    it can be said why it may not carry. Whatever is a member here needs no way.
    """
    records = await members.members_of(tx, region=region_id, limit=members.MEMBERS_MAX)
    seen = {each.bank_profile_id for each in records}
    others: list[MemberRecord] = []
    if ways or set(asked) - seen:
        others = [
            each
            for each in await members.members_of(tx, limit=members.MEMBERS_MAX)
            if each.mesh_region_id in ways or each.bank_profile_id in asked
        ]
    elsewhere: dict[str, Way | None] = {}
    for each in sorted(others, key=lambda one: _rank(ways.get(one.mesh_region_id))):
        if each.bank_profile_id not in seen:
            seen.add(each.bank_profile_id)
            records.append(each)
            elsewhere[each.bank_profile_id] = ways.get(each.mesh_region_id)
    return Known(records, elsewhere)


async def eligible(
    tx: Tx, *, region_id: str, currency: str, rail: str, ways: Ways
) -> list[MemberRow]:
    """List the members that may carry, of the region first, then behind ways that can be used."""
    found = await members.eligible(tx, region_id=region_id, currency=currency, rail=rail)
    seen = {each.bank_profile_id for each in found}
    if ways:
        own = await members.members_of(tx, region=region_id, limit=members.MEMBERS_MAX)
        seen |= {each.bank_profile_id for each in own}
    for id_, way in sorted(ways.items(), key=lambda pair: _rank(pair[1])):
        if not way.is_usable:
            continue
        for each in await members.eligible(tx, region_id=id_, currency=currency, rail=rail):
            if each.bank_profile_id not in seen:
                seen.add(each.bank_profile_id)
                found.append(each)
    return found


def _rank(way: Way | None) -> tuple[bool, int, str]:
    """Prefer the way that can be used and can take most."""
    if way is None:
        return True, 0, ""
    return not way.is_usable, -way.free, way.to_region_id
