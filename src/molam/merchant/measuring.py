"""Measuring, every minute, the rates of merchants that alerting judges."""

from __future__ import annotations

from molam.alerts.sources.commands import tell
from molam.alerts.sources.model import Measured, share
from molam.kernel.clock import Instant
from molam.merchant import measure_store as store
from molam.platform.db import Database

TRIALS_MIN = 30
"""Of fewer, a share says nothing."""
CONVERSION_HOURS = 6
REFUND_HOURS = 24
DISPUTE_DAYS = 28
DISPUTE_PAYMENTS_MIN = 100

FULL_ROUND_MIN = 5
_DAY_MIN = 25 * 60
_MOVED_MIN = 3


async def measure(db: Database, *, now: Instant) -> int:
    """
    Measure what merchants' customers do; return how much of it was news.

    Every five minutes of all who sold within a day; in between only where something moved.
    """
    within = _DAY_MIN if now.minute % FULL_ROUND_MIN == 0 else _MOVED_MIN
    # Each begins its own transaction: what is read must not be older than it says.
    async with db.transaction("merchant.measure_rates") as tx:
        rates = await tx.all(
            store.MEASURE_RATES,
            trials_min=TRIALS_MIN,
            lately_h=CONVERSION_HOURS,
            changed_within_min=within,
        )
        told = await tell(tx, [each for row in rates for each in _rates(row)])
    async with db.transaction("merchant.measure_disputes") as tx:
        disputes = await tx.all(
            store.MEASURE_DISPUTES,
            trials_min=DISPUTE_PAYMENTS_MIN,
            days=DISPUTE_DAYS,
            changed_within_min=within,
        )
        told += await tell(tx, [_disputes(row) for row in disputes])
    return told


def _rates(row: store.RatesRow) -> list[Measured]:
    found = []
    if row.created_lately >= TRIALS_MIN:
        of = row.payments_lately, row.created_lately
        found.append(
            _rate("conversion_rate", row.merchant_id, of, hours=CONVERSION_HOURS, at=row.at)
        )
    if row.payments_of_day >= TRIALS_MIN:
        of = row.refunds_of_day, row.payments_of_day
        found.append(_rate("refund_rate", row.merchant_id, of, hours=REFUND_HOURS, at=row.at))
    return found


def _disputes(row: store.DisputesRow) -> Measured:
    of = row.disputes, row.payments
    return _rate("chargeback_rate", row.merchant_id, of, hours=DISPUTE_DAYS * 24, at=row.at)


def _rate(
    metric: str, merchant_id: str, of: tuple[int, int], *, hours: int, at: Instant
) -> Measured:
    hits, trials = of
    return Measured(
        metric=metric,
        tenant_type="merchant",
        tenant_id=merchant_id,
        value=share(hits, trials),
        at=at,
        context={"hits": hits, "trials": trials, "window_s": hours * 3600},
    )
