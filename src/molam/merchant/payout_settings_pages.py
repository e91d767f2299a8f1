"""The page where a merchant says when and where it is paid, and sees what that means first."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.clock import Instant
from molam.kernel.currency import CURRENCIES, UnknownCurrency, currency
from molam.kernel.money import AmountMalformed, Money
from molam.kernel.refusals import Refusal
from molam.merchant import frame, payout_commands, permissions, queries
from molam.merchant import payout_views as views
from molam.merchant.payout_endpoints import place_of
from molam.merchant.payout_screens import SHOWN_ON_PAGE, refused_words
from molam.merchant.proofs import form_key, see
from molam.payments.banks.model import BankAccount, Wallet
from molam.payments.payouts import model, settings
from molam.payments.payouts import queries as payouts
from molam.payments.payouts.calendar import Schedule
from molam.platform.auth.step_up import StepUpRequired, require_step_up, sign_in_address
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes, idempotency
from molam.platform.web.l10n import parse_amount
from molam.platform.web.wire import CurrencyCode
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

_ROOT = "/settings/payouts"
_DIGITS_MAX = 2

Word = Annotated[str, Meta(max_length=32)]
Digits = Annotated[str, Meta(max_length=_DIGITS_MAX, pattern=r"^[0-9]*\Z")]
Key = Annotated[str, Meta(min_length=1, max_length=64)]


class SettingsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A schedule in the address is one that is being considered."""

    currency: CurrencyCode | None = None
    schedule: Word | None = None
    weekday: Digits = ""
    month_day: Digits = ""
    delay_days: Digits = ""
    minimum: Word = ""
    said: Literal["schedule", "destination"] | None = None


class ScheduleForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    currency: CurrencyCode
    schedule: Word
    idempotency_key: Key
    weekday: Digits = ""
    month_day: Digits = ""
    delay_days: Digits = ""
    minimum: Word = ""


class DestinationForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    currency: CurrencyCode
    kind: Literal["wallet", "bank_account"] = "wallet"
    holder: Annotated[str, Meta(max_length=140)] = ""
    provider: Word = ""
    phone: Word = ""
    country: Word = ""
    iban: Annotated[str, Meta(max_length=48)] = ""
    account_number: Annotated[str, Meta(max_length=40)] = ""
    bic: Word = ""
    step: Literal["review", "confirm"] = "review"
    idempotency_key: Annotated[str, Meta(max_length=64)] = ""


@routes.get(
    _ROOT,
    needs=permissions.VIEW_PAYOUTS,
    page=True,
    query=SettingsQuery,
    refuses=(UnknownCurrency,),
)
async def payout_settings(request: Request, caller: Caller, query: SettingsQuery) -> Response:
    """Show when and where the merchant is paid, and what another schedule would mean."""
    return await _show(request, caller, query)


@routes.post(
    _ROOT + "/schedule",
    needs=permissions.CHANGE_PAYOUTS,
    page=True,
    form=True,
    body=ScheduleForm,
    refuses=(*idempotency.REFUSES, MerchantFrozen, UnknownCurrency),
)
async def change_schedule(request: Request, caller: Caller, form: ScheduleForm) -> Response:
    """Change the schedule to the one whose dates were shown."""
    state, now = request.app.state, request.app.state.clock.now()
    fields = {name: str(getattr(form, name)) for name in _SCHEDULE_FIELDS}
    query = msgspec.convert(fields, SettingsQuery)
    shop = await queries.settings_of(state.db, merchant_id=caller.merchant)

    async def work(tx: Tx) -> views.ScheduleAnswer:
        code, schedule = await payout_commands.set_schedule(
            tx,
            caller,
            _asked(query, form.currency),
            place=place_of(shop),
            default=form.currency,
            now=now,
        )
        place = place_of(shop)
        dates = settings.preview(schedule, place, now)
        return views.ScheduleAnswer(
            ok=True, schedule=views.schedule_view(code, schedule, place, dates)
        )

    try:
        require_step_up(caller, now=now)
        await idempotency.once_for_form(
            request,
            caller,
            operation=f"POST {_ROOT}/schedule",
            key=form.idempotency_key,
            asked=form,
            work=work,
        )
    except StepUpRequired:
        return see(sign_in_address(f"{_ROOT}?{urlencode(fields)}"))
    except Refusal as refusal:
        if refusal.kind not in SHOWN_ON_PAGE:
            raise
        return await _show(request, caller, query, refused=refusal)
    return see(f"{_ROOT}?currency={form.currency}&said=schedule")


@routes.post(
    _ROOT + "/destination",
    needs=permissions.CHANGE_PAYOUTS,
    page=True,
    form=True,
    body=DestinationForm,
    refuses=(*idempotency.REFUSES, MerchantFrozen, UnknownCurrency),
)
async def change_destination(request: Request, caller: Caller, form: DestinationForm) -> Response:
    """Show what another account would mean; once that is confirmed, change to it."""
    now = request.app.state.clock.now()
    query = SettingsQuery(currency=form.currency)
    try:
        require_step_up(caller, now=now)
        wanted = _account(form)
        settings.check_destination(wanted)
        if form.step == "review" or not form.idempotency_key:
            return await _show(request, caller, query, form=form, wanted=wanted)
        await _change(request, caller, form, wanted, now=now)
    except StepUpRequired:
        return see(sign_in_address(f"{_ROOT}?currency={form.currency}"))
    except Refusal as refusal:
        if refusal.kind not in SHOWN_ON_PAGE:
            raise
        return await _show(request, caller, query, form=form, refused=refusal)
    return see(f"{_ROOT}?currency={form.currency}&said=destination")


async def _change(
    request: Request,
    caller: Caller,
    form: DestinationForm,
    wanted: BankAccount | Wallet,
    *,
    now: Instant,
) -> None:
    code = currency(form.currency).code

    async def work(tx: Tx) -> views.DestinationAnswer:
        await payout_commands.set_destination(tx, caller, wanted, code=code, now=now)
        rows = await settings.destinations_of(tx, caller.merchant)
        (row,) = (each for each in rows if each.currency == code)
        return views.DestinationAnswer(ok=True, destination=views.setting_view(row, now))

    await idempotency.once_for_form(
        request,
        caller,
        operation=f"POST {_ROOT}/destination",
        key=form.idempotency_key,
        asked=form,
        work=work,
    )


async def _show(
    request: Request,
    caller: Caller,
    query: SettingsQuery,
    *,
    form: DestinationForm | None = None,
    wanted: BankAccount | Wallet | None = None,
    refused: Refusal | None = None,
) -> Response:
    state, merchant_id = request.app.state, caller.merchant
    now: Instant = state.clock.now()
    shop = await queries.settings_of(state.db, merchant_id=merchant_id)
    code = currency(query.currency or shop.default_currency).code
    async with state.db.transaction(
        "merchant.payout_settings", merchant_id=merchant_id, readonly=True
    ) as tx:
        schedules = await payouts.schedules_of(tx, merchant_id=merchant_id)
        destinations = await settings.destinations_of(tx, merchant_id)
        waiting = await payouts.upcoming(
            tx, merchant_id=merchant_id, states=[each.value for each in model.WAITING]
        )
    current = schedules.get(code, Schedule("weekly"))
    considered = None
    if query.schedule is not None and refused is None:
        try:
            considered = _considered(query, current, code)
        except Refusal as refusal:
            refused = refusal
    place = place_of(shop)
    response = await frame.page(
        request,
        caller,
        "payout_settings.html",
        place="settings",
        shop=shop,
        code=code,
        codes=sorted({*schedules, shop.default_currency} & CURRENCIES.keys()),
        current=current,
        dates_now=settings.preview(current, place, now),
        typed_minimum=_typed(considered or current, code),
        considered=considered,
        new_dates=[] if considered is None else settings.preview(considered, place, now),
        query=query,
        destination=next(
            (views.setting_view(row, now) for row in destinations if row.currency == code), None
        ),
        waiting=[row for row in waiting if row.currency == code],
        form=msgspec.structs.asdict(form or DestinationForm(currency=code, country=shop.country)),
        wanted=None if wanted is None else views.destination_view(msgspec.to_builtins(wanted)),
        hold_hours=settings.CHANGE_HOLD_HOURS,
        said=query.said,
        refused=None if refused is None else refused_words(request, caller, refused),
        may_change=frame.may(caller, permissions.CHANGE_PAYOUTS) and not shop.is_frozen,
        proof=None if _is_proved(caller, now) else sign_in_address(f"{_ROOT}?currency={code}"),
        key=form_key(),
    )
    if refused is not None:
        response.status_code = 409
    return response


_SCHEDULE_FIELDS = ("currency", "schedule", "weekday", "month_day", "delay_days", "minimum")


def _is_proved(caller: Caller, now: Instant) -> bool:
    try:
        require_step_up(caller, now=now)
    except StepUpRequired:
        return False
    return True


def _considered(query: SettingsQuery, current: Schedule, code: str) -> Schedule:
    asked = _asked(query, code)
    return settings.read_schedule(
        asked.schedule,
        current,
        weekday=asked.weekday,
        month_day=asked.month_day,
        delay_days=asked.delay_days,
        minimum=asked.minimum,
    )


def _asked(query: SettingsQuery, code: str) -> views.ScheduleRequest:
    """Read a schedule as people type one, its minimum with the currency's decimals."""
    minimum = None
    if query.minimum.strip():
        try:
            minimum = parse_amount(query.minimum, currency(code)).minor
        except AmountMalformed as error:
            raise model.ScheduleInvalid("Type the minimum with digits only.") from error
    return views.ScheduleRequest(
        schedule=query.schedule,
        weekday=int(query.weekday) if query.weekday else None,
        month_day=int(query.month_day) if query.month_day else None,
        delay_days=int(query.delay_days) if query.delay_days else None,
        minimum=minimum,
        currency=code,
    )


def _typed(schedule: Schedule, code: str) -> str:
    """Write a minimum as people type it."""
    return f"{Money(schedule.minimum, currency(code)).decimal():f}" if schedule.minimum else ""


def _account(form: DestinationForm) -> BankAccount | Wallet:
    """
    Read an account as people type one, with spaces where they like.

    Raises:
        model.DestinationRefused: something is missing or cannot be.
    """
    raw: dict[str, str | None] = {"type": form.kind, "holder": form.holder.strip()}
    if form.kind == "wallet":
        phone = form.phone.strip()
        digits = "".join(char for char in phone if char.isdigit())
        raw |= {"provider": form.provider, "phone": f"+{digits.removeprefix('00')}"}
    else:
        raw |= {
            "country": form.country.strip().upper(),
            "iban": _bare(form.iban),
            "account_number": form.account_number.strip() or None,
            "bic": _bare(form.bic),
        }
    try:
        wanted: BankAccount | Wallet = msgspec.convert(raw, BankAccount | Wallet)
    except msgspec.ValidationError as error:
        raise model.DestinationRefused("Fill in every field as it is on your papers.") from error
    return wanted


def _bare(text: str) -> str | None:
    return "".join(text.split()).upper() or None
