"""The API of proposals: asked for, listed, shown, and tried out."""

from __future__ import annotations

from starlette.requests import Request

from molam.kernel.currency import UnknownCurrency
from molam.mesh import permissions
from molam.mesh.members import regions
from molam.mesh.members.model import MissingFields, RegionAbsent
from molam.mesh.routing import commands, outcomes, queries
from molam.mesh.routing import views as shapes
from molam.mesh.routing.model import (
    BoundsMalformed,
    NoRoute,
    ProposalAbsent,
    ProposalExpired,
    ProposalNotInState,
    Wanted,
)
from molam.mesh.routing.queries import Position
from molam.platform.web import Caller, CursorRefused, Routes
from molam.sira.signing import AdviceRefused

routes = Routes()

_LIST = "/api/mesh/proposals"


@routes.post(
    f"{_LIST}/generate",
    needs=permissions.PROPOSE,
    body=shapes.GenerateRequest,
    answers=shapes.ProposalAnswer,
    status=201,
    refuses=(MissingFields, RegionAbsent, UnknownCurrency, BoundsMalformed, NoRoute),
)
async def generate(
    request: Request, caller: Caller, body: shapes.GenerateRequest
) -> shapes.ProposalAnswer:
    """Propose a route from what is known now. Nothing is moved by it."""
    if body.mesh_region_id is None or body.currency is None:
        missing = [name for name in shapes.REQUIRED if getattr(body, name) is None]
        raise MissingFields(f"Send {' and '.join(missing)}.", fields=", ".join(missing))
    state = request.app.state
    wanted = Wanted(
        mesh_region_id=body.mesh_region_id,
        currency=body.currency,
        rail=body.rail,
        min_amount=body.min_amount,
        max_amount=body.max_amount,
        reason=body.reason,
        created_by=caller.subject,
    )
    async with state.db.transaction("mesh.propose") as tx:
        row = await commands.propose(tx, state.mesh, wanted)
    return shapes.ProposalAnswer(ok=True, proposal=shapes.proposal_view(row))


@routes.get(
    _LIST,
    needs=permissions.VIEW,
    query=shapes.ProposalsQuery,
    answers=shapes.ProposalsAnswer,
    refuses=(CursorRefused, RegionAbsent),
)
async def list_proposals(
    request: Request, _caller: Caller, query: shapes.ProposalsQuery
) -> shapes.ProposalsAnswer:
    """List proposals, the newest first; of a region by its id or name."""
    db, cursors = request.app.state.db, request.app.state.mesh_cursors
    scope = {"proposals": query.mesh_region_id, "status": query.status}
    beyond = None
    if query.cursor is not None:
        beyond = cursors.open(query.cursor, Position, filters=scope)
    async with db.transaction("mesh.proposals", readonly=True) as tx:
        region_id = None
        if query.mesh_region_id is not None:
            region_id = (await regions.get(tx, query.mesh_region_id)).id
        page = await queries.newest(
            tx, region_id=region_id, status=query.status, beyond=beyond, limit=query.limit
        )
    last = page.rows[-1] if page.has_more else None
    return shapes.ProposalsAnswer(
        ok=True,
        proposals=[shapes.proposal_view(row) for row in page.rows],
        has_more=page.has_more,
        next_cursor=None
        if last is None
        else cursors.seal(Position(last.created_at, last.id), filters=scope),
    )


@routes.get(
    f"{_LIST}/{{id}}",
    needs=permissions.VIEW,
    answers=shapes.ProposalAnswer,
    refuses=(ProposalAbsent,),
)
async def proposal(request: Request, _caller: Caller) -> shapes.ProposalAnswer:
    """Show one proposal with its bands, its reasons and its simulation."""
    async with request.app.state.db.transaction("mesh.proposal", readonly=True) as tx:
        row = await queries.get(tx, request.path_params["id"])
    return shapes.ProposalAnswer(ok=True, proposal=shapes.proposal_view(row))


@routes.post(
    f"{_LIST}/{{id}}/simulate",
    needs=permissions.SIMULATE,
    answers=shapes.SimulationAnswer,
    refuses=(ProposalAbsent, ProposalNotInState, ProposalExpired, AdviceRefused),
)
async def simulate(request: Request, _caller: Caller) -> shapes.SimulationAnswer:
    """Try a proposal out on the payouts that are waiting now. Nothing is moved."""
    state, id_ = request.app.state, request.path_params["id"]
    async with state.db.transaction("mesh.simulate") as tx:
        found = await commands.simulate(tx, state.mesh, id_)
    return shapes.SimulationAnswer(ok=True, proposal_id=id_, status="simulated", simulation=found)


@routes.get(
    "/api/mesh/outcomes",
    needs=permissions.VIEW,
    query=shapes.OutcomesQuery,
    answers=shapes.OutcomesAnswer,
)
async def list_outcomes(
    request: Request, _caller: Caller, query: shapes.OutcomesQuery
) -> shapes.OutcomesAnswer:
    """List the last moves with what came of them, and how often they were right."""
    async with request.app.state.db.transaction("mesh.outcomes", readonly=True) as tx:
        rows = await outcomes.newest(tx, limit=query.limit)
        record = await outcomes.track_record(tx)
    return shapes.outcomes_view(rows, record)
