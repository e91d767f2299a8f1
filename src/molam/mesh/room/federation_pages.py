"""The other regions: who they are, what they say, what we signed, and the corridors between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import UnknownCurrency, currency
from molam.kernel.money import AmountMalformed
from molam.kernel.refusals import Refusal
from molam.mesh.federation import commands, corridor_store, corridors, model, store
from molam.mesh.federation.corridor_store import CorridorRow
from molam.mesh.federation.store import MessageRow, PeerRow, TableRow
from molam.mesh.members import regions
from molam.mesh.members.model import RegionAbsent
from molam.mesh.members.store import RegionRow
from molam.mesh.permissions import FEDERATE, USE_ROOM
from molam.mesh.room import frame
from molam.mesh.room.asked import names_of
from molam.mesh.room.saying import refused_as, said_as, to, unprocessable
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said
from molam.platform.web.l10n import parse_amount
from molam.platform.web.wire import Identifier

routes = Routes()

Typed = Annotated[str, Meta(max_length=32)]
_MESSAGES_MAX = 30
_CORRIDORS_MAX = 100


class FederationQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class CorridorForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A corridor as it was typed: what does not fit is shown again, with why."""

    origin: Identifier = ""
    target: Identifier = ""
    currency: Annotated[str, Meta(max_length=3)] = ""
    cover: Typed = ""
    net_debit_cap: Typed = ""
    through: Identifier = ""


class AgreeForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    region: Identifier


class NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


@dataclass(frozen=True, slots=True)
class FederationPage:
    regions: list[RegionRow]
    peers: list[tuple[PeerRow, float]]
    keys: frozenset[str]
    messages: list[MessageRow]
    table: TableRow | None
    corridors: list[tuple[CorridorRow, int]]
    names: dict[str, str]


@routes.get("/federation", needs=USE_ROOM, page=True, query=FederationQuery)
async def federation(request: Request, caller: Caller, query: FederationQuery) -> Response:
    """Show what is exchanged with other regions."""
    return await _page(request, caller, said=said_as(query.said))


@routes.post(
    "/federation/corridors",
    needs=FEDERATE,
    page=True,
    form=True,
    body=CorridorForm,
    refuses=(model.CorridorRefused, RegionAbsent, UnknownCurrency, AmountMalformed),
)
async def propose(request: Request, caller: Caller, form: CorridorForm) -> Response:
    """Propose a corridor."""
    state = request.app.state
    path = [form.origin, form.target]
    if form.through:
        path.insert(1, form.through)
    try:
        unit = currency(form.currency)
        limits = (
            parse_amount(form.cover, unit).minor,
            parse_amount(form.net_debit_cap, unit).minor,
        )
        async with state.db.transaction("federation.propose_corridor") as tx:
            await corridors.propose(
                tx,
                path,
                code=form.currency,
                limits=limits,
                by=caller.subject,
                now=state.mesh.clock.now(),
            )
    except AmountMalformed as mistyped:
        field = "cover" if mistyped.facts.get("value") == form.cover else "net_debit_cap"
        said = refused_as(request, caller, mistyped, field=field)
        return unprocessable(await _page(request, caller, said=said, asked=form))
    except Refusal as refusal:
        said = refused_as(request, caller, refusal, names_others=True)
        return unprocessable(await _page(request, caller, said=said, asked=form))
    return to("/federation", "corridor-proposed")


@routes.post(
    "/federation/corridors/{id}/approve",
    needs=FEDERATE,
    page=True,
    form=True,
    body=AgreeForm,
    refuses=(model.CorridorAbsent, model.CorridorRefused, RegionAbsent),
)
async def agree(request: Request, caller: Caller, form: AgreeForm) -> Response:
    """Agree to a corridor for one of its ends."""
    try:
        async with request.app.state.db.transaction("federation.approve_corridor") as tx:
            await corridors.agree_here(
                tx,
                request.app.state.mesh.peers,
                request.path_params["id"],
                form.region,
                by=caller.subject,
            )
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    return to("/federation", "corridor-approved")


@routes.post(
    "/federation/corridors/{id}/reject",
    needs=FEDERATE,
    page=True,
    form=True,
    body=NoFields,
    refuses=(model.CorridorAbsent,),
)
async def reject(request: Request, _caller: Caller, _form: NoFields) -> Response:
    """Say no to a corridor, or close one."""
    async with request.app.state.db.transaction("federation.reject_corridor") as tx:
        await corridors.reject(tx, request.path_params["id"])
    return to("/federation", "corridor-rejected")


async def _refused(request: Request, caller: Caller, refusal: Refusal) -> Response:
    return unprocessable(await _page(request, caller, said=refused_as(request, caller, refusal)))


async def _page(
    request: Request, caller: Caller, *, said: Said | None, asked: CorridorForm | None = None
) -> Response:
    db, mesh = request.app.state.db, request.app.state.mesh
    async with db.transaction("mesh.show_federation", readonly=True) as tx:
        known = await regions.all_of(tx)
        ours = await regions.find(tx, mesh.region)
        table = None if ours is None else await tx.one(store.FIND_TABLE, region=ours.id)
        peers = await tx.all(store.LIST_PEERS)
        messages = await tx.all(store.LIST_MESSAGES, region=None, limit=_MESSAGES_MAX)
        known_corridors = await tx.all(corridor_store.LIST_CORRIDORS, limit=_CORRIDORS_MAX)
    page = FederationPage(
        regions=known,
        peers=[(row, commands.trust_of(row)) for row in peers],
        keys=frozenset(mesh.peers.known),
        messages=messages,
        table=table,
        corridors=[
            (row, model.Room(row.cover, row.net_debit_cap, row.position, row.reserved).free)
            for row in known_corridors
        ],
        names={row.id: row.name for row in known},
    )
    return await frame.page(
        request,
        caller,
        "federation.html",
        place="federation",
        page=page,
        people=await names_of(db, (row.created_by for row, _ in page.corridors)),
        asked=asked,
        acts=frame.may(caller, FEDERATE),
        said=said,
    )
