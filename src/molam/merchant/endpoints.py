"""The merchant API under /api/merchant."""

from __future__ import annotations

from datetime import date, datetime

import msgspec
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel import canonical
from molam.kernel.currency import Currency, UnknownCurrency, currency
from molam.kernel.refusals import Kind, Refusal
from molam.merchant import cache, commands, intake, model, permissions, queries, views
from molam.payments import queries as payments
from molam.payments.list_store import TransactionRow
from molam.platform.db import Database
from molam.platform.web import Caller, CursorRefused, Routes
from molam.tenancy.queries import MerchantAbsent

routes = Routes()

EVENTS_BYTES_MAX = 1024 * 1024


class AmountRangeMalformed(Refusal):
    code = "amount-range-malformed"
    kind = Kind.MALFORMED
    title = "The range of amounts is empty"


class DateRangeMalformed(Refusal):
    code = "date-range-malformed"
    kind = Kind.MALFORMED
    title = "The range of dates is not one"


@routes.get(
    "/api/merchant/summary",
    needs=permissions.VIEW_KPIS,
    query=views.SummaryQuery,
    answers=views.SummaryView,
    refuses=(model.PeriodMalformed, UnknownCurrency, MerchantAbsent),
)
async def summary(request: Request, caller: Caller, query: views.SummaryQuery) -> Response:
    """Answer a period's figures, their comparison to the period before, and their series."""
    state, merchant_id = request.app.state, caller.merchant
    key = (merchant_id, query.period, query.currency)
    if query.reporting is None:
        body = await state.bodies.find(state.db, key, now=state.clock.now())
        if body is not None:
            return Response(body, media_type="application/json")
    period = model.parse_period(query.period)
    code = query.currency
    if code is None:
        code = (await queries.settings_of(state.db, merchant_id=merchant_id)).default_currency
    found, view = await summarise(
        state, merchant_id=merchant_id, period=period, code=currency(code).code
    )
    if query.reporting is not None:
        view.reporting = await _reported(state, merchant_id, period, currency(query.reporting))
        return Response(views.encode(view), media_type="application/json")
    body = views.encode(view)
    until = min(found.valid_until, state.clock.now() + cache.BODY_TTL)
    state.bodies.keep(key, body, version=found.version, until=until)
    return Response(body, media_type="application/json")


async def summarise(
    state: State, *, merchant_id: str, period: model.Period, code: str
) -> tuple[cache.Figures, views.SummaryView]:
    """Read a period's figures and write them as the API shows them."""
    now = state.clock.now()
    found = await cache.figures(
        state.db, merchant_id=merchant_id, period=period, currency=code, now=now
    )
    rates = await state.rates.on(state.db, now.date())
    return found, views.SummaryView(
        ok=True,
        merchant_id=merchant_id,
        period=str(period),
        currency=code,
        from_=found.from_day,
        to=found.to_day,
        computed_at=found.computed_at,
        summary={
            key: views.kpi_view(queries.kpi(key, found, code, rates)) for key in model.KPI_KEYS
        },
        series=views.SeriesView(
            step="hour" if found.from_day == found.to_day else "day",
            columns=views.COLUMNS,
            rows=msgspec.Raw((found.series or "[]").encode()),
        ),
        fx=views.fx_view(code, queries.USD.code, rates.find(code, queries.USD.code)),
    )


async def _reported(
    state: State, merchant_id: str, period: model.Period, into: Currency
) -> views.ReportingView:
    totals, used = await queries.converted_totals(
        state.db, merchant_id=merchant_id, period=period, into=into.code, now=state.clock.now()
    )
    return views.ReportingView(
        currency=into.code,
        totals=totals,
        rates=[views.fx_view(base, into.code, each) for base, each in used],
    )


@routes.get(
    "/api/merchant/transactions",
    needs=permissions.VIEW_TRANSACTIONS,
    query=views.TransactionsQuery,
    answers=views.TransactionsView,
    refuses=(CursorRefused, UnknownCurrency, AmountRangeMalformed, DateRangeMalformed),
)
async def transactions(
    request: Request, caller: Caller, query: views.TransactionsQuery
) -> Response:
    """List transactions, newest first, by cursor or by the specification's offset."""
    db, cursors = request.app.state.db, request.app.state.cursors
    merchant_id = caller.merchant
    filters = await filters_of(db, merchant_id, query)
    unfiltered = {"cursor": 0, "limit": 0, "offset": 0, "total": 0}
    scope = (merchant_id, msgspec.structs.asdict(query) | unfiltered)
    beyond = None
    if query.cursor is not None:
        beyond = cursors.open(query.cursor, payments.Position, filters=scope)
    page = await queries.transactions(
        db,
        merchant_id=merchant_id,
        filters=filters,
        beyond=beyond,
        limit=query.limit,
        offset=0 if beyond else query.offset,
    )
    total = None
    if query.total:
        total = await queries.transactions_total(db, merchant_id=merchant_id, filters=filters)
    first, last = (page.rows[0], page.rows[-1]) if page.rows else (None, None)
    return Response(
        views.encode(
            views.TransactionsView(
                ok=True,
                limit=query.limit,
                offset=query.offset,
                page=query.offset // query.limit + 1,
                total=total,
                total_pages=None if total is None else -(-total // query.limit),
                has_more=page.has_older,
                next_cursor=cursors.seal(position_of(last, newer=False), filters=scope)
                if last and page.has_older
                else None,
                previous_cursor=cursors.seal(position_of(first, newer=True), filters=scope)
                if first and page.has_newer
                else None,
                rows=[views.transaction_view(row) for row in page.rows],
            )
        ),
        media_type="application/json",
    )


@routes.get(
    "/api/merchant/transactions/{id:path}",
    needs=permissions.VIEW_TRANSACTIONS,
    answers=views.TransactionDetailView,
    refuses=(payments.TransactionAbsent,),
)
async def transaction(request: Request, caller: Caller) -> views.TransactionDetailView:
    """Show one transaction with its refunds, disputes and ledger entries."""
    detail = await queries.transaction(
        request.app.state.db, merchant_id=caller.merchant, id_=request.path_params["id"]
    )
    return views.TransactionDetailView(
        ok=True,
        transaction=views.transaction_view(detail.row),
        original_id=detail.row.original_id,
        reason=detail.row.reason,
        created_at=detail.row.created_at,
        updated_at=detail.row.updated_at,
        refunds=[views.transaction_view(row) for row in detail.refunds],
        disputes=[
            views.DisputeView(
                each.id,
                each.status,
                each.state,
                each.reason,
                each.amount,
                each.currency,
                each.occurred_at,
            )
            for each in detail.disputes
        ],
        entries=[
            views.EntryView(each.account_id, each.amount, each.currency, each.cause, each.posted_at)
            for each in detail.entries
        ],
    )


@routes.get(
    "/api/merchant/alerts",
    needs=permissions.VIEW_ALERTS,
    query=views.AlertsQuery,
    answers=views.AlertsView,
)
async def alerts(request: Request, caller: Caller, query: views.AlertsQuery) -> views.AlertsView:
    """List alerts, newest first; active ones unless asked otherwise."""
    rows = await queries.alerts(
        request.app.state.db,
        merchant_id=caller.merchant,
        status=None if query.status == "all" else query.status,
        severity=query.severity,
        alert_type=query.type,
        limit=query.limit,
    )
    return views.AlertsView(ok=True, rows=[views.alert_view(row) for row in rows])


@routes.post(
    "/api/merchant/alerts/{id:uuid}/acknowledge",
    needs=permissions.ACKNOWLEDGE_ALERTS,
    answers=views.AlertAnswer,
    refuses=(commands.AlertAbsent,),
)
async def acknowledge_alert(request: Request, caller: Caller) -> views.AlertAnswer:
    """Record that a person has seen an alert. Safe to repeat."""
    alert = await commands.acknowledge_alert(
        request.app.state.db,
        caller=caller,
        alert_id=request.path_params["id"],
        now=request.app.state.clock.now(),
    )
    return views.AlertAnswer(ok=True, alert=views.alert_view(alert))


@routes.post(
    "/api/merchant/events",
    needs=permissions.POST_EVENTS,
    body=list[intake.CloudEvent],
    answers=views.EventsAnswer,
    media=("application/cloudevents-batch+json", "application/json"),
    body_bytes_max=EVENTS_BYTES_MAX,
    status=202,
    refuses=(canonical.JsonMalformed, intake.EventRefused, intake.MerchantUnknown),
)
async def post_events(
    request: Request, _caller: Caller, body: list[intake.CloudEvent]
) -> views.EventsAnswer:
    """
    Take a batch of CloudEvents from a wallet: all of it, or none and the reason.

    The answer means that the events are durable; they are counted moments later.
    Sending a batch again is safe.
    """
    accepted = await intake.accept_events(request.app.state.db, events=body)
    return views.EventsAnswer(ok=True, accepted=accepted)


def position_of(row: TransactionRow, *, newer: bool) -> payments.Position:
    return payments.Position(row.occurred_at, row.id, row.type, newer)


async def filters_of(
    db: Database, merchant_id: str, query: views.TransactionsQuery
) -> payments.Filters:
    """
    Read the filters of an address, with days as the merchant's.

    Raises:
        UnknownCurrency, AmountRangeMalformed, DateRangeMalformed: one that filters nothing.
    """
    if query.currency is not None:
        currency(query.currency)
    if (query.amount_min or 0) > (query.amount_max if query.amount_max is not None else 2**63):
        raise AmountRangeMalformed("amount_min is greater than amount_max.")
    from_at = to_at = None
    if query.from_ is not None or query.to is not None:
        timezone = (await queries.settings_of(db, merchant_id=merchant_id)).timezone
        from_at, to_at = dates(query.from_, query.to, timezone)
    return payments.Filters(
        status=query.status,
        type=query.type,
        channel=query.channel,
        currency=query.currency,
        amount_min=query.amount_min,
        amount_max=query.amount_max,
        from_at=from_at,
        to_at=to_at,
        search=(query.q or "").strip() or None,
    )


def dates(
    first: str | None, last: str | None, timezone: str
) -> tuple[datetime | None, datetime | None]:
    """
    Read the two ends of a date filter as a half-open range of instants.

    Raises:
        DateRangeMalformed: neither a day nor an instant with an offset, or empty.
    """
    from_at = None if first is None else _instant(first, timezone, end=False)
    to_at = None if last is None else _instant(last, timezone, end=True)
    if from_at is not None and to_at is not None and from_at >= to_at:
        raise DateRangeMalformed("The range ends before it starts.")
    return from_at, to_at


def _instant(text: str, timezone: str, *, end: bool) -> datetime:
    try:
        if len(text) == len("2026-01-31"):
            day = date.fromisoformat(text)
            if not model.YEAR_MIN <= day.year <= model.YEAR_MAX:
                raise ValueError
            return model.day_ends_at(day if end else day - model.ONE_DAY, timezone)
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise DateRangeMalformed("Write YYYY-MM-DD, or a time with its offset.") from None
    if instant.tzinfo is None or not model.YEAR_MIN <= instant.year <= model.YEAR_MAX:
        raise DateRangeMalformed("A time needs its offset, such as Z or +01:00.")
    return instant
