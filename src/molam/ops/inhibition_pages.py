"""Changing which alerts quiet others: less at once, more once others agree."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.alerts import permissions as alerts
from molam.alerts.episodes import inhibiting, queries, sentences
from molam.alerts.episodes.inhibiting import InhibitionChange, Label, Weighed
from molam.alerts.episodes.model import (
    InhibitionAbsent,
    InhibitionMalformed,
    InhibitionRow,
    Matcher,
)
from molam.alerts.rules.model import AlertType, Severity, TenantType
from molam.approvals.model import TwinOpen
from molam.kernel.refusals import Refusal
from molam.ops.propose_pages import actor_of, refused
from molam.ops.shell import framed
from molam.platform.web import Caller, Routes
from molam.platform.web.templating import language_of

routes = Routes()

_HERE = "/alerts/inhibitions"
_LIST = "/alerts/silences"
Id = Annotated[str, Meta(max_length=64)]
_TENANT: tuple[Label, ...] = ("tenant_type", "tenant_id")
_TYPE: tuple[Label, ...] = ("alert_type",)


class InhibitionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Id = ""


class Edited(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the form says; *id* is empty for a new one. *sure* follows a look."""

    id: Id = ""
    source_type: AlertType | None = None
    source_severity: Severity | None = None
    source_tenant: TenantType | None = None
    target_type: AlertType | None = None
    target_severity: Severity | None = None
    target_tenant: TenantType | None = None
    same_tenant: Literal["yes"] | None = None
    same_type: Literal["yes"] | None = None
    enabled: Literal["yes"] | None = None
    sure: Literal["yes"] | None = None


class Removed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Id


@routes.get(
    _HERE,
    needs=alerts.CHANGE_POLICIES,
    page=True,
    query=InhibitionQuery,
    refuses=(InhibitionAbsent,),
)
async def edit(request: Request, caller: Caller, query: InhibitionQuery) -> Response:
    """Show the form for one, or for a new one."""
    row = await _row(request, query.id)
    form = Edited(same_tenant="yes", enabled="yes") if row is None else _form_of(row)
    return await _page(request, caller, form)


@routes.post(
    _HERE,
    needs=alerts.CHANGE_POLICIES,
    page=True,
    form=True,
    body=Edited,
    refuses=(InhibitionAbsent,),
)
async def change(request: Request, caller: Caller, form: Edited) -> Response:
    """Say first what it would do; then, asked again, do it or ask others for it."""
    state = request.app.state
    row = await _row(request, form.id)
    asked = _asked(form, row)
    id_ = form.id or await _new_id(request, asked)
    try:
        if form.sure is None:
            async with state.db.transaction("ops.weigh_inhibition", readonly=True) as tx:
                effect = await inhibiting.weigh(tx, id_, asked)
            return await _page(request, caller, form, effect=effect)
        done = await inhibiting.change(state.db, state.watch, id_, asked, actor=actor_of(caller))
    except InhibitionMalformed as refusal:
        is_unnamed = not asked.source.named() or not asked.target.named()
        return await _page(request, caller, form, wrong=refusal, is_unnamed=is_unnamed)
    except TwinOpen as twin:
        return _to(f"/ops/actions/{twin.facts.get('action_id', '')}?said=replayed")
    if done.action is not None:
        return _to(f"/ops/actions/{done.action.id}?said=quiet-proposed")
    return _to(f"{_LIST}?said=saved")


@routes.post(_HERE + "/remove", needs=alerts.CHANGE_POLICIES, page=True, form=True, body=Removed)
async def remove(request: Request, caller: Caller, form: Removed) -> Response:
    """Let those speak whom it kept quiet."""
    try:
        await inhibiting.remove(request.app.state.db, form.id, actor=actor_of(caller))
    except InhibitionAbsent:
        return _to(_LIST)
    return _to(f"{_LIST}?said=saved")


async def _page(
    request: Request,
    caller: Caller,
    form: Edited,
    *,
    effect: Weighed | None = None,
    wrong: Refusal | None = None,
    is_unnamed: bool = False,
) -> Response:
    language = language_of(request, caller)
    response = await framed(
        request,
        caller,
        "inhibition.html",
        place="alerts",
        form=form,
        effect=effect,
        subjects=[]
        if effect is None
        else [sentences.subject(each.alert_type, each.facts, language) for each in effect.quiets],
        wrong=None if wrong is None else refused(wrong, language),
        is_unnamed=is_unnamed,
        types=[code for code, each in sentences.TYPES if each == "en"],
    )
    if wrong is not None:
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response


async def _row(request: Request, id_: str) -> InhibitionRow | None:
    """
    Raises:
        InhibitionAbsent: there is none of this id; an empty one is to be.
    """
    if not id_:
        return None
    for row in await queries.inhibitions(request.app.state.db):
        if row.id == id_:
            return row
    raise InhibitionAbsent("Choose one from the list.")


def _form_of(row: InhibitionRow) -> Edited:
    sides = {
        f"{side}_{field}": matcher.get(name)
        for side, matcher in (("source", row.source), ("target", row.target))
        for field, name in _FIELDS.items()
    }
    return msgspec.convert(
        {
            **sides,
            "id": row.id,
            "same_tenant": "yes" if set(_TENANT) <= set(row.equal) else None,
            "same_type": "yes" if set(_TYPE) <= set(row.equal) else None,
            "enabled": "yes" if row.enabled else None,
        },
        Edited,
    )


_FIELDS = {"type": "alert_type", "severity": "severity", "tenant": "tenant_type"}


def _asked(form: Edited, row: InhibitionRow | None) -> InhibitionChange:
    """Take what the form says; what it does not show stays as it is."""
    equal: set[str] = set() if row is None else set(row.equal)
    for labels, chosen in ((_TENANT, form.same_tenant), (_TYPE, form.same_type)):
        equal = equal | set(labels) if chosen else equal - set(labels)
    return msgspec.convert(
        {
            "source": _side(form, "source", {} if row is None else row.source),
            "target": _side(form, "target", {} if row is None else row.target),
            "equal": sorted(equal),
            "enabled": form.enabled is not None,
        },
        InhibitionChange,
    )


def _side(form: Edited, side: str, kept: dict[str, str]) -> dict[str, str | None]:
    return {**kept, **{name: getattr(form, f"{side}_{field}") for field, name in _FIELDS.items()}}


async def _new_id(request: Request, asked: InhibitionChange) -> str:
    """Name a new one by what it says."""
    taken = {row.id for row in await queries.inhibitions(request.app.state.db)}
    said = f"{_slug(asked.source)}-quiets-{_slug(asked.target)}"
    names = (said if n == 1 else f"{said}-{n}" for n in range(1, inhibiting.INHIBITIONS_MAX + 2))
    return next(name for name in names if name not in taken)


def _slug(matcher: Matcher) -> str:
    text = "-".join(matcher.named().values()) or "nothing"
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:24].strip("-")


def _to(address: str) -> Response:
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)
