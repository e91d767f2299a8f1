"""What was measured, by the minute: kept for charts, verification and baselines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from molam.alerts.rules import series_store
from molam.alerts.rules.model import Key, Sample, key_of
from molam.platform.db import Tx


class _Point:
    """What is added to one minute."""

    __slots__ = ("context", "high", "last_at", "last_value", "low", "samples", "total")

    def __init__(self, first: Sample) -> None:
        self.last_at, self.last_value = first.at, first.value
        self.low = self.high = self.total = first.value
        self.context = first.context
        self.samples = 1

    def add(self, sample: Sample) -> None:
        value = sample.value
        if sample.at >= self.last_at:
            self.last_at, self.last_value, self.context = sample.at, value, sample.context
        if value < self.low:
            self.low = value
        elif value > self.high:
            self.high = value
        self.total += value
        self.samples += 1


async def add(tx: Tx, samples: Sequence[Sample]) -> None:
    """Count each of *samples* in its minute, whether or not a rule judges it."""
    if not samples:
        return
    found: dict[tuple[Key, datetime], _Point] = {}
    for sample in samples:
        name = key_of(sample), sample.at.replace(second=0, microsecond=0)
        point = found.get(name)
        if point is None:
            found[name] = _Point(sample)
        else:
            point.add(sample)
    keys = [key for key, _ in found]
    values = found.values()
    await tx.run(
        series_store.ADD_POINTS,
        metrics=[metric for metric, _, _, _ in keys],
        tenant_types=[kind for _, kind, _, _ in keys],
        tenant_ids=[tenant_id or "" for _, _, tenant_id, _ in keys],
        currencies=[currency or "" for _, _, _, currency in keys],
        minutes=[minute for _, minute in found],
        last_ats=[point.last_at for point in values],
        last_values=[point.last_value for point in values],
        lows=[point.low for point in values],
        highs=[point.high for point in values],
        totals=[point.total for point in values],
        samples=[point.samples for point in values],
        contexts=[point.context for point in values],
    )
