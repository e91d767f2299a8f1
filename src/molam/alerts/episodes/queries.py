"""Reading alerts, what happened to them, and who is kept quiet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from molam.alerts.episodes import list_store, quiet_store, store
from molam.alerts.episodes.list_store import DecisionRow, PointRow, RemediationRow
from molam.alerts.episodes.model import AlertAbsent, AlertRow, InhibitionRow, SilenceRow
from molam.alerts.episodes.store import MoveRow
from molam.alerts.rules.model import AlertType, Severity, TenantType
from molam.platform.db import Database
from molam.sira import anomaly_shape
from molam.sira.anomaly_shape import Likeness

HISTORY_MAX = 200
SILENCES_MAX = 200
SHAPES_DAYS = 60
"""So long measurements are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which alerts; *scope* is ``open``, ``over`` or ``all``, *flag* one of the flags or none."""

    tenant_type: TenantType | None = None
    tenant_id: str | None = None
    status: str | None = None
    severities: Sequence[Severity] | None = None
    alert_type: AlertType | None = None
    scope: str = "all"
    flag: str | None = None
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """One alert, and all that happened to it, the newest first."""

    alert: AlertRow
    moves: Sequence[MoveRow]
    decisions: Sequence[DecisionRow]
    remediations: Sequence[RemediationRow]
    now: list_store.NowRow | None


async def newest(db: Database, wanted: Wanted) -> list[AlertRow]:
    """List alerts, the newest first."""
    return await db.read(list_store.LIST_ALERTS, **_asked(wanted))


async def board(db: Database, wanted: Wanted) -> list[AlertRow]:
    """List alerts, those that are open before the others, and of these the worst first."""
    return await db.read(list_store.LIST_BOARD, **_asked(wanted))


async def get_alert(db: Database, alert_id: UUID) -> AlertRow:
    """
    Raises:
        AlertAbsent
    """
    rows = await db.read(store.FIND_ALERT, id=alert_id)
    if not rows:
        raise AlertAbsent("Check the alert's id.")
    return rows[0]


async def by_ids(db: Database, ids: Sequence[UUID]) -> list[AlertRow]:
    return await db.read(store.LIST_BY_IDS, ids=sorted(ids))


async def history(db: Database, alert_id: UUID) -> History:
    """
    Raises:
        AlertAbsent
    """
    alert = await get_alert(db, alert_id)
    now = await db.read(list_store.FIND_NOW, fingerprint=alert.fingerprint)
    return History(
        alert=alert,
        moves=await db.read(store.LIST_MOVES, alert_id=alert_id, rows_max=HISTORY_MAX),
        decisions=await db.read(list_store.LIST_DECISIONS, alert_id=alert_id, rows_max=HISTORY_MAX),
        remediations=await db.read(list_store.LIST_REMEDIATIONS, alert_id=alert_id),
        now=now[0] if now else None,
    )


async def points(
    db: Database, alerts: Sequence[AlertRow], *, step_s: int, around_s: int
) -> dict[bytes, list[PointRow]]:
    """Read what was measured around each of *alerts*, a point for every *step_s*."""
    found: dict[bytes, list[PointRow]] = {}
    if not alerts:
        return found
    rows = await db.read(
        list_store.LIST_POINTS,
        ids=[each.id for each in alerts],
        step_s=step_s,
        before_s=around_s,
        after_s=around_s,
    )
    for row in rows:
        found.setdefault(row.fingerprint, []).append(row)
    return found


async def likest_day(db: Database, alert: AlertRow) -> Likeness | None:
    """Find the earlier day of the same metric that looked most like the one before *alert*."""
    rows = await db.read(list_store.LIST_HOURS, id=alert.id, days=SHAPES_DAYS)
    until = alert.fired_at.replace(minute=0, second=0, microsecond=0) + anomaly_shape.HOUR
    return anomaly_shape.likest([(row.hour, row.value) for row in rows], until=until)


async def silences(db: Database, *, with_over: bool = False) -> list[SilenceRow]:
    """List silences and maintenance, those that are not over first; with alerts' own silences."""
    return await db.read(quiet_store.LIST_SILENCES, with_over=with_over, rows_max=SILENCES_MAX)


async def inhibitions(db: Database) -> list[InhibitionRow]:
    return await db.read(quiet_store.LIST_INHIBITIONS)


async def names(db: Database, ids: Sequence[str]) -> dict[str, str]:
    """Name people; programs have no name but their id."""
    rows = await db.read(list_store.LIST_PEOPLE, ids=sorted(set(ids)))
    return {row.id: row.name for row in rows}


def _asked(wanted: Wanted) -> dict[str, object]:
    return {
        "tenant_type": wanted.tenant_type,
        "tenant_id": wanted.tenant_id,
        "status": wanted.status,
        "severities": None if wanted.severities is None else list(wanted.severities),
        "alert_type": wanted.alert_type,
        "scope": wanted.scope,
        "flag": wanted.flag,
        "limit": wanted.limit,
        "offset": wanted.offset,
    }
