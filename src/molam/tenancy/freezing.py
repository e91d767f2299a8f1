"""Freezing merchants, thawing them, and ending what has an end."""

from __future__ import annotations

from uuid import UUID

from molam.kernel.clock import Instant
from molam.platform.db import Database, Tx
from molam.platform.events import Event, cloud_event, publish
from molam.tenancy import standing_store as store
from molam.tenancy.standing import ENDED_BY_ITSELF, Standing, lock_standing

FROZEN = "merchant.frozen"
UNFROZEN = "merchant.unfrozen"
_SOURCE = "/molam/tenancy"
_LAPSED_MAX = 100


async def freeze(tx: Tx, standing: Standing, row: store.FreezeRow) -> None:
    """Freeze an active merchant whose row *tx* has locked, and tell whoever must know."""
    assert standing.status == "active"
    merchant_id = standing.merchant.id
    if standing.merchant.freeze_id is not None:
        await _end(tx, standing, by=ENDED_BY_ITSELF, at=row.frozen_at)
    await tx.run(
        store.APPEND_FREEZE,
        id=row.id,
        merchant_id=merchant_id,
        reason=row.reason,
        frozen_by=row.frozen_by,
        frozen_at=row.frozen_at,
        until=row.until,
        action_id=row.action_id,
    )
    changed = await tx.run(store.SET_MERCHANT_STATUS, id=merchant_id, old="active", status="frozen")
    assert changed == 1, "the row was locked"
    await _tell(
        tx,
        FROZEN,
        event_id=row.id,
        merchant_id=merchant_id,
        at=row.frozen_at,
        data={"reason": row.reason, "until": row.until, "frozen_by": row.frozen_by},
    )


async def unfreeze(
    tx: Tx, standing: Standing, *, by: str, at: Instant, action_id: str | None
) -> None:
    """End the freeze of a merchant whose row *tx* has locked, and tell whoever must know."""
    assert standing.merchant.status == "frozen"
    await _end(tx, standing, by=by, at=at, action_id=action_id)


async def end_lapsed(db: Database, *, now: Instant) -> int:
    """Thaw the merchants whose freeze has come to its end; return how many that were."""
    lapsed = await db.read(store.LIST_LAPSED, now=now, limit=_LAPSED_MAX)
    ended = 0
    for each in lapsed:
        async with db.transaction("tenancy.end_lapsed") as tx:
            standing = await lock_standing(tx, each.merchant_id, now=now)
            # Somebody may have thawed it, or frozen it anew, since the list was read.
            if standing.merchant.freeze_id is None or standing.freeze is not None:
                continue
            await _end(tx, standing, by=ENDED_BY_ITSELF, at=now)
            ended += 1
    return ended


async def _end(
    tx: Tx, standing: Standing, *, by: str, at: Instant, action_id: str | None = None
) -> None:
    merchant = standing.merchant
    await tx.run(
        store.SET_FREEZE_ENDED,
        merchant_id=merchant.id,
        ended_at=at,
        ended_by=by,
        action_id=action_id,
    )
    await tx.run(store.SET_MERCHANT_STATUS, id=merchant.id, old="frozen", status="active")
    await _tell(
        tx,
        UNFROZEN,
        event_id=merchant.freeze_id,
        merchant_id=merchant.id,
        at=at,
        data={"reason": merchant.reason, "ended_by": by},
    )


async def _tell(
    tx: Tx,
    topic: str,
    *,
    event_id: UUID | None,
    merchant_id: str,
    at: Instant,
    data: dict[str, object],
) -> None:
    payload = cloud_event(
        id_=f"{event_id or merchant_id}/{topic}",
        source=_SOURCE,
        type_=topic,
        subject=merchant_id,
        time=at,
        data={"merchant_id": merchant_id, **data},
    )
    await publish(tx, [Event(topic, merchant_id, payload)])
