"""The control room's first page: whether banks deliver, and where payouts go."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.mesh import permissions
from molam.mesh.room import doubting, frame, overview_store
from molam.mesh.room.flow import Flow, flow_of
from molam.mesh.room.standing import Finding, Standing, finding, standings
from molam.platform.web import PUBLIC, Caller, Routes
from molam.platform.web.preferences import local_path

routes = Routes()

STANDINGS_MAX = 400
ROUTES_MAX = 200
_REGIONS_MAX = 50
_OPEN_MAX = 10
_LATEST_MAX = 6
_SHOWN_MAX = 12


class OverviewQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    live: Literal["0"] | None = None


class SignInQuery(msgspec.Struct, forbid_unknown_fields=True):
    next: Annotated[str, Meta(max_length=1024)] = "/"
    acr_values: Annotated[str, Meta(max_length=64)] | None = None
    max_age: Annotated[str, Meta(max_length=8)] | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the page shows, at one moment."""

    finding: Finding
    flow: Flow | None
    standings: tuple[Standing, ...]
    more: int
    hour: overview_store.HourRow
    regions: list[overview_store.RegionNowRow]
    open: list[overview_store.OpenProposalRow]
    latest: list[overview_store.LatestActionRow]
    default_mode: str
    decides: bool


@routes.get("/sign-in", needs=PUBLIC, page=True, query=SignInQuery)
async def sign_in(request: Request, _caller: Caller, query: SignInQuery) -> Response:
    """Welcome a visitor who has not signed in."""
    if query.acr_values is not None:
        # Already signed in and asked for more: nothing to welcome them to.
        given = {"next": query.next, "acr_values": query.acr_values, "max_age": query.max_age}
        wanted = urlencode({key: value for key, value in given.items() if value is not None})
        return RedirectResponse(f"/auth/sign-in?{wanted}", status_code=HTTPStatus.SEE_OTHER)
    return frame.TEMPLATES.page(request, None, "sign_in.html", next=local_path(query.next))


@routes.get("/", needs=permissions.USE_ROOM, page=True, query=OverviewQuery)
async def overview(request: Request, caller: Caller, query: OverviewQuery) -> Response:
    """Say first whether all banks deliver."""
    return await frame.page(
        request,
        caller,
        "overview.html",
        place="overview",
        live=query.live is None,
        page=await read_overview(request.app.state),
    )


async def read_overview(state: State) -> Overview:
    db = state.db
    rows, in_force, hour, regions, open_, latest = await asyncio.gather(
        doubting.standings(db, bank=None, limit=STANDINGS_MAX),
        db.read(overview_store.LIST_ROUTES, limit=ROUTES_MAX),
        db.read(overview_store.COUNT_HOUR),
        db.read(overview_store.LIST_REGIONS, limit=_REGIONS_MAX),
        db.read(overview_store.LIST_OPEN_PROPOSALS, limit=_OPEN_MAX),
        db.read(overview_store.LIST_LATEST_ACTIONS, limit=_LATEST_MAX),
    )
    found = standings(rows, in_force)
    # What has neither a signal, a place nor money has nothing to say here.
    told = [each for each in found if each.row.signals or each.row.waiting or each.row.is_member]
    return Overview(
        finding=finding(found),
        flow=flow_of(found, in_force),
        standings=tuple(told[:_SHOWN_MAX]),
        more=max(0, len(told) - _SHOWN_MAX),
        hour=hour[0],
        regions=[each for each in regions if each.members or each.stopped_by],
        open=open_,
        latest=latest,
        default_mode=state.mesh.default_mode,
        decides=state.mesh.is_controller,
    )
