"""The API of decisions about routes, of what was done, and of what became of it."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.lifecycle import TransitionRefused
from molam.approvals.model import (
    ActionExpired,
    FieldsRefused,
    IdempotencyMismatch,
    NotEligible,
    StaleView,
    Unsatisfiable,
    VoteRequest,
)
from molam.approvals.requests import actor_of
from molam.mesh import permissions
from molam.mesh.control import commands, model, queries, views
from molam.mesh.control.commands import Decided
from molam.mesh.control.queries import Position
from molam.mesh.members import regions
from molam.mesh.members.model import RegionAbsent
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.model import ProposalAbsent, ProposalExpired, ProposalNotInState
from molam.mesh.routing.views import ProposalAnswer, proposal_view
from molam.platform.db import Tx
from molam.platform.web import Caller, CursorRefused, Routes
from molam.sira.signing import AdviceRefused

routes = Routes()

_ONE = "/api/mesh/proposals/{id}"
_VOTES = (
    NotEligible,
    ActionExpired,
    TransitionRefused,
    StaleView,
    FieldsRefused,
    IdempotencyMismatch,
    Unsatisfiable,
)
_APPLIES = (
    ProposalAbsent,
    ProposalNotInState,
    ProposalExpired,
    AdviceRefused,
    model.NotApproved,
    model.AlreadyUsed,
    model.ApplyKeyReused,
    model.PolicyMoved,
    model.Stopped,
    model.NobodyTakes,
)


@routes.post(
    f"{_ONE}/approve",
    needs=permissions.VOTE,
    body=views.ApproveRequest,
    answers=views.DecisionAnswer,
    also=(202,),
    refuses=(*_APPLIES, *_VOTES),
)
async def approve(request: Request, caller: Caller, body: views.ApproveRequest) -> Response:
    """
    Vote for a proposal; the vote that fills the quorum applies it.

    200: it is applied, and everything is durable. 202: more votes are wanted; the answer
    says how many, and whose.
    """
    vote = VoteRequest(
        vote="approve",
        comment=body.comment,
        intent_hash=body.intent_hash,
        view_hash=body.view_hash,
    )
    done = await commands.approve(
        request.app.state.mesh, request.path_params["id"], actor_of(caller), vote
    )
    said = "approved and applied" if done.applied is not None else "one more approval is needed"
    return _decision(done, said, is_done=done.applied is not None)


@routes.post(
    f"{_ONE}/reject",
    needs=permissions.VOTE,
    body=views.RejectRequest,
    answers=ProposalAnswer,
    refuses=(ProposalAbsent, ProposalNotInState),
)
async def reject(request: Request, caller: Caller, body: views.RejectRequest) -> ProposalAnswer:
    """Reject a proposal that is not applied; one person suffices."""
    row = await commands.reject(
        request.app.state.mesh,
        request.path_params["id"],
        actor_of(caller),
        reason=body.reason,
    )
    return ProposalAnswer(ok=True, proposal=proposal_view(row))


@routes.post(
    f"{_ONE}/rollback",
    needs=permissions.ROLL_BACK,
    body=views.RollbackRequest,
    answers=views.DecisionAnswer,
    also=(202,),
    refuses=(
        ProposalAbsent,
        ProposalNotInState,
        model.MissingReason,
        model.RollbackTooLate,
        model.LaterRoute,
        model.ApplyKeyReused,
        *_VOTES,
    ),
)
async def roll_back(request: Request, caller: Caller, body: views.RollbackRequest) -> Response:
    """
    Vote for taking an applied route back; the vote that fills the quorum does it.

    What was sent, or has changed since, stays where it is and is listed with why.
    """
    done = await commands.roll_back(
        request.app.state.mesh,
        request.path_params["id"],
        actor_of(caller),
        reason=body.reason,
    )
    said = "rolled back" if done.rolled_back is not None else "one more approval is needed"
    return _decision(done, said, is_done=done.rolled_back is not None)


@routes.get(
    "/api/mesh/actions",
    needs=permissions.VIEW,
    query=views.ActionsQuery,
    answers=views.ActionsAnswer,
    refuses=(CursorRefused, RegionAbsent),
)
async def list_actions(
    request: Request, _caller: Caller, query: views.ActionsQuery
) -> views.ActionsAnswer:
    """List what was done in the mesh, the newest first."""
    state = request.app.state
    scope = {"actions": query.mesh_region_id, "type": query.action_type, "of": query.proposal_id}
    beyond = _beyond(request, query.cursor, scope)
    async with state.db.transaction("mesh.actions", readonly=True) as tx:
        page = await queries.actions(
            tx,
            region_id=await _region(tx, query.mesh_region_id),
            action_type=query.action_type,
            proposal_id=query.proposal_id,
            beyond=beyond,
            limit=query.limit,
        )
    last = page.rows[-1] if page.has_more else None
    return views.ActionsAnswer(
        ok=True,
        actions=[views.action_view(row) for row in page.rows],
        has_more=page.has_more,
        next_cursor=None if last is None else _next(request, last.created_at, last.id, scope),
    )


@routes.get(
    "/api/mesh/reconciliations",
    needs=permissions.VIEW,
    query=views.ReconciliationsQuery,
    answers=views.ReconciliationsAnswer,
    refuses=(CursorRefused, RegionAbsent),
)
async def list_reconciliations(
    request: Request, _caller: Caller, query: views.ReconciliationsQuery
) -> views.ReconciliationsAnswer:
    """List payouts that were led to another bank, and what became of each, newest first."""
    return await _reconciliations(
        request, query, status=query.status, region=query.mesh_region_id, proposal_id=None
    )


@routes.get(
    f"{_ONE}/reconciliations",
    needs=permissions.VIEW,
    query=views.PageQuery,
    answers=views.ReconciliationsAnswer,
    refuses=(CursorRefused, ProposalAbsent),
)
async def list_of_proposal(
    request: Request, _caller: Caller, query: views.PageQuery
) -> views.ReconciliationsAnswer:
    """List what became of the payouts that one proposal moved."""
    id_ = request.path_params["id"]
    async with request.app.state.db.transaction("mesh.proposal", readonly=True) as tx:
        await proposals.get(tx, id_)
    return await _reconciliations(request, query, status=None, region=None, proposal_id=id_)


@routes.get(
    "/api/mesh/decisions",
    needs=permissions.VIEW,
    query=views.VerdictsQuery,
    answers=views.VerdictsAnswer,
    refuses=(RegionAbsent,),
)
async def list_decisions(
    request: Request, _caller: Caller, query: views.VerdictsQuery
) -> views.VerdictsAnswer:
    """Say what the controller decided last, and why it did nothing where it did nothing."""
    async with request.app.state.db.transaction("mesh.decisions", readonly=True) as tx:
        rows = await queries.verdicts(tx, region_id=await _region(tx, query.mesh_region_id))
    return views.VerdictsAnswer(ok=True, verdicts=[views.verdict_view(row) for row in rows])


async def _reconciliations(
    request: Request,
    query: views.ReconciliationsQuery | views.PageQuery,
    *,
    status: str | None,
    region: str | None,
    proposal_id: str | None,
) -> views.ReconciliationsAnswer:
    scope = {"reconciliations": region, "status": status, "of": proposal_id}
    beyond = _beyond(request, query.cursor, scope)
    async with request.app.state.db.transaction("mesh.reconciliations", readonly=True) as tx:
        page = await queries.reconciliations(
            tx,
            status=status,
            region_id=await _region(tx, region),
            proposal_id=proposal_id,
            beyond=beyond,
            limit=query.limit,
        )
    last = page.rows[-1] if page.has_more else None
    return views.ReconciliationsAnswer(
        ok=True,
        reconciliations=[views.reconciliation_view(row) for row in page.rows],
        has_more=page.has_more,
        next_cursor=None if last is None else _next(request, last.created_at, last.id, scope),
    )


def _decision(done: Decided, said: str, *, is_done: bool) -> Response:
    approval = None
    if done.action is not None and not is_done:
        row = done.action
        approval = views.Approval(
            action_id=str(row.id),
            status=row.status,
            votes=row.votes_approve,
            votes_needed=commands.VOTES,
            roles=sorted(row.voter_roles),
            expires_at=row.expires_at,
        )
    answer = views.DecisionAnswer(
        ok=True,
        message=said,
        proposal=proposal_view(done.row),
        approval=approval,
        applied=done.applied,
        rolled_back=done.rolled_back,
    )
    return Response(
        msgspec.json.encode(answer),
        status_code=200 if is_done else 202,
        media_type="application/json",
    )


async def _region(tx: Tx, region: str | None) -> str | None:
    return None if region is None else (await regions.get(tx, region)).id


def _beyond(request: Request, cursor: str | None, scope: object) -> Position | None:
    if cursor is None:
        return None
    found: Position = request.app.state.mesh_cursors.open(cursor, Position, filters=scope)
    return found


def _next(request: Request, at: object, id_: str, scope: object) -> str:
    sealed: str = request.app.state.mesh_cursors.seal(
        msgspec.convert({"at": at, "id": id_}, Position), filters=scope
    )
    return sealed
