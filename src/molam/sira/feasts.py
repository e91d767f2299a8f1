"""Which days are feasts in a country, and when people fast: banks are busier, and stand still."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

from molam.kernel.holidays import public_holidays

NEAR_DAYS = 7
"""Feasts further away count as this far."""
_FAST_DAYS = 30
_END_OF_FAST = "Eid al-Fitr"


def distance(country: str, day: date) -> int:
    """Return the days to the nearest public holiday, before or after, at most `NEAR_DAYS`."""
    feasts = _feasts(country, day.year)
    for away in range(NEAR_DAYS):
        if day + timedelta(days=away) in feasts or day - timedelta(days=away) in feasts:
            return away
    return NEAR_DAYS


def is_ramadan(country: str, day: date) -> bool:
    """Tell whether *day* is of the month before the feast, where that is a holiday."""
    return any(
        timedelta() < end - day <= timedelta(days=_FAST_DAYS) for end in _ends(country, day.year)
    )


@lru_cache(maxsize=256)
def _feasts(country: str, year: int) -> frozenset[date]:
    return frozenset(day for day, _ in _named(country, year))


@lru_cache(maxsize=256)
def _ends(country: str, year: int) -> tuple[date, ...]:
    """Return the first day of each end of the fast around *year*."""
    days = sorted(day for day, name in _named(country, year) if _END_OF_FAST in name)
    return tuple(
        day
        for place, day in enumerate(days)
        if place == 0 or (day - days[place - 1]).days > _FAST_DAYS
    )


@lru_cache(maxsize=256)
def _named(country: str, year: int) -> tuple[tuple[date, str], ...]:
    """Return the holidays of *year* and its neighbours; a country nobody lists has none."""
    return tuple(
        named
        for each in (year - 1, year, year + 1)
        for named in public_holidays(country, each, "en_US").items()
    )
