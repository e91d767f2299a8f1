"""The wire shapes of the merchant API, and how rows become them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.ledger.model import Rate
from molam.merchant import queries
from molam.merchant.store import AlertRow
from molam.payments.list_store import TransactionRow
from molam.platform.web.wire import Minor, PageLimit, ShortText

OFFSET_MAX = 10_000

PeriodText = Annotated[
    str,
    Meta(
        max_length=64,
        description="today, yesterday, last_7d, mtd, ytd or custom:YYYY-MM-DD:YYYY-MM-DD",
    ),
]
Currency = Annotated[str, Meta(min_length=3, max_length=3, description="ISO 4217 code")]


class SummaryQuery(msgspec.Struct, forbid_unknown_fields=True):
    period: PeriodText = "mtd"
    currency: Currency | None = None
    reporting: Currency | None = None
    """Also add up all currencies in this one."""


class KpiView(msgspec.Struct, omit_defaults=True):
    """Money is in minor units of *currency*; a rate's currency is ``%``; null is unknown."""

    value: int | Decimal | None
    currency: str
    unit: Literal["minor", "percent", "count"]
    txn_count: int
    previous: int | Decimal | None
    change: Decimal | None
    """Fraction of the previous period of equal length."""
    usd_equivalent: int | None = None


class SeriesView(msgspec.Struct):
    step: Literal["hour", "day"]
    columns: tuple[str, ...]
    rows: msgspec.Raw
    """One array for each local hour or day in which something happened."""


class FxView(msgspec.Struct):
    base: str
    quote: str
    rate: Decimal | None
    """Null: no rate is known, so nothing is converted."""
    as_of: date | None
    source: str | None
    indicative: bool


class ReportingView(msgspec.Struct):
    """All currencies together; a figure is null when a rate it needs is unknown."""

    currency: str
    totals: dict[str, int | None]
    rates: list[FxView]


class SummaryView(msgspec.Struct, omit_defaults=True):
    ok: bool
    merchant_id: str
    period: str
    currency: str
    from_: date = msgspec.field(name="from")
    to: date
    computed_at: datetime
    summary: dict[str, KpiView]
    series: SeriesView
    fx: FxView
    reporting: ReportingView | None = None


class TransactionsQuery(msgspec.Struct, forbid_unknown_fields=True):
    status: Literal["succeeded", "pending", "failed", "refunded"] | None = None
    type: Literal["payment", "refund"] | None = None
    channel: Literal["wallet", "card", "bank_transfer"] | None = None
    currency: Currency | None = None
    amount_min: Minor | None = None
    amount_max: Minor | None = None
    from_: ShortText | None = msgspec.field(name="from", default=None)
    """A local day, or an instant with an offset; included."""
    to: ShortText | None = None
    """A local day (the whole of it is included), or an instant (excluded)."""
    q: Annotated[str, Meta(min_length=2, max_length=100)] | None = None
    """The beginning of a reference, a customer's name, e-mail or phone, or a whole id."""
    limit: PageLimit = 50
    offset: Annotated[int, Meta(ge=0, le=OFFSET_MAX)] = 0
    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    total: bool = False
    """Also count what the filters leave, up to 10,000."""


class TransactionView(msgspec.Struct):
    id: str
    type: str
    amount: int
    currency: str
    fee_molam: int
    status: str
    state: str
    reference_code: str | None
    channel: str
    provider: str | None
    occurred_at: datetime
    customer_name: str | None
    customer_email: str | None
    customer_phone: str | None
    refunded_amount: int
    imported: bool
    metadata: dict[str, Any]


class TransactionsView(msgspec.Struct):
    ok: bool
    limit: int
    offset: int
    page: int
    total: int | None
    """Null unless asked for; 10,000 may mean more."""
    total_pages: int | None
    has_more: bool
    next_cursor: str | None
    previous_cursor: str | None
    rows: list[TransactionView]


class EntryView(msgspec.Struct):
    account: str
    amount: int
    currency: str
    cause: str
    posted_at: datetime


class DisputeView(msgspec.Struct):
    id: str
    status: str
    state: str
    reason: str | None
    amount: int
    currency: str
    occurred_at: datetime


class TransactionDetailView(msgspec.Struct):
    ok: bool
    transaction: TransactionView
    original_id: str | None
    reason: str | None
    created_at: datetime
    updated_at: datetime
    refunds: list[TransactionView]
    disputes: list[DisputeView]
    entries: list[EntryView]


class AlertsQuery(msgspec.Struct, forbid_unknown_fields=True):
    status: Literal["active", "acknowledged", "resolved", "dismissed", "all"] = "active"
    severity: Literal["info", "warning", "critical"] | None = None
    type: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    limit: PageLimit = 50


class AlertView(msgspec.Struct):
    id: UUID
    alert_type: str
    severity: str
    title: str
    description: str
    status: str
    related_transactions: list[str]
    sira_tags: list[str]
    sira_recommendations: list[str]
    created_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    facts: dict[str, Any]


class AlertsView(msgspec.Struct):
    ok: bool
    rows: list[AlertView]


class AlertAnswer(msgspec.Struct):
    ok: bool
    alert: AlertView


class EventsAnswer(msgspec.Struct):
    ok: bool
    accepted: int


COLUMNS = ("at", "sales", "refunds", "fees", "payments", "transactions")


COLUMNS = ("at", "sales", "refunds", "fees", "payments", "transactions")

# Rates and averages are exact decimals; JSON carries them as numbers, digit for digit.
encode = msgspec.json.Encoder(decimal_format="number").encode


def kpi_view(each: queries.Kpi) -> KpiView:
    return KpiView(
        each.value,
        each.currency,
        each.unit,
        each.txn_count,
        each.previous,
        each.change,
        each.usd_equivalent,
    )


def fx_view(base: str, quote: str, rate: Rate | None) -> FxView:
    if rate is None:
        return FxView(base, quote, None, None, None, indicative=False)
    exact = Decimal(rate.value.numerator) / Decimal(rate.value.denominator)
    as_of = None if rate.as_of == date.min else rate.as_of
    return FxView(base, quote, round(exact, 12), as_of, rate.source, indicative=rate.indicative)


def transaction_view(row: TransactionRow) -> TransactionView:
    customer = row.customer
    return TransactionView(
        id=row.id,
        type=row.type,
        amount=row.amount,
        currency=row.currency,
        fee_molam=row.fee_molam,
        status=row.status,
        state=row.state,
        reference_code=row.reference_code,
        channel=row.channel,
        provider=row.provider,
        occurred_at=row.occurred_at,
        customer_name=customer.get("name"),
        customer_email=customer.get("email"),
        customer_phone=customer.get("phone"),
        refunded_amount=row.refunded_amount,
        imported=row.imported,
        metadata=row.metadata,
    )


def alert_view(row: AlertRow) -> AlertView:
    return AlertView(
        id=row.id,
        alert_type=row.alert_type,
        severity=row.severity,
        title=row.title,
        description=row.description,
        status=row.status,
        related_transactions=row.related_transactions,
        sira_tags=row.sira_tags,
        sira_recommendations=row.sira_recommendations,
        created_at=row.created_at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        resolved_at=row.resolved_at,
        resolved_by=row.resolved_by,
        facts=row.facts,
    )
