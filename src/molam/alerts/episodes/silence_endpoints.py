"""Silences and maintenance, under /api/alerts."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec
from starlette.requests import Request

from molam.alerts.episodes import queries, silencing, views
from molam.alerts.episodes.endpoints import Reason
from molam.alerts.episodes.model import (
    Matcher,
    SilenceAbsent,
    SilenceKind,
    SilenceMalformed,
    SilenceOver,
)
from molam.alerts.permissions import SILENCE, VIEW
from molam.approvals.requests import actor_of
from molam.approvals.wire import uuid_of
from molam.kernel import canonical
from molam.kernel.currency import UnknownCurrency
from molam.platform.auth.step_up import StepUpRequired, require_step_up
from molam.platform.web import Caller, Routes
from molam.platform.web.wire import Moment

routes = Routes()


class SilencesAsked(msgspec.Struct, forbid_unknown_fields=True):
    kind: SilenceKind | None = None
    over: Literal["yes", "no"] = "no"


class SilenceBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Keeps quiet every alert that agrees with all that `matcher` names, for 7 days at most."""

    matcher: Matcher
    reason: Reason
    ends_at: Moment
    starts_at: Moment | None = None
    kind: SilenceKind = "silence"


class MatcherBody(msgspec.Struct, forbid_unknown_fields=True):
    matcher: Matcher


class SilenceList(msgspec.Struct, frozen=True):
    silences: list[views.SilenceView]
    success: bool = True


class SilenceAnswer(msgspec.Struct, frozen=True):
    silence: views.SilenceView
    success: bool = True


class SilencePreview(msgspec.Struct, frozen=True):
    quiets: int
    alert_ids: list[str]
    success: bool = True


@routes.get("/api/alerts/silences", needs=VIEW, query=SilencesAsked, answers=SilenceList)
async def list_silences(request: Request, _caller: Caller, query: SilencesAsked) -> SilenceList:
    """List silences and maintenance windows that are not over, or all with `over=yes`."""
    rows = await queries.silences(request.app.state.db, with_over=query.over == "yes")
    return SilenceList([views.silence(row) for row in rows if query.kind in {None, row.kind}])


@routes.post(
    "/api/alerts/silences",
    needs=SILENCE,
    body=SilenceBody,
    answers=SilenceAnswer,
    status=201,
    refuses=(canonical.JsonMalformed, SilenceMalformed, StepUpRequired, UnknownCurrency),
)
async def begin_silence(request: Request, caller: Caller, body: SilenceBody) -> SilenceAnswer:
    """
    Keep quiet what fits. That alerts are over is still told.

    One that may cover critical alerts takes a fresh proof of who you are.
    """
    if body.matcher.covers_critical:
        require_step_up(caller, now=request.app.state.watch.clock.now())
    asked = silencing.NewSilence(
        matcher=body.matcher,
        reason=body.reason,
        ends_at=body.ends_at,
        starts_at=body.starts_at,
        kind=body.kind,
    )
    row = await silencing.begin(request.app.state.db, asked, by=actor_of(caller))
    return SilenceAnswer(views.silence(row))


@routes.post(
    "/api/alerts/silences/preview",
    needs=SILENCE,
    body=MatcherBody,
    answers=SilencePreview,
    refuses=(canonical.JsonMalformed, SilenceMalformed, UnknownCurrency),
)
async def preview_silence(request: Request, _caller: Caller, body: MatcherBody) -> SilencePreview:
    """Say which open alerts a silence would keep quiet; nothing changes."""
    rows = await silencing.would_quiet(request.app.state.db, body.matcher)
    return SilencePreview(len(rows), [str(row.id) for row in rows[:100]])


@routes.delete(
    "/api/alerts/silences/{silence_id}",
    needs=SILENCE,
    answers=SilenceAnswer,
    refuses=(SilenceAbsent, SilenceOver),
)
async def end_silence(request: Request, caller: Caller) -> SilenceAnswer:
    """End a silence before its time: what fits it is told at once if it was not."""
    row = await silencing.end(request.app.state.db, silence_id_of(request), by=actor_of(caller))
    return SilenceAnswer(views.silence(row))


def silence_id_of(request: Request) -> UUID:
    """
    Raises:
        SilenceAbsent: the path names none.
    """
    found = uuid_of(request.path_params["silence_id"])
    if found is None:
        raise SilenceAbsent("Check the silence's id.")
    return found
