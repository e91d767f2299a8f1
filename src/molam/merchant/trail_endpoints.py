"""The merchant API's audit trail: who did what, from where, and what it changed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request

from molam.merchant import permissions, queries, trail_queries
from molam.merchant.endpoints import DateRangeMalformed, dates
from molam.merchant.trail_queries import Filters, Page, Position, TrailRow
from molam.platform.db import Database
from molam.platform.web import Caller, CursorRefused, Routes
from molam.platform.web.wire import Identifier, PageLimit, ShortText

routes = Routes()

Word = Annotated[str, Meta(min_length=1, max_length=64)]


class TrailQuery(msgspec.Struct, forbid_unknown_fields=True):
    action_type: Word | None = None
    user_id: Identifier | None = None
    resource_type: Word | None = None
    resource_id: Identifier | None = None
    from_: ShortText | None = msgspec.field(name="from", default=None)
    """A local day, or an instant with an offset; included."""
    to: ShortText | None = None
    limit: PageLimit = 50
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


class TrailView(msgspec.Struct):
    id: UUID
    user_id: str
    user_name: str | None
    action_type: str
    resource_type: str
    resource_id: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    ip_address: str | None
    user_agent: str | None
    requires_2fa: bool
    two_factor_verified: bool
    approval_required: bool
    approval_id: str | None
    created_at: datetime


class TrailAnswer(msgspec.Struct):
    ok: bool
    rows: list[TrailView]
    has_more: bool
    next_cursor: str | None


@routes.get(
    "/api/merchant/audit",
    needs=permissions.VIEW_TRAIL,
    query=TrailQuery,
    answers=TrailAnswer,
    refuses=(CursorRefused, DateRangeMalformed),
)
async def audit(request: Request, caller: Caller, query: TrailQuery) -> TrailAnswer:
    """List what was done in the merchant's name, newest first; nothing in it ever changes."""
    page, cursor = await find_page(request, caller, query, limit=query.limit)
    return TrailAnswer(
        ok=True,
        rows=[_view(each) for each in page.rows],
        has_more=page.has_older,
        next_cursor=cursor,
    )


async def find_page(
    request: Request, caller: Caller, query: TrailQuery, *, limit: int
) -> tuple[Page, str | None]:
    """
    Read the page that *query* asks for, and the cursor of the next.

    Raises:
        CursorRefused, DateRangeMalformed: it cannot be read.
    """
    state, merchant_id = request.app.state, caller.merchant
    scope = ("audit", merchant_id, msgspec.structs.asdict(query) | {"cursor": 0, "limit": 0})
    beyond = None
    if query.cursor is not None:
        beyond = state.cursors.open(query.cursor, Position, filters=scope)
    filters = await _filters(state.db, merchant_id, query)
    page = await trail_queries.listed(state.db, merchant_id, filters, limit=limit, beyond=beyond)
    if not page.has_older:
        return page, None
    last = page.rows[-1]
    return page, state.cursors.seal(Position(last.created_at, last.id), filters=scope)


async def _filters(db: Database, merchant_id: str, query: TrailQuery) -> Filters:
    from_at = to_at = None
    if query.from_ is not None or query.to is not None:
        zone = (await queries.settings_of(db, merchant_id=merchant_id)).timezone
        from_at, to_at = dates(query.from_, query.to, zone)
    return Filters(
        action_type=query.action_type,
        user_id=query.user_id,
        resource_type=query.resource_type,
        resource_id=query.resource_id,
        from_at=from_at,
        to_at=to_at,
    )


def _view(row: TrailRow) -> TrailView:
    before, after = row.changes.get("before"), row.changes.get("after")
    return TrailView(
        id=row.id,
        user_id=row.user_id,
        user_name=row.user_name,
        action_type=row.action_type,
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        before=before if isinstance(before, dict) else {},
        after=after if isinstance(after, dict) else {},
        ip_address=row.ip_address,
        user_agent=row.user_agent,
        requires_2fa=row.requires_2fa,
        two_factor_verified=row.two_factor_verified,
        approval_required=row.approval_required,
        approval_id=row.approval_id,
        created_at=row.created_at,
    )
