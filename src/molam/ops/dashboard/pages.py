"""The console's home: what the reader arranged to see, about the tenant the address names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.currency import currency
from molam.kernel.refusals import Refusal
from molam.ops.dashboard import pages_store as store
from molam.ops.dashboard import permissions, queries, widgets
from molam.ops.dashboard.model import METRICS, WIDGET_KINDS, OfType, Span, Tenant
from molam.ops.dashboard.pages_panels import Panel, Reader, Scope, iso, panel, refused_panel
from molam.ops.dashboard.queries import Overview
from molam.ops.dashboard.widgets import Placed, Widget
from molam.ops.shell import framed, may, said, zone_of
from molam.ops.views import amount_of
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Formats, Language
from molam.platform.web.templating import language_of

routes = Routes()

Range = Literal["24h", "7d", "30d", "90d"]
RANGES: tuple[Range, ...] = get_args(Range)
TenantId = Annotated[str, Meta(min_length=1, max_length=255)]
CurrencyCode = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]

_TILES: Mapping[str, str] = MappingProxyType(
    {
        "gmv": "gmv",
        "transaction_count": "transaction_count",
        "net_revenue": "net_revenue",
        "conversion_rate": "conversion_rate",
        "refunds_amount": "refunds_amount",
        "disputes_count": "disputes_count",
        "payouts_pending_amount": "payout_pending_amount",
        "float_available": "float_available",
    }
)
"""What the page begins with, whatever else somebody arranged: the snapshot's word, the metric's."""

_USUAL_RANGE = "7d"
_OF_FIGURES = frozenset({"chart_line", "chart_bar", "metric", "heatmap"})
_OF_RANKINGS = frozenset({"table", "chart_pie"})


class ScopeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the page is about: the whole platform, a country, or one of its tenants."""

    tenant_type: OfType = "platform"
    tenant_id: TenantId | None = None
    currency: CurrencyCode | None = None
    range: Range | None = None


class ScopeForm(ScopeQuery, frozen=True, forbid_unknown_fields=True):
    """Whom the page was about, to come back to it."""


class HomeQuery(ScopeQuery, frozen=True, forbid_unknown_fields=True):
    arrange: Literal["1"] | None = None
    at: Annotated[str, Meta(max_length=36)] | None = None
    said: Annotated[str, Meta(max_length=32)] | None = None
    live: Literal["0"] | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    code: str
    value: float | None
    before: float | None
    unit: str
    currency: str
    href: str
    period: str
    """The stretch of time that it is of, or ``now``."""


@dataclass(frozen=True, slots=True)
class Home:
    """What one reader's page shows of a tenant at a moment."""

    scope: Scope
    scope_name: str
    currency: str
    currencies: Sequence[str]
    as_of: datetime
    tiles: Sequence[Tile]
    panels: Sequence[Panel]
    hidden: Sequence[Placed]

    @property
    def lists_mark(self) -> str:
        """Change when a list does: lists are not redrawn under somebody's finger."""
        rows = [[each.id, each.data] for each in self.panels if not each.is_live]
        shown = msgspec.json.encode(rows, order="deterministic")
        return hashlib.blake2s(shown, digest_size=6).hexdigest()


@routes.get("/", needs=permissions.VIEW, page=True, query=HomeQuery)
async def home(request: Request, caller: Caller, query: HomeQuery) -> Response:
    """Show the reader's widgets, in their own arrangement."""
    may_arrange = may(caller, permissions.ARRANGE)
    arranging = query.arrange is not None and may_arrange
    shown = await read_home(
        request.app.state,
        caller,
        scope_of(query),
        language=language_of(request, caller),
        zone=zone_of(request),
    )
    return await framed(
        request,
        caller,
        "dashboard.html",
        place="home",
        # Whoever arranges must not have what they drag redrawn.
        live=None if arranging else query.live is None,
        said=said(query.said),
        arranging=arranging,
        may_arrange=may_arrange,
        may_change=may(caller, permissions.CHANGE_WIDGETS),
        metrics=tuple(METRICS),
        kinds=WIDGET_KINDS,
        at=query.at,
        ranges=RANGES,
        lists_mark=shown.lists_mark,
        **context_of(shown),
    )


def scope_of(query: ScopeQuery) -> Scope:
    """Read whom the page is about; a kind of tenant without a name is the whole platform."""
    named = query.tenant_type != "platform" and query.tenant_id is not None
    tenant = Tenant(query.tenant_type, query.tenant_id) if named else Tenant("platform")
    return Scope(tenant, query.currency, query.range)


def context_of(shown: Home) -> dict[str, object]:
    """Name what the templates of the page, and of its stream, read."""
    return {
        "scope": shown.scope,
        "scope_name": shown.scope_name,
        "currency": shown.currency,
        "currencies": shown.currencies,
        "as_of": shown.as_of,
        "tiles": shown.tiles,
        "panels": shown.panels,
        "hidden": shown.hidden,
    }


def back_to_arranging(form: ScopeForm, *, at: str = "", said: str | None = None) -> Response:
    """Lead back to the page that is being arranged, to the widget *at*."""
    address = scope_of(form).address("/", arrange="1", at=at or None, said=said)
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)


async def read_home(
    state: State, caller: Caller, scope: Scope, *, language: Language, zone: str
) -> Home:
    """Ask for everything that the page shows, as of one moment."""
    reader = Reader(Formats(language), zone, state.clock.now())
    if scope.currency is not None:
        currency(scope.currency)
    async with state.db.transaction("dashboard.home", readonly=True) as tx:
        about = await queries.overview(tx, scope.tenant, currency=scope.currency)
        placed = await widgets.shown_to(tx, caller.subject, caller.roles, tenant=scope.tenant)
        panels = [
            await _panel(tx, each, scope, reader=reader, caller=caller)
            for each in placed
            if not each.hidden
        ]
        name = await name_of(tx, scope.tenant, reader.formats)
        tiles = await _tiles(tx, about, scope)
    return Home(
        scope=scope,
        scope_name=name,
        currency=about.currency,
        currencies=about.currencies,
        as_of=about.snapshot_ts,
        tiles=tiles,
        panels=panels,
        hidden=[each for each in placed if each.hidden],
    )


async def name_of(tx: Tx, tenant: Tenant, formats: Formats) -> str:
    """Name whom figures are of; nothing for the whole platform."""
    if tenant.id is None:
        return ""
    if tenant.type == "country":
        return formats.country(tenant.id)
    found = await queries.tenants(tx, tenant.type, search=tenant.id, limit=20)
    return next((each.name for each in found if each.id == tenant.id), tenant.id)


async def _panel(tx: Tx, placed: Placed, scope: Scope, *, reader: Reader, caller: Caller) -> Panel:
    """Read and draw one widget; one that refuses does not take the page with it."""
    widget = replace(placed.widget, config=_config_of(placed.widget, scope.time_range))
    try:
        data = await widgets.data_of(
            tx,
            widget,
            tenant=scope.tenant,
            currency=scope.currency,
            now=reader.now,
            person_id=caller.subject,
        )
    except Refusal:
        return refused_panel(placed)
    if "actions" in data:
        data = data | {"actions": await _named(tx, data["actions"])}
    return panel(placed, data, scope, reader)


async def _named(tx: Tx, actions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of each action whom it is about, and how much it moves."""
    found = await tx.all(store.LIST_WAITING, ids=[each["id"] for each in actions])
    told = {
        str(row.id): {
            "name": str(row.plan.get("target_name") or row.target_tenant_id),
            "amount": amount_of(row.plan),
        }
        for row in found
    }
    return [each | told[each["id"]] for each in actions]


def _config_of(widget: Widget, time_range: str | None) -> dict[str, Any]:
    """Show *time_range* instead of the widget's own, where it has one, in buckets that fit."""
    if time_range is None or widget.kind not in _OF_FIGURES | _OF_RANKINGS:
        return widget.config
    config = widget.config | {"time_range": time_range}
    if widget.kind in _OF_FIGURES:
        config["group_by"] = "hour" if time_range == "24h" else "day"
    return config


async def _tiles(tx: Tx, about: Overview, scope: Scope) -> list[Tile]:
    """Make the figures on top, of the time that was chosen; none where nothing happened."""
    tiles = [await _tile(tx, about, scope, word) for word in _TILES]
    known = [tile for tile in tiles if tile.value is not None]
    return known if any(tile.value for tile in known) else []


async def _tile(tx: Tx, about: Overview, scope: Scope, word: str) -> Tile:
    metric, period = _TILES[word], scope.time_range or _USUAL_RANGE
    value, before, times = about.snapshot[word], about.previous.get(word), {}
    if word not in queries.COMPARED:
        period = "now"
    else:
        end, length = about.snapshot_ts, Span.read(period, "day", now=about.snapshot_ts).length
        if period != _USUAL_RANGE:
            value, before = [
                await queries.total(
                    tx,
                    metric,
                    scope.tenant,
                    begins=end - ago * length,
                    ends=end - (ago - 1) * length,
                    currency=about.currency,
                )
                for ago in (1, 2)
            ]
        times = {"from": iso(queries.first_hour(end - length)), "to": iso(end)}
    return Tile(
        code=metric,
        value=value,
        before=before,
        unit=METRICS[metric].unit,
        currency=about.currency,
        href=scope.address("/dashboard/rows", metric=metric, currency=about.currency, **times),
        period=period,
    )
