"""The settings page: what is in force, what a change would do, and the change."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal
from urllib.parse import urlencode
from zoneinfo import available_timezones

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import CURRENCIES
from molam.kernel.money import Money
from molam.kernel.refusals import Refusal
from molam.ledger import rates
from molam.merchant import frame, permissions, proofs, queries, settings_commands
from molam.merchant.proofs import Said
from molam.merchant.settings_commands import Held, Preview
from molam.merchant.settings_endpoints import held_for, rates_of
from molam.merchant.settings_forms import Confirmed, Form, change_of
from molam.merchant.settings_model import SettingsStale
from molam.platform.auth.step_up import (
    StepUpRequired,
    require_step_up,
    sign_in_address,
    step_up_address,
)
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes, idempotency
from molam.tenancy.queries import MerchantAbsent
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

_HERE = "/settings"
# Where the merchants are first; whoever lives elsewhere finds theirs below.
_ZONES_NEAR = (
    "Africa/Dakar",
    "Africa/Abidjan",
    "Africa/Bamako",
    "Africa/Ouagadougou",
    "Africa/Lome",
    "Africa/Porto-Novo",
    "Africa/Niamey",
    "Africa/Conakry",
    "Africa/Accra",
    "Africa/Lagos",
    "Africa/Douala",
    "Africa/Libreville",
    "Africa/Nairobi",
    "Europe/Paris",
)


class SettingsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Literal["saved", "unchanged"] | None = None


class Done(msgspec.Struct):
    """What a form leaves behind."""

    version: str
    changed: bool


@routes.get(_HERE, needs=permissions.VIEW_SETTINGS, page=True, query=SettingsQuery)
async def show(request: Request, caller: Caller, query: SettingsQuery) -> Response:
    """Show the settings in force, section by section, and the exchange rates."""
    return await _page(request, caller, done=query.said)


@routes.get(
    "/settings/review",
    needs=permissions.CHANGE_SETTINGS,
    page=True,
    query=Form,
    refuses=(MerchantAbsent,),
)
async def review(request: Request, caller: Caller, query: Form) -> Response:
    """Show what the change typed would do, and what it takes."""
    held = await held_for(request.app.state.db, caller.merchant)
    change, errors = change_of(query, held.settings)
    if errors:
        return await _page(request, caller, form=query, errors=errors)
    try:
        preview = settings_commands.preview(held, change)
    except Refusal as refusal:
        said = proofs.said(request, caller, refusal)
        return await _page(request, caller, form=query, said=said)
    if not preview.after:
        return proofs.see(f"{_HERE}?said=unchanged")
    return await _review(request, caller, query, held=held, preview=preview)


@routes.post(
    _HERE,
    needs=permissions.CHANGE_SETTINGS,
    page=True,
    form=True,
    body=Confirmed,
    refuses=(MerchantAbsent, MerchantFrozen),
)
async def save(request: Request, caller: Caller, form: Confirmed) -> Response:
    """Make the change that was shown."""
    now = request.app.state.clock.now()

    async def work(tx: Tx) -> Done:
        held = await settings_commands.held_by(tx, caller.merchant)
        change, errors = change_of(form, held.settings)
        if errors:
            raise SettingsStale("Fill the form in again.")
        after = await settings_commands.change(
            tx,
            caller,
            change,
            now=now,
            proof=lambda: require_step_up(caller, now=now),
            version=form.version or None,
        )
        return Done(version=after.version, changed=after.version != held.version)

    try:
        done = await idempotency.once_for_form(
            request,
            caller,
            operation="POST /settings",
            key=form.idempotency_key or proofs.form_key(),
            asked=form,
            work=work,
        )
    except StepUpRequired:
        return proofs.see(sign_in_address(_address(form)))
    except Refusal as refusal:
        said = proofs.said(request, caller, refusal)
        response = await _page(request, caller, form=form, said=said)
        response.status_code = HTTPStatus.CONFLICT
        return response
    return proofs.see(f"{_HERE}?said={'saved' if done['changed'] else 'unchanged'}")


def _address(form: Form) -> str:
    """Where the effect of *form* is shown, by what was typed; the version is read anew."""
    left_out = {"idempotency_key", "version"}
    asked = {name: value for name, value in form.pairs().items() if name not in left_out}
    return f"{_HERE}/review?{urlencode(asked)}"


async def _page(
    request: Request,
    caller: Caller,
    *,
    done: str | None = None,
    form: Form | None = None,
    errors: dict[str, str] | None = None,
    said: Said | None = None,
) -> Response:
    db, clock = request.app.state.db, request.app.state.clock
    held = await held_for(db, caller.merchant)
    response = await frame.page(
        request,
        caller,
        "settings.html",
        place="settings",
        shop=await queries.settings_of(db, merchant_id=caller.merchant),
        held=held,
        plain=lambda minor: _typed(minor, held.settings.default_currency),
        done=done,
        form=form,
        errors=errors or {},
        said=said,
        may_change=frame.may(caller, permissions.CHANGE_SETTINGS),
        sees_all=frame.may(caller, permissions.MANAGE_TEAM),
        currencies=list(CURRENCIES),
        zones=(_ZONES_NEAR, sorted(available_timezones() - set(_ZONES_NEAR))),
        rates=await rates_of(db, held.settings.default_currency, clock.now().date()),
        fresh=await rates.freshness(db),
    )
    if errors:
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response


def _typed(minor: int | None, code: str) -> str:
    """Write an amount as people would type it."""
    return "" if minor is None else f"{Money(minor, CURRENCIES[code]).decimal():f}"


async def _review(
    request: Request, caller: Caller, form: Form, *, held: Held, preview: Preview
) -> Response:
    needs_proof = bool(preview.loosened)
    return await frame.page(
        request,
        caller,
        "settings_review.html",
        place="settings",
        shop=await queries.settings_of(request.app.state.db, merchant_id=caller.merchant),
        form=msgspec.structs.replace(form, version=held.version),
        key=proofs.form_key(),
        preview=preview,
        step_up=step_up_address(request, caller, _address(form)) if needs_proof else None,
        currency=preview.after.get("default_currency", held.settings.default_currency),
    )
