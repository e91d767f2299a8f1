"""The page of the audit trail."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.shown import plain
from molam.merchant import frame, permissions, queries, team_commands, trail_queries
from molam.merchant.endpoints import DateRangeMalformed
from molam.merchant.trail_endpoints import TrailQuery, find_page
from molam.merchant.trail_queries import Difference
from molam.platform.web import Caller, CursorRefused, Routes

routes = Routes()

PAGE_ROWS = 50
_VALUE_SHOWN_MAX = 300
_SPAN = ("from_at", "to_at")


@routes.get(
    "/settings/audit",
    needs=permissions.VIEW_TRAIL,
    page=True,
    query=TrailQuery,
    refuses=(CursorRefused,),
)
async def show(request: Request, caller: Caller, query: TrailQuery) -> Response:
    """List who did what, newest first, with what it changed."""
    db, merchant_id = request.app.state.db, caller.merchant
    dates_refused = False
    try:
        page, cursor = await find_page(request, caller, query, limit=PAGE_ROWS)
    except DateRangeMalformed:
        page, cursor, dates_refused = trail_queries.Page([], has_older=False), None, True
    async with db.transaction("merchant.team", merchant_id=merchant_id, readonly=True) as tx:
        team = await team_commands.team_of(tx, merchant_id)
    asked = msgspec.to_builtins(msgspec.structs.replace(query, cursor=None))
    pairs = {name: value for name, value in asked.items() if value is not None and name != "limit"}
    shop = await queries.settings_of(db, merchant_id=merchant_id)
    zone = ZoneInfo(shop.timezone)
    return await frame.page(
        request,
        caller,
        "audit.html",
        place="settings",
        shop=shop,
        rows=[
            (row, [dated(each, zone) for each in trail_queries.differences(row.changes)])
            for row in page.rows
        ],
        asked=query,
        pairs=pairs,
        older=None if cursor is None else pairs | {"cursor": cursor},
        dates_refused=dates_refused,
        team=team,
        people={each.person_id: each.name for each in team},
        shown=shown,
    )


def dated(found: Difference, zone: ZoneInfo) -> Difference:
    """Turn the instants between which a file was asked for into its first and last day."""
    if found.name not in _SPAN:
        return found
    before, after = (_day(found.name, each, zone) for each in (found.before, found.after))
    return Difference(found.name, before, after)


def _day(name: str, value: object, zone: ZoneInfo) -> object:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return value
    if at.tzinfo is None:
        return value
    # What is kept is where the span ends, which is the beginning of the day after.
    ends = timedelta(microseconds=1) if name == "to_at" else timedelta()
    return (at - ends).astimezone(zone).date()


def shown(value: object) -> str:
    """Write a value of any shape for people; what is long is cut."""
    if value is None:
        return "\u2013"
    if isinstance(value, list):
        text = ", ".join(str(each) for each in value) or "\u2013"
    elif isinstance(value, dict):
        text = ", ".join(f"{name} {inner}" for name, inner in value.items()) or "\u2013"
    else:
        text = str(value)
    text = plain(text)
    return text if len(text) <= _VALUE_SHOWN_MAX else text[:_VALUE_SHOWN_MAX] + "…"
