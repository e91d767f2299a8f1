"""Checking the figures against rules: fraud, of merchants and of all together."""

from __future__ import annotations

from molam.alerts.sources import commands as sources
from molam.alerts.sources.model import Measured, share
from molam.ops.dashboard import snapshot_store as store
from molam.platform.db import Database

SALES_MIN = 20
"""Fewer say too little of a share."""


async def check(db: Database) -> int:
    """Tell the rules how much of the last hours' sales is fraud; return how much was news."""
    async with db.transaction("dashboard.check") as tx:
        rows = await tx.all(store.MEASURE_FRAUD, sales_min=SALES_MIN)
        return await sources.tell(tx, [_measured(row) for row in rows])


def _measured(row: store.FraudRow) -> Measured:
    return Measured(
        metric="fraud_rate",
        tenant_type=row.tenant_type,
        tenant_id=row.tenant_id,
        value=share(row.frauds, row.sales),
        at=row.at,
        context={"frauds": row.frauds, "sales": row.sales, "window_s": 7200},
    )
