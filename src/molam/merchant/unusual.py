"""Telling alerting what the seasonal watch found, of each merchant and of all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from molam.alerts.sources.commands import tell
from molam.alerts.sources.unusual import measured, strongest
from molam.kernel.clock import Instant
from molam.platform.db import Database
from molam.sira import anomaly
from molam.sira.finding import Finding, Kind
from molam.sira.season import HOURS_A_WEEK

_METRICS = MappingProxyType(
    {
        Kind.SUCCESS_RATE_LOW: "conversion_rate.unusual",
        Kind.REFUNDS_HIGH: "refund_rate.unusual",
        Kind.DISPUTES_HIGH: "chargeback_rate.unusual",
        Kind.CHARGEBACK_RATE_HIGH: "chargeback_rate.unusual",
        Kind.JOINT_UNUSUAL: "merchant.joint.unusual",
    }
)
"""Shops close for a day without anybody's fault: of a merchant, no counts are told."""

_OF_ALL = MappingProxyType(
    {
        **_METRICS,
        Kind.PAYMENTS_LOW: "payments.unusual",
        Kind.JOINT_UNUSUAL: "platform.joint.unusual",
    }
)
"""That all of them close at once is no accident."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One test, of a merchant or (None) of all; *is_kept* says that it is not chance."""

    finding: Finding
    merchant_id: str | None
    is_kept: bool


class Everybody:
    """The hours of all merchants together, up to *end*."""

    def __init__(self, end: Instant) -> None:
        self._end = end
        self._sums: list[list[int]] = []
        """Newest first."""

    def add(self, history: Sequence[anomaly.Hour]) -> None:
        """Add one merchant's hours, the last of which is the one that ended last."""
        for ago, hour in enumerate(reversed(history)):
            if ago == len(self._sums):
                self._sums.append([0] * 4)
            sums = self._sums[ago]
            sums[0] += hour.created
            sums[1] += hour.payments
            sums[2] += hour.refunds
            sums[3] += hour.disputes

    def weigh(self) -> list[Finding]:
        # Sales and fees of several currencies have no sum, and are left out.
        history = [
            anomaly.Hour(created=created, payments=payments, refunds=refunds, disputes=disputes)
            for created, payments, refunds, disputes in reversed(self._sums)
        ]
        first = self._end - timedelta(hours=len(history))
        hour_of_week = (first.weekday() * 24 + first.hour) % HOURS_A_WEEK
        tested = anomaly.weigh(history, first_hour_of_week=hour_of_week)
        return [finding for finding in tested if finding.kind in _OF_ALL]


async def tell_of(db: Database, judged: Sequence[Judged], *, now: Instant) -> int:
    """Publish how unusual the last hour was, where that is news."""
    found = []
    for each in judged:
        metric = (_METRICS if each.merchant_id else _OF_ALL).get(each.finding.kind)
        if metric is not None:
            found.append(
                measured(
                    metric,
                    "merchant" if each.merchant_id else "platform",
                    each.merchant_id,
                    each.finding,
                    is_kept=each.is_kept,
                    at=now,
                )
            )
    async with db.transaction("merchant.tell_unusual") as tx:
        return await tell(tx, strongest(found), heartbeat_s=None)
