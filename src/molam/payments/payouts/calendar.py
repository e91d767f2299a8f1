"""On which days a merchant is paid: its rhythm, its time zone and its country's holidays."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from molam.kernel.clock import Instant
from molam.kernel.holidays import public_holidays

Interval = Literal["daily", "weekly", "monthly", "instant", "manual"]
INTERVALS: tuple[Interval, ...] = ("daily", "weekly", "monthly", "instant", "manual")

RUNS_AT = time(5)
"""When the day's payouts are made, local time; until `SENDS_AT` they can be cancelled."""
SENDS_AT = time(8)
DELAY_DAYS_MAX = 30

_DAY = timedelta(days=1)
_SATURDAY = 5
_DECEMBER = 12
# No country of ours is closed for longer, weekends and feasts together.
_CLOSED_DAYS_MAX = 14


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    How often a merchant is paid, in one currency.

    *weekday* is 1 (Monday) to 7, *month_day* the last day in shorter months. What came
    in within the last *delay_days* days waits, and so does less than *minimum*.
    """

    interval: Interval
    weekday: int = 1
    month_day: int = 1
    delay_days: int = 1
    minimum: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the merchant is: its days begin by *timezone*, its banks close with *country*."""

    timezone: str
    country: str


@dataclass(frozen=True, slots=True)
class Payday:
    """
    A day of payouts. *planned* is the one the rhythm names; banks may be closed on it,
    for a *holiday* (its name) or, where that is None, a weekend.
    """

    planned: date
    on: date
    holiday: str | None = None

    @property
    def is_shifted(self) -> bool:
        return self.on != self.planned


def paydays(schedule: Schedule, place: Place, after: date) -> Iterator[Payday]:
    """
    Yield the days of payouts after the day *after*; none for by hand or at once.

    Of several planned days that fall together, it is the latest that moved.
    """
    if schedule.interval in {"instant", "manual"}:
        return
    found: Payday | None = None
    # Days before it are looked at too: one that fell on a feast may be paid after it.
    for planned in _planned(schedule, after - timedelta(days=_CLOSED_DAYS_MAX)):
        another = payday(place, planned)
        if another.on <= after:
            continue
        if found is not None and another.on > found.on:
            yield found
            found = another
        elif found is None or another.is_shifted:
            found = another


def payday(place: Place, planned: date) -> Payday:
    """Move *planned* to the next day on which banks are open."""
    holiday = None
    on = planned
    while not is_open(place.country, on):
        holiday = holiday or holiday_name(place.country, on)
        on += _DAY
    return Payday(planned, on, holiday if on != planned else None)


def next_payday(schedule: Schedule, place: Place, after: date) -> Payday | None:
    """Return the first day of payouts after *after*; None for by hand or at once."""
    return next(paydays(schedule, place, after), None)


def is_open(country: str, day: date) -> bool:
    """Tell whether banks of *country* are open: not at weekends or on public holidays."""
    return day.weekday() < _SATURDAY and holiday_name(country, day) is None


def holiday_name(country: str, day: date) -> str | None:
    """Name the public holiday of *country* on *day*, if there is one."""
    return public_holidays(country, day.year).get(day)


def local_day(now: Instant, place: Place) -> date:
    return now.astimezone(ZoneInfo(place.timezone)).date()


def at_local(day: date, at: time, place: Place) -> Instant:
    """Return when it is *at* on *day* where the merchant is, in UTC."""
    return datetime.combine(day, at, ZoneInfo(place.timezone)).astimezone(UTC)


def cutoff(schedule: Schedule, place: Place, on: date) -> Instant:
    """Return the instant before which money must have come in to be paid on the day *on*."""
    return at_local(on - timedelta(days=schedule.delay_days) + _DAY, time.min, place)


def _planned(schedule: Schedule, start: date) -> Iterator[date]:
    match schedule.interval:
        case "weekly":
            day = start + timedelta(days=(schedule.weekday - start.isoweekday()) % 7)
            while True:
                yield day
                day += timedelta(days=7)
        case "monthly":
            year, month = start.year, start.month
            while True:
                days = calendar.monthrange(year, month)[1]
                day = date(year, month, min(schedule.month_day, days))
                if day >= start:
                    yield day
                year, month = (year + 1, 1) if month == _DECEMBER else (year, month + 1)
        case _:
            day = start
            while True:
                yield day
                day += _DAY
