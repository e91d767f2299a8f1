"""The health monitor: members' scores, what is usual, and the topic ``mesh.health``."""

from __future__ import annotations

from collections.abc import Collection

from molam.kernel.ids import uuid7
from molam.mesh.runtime import Mesh
from molam.mesh.signals import intake_store, metrics, monitor_store, prediction_store, queries
from molam.mesh.signals.messages import HEALTH, OURS
from molam.mesh.signals.monitor_store import BankNowRow
from molam.platform.db import Database, Tx
from molam.platform.events import Event, cloud_event, publish

BANKS_MAX = 500
USUAL_DAYS = 56
USUAL_MINUTES_MIN = 30
"""Half an hour of minutes at the least; of fewer, nothing is said to be usual."""
MINUTES_KEPT_DAYS = 100
PREDICTIONS_KEPT_DAYS = 30
REPORTS_KEPT_DAYS = 9
"""A day longer than reports are listened to."""

_HOURS_A_WEEK = 168
_PURGED_AT_ONCE = 5000
_PURGE_ROUNDS_MAX = 100


async def tell_members(tx: Tx, banks: Collection[str] | None = None) -> None:
    """Write what is believed of *banks*, or of all, where members and profiles are read."""
    bank_ids = None if banks is None else sorted(banks)
    await tx.run(monitor_store.SET_MEMBERS, bank_ids=bank_ids)
    await tx.run(monitor_store.SET_BANKS, bank_ids=bank_ids)


async def publish_health(db: Database, mesh: Mesh) -> None:
    """Tell members' scores, and publish how each bank is, once."""
    async with db.transaction("mesh.tell_members") as tx:
        await tell_members(tx)
    async with db.transaction("mesh.publish_health") as tx:
        rows = await tx.all(monitor_store.LIST_NOW, limit=BANKS_MAX)
        await publish(tx, [_event(row, mesh) for row in rows])
        for health in await queries.health_of(tx):
            metrics.P_DOWN.labels(*health.key).set(health.p_down)


def _event(row: BankNowRow, mesh: Mesh) -> Event:
    now = mesh.clock.now()
    return Event(
        topic=HEALTH,
        key=row.bank_profile_id,
        payload=cloud_event(
            id_=str(uuid7(now)),
            source=OURS,
            type_=HEALTH,
            subject=row.bank_profile_id,
            time=now,
            data={
                "bank_profile_id": row.bank_profile_id,
                "health_score": row.health_score,
                "latency_ms": row.latency_ms,
                "success_rate": row.success_rate,
                "volume_last_hour": row.volume_last_hour,
                "timestamp": now,
            },
        ),
    )


async def learn_usual(db: Database, mesh: Mesh) -> None:
    """Work out anew how banks usually are in this hour of the week and in the next."""
    now = mesh.clock.now()
    hour = (now.isoweekday() - 1) * 24 + now.hour
    async with db.transaction("mesh.learn_usual") as tx:
        await tx.run(
            monitor_store.SET_USUAL,
            hours=[hour, (hour + 1) % _HOURS_A_WEEK],
            days=USUAL_DAYS,
            minutes_min=USUAL_MINUTES_MIN,
        )


async def purge(db: Database) -> None:
    """Forget minutes, predictions and reports that nobody needs any more."""
    for query, days in (
        (prediction_store.PURGE, PREDICTIONS_KEPT_DAYS),
        (prediction_store.PURGE_MINUTES, MINUTES_KEPT_DAYS),
    ):
        for _ in range(_PURGE_ROUNDS_MAX):
            async with db.transaction("mesh.purge") as tx:
                if not await tx.run(query, days=days, limit=_PURGED_AT_ONCE):
                    break
    async with db.transaction("mesh.purge_heard") as tx:
        await tx.run(intake_store.PURGE, days=REPORTS_KEPT_DAYS)
