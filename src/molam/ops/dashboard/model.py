"""What the dashboard can show: of whom, which figures, and for how long a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Literal

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal

TenantType = Literal["platform", "merchant", "agent", "bank", "region"]
OfType = TenantType | Literal["country"]
"""Whom figures can be of: a country is a part of the platform, and no tenant."""
Unit = Literal["amount", "count", "share"]
How = Literal["sum", "last", "ratio", "distinct"]
GroupBy = Literal["hour", "day"]

WIDGET_KINDS = (
    "chart_line",
    "chart_bar",
    "chart_pie",
    "gauge",
    "table",
    "list",
    "map",
    "metric",
    "alert_list",
    "timeline",
    "heatmap",
    "pending_approvals_list",
)


class MetricUnknown(Refusal):
    code = "dashboard-metric-unknown"
    kind = Kind.BROKEN_RULE
    title = "The dashboard has no such figure"


class RangeRefused(Refusal):
    code = "dashboard-range-refused"
    kind = Kind.BROKEN_RULE
    title = "This is not a time that can be shown"


class TenantRefused(Refusal):
    code = "dashboard-tenant-refused"
    kind = Kind.BROKEN_RULE
    title = "Say of whom"


class WidgetAbsent(Refusal):
    code = "widget-absent"
    kind = Kind.ABSENT
    title = "No such widget"


class WidgetRefused(Refusal):
    code = "widget-refused"
    kind = Kind.BROKEN_RULE
    title = "This widget could show nothing"


class WidgetKept(Refusal):
    code = "widget-kept"
    kind = Kind.BROKEN_RULE
    title = "This widget is part of the usual page"


class RecommendationAbsent(Refusal):
    code = "recommendation-absent"
    kind = Kind.ABSENT
    title = "No such recommendation"


@dataclass(frozen=True, slots=True)
class Tenant:
    """
    Whom figures are of.

    Raises:
        TenantRefused: the platform has an id, or somebody else has none.
    """

    type: OfType
    id: str | None = None

    def __post_init__(self) -> None:
        if (self.type == "platform") != (self.id is None):
            raise TenantRefused(
                "The platform has no tenant id." if self.id else "Give the tenant's id.",
                tenant_type=self.type,
            )

    @property
    def scope(self) -> str:
        return "platform" if self.id is None else f"{self.type}:{self.id}"


PLATFORM = Tenant("platform")


@dataclass(frozen=True, slots=True)
class Metric:
    """
    One figure, and what it becomes over more than an hour.

    ``sum`` adds hours up, ``last`` is as it was last, ``ratio`` divides what two counts add
    up to, and ``distinct`` counts people again.
    """

    name: str
    unit: Unit
    how: How
    over: tuple[str, str] | None = None


def _metrics() -> dict[str, Metric]:
    amounts = (
        "gmv net_revenue total_fees partner_fees refunds_amount disputes_amount payouts_amount"
        " payout_pending_amount float_distributed"
    )
    counts = (
        "refunds_count disputes_count chargebacks_count payouts_count payout_failed_count"
        " payout_pending_count transaction_count"
    )
    found = [
        *(Metric(name, "amount", "sum") for name in amounts.split()),
        *(Metric(name, "count", "sum") for name in counts.split()),
        Metric("unique_customers", "count", "distinct"),
        Metric("float_available", "amount", "last"),
        Metric("float_reserved", "amount", "last"),
        Metric("conversion_rate", "share", "ratio", ("transaction_count", "attempts_count")),
        Metric("fraud_rate", "share", "ratio", ("fraud_count", "transaction_count")),
        Metric("reconciliation_match_rate", "share", "ratio", ("recon_matched", "recon_lines")),
    ]
    return {each.name: each for each in found}


METRICS: Mapping[str, Metric] = MappingProxyType(_metrics())


def metric_named(name: str) -> Metric:
    """
    Raises:
        MetricUnknown: the dashboard has no such figure.
    """
    found = METRICS.get(name)
    if found is None:
        raise MetricUnknown(f"It is one of {', '.join(sorted(METRICS))}.", metric=name[:64])
    return found


_RANGE = re.compile(r"([1-9][0-9]{0,3})([hdwm])", re.ASCII)
_LENGTHS = MappingProxyType(
    {
        "h": timedelta(hours=1),
        "d": timedelta(days=1),
        "w": timedelta(weeks=1),
        "m": timedelta(days=30),
    }
)
_HOURS_MAX = timedelta(days=31)
_DAYS_MAX = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Span:
    """A time up to now in whole buckets: *start* is in it, *end* is not."""

    text: str
    group_by: GroupBy
    start: datetime
    end: datetime

    @classmethod
    def read(cls, time_range: str = "7d", group_by: GroupBy = "day", *, now: Instant) -> Span:
        """
        Read ``24h``, ``7d``, ``4w`` or ``6m`` (months of 30 days); the present bucket is the last.

        Raises:
            RangeRefused: it is not written so, or has too many buckets.
        """
        match = _RANGE.fullmatch(time_range)
        if match is None:
            raise RangeRefused("A time is written like 24h, 7d, 4w or 6m.")
        length = int(match[1]) * _LENGTHS[match[2]]
        if length > (_HOURS_MAX if group_by == "hour" else _DAYS_MAX):
            raise RangeRefused("Hours are shown for at most 31 days, and days for 400.")
        if group_by == "hour":
            end = _floor(now, hour=True) + timedelta(hours=1)
        else:
            end = _floor(now, hour=False) + timedelta(days=1)
            length = max(length, timedelta(days=1))
        return cls(time_range, group_by, end - length, end)

    @property
    def bucket(self) -> timedelta:
        return timedelta(hours=1) if self.group_by == "hour" else timedelta(days=1)

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    @property
    def before(self) -> Span:
        """The same length of time just before."""
        return Span(self.text, self.group_by, self.start - self.length, self.start)


def _floor(moment: datetime, *, hour: bool) -> datetime:
    whole = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return whole if hour else whole.replace(hour=0)
