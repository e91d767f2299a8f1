"""Questions the merchant API and pages ask; every one names its merchant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from molam.kernel.clock import Instant
from molam.kernel.currency import CURRENCIES
from molam.kernel.money import Money
from molam.ledger import queries as ledger
from molam.ledger.model import Rate, Rates
from molam.ledger.store import EntryRow
from molam.merchant import model, store
from molam.merchant.cache import Figures, figures
from molam.merchant.dashboards import MerchantSettings, settings_of
from molam.payments import queries as payments
from molam.payments.list_store import DisputeRow, TransactionRow
from molam.platform.db import Database

__all__ = [
    "Kpi",
    "MerchantSettings",
    "Point",
    "Summary",
    "TransactionDetail",
    "alerts",
    "converted_totals",
    "currencies",
    "figures",
    "kpi",
    "methods",
    "open_disputes",
    "settings_of",
    "summary",
    "transaction",
    "transactions",
    "transactions_total",
]

USD = CURRENCIES["USD"]


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure, beside that of the previous period of equal length."""

    key: str
    value: int | Decimal | None
    unit: model.Unit
    currency: str
    txn_count: int
    previous: int | Decimal | None
    change: Decimal | None
    usd_equivalent: int | None


@dataclass(frozen=True, slots=True)
class Point:
    """One bar of the chart; *at* is the local hour or day it starts."""

    at: datetime
    sales: int
    refunds: int
    fees: int
    payments: int
    created: int


@dataclass(frozen=True, slots=True)
class Summary:
    period: str
    currency: str
    from_day: date
    to_day: date
    timezone: str
    kpis: dict[str, Kpi]
    series: tuple[Point, ...]
    previous_series: tuple[Point, ...]
    step: model.Step
    computed_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class TransactionDetail:
    row: TransactionRow
    refunds: list[TransactionRow]
    disputes: list[DisputeRow]
    entries: list[EntryRow]


async def summary(
    db: Database, *, merchant_id: str, period: str, currency: str, now: Instant
) -> Summary:
    """
    Answer what a merchant sold in a period, how that compares, and when.

    Raises:
        model.PeriodMalformed: no such period.
        MerchantAbsent: nobody registered this merchant.
    """
    asked = model.parse_period(period)
    settings = await settings_of(db, merchant_id=merchant_id)
    found = await figures(db, merchant_id=merchant_id, period=asked, currency=currency, now=now)
    days = model.DayRange(found.from_day, found.to_day)
    before = days.previous()
    step = model.step_of(days)
    statement = store.LIST_HOURS if step == "hour" else store.LIST_DAYS
    async with db.transaction("merchant.series", merchant_id=merchant_id, readonly=True) as tx:
        rows = await tx.all(
            statement,
            merchant_id=merchant_id,
            currency=currency,
            from_day=before.first,
            to_day=days.last,
        )
    rates = await ledger.rates_on(db, days.last)
    return Summary(
        period=str(asked),
        currency=currency,
        from_day=days.first,
        to_day=days.last,
        timezone=settings.timezone,
        kpis={key: kpi(key, found, currency, rates) for key in model.KPI_KEYS},
        series=_points(rows, days, step, settings.timezone),
        previous_series=_points(rows, before, step, settings.timezone),
        step=step,
        computed_at=found.computed_at,
        version=found.version,
    )


def kpi(key: str, found: Figures, currency: str, rates: Rates) -> Kpi:
    """Turn the sums behind a figure into the figure and its comparison."""
    definition = model.KPIS[key]
    numerator, denominator, txn_count, previous_numerator, previous_denominator = found.sums[key]
    value = model.value(numerator, denominator, definition.unit)
    previous = model.value(previous_numerator, previous_denominator, definition.unit)
    dollars = None
    if definition.unit == "minor" and isinstance(value, int):
        converted = rates.convert(Money(value, CURRENCIES[currency]), USD)
        dollars = None if converted is None else converted.minor
    return Kpi(
        key=key,
        value=value,
        unit=definition.unit,
        currency="%" if definition.unit == "percent" else currency,
        txn_count=txn_count,
        previous=previous,
        change=model.change(value, previous),
        usd_equivalent=dollars,
    )


async def converted_totals(
    db: Database,
    *,
    merchant_id: str,
    period: model.Period,
    into: str,
    now: Instant,
) -> tuple[dict[str, int | None], list[tuple[str, Rate | None]]]:
    """
    Add up the money figures of all the merchant's currencies in one of them.

    A figure is None as soon as one currency in it has no known rate. Returns the
    figures, and the rate used for each currency.
    """
    codes = await currencies(db, merchant_id=merchant_id)
    rates = await ledger.rates_on(db, now.date())
    used = [(code, rates.find(code, into)) for code in codes]
    totals: dict[str, int | None] = {
        key: 0
        for key, definition in model.KPIS.items()
        if definition.unit == "minor" and definition.denominator is None
    }
    for code, rate in used:
        found = await figures(db, merchant_id=merchant_id, period=period, currency=code, now=now)
        for key, total in totals.items():
            amount = Money(found.sums[key][0], CURRENCIES[code])
            part = None if rate is None else rates.convert(amount, CURRENCIES[into])
            totals[key] = None if total is None or part is None else total + part.minor
    return totals, used


async def methods(
    db: Database, *, merchant_id: str, period: str, currency: str, now: Instant
) -> list[store.MethodRow]:
    """Share a period's succeeded payments out over the methods they came by."""
    settings = await settings_of(db, merchant_id=merchant_id)
    days = model.range_of(model.parse_period(period), model.local_day(now, settings.timezone))
    async with db.transaction("merchant.methods", merchant_id=merchant_id, readonly=True) as tx:
        return await tx.all(
            store.LIST_METHODS,
            merchant_id=merchant_id,
            currency=currency,
            from_day=days.first,
            to_day=days.last,
        )


async def currencies(db: Database, *, merchant_id: str) -> list[str]:
    """List the currencies the merchant has figures in."""
    async with db.transaction("merchant.currencies", merchant_id=merchant_id, readonly=True) as tx:
        rows = await tx.all(store.LIST_CURRENCIES, merchant_id=merchant_id)
    return [row.currency for row in rows]


async def transactions(
    db: Database,
    *,
    merchant_id: str,
    filters: payments.Filters,
    beyond: payments.Position | None,
    limit: int,
    offset: int = 0,
) -> payments.Page:
    async with db.transaction(
        "merchant.transactions", merchant_id=merchant_id, readonly=True
    ) as tx:
        return await payments.list_transactions(
            tx,
            merchant_id=merchant_id,
            filters=filters,
            beyond=beyond,
            limit=limit,
            offset=offset,
        )


async def transactions_total(db: Database, *, merchant_id: str, filters: payments.Filters) -> int:
    """Count transactions, up to `payments.TOTAL_MAX`: beyond, nobody counts pages."""
    async with db.transaction("merchant.total", merchant_id=merchant_id, readonly=True) as tx:
        return await payments.count_transactions(tx, merchant_id=merchant_id, filters=filters)


async def transaction(db: Database, *, merchant_id: str, id_: str) -> TransactionDetail:
    """
    Raises:
        payments.TransactionAbsent: the merchant has no such transaction.
    """
    async with db.transaction("merchant.transaction", merchant_id=merchant_id, readonly=True) as tx:
        row = await payments.get_transaction(tx, merchant_id=merchant_id, id_=id_)
        refunds = await payments.refunds_of(tx, merchant_id=merchant_id, id_=id_)
        disputes = await payments.disputes_of(tx, merchant_id=merchant_id, id_=id_)
        causes = [id_, *(refund.id for refund in refunds), *(dispute.id for dispute in disputes)]
        entries = await ledger.entries_of(tx, merchant_id=merchant_id, cause_ids=causes)
    return TransactionDetail(row, refunds, disputes, entries)


async def alerts(
    db: Database,
    *,
    merchant_id: str,
    status: str | None,
    limit: int,
    severity: str | None = None,
    alert_type: str | None = None,
) -> list[store.AlertRow]:
    """List alerts, newest first."""
    async with db.transaction("merchant.alerts", merchant_id=merchant_id, readonly=True) as tx:
        return await tx.all(
            store.LIST_ALERTS,
            merchant_id=merchant_id,
            status=status,
            severity=severity,
            alert_type=alert_type,
            limit=limit,
        )


async def alert_types(db: Database, *, merchant_id: str) -> list[str]:
    """List the kinds of alerts that the merchant ever had."""
    async with db.transaction("merchant.alert_types", merchant_id=merchant_id, readonly=True) as tx:
        rows = await tx.all(store.LIST_ALERT_TYPES, merchant_id=merchant_id)
    return [row.alert_type for row in rows]


async def open_disputes(db: Database, *, merchant_id: str) -> int:
    async with db.transaction("merchant.disputes", merchant_id=merchant_id, readonly=True) as tx:
        return await payments.open_disputes(tx, merchant_id=merchant_id)


def _points(
    rows: list[store.PointRow], days: model.DayRange, step: model.Step, timezone: str
) -> tuple[Point, ...]:
    """Lay the buckets on every hour or day of the range; a missing one is zero."""
    found = {(row.day, row.hour): row for row in rows}
    zone = ZoneInfo(timezone)
    if step == "hour":
        slots = [(days.first, hour) for hour in range(24)]
    else:
        slots = [(days.first + timedelta(days=index), 0) for index in range(days.days)]
    return tuple(_point(day, hour, found.get((day, hour)), zone) for day, hour in slots)


def _point(day: date, hour: int, row: store.PointRow | None, zone: ZoneInfo) -> Point:
    at = datetime(day.year, day.month, day.day, hour, tzinfo=zone)
    if row is None:
        return Point(at, 0, 0, 0, 0, 0)
    return Point(at, row.sales, row.refunds, row.fees, row.payment_count, row.created_count)
