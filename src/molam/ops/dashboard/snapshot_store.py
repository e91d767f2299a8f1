"""The statements that keep snapshots and tell open pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.ops.dashboard.model import TenantType
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


@dataclass(frozen=True, slots=True)
class FraudRow:
    """Of the sales of this hour and the last, how many disputes for fraud began."""

    tenant_type: TenantType
    tenant_id: str | None
    frauds: int
    sales: int
    at: datetime


MEASURE_FRAUD = Query(
    """
    /* dashboard.measure_fraud */
    select tenant_type, tenant_id, least(sum(fraud_count), sum(transaction_count))::int as frauds,
           sum(transaction_count)::int as sales, now() as at
      from ops.dash_aggregates_hourly
     where bucket_ts > now() - interval '2 hours' and (tenant_type = 'merchant' or scope = 'platform')
     group by tenant_type, tenant_id
    having sum(transaction_count) >= :sales_min
     order by tenant_type, tenant_id
    """,
    row=FraudRow,
)

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
