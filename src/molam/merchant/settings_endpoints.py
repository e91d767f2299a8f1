"""The merchant API's settings: what a merchant decides about itself, and rates in force."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import CURRENCIES, UnknownCurrency, currency
from molam.ledger import queries as ledger
from molam.ledger import rates
from molam.merchant import permissions, settings_commands, settings_model, views
from molam.merchant.settings_commands import Held
from molam.merchant.settings_model import Change, SettingsRefused, SettingsStale, TimezoneUnknown
from molam.platform.auth.step_up import StepUpRequired, require_step_up
from molam.platform.db import Database, Tx
from molam.platform.web import Caller, Routes, idempotency
from molam.tenancy.queries import MerchantAbsent
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

_TAG = "ETag"


class RefundRulesView(msgspec.Struct):
    """Amounts are in minor units; limits are in the default currency."""

    thresholds: dict[str, int]
    approval_minutes: int
    fee: str
    daily_limit: int | None
    monthly_limit: int | None
    limits_currency: str


class SettingsView(msgspec.Struct):
    merchant_id: str
    locale: str
    timezone: str
    timezone_wanted: str | None
    """Figures are being moved to this time zone."""
    default_currency: str
    default_period: str
    show_usd_equivalent: bool
    notifications_enabled: bool
    refunds: RefundRulesView
    dispute_auto_submit: bool
    payout_schedule: str
    version: str
    """Send it back in If-Match to change only what you have seen."""
    updated_at: datetime


class SettingsAnswer(msgspec.Struct):
    ok: bool
    settings: SettingsView


class RatesQuery(msgspec.Struct, forbid_unknown_fields=True):
    base: Annotated[str, Meta(min_length=3, max_length=3)] | None = None
    on: date | None = None
    """The rates in force that day; without it, now."""


class RatesAnswer(msgspec.Struct):
    ok: bool
    base: str
    on: date
    rates: list[views.FxView]
    provider: str | None
    """Who is asked for rates; null: nobody is."""
    refreshed_at: datetime | None
    stale_since: datetime | None
    """Since when newer ones should have come."""


@routes.get(
    "/api/merchant/settings",
    needs=permissions.VIEW_SETTINGS,
    answers=SettingsAnswer,
    refuses=(MerchantAbsent,),
)
async def read_settings(request: Request, caller: Caller) -> Response:
    """Show the merchant's settings and their version."""
    held = await held_for(request.app.state.db, caller.merchant)
    return Response(
        idempotency.encode(SettingsAnswer(ok=True, settings=settings_view(caller, held))),
        headers={_TAG: f'"{held.version}"'},
        media_type="application/json",
    )


@routes.put(
    "/api/merchant/settings",
    needs=permissions.CHANGE_SETTINGS,
    body=Change,
    answers=SettingsAnswer,
    refuses=(
        *idempotency.REFUSES,
        MerchantAbsent,
        MerchantFrozen,
        SettingsRefused,
        SettingsStale,
        StepUpRequired,
        TimezoneUnknown,
        UnknownCurrency,
    ),
)
async def change_settings(request: Request, caller: Caller, body: Change) -> Response:
    """
    Change the settings named; the others stay.

    What loosens the rules for refunds takes a second factor proved in the last five
    minutes, and every administrator is told.
    """
    now = request.app.state.clock.now()
    seen = request.headers.get("if-match", "").strip().removeprefix("W/").strip('"')

    async def work(tx: Tx) -> SettingsAnswer:
        held = await settings_commands.change(
            tx,
            caller,
            body,
            now=now,
            proof=lambda: require_step_up(caller, now=now),
            version=seen if seen not in {"", "*"} else None,
        )
        return SettingsAnswer(ok=True, settings=settings_view(caller, held))

    return await idempotency.once(
        request, caller, operation="PUT /api/merchant/settings", asked=body, work=work
    )


@routes.get(
    "/api/merchant/rates",
    needs=permissions.VIEW_TRANSACTIONS,
    query=RatesQuery,
    answers=RatesAnswer,
    refuses=(MerchantAbsent, UnknownCurrency),
)
async def exchange_rates(request: Request, caller: Caller, query: RatesQuery) -> RatesAnswer:
    """List what one unit of a currency is worth in the others, of which day, and who says so."""
    state = request.app.state
    code = query.base
    if code is None:
        code = (await held_for(state.db, caller.merchant)).settings.default_currency
    on = query.on or state.clock.now().date()
    found = await rates.freshness(state.db)
    return RatesAnswer(
        ok=True,
        base=currency(code).code,
        on=on,
        rates=await rates_of(state.db, code, on),
        provider=None if found is None else found.provider,
        refreshed_at=None if found is None else found.succeeded_at,
        stale_since=None if found is None else found.stale_since,
    )


async def rates_of(db: Database, base: str, on: date) -> list[views.FxView]:
    """List the rates of one currency; an unknown one is there without a figure."""
    in_force = await ledger.rates_on(db, on)
    return [
        views.fx_view(base, code, in_force.find(base, code)) for code in CURRENCIES if code != base
    ]


async def held_for(db: Database, merchant_id: str) -> Held:
    """Read the settings in a transaction of their own."""
    async with db.transaction("merchant.settings", merchant_id=merchant_id, readonly=True) as tx:
        return await settings_commands.held_by(tx, merchant_id)


def settings_view(caller: Caller, held: Held) -> SettingsView:
    now: settings_model.Settings = held.settings
    return SettingsView(
        merchant_id=caller.merchant,
        locale=now.locale,
        timezone=now.timezone,
        timezone_wanted=held.timezone_wanted,
        default_currency=now.default_currency,
        default_period=now.default_period,
        show_usd_equivalent=now.show_usd_equivalent,
        notifications_enabled=now.notifications_enabled,
        refunds=RefundRulesView(
            thresholds=dict(now.refund_thresholds),
            approval_minutes=now.refund_approval_minutes,
            fee=now.refund_fee,
            daily_limit=now.daily_refund_limit,
            monthly_limit=now.monthly_refund_limit,
            limits_currency=now.default_currency,
        ),
        dispute_auto_submit=now.dispute_auto_submit,
        payout_schedule=held.payout_schedule,
        version=held.version,
        updated_at=held.updated_at,
    )
