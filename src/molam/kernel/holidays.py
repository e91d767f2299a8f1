"""Public holidays of a country, as the library of the same name lists them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import date

import holidays


@functools.lru_cache(maxsize=1024)
def public_holidays(country: str, year: int, language: str | None = None) -> Mapping[date, str]:
    """Name the holidays of *year*, in the country's own language; one nobody lists has none."""
    try:
        found = holidays.country_holidays(country, years=[year], language=language)
    except NotImplementedError:
        return {}
    return {day: found.get(day) or "" for day in found}
