"""Federation over HTTP: what peers tell us, our signed routes, and corridors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request

from molam.kernel.currency import UnknownCurrency
from molam.mesh.federation import commands, model, store
from molam.mesh.federation.commands import Message
from molam.mesh.federation.store import CorridorRow, PeerRow
from molam.mesh.members.model import RegionAbsent
from molam.mesh.permissions import FEDERATE, VIEW
from molam.platform.web import PUBLIC, Caller, Routes
from molam.platform.web.wire import CurrencyCode, Identifier
from molam.sira.signing import AdviceRefused

routes = Routes()

Limit = Annotated[int, Meta(ge=1, le=100)]


class FederationQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Limit = 50


class TableQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier | None = None


class CorridorBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """*path* names the regions from first to last, by id or name."""

    path: Annotated[list[Identifier], Meta(min_length=2, max_length=model.DEPTH_MAX + 1)]
    currency: CurrencyCode
    cover: model.Minor
    net_debit_cap: model.Minor


class AgreeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier


class TakenAnswer(msgspec.Struct):
    ok: bool
    token_id: str


class TableAnswer(msgspec.Struct):
    ok: bool
    mesh_region_id: str
    version: int
    table: dict[str, Any]
    signature: str
    issued_at: datetime


class PeerView(msgspec.Struct):
    mesh_region_id: str
    name: str
    url: str
    trust: float
    judged: int
    last_heard_at: datetime | None
    last_told_at: datetime | None
    last_failure: str | None


class PeersAnswer(msgspec.Struct):
    ok: bool
    peers: list[PeerView]


class CorridorView(msgspec.Struct):
    id: str
    from_region_id: str
    to_region_id: str
    currency: str
    path: list[str]
    cover: int
    net_debit_cap: int
    position: int
    reserved: int
    available: int
    status: str
    approved_from: str | None
    approved_to: str | None
    created_by: str
    created_at: datetime


class CorridorAnswer(msgspec.Struct):
    ok: bool
    corridor: CorridorView


class CorridorsAnswer(msgspec.Struct):
    ok: bool
    corridors: list[CorridorView]


@routes.post(
    "/api/mesh/federation/messages",
    needs=PUBLIC,
    body=Message,
    body_bytes_max=commands.BYTES_MAX,
    answers=TakenAnswer,
    status=202,
    refuses=(
        model.PeerUnknown,
        model.MessageRefused,
        model.MessageUsed,
        model.CorridorRefused,
        model.CorridorAbsent,
        AdviceRefused,
        RegionAbsent,
    ),
)
async def take_message(request: Request, _caller: Caller, body: Message) -> TakenAnswer:
    """Take what another region says: signed with the key we share, once, and within the hour."""
    mesh = request.app.state.mesh
    now = mesh.clock.now()
    # Anybody may send one, and strangers are given no connection to the database.
    commands.believe(mesh.peers, body, now=now)
    async with request.app.state.db.transaction("federation.receive") as tx:
        token_id = await commands.receive(tx, mesh.peers, body, now=now)
    return TakenAnswer(True, token_id)


@routes.get(
    "/api/mesh/federation/table",
    needs=VIEW,
    query=TableQuery,
    answers=TableAnswer,
    refuses=(model.TableAbsent, RegionAbsent),
)
async def show_table(request: Request, _caller: Caller, query: TableQuery) -> TableAnswer:
    """Show a region's routes as last signed; they hold without any peer."""
    mesh = request.app.state.mesh
    async with request.app.state.db.transaction("federation.table") as tx:
        if query.mesh_region_id is None:
            await commands.sign_table(tx, mesh)
        row = await commands.table(tx, query.mesh_region_id or mesh.region)
    return TableAnswer(True, row.mesh_region_id, row.version, row.content, row.token, row.issued_at)


@routes.get("/api/mesh/peers", needs=VIEW, answers=PeersAnswer)
async def list_peers(request: Request, _caller: Caller) -> PeersAnswer:
    """List the regions that have been heard or told, and how far each is trusted."""
    rows = await request.app.state.db.read(store.LIST_PEERS)
    return PeersAnswer(True, [_peer(row) for row in rows])


@routes.get("/api/mesh/corridors", needs=VIEW, query=FederationQuery, answers=CorridorsAnswer)
async def list_corridors(
    request: Request, _caller: Caller, query: FederationQuery
) -> CorridorsAnswer:
    """List corridors between regions, newest first."""
    rows = await request.app.state.db.read(store.LIST_CORRIDORS, limit=query.limit)
    return CorridorsAnswer(True, [_corridor(row) for row in rows])


@routes.post(
    "/api/mesh/corridors",
    needs=FEDERATE,
    body=CorridorBody,
    answers=CorridorAnswer,
    status=201,
    refuses=(model.CorridorRefused, RegionAbsent, UnknownCurrency),
)
async def propose_corridor(request: Request, caller: Caller, body: CorridorBody) -> CorridorAnswer:
    """Propose a corridor; both regions must agree before it carries anything."""
    state = request.app.state
    async with state.db.transaction("federation.propose_corridor") as tx:
        row = await commands.propose_corridor(
            tx,
            body.path,
            code=body.currency,
            limits=(body.cover, body.net_debit_cap),
            by=caller.subject,
            now=state.mesh.clock.now(),
        )
    return CorridorAnswer(True, _corridor(row))


@routes.post(
    "/api/mesh/corridors/{id}/approve",
    needs=FEDERATE,
    body=AgreeBody,
    answers=CorridorAnswer,
    refuses=(model.CorridorAbsent, model.CorridorRefused, RegionAbsent),
)
async def approve_corridor(request: Request, caller: Caller, body: AgreeBody) -> CorridorAnswer:
    """Agree to a corridor for one of its ends."""
    async with request.app.state.db.transaction("federation.approve_corridor") as tx:
        row = await commands.approve_corridor(
            tx, request.path_params["id"], body.mesh_region_id, by=caller.subject
        )
    return CorridorAnswer(True, _corridor(row))


@routes.post(
    "/api/mesh/corridors/{id}/reject",
    needs=FEDERATE,
    answers=CorridorAnswer,
    refuses=(model.CorridorAbsent,),
)
async def reject_corridor(request: Request, _caller: Caller) -> CorridorAnswer:
    """Say no to a corridor, or close one."""
    async with request.app.state.db.transaction("federation.reject_corridor") as tx:
        row = await commands.reject_corridor(tx, request.path_params["id"])
    return CorridorAnswer(True, _corridor(row))


def _peer(row: PeerRow) -> PeerView:
    return PeerView(
        mesh_region_id=row.mesh_region_id,
        name=row.region,
        url=row.url,
        trust=round(commands.trust_of(row), 4),
        judged=row.judged,
        last_heard_at=row.last_heard_at,
        last_told_at=row.last_told_at,
        last_failure=row.last_failure,
    )


def _corridor(row: CorridorRow) -> CorridorView:
    return CorridorView(
        id=row.id,
        from_region_id=row.from_region_id,
        to_region_id=row.to_region_id,
        currency=row.currency,
        path=row.path,
        cover=row.cover,
        net_debit_cap=row.net_debit_cap,
        position=row.position,
        reserved=row.reserved,
        available=model.Room(row.cover, row.net_debit_cap, row.position, row.reserved).free,
        status=row.state,
        approved_from=row.approved_from,
        approved_to=row.approved_to,
        created_by=row.created_by,
        created_at=row.created_at,
    )
