"""Durations: wall time, and hours in which offices are open."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.approvals.policy.durations import (
    Calendar,
    Duration,
    DurationMalformed,
    add,
    read_duration,
    seconds_of,
    written,
)

DAKAR = ZoneInfo("Africa/Dakar")
WEEKDAYS = Calendar()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (7200, 7200),
        (Decimal(60), 60),
        ("90s", 90),
        ("30m", 1800),
        ("24h", 86400),
        ("7d", 604800),
        (0, 0),
    ],
)
def test_wall_time_is_read_in_any_unit(text: object, seconds: int):
    assert read_duration(text) == Duration(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        True,
        -1,
        Decimal("1.5"),
        "1.5h",
        "h",
        "",
        "5",
        "24 h",
        "-2h",
        "0bh",
        "1001bh",
        "367d",
        None,
        [],
        "\uff19h",
        10**12,
    ],
)
def test_what_is_no_duration_is_refused(value: object):
    with pytest.raises(DurationMalformed):
        read_duration(value)


@settings(deadline=None)
@given(
    st.one_of(
        st.builds(Duration, seconds=st.integers(0, 366 * 86400)),
        st.builds(Duration, business_hours=st.integers(1, 1000)),
    )
)
def test_a_duration_is_read_as_it_is_written(duration: Duration):
    assert read_duration(written(duration)) == duration


def test_friday_evening_goes_on_on_monday():
    friday = datetime(2026, 11, 20, 17, 30, tzinfo=DAKAR)

    assert add(friday, read_duration("4bh"), WEEKDAYS) == datetime(
        2026, 11, 23, 11, 30, tzinfo=DAKAR
    )


def test_a_holiday_is_not_counted():
    # Monday, 6 April 2026, is Easter Monday in Senegal; the Saturday before, Independence Day.
    friday = datetime(2026, 4, 3, 17, 30, tzinfo=DAKAR)

    assert add(friday, read_duration("4bh"), WEEKDAYS) == datetime(2026, 4, 7, 11, 30, tzinfo=DAKAR)


def test_hours_before_opening_count_from_opening():
    early = datetime(2026, 11, 23, 5, tzinfo=DAKAR)

    assert add(early, read_duration("1bh"), WEEKDAYS) == datetime(2026, 11, 23, 9, tzinfo=DAKAR)


def test_a_day_on_which_clocks_change_has_its_true_length():
    night = Calendar("FR", "Europe/Paris", time(0), time(6), frozenset())
    # Between 02:00 and 03:00 there is no time on 29 March 2026 in Paris.
    start = datetime(2026, 3, 29, 0, tzinfo=ZoneInfo("Europe/Paris"))

    end = add(start, read_duration("5bh"), night)

    assert end == datetime(2026, 3, 29, 6, tzinfo=ZoneInfo("Europe/Paris"))


def test_the_result_is_in_utc():
    start = datetime(2026, 1, 5, 9, tzinfo=ZoneInfo("Africa/Lagos"))

    assert add(start, read_duration("2h"), WEEKDAYS) == datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert add(start, read_duration("2h"), WEEKDAYS).tzinfo is UTC


def test_a_naive_time_is_a_bug():
    with pytest.raises(AssertionError):
        add(datetime(2026, 1, 5), read_duration("2h"), WEEKDAYS)  # noqa: DTZ001


@settings(deadline=None)
@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(1, 200),
)
def test_business_hours_never_pass_faster_than_the_clock_nor_beyond_their_estimate(
    start: datetime, hours: int
):
    duration = Duration(business_hours=hours)

    passed = add(start, duration, WEEKDAYS) - start

    assert timedelta(hours=hours) <= passed <= timedelta(seconds=seconds_of(duration) + 86400)


@settings(deadline=None)
@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(1, 50),
    st.integers(1, 50),
)
def test_business_hours_one_after_the_other_add_up(start: datetime, first: int, second: int):
    together = add(start, Duration(business_hours=first + second), WEEKDAYS)
    middle = add(start, Duration(business_hours=first), WEEKDAYS)

    assert add(middle, Duration(business_hours=second), WEEKDAYS) == together
