"""The pages about what was done: the log, and one entry with the payouts it touched."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Kind, Refusal
from molam.mesh import permissions
from molam.mesh.room import frame, proposal_store, record_store
from molam.platform.web import Caller, Routes

routes = Routes()

_PAGE_ROWS = 50
_REGIONS_MAX = 100
_END = datetime(9999, 1, 1, tzinfo=UTC)

ActionType = Literal[
    "apply_route", "rollback", "override", "failover", "manual_switch", "emergency_stop"
]


class MeshActionAbsent(Refusal):
    code = "mesh-action-not-found"
    kind = Kind.ABSENT
    title = "There is no such entry in the mesh's log"


class ActionsShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    region: Annotated[str, Meta(max_length=255)] | None = None
    type: ActionType | Literal[""] | None = None
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


class Position(msgspec.Struct, frozen=True, array_like=True):
    at: datetime
    id: str


@routes.get("/actions", needs=permissions.USE_ROOM, page=True, query=ActionsShown)
async def listed(request: Request, caller: Caller, query: ActionsShown) -> Response:
    """Show what the mesh did, newest first."""
    state = request.app.state
    filters = {"region": query.region or None, "type": query.type or None}
    begins = Position(_END, "")
    if query.cursor is not None:
        begins = state.mesh_cursors.open(query.cursor, Position, filters=["actions", filters])
    rows, regions = await asyncio.gather(
        state.db.read(
            record_store.LIST_ACTIONS,
            **filters,
            at=begins.at,
            id=begins.id,
            limit=_PAGE_ROWS + 1,
        ),
        state.db.read(proposal_store.LIST_REGION_NAMES, limit=_REGIONS_MAX),
    )
    shown, older = rows[:_PAGE_ROWS], None
    chosen = {key: value for key, value in filters.items() if value}
    if len(rows) > _PAGE_ROWS:
        ends = Position(shown[-1].created_at, shown[-1].id)
        cursor = state.mesh_cursors.seal(ends, filters=["actions", filters])
        older = "/actions?" + urlencode(chosen | {"cursor": cursor})
    return await frame.page(
        request,
        caller,
        "mesh_actions.html",
        place="actions",
        rows=shown,
        asked=query,
        regions=regions,
        older=older,
        first=None if query.cursor is None else "/actions?" + urlencode(chosen),
    )


@routes.get("/actions/{id}", needs=permissions.USE_ROOM, page=True, refuses=(MeshActionAbsent,))
async def one(request: Request, caller: Caller) -> Response:
    """Show one entry: what was done, to which payouts, and how long each part took."""
    state = request.app.state
    rows = await state.db.read(record_store.FIND_ACTION, id=request.path_params["id"])
    if not rows:
        raise MeshActionAbsent("Check the entry's id.")
    return await frame.page(
        request,
        caller,
        "mesh_action.html",
        place="actions",
        row=rows[0],
        payouts_url=getattr(state, "ops_url", None),
        spans=_spans(rows[0].timings),
    )


def _spans(timings: dict[str, object]) -> list[tuple[str, int]]:
    """Read how long each part took; whatever else is in there is not for people."""
    return [
        (name.removesuffix("_ms"), value)
        for name, value in timings.items()
        if isinstance(value, int) and not isinstance(value, bool)
    ]
