"""Freezing executions, under /api/ops/freezes."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import freezes, permissions, views
from molam.approvals.endpoints import answered, etag
from molam.approvals.freeze_store import FreezeRow
from molam.approvals.freezes import (
    REASON_LENGTH_MAX,
    TYPES_MAX,
    FreezeAbsent,
    FreezeOver,
    NewFreeze,
)
from molam.approvals.intents import PlanRefused
from molam.approvals.model import FieldsRefused, TwinOpen, Unsatisfiable
from molam.approvals.requests import actor_of, runtime_of
from molam.approvals.wire import Answer, uuid_of
from molam.platform.actions import UnknownActionType
from molam.platform.web import Caller, Routes
from molam.platform.web.rate_limits import OPS_CREATE, OPS_READ, RateLimited, take
from molam.platform.web.wire import Identifier, Moment

routes = Routes()

Reason = Annotated[str, Meta(min_length=1, max_length=REASON_LENGTH_MAX)]


class FreezeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
    action_types: Annotated[list[Identifier], Meta(max_length=TYPES_MAX)] = []
    """Empty stops everything."""
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    """None: until it is lifted."""


class LiftBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    reason: Reason | None = None


@routes.get("/api/ops/freezes", needs=permissions.READ, answers=Answer, refuses=(RateLimited,))
async def list_freezes(request: Request, caller: Caller) -> Response:
    """List freezes: those that are not over first."""
    headers = await take(request.app.state.db, OPS_READ, caller)
    rows = await freezes.listed(request.app.state.db)
    return answered({"freezes": [freeze_json(row) for row in rows], "count": len(rows)}, headers)


@routes.post(
    "/api/ops/freezes",
    needs=permissions.FREEZE,
    body=FreezeBody,
    answers=Answer,
    status=201,
    also=(200,),
    refuses=(FieldsRefused, UnknownActionType, RateLimited),
)
async def begin_freeze(request: Request, caller: Caller, body: FreezeBody) -> Response:
    """Stop executions at once. 200 when the same freeze is in force already."""
    headers = await take(request.app.state.db, OPS_CREATE, caller)
    wanted = NewFreeze(**msgspec.structs.asdict(body))
    begun = await freezes.begin(runtime_of(request), wanted, actor_of(caller))
    return answered(
        {"freeze": freeze_json(begun.row)}, headers, status=201 if begun.is_new else 200
    )


@routes.post(
    "/api/ops/freezes/{freeze_id}/end",
    needs=permissions.LIFT_FREEZE,
    body=LiftBody,
    answers=Answer,
    status=202,
    refuses=(FreezeAbsent, FreezeOver, PlanRefused, TwinOpen, Unsatisfiable, RateLimited),
)
async def end_freeze(request: Request, caller: Caller, body: LiftBody) -> Response:
    """Ask for a freeze to be lifted before its time: an action, which others decide."""
    headers = await take(request.app.state.db, OPS_CREATE, caller)
    freeze_id = uuid_of(request.path_params["freeze_id"])
    if freeze_id is None:
        raise FreezeAbsent("Check the freeze's id.")
    created = await freezes.ask_to_lift(
        runtime_of(request), freeze_id, actor_of(caller), reason=body.reason
    )
    headers["ETag"] = etag(created.row.version)
    return answered({"action": views.action_json(created.row)}, headers, status=202)


def freeze_json(row: FreezeRow) -> dict[str, Any]:
    return views.plain(row)
