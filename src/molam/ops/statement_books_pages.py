"""The books in the console: each account's days, what is open, and closing."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Refusal
from molam.ops.propose_pages import Refused
from molam.ops.shell import framed, may, said
from molam.ops.statement_parts import shown, to, unprocessable
from molam.payments.statements import books, model
from molam.payments.statements.permissions import RECONCILE, VIEW
from molam.platform.web import Caller, Routes
from molam.platform.web.wire import CurrencyCode, Identifier

routes = Routes()


class BooksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None
    bank: Annotated[str, Meta(max_length=64)] | None = None
    currency: Annotated[str, Meta(max_length=3)] | None = None
    day: date | None = None


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank: Identifier
    currency: CurrencyCode
    day: date


class Explained(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank: Identifier
    currency: CurrencyCode
    day: date
    item: Annotated[str, Meta(min_length=1, max_length=300)]
    reason: Annotated[str, Meta(max_length=model.REASON_LENGTH_MAX)] = ""


@routes.get("/ops/books", needs=VIEW, page=True, query=BooksQuery)
async def show_books(request: Request, caller: Caller, query: BooksQuery) -> Response:
    """Show an account's closed days, and what keeps the next one open."""
    return await _page(request, caller, query)


@routes.post(
    "/ops/books/close",
    needs=RECONCILE,
    page=True,
    form=True,
    body=Closed,
    refuses=(model.StatementAbsent, model.BooksOpen, model.DayClosed),
)
async def close_day(request: Request, caller: Caller, form: Closed) -> Response:
    """Close the day that was looked at."""
    state = request.app.state
    where = BooksQuery(bank=form.bank, currency=form.currency, day=form.day)
    try:
        await books.close(
            state.db,
            (form.bank, form.currency),
            day=form.day,
            by=caller.subject,
            now=state.clock.now(),
        )
    except Refusal as refusal:
        problem = shown(request, caller, refusal)
        return unprocessable(await _page(request, caller, where, refused=problem))
    return to(f"/ops/books?bank={form.bank}&currency={form.currency}", "day-closed")


@routes.post(
    "/ops/books/explain",
    needs=RECONCILE,
    page=True,
    form=True,
    body=Explained,
    refuses=(model.StatementAbsent, model.ReasonMissing),
)
async def explain_item(request: Request, caller: Caller, form: Explained) -> Response:
    """Write down why an item may stay open."""
    where = BooksQuery(bank=form.bank, currency=form.currency, day=form.day)
    try:
        await books.explain(
            request.app.state.db,
            (form.bank, form.currency),
            item=form.item,
            reason=form.reason,
            by=caller.subject,
        )
    except Refusal as refusal:
        problem = shown(request, caller, refusal)
        return unprocessable(await _page(request, caller, where, refused=problem))
    day = form.day.isoformat()
    path = f"/ops/books?bank={form.bank}&currency={form.currency}&day={day}"
    return to(path, "item-explained")


async def _page(
    request: Request, caller: Caller, query: BooksQuery, *, refused: Refused | None = None
) -> Response:
    db = request.app.state.db
    accounts = await books.accounts(db)
    chosen = next(
        (
            each
            for each in accounts
            if each.bank_profile_id == query.bank
            and each.currency == (query.currency or each.currency)
        ),
        accounts[0] if accounts and query.bank is None else None,
    )
    found, days, is_next = None, [], False
    if chosen is not None:
        account = (chosen.bank_profile_id, chosen.currency)
        following = chosen.begins_on
        if chosen.closed_through is not None:
            following = chosen.closed_through + timedelta(days=1)
        day = query.day or following
        is_next = day == following and day < request.app.state.clock.now().date()
        days = await books.days(db, account)
        async with db.transaction("statements.show_books", readonly=True) as tx:
            found = await books.control(
                tx, bank_profile_id=account[0], currency=account[1], day=day
            )
    return await framed(
        request,
        caller,
        "statement_books.html",
        place="books",
        accounts=accounts,
        chosen=chosen,
        found=found,
        days=days,
        is_next=is_next,
        reconciles=may(caller, RECONCILE),
        said=said(query.said),
        refused=refused,
    )
