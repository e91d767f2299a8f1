"""The merchant web app's pages: overview, transactions, alerts, signing in."""

from __future__ import annotations

import asyncio
import functools
from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.currency import CURRENCIES, UnknownCurrency, currency
from molam.ledger import rates
from molam.merchant import commands, figures, frame, model, permissions, queries, views
from molam.merchant.endpoints import position_of
from molam.merchant.filters import Asked, read_filters
from molam.merchant.store import AlertRow
from molam.payments import queries as payments
from molam.payments.refunds import queries as refunds
from molam.platform.db import Database
from molam.platform.web import PUBLIC, Caller, CursorRefused, Routes
from molam.platform.web.preferences import local_path
from molam.platform.web.templating import dom_id, language_of
from molam.sira import sentences

routes = Routes()

LATEST_ROWS = 8
ALERTS_SHOWN = 4
ALERTS_LISTED = 100
PAGE_ROWS = 50

Live = Annotated[Literal["0"], Meta(description="0: do not connect to the live stream")]


class OverviewQuery(msgspec.Struct, forbid_unknown_fields=True):
    period: Annotated[str, Meta(max_length=64)] | None = None
    currency: Annotated[str, Meta(max_length=3)] | None = None
    from_: date | None = msgspec.field(name="from", default=None)
    to: date | None = None
    live: Live | None = None


class AlertsQuery(msgspec.Struct, forbid_unknown_fields=True):
    status: Literal["active", "all"] = "active"
    severity: Literal["info", "warning", "critical"] | None = None
    type: Annotated[str, Meta(max_length=64)] | None = None
    live: Live | None = None


class SignInQuery(msgspec.Struct, forbid_unknown_fields=True):
    next: Annotated[str, Meta(max_length=1024)] = "/"
    acr_values: Annotated[str, Meta(max_length=64)] | None = None
    max_age: Annotated[str, Meta(max_length=8)] | None = None


@routes.get("/sign-in", needs=PUBLIC, page=True, query=SignInQuery)
async def sign_in(request: Request, _caller: Caller, query: SignInQuery) -> Response:
    """Welcome a visitor who has not signed in."""
    if query.acr_values is not None:
        # Already signed in and asked for more: nothing to welcome them to.
        given = {"next": query.next, "acr_values": query.acr_values, "max_age": query.max_age}
        wanted = urlencode({key: value for key, value in given.items() if value is not None})
        return RedirectResponse(f"/auth/sign-in?{wanted}", status_code=HTTPStatus.SEE_OTHER)
    return frame.TEMPLATES.page(request, None, "sign_in.html", next=local_path(query.next))


@routes.get(
    "/",
    needs=permissions.VIEW_TRANSACTIONS,
    page=True,
    query=OverviewQuery,
    refuses=(model.PeriodMalformed, UnknownCurrency),
)
async def overview(request: Request, caller: Caller, query: OverviewQuery) -> Response:
    """Show the period's figures, or the transactions to those who may not see figures."""
    if not frame.may(caller, permissions.VIEW_KPIS):
        return RedirectResponse("/transactions", status_code=HTTPStatus.SEE_OTHER)
    db, merchant_id = request.app.state.db, caller.merchant
    shop = await queries.settings_of(db, merchant_id=merchant_id)
    currencies = await _currencies(db, merchant_id, shop)
    period, refused = _period(query, shop.default_period)
    view = await read_overview(
        request.app.state,
        merchant_id=merchant_id,
        period=period,
        code=currency(query.currency or shop.default_currency).code,
        sees_alerts=frame.may(caller, permissions.VIEW_ALERTS),
    )
    return await frame.page(
        request,
        caller,
        "overview.html",
        place="overview",
        shop=shop,
        live=query.live is None,
        view=view,
        currencies=currencies,
        period_refused=refused,
        dollar=await _dollar(request.app.state, view.currency),
        late_since=await _late_since(db),
    )


async def _dollar(state: State, code: str) -> views.FxView | None:
    """Tell what a dollar is worth in *code*, of which day and by whom; None when nobody knows."""
    rate = (await state.rates.on(state.db, state.clock.now().date())).find("USD", code)
    return None if rate is None or code == "USD" else views.fx_view("USD", code, rate)


async def _late_since(db: Database) -> datetime | None:
    found = await rates.freshness(db)
    return None if found is None else found.stale_since


async def read_overview(
    state: State,
    *,
    merchant_id: str,
    period: str,
    code: str,
    sees_alerts: bool,
) -> figures.Overview:
    """Ask everything the overview shows."""
    db, now = state.db, state.clock.now()
    summary, shares, latest, open_disputes, alerts = await asyncio.gather(
        queries.summary(db, merchant_id=merchant_id, period=period, currency=code, now=now),
        queries.methods(db, merchant_id=merchant_id, period=period, currency=code, now=now),
        queries.transactions(
            db,
            merchant_id=merchant_id,
            filters=payments.Filters(),
            beyond=None,
            limit=LATEST_ROWS,
        ),
        queries.open_disputes(db, merchant_id=merchant_id),
        _active_alerts(db, merchant_id, limit=ALERTS_SHOWN) if sees_alerts else _none(),
    )
    return figures.overview(
        summary,
        now=now,
        methods=shares,
        latest=latest.rows,
        alerts=alerts,
        open_disputes=open_disputes,
    )


@routes.get(
    "/transactions",
    needs=permissions.VIEW_TRANSACTIONS,
    page=True,
    query=Asked,
    refuses=(CursorRefused, UnknownCurrency),
)
async def transactions(request: Request, caller: Caller, asked: Asked) -> Response:
    """List transactions by filters that live in the address."""
    db, merchant_id = request.app.state.db, caller.merchant
    shop = await queries.settings_of(db, merchant_id=merchant_id)
    wanted, errors = read_filters(asked, shop.default_currency, shop.timezone)
    cursors, scope = request.app.state.cursors, (merchant_id, asked.pairs(cursor=None))
    beyond = None
    if asked.cursor is not None:
        beyond = cursors.open(asked.cursor, payments.Position, filters=scope)
    page = payments.Page([], has_older=False, has_newer=False)
    if not errors:
        page = await queries.transactions(
            db, merchant_id=merchant_id, filters=wanted, beyond=beyond, limit=PAGE_ROWS
        )

    def turned(*, newer: bool) -> str:
        row = page.rows[0 if newer else -1]
        sealed = cursors.seal(position_of(row, newer=newer), filters=scope)
        return asked.address(cursor=sealed)

    chips = asked.pairs(cursor=None, live=None)
    return await frame.page(
        request,
        caller,
        "transactions.html",
        place="transactions",
        shop=shop,
        live=asked.live is None and beyond is None,
        newest=await newest_transaction(db, merchant_id),
        asked=asked,
        wanted=wanted,
        errors=errors,
        chips=chips,
        narrowed=bool(chips.keys() - {"q"}),
        page=page,
        newer=turned(newer=True) if page.rows and page.has_newer else None,
        older=turned(newer=False) if page.rows and page.has_older else None,
        first_page=asked.address(cursor=None),
        without=lambda name: asked.address(**{"cursor": None, name: None}),
        currencies=await _currencies(db, merchant_id, shop),
    )


@routes.get(
    "/transactions/{id:path}",
    needs=permissions.VIEW_TRANSACTIONS,
    page=True,
    refuses=(payments.TransactionAbsent,),
)
async def transaction(request: Request, caller: Caller) -> Response:
    """Show one transaction: what it was, what happened to it, where the money went."""
    db, merchant_id = request.app.state.db, caller.merchant
    detail = await queries.transaction(db, merchant_id=merchant_id, id_=request.path_params["id"])
    row = detail.row
    async with db.transaction("refunds.of_payment", merchant_id=merchant_id, readonly=True) as tx:
        own = await refunds.of_payment(tx, merchant_id=merchant_id, transaction_id=row.id)
    is_refundable = row.type == "payment" and row.status == "succeeded" and not row.imported
    posted = (each.posted_at for each in detail.entries if each.cause == detail.row.type)
    return await frame.page(
        request,
        caller,
        "transaction.html",
        place="transactions",
        shop=await queries.settings_of(db, merchant_id=merchant_id),
        live=None,
        detail=detail,
        own_refunds=own,
        may_refund=is_refundable and frame.may(caller, permissions.REFUND),
        entered_at=min(posted, default=None),
    )


@routes.get("/alerts", needs=permissions.VIEW_ALERTS, page=True, query=AlertsQuery)
async def alerts(request: Request, caller: Caller, query: AlertsQuery) -> Response:
    """List the alerts that wait for somebody, or all of them."""
    db, merchant_id = request.app.state.db, caller.merchant
    everything = query.status == "all"
    rows = await queries.alerts(
        db,
        merchant_id=merchant_id,
        status=None if everything else "active",
        severity=query.severity,
        alert_type=query.type,
        limit=ALERTS_LISTED,
    )
    language = language_of(request, caller)
    return await frame.page(
        request,
        caller,
        "alerts.html",
        place="alerts",
        shop=await queries.settings_of(db, merchant_id=merchant_id),
        live=query.live is None,
        newest=await newest_alert(db, merchant_id),
        everything=everything,
        asked=query,
        address=functools.partial(_alerts_address, query.status),
        types=await queries.alert_types(db, merchant_id=merchant_id),
        may_acknowledge=frame.may(caller, permissions.ACKNOWLEDGE_ALERTS),
        alerts=rows,
        explained={
            row.id: sentences.explain_stored(row.facts, language) or row.description for row in rows
        },
    )


@routes.post(
    "/alerts/{id:uuid}/acknowledge",
    needs=permissions.ACKNOWLEDGE_ALERTS,
    page=True,
    form=True,
    refuses=(commands.AlertAbsent,),
)
async def acknowledge(request: Request, caller: Caller) -> Response:
    """Record that the caller has seen an alert, and show what is left."""
    await commands.acknowledge_alert(
        request.app.state.db,
        caller=caller,
        alert_id=request.path_params["id"],
        now=request.app.state.clock.now(),
    )
    return RedirectResponse("/alerts", status_code=HTTPStatus.SEE_OTHER)


def _alerts_address(status: str, severity: str | None, type_: str | None) -> str:
    asked = {"status": status, "severity": severity, "type": type_}
    return "/alerts?" + urlencode({name: value for name, value in asked.items() if value})


async def newest_transaction(db: Database, merchant_id: str) -> str:
    """Name the newest transaction's element, or nothing."""
    page = await queries.transactions(
        db, merchant_id=merchant_id, filters=payments.Filters(), beyond=None, limit=1
    )
    return dom_id(f"{page.rows[0].type}/{page.rows[0].id}") if page.rows else ""


async def newest_alert(db: Database, merchant_id: str) -> str:
    """Name the newest alert's element, or nothing."""
    rows = await queries.alerts(db, merchant_id=merchant_id, status=None, limit=1)
    return dom_id(str(rows[0].id)) if rows else ""


def _period(query: OverviewQuery, default: str) -> tuple[str, bool]:
    """Return the period to show, and whether the asked dates were refused."""
    if query.from_ is None and query.to is None:
        return query.period or default, False
    try:
        asked = model.parse_period(f"custom:{query.from_}:{query.to}")
    except model.PeriodMalformed:
        return default, True
    return str(asked), False


async def _active_alerts(db: Database, merchant_id: str, *, limit: int) -> list[AlertRow]:
    return await queries.alerts(db, merchant_id=merchant_id, status="active", limit=limit)


async def _none() -> None:
    return None


async def _currencies(db: Database, merchant_id: str, shop: queries.MerchantSettings) -> list[str]:
    """List the merchant's currencies, its own first."""
    found = await queries.currencies(db, merchant_id=merchant_id)
    others = [code for code in found if code != shop.default_currency and code in CURRENCIES]
    return [shop.default_currency, *others]
