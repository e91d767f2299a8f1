"""Corridors over HTTP: proposing, agreeing, closing, and settling what went through."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request

from molam.kernel.currency import UnknownCurrency
from molam.kernel.money import MINOR_MAX
from molam.mesh.federation import corridor_store as store
from molam.mesh.federation import corridors, model, settlements
from molam.mesh.federation.corridor_store import CorridorRow, SettlementRow
from molam.mesh.members.model import RegionAbsent
from molam.mesh.permissions import FEDERATE, VIEW
from molam.platform.web import Caller, Routes
from molam.platform.web.wire import CurrencyCode, Identifier

routes = Routes()

Limit = Annotated[int, Meta(ge=1, le=100)]


class FederationQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Limit = 50


class CorridorBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """*path* names the regions from first to last, by id or name."""

    path: Annotated[list[Identifier], Meta(min_length=2, max_length=model.DEPTH_MAX + 1)]
    currency: CurrencyCode
    cover: model.Minor
    net_debit_cap: model.Minor


class AgreeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier


class SettlementBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """*reference* names the payment that settles."""

    amount: Annotated[int, Meta(ge=1, le=MINOR_MAX, description="Minor units")]
    reference: Annotated[str, Meta(min_length=1, max_length=140, pattern=r"\S[\s\S]*\Z")]


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


class SettlementView(msgspec.Struct):
    id: str
    corridor_id: str
    amount: int
    reference: str
    created_by: str
    created_at: datetime
    confirmed_by: str | None
    confirmed_at: datetime | None


class SettlementAnswer(msgspec.Struct):
    ok: bool
    settlement: SettlementView


class SettlementsAnswer(msgspec.Struct):
    ok: bool
    settlements: list[SettlementView]


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
        row = await corridors.propose(
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
        row = await corridors.agree_here(
            tx,
            request.app.state.mesh.peers,
            request.path_params["id"],
            body.mesh_region_id,
            by=caller.subject,
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
        row = await corridors.reject(tx, request.path_params["id"])
    return CorridorAnswer(True, _corridor(row))


@routes.get(
    "/api/mesh/corridors/{id}/settlements",
    needs=VIEW,
    query=FederationQuery,
    answers=SettlementsAnswer,
    refuses=(model.CorridorAbsent,),
)
async def list_settlements(
    request: Request, _caller: Caller, query: FederationQuery
) -> SettlementsAnswer:
    """List what was paid for what a corridor carried, newest first."""
    async with request.app.state.db.transaction("federation.settlements", readonly=True) as tx:
        rows = await settlements.list_of(tx, request.path_params["id"], limit=query.limit)
    return SettlementsAnswer(True, [_settlement(row) for row in rows])


@routes.post(
    "/api/mesh/corridors/{id}/settlements",
    needs=FEDERATE,
    body=SettlementBody,
    answers=SettlementAnswer,
    status=201,
    refuses=(model.CorridorAbsent, model.SettlementRefused),
)
async def record_settlement(
    request: Request, caller: Caller, body: SettlementBody
) -> SettlementAnswer:
    """Note a payment for what a corridor carried; it counts once somebody else confirms it."""
    state = request.app.state
    async with state.db.transaction("federation.record_settlement") as tx:
        row = await settlements.record(
            tx,
            request.path_params["id"],
            amount=body.amount,
            reference=body.reference,
            by=caller.subject,
            now=state.mesh.clock.now(),
        )
    return SettlementAnswer(True, _settlement(row))


@routes.post(
    "/api/mesh/corridors/{id}/settlements/{settlement_id}/confirm",
    needs=FEDERATE,
    answers=SettlementAnswer,
    refuses=(model.CorridorAbsent, model.SettlementAbsent, model.SettlementRefused),
)
async def confirm_settlement(request: Request, caller: Caller) -> SettlementAnswer:
    """Confirm a payment: the corridor can take that much again."""
    path = request.path_params
    async with request.app.state.db.transaction("federation.confirm_settlement") as tx:
        row = await settlements.confirm(tx, path["id"], path["settlement_id"], by=caller.subject)
    return SettlementAnswer(True, _settlement(row))


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


def _settlement(row: SettlementRow) -> SettlementView:
    return SettlementView(**{name: getattr(row, name) for name in SettlementView.__struct_fields__})
