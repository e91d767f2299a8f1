"""Lending one's role to a colleague, and taking it back."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from http import HTTPStatus
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.approvals import delegations
from molam.approvals import permissions as engine
from molam.approvals.delegations import (
    LASTS_MAX,
    OPEN_MAX,
    REASON_LENGTH_MAX,
    DelegationAbsent,
    DelegationRefused,
    NewDelegation,
)
from molam.kernel.clock import Instant
from molam.ops import permissions
from molam.ops.propose_pages import actor_of
from molam.ops.shell import Said, framed, may, said, zone_of
from molam.platform.actions import UnknownActionType
from molam.platform.web import Caller, Routes

routes = Routes()

Short = Annotated[str, Meta(max_length=255)]


class DelegationsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The form. Days are whole, in the reader's time zone; the last one is included."""

    role: Short
    delegate_id: Short
    last_day: date
    reason: Annotated[str, Meta(max_length=REASON_LENGTH_MAX)] = ""
    first_day: date | None = None
    action_type: Short | None = None


@routes.get("/ops/delegations", needs=permissions.USE_CONSOLE, page=True, query=DelegationsQuery)
async def show(request: Request, caller: Caller, query: DelegationsQuery) -> Response:
    """Show what the caller lent and was lent, and the form to lend a role."""
    return await _page(request, caller, message=said(query.said))


@routes.post(
    "/ops/delegations",
    needs=engine.DELEGATE,
    page=True,
    form=True,
    body=Given,
    refuses=(DelegationRefused, UnknownActionType),
)
async def lend(request: Request, caller: Caller, form: Given) -> Response:
    """Lend a role for some days."""
    runtime, zone = request.app.state.runtime, ZoneInfo(zone_of(request))
    today = request.app.state.clock.now().astimezone(zone).date()
    begins = form.first_day is not None and form.first_day != today
    wanted = NewDelegation(
        delegate_id=form.delegate_id,
        role=form.role,
        starts_at=_midnight(form.first_day, zone) if begins and form.first_day else None,
        ends_at=_midnight(form.last_day + timedelta(days=1), zone),
        reason=form.reason or "-",
        action_types=[] if form.action_type is None else [form.action_type],
    )
    try:
        await delegations.delegate(runtime.db, runtime.registry, wanted, actor_of(caller))
    except (DelegationRefused, UnknownActionType) as refusal:
        why = str(refusal.facts.get("why", refusal.code))
        response = await _page(request, caller, form=form, why=why)
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
        return response
    return _back("delegated")


@routes.post(
    "/ops/delegations/{id:uuid}/revoke",
    needs=engine.DELEGATE,
    page=True,
    form=True,
    refuses=(DelegationAbsent,),
)
async def revoke(request: Request, caller: Caller) -> Response:
    """End a delegation now."""
    await delegations.revoke(request.app.state.db, request.path_params["id"], actor_of(caller))
    return _back("delegation-ended")


def _back(code: str) -> Response:
    return RedirectResponse(f"/ops/delegations?said={code}", status_code=HTTPStatus.SEE_OTHER)


def _midnight(day: date, zone: ZoneInfo) -> Instant:
    return datetime.combine(day, time(), tzinfo=zone)


async def _page(
    request: Request,
    caller: Caller,
    *,
    message: Said | None = None,
    form: Given | None = None,
    why: str | None = None,
) -> Response:
    db = request.app.state.db
    lends = may(caller, engine.DELEGATE)
    sees_all = bool(caller.roles & delegations.SEES_ALL)
    today = request.app.state.clock.now().astimezone(ZoneInfo(zone_of(request))).date()
    types = sorted(each.name for each in request.app.state.runtime.registry)
    return await framed(
        request,
        caller,
        "delegations.html",
        place="delegations",
        lends=lends,
        own=await delegations.listed(db, caller.subject),
        others=[
            row
            for row in (await delegations.listed(db, None) if sees_all else [])
            if caller.subject not in {row.delegator_id, row.delegate_id} and row.is_open
        ],
        ends_any="ops_admin" in caller.roles,
        roles_held=await delegations.roles_to_lend(db, caller.subject),
        colleagues=await delegations.colleagues(db, caller.subject),
        types=types,
        first_day=today.isoformat(),
        last_day=(today + LASTS_MAX - timedelta(days=1)).isoformat(),
        days_max=LASTS_MAX.days,
        open_max=OPEN_MAX,
        said=message,
        form=form,
        why=why,
    )
