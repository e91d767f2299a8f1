"""Files over HTTP: asking for one, how far it is, and the link to it; and the accounts."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from uuid import UUID

from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import UnknownCurrency
from molam.merchant import (
    model,
    permissions,
    queries,
    report_asking,
    report_commands,
    report_queries,
)
from molam.merchant import report_views as wire
from molam.merchant.accounting import mappings
from molam.merchant.accounting.chart import Account, AccountingRefused
from molam.merchant.dashboards import MerchantSettings
from molam.merchant.endpoints import AmountRangeMalformed, DateRangeMalformed
from molam.merchant.report_model import (
    LINK_TTL_S,
    Asked,
    ExportAbsent,
    ExportRefused,
    ExportsBusy,
)
from molam.merchant.report_store import ExportRow
from molam.merchant.views import encode
from molam.platform.links import Link
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Language
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

WAITED_S = 5.0
_LOOKED_EACH_S = 0.1
_RETRY_AFTER_S = 2


@routes.get(
    "/api/merchant/export",
    needs=permissions.VIEW_REPORTS,
    query=wire.ExportQuery,
    answers=wire.ExportAnswer,
    also=(202,),
    refuses=(
        ExportRefused,
        ExportsBusy,
        UnknownCurrency,
        AmountRangeMalformed,
        DateRangeMalformed,
        model.PeriodMalformed,
    ),
)
async def export(request: Request, caller: Caller, query: wire.ExportQuery) -> Response:
    """
    Write exactly the rows that these filters list into a file.

    200 with a link when it is ready within 5 seconds, otherwise 202 and where to look.
    Safe to repeat: the same request within a minute is about the same file.
    """
    state = request.app.state
    shop = await queries.settings_of(state.db, merchant_id=caller.merchant)
    asked = await report_asking.read(state.db, shop, query, now=state.clock.now())
    row = await begin(state, caller, shop, asked)
    row = await _waited(state, row)
    if row.state == "done":
        return await _answer(state, row, HTTPStatus.OK)
    answer = await _answer(state, row, HTTPStatus.ACCEPTED)
    answer.headers["Location"] = f"/api/merchant/exports/{row.id.hex}"
    answer.headers["Retry-After"] = str(_RETRY_AFTER_S)
    return answer


@routes.get("/api/merchant/exports", needs=permissions.VIEW_REPORTS, answers=wire.ExportsView)
async def exports(request: Request, caller: Caller) -> wire.ExportsView:
    """List the files that were asked for lately, newest first."""
    rows = await report_queries.exports(request.app.state.db, merchant_id=caller.merchant)
    return wire.ExportsView(True, [wire.export_view(row) for row in rows])


@routes.get(
    "/api/merchant/exports/{id}",
    needs=permissions.VIEW_REPORTS,
    answers=wire.ExportAnswer,
    refuses=(ExportAbsent,),
)
async def export_progress(request: Request, caller: Caller) -> Response:
    """Say how far a file is; once it is ready, with a new link that works for an hour."""
    state = request.app.state
    id_ = id_of(request.path_params["id"])
    row = await report_queries.export(state.db, merchant_id=caller.merchant, id_=id_)
    return await _answer(state, row, HTTPStatus.OK)


@routes.get(
    "/api/merchant/settings/accounting",
    needs=permissions.VIEW_REPORTS,
    answers=wire.AccountsView,
)
async def accounts(request: Request, caller: Caller) -> wire.AccountsView:
    """Show the accounts that the journal uses."""
    state = request.app.state
    shop = await queries.settings_of(state.db, merchant_id=caller.merchant)
    chart = await mappings.read_chart(state.db, caller.merchant, language_of_shop(shop))
    return wire.accounts_view(chart)


@routes.put(
    "/api/merchant/settings/accounting",
    needs=permissions.VIEW_REPORTS,
    body=wire.AccountsBody,
    answers=wire.AccountsView,
    refuses=(AccountingRefused, MerchantFrozen),
)
async def change_accounts(
    request: Request, caller: Caller, body: wire.AccountsBody
) -> wire.AccountsView:
    """Use other accounts from the next journal on. Replaces what was set before."""
    state = request.app.state
    shop = await queries.settings_of(state.db, merchant_id=caller.merchant)
    chart = await mappings.change(
        state.money,
        caller,
        {slot: Account(each.account, each.label) for slot, each in body.accounts.items()},
        language=language_of_shop(shop),
        now=state.clock.now(),
    )
    return wire.accounts_view(chart)


async def begin(state: State, caller: Caller, shop: MerchantSettings, asked: Asked) -> ExportRow:
    """
    Have a file written, or find the one that is.

    Raises:
        ExportRefused, ExportsBusy: it will not be.
    """
    now = state.clock.now()
    day = model.local_day(now, shop.timezone).isoformat()
    async with state.money.transaction("merchant.ask_export", merchant_id=caller.merchant) as tx:
        return await report_commands.ask(tx, caller, asked, day=day, now=now)


async def link_to(state: State, row: ExportRow) -> Link | None:
    """Sign a link to a file that is there."""
    if row.state != "done" or row.file_path is None:
        return None
    link: Link = await state.links.sign(
        row.file_path, ttl_s=LINK_TTL_S, name=row.file_name, media_type=wire.media_of(row)
    )
    return link


async def _waited(state: State, row: ExportRow) -> ExportRow:
    waited = 0.0
    while row.state in {"queued", "running"} and waited < WAITED_S:
        await asyncio.sleep(_LOOKED_EACH_S)
        waited += _LOOKED_EACH_S
        row = await report_queries.export(state.db, merchant_id=row.merchant_id, id_=row.id)
    return row


async def _answer(state: State, row: ExportRow, status: HTTPStatus) -> Response:
    link = await link_to(state, row)
    url, expires_in = (None, None) if link is None else (link.url, LINK_TTL_S)
    view = wire.export_answer(row, url, expires_in)
    return Response(encode(view), status_code=status, media_type="application/json")


def id_of(text: str) -> UUID:
    """
    Raises:
        ExportAbsent: no export has such an id.
    """
    try:
        return UUID(text)
    except ValueError:
        raise ExportAbsent("Check the export's id, or ask for the file again.") from None


def language_of_shop(shop: MerchantSettings) -> Language:
    return "fr" if shop.locale == "fr" else "en"
