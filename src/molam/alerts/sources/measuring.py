"""Measuring, every minute and whenever a float moves, what rules judge."""

from __future__ import annotations

from decimal import Decimal

from molam.alerts.sources import store
from molam.alerts.sources.commands import tell
from molam.alerts.sources.model import Measured, share
from molam.platform.db import Database, Tx

LINES_MIN = 30
ATTEMPTS_MIN = 20
"""Fewer say too little of a share: one failure of ten is nothing unusual."""
SCORES_MIN = 3
SCORES_LATEST = 10


async def measure(db: Database) -> int:
    """Measure all that is not a merchant's own; return how much of it was news."""
    told = 0
    # Each begins its own transaction: what is read must not be older than it says.
    for name, round_ in (
        ("floats", floats),
        ("matches", _matches),
        ("failures", _failures),
        ("fraud", _fraud),
        ("held", _held),
    ):
        async with db.transaction(f"sources.measure_{name}") as tx:
            told += await tell(tx, await round_(tx))
    return told


async def measure_float(tx: Tx, account_id: str) -> None:
    """Measure one float that has just moved."""
    row = await tx.one(store.MEASURE_FLOAT, account_id=account_id)
    if row is not None:
        await tell(tx, [_float(row)], heartbeat_s=0)


async def floats(tx: Tx) -> list[Measured]:
    """Read every float, as it was when *tx* began or later."""
    return [_float(row) for row in await tx.all(store.MEASURE_FLOATS)]


def _float(row: store.FloatRow) -> Measured:
    return Measured(
        metric="float_available",
        tenant_type="agent",
        tenant_id=row.agent_id,
        currency=row.currency,
        value=Decimal(row.balance),
        at=row.at,
    )


async def _matches(tx: Tx) -> list[Measured]:
    rows = await tx.all(store.MEASURE_MATCHES, trials_min=LINES_MIN)
    return [
        Measured(
            metric="recon_match_rate",
            tenant_type="bank",
            tenant_id=row.tenant_id,
            value=share(row.hits, row.trials),
            at=row.at,
            context={"matched": row.hits, "lines": row.trials},
        )
        for row in rows
    ]


async def _failures(tx: Tx) -> list[Measured]:
    rows = await tx.all(store.MEASURE_FAILURES, trials_min=ATTEMPTS_MIN)
    return [
        Measured(
            metric="payout_fail_rate",
            tenant_type="bank",
            tenant_id=row.tenant_id,
            value=share(row.hits, row.trials),
            at=row.at,
            context={"failed": row.hits, "attempts": row.trials, "window_s": 3600},
        )
        for row in rows
    ]


async def _fraud(tx: Tx) -> list[Measured]:
    rows = await tx.all(store.MEASURE_FRAUD, latest_max=SCORES_LATEST, scores_min=SCORES_MIN)
    return [
        Measured(
            metric="fraud_score",
            tenant_type="merchant",
            tenant_id=row.merchant_id,
            value=row.score,
            at=row.at,
            context={"scores": row.scores, "window_s": 86_400},
        )
        for row in rows
    ]


async def _held(tx: Tx) -> list[Measured]:
    row = await tx.one(store.COUNT_HELD)
    assert row is not None
    return [
        Measured(
            metric="dlq_held",
            tenant_type="platform",
            tenant_id=None,
            value=Decimal(row.events + row.jobs),
            at=row.at,
            context={"events": row.events, "jobs": row.jobs},
        )
    ]
