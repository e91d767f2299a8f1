"""Delegating a role for a while, under /api/ops/delegations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import delegations, permissions
from molam.approvals.delegation_store import DelegationRow
from molam.approvals.delegations import (
    REASON_LENGTH_MAX,
    SEES_ALL,
    TYPES_MAX,
    DelegationAbsent,
    DelegationRefused,
    NewDelegation,
)
from molam.approvals.endpoints import answered
from molam.approvals.model import FieldsRefused
from molam.approvals.requests import actor_of, runtime_of
from molam.approvals.views import plain
from molam.approvals.wire import Answer, uuid_of
from molam.platform.actions import UnknownActionType
from molam.platform.web import Caller, Routes
from molam.platform.web.caller import Forbidden
from molam.platform.web.rate_limits import OPS_READ, OPS_VOTE, RateLimited, take
from molam.platform.web.wire import Identifier, Moment

routes = Routes()

Reason = Annotated[str, Meta(min_length=1, max_length=REASON_LENGTH_MAX)]


class DelegationBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    delegate_id: Identifier
    role: Identifier
    ends_at: Moment
    reason: Reason
    starts_at: Moment | None = None
    """None is now."""
    action_types: Annotated[list[Identifier], Meta(max_length=TYPES_MAX)] = []
    """What it is limited to; empty means everything the role decides."""


class DelegationsQuery(msgspec.Struct, forbid_unknown_fields=True):
    show: Literal["mine", "all"] = "mine"


@routes.get(
    "/api/ops/delegations",
    needs=permissions.DELEGATE,
    query=DelegationsQuery,
    answers=Answer,
    refuses=(RateLimited,),
)
async def list_delegations(request: Request, caller: Caller, query: DelegationsQuery) -> Response:
    """List what the caller gave and was given; those who supervise may see everybody's."""
    headers = await take(request.app.state.db, OPS_READ, caller)
    if query.show == "all" and not caller.roles & SEES_ALL:
        roles = ", ".join(sorted(SEES_ALL))
        raise Forbidden(f"This takes one of these roles: {roles}.", required_roles=roles)
    person = caller.subject if query.show == "mine" else None
    rows = await delegations.listed(request.app.state.db, person)
    document = {"delegations": [delegation_json(row) for row in rows], "count": len(rows)}
    return answered(document, headers)


@routes.post(
    "/api/ops/delegations",
    needs=permissions.DELEGATE,
    body=DelegationBody,
    answers=Answer,
    status=201,
    refuses=(DelegationRefused, UnknownActionType, FieldsRefused, RateLimited),
)
async def delegate(request: Request, caller: Caller, body: DelegationBody) -> Response:
    """Lend one of the caller's roles to a colleague, for 30 days at most."""
    headers = await take(request.app.state.db, OPS_VOTE, caller)
    runtime = runtime_of(request)
    wanted = NewDelegation(**msgspec.structs.asdict(body))
    row = await delegations.delegate(runtime.db, runtime.registry, wanted, actor_of(caller))
    return answered({"delegation": delegation_json(row)}, headers, status=201)


@routes.post(
    "/api/ops/delegations/{delegation_id}/revoke",
    needs=permissions.DELEGATE,
    answers=Answer,
    refuses=(DelegationAbsent, RateLimited),
)
async def revoke(request: Request, caller: Caller) -> Response:
    """End a delegation at once; votes given by it stop counting."""
    headers = await take(request.app.state.db, OPS_VOTE, caller)
    id_ = uuid_of(request.path_params["delegation_id"])
    if id_ is None:
        raise DelegationAbsent("Check the delegation's id.")
    row = await delegations.revoke(request.app.state.db, id_, actor_of(caller))
    return answered({"delegation": delegation_json(row)}, headers)


def delegation_json(row: DelegationRow) -> dict[str, Any]:
    return plain(row)
