"""One alert: what is the matter, what was measured, what happened, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.alerts import permissions as alerts
from molam.alerts.episodes import deciding, queries, sentences
from molam.alerts.episodes.list_store import PointRow
from molam.alerts.episodes.model import (
    NOTE_LENGTH_MAX,
    REASON_LENGTH_MAX,
    AlertAbsent,
    AlertOver,
    AlertRow,
    AlertTaken,
    SilenceMalformed,
)
from molam.alerts.episodes.queries import History
from molam.ops import permissions
from molam.ops.action_pages import id_of
from molam.ops.alert_charts import Chart, chart_of
from molam.ops.alert_pages import SPARK_AROUND_S, headline
from molam.ops.live import ALERTS
from molam.ops.shell import TEMPLATES, framed, may, said, zone_of
from molam.platform.auth.step_up import step_up_address
from molam.platform.web import Caller, Routes, fragments, sse
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

_STEP_S = 60
_LONG_STEP_S = 900
_FIGURES_MAX = 200
_DAY_S = 86_400
_MINUTES = {"15m": 15, "1h": 60, "4h": 240, "1d": 1440, "7d": 10_079}


class Silenced(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=REASON_LENGTH_MAX)] = ""
    lasts: Literal["15m", "1h", "4h", "1d", "7d"] = "1h"


class AlertQuery(Silenced, frozen=True, forbid_unknown_fields=True):
    """Whoever comes back from proving who they are finds what they had written."""

    said: Annotated[str, Meta(max_length=32)] | None = None
    live: Literal["0"] | None = None


class Noted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    note: Annotated[str, Meta(max_length=NOTE_LENGTH_MAX)] = ""
    board: Literal["yes"] | None = None
    """Come back to the board, not to the alert."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured in one step of the chart, in words."""

    at: datetime
    value: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Page:
    """What the page of one alert shows; *inhibitor* is the alert because of which it is quiet."""

    found: History
    headline: str
    title: str
    measured: dict[str, str]
    chart: Chart | None
    figures: list[Figure]
    names: dict[str, str]
    behind: str | None
    inhibitor: str | None

    @property
    def row(self) -> AlertRow:
        return self.found.alert

    @property
    def key(self) -> str:
        """Name what a decision rests on; that people were told changes nothing about it."""
        row = self.row
        quiet = f"{row.is_silenced}/{row.suppressed_until}"
        who = f"{row.acknowledged_by}/{row.remedied_by_action_id}"
        return f"{row.status}/{row.severity}/{quiet}/{who}"


@routes.get(
    "/alerts/{id:uuid}",
    needs=permissions.USE_CONSOLE,
    page=True,
    query=AlertQuery,
    refuses=(AlertAbsent,),
)
async def alert(request: Request, caller: Caller, query: AlertQuery) -> Response:
    """Show one alert."""
    return await _show(request, caller, query)


@routes.post(
    "/alerts/{id:uuid}/acknowledge",
    needs=alerts.ACKNOWLEDGE,
    page=True,
    form=True,
    body=Noted,
    refuses=(AlertAbsent,),
)
async def acknowledge(request: Request, caller: Caller, form: Noted) -> Response:
    """Take the alert on."""
    try:
        await deciding.acknowledge(
            request.app.state.db,
            id_of(request),
            by=caller.subject,
            note=form.note.strip() or None,
        )
    except (AlertOver, AlertTaken) as refusal:
        return _back(request, refusal.code, board=form.board is not None)
    return _back(request, "acknowledged", board=form.board is not None)


@routes.post(
    "/alerts/{id:uuid}/note",
    needs=alerts.ACKNOWLEDGE,
    page=True,
    form=True,
    body=Noted,
    refuses=(AlertAbsent,),
)
async def note(request: Request, caller: Caller, form: Noted) -> Response:
    """Write down what is known of it."""
    text = form.note.strip()
    if not text:
        return _back(request, "reason-missing")
    await deciding.annotate(request.app.state.db, id_of(request), by=caller.subject, note=text)
    return _back(request, "noted")


@routes.post(
    "/alerts/{id:uuid}/resolve",
    needs=alerts.RESOLVE,
    page=True,
    form=True,
    body=Noted,
    refuses=(AlertAbsent,),
)
async def resolve(request: Request, caller: Caller, form: Noted) -> Response:
    """End the alert, saying why."""
    text = form.note.strip()
    if not text:
        return _back(request, "reason-missing")
    try:
        await deciding.resolve(
            request.app.state.db,
            request.app.state.watch,
            id_of(request),
            by=caller.subject,
            note=text,
        )
    except AlertOver as refusal:
        return _back(request, refusal.code)
    return _back(request, "alert-resolved")


@routes.post(
    "/alerts/{id:uuid}/silence",
    needs=alerts.SILENCE,
    page=True,
    form=True,
    body=Silenced,
    refuses=(AlertAbsent,),
)
async def silence(request: Request, caller: Caller, form: Silenced) -> Response:
    """Keep the alert quiet for a while; a critical one asks once more who it is."""
    state = request.app.state
    row = await queries.get_alert(state.db, id_of(request))
    proof = _step_up(request, caller, form)
    if row.severity == "critical" and proof is not None:
        return RedirectResponse(proof, status_code=HTTPStatus.SEE_OTHER)
    until = state.clock.now() + timedelta(minutes=_MINUTES[form.lasts])
    try:
        await deciding.silence(state.db, row.id, by=caller.subject, until=until, reason=form.reason)
    except SilenceMalformed:
        return _back(request, "reason-missing")
    except AlertOver as refusal:
        return _back(request, refusal.code)
    return _back(request, "alert-silenced")


@routes.get(
    "/alerts/{id:uuid}/live",
    needs=permissions.USE_CONSOLE,
    page=True,
    refuses=(AlertAbsent,),
)
async def live(request: Request, caller: Caller) -> Response:
    """Stream the parts of one alert's page as they change; never its buttons."""
    state, id_ = request.app.state, id_of(request)
    await queries.get_alert(state.db, id_)
    language, zone = language_of(request, caller), zone_of(request)
    view = ("alert", str(id_), language, zone)

    async def read() -> tuple[dict[str, str], bytes]:
        page = await _read(state, id_, language=language, zone=zone)
        text = TEMPLATES.render(language, "_alert_live.html", page=page, zone=zone)
        return fragments.regions(text), sse.event(page.key, name="standing")

    return fragments.stream(request, topic=ALERTS, view=view, read=read)


async def _show(request: Request, caller: Caller, query: AlertQuery) -> Response:
    language, zone = language_of(request, caller), zone_of(request)
    page = await _read(request.app.state, id_of(request), language=language, zone=zone)
    return await framed(
        request,
        caller,
        "alert.html",
        place="alerts",
        live=query.live is None,
        said=said(query.said),
        asked=query,
        page=page,
        likeness=await queries.likest_day(request.app.state.db, page.row),
        can={
            "acknowledge": may(caller, alerts.ACKNOWLEDGE),
            "resolve": may(caller, alerts.RESOLVE),
            "silence": may(caller, alerts.SILENCE),
            "remediate": may(caller, alerts.REMEDIATE),
        },
        step_up=_step_up(request, caller, query),
    )


async def _read(state: State, id_: UUID, *, language: Language, zone: str) -> Page:
    db = state.db
    found = await queries.history(db, id_)
    row, now = found.alert, state.clock.now()
    lasted_s = ((row.resolved_at or now) - row.fired_at).total_seconds()
    points = await queries.points(
        db,
        [row],
        step_s=_STEP_S if lasted_s < _DAY_S else _LONG_STEP_S,
        around_s=SPARK_AROUND_S,
    )
    drawn = points.get(row.fingerprint, [])
    people = {move.by_whom for move in found.moves} | {row.acknowledged_by, row.resolved_by}
    inhibitor = None
    if row.inhibited_by is not None:
        other = await queries.get_alert(db, row.inhibited_by)
        inhibitor = sentences.subject(other.alert_type, other.facts, language)
    return Page(
        found=found,
        headline=headline(row, language, now=now, zone=zone),
        title=sentences.subject(row.alert_type, row.facts, language),
        measured=_measured(found, language),
        chart=chart_of(row, drawn),
        figures=_figures(row, drawn, language),
        names=await queries.names(db, [each for each in people if each]),
        behind=_behind(row, state),
        inhibitor=inhibitor,
    )


def _figures(row: AlertRow, drawn: Sequence[PointRow], language: Language) -> list[Figure]:
    """List the latest of what the chart shows, newest first."""

    def said_of(number: object) -> str:
        return sentences.value(number, row.facts, language)

    return [
        Figure(each.minute, said_of(each.value), said_of(each.low), said_of(each.high))
        for each in reversed(drawn[-_FIGURES_MAX:])
    ]


def _measured(found: History, language: Language) -> dict[str, str]:
    facts = found.alert.facts

    def said_of(number: object) -> str:
        return sentences.value(number, facts, language)

    return {
        "now": said_of(facts.get("value") if found.now is None else found.now.value),
        "at_opening": said_of(facts.get("value")),
        "fire": said_of(facts.get("fire_at")),
        "clear": said_of(facts.get("clear_at")),
        "critical": said_of(facts.get("critical_at")),
    }


def _behind(row: AlertRow, state: State) -> str | None:
    """Lead to the rows behind it."""
    match row.tenant_type:
        case "agent" | "merchant":
            return f"/ops/{row.tenant_type}s/{row.tenant_id}"
        case "bank":
            return f"{state.mesh_url}/banks/{row.tenant_id}"
        case _:
            return None


def _back(request: Request, code: str, *, board: bool = False) -> Response:
    address = "/alerts" if board else f"/alerts/{id_of(request)}"
    return RedirectResponse(f"{address}?said={code}", status_code=HTTPStatus.SEE_OTHER)


def _step_up(request: Request, caller: Caller, written: Silenced) -> str | None:
    asked = {"said": "confirm-again", "lasts": written.lasts, "reason": written.reason}
    return step_up_address(request, caller, f"/alerts/{id_of(request)}?{urlencode(asked)}")
