"""The pages about files: asking for one, those that were made, statements, and the accounts."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.currency import currency
from molam.kernel.money import AmountMalformed
from molam.kernel.refusals import Refusal
from molam.merchant import (
    frame,
    permissions,
    queries,
    report_asking,
    report_endpoints,
    report_queries,
)
from molam.merchant.accounting import mappings
from molam.merchant.accounting.chart import SLOTS, Account, AccountingRefused
from molam.merchant.dashboards import MerchantSettings
from molam.merchant.endpoints import AmountRangeMalformed, DateRangeMalformed
from molam.merchant.report_model import (
    FORMATS,
    PDF_ROWS_MAX,
    ExportAbsent,
    ExportRefused,
    ExportsBusy,
    Format,
    Kind,
    Month,
)
from molam.merchant.report_views import ExportQuery
from molam.platform.links import FileAbsent
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import parse_amount
from molam.platform.web.templating import language_of
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

Typed = Annotated[str, Meta(max_length=24)]
Period = Literal["today", "yesterday", "last_7d", "mtd", "ytd", "all"]

# What a person can put right in the form; anything else is a page of its own.
_MENDABLE = (
    ExportRefused,
    ExportsBusy,
    DateRangeMalformed,
    AmountRangeMalformed,
    AmountMalformed,
)


class ReportFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The form's fields, as typed; the same names lead here from a list with its filters."""

    kind: Kind = "transactions"
    format: Format = "csv"
    lang: Literal["fr", "en"] | None = None
    period: Period | None = None
    from_: date | None = msgspec.field(name="from", default=None)
    to: date | None = None
    month: Month | None = None
    currency: Annotated[str, Meta(max_length=3)] | None = None
    status: Annotated[str, Meta(max_length=32)] | None = None
    type: Literal["payment", "refund"] | None = None
    channel: Literal["wallet", "card", "bank_transfer"] | None = None
    amount_min: Typed | None = None
    amount_max: Typed | None = None
    q: Annotated[str, Meta(max_length=100)] | None = None


class AccountFields(msgspec.Struct, forbid_unknown_fields=True):
    """The code and the name of each account, in the order of the page; blank is the default."""

    slot: Annotated[str, Meta(max_length=64)]
    account: Annotated[str, Meta(max_length=12)] | None = None
    label: Annotated[str, Meta(max_length=80)] | None = None


@routes.get("/reports", needs=permissions.VIEW_REPORTS, page=True, query=ReportFields)
async def reports(request: Request, caller: Caller, query: ReportFields) -> Response:
    """Show what can be written out, and what was."""
    return await _page(request, caller, query)


@routes.post(
    "/reports",
    needs=permissions.VIEW_REPORTS,
    page=True,
    form=True,
    body=ReportFields,
    refuses=(ExportRefused, ExportsBusy),
)
async def ask(request: Request, caller: Caller, body: ReportFields) -> Response:
    """Have a file written, and show how far it is."""
    state = request.app.state
    shop = await queries.settings_of(state.db, merchant_id=caller.merchant)
    try:
        query = _query(body, shop, language_of(request, caller))
        asked = await report_asking.read(state.db, shop, query, now=state.clock.now())
        row = await report_endpoints.begin(state, caller, shop, asked)
    except _MENDABLE as refusal:
        return await _page(request, caller, body, refusal=refusal)
    return RedirectResponse(f"/reports#file-{row.id.hex}", status_code=HTTPStatus.SEE_OTHER)


@routes.get("/reports/files", needs=permissions.VIEW_REPORTS, page=True)
async def files(request: Request, caller: Caller) -> Response:
    """Show how far the files are; the page asks for this until all are ready."""
    state = request.app.state
    shop = await queries.settings_of(state.db, merchant_id=caller.merchant)
    rows = await report_queries.exports(state.db, merchant_id=caller.merchant)
    return frame.TEMPLATES.page(request, caller, "_report_files.html", files=rows, shop=shop)


@routes.get(
    "/reports/files/{id}",
    needs=permissions.VIEW_REPORTS,
    page=True,
    refuses=(ExportAbsent, FileAbsent),
)
async def file(request: Request, caller: Caller) -> Response:
    """Lead to a file by a link that works for an hour."""
    state = request.app.state
    id_ = report_endpoints.id_of(request.path_params["id"])
    row = await report_queries.export(state.db, merchant_id=caller.merchant, id_=id_)
    link = await report_endpoints.link_to(state, row)
    if link is None:
        raise FileAbsent("It is not ready, or was removed after a week. Ask for it again.")
    return RedirectResponse(link.url, status_code=HTTPStatus.SEE_OTHER)


@routes.get("/settings/accounting", needs=permissions.VIEW_REPORTS, page=True)
async def accounting(request: Request, caller: Caller) -> Response:
    """Show which accounts the journal uses."""
    return await _accounting(request, caller)


@routes.post(
    "/settings/accounting",
    needs=permissions.VIEW_REPORTS,
    page=True,
    form=True,
    body=AccountFields,
    refuses=(AccountingRefused, MerchantFrozen),
)
async def change_account(request: Request, caller: Caller, body: AccountFields) -> Response:
    """Use another account for one thing; blank fields take the default back."""
    state = request.app.state
    language = language_of(request, caller)
    chart = await mappings.read_chart(state.db, caller.merchant, language)
    wanted = {slot: chart[slot] for slot in SLOTS}
    if body.slot in SLOTS:
        default = SLOTS[body.slot].account(language)
        account = Account(body.account or default.code, body.label or default.label)
        # One account has one name, whatever it is used for.
        wanted = {
            slot: Account(each.code, account.label) if each.code == account.code else each
            for slot, each in wanted.items()
        }
        wanted[body.slot] = account
    else:
        wanted[body.slot] = Account(body.account or "", body.label or "")
    try:
        await mappings.change(state.money, caller, wanted, language=language, now=state.clock.now())
    except AccountingRefused as refusal:
        return await _accounting(request, caller, refusal=refusal, fields=body)
    return RedirectResponse("/settings/accounting", status_code=HTTPStatus.SEE_OTHER)


async def _page(
    request: Request, caller: Caller, fields: ReportFields, *, refusal: Refusal | None = None
) -> Response:
    state, merchant_id = request.app.state, caller.merchant
    shop = await queries.settings_of(state.db, merchant_id=merchant_id)
    response = await frame.page(
        request,
        caller,
        "reports.html",
        place="reports",
        shop=shop,
        live=None,
        fields=fields,
        refused=None if refusal is None else refusal.code,
        detail=None if refusal is None else refusal.detail,
        formats=FORMATS,
        pdf_rows_max=PDF_ROWS_MAX,
        currencies=await queries.currencies(state.db, merchant_id=merchant_id),
        files=await report_queries.exports(state.db, merchant_id=merchant_id),
        months=await report_queries.months(
            state.db, merchant_id=merchant_id, timezone=shop.timezone
        ),
    )
    if refusal is not None:
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response


async def _accounting(
    request: Request,
    caller: Caller,
    *,
    refusal: AccountingRefused | None = None,
    fields: AccountFields | None = None,
) -> Response:
    state = request.app.state
    language = language_of(request, caller)
    chart = await mappings.read_chart(state.db, caller.merchant, language)
    response = await frame.page(
        request,
        caller,
        "accounting.html",
        place="settings",
        shop=await queries.settings_of(state.db, merchant_id=caller.merchant),
        live=None,
        chart=chart,
        slots={slot: each.account(language) for slot, each in SLOTS.items()},
        fields=fields,
        detail=None if refusal is None else refusal.detail,
    )
    if refusal is not None:
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response


def _query(
    fields: ReportFields, shop: MerchantSettings, language: Literal["fr", "en"]
) -> ExportQuery:
    """
    Read the form as the API's query: days win over a period, amounts are major units.

    Raises:
        AmountMalformed, UnknownCurrency: an amount that is none.
    """
    unit = currency(fields.currency or shop.default_currency)
    by_days = fields.from_ is not None or fields.to is not None
    lowest, highest = (
        None if typed is None else parse_amount(typed, unit).minor
        for typed in (fields.amount_min, fields.amount_max)
    )
    period = None if by_days or fields.period == "all" or fields.month else fields.period
    return ExportQuery(
        format=fields.format,
        type=fields.kind,
        lang=fields.lang or language,
        period=period,
        from_=None if fields.from_ is None else fields.from_.isoformat(),
        to=None if fields.to is None else fields.to.isoformat(),
        month=fields.month,
        currency=fields.currency,
        status=fields.status,
        txn_type=fields.type,
        channel=fields.channel,
        amount_min=lowest,
        amount_max=highest,
        q=fields.q,
    )
