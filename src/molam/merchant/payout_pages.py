"""The pages of payouts: what comes next, one payout, and asking for one."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Refusal
from molam.merchant import frame, payout_commands, permissions, queries
from molam.merchant import payout_views as views
from molam.merchant.payout_endpoints import read_detail
from molam.merchant.payout_screens import SHOWN_ON_PAGE, refused_words
from molam.merchant.proofs import form_key, see
from molam.payments.payouts import model
from molam.payments.payouts import queries as payouts
from molam.payments.payouts.queries import EntryPosition, Position
from molam.platform.db import Tx
from molam.platform.web import Caller, CursorRefused, Routes, idempotency
from molam.platform.web.wire import CurrencyCode
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

_ROOT = "/payouts"
_ROWS = 30
_LINES = 100

Said = Literal["made", "cancelled"]
Cursor = Annotated[str, Meta(max_length=1024)]


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Cursor | None = None
    said: Said | None = None


class DetailQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Cursor | None = None
    said: Said | None = None


class RequestForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    currency: CurrencyCode
    expected_amount: Annotated[int, Meta(ge=1)]
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=64)]


class CancelForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=64)]


@routes.get(
    _ROOT, needs=permissions.VIEW_PAYOUTS, page=True, query=ListQuery, refuses=(CursorRefused,)
)
async def list_payouts(request: Request, caller: Caller, query: ListQuery) -> Response:
    """Show what is paid next and when, what is under way, and what was paid."""
    return await _list(request, caller, query)


async def _list(
    request: Request, caller: Caller, query: ListQuery, *, refused: Refusal | None = None
) -> Response:
    state, merchant_id = request.app.state, caller.merchant
    scope = (merchant_id, {"page": "payouts"})
    beyond = None
    if query.cursor is not None:
        beyond = state.cursors.open(query.cursor, Position, filters=scope)
    shop = await queries.settings_of(state.db, merchant_id=merchant_id)
    async with state.db.transaction(
        "merchant.payouts_page", merchant_id=merchant_id, readonly=True
    ) as tx:
        forecasts = await payouts.forecasts(tx, merchant_id=merchant_id)
        upcoming = await payouts.upcoming(
            tx, merchant_id=merchant_id, states=[each.value for each in model.UPCOMING]
        )
        page = await payouts.history(
            tx,
            merchant_id=merchant_id,
            states=[each.value for each in model.ENDED],
            beyond=beyond,
            limit=_ROWS,
        )
    older = None
    if page.has_more:
        last = page.rows[-1]
        sealed = state.cursors.seal(Position(last.occurred_at, last.id), filters=scope)
        older = f"{_ROOT}?cursor={sealed}"
    response = await frame.page(
        request,
        caller,
        "payouts.html",
        place="payouts",
        shop=shop,
        forecasts=forecasts,
        upcoming=upcoming,
        history=page.rows,
        older=older,
        is_first=query.cursor is None,
        said=query.said,
        refused=None if refused is None else refused_words(request, caller, refused),
        may_ask=frame.may(caller, permissions.CHANGE_PAYOUTS) and not shop.is_frozen,
        key=form_key(),
        destination_of=views.destination_view,
    )
    if refused is not None:
        response.status_code = 409
    return response


@routes.post(
    _ROOT,
    needs=permissions.CHANGE_PAYOUTS,
    page=True,
    form=True,
    body=RequestForm,
    refuses=(*idempotency.REFUSES, MerchantFrozen, model.NothingToPay, model.NoDestination),
)
async def request_payout(request: Request, caller: Caller, form: RequestForm) -> Response:
    """Pay out what the page showed, and show the payout."""
    asked = views.PayoutRequest(currency=form.currency, expected_amount=form.expected_amount)
    now = request.app.state.clock.now()

    async def work(tx: Tx) -> views.PayoutAnswer:
        made = await payout_commands.request(tx, caller, asked, default=form.currency, now=now)
        return views.PayoutAnswer(ok=True, payout=views.payout_view(made))

    try:
        answer = await idempotency.once_for_form(
            request,
            caller,
            operation=f"POST {_ROOT}",
            key=form.idempotency_key,
            asked=form,
            work=work,
        )
    except Refusal as refusal:
        if refusal.kind not in SHOWN_ON_PAGE:
            raise
        return await _list(request, caller, ListQuery(), refused=refusal)
    return see(f"{_ROOT}/{answer['payout']['id']}?said=made")


@routes.post(
    _ROOT + "/{id}/cancel",
    needs=permissions.CHANGE_PAYOUTS,
    page=True,
    form=True,
    body=CancelForm,
    refuses=(*idempotency.REFUSES, MerchantFrozen, model.PayoutAbsent),
)
async def cancel_payout(request: Request, caller: Caller, form: CancelForm) -> Response:
    """Put the money of a payout that was not sent yet back, and show the payout."""
    id_, now = request.path_params["id"], request.app.state.clock.now()

    async def work(tx: Tx) -> views.PayoutAnswer:
        row = await payout_commands.cancel(tx, caller, id_, now=now)
        return views.PayoutAnswer(ok=True, payout=views.payout_view(row))

    try:
        await idempotency.once_for_form(
            request,
            caller,
            operation=f"POST {_ROOT}/{{id}}/cancel",
            key=form.idempotency_key,
            asked=form,
            work=work,
        )
    except Refusal as refusal:
        if refusal.kind not in SHOWN_ON_PAGE:
            raise
        return await _detail(request, caller, DetailQuery(), refused=refusal)
    return see(f"{_ROOT}/{id_}?said=cancelled")


@routes.get(
    _ROOT + "/{id:path}",
    needs=permissions.VIEW_PAYOUTS,
    page=True,
    query=DetailQuery,
    refuses=(model.PayoutAbsent, CursorRefused),
)
async def payout(request: Request, caller: Caller, query: DetailQuery) -> Response:
    """Show one payout: what it pays, what happened to it, and why it is not there yet."""
    return await _detail(request, caller, query)


async def _detail(
    request: Request, caller: Caller, query: DetailQuery, *, refused: Refusal | None = None
) -> Response:
    state, merchant_id, id_ = request.app.state, caller.merchant, request.path_params["id"]
    scope = (merchant_id, {"page": f"payout/{id_}"})
    beyond = None
    if query.cursor is not None:
        beyond = state.cursors.open(query.cursor, EntryPosition, filters=scope)
    shop = await queries.settings_of(state.db, merchant_id=merchant_id)
    found = await read_detail(state.db, merchant_id, id_, beyond=beyond, limit=_LINES)
    more = None
    if found.entries.has_more:
        last = found.entries.rows[-1]
        sealed = state.cursors.seal(
            EntryPosition(last.occurred_at, last.transfer_id), filters=scope
        )
        more = f"{_ROOT}/{id_}?cursor={sealed}#lines"
    row = found.row
    response = await frame.page(
        request,
        caller,
        "payout.html",
        place="payouts",
        shop=shop,
        found=found,
        row=row,
        destination=None if row.destination is None else views.destination_view(row.destination),
        parts_of={each.cause: model.part_of(each.cause) for each in found.entries.rows},
        more=more,
        said=query.said,
        refused=None if refused is None else refused_words(request, caller, refused),
        may_cancel=frame.may(caller, permissions.CHANGE_PAYOUTS)
        and not shop.is_frozen
        and views.may_cancel(row),
        key=form_key(),
    )
    if refused is not None:
        response.status_code = 409
    return response
