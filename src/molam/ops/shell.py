"""The console's frame: navigation with what waits, the reader's zone, what was just done."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, pass_environment
from markupsafe import Markup
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from molam.kernel.shown import plain
from molam.notices import queries as notices
from molam.ops import permissions, store
from molam.platform.db import Database
from molam.platform.web import Caller, Permission
from molam.platform.web.l10n import NO_BREAK, Formats, zone_name
from molam.platform.web.templating import Templates

SIGN_OUT_PATH = "/auth/sign-out"
ZONE_COOKIE = "molam_tz"
# Where the operations team is; a browser that runs scripts says where it is itself.
ZONE_DEFAULT = "Africa/Dakar"
_ZONE_LENGTH_MAX = 64

_GOOD = frozenset(
    {
        "voted-approve",
        "voted-reject",
        "voted-abstain",
        "withdrawn",
        "commented",
        "created",
        "executed",
        "executing",
        "cancelled",
        "reported",
        "read",
        "saved",
        "policy-saved",
        "policy-proposed",
        "policy-deleted",
        "delegated",
        "delegation-ended",
        "frozen",
        "passkey-added",
        "passkey-removed",
        "emergency-executed",
        "reviewed",
        "evidence-added",
        "statement-imported",
        "statement-discarded",
        "line-matched",
        "line-unmatched",
        "day-closed",
        "item-explained",
    }
)
_BAD = frozenset(
    {
        "replayed",
        "failed",
        "stale-view",
        "reason-short",
        "confirmation-wrong",
        "read-first",
        "confirm-again",
        "outcome-unknown",
        "statement-known",
    }
)


@dataclass(frozen=True, slots=True)
class Said:
    """What the page says first: what the last form did, or why it did nothing."""

    code: str
    hue: str
    name: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Nav:
    turn: int
    unread: int
    policies: bool
    statistics: bool
    reconciliation: bool


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


TEMPLATES = Templates(
    "molam.ops",
    filters={
        "tame": _tame,
        "utc": _utc,
        "iso_instant": _iso,
        "seconds_left": _seconds_left,
        "places": _places,
        "decimal": _decimal,
        "instant": _instant,
    },
)


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


def said(code: str | None) -> Said | None:
    """Read the word that a redirect left in the address; words we do not know say nothing."""
    if code in _GOOD:
        return Said(code, "green")
    return Said(code, "orange") if code in _BAD else None


async def turn_count(db: Database, caller: Caller) -> int:
    """Count what waits for a vote of *caller*, up to 100."""
    rows = await db.read(store.COUNT_TURN, person=caller.subject, roles=sorted(caller.roles))
    return rows[0].count


async def framed(
    request: Request,
    caller: Caller,
    name: str,
    *,
    place: str,
    live: bool | None = None,
    **context: object,
) -> Response:
    """Put a page into the console's frame. *live* is None where nothing could move."""
    db = request.app.state.db
    turn, unread = await asyncio.gather(
        turn_count(db, caller), notices.unread_count(db, caller.subject)
    )
    nav = Nav(
        turn=turn,
        unread=unread,
        policies=may(caller, permissions.VIEW_POLICIES),
        statistics=may(caller, permissions.STATISTICS),
        reconciliation=may(caller, permissions.RECONCILIATION),
    )
    return TEMPLATES.page(
        request,
        caller,
        name,
        place=place,
        live=live,
        nav=nav,
        zone=zone_of(request),
        sign_out_path=SIGN_OUT_PATH,
        **({"said": None} | context),
    )
