"""The kill switch: stopping executions, and asking for them to go on."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.approvals import freeze_store, freezes
from molam.approvals import permissions as engine
from molam.approvals.freezes import REASON_LENGTH_MAX, FreezeAbsent, FreezeOver, NewFreeze
from molam.approvals.model import LIFT_FREEZE, TwinOpen
from molam.kernel.refusals import Kind, Refusal
from molam.ops import permissions, propose_pages
from molam.ops.propose_pages import Refused, actor_of
from molam.ops.shell import Said, framed, may, said
from molam.platform.actions import UnknownActionType
from molam.platform.web import Caller, Routes
from molam.platform.web.templating import language_of
from molam.tenancy import queries as tenancy

routes = Routes()

_LASTS = {"1h": 1, "4h": 4, "24h": 24, "7d": 168}
_SHOWN_ON_PAGE = frozenset({Kind.BROKEN_RULE, Kind.CONFLICT, Kind.MALFORMED})


class FreezesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=REASON_LENGTH_MAX)] = ""
    action_type: Annotated[str, Meta(max_length=255)] | None = None
    lasts: Literal["1h", "4h", "24h", "7d", "lifted"] = "lifted"


class Lifted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=REASON_LENGTH_MAX)] = ""


@routes.get("/ops/freezes", needs=permissions.USE_CONSOLE, page=True, query=FreezesQuery)
async def show(request: Request, caller: Caller, query: FreezesQuery) -> Response:
    """Show what is frozen, what was, and the switch."""
    return await _page(request, caller, message=said(query.said))


@routes.post(
    "/ops/freezes",
    needs=engine.FREEZE,
    page=True,
    form=True,
    body=Frozen,
    refuses=(UnknownActionType,),
)
async def freeze(request: Request, caller: Caller, form: Frozen) -> Response:
    """Stop executions at once."""
    hours = _LASTS.get(form.lasts)
    now = request.app.state.clock.now()
    wanted = NewFreeze(
        reason=form.reason,
        action_types=[] if form.action_type is None else [form.action_type],
        ends_at=None if hours is None else now + timedelta(hours=hours),
    )
    try:
        await freezes.begin(request.app.state.runtime, wanted, actor_of(caller))
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    return RedirectResponse("/ops/freezes?said=frozen", status_code=HTTPStatus.SEE_OTHER)


@routes.post(
    "/ops/freezes/{id:uuid}/end",
    needs=engine.LIFT_FREEZE,
    page=True,
    form=True,
    body=Lifted,
    refuses=(FreezeAbsent, FreezeOver),
)
async def lift(request: Request, caller: Caller, form: Lifted) -> Response:
    """Ask for a freeze to be lifted; others decide."""
    freeze_id: UUID = request.path_params["id"]
    try:
        created = await freezes.ask_to_lift(
            request.app.state.runtime,
            freeze_id,
            actor_of(caller),
            reason=form.reason.strip() or None,
        )
    except TwinOpen as refusal:
        return _to_action(str(refusal.facts.get("action_id", "")), "replayed")
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    return _to_action(str(created.row.id), "created")


def _to_action(action_id: str, code: str) -> Response:
    return RedirectResponse(
        f"/ops/actions/{action_id}?said={code}", status_code=HTTPStatus.SEE_OTHER
    )


async def _refused(request: Request, caller: Caller, refusal: Refusal) -> Response:
    if refusal.kind not in _SHOWN_ON_PAGE:
        raise refusal
    shown = propose_pages.refused(refusal, language_of(request, caller))
    response = await _page(request, caller, refused=shown)
    response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response


async def _page(
    request: Request,
    caller: Caller,
    *,
    message: Said | None = None,
    refused: Refused | None = None,
) -> Response:
    db = request.app.state.db
    rows = await freezes.listed(db)
    asked = await db.read(freeze_store.LIST_LIFTINGS)
    async with db.transaction("ops.freezes", readonly=True) as tx:
        people = await tenancy.people_of(tx, [row.created_by for row in rows])
    return await framed(
        request,
        caller,
        "freezes.html",
        place="freezes",
        open_rows=[row for row in rows if row.is_open],
        past=[row for row in rows if not row.is_open],
        names={id_: person.name for id_, person in people.items()},
        lifting={each.target: each.id for each in asked},
        freezes=may(caller, engine.FREEZE),
        lifts=may(caller, engine.LIFT_FREEZE),
        types=sorted(
            each.name for each in request.app.state.runtime.registry if each.name != LIFT_FREEZE
        ),
        said=message,
        refused=refused,
    )
