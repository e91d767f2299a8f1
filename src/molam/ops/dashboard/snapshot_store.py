"""The statements that keep snapshots and tell open pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


@dataclass(frozen=True, slots=True)
class ToldRow:
    told: bool


@dataclass(frozen=True, slots=True)
class LagRow:
    waiting: int
    oldest: datetime | None


REFRESH_SNAPSHOTS = Query(
    """
    /* dashboard.refresh_snapshots */
    select ops.refresh_dashboard_snapshots(:since) as count
    """,
    row=CountRow,
)

TELL = Query(
    """
    /* dashboard.tell */
    select pg_notify('dashboard', '') is not null as told
    """,
    row=ToldRow,
)

FIND_LAG = Query(
    """
    /* dashboard.find_lag */
    select (select count(*) from (select from payments.touched_hours limit 10000) as w) as waiting,
           (select max(snapshot_ts) from ops.dash_snapshots where tenant_type = 'platform') as oldest
    """,
    row=LagRow,
)
