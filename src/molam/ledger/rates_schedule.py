"""When rates are due, and since when they are late, decided without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import holidays

from molam.kernel.clock import Instant

ECB_ZONE = ZoneInfo("Europe/Berlin")
ECB_PUBLISHES = time(16, 0)
"""About then, on each day its payment system is open."""
ECB_GRACE = timedelta(hours=3)
RETRY_AFTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
HOURLY_GRACE = timedelta(hours=3)
_DAYS_BACK_MAX = 14
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Refreshes:
    """How a provider has been answering."""

    attempted_at: Instant
    succeeded_at: Instant | None
    newest_on: date | None


def is_business_day(day: date) -> bool:
    """Tell whether the ECB quotes on *day*."""
    closed = holidays.financial_holidays("ECB", years=day.year)
    return day.weekday() < _SATURDAY and day not in closed


def published_at(day: date) -> Instant:
    return datetime.combine(day, ECB_PUBLISHES, ECB_ZONE)


def newest_published(now: Instant) -> date:
    """Tell which day's rates the ECB published last before *now*."""
    day = now.astimezone(ECB_ZONE).date()
    for _ in range(_DAYS_BACK_MAX):
        if is_business_day(day) and published_at(day) <= now:
            return day
        day -= timedelta(days=1)
    raise AssertionError("the ECB never closes for two weeks")


def has_gap(last: date, newest: date) -> bool:
    """Tell whether the ECB quoted on a day between these two."""
    days = range(1, min((newest - last).days, 10))
    return any(is_business_day(last + timedelta(days=each)) for each in days)


def is_due(
    provider: str, past: Refreshes | None, now: Instant, *, jitter: timedelta = timedelta(0)
) -> bool:
    """
    Tell whether *provider* should be asked at *now*.

    *jitter* keeps installations from asking in the same second.
    """
    if past is None:
        return True
    if provider != "ecb":
        return now - past.attempted_at >= HOUR + jitter
    newest = newest_published(now - jitter)
    is_behind = past.newest_on is None or past.newest_on < newest
    return is_behind and now - past.attempted_at >= RETRY_AFTER


def stale_since(provider: str, past: Refreshes | None, now: Instant) -> Instant | None:
    """Tell since when the rates of *provider* have been late; None: they are not."""
    if past is None:
        return None
    if provider != "ecb":
        answered = past.succeeded_at or past.attempted_at
        return None if now - answered <= HOUR + HOURLY_GRACE else answered
    newest = newest_published(now - ECB_GRACE)
    if past.newest_on is not None and past.newest_on >= newest:
        return None
    if past.newest_on is None:
        return past.attempted_at
    missed = past.newest_on + timedelta(days=1)
    while not is_business_day(missed):
        missed += timedelta(days=1)
    return published_at(missed)
