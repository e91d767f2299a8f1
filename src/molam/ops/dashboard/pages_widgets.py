"""Making a widget for everybody's home, and taking one away again."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.ops.dashboard import layouts, permissions, snapshot_store, widgets
from molam.ops.dashboard.model import (
    PLATFORM,
    MetricUnknown,
    WidgetAbsent,
    WidgetKept,
    WidgetRefused,
)
from molam.ops.dashboard.pages import ScopeForm, ScopeQuery, back_to_arranging, scope_of
from molam.ops.dashboard.widgets import NewWidget, Position
from molam.ops.shell import framed
from molam.platform.web import Caller, Routes

routes = Routes()

WidgetKind = Literal[
    "metric",
    "chart_line",
    "chart_bar",
    "chart_pie",
    "table",
    "gauge",
    "heatmap",
    "map",
    "list",
    "alert_list",
    "timeline",
    "pending_approvals_list",
]
_WITHOUT_METRIC = frozenset({"map", "list", "alert_list", "timeline", "pending_approvals_list"})
_WIDTH, _HEIGHT = 6, 3


class NewForm(ScopeForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    kind: WidgetKind
    metric: Annotated[str, Meta(max_length=64)] = "gmv"


class RemoveForm(ScopeForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    widget_id: UUID


@routes.post(
    "/dashboard/widgets",
    needs=permissions.CHANGE_WIDGETS,
    page=True,
    form=True,
    body=NewForm,
    refuses=(MetricUnknown, WidgetRefused),
)
async def make(request: Request, caller: Caller, form: NewForm) -> Response:
    """Make a widget, below all others, on the home of everybody."""
    config = {} if form.kind in _WITHOUT_METRIC else {"metric": form.metric}
    async with request.app.state.db.transaction("dashboard.make_widget") as tx:
        placed = await widgets.shown_to(tx, caller.subject, caller.roles)
        below = max((each.row + each.height for each in placed if not each.hidden), default=0)
        made = await widgets.put(
            tx,
            NewWidget(
                name=form.name.strip() or form.metric,
                kind=form.kind,
                config=config,
                position=Position(min(below, layouts.ROW_MAX), 0, _WIDTH, _HEIGHT),
                tenant=PLATFORM,
                visible=True,
                required_roles=(),
            ),
            by=caller.subject,
            now=request.app.state.clock.now(),
        )
    return back_to_arranging(form, at=str(made.id))


@routes.get(
    "/dashboard/widgets/{widget_id:uuid}/remove",
    needs=permissions.CHANGE_WIDGETS,
    page=True,
    query=ScopeQuery,
    refuses=(WidgetAbsent, WidgetKept),
)
async def confirm(request: Request, caller: Caller, query: ScopeQuery) -> Response:
    """Ask whether a widget is to go from everybody's home, before it does."""
    async with request.app.state.db.transaction("dashboard.widget", readonly=True) as tx:
        widget = await widgets.find(tx, request.path_params["widget_id"], caller.roles)
    widgets.check_removable(widget)
    return await framed(
        request,
        caller,
        "dashboard_remove.html",
        place="home",
        scope=scope_of(query),
        widget=widget,
    )


@routes.post(
    "/dashboard/widgets/remove",
    needs=permissions.CHANGE_WIDGETS,
    page=True,
    form=True,
    body=RemoveForm,
    refuses=(WidgetAbsent, WidgetKept),
)
async def remove(request: Request, _caller: Caller, form: RemoveForm) -> Response:
    """Take a widget away from everybody's home."""
    async with request.app.state.db.transaction("dashboard.remove_widget") as tx:
        await widgets.remove(tx, form.widget_id)
        await tx.one(snapshot_store.TELL)
    return back_to_arranging(form, said="widget-removed")
