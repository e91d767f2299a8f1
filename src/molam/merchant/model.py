"""What a period is, and what each figure on the overview means: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import Enum
from fractions import Fraction
from operator import add
from types import MappingProxyType
from typing import Literal
from zoneinfo import ZoneInfo

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal

CUSTOM_DAYS_MAX = 731
YEAR_MIN = 2000
YEAR_MAX = 2100
ONE_DAY = timedelta(days=1)

Unit = Literal["minor", "percent", "count"]
Step = Literal["hour", "day"]

_CUSTOM = re.compile(r"custom:(\d{4}-\d{2}-\d{2}):(\d{4}-\d{2}-\d{2})", re.ASCII)
_TEN_THOUSANDTH = Decimal("0.0001")


class PeriodMalformed(Refusal):
    code = "period-malformed"
    kind = Kind.MALFORMED
    title = "This is not a period"


class Span(Enum):
    """The periods that have a name; every other one says its own days."""

    TODAY = "today"
    YESTERDAY = "yesterday"
    LAST_7D = "last_7d"
    MTD = "mtd"
    YTD = "ytd"


@dataclass(frozen=True, slots=True)
class DayRange:
    """Whole days in a merchant's calendar, both ends included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        assert self.first <= self.last

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def previous(self) -> DayRange:
        """Return the range of equal length that ends the day before this one starts."""
        return DayRange(self.first - timedelta(days=self.days), self.first - timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Period:
    """A period as a caller asked for it, before anybody knows which day it is."""

    span: Span | None
    custom: DayRange | None

    def __post_init__(self) -> None:
        assert (self.span is None) != (self.custom is None)

    def __str__(self) -> str:
        if self.span is not None:
            return self.span.value
        assert self.custom is not None
        return f"custom:{self.custom.first.isoformat()}:{self.custom.last.isoformat()}"


def parse_period(text: str) -> Period:
    """
    Read ``mtd``, ``today`` or ``custom:2026-01-01:2026-01-31`` (both days included).

    Raises:
        PeriodMalformed: no such period, not a date, ends before it starts, too
            long, or outside `YEAR_MIN` to `YEAR_MAX`.
    """
    match = _CUSTOM.fullmatch(text)
    if match is None:
        try:
            return Period(Span(text), None)
        except ValueError:
            names = ", ".join(span.value for span in Span)
            raise PeriodMalformed(
                f"Use one of {names}, or custom:YYYY-MM-DD:YYYY-MM-DD.", value=text[:64]
            ) from None

    first, last = _day(match[1]), _day(match[2])
    if first > last:
        raise PeriodMalformed("The first day is after the last.", value=text)
    custom = DayRange(first, last)
    if custom.days > CUSTOM_DAYS_MAX:
        raise PeriodMalformed(f"Ask for at most {CUSTOM_DAYS_MAX} days.", value=text)
    return Period(None, custom)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise PeriodMalformed(f"{text} is not a day of the calendar.", value=text) from None
    if not YEAR_MIN <= day.year <= YEAR_MAX:
        raise PeriodMalformed(f"Years run from {YEAR_MIN} to {YEAR_MAX}.", value=text)
    return day


def range_of(period: Period, today: date) -> DayRange:
    """Say which days *period* means when the merchant's calendar shows *today*."""
    match period.span:
        case Span.TODAY:
            return DayRange(today, today)
        case Span.YESTERDAY:
            yesterday = today - timedelta(days=1)
            return DayRange(yesterday, yesterday)
        case Span.LAST_7D:
            return DayRange(today - timedelta(days=6), today)
        case Span.MTD:
            return DayRange(today.replace(day=1), today)
        case Span.YTD:
            return DayRange(today.replace(month=1, day=1), today)
        case None:
            assert period.custom is not None
            return period.custom


def local_day(now: Instant, timezone: str) -> date:
    """Return the date on a calendar that hangs in *timezone*."""
    assert now.tzinfo is not None
    return now.astimezone(ZoneInfo(timezone)).date()


def day_ends_at(today: date, timezone: str) -> Instant:
    """
    Return the first instant after *today* in *timezone*: the next local midnight.

    Where clocks jump over that midnight, it is the moment of the jump; where
    midnight comes twice, the first.
    """
    midnight = datetime.combine(today + timedelta(days=1), time.min, tzinfo=ZoneInfo(timezone))
    # A skipped midnight read with the offset after the jump is an instant before
    # it, and the other way round (PEP 495). Any other midnight leaves no gap.
    before = midnight.replace(fold=1).astimezone(UTC)
    after = midnight.astimezone(UTC)
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if local_day(middle, timezone) > today:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)


def step_of(span: DayRange) -> Step:
    """Say how finely a chart of *span* is cut."""
    return "hour" if span.days == 1 else "day"


@dataclass(frozen=True, slots=True)
class Sums:
    """What a merchant's facts add up to over some hours or days, in one currency."""

    created_count: int = 0
    payment_count: int = 0
    failed_count: int = 0
    abandoned_count: int = 0
    sales: int = 0
    fees: int = 0
    refund_count: int = 0
    refunds: int = 0
    dispute_count: int = 0
    disputes: int = 0
    payout_count: int = 0
    payouts: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class Kpi:
    """
    How one figure follows from `Sums`.

    A figure without a denominator is a sum and may be added to another period's;
    one with a denominator is a ratio of sums and may not.
    """

    key: str
    unit: Unit
    numerator: Callable[[Sums], int]
    denominator: Callable[[Sums], int] | None
    txn_count: Callable[[Sums], int]


_DEFINITIONS = (
    Kpi("sales", "minor", lambda s: s.sales, None, lambda s: s.payment_count),
    Kpi("refunds", "minor", lambda s: s.refunds, None, lambda s: s.refund_count),
    Kpi("fees", "minor", lambda s: s.fees, None, lambda s: s.payment_count),
    Kpi(
        "net_revenue",
        "minor",
        lambda s: s.sales - s.refunds - s.fees,
        None,
        lambda s: s.payment_count,
    ),
    Kpi(
        "avg_ticket",
        "minor",
        lambda s: s.sales,
        lambda s: s.payment_count,
        lambda s: s.payment_count,
    ),
    Kpi(
        "chargeback_rate",
        "percent",
        lambda s: s.dispute_count,
        lambda s: s.payment_count,
        lambda s: s.dispute_count,
    ),
    Kpi(
        "conversion_rate",
        "percent",
        lambda s: s.payment_count,
        lambda s: s.created_count,
        lambda s: s.created_count,
    ),
    Kpi("transactions", "count", lambda s: s.created_count, None, lambda s: s.created_count),
    Kpi("payments", "count", lambda s: s.payment_count, None, lambda s: s.payment_count),
    Kpi("failed", "count", lambda s: s.failed_count, None, lambda s: s.failed_count),
    Kpi("abandoned", "count", lambda s: s.abandoned_count, None, lambda s: s.abandoned_count),
    Kpi("disputes", "minor", lambda s: s.disputes, None, lambda s: s.dispute_count),
)

KPIS = MappingProxyType({kpi.key: kpi for kpi in _DEFINITIONS})
KPI_KEYS = tuple(KPIS)


def value(numerator: int, denominator: int | None, unit: Unit) -> int | Decimal | None:
    """
    Turn the sums behind a figure into the figure.

    Money rounds to whole minor units and rates to hundredths of a percent, half
    to even, each exactly once. A ratio over nothing is unknown, not zero.
    """
    if denominator == 0:
        return None
    exact = Fraction(numerator, 1 if denominator is None else denominator)
    if unit == "percent":
        # Ten thousandths are hundredths of a percent; round() is half to even.
        return Decimal(round(exact * 10_000)).scaleb(-2)
    return round(exact)


def kpi_value(kpi: Kpi, sums: Sums) -> int | Decimal | None:
    """Return *kpi* over the facts that *sums* counts."""
    denominator = None if kpi.denominator is None else kpi.denominator(sums)
    return value(kpi.numerator(sums), denominator, kpi.unit)


def change(current: int | Decimal | None, previous: int | Decimal | None) -> Decimal | None:
    """
    Return how far *current* is from *previous*, as a fraction of *previous*.

    A figure that was nothing, or unknown, has not changed by any fraction. From
    a loss to a profit is a rise, so the sign is that of the difference.
    """
    if current is None or previous is None or previous == 0:
        return None
    fraction = (Decimal(current) - Decimal(previous)) / abs(Decimal(previous))
    return fraction.quantize(_TEN_THOUSANDTH, rounding=ROUND_HALF_EVEN)
