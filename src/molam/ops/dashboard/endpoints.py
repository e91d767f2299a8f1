"""Figures and alerts over HTTP, under /api/dashboard."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request

from molam.alerts.episodes import deciding
from molam.alerts.episodes import views as alert_views
from molam.alerts.episodes.endpoints import alert_id_of
from molam.alerts.episodes.model import AlertAbsent, AlertOver, AlertTaken
from molam.alerts.permissions import ACKNOWLEDGE
from molam.alerts.rules import tenants
from molam.approvals.views import plain
from molam.kernel.refusals import Refusal
from molam.ops.dashboard import permissions, queries, snapshot_store, widget_store
from molam.ops.dashboard.model import (
    PLATFORM,
    GroupBy,
    MetricUnknown,
    RangeRefused,
    Span,
    Tenant,
    TenantRefused,
    TenantType,
)
from molam.ops.dashboard.queries import Value
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes
from molam.platform.web.wire import CurrencyCode, Identifier, QueryMalformed

routes = Routes()

Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]
Region = Annotated[str, Meta(pattern=r"^[A-Z]{2,16}\Z")]
Short = Annotated[str, Meta(min_length=1, max_length=64)]
Limit = Annotated[int, Meta(ge=1, le=100)]
Offset = Annotated[int, Meta(ge=0, le=100_000)]
_SEVERITIES = frozenset({"critical", "high", "medium", "low", "info"})
_LAG_MAX_S = 300


class Of(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    tenant_type: TenantType = msgspec.field(name="tenantType")
    tenant_id: Identifier | None = msgspec.field(default=None, name="tenantId")
    country: Country | None = None
    region: Region | None = None
    currency: CurrencyCode | None = None

    async def tenant(self, tx: Tx) -> Tenant:
        """
        Raises:
            TenantRefused: of nobody, or of somebody who is in another place.
            MerchantAbsent, AgentAbsent, BankAbsent: nobody registered it.
        """
        found = await self.whose(tx)
        await tenants.check(tx, found.type, found.id)
        return found

    async def whose(self, tx: Tx) -> Tenant:
        """
        Raises:
            TenantRefused: as above.
        """
        named = Tenant(self.tenant_type, self.tenant_id)
        return await queries.narrowed(tx, named, country=self.country, region=self.region)


class SeriesAsked(Of, forbid_unknown_fields=True, kw_only=True):
    time_range: Short = msgspec.field(default="7d", name="timeRange")
    group_by: GroupBy = msgspec.field(default="day", name="groupBy")


class AlertsAsked(Of, forbid_unknown_fields=True, kw_only=True):
    """`severity` is one, or several with commas between."""

    status: Literal["open", "acknowledged", "resolved", "dismissed"] = "open"
    severity: Annotated[str, Meta(max_length=64)] | None = None
    limit: Limit = 50
    offset: Offset = 0


class MapAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """With a point, the agents around it; without, those who need most first."""

    lat: Annotated[float, Meta(ge=-90, le=90)] | None = None
    lon: Annotated[float, Meta(ge=-180, le=180)] | None = None
    radius_km: Annotated[float, Meta(gt=0, le=20_000)] = msgspec.field(
        default=50.0, name="radiusKm"
    )
    country: Country | None = None
    region: Region | None = None
    currency: CurrencyCode | None = None
    limit: Limit = 50
    offset: Offset = 0


class OverviewAnswer(msgspec.Struct, frozen=True):
    snapshot: dict[str, Value]
    snapshot_ts: datetime
    currency: str
    currencies: list[str]
    previous: dict[str, Value]
    success: bool = True


class PointView(msgspec.Struct, frozen=True):
    timestamp: datetime
    value: Value


class SeriesAnswer(msgspec.Struct, frozen=True):
    metric: str
    time_range: str
    group_by: str
    currency: str
    unit: str
    data: list[PointView]
    success: bool = True


class AlertsAnswer(msgspec.Struct, frozen=True):
    alerts: list[dict[str, Any]]
    count: int
    success: bool = True


class AlertTakenAnswer(msgspec.Struct, frozen=True):
    alert: alert_views.AlertView
    success: bool = True


class AgentsAnswer(msgspec.Struct, frozen=True):
    agents: list[dict[str, Any]]
    success: bool = True


class HeatAnswer(msgspec.Struct, frozen=True):
    metric: str
    currency: str
    cells: list[queries.Heat]
    success: bool = True


class Health(msgspec.Struct, frozen=True):
    """*waiting* is how many changed hours are not added up yet."""

    status: str
    waiting: int
    snapshot_ts: datetime | None
    success: bool = True


FIGURES: tuple[type[Refusal], ...] = (
    QueryMalformed,
    MetricUnknown,
    RangeRefused,
    TenantRefused,
    *tenants.ABSENT,
)


@routes.get(
    "/api/dashboard/overview",
    needs=permissions.READ,
    query=Of,
    answers=OverviewAnswer,
    refuses=(QueryMalformed, TenantRefused, *tenants.ABSENT),
)
async def overview(request: Request, _caller: Caller, query: Of) -> OverviewAnswer:
    """Tell how the last seven days went, in one currency; the others are named beside."""
    async with request.app.state.db.transaction("dashboard.overview", readonly=True) as tx:
        found = await queries.overview(tx, await query.tenant(tx), currency=query.currency)
    return OverviewAnswer(
        found.snapshot, found.snapshot_ts, found.currency, found.currencies, found.previous
    )


@routes.get(
    "/api/dashboard/metrics/{metric}/timeseries",
    needs=permissions.READ,
    query=SeriesAsked,
    answers=SeriesAnswer,
    refuses=FIGURES,
)
async def timeseries(request: Request, _caller: Caller, query: SeriesAsked) -> SeriesAnswer:
    """Tell one figure by hours or days; hours are UTC, and so are days."""
    span = Span.read(query.time_range, query.group_by, now=request.app.state.watch.clock.now())
    async with request.app.state.db.transaction("dashboard.series", readonly=True) as tx:
        found = await queries.series(
            tx,
            request.path_params["metric"],
            await query.tenant(tx),
            span=span,
            currency=query.currency,
        )
    points = [PointView(each.at, each.value) for each in found.points]
    return SeriesAnswer(found.metric, span.text, span.group_by, found.currency, found.unit, points)


@routes.get(
    "/api/dashboard/metrics/{metric}/heatmap",
    needs=permissions.READ,
    query=SeriesAsked,
    answers=HeatAnswer,
    refuses=FIGURES,
)
async def heatmap(request: Request, _caller: Caller, query: SeriesAsked) -> HeatAnswer:
    """Tell on which hours of which weekdays one figure falls."""
    span = Span.read(query.time_range, query.group_by, now=request.app.state.watch.clock.now())
    metric = request.path_params["metric"]
    async with request.app.state.db.transaction("dashboard.heatmap", readonly=True) as tx:
        tenant = await query.tenant(tx)
        currency = await queries.currency_of(tx, tenant, query.currency)
        cells = await queries.heatmap(tx, metric, tenant, span=span, currency=currency)
    return HeatAnswer(metric, currency, cells)


@routes.get(
    "/api/dashboard/map",
    needs=permissions.READ,
    query=MapAsked,
    answers=AgentsAnswer,
    refuses=(QueryMalformed, TenantRefused),
)
async def agents_map(request: Request, _caller: Caller, query: MapAsked) -> AgentsAnswer:
    """List agents with where they are and what is left of their floats."""
    if (query.lat is None) != (query.lon is None):
        raise QueryMalformed("Give lat and lon, or neither.")
    if query.lat is not None and (query.country is not None or query.region is not None):
        raise QueryMalformed("Give lat and lon, or country and region: not both.")
    async with request.app.state.db.transaction("dashboard.map", readonly=True) as tx:
        if query.lat is not None and query.lon is not None:
            rows = await queries.agents_nearby(
                tx, query.lat, query.lon, radius_km=query.radius_km, limit=query.limit
            )
        else:
            rows = await queries.agents(
                tx,
                await queries.narrowed(tx, PLATFORM, country=query.country, region=query.region),
                currency=query.currency,
                limit=query.limit,
                offset=query.offset,
            )
    return AgentsAnswer([plain(row) for row in rows])


@routes.get(
    "/api/dashboard/alerts",
    needs=permissions.READ,
    query=AlertsAsked,
    answers=AlertsAnswer,
    refuses=(QueryMalformed, TenantRefused, *tenants.ABSENT),
)
async def alerts(request: Request, _caller: Caller, query: AlertsAsked) -> AlertsAnswer:
    """List alerts in the dashboard's words, the worst first."""
    severities = None if query.severity is None else query.severity.split(",")
    if severities is not None and not _SEVERITIES.issuperset(severities):
        raise QueryMalformed(f"severity is one of {', '.join(sorted(_SEVERITIES))}, or several.")
    async with request.app.state.db.transaction("dashboard.alerts", readonly=True) as tx:
        tenant = await query.whose(tx)
        rows = await tx.all(
            widget_store.LIST_ALERTS,
            statuses=[query.status],
            severities=severities,
            tenant_type=tenant.type,
            tenant_id=tenant.id,
            limit=query.limit,
            offset=query.offset,
        )
        if not rows:
            await tenants.check(tx, tenant.type, tenant.id)
    return AlertsAnswer([plain(row) for row in rows], len(rows))


@routes.post(
    "/api/dashboard/alerts/{alert_id}/acknowledge",
    needs=ACKNOWLEDGE,
    answers=AlertTakenAnswer,
    refuses=(AlertAbsent, AlertOver, AlertTaken),
)
async def acknowledge(request: Request, caller: Caller) -> AlertTakenAnswer:
    """Take an alert on, as under /api/alerts."""
    alert_id = alert_id_of(request)
    row = await deciding.acknowledge(request.app.state.db, alert_id, by=caller.subject, note=None)
    return AlertTakenAnswer(alert_views.alert(row))


@routes.get("/api/dashboard/health", needs=permissions.READ, answers=Health)
async def health(request: Request, _caller: Caller) -> Health:
    """Say whether figures are kept up: more than five minutes behind is not."""
    (row,) = await request.app.state.db.read(snapshot_store.FIND_LAG)
    now = request.app.state.watch.clock.now()
    is_late = row.oldest is None or (now - row.oldest).total_seconds() > _LAG_MAX_S
    return Health("behind" if is_late else "ok", row.waiting, row.oldest)
