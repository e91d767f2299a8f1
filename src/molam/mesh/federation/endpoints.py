"""Federation over HTTP: what peers tell us, and our signed routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request

from molam.mesh.federation import commands, model, store
from molam.mesh.federation.commands import Message
from molam.mesh.federation.store import PeerRow
from molam.mesh.members.model import RegionAbsent
from molam.mesh.permissions import VIEW
from molam.platform.web import PUBLIC, Caller, Routes
from molam.platform.web.limits import Limiter, TooManyAttempts
from molam.platform.web.wire import Identifier
from molam.sira.signing import AdviceRefused

routes = Routes()


class Doors:
    """How often messages are taken in by one process."""

    def __init__(self) -> None:
        self.strangers = Limiter(burst=120, per_minute=60)
        """Messages that nobody can be believed to have sent, by address."""
        self.peers = Limiter(burst=1000, per_minute=300)
        """A peer sends a hundred or so every two minutes."""


class TableQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier | None = None


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


@routes.post(
    "/api/mesh/federation/messages",
    needs=PUBLIC,
    body=Message,
    body_bytes_max=commands.BYTES_MAX,
    answers=TakenAnswer,
    status=202,
    refuses=(
        model.MessageRefused,
        model.MessageUsed,
        model.CorridorRefused,
        model.CorridorAbsent,
        AdviceRefused,
        RegionAbsent,
        TooManyAttempts,
    ),
)
async def take_message(request: Request, caller: Caller, body: Message) -> TakenAnswer:
    """Take what another region says: signed with the key we share, once, and within the hour."""
    mesh = request.app.state.mesh
    now = mesh.clock.now()
    # Anybody may send one, and strangers are given no connection to the database.
    doors: Doors = request.app.state.federation_doors
    doors.strangers.check(caller.ip)
    try:
        commands.believe(mesh.peers, body, now=now)
    except (AdviceRefused, model.MessageRefused):
        doors.strangers.take(caller.ip)
        raise
    doors.peers.take(body.mesh_region_id)
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
    async with request.app.state.db.transaction("federation.table", readonly=True) as tx:
        row = await commands.table(tx, query.mesh_region_id or mesh.region)
    return TableAnswer(True, row.mesh_region_id, row.version, row.content, row.token, row.issued_at)


@routes.get("/api/mesh/peers", needs=VIEW, answers=PeersAnswer)
async def list_peers(request: Request, _caller: Caller) -> PeersAnswer:
    """List the regions that have been heard or told, and how far each is trusted."""
    rows = await request.app.state.db.read(store.LIST_PEERS)
    return PeersAnswer(True, [_peer(row) for row in rows])


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
