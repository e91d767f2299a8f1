"""On which days merchants are paid: month ends, weekends, holidays, time zones, clock changes."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.payments.payouts.calendar import (
    INTERVALS,
    RUNS_AT,
    Place,
    Schedule,
    at_local,
    cutoff,
    is_open,
    local_day,
    next_payday,
    paydays,
)

DAKAR = Place("Africa/Dakar", "SN")
LAGOS = Place("Africa/Lagos", "NG")
PARIS = Place("Europe/Paris", "FR")


def _days(schedule: Schedule, after: date, count: int, place: Place = DAKAR) -> list[str]:
    found = itertools.islice(paydays(schedule, place, after), count)
    return [each.on.isoformat() for each in found]


def test_a_daily_schedule_leaves_out_weekends_and_holidays():
    days = _days(Schedule("daily"), date(2026, 12, 23), 4)

    assert days == ["2026-12-24", "2026-12-28", "2026-12-29", "2026-12-30"]


def test_a_weekly_schedule_that_meets_a_holiday_is_paid_the_next_working_day():
    found = next_payday(Schedule("weekly", weekday=5), DAKAR, date(2026, 12, 24))

    assert found is not None
    assert (found.planned, found.on) == (date(2026, 12, 25), date(2026, 12, 28))
    assert found.is_shifted
    assert found.holiday


def test_a_payday_that_was_moved_past_today_is_not_lost():
    # Friday is Christmas; asked on that Friday, it is still to be paid on Monday.
    assert _days(Schedule("weekly", weekday=5), date(2026, 12, 25), 1) == ["2026-12-28"]


def test_of_days_that_fall_together_the_latest_that_moved_is_named():
    found = next_payday(Schedule("daily"), DAKAR, date(2026, 11, 20))

    assert found is not None
    assert (found.planned, found.on) == (date(2026, 11, 22), date(2026, 11, 23))


@pytest.mark.parametrize(
    ("month_day", "expected"),
    [
        (31, ["2027-02-01", "2027-03-01", "2027-03-31", "2027-04-30"]),
        (29, ["2027-01-29", "2027-03-01", "2027-03-30", "2027-04-29"]),
    ],
)
def test_days_that_a_month_lacks_are_its_last(month_day: int, expected: list[str]):
    days = _days(Schedule("monthly", month_day=month_day), date(2027, 1, 5), 4)

    assert days == expected


def test_a_leap_year_has_its_29th_of_february():
    days = _days(Schedule("monthly", month_day=29), date(2028, 2, 1), 1)

    assert days == ["2028-02-29"]


def test_countries_have_holidays_of_their_own():
    bastille = date(2026, 7, 14)

    assert not is_open("FR", bastille)
    assert is_open("SN", bastille)
    assert is_open("ZZ", bastille)
    assert not is_open("ZZ", date(2026, 7, 18))


@pytest.mark.parametrize(
    ("place", "expected"),
    [(DAKAR, "05:00"), (LAGOS, "04:00"), (PARIS, "03:00")],
)
def test_the_hour_is_the_merchants(place: Place, expected: str):
    assert f"{at_local(date(2026, 7, 1), RUNS_AT, place):%H:%M}" == expected


def test_clock_changes_move_the_hour_and_not_the_day():
    before = at_local(date(2026, 3, 28), RUNS_AT, PARIS)
    after = at_local(date(2026, 3, 29), RUNS_AT, PARIS)

    assert after - before == timedelta(hours=23)
    assert local_day(after, PARIS) == date(2026, 3, 29)


def test_the_cutoff_is_the_end_of_the_last_day_that_is_old_enough():
    on = date(2026, 11, 16)

    assert cutoff(Schedule("weekly", delay_days=1), LAGOS, on) == datetime(
        2026, 11, 15, 23, tzinfo=UTC
    )
    assert cutoff(Schedule("instant", delay_days=0), DAKAR, on) == datetime(
        2026, 11, 17, tzinfo=UTC
    )


def test_by_hand_and_at_once_have_no_days():
    assert _days(Schedule("manual"), date(2026, 1, 1), 3) == []
    assert _days(Schedule("instant"), date(2026, 1, 1), 3) == []


@given(
    interval=st.sampled_from([each for each in INTERVALS if each not in {"instant", "manual"}]),
    weekday=st.integers(1, 7),
    month_day=st.integers(1, 31),
    after=st.dates(date(2025, 1, 1), date(2035, 12, 31)),
    place=st.sampled_from([DAKAR, LAGOS, PARIS, Place("Africa/Abidjan", "CI")]),
)
def test_paydays_are_open_days_in_order_and_none_is_named_before_its_time(
    interval: str, weekday: int, month_day: int, after: date, place: Place
):
    schedule = Schedule(interval, weekday=weekday, month_day=month_day)  # type: ignore[arg-type]

    found = list(itertools.islice(paydays(schedule, place, after), 6))

    assert all(is_open(place.country, each.on) for each in found)
    assert all(after < each.on and each.planned <= each.on for each in found)
    assert all(one.on < two.on for one, two in itertools.pairwise(found))
    if interval == "weekly":
        assert {each.planned.isoweekday() for each in found} == {weekday}
    gaps = {"daily": 14, "weekly": 21, "monthly": 45}
    assert all((two.on - one.on).days <= gaps[interval] for one, two in itertools.pairwise(found))
    assert at_local(found[0].on, time(5), place).tzinfo is not None
