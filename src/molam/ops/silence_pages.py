"""Silences and maintenance: who is kept quiet, until when, and why."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.alerts import permissions as alerts
from molam.alerts.episodes import queries, sentences, silencing
from molam.alerts.episodes.model import (
    REASON_LENGTH_MAX,
    REASON_LENGTH_MIN,
    AlertRow,
    Matcher,
    SilenceAbsent,
    SilenceKind,
    SilenceMalformed,
    SilenceOver,
    SilenceRow,
)
from molam.alerts.rules.model import AlertType, Severity, TenantType
from molam.ops import permissions
from molam.ops.propose_pages import actor_of
from molam.ops.shell import Said, framed, may, said
from molam.platform.auth.step_up import StepUpRequired, require_step_up, step_up_address
from molam.platform.db import Database
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

_HERE = "/alerts/silences"
_LASTS = {"1h": 1, "4h": 4, "1d": 24, "3d": 72, "7d": 168}


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the form says."""

    alert_type: AlertType | None = None
    tenant_type: TenantType | None = None
    tenant_id: Annotated[str, Meta(max_length=255)] | None = None
    severity: Severity | None = None
    kind: SilenceKind = "silence"
    lasts: Literal["1h", "4h", "1d", "3d", "7d"] = "1h"
    reason: Annotated[str, Meta(max_length=REASON_LENGTH_MAX)] = ""

    @property
    def matcher(self) -> Matcher:
        return Matcher(
            alert_type=self.alert_type,
            tenant_type=self.tenant_type,
            tenant_id=self.tenant_id,
            severity=self.severity,
        )


class Asked(Written, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """*sure* is pressed after the effect was shown."""

    sure: Literal["yes"] | None = None


class SilencesQuery(Written, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whoever comes back from proving who they are finds the form as they left it."""

    said: Annotated[str, Meta(max_length=32)] | None = None


class Ended(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alert: Literal["yes"] | None = None
    """Come back to the alert whose own it is, not to the list."""


@routes.get(_HERE, needs=permissions.USE_CONSOLE, page=True, query=SilencesQuery)
async def show(request: Request, caller: Caller, query: SilencesQuery) -> Response:
    """Show who is quiet, and the form."""
    quiets = None
    if query.matcher.named() and may(caller, alerts.SILENCE):
        quiets = await silencing.would_quiet(request.app.state.db, query.matcher)
    return await _page(request, caller, message=said(query.said), asked=query, quiets=quiets)


@routes.post(_HERE, needs=alerts.SILENCE, page=True, form=True, body=Asked)
async def begin(request: Request, caller: Caller, form: Asked) -> Response:
    """Say first whom it would quiet; then, asked again, do it."""
    state = request.app.state
    now = state.clock.now()
    try:
        quiets = await silencing.would_quiet(state.db, form.matcher)
    except SilenceMalformed:
        return await _page(request, caller, asked=form, wrong="nothing-named")
    if len(form.reason.strip()) < REASON_LENGTH_MIN:
        return await _page(request, caller, asked=form, wrong="reason-short")
    if form.sure is None:
        return await _page(request, caller, asked=form, quiets=quiets)
    if form.matcher.covers_critical:
        try:
            require_step_up(caller, now=now)
        except StepUpRequired:
            return await _page(request, caller, asked=form, quiets=quiets)
    asked = silencing.NewSilence(
        matcher=form.matcher,
        reason=form.reason,
        ends_at=now + timedelta(hours=_LASTS[form.lasts]) - timedelta(seconds=5),
        kind=form.kind,
    )
    await silencing.begin(state.db, asked, by=actor_of(caller))
    return _back("silenced")


@routes.post(
    _HERE + "/{id:uuid}/end",
    needs=alerts.SILENCE,
    page=True,
    form=True,
    body=Ended,
    refuses=(SilenceAbsent,),
)
async def end(request: Request, caller: Caller, form: Ended) -> Response:
    """Let those speak again who were quiet."""
    id_: UUID = request.path_params["id"]
    here = _HERE if form.alert is None else f"/alerts/{id_}"
    try:
        await silencing.end(request.app.state.db, id_, by=actor_of(caller))
    except SilenceOver:
        return _back("silence-over", here)
    return _back("silence-ended", here)


def _left(asked: Written) -> dict[str, str]:
    """Write the form into an address."""
    found = {name: getattr(asked, name) for name in Written.__struct_fields__}
    return {name: value for name, value in found.items() if value}


def _back(code: str, here: str = _HERE) -> Response:
    return RedirectResponse(f"{here}?said={code}", status_code=HTTPStatus.SEE_OTHER)


async def _own(db: Database, rows: list[SilenceRow], language: Language) -> dict[str, str]:
    """Name the alerts that are silenced by themselves."""
    ids = [row.id for row in rows if "alert_id" in row.matcher]
    return {
        str(each.id): sentences.subject(each.alert_type, each.facts, language)
        for each in await queries.by_ids(db, ids)
    }


async def _page(
    request: Request,
    caller: Caller,
    *,
    asked: Written,
    message: Said | None = None,
    quiets: list[AlertRow] | None = None,
    wrong: str | None = None,
) -> Response:
    db, language = request.app.state.db, language_of(request, caller)
    rows = await queries.silences(db, with_over=True)
    here = f"{_HERE}?{urlencode(_left(asked) | {'said': 'confirm-again'})}"
    response = await framed(
        request,
        caller,
        "silences.html",
        place="alerts",
        open_rows=[row for row in rows if row.is_open],
        past=[row for row in rows if not row.is_open],
        own=await _own(db, rows, language),
        inhibitions=await queries.inhibitions(db),
        names=await queries.names(db, [row.created_by for row in rows]),
        asked=asked,
        quiets=quiets,
        subjects=[
            sentences.subject(row.alert_type, row.facts, language) for row in (quiets or [])[:10]
        ],
        sign_in=step_up_address(request, caller, here) if asked.matcher.covers_critical else None,
        wrong=wrong,
        types=[code for code, each in sentences.TYPES if each == "en"],
        can_silence=may(caller, alerts.SILENCE),
        can_change=may(caller, alerts.CHANGE_POLICIES),
        said=message,
    )
    if wrong is not None:
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response
