"""The engine's API under /api/ops, in the specification's paths and envelopes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import commands, execution, permissions, queries, views, voting
from molam.approvals.claims import NoLongerApproved, StaleIntent
from molam.approvals.drafts import read_id
from molam.approvals.intents import PlanRefused
from molam.approvals.lifecycle import TransitionRefused
from molam.approvals.model import (
    ActionAbsent,
    ActionExpired,
    ConfirmationRequired,
    ExecutionFrozen,
    FieldsRefused,
    IdempotencyMismatch,
    KeyReserved,
    NotEligible,
    NotYet,
    NoVote,
    OriginRefused,
    ReasonRequired,
    SameHands,
    StaleVersion,
    StaleView,
    TargetMismatch,
    TwinOpen,
    Unsatisfiable,
    VoteRequest,
)
from molam.approvals.passkey_votes import proved_actor
from molam.approvals.passkeys import PasskeyRefused
from molam.approvals.policy.quorum import PolicyMalformed
from molam.approvals.requests import actor_of, check_askable, new_action, runtime_of
from molam.approvals.wire import (
    ActionBody,
    Answer,
    CancelBody,
    CommentBody,
    HistoryQuery,
    PendingQuery,
    VoteBody,
)
from molam.audit.queries import entries_of_action
from molam.kernel.refusals import Refusal
from molam.platform.actions import ParamsRefused, UnknownActionType
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.auth.tokens import TokenRefused
from molam.platform.web import Caller, Routes
from molam.platform.web.rate_limits import (
    OPS_CREATE,
    OPS_EXECUTE,
    OPS_READ,
    OPS_VOTE,
    RateLimit,
    RateLimited,
    take,
)

routes = Routes()

# What these commands may answer, wherever they are asked over HTTP.
ASKING: tuple[type[Refusal], ...] = (
    UnknownActionType, ParamsRefused, TargetMismatch, PlanRefused, IdempotencyMismatch, TwinOpen,
    Unsatisfiable, OriginRefused, KeyReserved, PolicyMalformed, FieldsRefused,
)  # fmt: skip
VOTING: tuple[type[Refusal], ...] = (
    ActionAbsent, NotEligible, NoVote, IdempotencyMismatch, StaleView, ReasonRequired,
    ConfirmationRequired, StepUpRequired, PasskeyRefused, ActionExpired, TransitionRefused,
    FieldsRefused, RateLimited,
)  # fmt: skip
EXECUTING: tuple[type[Refusal], ...] = (
    ActionAbsent, ActionExpired, NotYet, SameHands, ExecutionFrozen, StaleIntent,
    NoLongerApproved, TransitionRefused, StaleVersion, RateLimited,
)  # fmt: skip


def answered(
    document: dict[str, Any], headers: dict[str, str] | None = None, *, status: int = 200
) -> Response:
    body = msgspec.json.encode({"success": True, **document})
    return Response(body, status, headers, media_type="application/json")


async def _counted(request: Request, limit: RateLimit, caller: Caller) -> dict[str, str]:
    return await take(request.app.state.db, limit, caller)


@routes.post(
    "/api/ops/actions",
    needs=permissions.CREATE,
    body=ActionBody,
    answers=Answer,
    status=201,
    also=(200,),
    refuses=(*ASKING, RateLimited),
)
async def create_action(request: Request, caller: Caller, body: ActionBody) -> Response:
    """Ask for an action. 201 the first time, 200 when the key was used for the same before."""
    headers = await _counted(request, OPS_CREATE, caller)
    asked = new_action(body, caller, key=request.headers.get("idempotency-key"))
    runtime = runtime_of(request)
    check_askable(runtime.registry, body.action_type)
    created = await commands.create(runtime, asked, actor_of(caller))
    headers["ETag"] = etag(created.row.version)
    return answered(
        {
            "action": views.action_json(created.row),
            "message": "Action created" if created.is_new else "This action exists already",
        },
        headers,
        status=201 if created.is_new else 200,
    )


@routes.get(
    "/api/ops/actions",
    needs=permissions.READ,
    query=PendingQuery,
    answers=Answer,
    refuses=(RateLimited,),
)
async def list_actions(request: Request, caller: Caller, query: PendingQuery) -> Response:
    """List open actions that the caller's roles decide, the nearest deadline first."""
    headers = await _counted(request, OPS_READ, caller)
    roles, db = sorted(caller.roles), request.app.state.db
    page = {"limit": query.limit, "offset": query.offset}
    if query.mine == "votable":
        rows = await queries.queue(db, "turn", person=caller.subject, roles=roles, **page)
    else:
        rows = await queries.pending(db, roles, person=caller.subject, **page)
    return answered(
        {"actions": [views.action_json(row) for row in rows], "count": len(rows)}, headers
    )


@routes.get(
    "/api/ops/actions/history",
    needs=permissions.READ,
    query=HistoryQuery,
    answers=Answer,
    refuses=(RateLimited,),
)
async def history(request: Request, caller: Caller, query: HistoryQuery) -> Response:
    """List actions of any status, newest first."""
    headers = await _counted(request, OPS_READ, caller)
    filters = queries.Filters(
        status=query.status,
        action_type=query.action_type,
        created_by=query.created_by,
        target_type=query.target_tenant_type,
        target_id=query.target_tenant_id,
        since=query.since,
        until=query.until,
    )
    rows = await queries.search(request.app.state.db, filters, limit=query.limit)
    return answered(
        {"actions": [views.action_json(row) for row in rows], "count": len(rows)}, headers
    )


@routes.get(
    "/api/ops/actions/{action_id}",
    needs=permissions.READ,
    answers=Answer,
    refuses=(ActionAbsent, RateLimited),
)
async def get_action(request: Request, caller: Caller) -> Response:
    """Answer an action with its votes and what they come to."""
    headers = await _counted(request, OPS_READ, caller)
    found = await queries.counted(runtime_of(request), _id(request))
    headers["ETag"] = etag(found.row.version)
    return answered({"action": views.counted_json(found)}, headers)


@routes.get(
    "/api/ops/actions/{action_id}/view",
    needs=permissions.READ,
    answers=Answer,
    refuses=(ActionAbsent, RateLimited),
)
async def view_action(request: Request, caller: Caller) -> Response:
    """Answer what an approver must see, and the hash their vote says they saw it by."""
    headers = await _counted(request, OPS_READ, caller)
    page = await queries.action_page(
        runtime_of(request), _id(request), actor_of(caller), locale=caller.locale
    )
    headers["ETag"] = etag(page.row.version)
    return answered({"view": views.page_json(page)}, headers)


@routes.get(
    "/api/ops/actions/{action_id}/completions",
    needs=permissions.READ,
    answers=Answer,
    refuses=(ActionAbsent, RateLimited),
)
async def completions(request: Request, caller: Caller) -> Response:
    """Answer what it would take: what is missing, and who could still complete it."""
    headers = await _counted(request, OPS_READ, caller)
    page = await queries.action_page(
        runtime_of(request), _id(request), actor_of(caller), locale=caller.locale
    )
    return answered(
        {
            "missing": [views.missing_json(each) for each in page.missing],
            "completions": [list(each) for each in page.completions],
        },
        headers,
    )


@routes.get(
    "/api/ops/actions/{action_id}/audit",
    needs=permissions.READ,
    answers=Answer,
    refuses=(ActionAbsent, RateLimited),
)
async def audit_trail(request: Request, caller: Caller) -> Response:
    """Answer everything that happened to an action, oldest first."""
    headers = await _counted(request, OPS_READ, caller)
    row = await queries.find(request.app.state.db, _id(request))
    entries = await entries_of_action(request.app.state.db, row.id)
    trail = [views.audit_json(each) for each in entries]
    return answered({"audit": trail, "count": len(trail)}, headers)


@routes.post(
    "/api/ops/actions/{action_id}/vote",
    needs=permissions.VOTE,
    body=VoteBody,
    answers=Answer,
    refuses=VOTING,
)
async def vote(request: Request, caller: Caller, body: VoteBody) -> Response:
    """Vote, change a vote, or take it back while the action is open."""
    headers = await _counted(request, OPS_VOTE, caller)
    if body.signed_jwt is not None:
        await _check_signed(request, caller, body.signed_jwt)
    runtime, action_id = runtime_of(request), _id(request)
    fields = msgspec.structs.asdict(body)
    passkey = fields.pop("passkey")
    asked = VoteRequest(**fields)
    actor = await proved_actor(
        runtime.db,
        request.app.state.passkeys,
        actor_of(caller),
        action_id,
        asked=asked,
        passkey=passkey,
    )
    cast = await voting.vote(runtime, action_id, asked, actor)
    votes = await queries.votes_of(runtime.db, [action_id])
    own = next((each for each in votes if each.id == cast.vote_id), None)
    headers["ETag"] = etag(cast.row.version)
    counted = await queries.counted(runtime, action_id)
    return answered(
        {
            "approval": None if own is None else views.vote_json(own),
            "action": views.counted_json(counted),
            "binding": "shown" if cast.bound else "weak",
            "late_reject": cast.late,
            "message": "Vote recorded" if not cast.late else "Kept as a comment: it came late",
        },
        headers,
    )


async def _check_signed(request: Request, caller: Caller, token: str) -> None:
    """
    Verify a token that a vote is signed with; only its fingerprint is kept.

    Raises:
        FieldsRefused: it is not valid, or somebody else's.
    """
    try:
        identity = await request.app.state.tokens.verify(token)
    except TokenRefused as refusal:
        raise FieldsRefused("signed_jwt is not a valid token.", field="signed_jwt") from refusal
    if identity.sub != caller.subject:
        raise FieldsRefused("signed_jwt is somebody else's.", field="signed_jwt")


@routes.post(
    "/api/ops/actions/{action_id}/comments",
    needs=permissions.COMMENT,
    body=CommentBody,
    answers=Answer,
    status=201,
    refuses=(ActionAbsent, FieldsRefused, RateLimited),
)
async def comment(request: Request, caller: Caller, body: CommentBody) -> Response:
    """Say something about an action; whoever may not vote may still comment."""
    headers = await _counted(request, OPS_VOTE, caller)
    row = await voting.comment(request.app.state.db, _id(request), actor_of(caller), text=body.text)
    return answered({"action": views.action_json(row)}, headers, status=201)


@routes.post(
    "/api/ops/actions/{action_id}/execute",
    needs=permissions.EXECUTE,
    answers=Answer,
    also=(409, 500),
    refuses=EXECUTING,
)
async def execute(request: Request, caller: Caller) -> Response:
    """Carry out an approved action, or try a failed one again. 500 says that it failed."""
    headers = await _counted(request, OPS_EXECUTE, caller)
    runtime, action_id = runtime_of(request), _id(request)
    await check_version(request, action_id)
    done = await execution.execute(runtime, action_id, actor_of(caller))
    document = views.executed_json(done)
    document["message"] = "Action executed" if done.success else "Action not executed"
    status = 200 if done.success else 409 if done.state == "stale" else 500
    body = msgspec.json.encode(document)
    return Response(body, status, headers, media_type="application/json")


@routes.post(
    "/api/ops/actions/{action_id}/cancel",
    needs=permissions.CREATE,
    body=CancelBody,
    answers=Answer,
    refuses=(ActionAbsent, SameHands, TransitionRefused, StaleVersion, RateLimited),
)
async def cancel(request: Request, caller: Caller, body: CancelBody) -> Response:
    """End an action that is not carried out yet; whoever asked for it, or an ops_admin."""
    headers = await _counted(request, OPS_CREATE, caller)
    action_id = _id(request)
    await check_version(request, action_id)
    row = await commands.cancel(
        request.app.state.db, action_id, actor_of(caller), reason=body.reason
    )
    return answered({"action": views.action_json(row)}, headers)


async def check_version(request: Request, action_id: UUID) -> None:
    """
    Honour If-Match.

    Raises:
        StaleVersion: the action has changed since the caller read it.
    """
    wanted = request.headers.get("if-match")
    if wanted is None or wanted == "*":
        return
    row = await queries.find(request.app.state.db, action_id)
    if wanted != etag(row.version):
        raise StaleVersion("Read the action again.", version=row.version)


def etag(version: int) -> str:
    return f'"{version}"'


def _id(request: Request) -> UUID:
    return read_id(request.path_params["action_id"])
