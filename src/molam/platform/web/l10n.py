"""How people read money, numbers, dates and hours in each language of the product."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Literal
from zoneinfo import ZoneInfo

from babel import Locale, dates, numbers
from markupsafe import Markup, escape

from molam.kernel.clock import Instant
from molam.kernel.currency import Currency, currency
from molam.kernel.money import MINOR_MAX, AmountMalformed, Money

Language = Literal["fr", "en"]

LANGUAGES: tuple[Language, ...] = ("fr", "en")

NO_BREAK = "\u00a0"
MINUS = "\u2212"
EN_DASH = "\u2013"

# West African conventions: days before months and 24 hours in both languages.
_LOCALES: Mapping[Language, Locale] = MappingProxyType(
    {"fr": Locale.parse("fr_SN"), "en": Locale.parse("en_NG")}
)

# CLDR writes the cedi and the naira as codes outside their own countries; their
# own merchants read these pages.
_SYMBOLS = MappingProxyType({"GHS": "GH₵", "NGN": "₦"})

_TYPED = re.compile(
    r"([0-9]{1,3}(?:([.,])[0-9]{3}(?:\2[0-9]{3})*)|[0-9]{1,16})(?:[.,]([0-9]{1,2}))?"
)
_FIRST = re.compile(r"\b1(?= [^\W\d])")
_SPACES = str.maketrans(dict.fromkeys("\u0020\u00a0\u202f\u2009", ""))


# A live page is written again and again, and little of it changes: most amounts
# and dates have been written before. There are two instances, one a language.
_remembered = functools.lru_cache(maxsize=4096)


_RATE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Formats:
    """The template filters of one language."""

    language: Language

    @property
    def locale(self) -> Locale:
        return _LOCALES[self.language]

    @_remembered
    def number(self, value: Decimal | float, decimals: int = 0) -> str:
        """Write *value* with grouped thousands and exactly *decimals* decimals."""
        pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
        text: str = numbers.format_decimal(
            value if value >= 0 else -value, pattern, locale=self.locale
        )
        # What rounds to nothing has no sign.
        return MINUS + text if value < 0 and text.strip("0.,") else text

    @_remembered
    def rate(self, value: Decimal) -> str:
        """Write an exchange rate with six significant digits: ``655,957``, ``0,0017``."""
        decimals = max(0, min(10, _RATE_DIGITS - 1 - value.adjusted()))
        written = f"{round(value, decimals).normalize():f}"
        return self.number(Decimal(written), len(written.partition(".")[2]))

    @_remembered
    def money(self, minor: int, code: str) -> str:
        """Write an amount with its currency: ``12 500 F CFA``, ``GH₵125.00``."""
        before, digits, after = self._parts(minor, currency(code))
        return before + digits + after

    @_remembered
    def money_markup(self, minor: int, code: str) -> Markup:
        """Write an amount as `money` does, its currency in an element that styles may shrink."""
        before, digits, after = self._parts(minor, currency(code))
        small = Markup('<span class="cur">{}</span>')
        sign = before[: before.startswith(MINUS)]
        prefix, suffix = before[len(sign) :], after.lstrip(NO_BREAK)
        return (
            escape(sign)
            + (small.format(prefix) if prefix else "")
            + digits
            + after[: len(after) - len(suffix)]
            + (small.format(suffix) if suffix else "")
        )

    @_remembered
    def money_short(self, minor: int, code: str) -> str:
        """Write an amount to three figures or so: ``12,5 M F CFA``."""
        unit = currency(code)
        major = Decimal(abs(minor)).scaleb(-unit.exponent)
        digits: str = numbers.format_compact_decimal(
            major,
            locale=self.locale,
            fraction_digits=1 if major >= 1000 else 0,  # noqa: PLR2004
        )
        return self._around(digits, unit, negative=minor < 0)

    @_remembered
    def symbol(self, code: str) -> str:
        """Name a currency as people do: ``F CFA``, ``₦``."""
        return _SYMBOLS.get(code) or str(numbers.get_currency_symbol(code, locale=self.locale))

    def country(self, code: str) -> str:
        """Name a country: ``Sénégal``; one that nobody knows by its code."""
        return str(self.locale.territories.get(code, code))

    def percent(self, value: Decimal | float, decimals: int = 1) -> str:
        """Write *value*, which is in hundredths: 96.4 becomes ``96,4 %``."""
        space = NO_BREAK if self.language == "fr" else ""
        return f"{self.number(value, decimals)}{space}%"

    def change(self, fraction: Decimal) -> str:
        """Write a change with its sign: 0.082 becomes ``+8,2 %``."""
        hundredths = (fraction * 100).quantize(Decimal("0.1"))
        return ("+" if hundredths > 0 else "") + self.percent(hundredths)

    @_remembered
    def day(self, value: date, style: str = "medium") -> str:
        """Write a date: ``21 nov. 2026``, or with *style* ``short``, ``long``, ``full``."""
        text: str = dates.format_date(value, style, locale=self.locale)
        return self._first(text)

    @_remembered
    def day_month(self, value: date) -> str:
        """Write a date whose year is plain from the page: ``21 nov.``"""
        text: str = dates.format_skeleton("MMMd", value, locale=self.locale)
        return self._first(text)

    def _first(self, day: str) -> str:
        """Write the first of a month as French does, which CLDR does not: ``1er févr.``"""
        return _FIRST.sub("1er", day) if self.language == "fr" else day

    def day_range(self, first: date, last: date, this_year: int | None = None) -> str:
        """Write a span of days as briefly as it can be: ``11-31 oct.``"""
        if first.year != last.year:
            return f"{self.day(first)} {EN_DASH} {self.day(last)}"
        # The year goes without saying unless it is another than the reader's.
        shown = self.day_month if this_year in {None, last.year} else self.day
        if first == last:
            return shown(first)
        if first.month == last.month:
            return f"{first.day}{EN_DASH}{shown(last)}"
        return f"{self.day_month(first)} {EN_DASH} {shown(last)}"

    def month(self, value: date) -> str:
        """Write a month with its year: ``novembre 2026``."""
        text: str = dates.format_skeleton("yMMMM", value, locale=self.locale)
        return text

    def hour(self, value: datetime) -> str:
        """Write the hour of a value that is already local: ``18:00``."""
        return value.strftime("%H:%M")

    @_remembered
    def instant(self, value: Instant, timezone: str, style: str = "moment") -> Markup:
        """
        Write an instant in *timezone*, with the UTC instant on hover.

        *style* is ``time``, ``clock`` (with seconds), ``day``, ``moment`` (day and
        time), ``second`` (day and clock) or ``brief`` (both, in digits).
        """
        local = value.astimezone(ZoneInfo(timezone))
        utc = value.astimezone(UTC)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            utc.isoformat(timespec="seconds").replace("+00:00", "Z"),
            utc.strftime("%Y-%m-%d %H:%M:%S UTC"),
            self._local(local, style),
        )

    def _local(self, local: datetime, style: str) -> str:
        clock = local.strftime("%H:%M:%S" if style in {"second", "clock"} else "%H:%M")
        if style in {"time", "clock"}:
            return clock
        if style == "brief":
            return local.strftime("%d/%m/%y %H:%M")
        day = self.day(local.date())
        return day if style == "day" else f"{day}, {clock}"

    def _parts(self, minor: int, unit: Currency) -> tuple[str, str, str]:
        major = Decimal(abs(minor)).scaleb(-unit.exponent)
        digits = self.number(major, unit.exponent)
        before, after = self._around("\n", unit, negative=minor < 0).split("\n")
        return before, digits, after

    def _around(self, digits: str, unit: Currency, *, negative: bool) -> str:
        symbol = self.symbol(unit.code)
        sign = MINUS if negative else ""
        # CLDR's English glues letters to digits (F CFA12,500); nobody writes that.
        if self.language == "fr" or symbol[-1].isalpha():
            return f"{sign}{digits}{NO_BREAK}{symbol}"
        return f"{sign}{symbol}{digits}"


def of_name(name: str) -> str:
    """Write « of » before a name in French: ``de Moussa``, ``d'Awa``."""
    first = unicodedata.normalize("NFD", name[:1]).lower()[:1]
    return f"d'{name}" if first and first in "aeiouœæ" else f"de {name}"


def zone_name(local: datetime) -> str:
    """Name the zone of a local time as people do: ``GMT``, or ``UTC+03`` where it has no name."""
    name = local.tzname() or "UTC"
    return f"UTC{name}" if name[0] in "+-" else name


def parse_amount(text: str, unit: Currency) -> Money:
    """
    Read an amount as a person types it: ``12 500``, ``1 234,50``, ``1,234.50``.

    A point or comma before one or two last digits starts the decimals; before
    three it groups thousands. That holds in both languages, so nobody has to
    know which one the page expects.

    Raises:
        AmountMalformed: not an amount, or more decimals than the currency has.
    """
    match = _TYPED.fullmatch(text.translate(_SPACES))
    if match is None:
        raise AmountMalformed("Write digits only.", value=text[:32])
    whole, _, decimals = match.groups(default="")
    if len(decimals) > unit.exponent:
        raise AmountMalformed(f"{unit.code} has {unit.exponent} decimals.", value=text[:32])
    minor = int(whole.replace(".", "").replace(",", "") + decimals.ljust(unit.exponent, "0"))
    if minor > MINOR_MAX:
        raise AmountMalformed("The amount is too large.", value=text[:32])
    return Money(minor, unit)
