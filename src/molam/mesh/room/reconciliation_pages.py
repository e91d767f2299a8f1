"""The page about payouts that were led elsewhere, and whether they came out as promised."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.mesh import permissions
from molam.mesh.room import frame, record_store
from molam.platform.web import Caller, Routes

routes = Routes()

_PAGE_ROWS = 50
_END = datetime(9999, 1, 1, tzinfo=UTC)

Show = Literal["overdue", "pending", "unmatched", "disputed", "matched", "resolved", "all"]


class ReconciliationsShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    show: Show | None = None
    proposal: Annotated[str, Meta(max_length=255)] | None = None
    q: Annotated[str, Meta(max_length=255)] | None = None
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


class Position(msgspec.Struct, frozen=True, array_like=True):
    at: datetime
    id: str


@routes.get("/reconciliations", needs=permissions.USE_ROOM, page=True, query=ReconciliationsShown)
async def listed(request: Request, caller: Caller, query: ReconciliationsShown) -> Response:
    """Show what is overdue first; or whatever was asked for, newest first."""
    state = request.app.state
    counts = (await state.db.read(record_store.COUNT_RECONCILIATIONS))[0]
    payout = (query.q or "").strip() or None
    show = query.show or ("all" if payout or query.proposal or not counts.overdue else "overdue")
    filters = {"show": show, "proposal": query.proposal or None, "payout": payout}
    begins = Position(_END, "")
    if query.cursor is not None:
        begins = state.mesh_cursors.open(query.cursor, Position, filters=["settled", filters])
    rows = await state.db.read(
        record_store.LIST_RECONCILIATIONS,
        **filters,
        at=begins.at,
        id=begins.id,
        limit=_PAGE_ROWS + 1,
    )
    shown, older = rows[:_PAGE_ROWS], None
    asked = {"show": show, "proposal": query.proposal, "q": payout}
    chosen = {key: value for key, value in asked.items() if value}
    if len(rows) > _PAGE_ROWS:
        ends = Position(shown[-1].created_at, shown[-1].id)
        cursor = state.mesh_cursors.seal(ends, filters=["settled", filters])
        older = "/reconciliations?" + urlencode(chosen | {"cursor": cursor})
    return await frame.page(
        request,
        caller,
        "reconciliations.html",
        place="reconciliations",
        rows=shown,
        show=show,
        asked=query,
        payout=payout,
        counts=counts,
        payouts_url=getattr(state, "ops_url", None),
        older=older,
        first=None if query.cursor is None else "/reconciliations?" + urlencode(chosen),
    )
