"""Periods mean whole days in the merchant's own calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from molam.merchant.model import (
    DayRange,
    PeriodMalformed,
    day_ends_at,
    local_day,
    parse_period,
    range_of,
    step_of,
)

# Zones without clock changes, with them, with them at midnight, and with odd offsets.
ZONES = (
    "Africa/Abidjan",
    "Africa/Lagos",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/St_Johns",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Europe/London",
    "Pacific/Apia",
    "Pacific/Kiritimati",
)

days = st.dates(date(2001, 1, 1), date(2099, 12, 30))
zones = st.sampled_from(ZONES)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("today", "2024-02-29", "2024-02-29"),
        ("yesterday", "2024-02-28", "2024-02-28"),
        ("last_7d", "2024-02-23", "2024-02-29"),
        ("mtd", "2024-02-01", "2024-02-29"),
        ("ytd", "2024-01-01", "2024-02-29"),
        ("custom:2023-12-31:2024-01-01", "2023-12-31", "2024-01-01"),
    ],
)
def test_named_period_covers_the_days_its_name_says(text, first, last):
    today = date(2024, 2, 29)

    covered = range_of(parse_period(text), today)

    assert (first, last) == (covered.first.isoformat(), covered.last.isoformat())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MTD",
        "last_30d",
        "custom",
        "custom:2024-01-01",
        "custom:2024-01-02:2024-01-01",
        "custom:2023-02-29:2023-03-01",
        "custom:1999-12-31:2000-01-01",
        "custom:2100-12-31:2101-01-01",
        "custom:2020-01-01:2022-01-01",
        "custom:2024-1-1:2024-1-2",
        "custom:20240101:20240102",
        "custom:\u0662\u0660\u0662\u0664-01-01:2024-01-02",
        "custom:2024-01-01:2024-01-02\n",
        " mtd",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(PeriodMalformed):
        parse_period(text)


def test_longest_custom_period_is_731_days():
    longest = range_of(parse_period("custom:2020-01-01:2021-12-31"), date(2026, 1, 1))

    assert longest.days == 731


@given(st.text(max_size=40))
def test_no_text_does_worse_than_a_refusal(text):
    try:
        period = parse_period(text)
    except PeriodMalformed:
        return
    assert str(period) == text


@given(days, st.sampled_from(["today", "yesterday", "last_7d", "mtd", "ytd"]))
@example(date(2024, 3, 1), "mtd")
@example(date(2024, 12, 31), "ytd")
def test_previous_range_is_as_long_and_ends_the_day_before(today, text):
    covered = range_of(parse_period(text), today)

    previous = covered.previous()

    assert covered.days == previous.days
    assert covered.first - timedelta(days=1) == previous.last


@given(days)
def test_first_of_a_month_starts_the_month_to_date_anew(today):
    first = today.replace(day=1)

    covered = range_of(parse_period("mtd"), first)

    assert DayRange(first, first) == covered
    assert step_of(covered) == "hour"


@given(days, zones)
@example(date(2011, 12, 29), "Pacific/Apia")  # The next day never happened.
@example(date(2023, 4, 27), "Africa/Cairo")  # Clocks skip the next midnight.
@example(date(2023, 3, 29), "Asia/Beirut")
@example(date(2010, 11, 6), "America/St_Johns")  # Clocks go back at 00:01.
@example(date(2023, 11, 4), "America/Havana")  # Midnight comes once, 00:30 twice.
@example(date(2021, 10, 30), "Atlantic/Azores")  # Midnight comes twice.
def test_day_ends_at_the_first_instant_of_a_later_day(today, timezone):
    ends = day_ends_at(today, timezone)

    assert local_day(ends, timezone) > today
    assert local_day(ends - timedelta(microseconds=1), timezone) <= today


@pytest.mark.parametrize("timezone", ZONES)
def test_every_midnight_of_two_years_falls_between_its_days(timezone):
    day = date(2023, 1, 1)

    while day < date(2025, 1, 1):
        ends = day_ends_at(day, timezone)
        last = local_day(ends - timedelta(microseconds=1), timezone)
        assert day == last
        assert local_day(ends, timezone) == day + timedelta(days=1)
        day += timedelta(days=1)


def test_days_last_23_24_or_25_hours_where_clocks_change():
    lengths = {
        (
            day_ends_at(date(2024, 1, 1) + timedelta(days=n), "Europe/London")
            - day_ends_at(date(2023, 12, 31) + timedelta(days=n), "Europe/London")
        ).total_seconds()
        / 3600
        for n in range(366)
    }

    assert {23.0, 24.0, 25.0} == lengths


def test_same_instant_is_another_day_further_east():
    now = datetime(2024, 2, 29, 23, 30, tzinfo=UTC)

    assert local_day(now, "Africa/Dakar") == date(2024, 2, 29)
    assert local_day(now, "Africa/Lagos") == date(2024, 3, 1)


@given(
    st.integers(978_400_000, 4_100_000_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
    zones,
)
def test_local_day_agrees_with_the_wall_clock(now, timezone):
    assert now.astimezone(ZoneInfo(timezone)).date() == local_day(now, timezone)
