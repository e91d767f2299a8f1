"""Behind a figure: the rows that it counts, and the choice of whom a page is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.alerts.episodes import sentences
from molam.ops.dashboard import pages_store as store
from molam.ops.dashboard import permissions, queries
from molam.ops.dashboard.model import METRICS, MetricUnknown
from molam.ops.dashboard.pages import ScopeQuery, name_of, scope_of
from molam.ops.dashboard.pages_store import BegunRow
from molam.ops.dashboard.query_store import Named
from molam.ops.shell import framed, zone_of
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Formats
from molam.platform.web.templating import language_of

routes = Routes()

ROWS_MAX = 50
ALERTS_MAX = 20
TENANTS_SHOWN = 50
_WEEK = timedelta(days=7)
# What waits now may have begun to wait at any time.
_OF_NOW = frozenset({"payout_pending_count", "payout_pending_amount"})
_KEPT = timedelta(days=401)
# What agents hold is no sum of rows: the list of who holds what is what is behind it.
_OF_AGENTS = frozenset({"float_available", "float_reserved", "float_distributed"})
_OF_BOOKS = frozenset({"reconciliation_match_rate"})


class RowsQuery(ScopeQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    metric: Annotated[str, Meta(max_length=64)]
    from_: datetime | None = msgspec.field(name="from", default=None)
    to: datetime | None = None


class ChoiceQuery(ScopeQuery, frozen=True, forbid_unknown_fields=True):
    search: Annotated[str, Meta(max_length=100)] = ""


@routes.get(
    "/dashboard/rows",
    needs=permissions.VIEW,
    page=True,
    query=RowsQuery,
    refuses=(MetricUnknown,),
)
async def rows(request: Request, caller: Caller, query: RowsQuery) -> Response:
    """List what a bucket of a chart, or a figure of the last seven days, is made of."""
    if query.metric not in METRICS:
        raise MetricUnknown("Choose a metric of the dashboard.")
    scope = scope_of(query)
    if query.metric in _OF_AGENTS:
        tenant, usual = scope.tenant, {"tenant_type": None, "tenant_id": None, "range": None}
        place = {tenant.type: tenant.id} if tenant.type in {"country", "region"} else {}
        return _to(scope.address("/agents", **usual, **place))
    if query.metric in _OF_BOOKS:
        return _to("/ops/statements")
    end = _aware(query.to) or request.app.state.clock.now()
    length = _KEPT if query.metric in _OF_NOW else _WEEK
    start = _aware(query.from_) or queries.first_hour(end - length)
    async with request.app.state.db.transaction("dashboard.rows", readonly=True) as tx:
        currency = await queries.currency_of(tx, scope.tenant, query.currency)
        found = await queries.behind(
            tx, query.metric, scope.tenant, times=(start, end), currency=currency
        )
        total = await queries.total(
            tx, query.metric, scope.tenant, begins=start, ends=end, currency=currency
        )
        begun = await tx.all(
            store.LIST_BEGUN,
            begins=start,
            ends=end,
            tenant_type=scope.tenant.type,
            tenant_id=scope.tenant.id,
            limit=ALERTS_MAX,
        )
        name = await name_of(tx, scope.tenant, Formats(language_of(request, caller)))
    return await framed(
        request,
        caller,
        "dashboard_rows.html",
        place="home",
        scope=scope,
        scope_name=name,
        metric=query.metric,
        unit=METRICS[query.metric].unit,
        total=total,
        currency=currency,
        start=start,
        end=end,
        rows=found,
        is_full=len(found) == ROWS_MAX,
        alerts=[(row, _said(request, caller, row)) for row in begun],
    )


def _said(request: Request, caller: Caller, row: BegunRow) -> str:
    """Say an alert in the reader's language, where its facts are known."""
    if not row.facts:
        return row.title
    language, now = language_of(request, caller), request.app.state.clock.now()
    return sentences.sentence(row.alert_type, row.facts, language, now=now, zone=zone_of(request))


def _to(address: str) -> Response:
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)


def _aware(at: datetime | None) -> datetime | None:
    """Read an instant without a zone as one of UTC."""
    return at if at is None or at.tzinfo is not None else at.replace(tzinfo=UTC)


@routes.get("/dashboard/scope", needs=permissions.VIEW, page=True, query=ChoiceQuery)
async def choice(request: Request, caller: Caller, query: ChoiceQuery) -> Response:
    """Choose the merchant, agent, bank or region that the home is about."""
    formats, search = Formats(language_of(request, caller)), query.search.strip()
    async with request.app.state.db.transaction("dashboard.scope", readonly=True) as tx:
        if query.tenant_type == "country":
            found = _countries(await queries.tenants(tx, "country", limit=300), formats, search)
        else:
            found = await queries.tenants(tx, query.tenant_type, search=search, limit=TENANTS_SHOWN)
    scope = scope_of(query)
    return await framed(
        request,
        caller,
        "dashboard_scope.html",
        place="home",
        scope=scope,
        tenant_type=query.tenant_type,
        search=query.search,
        found=found,
        is_full=len(found) == TENANTS_SHOWN,
    )


def _countries(known: Sequence[Named], formats: Formats, search: str) -> list[Named]:
    """Name countries in the reader's language, and find them by that name."""
    named = [Named(each.id, formats.country(each.id)) for each in known]
    wanted = search.casefold()
    found = [each for each in named if wanted in f"{each.id} {each.name}".casefold()]
    return sorted(found, key=lambda each: each.name)
