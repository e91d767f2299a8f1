"""The overview as a page shows it: cards, trends, sparklines, and the chart with its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.currency import CURRENCIES
from molam.merchant import model
from molam.merchant.queries import Kpi, Point, Summary
from molam.merchant.store import AlertRow, MethodRow
from molam.payments.list_store import TransactionRow
from molam.platform.web.l10n import Formats

Mood = Literal["good", "bad", "plain"]
Trend = Literal["up", "down", "flat"]
TableStep = Literal["hour", "day", "month"]

# Beyond two months a table of days is longer than anybody reads.
TABLE_DAYS_MAX = 62
SPARK_POINTS_MAX = 31

_SPARK_TOP, _SPARK_BOTTOM = 4, 28

# Which way is good. Fees follow sales, so neither direction says anything.
_RISE: dict[str, Mood] = {
    "sales": "good",
    "net_revenue": "good",
    "conversion_rate": "good",
    "transactions": "good",
    "avg_ticket": "good",
    "refunds": "bad",
    "fees": "plain",
    "chargeback_rate": "bad",
}
_OPPOSITE: dict[Mood, Mood] = {"good": "bad", "bad": "good", "plain": "plain"}


# What a sparkline draws for each hour or day; None leaves one out that says nothing.
_DRAWN: dict[str, Callable[[Point], float | None]] = {
    "sales": lambda point: point.sales,
    "net_revenue": lambda point: point.sales - point.refunds - point.fees,
    "refunds": lambda point: point.refunds,
    "fees": lambda point: point.fees,
    "transactions": lambda point: point.created,
    "conversion_rate": lambda point: point.payments / point.created if point.created else None,
    "avg_ticket": lambda point: point.sales / point.payments if point.payments else None,
}


@dataclass(frozen=True, slots=True)
class Card:
    kpi: Kpi
    trend: Trend | None
    mood: Mood
    spark: str
    """Points of an SVG polyline in a box of 100 by 32; empty when the figure has no series."""


@dataclass(frozen=True, slots=True)
class Share:
    method: str
    payment_count: int
    sales: int
    part: float
    """Of the period's sales, in hundredths."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table behind the chart."""

    label: str
    sales: int
    before: int | None
    refunds: int
    payments: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the overview says, for one merchant, period and currency."""

    period: str
    is_custom: bool
    currency: str
    exponent: int
    timezone: str
    from_day: date
    to_day: date
    previous_from: date
    previous_to: date
    step: model.Step
    computed_at: Instant
    cards: dict[str, Card]
    begun: list[Point]
    """The hours or days that have begun."""
    sales: tuple[int | None, ...]
    """The chart's line; None where the hour or day has not begun."""
    previous: tuple[int, ...]
    slots: list[datetime]
    best: Point | None
    methods: list[Share]
    latest: list[TransactionRow]
    alerts: list[AlertRow] | None
    """None when the caller may not see alerts."""
    open_disputes: int

    @property
    def is_new_shop(self) -> bool:
        return not self.latest

    @property
    def table_step(self) -> TableStep:
        return "month" if len(self.slots) > TABLE_DAYS_MAX else self.step

    @property
    def sketch(self) -> str:
        return _sketch(self.sales, self._top)

    @property
    def sketch_previous(self) -> str:
        return _sketch(self.previous, self._top)

    @property
    def _top(self) -> int:
        return max([1, *self.previous, *(value for value in self.sales if value is not None)])

    def chart(self, formats: Formats) -> str:
        """Write what the chart's script reads, as JSON."""
        labels = [_label(at, formats, self.step) for at in self.slots]
        return msgspec.json.encode(
            {"labels": labels, "now": self.sales, "before": self.previous}
        ).decode()

    def lines(self, formats: Formats) -> list[Line]:
        """List the rows of the table behind the chart."""
        if self.table_step == "month":
            return _month_lines(self.begun, formats)
        return [
            Line(
                _label(point.at, formats, self.step),
                point.sales,
                before,
                point.refunds,
                point.payments,
            )
            for point, before in zip(self.begun, self.previous, strict=False)
        ]


def overview(
    summary: Summary,
    *,
    now: Instant,
    methods: Sequence[MethodRow],
    latest: list[TransactionRow],
    alerts: list[AlertRow] | None,
    open_disputes: int,
) -> Overview:
    """Lay the answers to the overview's questions out for people."""
    before = model.DayRange(summary.from_day, summary.to_day).previous()
    begun = [point for point in summary.series if point.at <= now]
    return Overview(
        period=summary.period,
        is_custom=summary.period.startswith("custom:"),
        currency=summary.currency,
        exponent=CURRENCIES[summary.currency].exponent,
        timezone=summary.timezone,
        from_day=summary.from_day,
        to_day=summary.to_day,
        previous_from=before.first,
        previous_to=before.last,
        step=summary.step,
        computed_at=summary.computed_at,
        cards={key: card(summary.kpis[key], begun) for key in _RISE},
        begun=begun,
        sales=tuple(point.sales if point.at <= now else None for point in summary.series),
        previous=tuple(point.sales for point in summary.previous_series),
        slots=[point.at for point in summary.series],
        best=max((point for point in begun if point.sales), key=_by_sales, default=None),
        methods=_shares(methods),
        latest=latest,
        alerts=alerts,
        open_disputes=open_disputes,
    )


def card(kpi: Kpi, series: Sequence[Point]) -> Card:
    """Say which way a figure went, whether that is good, and draw its line."""
    trend: Trend | None = None
    mood: Mood = "plain"
    if kpi.change is not None:
        # A change that would be shown as 0.0 % is none.
        shown = round(kpi.change, 3)
        trend = "up" if shown > 0 else "down" if shown < 0 else "flat"
        rise = _RISE[kpi.key]
        mood = rise if trend == "up" else _OPPOSITE[rise] if trend == "down" else "plain"
    draw = _DRAWN.get(kpi.key, _nothing)
    return Card(
        kpi, trend, mood, spark([value for at in series if (value := draw(at)) is not None])
    )


def spark(values: Sequence[float]) -> str:
    """Draw *values* as the points of a polyline, on whole units so that it changes rarely."""
    if len(values) < 2 or not any(values):  # noqa: PLR2004 - one point is no line.
        return ""
    size = -(-len(values) // SPARK_POINTS_MAX)
    groups = [values[at : at + size] for at in range(0, len(values), size)]
    means = [sum(group) / len(group) for group in groups]
    low, high = min(means), max(means)
    height = _SPARK_BOTTOM - _SPARK_TOP
    return " ".join(
        f"{round(index * 100 / max(len(means) - 1, 1))},"
        f"{_SPARK_BOTTOM - round(height * (mean - low) / (high - low)) if high > low else height}"
        for index, mean in enumerate(means)
    )


def _nothing(_point: Point) -> None:
    return None


def _by_sales(point: Point) -> int:
    return point.sales


def _label(at: datetime, formats: Formats, step: TableStep) -> str:
    return formats.hour(at) if step == "hour" else formats.day_month(at.date())


def _sketch(values: Sequence[int | None], top: int) -> str:
    """Draw a line for browsers without JavaScript, and for the moment before it runs."""
    last = max(len(values) - 1, 1)
    return " ".join(
        f"{round(index * 100 / last)},{round(96 - 90 * value / top)}"
        for index, value in enumerate(values)
        if value is not None
    )


def _month_lines(series: Sequence[Point], formats: Formats) -> list[Line]:
    months: dict[date, list[Point]] = {}
    for point in series:
        months.setdefault(point.at.date().replace(day=1), []).append(point)
    return [
        Line(
            formats.month(first),
            sum(point.sales for point in points),
            None,
            sum(point.refunds for point in points),
            sum(point.payments for point in points),
        )
        for first, points in months.items()
    ]


def _shares(rows: Sequence[MethodRow]) -> list[Share]:
    total = sum(row.sales for row in rows)
    return [
        Share(row.method, row.payment_count, row.sales, row.sales * 100 / total if total else 0.0)
        for row in rows
    ]
