"""The engine's figures and people's histories under /api/ops."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import binding, permissions, queries, store, views
from molam.approvals.endpoints import answered
from molam.approvals.wire import Answer, PageQuery
from molam.kernel.refusals import Outage
from molam.platform.web import PUBLIC, Caller, Routes
from molam.platform.web.rate_limits import OPS_READ, RateLimited, take

routes = Routes()


@routes.get("/api/ops/stats", needs=permissions.STATISTICS, answers=Answer, refuses=(RateLimited,))
async def stats(request: Request, caller: Caller) -> Response:
    """Count decisions by action type."""
    headers = await take(request.app.state.db, OPS_READ, caller)
    rows = await queries.stats(request.app.state.db)
    return answered({"stats": [views.plain(row) for row in rows]}, headers)


@routes.get(
    "/api/ops/pending-summary", needs=permissions.READ, answers=Answer, refuses=(RateLimited,)
)
async def pending_summary(request: Request, caller: Caller) -> Response:
    """Count what is open by type and status."""
    headers = await take(request.app.state.db, OPS_READ, caller)
    rows = await queries.pending_summary(request.app.state.db)
    return answered({"summary": [views.plain(row) for row in rows]}, headers)


@routes.get(
    "/api/ops/users/{user_id}/actions",
    needs=permissions.READ,
    query=PageQuery,
    answers=Answer,
    refuses=(RateLimited,),
)
async def user_actions(request: Request, caller: Caller, query: PageQuery) -> Response:
    """List the actions somebody asked for or carried out."""
    headers = await take(request.app.state.db, OPS_READ, caller)
    rows = await queries.user_actions(
        request.app.state.db,
        request.path_params["user_id"],
        limit=query.limit,
        offset=query.offset,
    )
    return answered(
        {"actions": [views.action_json(row) for row in rows], "count": len(rows)}, headers
    )


@routes.get(
    "/api/ops/users/{user_id}/votes",
    needs=permissions.READ,
    query=PageQuery,
    answers=Answer,
    refuses=(RateLimited,),
)
async def user_votes(request: Request, caller: Caller, query: PageQuery) -> Response:
    """List somebody's votes."""
    headers = await take(request.app.state.db, OPS_READ, caller)
    rows = await queries.user_votes(
        request.app.state.db,
        request.path_params["user_id"],
        limit=query.limit,
        offset=query.offset,
    )
    return answered({"votes": [views.vote_json(row) for row in rows], "count": len(rows)}, headers)


@routes.get("/api/ops/health", needs=PUBLIC, answers=Answer, also=(503,))
async def health(request: Request, _caller: Caller) -> Response:
    """Say whether the engine can decide: 503 and ``unhealthy`` if its database does not answer."""
    now = request.app.state.clock.now()
    at = binding.instant_text(now)
    try:
        await request.app.state.db.read(store.NOW)
    except Outage:
        unhealthy = {"success": False, "status": "unhealthy", "timestamp": at}
        return answered(unhealthy, status=503)
    return answered({"status": "healthy", "timestamp": at})
