"""How figures become cards, lines and tables."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from molam.merchant import figures
from molam.merchant.figures import Overview, card, spark
from molam.merchant.queries import Kpi, Point, Summary
from molam.merchant.store import MethodRow
from molam.platform.web.l10n import Formats

DAY = datetime(2026, 11, 21, tzinfo=UTC)
EVENING = DAY.replace(hour=18)


def a_kpi(key: str = "sales", *, change: Decimal | None = None) -> Kpi:
    return Kpi(key, 100, "minor", "XOF", 3, 90, change, None)


def a_point(at: datetime, sales: int = 0, payments: int = 0, created: int = 0) -> Point:
    return Point(at, sales, 0, 0, payments, created)


def an_overview(*, days: int = 1, now: datetime = EVENING, sales: int = 10) -> Overview:
    step = timedelta(hours=1) if days == 1 else timedelta(days=1)
    count = 24 if days == 1 else days
    first = DAY if days == 1 else DAY - timedelta(days=days - 1)
    series = tuple(a_point(first + at * step, sales * at, at, at) for at in range(count))
    summary = Summary(
        period="today",
        currency="XOF",
        from_day=first.date(),
        to_day=DAY.date(),
        timezone="Africa/Dakar",
        kpis={key: a_kpi(key) for key in figures._RISE},
        series=series,
        previous_series=series,
        step="hour" if days == 1 else "day",
        computed_at=now,
        version=1,
    )
    return figures.overview(
        summary,
        now=now,
        methods=[MethodRow("wave", 3, 300), MethodRow("card", 1, 100)],
        latest=[],
        alerts=None,
        open_disputes=0,
    )


@pytest.mark.parametrize(
    ("key", "change", "trend", "mood"),
    [
        ("sales", "0.10", "up", "good"),
        ("sales", "-0.10", "down", "bad"),
        ("refunds", "0.10", "up", "bad"),
        ("chargeback_rate", "-0.10", "down", "good"),
        ("fees", "0.10", "up", "plain"),
        ("sales", "0.0004", "flat", "plain"),
        ("sales", None, None, "plain"),
    ],
)
def test_a_trend_says_which_way_and_whether_that_is_good(
    key: str, change: str | None, trend: str | None, mood: str
) -> None:
    made = card(a_kpi(key, change=None if change is None else Decimal(change)), [])

    assert (made.trend, made.mood) == (trend, mood)


def test_hours_that_have_not_begun_are_unknown_rather_than_zero() -> None:
    view = an_overview(now=DAY.replace(hour=10, minute=30))

    assert view.sales[10] == 100
    assert view.sales[11:] == (None,) * 13
    assert len(view.lines(Formats("fr"))) == 11


def test_the_best_hour_is_the_insight_and_none_where_nothing_sold() -> None:
    best = an_overview().best

    assert best is not None
    assert best.at.hour == 18
    assert an_overview(sales=0).best is None


def test_a_year_is_told_by_month() -> None:
    view = an_overview(days=325)

    lines = view.lines(Formats("en"))

    assert view.table_step == "month"
    assert [line.label for line in lines][:2] == ["January 2026", "February 2026"]
    assert sum(line.sales for line in lines) == sum(value or 0 for value in view.sales)


def test_shares_are_parts_of_the_sales() -> None:
    assert [share.part for share in an_overview().methods] == [75.0, 25.0]


def test_the_previous_period_ends_where_this_one_begins() -> None:
    view = an_overview(days=7)

    assert view.previous_to == view.from_day - timedelta(days=1)
    assert view.previous_from == date(2026, 11, 8)


def test_a_sparkline_has_a_bounded_number_of_points() -> None:
    assert spark([5]) == ""
    assert spark([1, 2, 3]) == "0,28 50,16 100,4"
    assert spark([2, 2]) == "0,24 100,24"
    assert len(spark(list(range(365))).split()) <= figures.SPARK_POINTS_MAX
