"""Amounts and days as banks write them, read exactly."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from molam.kernel.currency import Currency
from molam.kernel.money import MINOR_MAX
from molam.payments.statements.model import EARLIEST, LATEST, StatementMalformed

_LENGTH_MAX = 40
_SPACES = re.compile(r"[\s\u00a0\u202f']")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(([.][0-9]{3})+|(,[0-9]{3})+)", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)

# Tried in this order where a mapping does not say; day before month, as in West Africa.
TIMES = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%d/%m/%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d-%m-%Y",
    "%d-%m-%Y %H:%M:%S",
    "%d.%m.%Y",
    "%Y%m%d",
)


def exact(value: Decimal, unit: Currency, *, line: int) -> int:
    """
    Turn an amount in major units into minor ones.

    Raises:
        StatementMalformed: more decimals than the currency has, or out of range.
    """
    if not value.is_finite() or abs(value.adjusted()) > _LENGTH_MAX:
        raise StatementMalformed(f"The amount of line {line} is not a number.", line=line)
    minor = value.scaleb(unit.exponent)
    if minor != minor.to_integral_value():
        raise StatementMalformed(
            f"The amount of line {line} has more decimals than {unit.code} ({unit.exponent}).",
            line=line,
        )
    if abs(minor) > MINOR_MAX:
        raise StatementMalformed(f"The amount of line {line} is too large.", line=line)
    return int(minor)


def decimal(text: str, *, line: int, separator: str = "") -> Decimal:
    """
    Read a number with spaces, a sign, brackets or an ending currency word around it.

    *separator* is the decimal one. Without it, the last of point and comma is taken for
    it, unless groups of three digits show that it parts thousands: none of our currencies
    has three decimals.

    Raises:
        StatementMalformed: no number.
    """
    plain = _SPACES.sub("", text)[:_LENGTH_MAX]
    plain = re.sub(r"(F?CFA|[A-Z]{3}|F)$", "", plain.upper())
    negative = plain.startswith("(") and plain.endswith(")")
    plain = _pointed(plain.strip("()"), separator)
    if not _NUMBER.fullmatch(plain):
        raise StatementMalformed(f"Line {line} has {text[:32]!r} for an amount.", line=line)
    try:
        value = Decimal(plain)
    except InvalidOperation:
        raise StatementMalformed(f"Line {line} has no amount.", line=line) from None
    return -value if negative else value


def _pointed(plain: str, separator: str) -> str:
    if not separator and _GROUPED.fullmatch(plain):
        return plain.replace(",", "").replace(".", "")
    if not separator:
        separator = "," if plain.rfind(",") > plain.rfind(".") else "."
    other = "." if separator == "," else ","
    return plain.replace(other, "").replace(separator, ".")


def day(text: str, *, line: int, times: tuple[str, ...], zone: ZoneInfo) -> date:
    """
    Read a day, or the local day of an instant.

    Raises:
        StatementMalformed: none of *times* fits.
    """
    plain = text.strip()[:_LENGTH_MAX]
    moment = _instant(plain)
    if moment is not None and not times:
        return _bounded(moment.astimezone(zone).date() if moment.tzinfo else moment.date(), line)
    for each in times or TIMES:
        try:
            # The bank's own day is all that is asked for, wherever that is.
            found = datetime.strptime(plain, each).replace(tzinfo=zone)
        except ValueError:
            continue
        return _bounded(found.date(), line)
    raise StatementMalformed(f"Line {line} has {text[:32]!r} for a day.", line=line)


def _instant(text: str) -> datetime | None:
    if len(text) < len("2026-01-31"):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _bounded(found: date, line: int) -> date:
    if not EARLIEST <= found <= LATEST:
        raise StatementMalformed(f"Line {line} is dated {found.isoformat()}.", line=line)
    return found


UTC_ZONE = ZoneInfo("UTC")
