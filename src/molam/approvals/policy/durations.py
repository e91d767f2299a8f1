"""How long people may take: wall time, or hours in which offices are open."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, available_timezones

import holidays

from molam.kernel.clock import Instant
from molam.kernel.holidays import public_holidays
from molam.kernel.refusals import Kind, Refusal

SECONDS_MAX = 366 * 86400
BUSINESS_HOURS_MAX = 1000

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WRITTEN = re.compile(r"([0-9]{1,9})(s|m|h|d|bh)")

# A display needs a bound, not the truth: ten open hours a day, five days a week, and
# as many holidays in a row as the countries of the region ever have.
_HOURS_A_DAY = 10
_DAYS_A_WEEK = 5
_HOLIDAYS_IN_A_ROW = 4


class DurationMalformed(Refusal):
    code = "duration-malformed"
    kind = Kind.BROKEN_RULE
    title = "This is not a duration"


@dataclass(frozen=True, slots=True)
class Duration:
    """Either *seconds* of wall time or *business_hours*, never both."""

    seconds: int | None = None
    business_hours: int | None = None

    def __post_init__(self) -> None:
        assert (self.seconds is None) != (self.business_hours is None)


@dataclass(frozen=True, slots=True)
class Calendar:
    """When the people who vote are at work."""

    country: str = "SN"
    timezone: str = "Africa/Dakar"
    opens: time = time(8)
    closes: time = time(18)
    weekend: frozenset[int] = frozenset({5, 6})
    """Days of the week, Monday being 0."""

    def __post_init__(self) -> None:
        assert self.opens < self.closes
        assert len(self.weekend) < 7  # noqa: PLR2004 - the days of a week.

    def is_open_on(self, day: date) -> bool:
        return day.weekday() not in self.weekend and day not in public_holidays(
            self.country, day.year
        )


def read_duration(value: object) -> Duration:
    """
    Read whole seconds, or text: ``30m``, ``2h``, ``24h``, ``7d``, ``8bh`` (business hours).

    Raises:
        DurationMalformed: anything else, or longer than a year.
    """
    if isinstance(value, bool):
        raise DurationMalformed("Write seconds, or a number with s, m, h, d or bh.")
    if isinstance(value, int | Decimal):
        if value != int(value) or not 0 <= value <= SECONDS_MAX:
            raise DurationMalformed(f"Write whole seconds between 0 and {SECONDS_MAX}.")
        return Duration(seconds=int(value))
    written = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
    if written is None:
        raise DurationMalformed("Write seconds, or a number with s, m, h, d or bh: 30m, 7d, 8bh.")
    count, unit = int(written[1]), written[2]
    if unit == "bh":
        if not 1 <= count <= BUSINESS_HOURS_MAX:
            raise DurationMalformed(f"Write between 1 and {BUSINESS_HOURS_MAX} business hours.")
        return Duration(business_hours=count)
    return read_duration(count * _SECONDS[unit])


def written(duration: Duration) -> int | str:
    """Write *duration* as `read_duration` reads it: seconds, or ``8bh``."""
    if duration.business_hours is not None:
        return f"{duration.business_hours}bh"
    assert duration.seconds is not None
    return duration.seconds


def seconds_of(duration: Duration) -> int:
    """Return how many seconds it takes at most, weekends and holidays included."""
    if duration.seconds is not None:
        return duration.seconds
    assert duration.business_hours is not None
    days = -(-duration.business_hours // _HOURS_A_DAY)
    weekends = -(-days // _DAYS_A_WEEK)
    return (days + 2 * weekends + _HOLIDAYS_IN_A_ROW) * 86400


def add(start: Instant, duration: Duration, calendar: Calendar) -> Instant:
    """
    Return when *duration* after *start* has passed, in UTC.

    Business hours pass only while *calendar* is open; those of Friday 17:30 in
    Dakar end on Monday, unless that is a holiday.
    """
    assert start.tzinfo is not None
    if duration.seconds is not None:
        return start.astimezone(UTC) + timedelta(seconds=duration.seconds)
    assert duration.business_hours is not None
    left = timedelta(hours=duration.business_hours)
    zone = ZoneInfo(calendar.timezone)
    day = start.astimezone(zone).date()
    # A calendar is open on at least one weekday, and no year is all holidays, so this ends.
    while True:
        if calendar.is_open_on(day):
            # Counted in UTC: a day on which the clocks change is longer or shorter.
            opens = max(start, datetime.combine(day, calendar.opens, zone)).astimezone(UTC)
            closes = datetime.combine(day, calendar.closes, zone).astimezone(UTC)
            open_for = max(closes - opens, timedelta(0))
            if left <= open_for:
                return opens + left
            left -= open_for
        day += timedelta(days=1)


@functools.lru_cache(maxsize=1)
def countries() -> frozenset[str]:
    """Return the countries whose holidays are known."""
    return frozenset(holidays.list_supported_countries())


@functools.lru_cache(maxsize=1)
def timezones() -> frozenset[str]:
    """Return the names of the time zones that are known."""
    # Asking the system reads a folder, each time.
    return frozenset(available_timezones())
