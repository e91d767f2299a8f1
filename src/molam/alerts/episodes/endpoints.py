"""Reading alerts, taking them on, ending and quieting them, under /api/alerts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request

from molam.alerts.episodes import deciding, list_store, queries, views
from molam.alerts.episodes.model import (
    NOTE_LENGTH_MAX,
    AlertAbsent,
    AlertOver,
    AlertTaken,
    SilenceMalformed,
    Status,
)
from molam.alerts.permissions import ACKNOWLEDGE, RESOLVE, SILENCE, VIEW
from molam.alerts.rules import tenants
from molam.alerts.rules.model import SEVERITIES, AlertType, Severity, TenantType
from molam.approvals.wire import uuid_of
from molam.kernel import canonical
from molam.platform.auth.step_up import StepUpRequired, require_step_up
from molam.platform.web import Caller, Routes
from molam.platform.web.wire import Identifier, Moment, QueryMalformed

routes = Routes()

OFFSET_MAX = 1_000_000

Reason = Annotated[str, Meta(min_length=3, max_length=500)]
Note = Annotated[str, Meta(min_length=1, max_length=NOTE_LENGTH_MAX, pattern=r"\S[\s\S]*\Z")]


class EpisodesAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`severity` is one, or several with commas between."""

    tenant_type: TenantType = msgspec.field(name="tenantType")
    tenant_id: Identifier | None = msgspec.field(default=None, name="tenantId")
    status: Status | None = None
    severity: Annotated[str, Meta(max_length=64)] | None = None
    alert_type: AlertType | None = msgspec.field(default=None, name="alertType")
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    offset: Annotated[int, Meta(ge=0, le=OFFSET_MAX)] = 0


class EpisodeStatsAsked(msgspec.Struct, forbid_unknown_fields=True):
    tenant_type: TenantType = msgspec.field(default="platform", name="tenantType")
    tenant_id: Identifier | None = msgspec.field(default=None, name="tenantId")


class AlertNoteBody(msgspec.Struct, forbid_unknown_fields=True):
    note: Note | None = None


class AlertAnnotateBody(msgspec.Struct, forbid_unknown_fields=True):
    note: Note


class SilenceAlertBody(msgspec.Struct, forbid_unknown_fields=True):
    """Give `until`, or for how many minutes."""

    reason: Reason
    until: Moment | None = None
    minutes: Annotated[int, Meta(ge=1, le=10_080)] | None = None


class EpisodeList(msgspec.Struct, frozen=True):
    alerts: list[views.AlertView]
    count: int
    limit: int
    offset: int
    success: bool = True


class EpisodeAnswer(msgspec.Struct, frozen=True):
    alert: views.AlertView
    success: bool = True


class EpisodeHistory(msgspec.Struct, frozen=True):
    alert: views.AlertView
    moves: list[views.MoveView]
    decisions: list[views.DecisionView]
    success: bool = True


class EpisodeStats(msgspec.Struct, frozen=True):
    active_alerts_by_severity: dict[Severity, int]
    auto_remediation_stats: list[views.TypeStatView]
    success: bool = True


class EpisodesHealth(msgspec.Struct, frozen=True):
    """`oldest_pending_at` is since when somebody waits for an alert to be taken on."""

    status: str
    open: int
    pending: int
    critical: int
    oldest_pending_at: datetime | None
    success: bool = True


@routes.get(
    "/api/alerts",
    needs=VIEW,
    query=EpisodesAsked,
    answers=EpisodeList,
    refuses=(QueryMalformed, *tenants.ABSENT),
)
async def list_alerts(request: Request, _caller: Caller, query: EpisodesAsked) -> EpisodeList:
    """List alerts of one kind of tenant, the newest first."""
    wanted = queries.Wanted(
        tenant_type=query.tenant_type,
        tenant_id=query.tenant_id,
        status=query.status,
        severities=_severities(query.severity),
        alert_type=query.alert_type,
        limit=query.limit,
        offset=query.offset,
    )
    rows = await queries.newest(request.app.state.db, wanted)
    if not rows:
        await _check_known(request, query.tenant_type, query.tenant_id)
    return EpisodeList([views.alert(row) for row in rows], len(rows), query.limit, query.offset)


async def _check_known(request: Request, kind: TenantType, id_: str | None) -> None:
    """Tell somebody without alerts from somebody whom nobody registered."""
    async with request.app.state.db.transaction("alerts.check_tenant", readonly=True) as tx:
        await tenants.check(tx, kind, id_)


@routes.get(
    "/api/alerts/stats",
    needs=VIEW,
    query=EpisodeStatsAsked,
    answers=EpisodeStats,
    refuses=tenants.ABSENT,
)
async def stats(request: Request, _caller: Caller, query: EpisodeStatsAsked) -> EpisodeStats:
    """
    Count open alerts by severity, and how alerts of each type ended.

    For the platform everything is counted, whosever it is.
    """
    everything = query.tenant_type == "platform"
    whose: dict[str, Any] = {
        "tenant_type": None if everything else query.tenant_type,
        "tenant_id": None if everything else query.tenant_id,
    }
    db = request.app.state.db
    counted = {
        row.severity: row.count for row in await db.read(list_store.COUNT_BY_SEVERITY, **whose)
    }
    types = await db.read(list_store.LIST_TYPE_STATS, **whose)
    if not types:
        await _check_known(request, query.tenant_type, query.tenant_id)
    return EpisodeStats(
        {severity: counted.get(severity, 0) for severity in SEVERITIES},
        [views.type_stat(row) for row in types],
    )


@routes.get("/api/alerts/health", needs=VIEW, answers=EpisodesHealth)
async def health(request: Request, _caller: Caller) -> EpisodesHealth:
    """Say whether alerts can be read, and how many wait for somebody."""
    (row,) = await request.app.state.db.read(list_store.COUNT_OPEN)
    return EpisodesHealth("ok", row.open, row.pending, row.critical, row.oldest_pending_at)


@routes.get("/api/alerts/{alert_id}", needs=VIEW, answers=EpisodeHistory, refuses=(AlertAbsent,))
async def get_alert(request: Request, _caller: Caller) -> EpisodeHistory:
    """Show one alert, what happened to it, and what was decided about it."""
    found = await queries.history(request.app.state.db, alert_id_of(request))
    return EpisodeHistory(
        views.alert(found.alert),
        [views.move(row) for row in found.moves],
        [views.decision(row) for row in found.decisions],
    )


@routes.post(
    "/api/alerts/{alert_id}/acknowledge",
    needs=ACKNOWLEDGE,
    body=AlertNoteBody,
    answers=EpisodeAnswer,
    refuses=(canonical.JsonMalformed, AlertAbsent, AlertOver, AlertTaken),
)
async def acknowledge(request: Request, caller: Caller, body: AlertNoteBody) -> EpisodeAnswer:
    """Take an alert on. Whoever has taken it on may say so again; others may not."""
    row = await deciding.acknowledge(
        request.app.state.db, alert_id_of(request), by=caller.subject, note=body.note
    )
    return EpisodeAnswer(views.alert(row))


@routes.post(
    "/api/alerts/{alert_id}/notes",
    needs=ACKNOWLEDGE,
    body=AlertAnnotateBody,
    answers=EpisodeAnswer,
    refuses=(canonical.JsonMalformed, AlertAbsent),
)
async def annotate(request: Request, caller: Caller, body: AlertAnnotateBody) -> EpisodeAnswer:
    """Write down what is known of an alert."""
    row = await deciding.annotate(
        request.app.state.db, alert_id_of(request), by=caller.subject, note=body.note
    )
    return EpisodeAnswer(views.alert(row))


@routes.post(
    "/api/alerts/{alert_id}/resolve",
    needs=RESOLVE,
    body=AlertNoteBody,
    answers=EpisodeAnswer,
    refuses=(canonical.JsonMalformed, AlertAbsent, AlertOver),
)
async def resolve(request: Request, caller: Caller, body: AlertNoteBody) -> EpisodeAnswer:
    """End an alert. If its value is still bad, the next measurement opens another."""
    row = await deciding.resolve(
        request.app.state.db,
        request.app.state.watch,
        alert_id_of(request),
        by=caller.subject,
        note=body.note,
    )
    return EpisodeAnswer(views.alert(row))


@routes.post(
    "/api/alerts/{alert_id}/silence",
    needs=SILENCE,
    body=SilenceAlertBody,
    answers=EpisodeAnswer,
    refuses=(
        canonical.JsonMalformed,
        AlertAbsent,
        AlertOver,
        SilenceMalformed,
        StepUpRequired,
    ),
)
async def silence(request: Request, caller: Caller, body: SilenceAlertBody) -> EpisodeAnswer:
    """Keep one alert quiet for a while; a critical one takes a fresh proof of who you are."""
    state, id_ = request.app.state, alert_id_of(request)
    now = state.watch.clock.now()
    if (body.until is None) == (body.minutes is None):
        raise SilenceMalformed("Give until or minutes, one of them.")
    alert = await queries.get_alert(state.db, id_)
    if alert.severity == "critical":
        require_step_up(caller, now=now)
    until = body.until or now + timedelta(minutes=body.minutes or 0)
    row = await deciding.silence(state.db, id_, by=caller.subject, until=until, reason=body.reason)
    return EpisodeAnswer(views.alert(row))


def alert_id_of(request: Request) -> UUID:
    """
    Raises:
        AlertAbsent: the path names none.
    """
    found = uuid_of(request.path_params["alert_id"])
    if found is None:
        raise AlertAbsent("Check the alert's id.")
    return found


def _severities(text: str | None) -> list[Severity] | None:
    if text is None:
        return None
    named = text.split(",")
    found = [each for each in SEVERITIES if each in named]
    if len(found) != len(named):
        raise QueryMalformed(f"severity is of {', '.join(SEVERITIES)}, with commas between.")
    return found
