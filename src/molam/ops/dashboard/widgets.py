"""What each kind of widget shows, and making, changing and removing them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.approvals import list_store as actions
from molam.approvals.views import plain
from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.ops.dashboard import model, queries, recommendation_store
from molam.ops.dashboard import widget_store as store
from molam.ops.dashboard.layouts import COLUMNS, HEIGHT_MAX, ROW_MAX, Placed, shown_to
from molam.ops.dashboard.model import GroupBy, Span, Tenant, WidgetAbsent, WidgetKept, WidgetRefused
from molam.ops.dashboard.queries import By
from molam.ops.dashboard.widget_store import Widget
from molam.platform.db import Tx

__all__ = ["Placed", "Widget", "check_removable", "data_of", "find", "put", "remove", "shown_to"]

Limit = Annotated[int, Meta(ge=1, le=100)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Number = Annotated[float, Meta(ge=0, le=2**53)]


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: Number
    color: Name


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One figure by hours or days: lines, bars, a tile, a heat map."""

    metric: Name
    time_range: Name = "7d"
    group_by: GroupBy = "day"
    currency: Name | None = None


class Gauge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    metric: Name
    min: Number = 0
    max: Number = 1
    thresholds: tuple[Threshold, ...] = ()
    currency: Name | None = None


class Ranking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    by: By = "country"
    metric: Name = "gmv"
    limit: Limit = 10
    time_range: Name = "7d"
    currency: Name | None = None


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    of: Annotated[str, Meta(pattern=r"^(recommendations|agents)\Z")] = "recommendations"
    limit: Limit = 10


class Agents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Limit = 50
    country: Name | None = None


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    severity: tuple[Name, ...] = ()
    limit: Limit = 10


class Approvals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    roles: tuple[Name, ...] = ("ops_admin",)
    limit: Limit = 10


class Happened(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Limit = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a widget is shown of, and to whom."""

    tenant: Tenant
    currency: str | None
    person_id: str
    now: Instant


async def _figure(tx: Tx, config: Figure, asked: Asked) -> dict[str, Any]:
    span = Span.read(config.time_range, config.group_by, now=asked.now)
    currency = config.currency or asked.currency
    found = await queries.series(tx, config.metric, asked.tenant, span=span, currency=currency)
    return {
        "metric": found.metric,
        "unit": found.unit,
        "currency": found.currency,
        "time_range": span.text,
        "group_by": span.group_by,
        "data": [{"timestamp": each.at.isoformat(), "value": each.value} for each in found.points],
    }


async def _tile(tx: Tx, config: Figure, asked: Asked) -> dict[str, Any]:
    shown = await _figure(tx, config, asked)
    span = Span.read(config.time_range, config.group_by, now=asked.now)
    values = {}
    for name, each in (("value", span), ("previous", span.before)):
        values[name] = await queries.total(
            tx,
            config.metric,
            asked.tenant,
            begins=each.start,
            ends=each.end,
            currency=shown["currency"],
        )
    points = shown.pop("data")
    return {**shown, **values, "points": points}


async def _gauge(tx: Tx, config: Gauge, asked: Asked) -> dict[str, Any]:
    """Show what a figure is now: the last float, or the last seven days."""
    span = Span.read("7d", now=asked.now)
    currency = await queries.currency_of(tx, asked.tenant, config.currency or asked.currency)
    value = await queries.total(
        tx, config.metric, asked.tenant, begins=span.start, ends=span.end, currency=currency
    )
    return {
        "value": value,
        "min": config.min,
        "max": config.max,
        "thresholds": [{"value": each.value, "color": each.color} for each in config.thresholds],
        "metric": config.metric,
        "unit": model.metric_named(config.metric).unit,
        "currency": currency,
    }


async def _ranking(tx: Tx, config: Ranking, asked: Asked) -> dict[str, Any]:
    span = Span.read(config.time_range, now=asked.now)
    currency = await queries.currency_of(tx, asked.tenant, config.currency or asked.currency)
    ranked = queries.Ranking(config.by, config.metric, span, config.limit)
    rows = await queries.ranking(tx, ranked, asked.tenant, currency=currency)
    total = sum(each.value or 0 for each in rows)
    metric = model.metric_named(config.metric)
    return {
        "columns": [config.by, config.metric],
        "metric": config.metric,
        "by": config.by,
        "unit": metric.unit,
        "currency": currency,
        "rows": [
            {
                "id": each.id,
                "name": each.name,
                "value": each.value,
                # Rates and floats of some are no parts of a whole.
                "share": (each.value or 0) / total if total and metric.how == "sum" else None,
            }
            for each in rows
        ],
    }


async def _list(tx: Tx, config: Listing, asked: Asked) -> dict[str, Any]:
    if config.of == "agents":
        return await _agents(tx, Agents(limit=config.limit), asked)
    rows = await tx.all(
        recommendation_store.LIST,
        status="pending",
        tenant_type=asked.tenant.type,
        tenant_id=asked.tenant.id,
        limit=config.limit,
        offset=0,
    )
    return {"recommendations": [plain(row) for row in rows]}


async def _agents(tx: Tx, config: Agents, asked: Asked) -> dict[str, Any]:
    tenant = asked.tenant
    if tenant == model.PLATFORM and config.country is not None:
        tenant = Tenant("country", config.country)
    rows = await queries.agents(tx, tenant, limit=config.limit)
    return {"agents": [plain(row) for row in rows]}


async def _alerts(tx: Tx, config: Alerts, asked: Asked) -> dict[str, Any]:
    rows = await tx.all(
        store.LIST_OPEN_ALERTS,
        statuses=["open", "acknowledged"],
        severities=list(config.severity) or None,
        tenant_type=asked.tenant.type,
        tenant_id=asked.tenant.id,
        limit=config.limit,
        offset=0,
    )
    return {"alerts": [plain(row) for row in rows]}


async def _happened(tx: Tx, config: Happened, asked: Asked) -> dict[str, Any]:
    rows = await tx.all(
        store.LIST_HAPPENED,
        tenant_type=asked.tenant.type,
        tenant_id=asked.tenant.id,
        limit=config.limit,
    )
    return {"events": [plain(row) for row in rows]}


async def _heat(tx: Tx, config: Figure, asked: Asked) -> dict[str, Any]:
    span = Span.read(config.time_range, now=asked.now)
    currency = await queries.currency_of(tx, asked.tenant, config.currency or asked.currency)
    cells = await queries.heatmap(tx, config.metric, asked.tenant, span=span, currency=currency)
    return {
        "metric": config.metric,
        "unit": model.metric_named(config.metric).unit,
        "currency": currency,
        "cells": [asdict(each) for each in cells],
    }


async def _approvals(tx: Tx, config: Approvals, asked: Asked) -> dict[str, Any]:
    rows = await tx.all(
        actions.LIST_PENDING,
        roles=list(config.roles),
        person=asked.person_id,
        limit=config.limit,
        offset=0,
    )
    return {
        "actions": [
            {
                "id": str(row.id),
                "action_type": row.action_type,
                "status": row.status,
                "votes_approve": row.votes_approve,
                "votes_reject": row.votes_reject,
                "quorum_satisfied": row.decided_at is not None and row.state != "rejected",
                "created_at": row.created_at.isoformat(),
                "expires_at": row.expires_at.isoformat(),
            }
            for row in rows
        ]
    }


ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)
_Show = Callable[[Tx, dict[str, Any], Asked], Awaitable[dict[str, Any]]]


def _kind(
    shape: type[ConfigT], show: Callable[[Tx, ConfigT, Asked], Awaitable[dict[str, Any]]]
) -> _Show:
    """Let *show* have a widget's configuration as *shape*, or refuse it."""

    async def read(tx: Tx, config: dict[str, Any], asked: Asked) -> dict[str, Any]:
        try:
            wanted = msgspec.convert(config, shape)
        except msgspec.ValidationError as error:
            raise WidgetRefused(f"config: {error}.") from None
        return await show(tx, wanted, asked)

    return read


_KINDS: Mapping[str, _Show] = {
    "chart_line": _kind(Figure, _figure),
    "chart_bar": _kind(Figure, _figure),
    "chart_pie": _kind(Ranking, _ranking),
    "gauge": _kind(Gauge, _gauge),
    "table": _kind(Ranking, _ranking),
    "list": _kind(Listing, _list),
    "map": _kind(Agents, _agents),
    "metric": _kind(Figure, _tile),
    "alert_list": _kind(Alerts, _alerts),
    "timeline": _kind(Happened, _happened),
    "heatmap": _kind(Figure, _heat),
    "pending_approvals_list": _kind(Approvals, _approvals),
}


async def data_of(
    tx: Tx,
    widget: Widget,
    *,
    now: Instant,
    tenant: Tenant | None = None,
    currency: str | None = None,
    person_id: str = "",
) -> dict[str, Any]:
    """
    Read what a widget shows, ready to be written as JSON.

    Raises:
        MetricUnknown, RangeRefused, WidgetRefused: its configuration makes no sense.
    """
    own = Tenant(widget.tenant_type, widget.tenant_id)
    asked = Asked(tenant or own, currency, person_id, now)
    return await _KINDS[widget.kind](tx, widget.config, asked)


async def find(tx: Tx, widget_id: UUID, roles: Iterable[str]) -> Widget:
    """
    Raises:
        WidgetAbsent: there is none, or none for holders of *roles*.
    """
    row = await _any(tx, widget_id)
    if row.required_roles and not {*row.required_roles} & {*roles}:
        raise WidgetAbsent("Check the widget's id.")
    return row


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    row: Annotated[int, Meta(ge=0, le=ROW_MAX)]
    col: Annotated[int, Meta(ge=0, le=COLUMNS - 1)]
    width: Annotated[int, Meta(ge=1, le=COLUMNS)]
    height: Annotated[int, Meta(ge=1, le=HEIGHT_MAX)]


@dataclass(frozen=True, slots=True)
class NewWidget:
    name: str
    kind: str
    config: dict[str, Any]
    position: Position
    tenant: Tenant
    visible: bool
    required_roles: tuple[str, ...]


async def put(
    tx: Tx, wanted: NewWidget, *, by: str, now: Instant, widget_id: UUID | None = None
) -> Widget:
    """
    Make a widget, or change the one named, and return it.

    What it would show is read first, so that one that could show nothing is refused.

    Raises:
        WidgetAbsent: there is none of this id.
        MetricUnknown, RangeRefused, WidgetRefused: its configuration makes no sense.
    """
    if widget_id is not None:
        by = (await _any(tx, widget_id)).created_by
    if wanted.position.col + wanted.position.width > COLUMNS:
        raise WidgetRefused("A widget lies within the twelve columns of the grid.")
    made = Widget(
        widget_id or uuid7(now),
        wanted.tenant.type,
        wanted.tenant.id,
        wanted.name,
        wanted.kind,
        wanted.config,
        msgspec.structs.asdict(wanted.position),
        wanted.visible,
        list(wanted.required_roles),
        by,
    )
    await data_of(tx, made, now=now)
    await tx.run(store.PUT_WIDGET, **asdict(made))
    return made


async def remove(tx: Tx, widget_id: UUID) -> None:
    """
    Take a widget away from everybody that somebody made.

    Raises:
        WidgetAbsent: there is none of this id.
        WidgetKept: it is one of those that the page came with.
    """
    check_removable(await _any(tx, widget_id))
    await tx.run(store.REMOVE_WIDGET, id=widget_id)


def check_removable(widget: Widget) -> None:
    """
    Raises:
        WidgetKept: it is one of those that the page came with.
    """
    if widget.is_usual:
        raise WidgetKept("Whoever does not want it hides it for themselves.")


async def _any(tx: Tx, widget_id: UUID) -> Widget:
    row = await tx.one(store.FIND_WIDGET, id=widget_id)
    if row is None:
        raise WidgetAbsent("Check the widget's id.")
    return row
