"""Pools over HTTP, under /api/mesh/pools."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.model import Unsatisfiable
from molam.approvals.requests import actor_of
from molam.kernel.currency import UnknownCurrency
from molam.kernel.money import MINOR_MAX
from molam.mesh.liquidity import model, pool_making, pools, queries, views
from molam.mesh.members.model import RegionAbsent
from molam.mesh.permissions import DRAW, VIEW
from molam.mesh.runtime import Mesh
from molam.platform.web import Caller, Routes, idempotency
from molam.platform.web.wire import CurrencyCode, Identifier

routes = Routes()

Amount = Annotated[int, Meta(ge=1, le=MINOR_MAX, description="Minor units of the currency")]
Reason = Annotated[
    str, Meta(min_length=1, max_length=model.REASON_LENGTH_MAX, pattern=r"\S[\s\S]*\Z")
]
Limit = Annotated[int, Meta(ge=1, le=100)]


class PoolsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier | None = None
    limit: Limit = 100


class NewPoolBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A pool begins empty; participants pay in, and draw from it."""

    mesh_region_id: Identifier
    name: Annotated[str, Meta(min_length=1, max_length=140, pattern=r"\S[\s\S]*\Z")]
    currency: CurrencyCode
    id: Identifier | None = None
    participant_bank_profiles: Annotated[list[Identifier], Meta(min_length=1, max_length=200)]
    max_single_draw: Amount | None = None
    daily_draw_limit: Amount | None = None
    auto_rebalance_enabled: bool = False
    rebalance_threshold_pct: Annotated[int, Meta(ge=0, le=100)] = 20


class MovementBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    bank_profile_id: Identifier
    amount: Amount
    reason: Reason


class ReturnBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    amount: Amount
    reason: Reason


class MovementsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Limit = 50


@routes.get("/api/mesh/pools", needs=VIEW, query=PoolsQuery, answers=views.PoolsAnswer)
async def list_pools(request: Request, _caller: Caller, query: PoolsQuery) -> views.PoolsAnswer:
    """List liquidity pools, and what each holds."""
    rows = await queries.pools(request.app.state.db, region=query.mesh_region_id, limit=query.limit)
    return views.PoolsAnswer(True, [views.pool(row) for row in rows])


@routes.post(
    "/api/mesh/pools",
    needs=DRAW,
    body=NewPoolBody,
    answers=views.PoolAnswer,
    status=201,
    refuses=(model.PoolRefused, RegionAbsent, UnknownCurrency),
)
async def make_pool(request: Request, _caller: Caller, body: NewPoolBody) -> views.PoolAnswer:
    """Make an empty pool; with the same ``id`` again, the pool that is there answers."""
    state = request.app.state
    asked = pool_making.NewPool(
        id=body.id,
        mesh_region_id=body.mesh_region_id,
        name=body.name,
        currency=body.currency,
        participants=body.participant_bank_profiles,
        max_single_draw=body.max_single_draw,
        daily_draw_limit=body.daily_draw_limit,
        auto_rebalance_enabled=body.auto_rebalance_enabled,
        rebalance_threshold_pct=body.rebalance_threshold_pct,
    )
    async with state.db.transaction("mesh.make_pool") as tx:
        row = await pool_making.create(tx, asked, now=state.mesh.clock.now())
    return await _pool(request, row.id)


@routes.get(
    "/api/mesh/pools/{id}", needs=VIEW, answers=views.PoolAnswer, refuses=(model.PoolAbsent,)
)
async def show_pool(request: Request, _caller: Caller) -> views.PoolAnswer:
    """Show a pool, and what each bank has put in and owes."""
    return await _pool(request, request.path_params["id"])


@routes.get(
    "/api/mesh/pools/{id}/movements",
    needs=VIEW,
    query=MovementsQuery,
    answers=views.MovementsAnswer,
    refuses=(model.PoolAbsent,),
)
async def list_movements(
    request: Request, _caller: Caller, query: MovementsQuery
) -> views.MovementsAnswer:
    """List what moved in and out of a pool, newest first."""
    await _pool(request, request.path_params["id"])
    rows = await queries.movements(
        request.app.state.db, request.path_params["id"], limit=query.limit
    )
    return views.MovementsAnswer(True, [views.movement(row) for row in rows])


@routes.post(
    "/api/mesh/pools/{id}/draws",
    needs=DRAW,
    body=MovementBody,
    answers=views.MovementAnswer,
    status=201,
    also=(202,),
    refuses=(model.PoolAbsent, model.DrawRefused, Unsatisfiable, *idempotency.REFUSES),
)
async def draw(request: Request, caller: Caller, body: MovementBody) -> Response:
    """Draw from a pool: 201 when it is booked, 202 when it waits for approval."""
    asked = _asked(request, body.bank_profile_id, body.amount, body.reason)
    mesh: Mesh = request.app.state.mesh
    async with request.app.state.db.transaction("mesh.draw") as tx:
        done = await pools.draw(tx, mesh, asked, actor_of(caller))
    return await _answer(request, done)


@routes.post(
    "/api/mesh/pools/{id}/contributions",
    needs=DRAW,
    body=MovementBody,
    answers=views.MovementAnswer,
    status=201,
    refuses=(model.PoolAbsent, model.DrawRefused, *idempotency.REFUSES),
)
async def contribute(request: Request, caller: Caller, body: MovementBody) -> Response:
    """Put money of ours at a bank into a pool."""
    asked = _asked(request, body.bank_profile_id, body.amount, body.reason)
    async with request.app.state.db.transaction("mesh.contribute") as tx:
        done = await pools.contribute(tx, request.app.state.mesh, asked, by=caller.subject)
    return await _answer(request, done)


@routes.post(
    "/api/mesh/pools/{id}/draws/{draw_id}/return",
    needs=DRAW,
    body=ReturnBody,
    answers=views.MovementAnswer,
    status=201,
    refuses=(model.PoolAbsent, model.DrawAbsent, model.DrawRefused, *idempotency.REFUSES),
)
async def give_back(request: Request, caller: Caller, body: ReturnBody) -> Response:
    """Give back a draw, or a part of it."""
    state = request.app.state
    async with state.db.transaction("mesh.give_back") as tx:
        taken = await pools.find(tx, request.path_params["draw_id"])
        asked = _asked(request, taken.bank_profile_id, body.amount, body.reason, draw_id=taken.id)
        done = await pools.give_back(tx, state.mesh, asked, by=caller.subject)
    return await _answer(request, done)


def _asked(
    request: Request, bank: str, amount: int, reason: str, *, draw_id: str | None = None
) -> pools.Asked:
    key = request.headers.get(idempotency.HEADER)
    if key is not None:
        idempotency.check_key(key)
    return pools.Asked(
        pool_id=request.path_params["id"],
        bank_profile_id=bank,
        amount=amount,
        reason=reason,
        key=key,
        draw_id=draw_id,
    )


async def _answer(request: Request, done: pools.Done) -> Response:
    headers = {}
    if request.headers.get(idempotency.HEADER) is None:
        headers[idempotency.WEAKER] = "absent"
    elif not done.is_new:
        headers[idempotency.REPLAYED] = "true"
    async with request.app.state.db.transaction("mesh.show_movement", readonly=True) as tx:
        pool = await pools.get(tx, done.row.pool_id)
    view = views.MovementAnswer(True, views.movement(done.row), views.pool(pool))
    return Response(
        idempotency.encode(view),
        202 if done.row.state == "waiting" else 201,
        headers,
        media_type="application/json",
    )


async def _pool(request: Request, pool_id: str) -> views.PoolAnswer:
    db = request.app.state.db
    async with db.transaction("mesh.show_pool", readonly=True) as tx:
        row = await pools.get(tx, pool_id)
    rows = await queries.shares(db, pool_id)
    return views.PoolAnswer(True, views.pool(row), [views.share(each) for each in rows])
