"""The page that lists disputes: what waits first, or all of them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.merchant import dispute_queries, frame, permissions, queries
from molam.payments.disputes import queries as disputes
from molam.payments.disputes import reasons
from molam.platform.web import Caller, CursorRefused, Routes

routes = Routes()

PAGE_ROWS = 50


class DisputesPageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    show: Literal["waiting", "all"] = "waiting"
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


@routes.get(
    "/disputes",
    needs=permissions.VIEW_DISPUTES,
    page=True,
    query=DisputesPageQuery,
    refuses=(CursorRefused,),
)
async def list_page(request: Request, caller: Caller, query: DisputesPageQuery) -> Response:
    """List the disputes that wait, by deadline, or all of them."""
    state, merchant_id = request.app.state, caller.merchant
    waiting = query.show == "waiting"
    scope = ("disputes-page", merchant_id, query.show)
    beyond = None
    if query.cursor is not None:
        beyond = state.cursors.open(query.cursor, disputes.Position, filters=scope)
    filters = disputes.Filters(waiting=waiting)
    page, at_risk = await dispute_queries.listed(
        state.db, merchant_id=merchant_id, filters=filters, beyond=beyond, limit=PAGE_ROWS
    )
    older = None
    if page.has_more:
        position = disputes.position_of(page.rows[-1], filters)
        older = f"/disputes?show={query.show}&cursor={state.cursors.seal(position, filters=scope)}"
    return await frame.page(
        request,
        caller,
        "disputes.html",
        place="disputes",
        shop=await queries.settings_of(state.db, merchant_id=merchant_id),
        waiting=waiting,
        rows=page.rows,
        reasons={row.id: reason_code(row.network_reason_code, row.reason) for row in page.rows},
        at_risk=at_risk,
        older=older,
        paged=query.cursor is not None,
        now=state.clock.now(),
    )


def reason_code(*codes: str | None) -> str:
    """Say under which of our reasons a dispute falls."""
    return reasons.reason_of(*codes).code
