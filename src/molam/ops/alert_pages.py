"""The board of alerts: what is the matter, how bad, and who has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response

from molam.alerts import permissions as alerts
from molam.alerts.episodes import list_store, queries, sentences
from molam.alerts.episodes.model import AlertRow
from molam.alerts.rules.model import AlertType, Severity, TenantType
from molam.kernel.clock import Instant
from molam.ops import permissions
from molam.ops.alert_charts import Chart, chart_of
from molam.ops.live import ALERTS
from molam.ops.shell import framed, may, said, turn_count, zone_of
from molam.platform.db import Database
from molam.platform.web import Caller, Routes, sse
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

PAGE_ROWS = 50
SPARK_STEP_S, SPARK_AROUND_S = 300, 3600
_PAGES_MAX = 200
_BEAT = sse.event("", name="beat")

Flag = Literal["silenced", "inhibited", "maintenance", "flapping", "none"]


class BoardQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    state: Literal["open", "over", "all"] = "open"
    type: AlertType | None = None
    severity: Severity | None = None
    tenant_type: TenantType | None = None
    tenant: Annotated[str, Meta(max_length=255)] | None = None
    flag: Flag | None = None
    page: Annotated[int, Meta(ge=1, le=_PAGES_MAX)] = 1
    live: Literal["0"] | None = None
    said: Annotated[str, Meta(max_length=32)] | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """One alert on the board."""

    row: AlertRow
    headline: str
    value: str
    spark: Chart | None
    taken_by: str | None


@routes.get("/alerts", needs=permissions.USE_CONSOLE, page=True, query=BoardQuery)
async def board(request: Request, caller: Caller, query: BoardQuery) -> Response:
    """Show alerts by episode: those that are open first, the worst of them on top."""
    db = request.app.state.db
    wanted = queries.Wanted(
        tenant_type=query.tenant_type,
        tenant_id=query.tenant,
        severities=None if query.severity is None else [query.severity],
        alert_type=query.type,
        scope=query.state,
        flag=query.flag,
        limit=PAGE_ROWS + 1,
        offset=(query.page - 1) * PAGE_ROWS,
    )
    rows = await queries.board(db, wanted)
    more, rows = len(rows) > PAGE_ROWS, rows[:PAGE_ROWS]
    (counted,) = await db.read(list_store.COUNT_OPEN)
    return await framed(
        request,
        caller,
        "alerts.html",
        place="alerts",
        live=query.live is None and query.page == 1,
        cards=await _cards(request, caller, rows),
        counted=counted,
        asked=query,
        address=_address,
        filters={name: value for name, value in _filters(query).items() if name != "state"},
        key=await mark_of(request.app.state, caller),
        older=_address(query, page=query.page + 1) if more else None,
        newer=_address(query, page=query.page - 1) if query.page > 1 else None,
        can_acknowledge=may(caller, alerts.ACKNOWLEDGE),
        types=[code for code, language in sentences.TYPES if language == "en"],
        said=said(query.said),
    )


@routes.get("/alerts/live", needs=permissions.USE_CONSOLE, page=True)
async def live(request: Request, caller: Caller) -> Response:
    """Stream whether the board has changed; it never moves under anybody's finger."""
    state = request.app.state

    async def render(_changed: frozenset[str]) -> bytes:
        return sse.event(await mark_of(state, caller), name="waiting")

    return sse.stream(
        request,
        state.hub,
        topic=ALERTS,
        view=("alerts", caller.subject, caller.roles),
        render=render,
        heartbeat=_BEAT,
    )


async def mark_of(state: State, caller: Caller) -> str:
    """Name what the board shows, after how much waits for the reader's vote."""
    turn = await turn_count(state.db, caller)
    (mark,) = await state.db.read(list_store.MARK_BOARD)
    return f"{turn}:{mark.mark}"


async def _cards(request: Request, caller: Caller, rows: Sequence[AlertRow]) -> list[Card]:
    db: Database = request.app.state.db
    language, zone = language_of(request, caller), zone_of(request)
    now = request.app.state.clock.now()
    points = await queries.points(db, rows, step_s=SPARK_STEP_S, around_s=SPARK_AROUND_S)
    names = await queries.names(db, [row.acknowledged_by for row in rows if row.acknowledged_by])
    return [
        Card(
            row=row,
            headline=headline(row, language, now=now, zone=zone),
            value=sentences.value(row.facts.get("value"), row.facts, language),
            spark=chart_of(row, points.get(row.fingerprint, [])),
            taken_by=None
            if row.acknowledged_by is None
            else names.get(row.acknowledged_by, row.acknowledged_by),
        )
        for row in rows
    ]


def headline(row: AlertRow, language: Language, *, now: Instant, zone: str) -> str:
    """Say what is the matter; of what is over, what it was."""
    return sentences.sentence(row.alert_type, row.facts, language, now=now, zone=zone)


def _filters(query: BoardQuery) -> dict[str, str]:
    given = {
        "state": query.state if query.state != "open" else None,
        "type": query.type,
        "severity": query.severity,
        "tenant_type": query.tenant_type,
        "tenant": query.tenant,
        "flag": query.flag,
    }
    return {name: value for name, value in given.items() if value is not None}


def _address(query: BoardQuery, *, page: int = 1, **changed: str | None) -> str:
    """The same board with something else asked for; None takes a filter away."""
    fields = {**_filters(query), **changed, "page": str(page) if page > 1 else None}
    if fields.get("state") == "open":
        fields["state"] = None
    kept = {name: value for name, value in fields.items() if value is not None}
    return f"/alerts?{urlencode(kept)}" if kept else "/alerts"
