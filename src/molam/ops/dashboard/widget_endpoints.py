"""Widgets over HTTP: what there are, what they show, and how each person has arranged them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request

from molam.alerts.rules import tenants
from molam.approvals.wire import uuid_of
from molam.ops.dashboard import layouts, permissions, queries, snapshot_store, widgets
from molam.ops.dashboard.endpoints import FIGURES, Country, Region
from molam.ops.dashboard.layouts import Place, Placed
from molam.ops.dashboard.model import (
    MetricUnknown,
    RangeRefused,
    Tenant,
    TenantRefused,
    TenantType,
    WidgetAbsent,
    WidgetKept,
    WidgetRefused,
)
from molam.platform.web import Caller, Routes
from molam.platform.web.wire import CurrencyCode, Identifier, QueryMalformed

routes = Routes()

Roles = Annotated[list[Identifier], Meta(max_length=10)]
Kind = Literal[
    "chart_line", "chart_bar", "chart_pie", "gauge", "table", "list", "map", "metric",
    "alert_list", "timeline", "heatmap", "pending_approvals_list",
]  # fmt: skip


class WidgetsAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    tenant_type: TenantType = msgspec.field(default="platform", name="tenantType")
    tenant_id: Identifier | None = msgspec.field(default=None, name="tenantId")


class DataAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whose figures a widget shows, if not those it was made for."""

    tenant_type: TenantType | None = msgspec.field(default=None, name="tenantType")
    tenant_id: Identifier | None = msgspec.field(default=None, name="tenantId")
    country: Country | None = None
    region: Region | None = None
    currency: CurrencyCode | None = None


class WidgetBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    kind: Kind
    position: widgets.Position
    config: dict[str, Any] = {}
    tenant_type: TenantType = "platform"
    tenant_id: Identifier | None = None
    visible: bool = True
    required_roles: Roles = []

    def wanted(self) -> widgets.NewWidget:
        return widgets.NewWidget(
            self.name,
            self.kind,
            self.config,
            self.position,
            Tenant(self.tenant_type, self.tenant_id),
            self.visible,
            tuple(self.required_roles),
        )


class PlaceBody(widgets.Position, forbid_unknown_fields=True, kw_only=True, frozen=True):
    widget_id: UUID
    hidden: bool = False


class LayoutBody(msgspec.Struct, forbid_unknown_fields=True):
    places: Annotated[list[PlaceBody], Meta(max_length=layouts.PLACES_MAX)]


class WidgetView(msgspec.Struct, frozen=True):
    id: UUID
    tenant_type: str
    tenant_id: str | None
    name: str
    kind: str
    config: dict[str, Any]
    position: dict[str, int]
    visible: bool
    hidden: bool
    required_roles: list[str]


class WidgetsAnswer(msgspec.Struct, frozen=True):
    widgets: list[WidgetView]
    success: bool = True


class WidgetAnswer(msgspec.Struct, frozen=True):
    widget: WidgetView
    success: bool = True


class DataAnswer(msgspec.Struct, frozen=True):
    widget_id: UUID
    kind: str
    data: dict[str, Any]
    success: bool = True


class Done(msgspec.Struct, frozen=True):
    success: bool = True


@routes.get(
    "/api/dashboard/widgets",
    needs=permissions.VIEW,
    query=WidgetsAsked,
    answers=WidgetsAnswer,
    refuses=(QueryMalformed, TenantRefused, *tenants.ABSENT),
)
async def list_widgets(request: Request, caller: Caller, query: WidgetsAsked) -> WidgetsAnswer:
    """List the widgets that the caller may see, as they have arranged them."""
    tenant = Tenant(query.tenant_type, query.tenant_id)
    async with request.app.state.db.transaction("dashboard.widgets", readonly=True) as tx:
        await tenants.check(tx, tenant.type, tenant.id)
        placed = await widgets.shown_to(tx, caller.subject, caller.roles, tenant=tenant)
    return WidgetsAnswer([_view(each) for each in placed])


@routes.post(
    "/api/dashboard/widgets",
    needs=permissions.CHANGE_WIDGETS,
    body=WidgetBody,
    answers=WidgetAnswer,
    status=201,
    refuses=(MetricUnknown, RangeRefused, TenantRefused, WidgetRefused),
)
async def create_widget(request: Request, caller: Caller, body: WidgetBody) -> WidgetAnswer:
    """Make a widget for everybody who may see it."""
    return await _put(request, caller, body, None)


@routes.put(
    "/api/dashboard/widgets/{widget_id}",
    needs=permissions.CHANGE_WIDGETS,
    body=WidgetBody,
    answers=WidgetAnswer,
    refuses=(MetricUnknown, RangeRefused, TenantRefused, WidgetAbsent, WidgetRefused),
)
async def change_widget(request: Request, caller: Caller, body: WidgetBody) -> WidgetAnswer:
    """Change a widget for everybody; where each person has put it stays."""
    return await _put(request, caller, body, _id(request))


@routes.delete(
    "/api/dashboard/widgets/{widget_id}",
    needs=permissions.CHANGE_WIDGETS,
    answers=Done,
    refuses=(WidgetAbsent, WidgetKept),
)
async def remove_widget(request: Request, _caller: Caller) -> Done:
    """Remove a widget that somebody made, for everybody."""
    async with request.app.state.db.transaction("dashboard.remove_widget") as tx:
        await widgets.remove(tx, _id(request))
        await tx.one(snapshot_store.TELL)
    return Done()


@routes.get(
    "/api/dashboard/widgets/{widget_id}/data",
    needs=permissions.VIEW,
    query=DataAsked,
    answers=DataAnswer,
    refuses=(*FIGURES, WidgetAbsent, WidgetRefused),
)
async def widget_data(request: Request, caller: Caller, query: DataAsked) -> DataAnswer:
    """Read what one widget shows."""
    async with request.app.state.db.transaction("dashboard.widget", readonly=True) as tx:
        widget = await widgets.find(tx, _id(request), caller.roles)
        whose = Tenant(widget.tenant_type, widget.tenant_id)
        if query.tenant_type is not None:
            whose = Tenant(query.tenant_type, query.tenant_id)
        tenant = await queries.narrowed(tx, whose, country=query.country, region=query.region)
        await tenants.check(tx, tenant.type, tenant.id)
        data = await widgets.data_of(
            tx,
            widget,
            now=request.app.state.watch.clock.now(),
            tenant=tenant,
            currency=query.currency,
            person_id=caller.subject,
        )
    return DataAnswer(widget.id, widget.kind, data)


@routes.put(
    "/api/dashboard/layout",
    needs=permissions.ARRANGE,
    body=LayoutBody,
    answers=WidgetsAnswer,
    refuses=(WidgetRefused,),
)
async def save_layout(request: Request, caller: Caller, body: LayoutBody) -> WidgetsAnswer:
    """Keep where the caller wants widgets to be; an empty list forgets it all."""
    async with request.app.state.db.transaction("dashboard.layout") as tx:
        if body.places:
            await layouts.save(tx, caller.subject, [_place(each) for each in body.places])
        else:
            await layouts.reset(tx, caller.subject)
        placed = await widgets.shown_to(tx, caller.subject, caller.roles)
    return WidgetsAnswer([_view(each) for each in placed])


async def _put(
    request: Request, caller: Caller, body: WidgetBody, widget_id: UUID | None
) -> WidgetAnswer:
    now = request.app.state.watch.clock.now()
    async with request.app.state.db.transaction("dashboard.put_widget") as tx:
        made = await widgets.put(tx, body.wanted(), by=caller.subject, now=now, widget_id=widget_id)
        await tx.one(snapshot_store.TELL)
    at = body.position
    return WidgetAnswer(
        _view(Placed(made, at.row, at.col, at.width, at.height, hidden=not made.visible))
    )


def _place(body: PlaceBody) -> Place:
    return Place(body.widget_id, body.row, body.col, body.width, body.height, body.hidden)


def _view(placed: Placed) -> WidgetView:
    widget = placed.widget
    return WidgetView(
        id=widget.id,
        tenant_type=widget.tenant_type,
        tenant_id=widget.tenant_id,
        name=widget.name,
        kind=widget.kind,
        config=widget.config,
        position={
            "row": placed.row,
            "col": placed.col,
            "width": placed.width,
            "height": placed.height,
        },
        visible=widget.visible,
        hidden=placed.hidden,
        required_roles=widget.required_roles,
    )


def _id(request: Request) -> UUID:
    found = uuid_of(request.path_params["widget_id"])
    if found is None:
        raise WidgetAbsent("Check the widget's id.")
    return found
