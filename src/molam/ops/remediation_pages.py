"""Asking for what would help an alert, and the policies that say what is asked for by itself."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, Literal
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

_Typed = Annotated[str, Meta(max_length=40)]
_Json = Annotated[str, Meta(max_length=4000)]
_WHOLE: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "cooldown_seconds": (0, 604_800),
        "targets_per_hour": (1, 10_000),
        "verify_hold_s": (0, 86_400),
        "verify_within_s": (10, 86_400),
    }
)
"""From where to where; as `PolicyChange` has it."""


class PoliciesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class PolicyForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the form of a policy sends; what is left empty stays as it is."""

    enabled: Literal["yes"] | None = None
    auto_threshold: _Typed = ""
    cooldown_seconds: _Typed = ""
    targets_per_hour: _Typed = ""
    verify_hold_s: _Typed = ""
    verify_within_s: _Typed = ""
    auto_action: _Json = ""
    bounds: _Json = ""


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
    alert_type = request.path_params["alert_type"]
    try:
        asked = _asked(form)
        done = await policies.change(
            state.db, state.watch, alert_type, asked, actor=actor_of(caller)
        )
    except (_Mistyped, PolicyRefused) as refusal:
        response = await _page(request, caller, refused=refusal, typed={alert_type: form})
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
        return response
    except TwinOpen as twin:
        return _to(f"/ops/actions/{twin.facts.get('action_id', '')}?said=policy-waits")
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


class _Mistyped(ValueError):
    """*fields* say nothing that could be meant there: `number`, `range` or `json`."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__()
        self.fields = fields


def _asked(form: PolicyForm) -> PolicyChange:
    """
    Raises:
        _Mistyped
    """
    asked: dict[str, object] = {"enabled": form.enabled is not None}
    wrong: dict[str, str] = {}
    for name in ("auto_threshold", *_WHOLE, "auto_action", "bounds"):
        if not (written := getattr(form, name).strip()):
            continue
        try:
            asked[name] = _read(name, written)
        except ValueError as error:
            wrong[name] = str(error)
    if wrong:
        raise _Mistyped(wrong)
    return msgspec.convert(asked, PolicyChange)


def _read(name: str, written: str) -> object:
    """
    Raises:
        ValueError: names what is wrong.
    """
    if name in {"auto_action", "bounds"}:
        try:
            return msgspec.json.decode(written, type=dict[str, Any])
        except msgspec.DecodeError:
            raise ValueError("json") from None
    low, high = _WHOLE.get(name, (0, 100))
    try:
        typed = Decimal("".join(written.removesuffix("%").split()).replace(",", "."))
    except InvalidOperation:
        raise ValueError("number") from None
    if not typed.is_finite() or (name in _WHOLE and typed % 1):
        raise ValueError("number")
    if not low <= typed <= high:
        raise ValueError("range")
    return int(typed) if name in _WHOLE else float(typed / 100)


def _to(address: str) -> Response:
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)


async def _page(
    request: Request,
    caller: Caller,
    *,
    message: str | None = None,
    refused: _Mistyped | PolicyRefused | None = None,
    typed: Mapping[str, PolicyForm] = MappingProxyType({}),
) -> Response:
    db = request.app.state.db
    shown = None
    wrong = refused.fields if isinstance(refused, _Mistyped) else {}
    if isinstance(refused, PolicyRefused):
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
        bound=refused.facts.get("bound") if isinstance(refused, PolicyRefused) else None,
        typed=typed,
        wrong=wrong,
        limits=_WHOLE,
    )
