"""Asking for what would help an alert, and the policies that say what is asked for by itself."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.alerts import permissions as alerts
from molam.alerts.episodes.model import AlertAbsent
from molam.alerts.remediation import commands, policies, store
from molam.alerts.remediation.model import BreakerShut, PolicyRefused, PolicyUnknown
from molam.alerts.remediation.policies import PolicyChange
from molam.approvals.model import TwinOpen
from molam.kernel.refusals import Refusal
from molam.ops import propose_pages
from molam.ops.propose_pages import actor_of
from molam.ops.shell import framed, may, said
from molam.platform.web import Caller, Routes
from molam.platform.web.templating import language_of

routes = Routes()

_SECONDS = Annotated[str, Meta(max_length=6, pattern=r"^[0-9]{0,6}\Z")]
_JSON = Annotated[str, Meta(max_length=4000)]
_PER_CENT = Annotated[str, Meta(max_length=6, pattern=r"^[0-9]{0,3}([.,][0-9]{1,2})?\Z")]


class PoliciesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class PolicyForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the form of a policy sends; what is left empty stays as it is."""

    enabled: Literal["yes"] | None = None
    auto_threshold: _PER_CENT = ""
    cooldown_seconds: _SECONDS = ""
    targets_per_hour: _SECONDS = ""
    verify_hold_s: _SECONDS = ""
    verify_within_s: _SECONDS = ""
    auto_action: _JSON = ""
    bounds: _JSON = ""


class BreakerForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    action_type: Annotated[str, Meta(max_length=255)]
    target_type: Annotated[str, Meta(max_length=255)]
    target_id: Annotated[str, Meta(max_length=255)]


class NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A form that only says which alert."""


@routes.post(
    "/alerts/{id:uuid}/remediate",
    needs=alerts.REMEDIATE,
    page=True,
    form=True,
    body=NoFields,
    refuses=(AlertAbsent,),
)
async def remediate(request: Request, caller: Caller, form: NoFields) -> Response:
    """Ask for the action that the policy of the alert's type names."""
    del form
    state = request.app.state
    alert_id: UUID = request.path_params["id"]
    try:
        action = await commands.remediate_by_hand(state.db, state.watch, alert_id, actor_of(caller))
    except AlertAbsent:
        raise
    except TwinOpen as twin:
        return _to(f"/ops/actions/{twin.facts.get('action_id', '')}?said=replayed")
    except Refusal as refusal:
        code = refusal.code if refusal.code in {"no-remedy", "alert-over"} else "failed"
        return _to(f"/alerts/{alert_id}?said={code}")
    return _to(f"/ops/actions/{action.id}?said=created")


@routes.get("/alerts/policies", needs=alerts.VIEW_POLICIES, page=True, query=PoliciesQuery)
async def show(request: Request, caller: Caller, query: PoliciesQuery) -> Response:
    """Show what is asked for by itself about each type of alert."""
    return await _page(request, caller, message=query.said)


@routes.post(
    "/alerts/policies/{alert_type}",
    needs=alerts.CHANGE_POLICIES,
    page=True,
    form=True,
    body=PolicyForm,
    refuses=(PolicyUnknown,),
)
async def change(request: Request, caller: Caller, form: PolicyForm) -> Response:
    """Change a policy: less at once, more once others agree."""
    state = request.app.state
    try:
        done = await policies.change(
            state.db,
            state.watch,
            request.path_params["alert_type"],
            _asked(form),
            actor=actor_of(caller),
        )
    except PolicyRefused as refusal:
        response = await _page(request, caller, refused=refusal)
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
        return response
    except TwinOpen as twin:
        return _to(f"/ops/actions/{twin.facts.get('action_id', '')}?said=replayed")
    if done.action is not None:
        return _to(f"/ops/actions/{done.action.id}?said=policy-proposed")
    return _to("/alerts/policies?said=policy-saved")


@routes.post(
    "/alerts/policies/breakers/close",
    needs=alerts.CHANGE_POLICIES,
    page=True,
    form=True,
    body=BreakerForm,
)
async def close_breaker(request: Request, caller: Caller, form: BreakerForm) -> Response:
    """Let SIRA propose again for a target where two remedies were without effect."""
    try:
        await policies.close_breaker(
            request.app.state.db, **msgspec.structs.asdict(form), by=caller.subject
        )
    except BreakerShut:
        return _to("/alerts/policies")
    return _to("/alerts/policies?said=saved")


def _asked(form: PolicyForm) -> PolicyChange:
    asked: dict[str, object] = {"enabled": form.enabled is not None}
    if form.auto_threshold:
        asked["auto_threshold"] = float(form.auto_threshold.replace(",", ".")) / 100
    for name in ("cooldown_seconds", "targets_per_hour", "verify_hold_s", "verify_within_s"):
        if written := getattr(form, name):
            asked[name] = int(written)
    try:
        for name in ("auto_action", "bounds"):
            if written := getattr(form, name).strip():
                asked[name] = msgspec.json.decode(written)
        return msgspec.convert(asked, PolicyChange)
    except msgspec.DecodeError as error:
        raise PolicyRefused(f"{error}.") from None


def _to(address: str) -> Response:
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)


async def _page(
    request: Request,
    caller: Caller,
    *,
    message: str | None = None,
    refused: Refusal | None = None,
) -> Response:
    db = request.app.state.db
    shown = None
    if refused is not None:
        shown = propose_pages.refused(refused, language_of(request, caller))
    return await framed(
        request,
        caller,
        "remediation.html",
        place="alerts",
        policies=await policies.listed(db),
        breakers=await db.read(store.LIST_BREAKERS),
        may_change=may(caller, alerts.CHANGE_POLICIES),
        said=said(message),
        refused=shown,
        bound=None if refused is None else refused.facts.get("bound"),
    )
