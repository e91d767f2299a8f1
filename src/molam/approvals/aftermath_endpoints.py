"""The API of what comes after, and beside, an ordinary approval."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import aftermath, execution, permissions, views
from molam.approvals.aftermath import NotUndoable, ReviewAbsent
from molam.approvals.commands import rehearse_only
from molam.approvals.drafts import read_id
from molam.approvals.endpoints import answered
from molam.approvals.intents import PlanRefused
from molam.approvals.lifecycle import TransitionRefused
from molam.approvals.model import (
    TEXT_LENGTH_MAX,
    ActionAbsent,
    NewAction,
    ReasonRequired,
    SameHands,
    TargetMismatch,
    TwinOpen,
    Unsatisfiable,
    parsed,
)
from molam.approvals.requests import actor_of, check_askable, runtime_of
from molam.approvals.wire import Answer
from molam.platform.actions import ParamsRefused, UnknownActionType
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.web import Caller, Routes
from molam.platform.web.rate_limits import OPS_CREATE, OPS_EXECUTE, OPS_READ, RateLimited, take
from molam.platform.web.wire import Identifier

routes = Routes()

Reason = Annotated[str, Meta(min_length=1, max_length=TEXT_LENGTH_MAX)]


class ReasonBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    reason: Reason


class FoundBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What somebody found out about an execution whose outcome is unknown."""

    outcome: Literal["executed", "failed"]
    evidence: Reason


class RehearsalBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    action_type: Identifier
    params: dict[str, Any]


@routes.post(
    "/api/ops/actions/rehearse",
    needs=permissions.CREATE,
    body=RehearsalBody,
    answers=Answer,
    refuses=(UnknownActionType, ParamsRefused, TargetMismatch, PlanRefused, RateLimited),
)
async def rehearse(request: Request, caller: Caller, body: RehearsalBody) -> Response:
    """Say what an action would do, and store nothing."""
    headers = await take(request.app.state.db, OPS_READ, caller)
    runtime = runtime_of(request)
    check_askable(runtime.registry, body.action_type)
    asked = NewAction(origin="ops_ui", action_type=body.action_type, params=parsed(body.params))
    intent, plan = await rehearse_only(runtime.db, runtime.registry, asked)
    document = {"intent": intent.document, "intent_hash": intent.hash.hex(), "plan": plan}
    return answered(document, headers)


@routes.post(
    "/api/ops/actions/{action_id}/reconcile",
    needs=permissions.EXECUTE,
    body=FoundBody,
    answers=Answer,
    refuses=(ActionAbsent, TransitionRefused, ReasonRequired, SameHands, RateLimited),
)
async def reconcile(request: Request, caller: Caller, body: FoundBody) -> Response:
    """Say what became of an unknown execution; it stands once a second person agrees."""
    headers = await take(request.app.state.db, OPS_EXECUTE, caller)
    found = await aftermath.reconcile(
        request.app.state.db,
        read_id(request.path_params["action_id"]),
        actor_of(caller),
        executed=body.outcome == "executed",
        evidence=body.evidence,
    )
    document = {"action": views.action_json(found.row), "agreed": found.agreed}
    return answered(document, headers)


@routes.post(
    "/api/ops/actions/{action_id}/compensate",
    needs=permissions.CREATE,
    body=ReasonBody,
    answers=Answer,
    status=201,
    also=(200,),
    refuses=(NotUndoable, ReasonRequired, PlanRefused, TwinOpen, Unsatisfiable, RateLimited),
)
async def compensate(request: Request, caller: Caller, body: ReasonBody) -> Response:
    """Ask for the action that undoes an executed one; it is decided like any other."""
    headers = await take(request.app.state.db, OPS_CREATE, caller)
    created = await aftermath.compensate(
        runtime_of(request),
        read_id(request.path_params["action_id"]),
        actor_of(caller),
        reason=body.reason,
    )
    status = 201 if created.is_new else 200
    return answered({"action": views.action_json(created.row)}, headers, status=status)


@routes.post(
    "/api/ops/actions/{action_id}/break-glass",
    needs=permissions.BREAK_GLASS,
    body=ReasonBody,
    answers=Answer,
    refuses=(ActionAbsent, TransitionRefused, ReasonRequired, StepUpRequired, RateLimited),
)
async def break_glass(request: Request, caller: Caller, body: ReasonBody) -> Response:
    """Approve and carry out at once, without votes; everybody hears of it."""
    headers = await take(request.app.state.db, OPS_EXECUTE, caller)
    runtime, action_id = runtime_of(request), read_id(request.path_params["action_id"])
    await aftermath.break_glass(runtime.db, action_id, actor_of(caller), reason=body.reason)
    done = await execution.execute(runtime, action_id, actor_of(caller))
    document = views.executed_json(done)
    return Response(msgspec.json.encode(document), 200, headers, media_type="application/json")


@routes.post(
    "/api/ops/actions/{action_id}/review",
    needs=permissions.REVIEW,
    body=ReasonBody,
    answers=Answer,
    refuses=(ActionAbsent, ReviewAbsent, ReasonRequired, SameHands, RateLimited),
)
async def review(request: Request, caller: Caller, body: ReasonBody) -> Response:
    """Review an emergency execution."""
    headers = await take(request.app.state.db, OPS_CREATE, caller)
    action_id = read_id(request.path_params["action_id"])
    await aftermath.review(request.app.state.db, action_id, actor_of(caller), text=body.reason)
    return answered({"message": "Review recorded"}, headers)
