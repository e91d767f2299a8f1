"""Questions about members: which banks a region has, and which may carry a currency."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from molam.mesh.members import model, store
from molam.mesh.members.model import MemberRow
from molam.mesh.members.store import EligibleRow, MemberRecord
from molam.platform.db import Tx

log = structlog.get_logger()

MEMBERS_MAX = 500


async def eligible(tx: Tx, *, region_id: str, currency: str, rail: str) -> list[MemberRow]:
    """
    List the members that payouts of *currency* over *rail* may be led to, the preferred first.

    They are active and cleared, no observers, and their bank is in use. Their health,
    amounts and money are not looked at. One whose capabilities cannot be read is left out,
    for nobody knows what it agreed to; the others serve.
    """
    rows = await tx.all(
        store.LIST_ELIGIBLE, region_id=region_id, currency=currency, rail=rail, limit=MEMBERS_MAX
    )
    return [found for found in map(_member, rows) if found is not None]


def _member(row: EligibleRow) -> MemberRow | None:
    try:
        able = model.read_capabilities(row.capabilities)
    except model.CapabilitiesRefused as refusal:
        log.warning("mesh.member.capabilities", member=row.id, detail=refusal.detail)
        return None
    return MemberRow(
        id=row.id,
        region_id=row.region_id,
        bank_profile_id=row.bank_profile_id,
        bank_name=row.bank_name,
        country=row.country,
        role=row.role,
        prefer_order=row.prefer_order,
        flat_fee=row.flat_fee,
        percent_fee=row.percent_fee,
        avg_delay_sec=row.avg_delay_sec,
        cut_off=row.cut_off,
        timezone=row.timezone,
        risk_score=row.risk_score,
        connector=row.connector,
        health_score=row.health_score,
        last_health_update=row.last_health_update,
        failure_domains=tuple(row.failure_domains),
        capabilities=able,
    )


async def members_of(
    tx: Tx, *, region: str | None = None, status: str | None = None, limit: int = 100
) -> list[MemberRecord]:
    """List members of a region, by its id or name, or of all."""
    return await tx.all(store.LIST_MEMBERS, region=region, status=status, limit=limit)


async def get_member(tx: Tx, member_id: str) -> MemberRecord:
    """
    Raises:
        MemberMissing: there is none of that id.
    """
    row = await tx.one(store.FIND_MEMBER, id=member_id)
    if row is None:
        raise model.MemberMissing("Check the member's id.")
    return row


async def last_healthy_for(tx: Tx, row: MemberRecord) -> list[str]:
    """List the currencies for which no other member of its region could stand in for it."""
    return [each.currency for each in await tx.all(store.LIST_ALONE, id=row.id)]


async def waiting_at(tx: Tx, bank_profile_ids: Sequence[str]) -> int:
    """Count the payouts of these banks that were not sent yet."""
    found = await tx.one(store.COUNT_WAITING_AT, bank_profile_ids=list(bank_profile_ids))
    assert found is not None
    return found.count
