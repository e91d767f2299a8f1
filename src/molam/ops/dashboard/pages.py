"""The console's home: what the reader arranged to see, about the tenant the address names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import currency
from molam.kernel.refusals import Refusal
from molam.ops.dashboard import permissions, queries, widgets
from molam.ops.dashboard.model import METRICS, Tenant
from molam.ops.dashboard.pages_panels import Panel, Reader, Scope, panel, refused_panel
from molam.ops.dashboard.widgets import Placed
from molam.ops.shell import framed, may, said, zone_of
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Formats, Language
from molam.platform.web.templating import language_of

routes = Routes()

TenantType = Literal["platform", "merchant", "agent", "bank", "region"]
Range = Literal["24h", "7d", "30d", "90d"]
RANGES: tuple[Range, ...] = get_args(Range)
TenantId = Annotated[str, Meta(min_length=1, max_length=255)]
CurrencyCode = Annotated[str, Meta(pattern="^[A-Z]{3}$")]

_TILES = (
    "gmv",
    "transaction_count",
    "net_revenue",
    "conversion_rate",
    "refunds_amount",
    "disputes_count",
    "payout_pending_amount",
    "float_available",
)
"""What the page begins with, whatever else somebody arranged."""


class ScopeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the page is about: the whole platform, or one of its tenants."""

    tenant_type: TenantType = "platform"
    tenant_id: TenantId | None = None
    currency: CurrencyCode | None = None
    range: Range | None = None


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


@dataclass(frozen=True, slots=True)
class Home:
    """What one reader's page shows of a tenant at a moment."""

    scope: Scope
    scope_name: str
    currency: str | None
    currencies: Sequence[str]
    as_of: datetime | None
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


async def read_home(
    state: State, caller: Caller, scope: Scope, *, language: Language, zone: str
) -> Home:
    """Ask for everything that the page shows, as of one moment."""
    reader = Reader(Formats(language), zone)
    if scope.currency is not None:
        currency(scope.currency)
    async with state.db.transaction("dashboard.home", readonly=True) as tx:
        about = await queries.overview(tx, scope.tenant, currency=scope.currency)
        placed = await widgets.shown_to(tx, caller.subject, caller.roles, tenant=scope.tenant)
        panels = [
            await _panel(tx, each, scope, reader=reader, caller=caller, state=state)
            for each in placed
            if not each.hidden
        ]
        name = await _name_of(tx, scope.tenant)
    return Home(
        scope=scope,
        scope_name=name,
        currency=about.currency,
        currencies=about.currencies,
        as_of=about.snapshot_ts,
        tiles=_tiles(about.snapshot, about.previous or {}, scope, about.currency or ""),
        panels=panels,
        hidden=[each for each in placed if each.hidden],
    )


async def _name_of(tx: Tx, tenant: Tenant) -> str:
    if tenant.id is None:
        return ""
    found = await queries.tenants(tx, tenant.type, search=tenant.id, limit=20)
    return next((each.name for each in found if each.id == tenant.id), tenant.id)


async def _panel(
    tx: Tx, placed: Placed, scope: Scope, *, reader: Reader, caller: Caller, state: State
) -> Panel:
    """Read and draw one widget; one that refuses does not take the page with it."""
    widget = placed.widget
    if scope.time_range is not None and "time_range" in widget.config:
        widget = replace(widget, config=widget.config | {"time_range": scope.time_range})
    try:
        data = await widgets.data_of(
            tx,
            widget,
            roles=caller.roles,
            tenant=scope.tenant,
            currency=scope.currency,
            now=state.clock.now(),
            person_id=caller.subject,
        )
    except Refusal:
        return refused_panel(placed)
    return panel(placed, data, scope, reader)


def _tiles(
    snapshot: Mapping[str, float | None],
    before: Mapping[str, float | None],
    scope: Scope,
    code: str,
) -> list[Tile]:
    return [
        Tile(
            code=name,
            value=snapshot[name],
            before=before.get(name),
            unit=METRICS[name].unit,
            currency=code,
            href=scope.address("/dashboard/rows", metric=name, currency=code or None),
        )
        for name in _TILES
        if snapshot.get(name) is not None
    ]
