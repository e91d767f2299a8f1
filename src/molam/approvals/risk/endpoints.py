"""Risk-aware approvals over HTTP: /api/approvals."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.lifecycle import TransitionRefused
from molam.approvals.model import (
    Actor,
    Auth,
    IdempotencyMismatch,
    NotEligible,
    ReasonRequired,
    SameHands,
    StaleView,
    TwinOpen,
    Unsatisfiable,
)
from molam.approvals.risk import commands, decisions, model
from molam.approvals.risk import evidence as risk_evidence
from molam.approvals.risk import links as risk_links
from molam.approvals.risk import queries as risk_queries
from molam.approvals.risk import views as risk_views
from molam.approvals.risk.commands import Desk, NewApproval
from molam.approvals.risk.metrics import timed
from molam.kernel import canonical
from molam.platform.actions import ParamsRefused
from molam.platform.auth.step_up import StepUpRequired, require_step_up
from molam.platform.web import PUBLIC, Caller, Permission, Routes
from molam.platform.web.limits import Limiter, TooManyAttempts
from molam.platform.web.wire import Identifier, LongText, ShortText

routes = Routes()

SERVICE = "service"
_ASK = frozenset({SERVICE, "ops_admin", "finance_ops", "pay_admin"})
CREATE = Permission("approvals.ask_risk", _ASK)
VIEW = Permission(
    "approvals.view_risk", _ASK | {"compliance", "cfo", "auditor", "treasury_ops", "super_admin"}
)
OVERRIDE = Permission("approvals.override_risk", frozenset({"super_admin"}))

# Base64 takes a third more, and the rest of the body little.
CONSUME_BYTES_MAX = risk_evidence.BYTES_MAX * 4 // 3 + 64 * 1024

_creating = Limiter(burst=100, per_minute=100)
_consuming = Limiter(burst=10, per_minute=10)
_overriding = Limiter(burst=5, per_minute=5)

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*\Z", max_length=120)]
Module = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*\Z", max_length=64)]
Minutes = Annotated[int, Meta(ge=1, le=43_200)]


class NewApprovalBody(msgspec.Struct, forbid_unknown_fields=True):
    action_type: Name
    origin_module: Module
    payload: dict[str, Any]
    created_by: Identifier | None = None
    origin_entity_id: Identifier | None = None
    expires_in_minutes: Minutes | None = None
    idempotency_key: Identifier | None = None


class EvidenceFile(msgspec.Struct, forbid_unknown_fields=True):
    """A file in the body: *content* is base64."""

    file_name: ShortText
    file_type: ShortText
    content: str
    description: LongText = ""


class ConsumeBody(msgspec.Struct, forbid_unknown_fields=True):
    """*evidence* as text is a remark; only a file is evidence."""

    token: Annotated[str, Meta(max_length=1024)] | None = None
    evidence: str | EvidenceFile | None = None
    comment: LongText | None = None
    view_hash: Annotated[str, Meta(max_length=64)] | None = None


class OverrideBody(msgspec.Struct, forbid_unknown_fields=True):
    decision: Literal["approve", "reject"]
    reason: Annotated[str, Meta(max_length=2000)]


class ListQuery(msgspec.Struct, forbid_unknown_fields=True):
    status: (
        Literal["held", "pending", "approved", "rejected", "overridden", "auto_approved", "expired"]
        | None
    ) = None
    origin_module: ShortText | None = None
    created_by: Identifier | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    offset: Annotated[int, Meta(ge=0, le=100_000)] = 0


@routes.post(
    "/api/approvals",
    needs=CREATE,
    body=NewApprovalBody,
    answers=risk_views.OpenedView,
    status=201,
    also=(200,),
    refuses=(
        canonical.JsonMalformed,
        model.PayloadRefused,
        ParamsRefused,
        model.CreatorMismatch,
        model.NoPolicy,
        IdempotencyMismatch,
        TwinOpen,
        Unsatisfiable,
        TooManyAttempts,
    ),
)
async def create(request: Request, caller: Caller, body: NewApprovalBody) -> Response:
    """Ask for an approval: given at once, or by as many people as its risk asks for."""
    _creating.take(caller.subject)
    asked = NewApproval(
        action_type=body.action_type,
        origin_module=body.origin_module,
        payload=body.payload,
        origin_entity_id=body.origin_entity_id,
        expires_in_minutes=body.expires_in_minutes,
        on_behalf_of=_on_behalf_of(caller, body.created_by),
        idempotency_key=body.idempotency_key or request.headers.get("idempotency-key"),
    )
    _check_key(asked.idempotency_key)
    with timed("POST", "/api/approvals", HTTPStatus.CREATED):
        opened = await commands.create(desk_of(request), asked, actor_of(caller))
    status = HTTPStatus.CREATED if opened.is_new else HTTPStatus.OK
    return _json(risk_views.opened(opened), status)


@routes.get("/api/approvals", needs=VIEW, query=ListQuery, answers=risk_views.ListView)
async def list_approvals(
    request: Request, _caller: Caller, query: ListQuery
) -> risk_views.ListView:
    """List approvals, newest first."""
    with timed("GET", "/api/approvals"):
        rows = await risk_queries.list_approvals(
            request.app.state.db,
            status=query.status,
            origin_module=query.origin_module,
            created_by=query.created_by,
            limit=query.limit,
            offset=query.offset,
        )
    return risk_views.ListView(True, [risk_views.approval(row) for row in rows], len(rows))


@routes.get(
    "/api/approvals/{id:uuid}",
    needs=VIEW,
    answers=risk_views.DetailView,
    refuses=(model.ApprovalNotFound,),
)
async def get(request: Request, _caller: Caller) -> risk_views.DetailView:
    """Show an approval with its votes and its evidence."""
    with timed("GET", "/api/approvals/{id}"):
        found = await risk_queries.detail(request.app.state.db, request.path_params["id"])
    return risk_views.detail(found)


@routes.get(
    "/api/approvals/{id:uuid}/votes",
    needs=VIEW,
    answers=risk_views.VotesView,
    refuses=(model.ApprovalNotFound,),
)
async def votes(request: Request, _caller: Caller) -> risk_views.VotesView:
    """List the votes on an approval as they stand."""
    with timed("GET", "/api/approvals/{id}/votes"):
        found = await risk_queries.detail(request.app.state.db, request.path_params["id"])
    return risk_views.VotesView(True, [risk_views.vote(each) for each in found.votes])


@routes.post(
    "/api/approvals/{id:uuid}/consume",
    needs=PUBLIC,
    body=ConsumeBody,
    answers=risk_views.ConsumedView,
    body_bytes_max=CONSUME_BYTES_MAX,
    refuses=(
        canonical.JsonMalformed,
        risk_links.MissingToken,
        risk_links.TokenNotFound,
        risk_links.TokenUsed,
        risk_links.TokenExpired,
        model.ApprovalNotFound,
        model.ApprovalDecided,
        model.ApprovalExpired,
        model.AlreadyVoted,
        model.EvidenceRequired,
        model.EvidenceRefused,
        NotEligible,
        ReasonRequired,
        StaleView,
        StepUpRequired,
        TransitionRefused,
        TooManyAttempts,
    ),
)
async def consume(request: Request, caller: Caller, body: ConsumeBody) -> risk_views.ConsumedView:
    """
    Take the decision a link is for. It works once; a decision that is refused leaves it as it was.

    The link is the proof of who decides, and alone enough to reject. To approve what takes
    several people, or is of high risk, its holder sends their own bearer token as well, with
    a fresh second factor.
    """
    _consuming.take(caller.ip)
    with timed("POST", "/api/approvals/{id}/consume"):
        consumed = await decisions.consume(
            desk_of(request),
            body.token,
            decisions.Decided(
                comment=body.comment or (body.evidence if isinstance(body.evidence, str) else None),
                evidence=_file(body.evidence),
                view_hash=body.view_hash,
                signed_in=await _signed_in(request),
                ip=caller.ip,
                user_agent=caller.user_agent,
            ),
            approval_id=request.path_params["id"],
        )
    return risk_views.consumed(consumed)


@routes.post(
    "/api/approvals/{id:uuid}/override",
    needs=OVERRIDE,
    body=OverrideBody,
    answers=risk_views.OverriddenView,
    refuses=(
        canonical.JsonMalformed,
        StepUpRequired,
        ReasonRequired,
        SameHands,
        model.ApprovalNotFound,
        model.ApprovalNotReady,
        model.ApprovalDecided,
        model.ApprovalExpired,
        TooManyAttempts,
    ),
)
async def override(
    request: Request, caller: Caller, body: OverrideBody
) -> risk_views.OverriddenView:
    """Decide over everybody's head, with a second factor; somebody else reviews it in a day."""
    _overriding.take(caller.subject)
    require_step_up(caller, now=request.app.state.clock.now())
    with timed("POST", "/api/approvals/{id}/override"):
        row = await decisions.override(
            desk_of(request),
            request.path_params["id"],
            decision=body.decision,
            reason=body.reason,
            actor=actor_of(caller),
        )
    return risk_views.OverriddenView(True, str(row.id), row.status, body.decision)


async def _signed_in(request: Request) -> Actor | None:
    """Read who signed in besides. Only a bearer token counts: no other site can send it."""
    if "authorization" not in request.headers:
        return None
    caller = await request.app.state.authenticator(request)
    return None if caller is None or caller.via != "bearer" else actor_of(caller)


def actor_of(caller: Caller) -> Actor:
    return Actor(
        caller.subject,
        caller.roles,
        kind="service" if SERVICE in caller.roles else "user",
        auth=Auth(caller.acr, caller.auth_time),
        channel="api",
        ip=caller.ip,
        user_agent=caller.user_agent,
    )


def _on_behalf_of(caller: Caller, created_by: str | None) -> str | None:
    """
    Tell for whom *caller* asks, if not for themselves.

    Raises:
        CreatorMismatch: only a service may ask for somebody else.
    """
    if created_by in {None, caller.subject}:
        return None
    if SERVICE not in caller.roles:
        raise model.CreatorMismatch("Leave created_by out: your token says who asks.")
    return created_by


def _check_key(key: str | None) -> None:
    if key is not None and not 1 <= len(key) <= 255:  # noqa: PLR2004 - as the database has it.
        raise model.PayloadRefused("Idempotency-Key has 1 to 255 characters.", field="key")


def _file(given: str | EvidenceFile | None) -> risk_evidence.Evidence | None:
    """
    Raises:
        EvidenceRefused: the content is not base64.
    """
    if given is None or isinstance(given, str):
        return None
    try:
        content = base64.b64decode(given.content, validate=True)
    except binascii.Error:
        raise model.EvidenceRefused("content is base64.", field="content") from None
    return risk_evidence.Evidence(
        file_name=given.file_name,
        file_type=given.file_type,
        content=content,
        description=given.description,
    )


def desk_of(request: Request) -> Desk:
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


def _json(view: msgspec.Struct, status: HTTPStatus) -> Response:
    return Response(risk_views.encode(view), status_code=status, media_type="application/json")
