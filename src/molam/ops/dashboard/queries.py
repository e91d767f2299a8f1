"""Questions about the figures: an overview, series, rankings, agents, and the rows behind."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from molam.ops.dashboard import agent_store
from molam.ops.dashboard import query_store as store
from molam.ops.dashboard.agent_store import Agent
from molam.ops.dashboard.model import (
    PLATFORM,
    Metric,
    OfType,
    Span,
    Tenant,
    TenantRefused,
    Unit,
    metric_named,
)
from molam.ops.dashboard.query_store import Behind, Named
from molam.platform.db import Query, Tx

Value = int | float | None
By = Literal["country", "region", "merchant", "agent", "bank"]

OVERVIEW_DAYS = 7
COMPARED = (
    "gmv",
    "net_revenue",
    "transaction_count",
    "refunds_amount",
    "disputes_count",
    "conversion_rate",
)
_EMPTY: dict[str, Value] = {
    "gmv": 0,
    "net_revenue": 0,
    "total_fees": 0,
    "refunds_amount": 0,
    "refunds_count": 0,
    "disputes_count": 0,
    "payouts_pending_count": 0,
    "payouts_pending_amount": 0,
    "float_available": None,
    "conversion_rate": None,
    "fraud_rate": None,
    "reconciliation_match_rate": None,
    "transaction_count": 0,
    "unique_customers": 0,
}
_BEHIND = {
    "conversion_rate": "attempts",
    "refunds_amount": "refunds",
    "refunds_count": "refunds",
    "disputes_amount": "disputes",
    "disputes_count": "disputes",
    "chargebacks_count": "disputes",
    "fraud_rate": "disputes",
    "payouts_amount": "payouts",
    "payouts_count": "payouts",
    "total_fees": "charged",
    "partner_fees": "taken",
    "net_revenue": "earned",
    "payout_failed_count": "failed",
    "payout_pending_count": "pending",
    "payout_pending_amount": "pending",
}


@dataclass(frozen=True, slots=True)
class Overview:
    """Seven days of one tenant in one currency, the seven before, and what others there are."""

    tenant: Tenant
    currency: str
    currencies: list[str]
    snapshot: dict[str, Value]
    snapshot_ts: datetime
    previous: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Point:
    at: datetime
    value: Value


@dataclass(frozen=True, slots=True)
class Series:
    metric: str
    unit: Unit
    currency: str
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Ranked:
    id: str
    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Heat:
    weekday: int
    hour: int
    value: Value


@functools.lru_cache(maxsize=64)
def _series_of(metric: Metric) -> Query[store.PointRow]:
    return store.series_of(metric.name, metric.how, metric.over)


@functools.lru_cache(maxsize=64)
def _total_of(metric: Metric) -> Query[store.ValueRow]:
    return store.total_of(metric.name, metric.how, metric.over)


@functools.lru_cache(maxsize=256)
def _ranking_of(by: str, of: str, metric: Metric) -> Query[store.Ranked]:
    return store.ranking_of(by, of, name=metric.name, how=metric.how, over=metric.over)


@functools.lru_cache(maxsize=64)
def _heat_of(metric: Metric) -> Query[store.Heat]:
    return store.heat_of(metric.name, metric.how, metric.over)


async def narrowed(tx: Tx, tenant: Tenant, *, country: str | None, region: str | None) -> Tenant:
    """
    Tell whose figures are asked for when only those of a country or a region are.

    Raises:
        TenantRefused: somebody who is in one is asked for, or the country is in another region.
    """
    if country is None and region is None:
        return tenant
    if tenant.type != "platform":
        raise TenantRefused("Only the platform's figures are told by country or region.")
    if country is None:
        return Tenant("region", region)
    if region is not None:
        found = await tx.one(store.FIND_REGION, country=country)
        if found is None or found.region != region:
            raise TenantRefused(f"{country} is not in {region}.", country=country, region=region)
    return Tenant("country", country)


async def currency_of(tx: Tx, tenant: Tenant, currency: str | None = None) -> str:
    """Name the currency to show: what is asked for, or else what *tenant* has most of."""
    if currency is not None:
        return currency
    listed = await currencies_of(tx, tenant)
    if listed:
        return listed[0]
    found = await tx.one(store.FIND_CURRENCY, scope=tenant.scope)
    assert found is not None
    return found.currency


async def currencies_of(tx: Tx, tenant: Tenant) -> list[str]:
    """List the currencies of the last month, those with most sales first."""
    return [row.currency for row in await tx.all(store.LIST_CURRENCIES, scope=tenant.scope)]


async def overview(tx: Tx, tenant: Tenant, *, currency: str | None = None) -> Overview:
    """
    Tell how the last seven days went: stored within the last five minutes, or counted now.

    Currencies are never mixed: each has figures of its own.
    """
    found = await tx.one(store.FIND_SNAPSHOT, scope=tenant.scope)
    if found is None:
        found = await tx.one(store.COMPUTE_SNAPSHOT, scope=tenant.scope)
    assert found is not None
    shown = await currency_of(tx, tenant, currency)
    ends = found.snapshot_ts - timedelta(days=OVERVIEW_DAYS)
    previous = {}
    for name in COMPARED:
        begins = ends - timedelta(days=OVERVIEW_DAYS)
        previous[name] = await total(tx, name, tenant, begins=begins, ends=ends, currency=shown)
    return Overview(
        tenant,
        shown,
        await currencies_of(tx, tenant) or [shown],
        _EMPTY | found.payload.get(shown, {}),
        found.snapshot_ts,
        previous,
    )


async def total(
    tx: Tx, metric: str, tenant: Tenant, *, begins: datetime, ends: datetime, currency: str
) -> Value:
    """Tell what one figure comes to over a time."""
    known = metric_named(metric)
    row = await tx.one(
        _total_of(known), scope=tenant.scope, currency=currency, begins=begins, ends=ends
    )
    assert row is not None
    return _plain(row.value, known)


def first_hour(begins: datetime) -> datetime:
    """Name the first hour that is whole after *begins*: figures count whole hours."""
    whole = begins.replace(minute=0, second=0, microsecond=0)
    return whole if whole == begins else whole + timedelta(hours=1)


async def series(
    tx: Tx,
    metric: str,
    tenant: Tenant,
    *,
    span: Span,
    currency: str | None = None,
) -> Series:
    """
    Tell one figure by hours or days.

    Raises:
        MetricUnknown: there is no such figure.
    """
    known = metric_named(metric)
    shown = await currency_of(tx, tenant, currency)
    rows = await tx.all(
        _series_of(known),
        scope=tenant.scope,
        currency=shown,
        begins=span.start,
        bucket=span.bucket,
        buckets=(span.end - span.start) // span.bucket,
    )
    points = [Point(row.at, _plain(row.value, known)) for row in rows]
    return Series(known.name, known.unit, shown, points)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Of whom the most are listed, by which figure, and of how long a time."""

    by: By
    metric: str
    span: Span
    limit: int = 10


async def ranking(
    tx: Tx, asked: Ranking, tenant: Tenant, *, currency: str | None = None
) -> list[Ranked]:
    """List who of *tenant* has most of one figure, in one currency."""
    known = metric_named(asked.metric)
    rows = await tx.all(
        _ranking_of(asked.by, tenant.type, known),
        scope=tenant.scope,
        currency=await currency_of(tx, tenant, currency),
        begins=asked.span.start,
        ends=asked.span.end,
        limit=asked.limit,
    )
    return [Ranked(row.id, row.name, _plain(row.value, known)) for row in rows]


async def heatmap(
    tx: Tx, metric: str, tenant: Tenant, *, span: Span, currency: str | None = None
) -> list[Heat]:
    """Tell on which hours of which weekdays one figure falls, in UTC."""
    known = metric_named(metric)
    shown = await currency_of(tx, tenant, currency)
    rows = await tx.all(
        _heat_of(known), scope=tenant.scope, currency=shown, begins=span.start, ends=span.end
    )
    return [Heat(row.weekday, row.hour, _plain(row.value, known)) for row in rows]


async def agents(
    tx: Tx,
    tenant: Tenant = PLATFORM,
    *,
    currency: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[Agent]:
    """List *tenant*'s agents, those with the least of what they need first."""
    return await tx.all(
        agent_store.LIST_AGENTS,
        tenant_type=tenant.type,
        tenant_id=tenant.id,
        currency=currency,
        limit=limit,
        offset=offset,
    )


async def agents_nearby(
    tx: Tx, latitude: float, longitude: float, *, radius_km: float = 50, limit: int = 100
) -> list[Agent]:
    """List active agents around a point, nearest first."""
    return await tx.all(
        agent_store.LIST_NEARBY,
        latitude=latitude,
        longitude=longitude,
        radius_km=radius_km,
        limit=limit,
    )


async def behind(
    tx: Tx,
    metric: str,
    tenant: Tenant,
    *,
    times: tuple[datetime, datetime],
    currency: str | None = None,
) -> list[Behind]:
    """List the newest 50 rows that a figure counts between two times."""
    known = metric_named(metric)
    shown = await currency_of(tx, tenant, currency)
    return await tx.all(
        store.BEHIND[_BEHIND.get(known.name, "sales")],
        tenant_type=tenant.type,
        tenant_id=tenant.id,
        currency=shown,
        begins=times[0],
        ends=times[1],
        limit=50,
    )


async def tenants(tx: Tx, type_: OfType, *, search: str = "", limit: int = 20) -> list[Named]:
    """List whom figures can be shown of."""
    if type_ == "platform":
        return []
    return await tx.all(store.TENANTS[type_], search=search, limit=limit)


def _plain(value: Decimal | None, metric: Metric) -> Value:
    if value is None:
        return None
    return float(value) if metric.unit == "share" else int(value)
