"""What the frames of the staff's apps share: the reader's zone, filters, what was just done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, pass_environment
from markupsafe import Markup
from starlette.requests import HTTPConnection

from molam.kernel.shown import plain
from molam.platform.web.caller import Caller, Permission
from molam.platform.web.l10n import NO_BREAK, Formats, zone_name

ZONE_COOKIE = "molam_tz"
# Where the teams are; a browser that runs scripts says where it is itself.
ZONE_DEFAULT = "Africa/Dakar"
_ZONE_LENGTH_MAX = 64


@dataclass(frozen=True, slots=True)
class Said:
    """What the page says first: what the last form did, or why it did nothing."""

    code: str
    hue: str
    name: str = ""
    detail: str = ""
    field: str = ""
    """The field of the form that is to be corrected."""


def may(caller: Caller, permission: Permission) -> bool:
    """Tell whether *caller* may do what *permission* is about."""
    return bool(caller.roles & permission.roles)


def zone_of(connection: HTTPConnection) -> str:
    """Return the reader's time zone, as their browser last said."""
    name = unquote(connection.cookies.get(ZONE_COOKIE, ""))[:_ZONE_LENGTH_MAX]
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZONE_DEFAULT
    return name or ZONE_DEFAULT


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _tame(text: object) -> str:
    # Markup is our own templates' work; everything else came from somebody.
    return text if isinstance(text, Markup) else plain(str(text))


def _seconds_left(instant: datetime) -> int:
    return math.floor((instant - datetime.now(UTC)).total_seconds())


def _places(value: Decimal | float) -> int:
    """Count the decimals that *value* is written with."""
    exponent = Decimal(str(value)).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _decimal(value: object) -> Decimal:
    """Read a decimal that JSON holds as text."""
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)


@pass_environment
def _instant(environment: Environment, value: datetime, zone: str, style: str = "moment") -> Markup:
    """Write an instant as every page does, and say of which zone its hour is."""
    formats = environment.globals["formats"]
    assert isinstance(formats, Formats)
    written = formats.instant(value, zone, style)
    if style == "day":
        return written
    name = zone_name(value.astimezone(ZoneInfo(zone)))
    return Markup("{}{}{}").format(written, NO_BREAK, name)


FILTERS: Mapping[str, Callable[..., object]] = {
    "tame": _tame,
    "utc": _utc,
    "iso_instant": _iso,
    "seconds_left": _seconds_left,
    "places": _places,
    "decimal": _decimal,
    "instant": _instant,
}
