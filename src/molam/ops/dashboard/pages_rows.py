"""Behind a figure: the rows that it counts, and the choice of whom a page is about."""

from __future__ import annotations

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
from molam.ops.dashboard.pages import ScopeQuery, scope_of
from molam.ops.dashboard.pages_store import BegunRow
from molam.ops.shell import framed, zone_of
from molam.platform.web import Caller, Routes
from molam.platform.web.templating import language_of

routes = Routes()

ROWS_MAX = 50
ALERTS_MAX = 20
TENANTS_SHOWN = 50
_WEEK = timedelta(days=7)
# What agents hold is no sum of rows: the list of who holds what is what is behind it.
_OF_AGENTS = frozenset({"float_available", "float_reserved", "float_distributed"})
_OF_BOOKS = frozenset({"reconciliation_match_rate"})


class RowsQuery(ScopeQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    metric: Annotated[str, Meta(max_length=64)]
    from_: datetime | None = msgspec.field(name="from", default=None)
    to: datetime | None = None
    country: Annotated[str, Meta(max_length=8)] | None = None


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
        return _to(scope.address("/agents", tenant_type=None, tenant_id=None, range=None))
    if query.metric in _OF_BOOKS:
        return _to("/ops/statements")
    end = _aware(query.to) or request.app.state.clock.now()
    start = _aware(query.from_) or end - _WEEK
    async with request.app.state.db.transaction("dashboard.rows", readonly=True) as tx:
        found = await queries.behind(
            tx,
            query.metric,
            scope.tenant,
            times=(start, end),
            currency=query.currency,
            country=query.country,
        )
        begun = await tx.all(
            store.LIST_BEGUN,
            begins=start,
            ends=end,
            tenant_type=scope.tenant.type,
            tenant_id=scope.tenant.id,
            limit=ALERTS_MAX,
        )
    return await framed(
        request,
        caller,
        "dashboard_rows.html",
        place="home",
        scope=scope,
        metric=query.metric,
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
    async with request.app.state.db.transaction("dashboard.scope", readonly=True) as tx:
        found = await queries.tenants(
            tx, query.tenant_type, search=query.search.strip(), limit=TENANTS_SHOWN
        )
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
