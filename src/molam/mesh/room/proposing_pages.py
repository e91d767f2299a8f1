"""Asking the mesh for a route: the form, and the proposal that comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import UnknownCurrency, currency
from molam.kernel.money import AmountMalformed
from molam.kernel.refusals import Refusal
from molam.mesh import permissions
from molam.mesh.room import frame, proposal_store
from molam.mesh.room.saying import refused_as, to
from molam.mesh.routing import commands as routing
from molam.mesh.routing.model import BoundsMalformed, Wanted
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said
from molam.platform.web.l10n import parse_amount

routes = Routes()

_LISTED_MAX = 100

Word = Annotated[str, Meta(max_length=255)]


class RouteAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A route as a person asks for one; also what a link may fill in."""

    region: Word = ""
    lane: Annotated[str, Meta(max_length=64)] = ""
    """``XOF/bank``."""
    away: Word = ""
    least: Annotated[str, Meta(max_length=32)] = ""
    most: Annotated[str, Meta(max_length=32)] = ""
    reason: Annotated[str, Meta(max_length=500)] = ""


class RouteLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    region: Word = ""
    currency: Annotated[str, Meta(max_length=3)] = ""
    rail: Annotated[str, Meta(max_length=64)] = ""
    away: Word = ""


@dataclass(frozen=True, slots=True)
class Choices:
    regions: list[proposal_store.NameRow]
    lanes: list[proposal_store.LaneRow]
    banks: Mapping[str, str]


@routes.get("/proposals/new", needs=permissions.PROPOSE, page=True, query=RouteLink)
async def form(request: Request, caller: Caller, query: RouteLink) -> Response:
    """Ask which route is wanted."""
    lane = f"{query.currency}/{query.rail}" if query.currency and query.rail else ""
    return await _form(request, caller, RouteAsked(region=query.region, lane=lane, away=query.away))


@routes.post("/proposals", needs=permissions.PROPOSE, page=True, form=True, body=RouteAsked)
async def propose(request: Request, caller: Caller, form: RouteAsked) -> Response:
    """Have a route proposed; nothing is moved."""
    state = request.app.state
    code, _, rail = form.lane.partition("/")
    try:
        unit = currency(code)
        bounds = [
            parse_amount(text, unit).minor if text.strip() else None
            for text in (form.least, form.most)
        ]
        wanted = Wanted(
            mesh_region_id=form.region,
            currency=unit.code,
            rail=rail or "bank",
            min_amount=bounds[0] or 0,
            max_amount=bounds[1],
            reason=form.reason.strip() or None,
            created_by=caller.subject,
            from_bank_id=form.away or None,
        )
        async with state.db.transaction("mesh.propose_by_hand") as tx:
            row = await routing.propose(tx, state.mesh, wanted)
            await routing.simulate(tx, state.mesh, row.id)
    except AmountMalformed as mistyped:
        field = "least" if mistyped.facts.get("value") == form.least else "most"
        refused = refused_as(request, caller, mistyped, field=field)
    except BoundsMalformed as reversed_:
        refused = refused_as(request, caller, reversed_, field="most")
    except UnknownCurrency as unknown:
        refused = refused_as(request, caller, unknown, field="lane")
    except Refusal as refusal:
        refused = refused_as(request, caller, refusal, names_others=True)
    else:
        return to(f"/proposals/{quote(row.id, safe='')}", "proposed")
    return await _form(request, caller, form, said=refused)


async def _form(
    request: Request, caller: Caller, asked: RouteAsked, *, said: Said | None = None
) -> Response:
    db = request.app.state.db
    regions, lanes, banks = await asyncio.gather(
        db.read(proposal_store.LIST_REGION_NAMES, limit=_LISTED_MAX),
        db.read(proposal_store.LIST_LANES, limit=_LISTED_MAX),
        db.read(proposal_store.LIST_MEMBER_BANKS, limit=_LISTED_MAX),
    )
    response = await frame.page(
        request,
        caller,
        "proposal_new.html",
        place="proposals",
        choices=Choices(regions, lanes, {each.id: each.name for each in banks}),
        asked=asked,
        own_region=request.app.state.mesh.region,
        said=said,
    )
    if said is not None:
        response.status_code = 422
    return response
