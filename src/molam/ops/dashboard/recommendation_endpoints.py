"""Recommendations and their actions over HTTP, under /api/dashboard."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.alerts.remediation.recommendation_actions import RecommendationEnded
from molam.alerts.rules import tenants
from molam.approvals import endpoints as engine
from molam.approvals.requests import actor_of
from molam.approvals.views import plain
from molam.approvals.wire import ActionBody, Answer, VoteBody, uuid_of
from molam.ops.dashboard import permissions, queries, recommendations
from molam.ops.dashboard.endpoints import Country, Region
from molam.ops.dashboard.model import (
    RecommendationAbsent,
    Tenant,
    TenantRefused,
    TenantType,
)
from molam.ops.dashboard.recommendation_store import RecommendationRow
from molam.platform.web import Caller, Routes
from molam.platform.web.rate_limits import RateLimited
from molam.platform.web.wire import Identifier, QueryMalformed

routes = Routes()

Limit = Annotated[int, Meta(ge=1, le=100)]
Offset = Annotated[int, Meta(ge=0, le=100_000)]
Status = Literal[
    "pending", "pending_approval", "applied", "rejected", "expired", "superseded",
]  # fmt: skip


class ListAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    status: Status = "pending"
    tenant_type: TenantType = msgspec.field(default="platform", name="tenantType")
    tenant_id: Identifier | None = msgspec.field(default=None, name="tenantId")
    country: Country | None = None
    region: Region | None = None
    limit: Limit = 50
    offset: Offset = 0


class TargetBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whom an action is done to."""

    tenant_type: Literal["platform", "merchant", "agent", "bank", "region"]
    tenant_id: Identifier | None = None


class AskBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """*risk_level* is understood and decides nothing: how many must agree is the policy's."""

    action_type: Identifier
    target: TargetBody
    params: dict[str, Any] = {}
    risk_level: Literal["low", "medium", "high", "critical"] | None = None
    idempotency_key: Identifier | None = None


class ApproveBody(msgspec.Struct, forbid_unknown_fields=True):
    """The hashes are of what the voter was shown; the engine says when it wants them."""

    comment: Annotated[str, Meta(min_length=1, max_length=4000)] | None = None
    intent_hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None
    view_hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None
    confirmation: Annotated[str, Meta(max_length=64)] | None = None


class RejectBody(msgspec.Struct, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(min_length=1, max_length=recommendations.REASON_LENGTH_MAX)]


class ListAnswer(msgspec.Struct, frozen=True):
    recommendations: list[dict[str, Any]]
    count: int
    success: bool = True


class OneAnswer(msgspec.Struct, frozen=True):
    recommendation: dict[str, Any]
    success: bool = True


class Applied(msgspec.Struct, frozen=True):
    action_id: UUID
    message: str = "Action created for SIRA recommendation"
    success: bool = True


@routes.get(
    "/api/dashboard/sira/recommendations",
    needs=permissions.READ,
    query=ListAsked,
    answers=ListAnswer,
    refuses=(QueryMalformed, TenantRefused, *tenants.ABSENT),
)
async def listed(request: Request, _caller: Caller, query: ListAsked) -> ListAnswer:
    """List what is recommended, the most urgent first; for the platform, whosever it is."""
    whose = Tenant(query.tenant_type, query.tenant_id)
    async with request.app.state.db.transaction("dashboard.recommended", readonly=True) as tx:
        tenant = await queries.narrowed(tx, whose, country=query.country, region=query.region)
        rows = await recommendations.listing(
            tx, status=query.status, tenant=tenant, limit=query.limit, offset=query.offset
        )
        if not rows:
            await tenants.check(tx, tenant.type, tenant.id)
    return ListAnswer([_view(row) for row in rows], len(rows))


@routes.get(
    "/api/dashboard/sira/recommendations/{recommendation_id}",
    needs=permissions.READ,
    answers=OneAnswer,
    refuses=(RecommendationAbsent,),
)
async def one(request: Request, _caller: Caller) -> OneAnswer:
    """Show one recommendation with its reasons: their weights come to its confidence."""
    async with request.app.state.db.transaction("dashboard.recommendation", readonly=True) as tx:
        return OneAnswer(_view(await recommendations.find(tx, _id(request))))


@routes.post(
    "/api/dashboard/sira/recommendations/{recommendation_id}/apply",
    needs=permissions.APPLY,
    answers=Applied,
    refuses=(RecommendationAbsent, RecommendationEnded, *engine.ASKING),
)
async def apply(request: Request, caller: Caller) -> Applied:
    """Ask for what is recommended; others decide it. Again gives the same action."""
    watch = request.app.state.watch
    return Applied(await recommendations.apply(watch, _id(request), actor_of(caller)))


@routes.post(
    "/api/dashboard/sira/recommendations/{recommendation_id}/reject",
    needs=permissions.APPLY,
    body=RejectBody,
    answers=OneAnswer,
    refuses=(RecommendationAbsent, RecommendationEnded),
)
async def reject(request: Request, caller: Caller, body: RejectBody) -> OneAnswer:
    """Say no, and why; the same is not recommended again for a week."""
    row = await recommendations.reject(
        request.app.state.db, _id(request), actor_of(caller), body.reason
    )
    return OneAnswer(_view(row))


@routes.post(
    "/api/dashboard/ops/actions",
    needs=permissions.CREATE_ACTION,
    body=AskBody,
    answers=Answer,
    status=201,
    also=(200,),
    refuses=(*engine.ASKING, RateLimited),
)
async def create_action(request: Request, caller: Caller, body: AskBody) -> Response:
    """Ask for an action, as under /api/ops/actions: the policy says how many agree to it."""
    target = body.target
    asked = ActionBody(
        origin="ops_ui",
        action_type=body.action_type,
        params=body.params,
        target_tenant_type=target.tenant_type,
        target_tenant_id=target.tenant_id,
        idempotency_key=body.idempotency_key,
    )
    return _passed_on(await engine.create_action(request, caller, asked))


@routes.post(
    "/api/dashboard/ops/actions/{action_id}/approve",
    needs=permissions.APPROVE_ACTION,
    body=ApproveBody,
    answers=Answer,
    refuses=engine.VOTING,
)
async def approve_action(request: Request, caller: Caller, body: ApproveBody) -> Response:
    """Vote for an action, as under /api/ops/actions: one person, one vote."""
    vote = VoteBody(
        vote="approve",
        comment=body.comment,
        intent_hash=body.intent_hash,
        view_hash=body.view_hash,
        confirmation=body.confirmation,
    )
    return _passed_on(await engine.vote(request, caller, vote))


@routes.post(
    "/api/dashboard/ops/actions/{action_id}/execute",
    needs=permissions.EXECUTE_ACTION,
    answers=Answer,
    also=(409, 500),
    refuses=engine.EXECUTING,
)
async def execute_action(request: Request, caller: Caller) -> Response:
    """Carry out an approved action, as under /api/ops/actions, and answer when it is done."""
    return _passed_on(await engine.execute(request, caller))


def _passed_on(answer: object) -> Response:
    assert isinstance(answer, Response)
    return answer


def _view(row: RecommendationRow) -> dict[str, Any]:
    shown = plain(row)
    for name in ("state", "is_past", "facts", "subject"):
        shown.pop(name)
    # A share of one, as a number: it is shown and compared, and decides nothing here.
    shown["confidence_score"] = float(row.confidence_score)
    return shown


def _id(request: Request) -> UUID:
    found = uuid_of(request.path_params["recommendation_id"])
    if found is None:
        raise RecommendationAbsent("Check the recommendation's id.")
    return found
