"""The pages on which refunds are listed, agreed to and followed."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.refusals import Refusal
from molam.merchant import frame, permissions, proofs, queries, refund_commands, refund_views
from molam.merchant.refund_commands import Deciding
from molam.merchant.refund_said import SHOWN_ON_PAGE, Said, prove, said_of
from molam.payments.banks.model import Wallet
from molam.payments.refunds import queries as refunds
from molam.payments.refunds.refusals import RefundAbsent
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.db import Tx
from molam.platform.web import Caller, CursorRefused, Routes, idempotency
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

PAGE_ROWS = 50

Show = Literal["waiting", "moving", "done", "ended"]
STATUSES: Mapping[Show, tuple[str, ...]] = {
    "waiting": ("pending",),
    "moving": ("processing",),
    "done": ("completed",),
    "ended": ("failed", "cancelled"),
}
Note = Annotated[str, Meta(max_length=1000)]
Hidden = Annotated[str, Meta(max_length=64)]


class RefundsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    show: Show | None = None
    cursor: Annotated[str, Meta(max_length=1024)] | None = None

    def address(self, cursor: str | None) -> str:
        pairs = {"show": self.show, "cursor": cursor}
        said = {name: value for name, value in pairs.items() if value is not None}
        return f"/refunds?{urlencode(said)}" if said else "/refunds"


class RefundQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class DecisionForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    comment: Note = ""
    idempotency_key: Hidden = ""


class DetailsForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: Annotated[str, Meta(max_length=32)]
    phone: Annotated[str, Meta(max_length=32)]
    holder: Annotated[str, Meta(max_length=140)]
    idempotency_key: Hidden


@routes.get(
    "/refunds",
    needs=permissions.VIEW_REFUNDS,
    page=True,
    query=RefundsQuery,
    refuses=(CursorRefused,),
)
async def list_refunds(request: Request, caller: Caller, query: RefundsQuery) -> Response:
    """List refunds: those that wait for somebody, are under way, done, or ended otherwise."""
    state, merchant_id = request.app.state, caller.merchant
    scope = ("refund-pages", merchant_id, query.show)
    beyond = None
    if query.cursor is not None:
        beyond = state.cursors.open(query.cursor, refunds.Position, filters=scope)
    filters = refunds.Filters(statuses=None if query.show is None else STATUSES[query.show])
    async with state.db.transaction("refunds.page", merchant_id=merchant_id, readonly=True) as tx:
        page = await refunds.list_refunds(
            tx, merchant_id=merchant_id, filters=filters, beyond=beyond, limit=PAGE_ROWS
        )
        waiting = await refunds.waiting(tx, merchant_id=merchant_id)
    older = None
    if page.has_older:
        last = refunds.Position(page.rows[-1].created_at, page.rows[-1].id)
        older = query.address(state.cursors.seal(last, filters=scope))
    return await frame.page(
        request,
        caller,
        "refunds.html",
        place="refunds",
        shop=await queries.settings_of(state.db, merchant_id=merchant_id),
        asked=query,
        page=page,
        waiting=waiting,
        now=state.clock.now(),
        older=older,
        first_page=query.address(None),
    )


@routes.get(
    "/refunds/{id}",
    needs=permissions.VIEW_REFUNDS,
    page=True,
    query=RefundQuery,
    refuses=(RefundAbsent,),
)
async def show(request: Request, caller: Caller, query: RefundQuery) -> Response:
    """Show one refund: where it stands, what is next, and who did what."""
    said = None if query.said is None else Said(query.said)
    return await _show(request, caller, said=said)


async def _show(request: Request, caller: Caller, *, said: Said | None) -> Response:
    state, merchant_id = request.app.state, caller.merchant
    async with state.db.transaction("refunds.show", merchant_id=merchant_id, readonly=True) as tx:
        found = await refunds.detail(tx, merchant_id=merchant_id, id_=request.path_params["id"])
    row = found.refund
    is_waiting = row.state == "awaiting_approval"
    may_act = frame.may(caller, permissions.REFUND)
    asks_caller = any(each["id"] == caller.subject for each in row.approvers)
    return await frame.page(
        request,
        caller,
        "refund.html",
        place="refunds",
        shop=await queries.settings_of(state.db, merchant_id=merchant_id),
        found=found,
        row=row,
        said=said,
        now=state.clock.now(),
        may_decide=is_waiting and may_act and asks_caller,
        may_cancel=is_waiting and may_act and row.created_by == caller.subject,
        may_tell=row.state == "needs_details" and may_act,
        key=proofs.form_key(),
    )


@routes.post(
    "/refunds/{id}/approve",
    needs=permissions.REFUND,
    page=True,
    form=True,
    body=DecisionForm,
    refuses=(RefundAbsent, MerchantFrozen),
)
async def approve(request: Request, caller: Caller, form: DecisionForm) -> Response:
    """Agree to somebody else's refund."""
    deciding = Deciding("approve", form.comment.strip() or None, form.idempotency_key or None)
    return await _decided(request, caller, deciding, word="approved")


@routes.post(
    "/refunds/{id}/reject",
    needs=permissions.REFUND,
    page=True,
    form=True,
    body=DecisionForm,
    refuses=(RefundAbsent, MerchantFrozen),
)
async def reject(request: Request, caller: Caller, form: DecisionForm) -> Response:
    """Refuse somebody else's refund, and say why."""
    deciding = Deciding("reject", form.comment.strip() or None, form.idempotency_key or None)
    return await _decided(request, caller, deciding, word="rejected")


async def _decided(request: Request, caller: Caller, deciding: Deciding, *, word: str) -> Response:
    state, refund_id = request.app.state, request.path_params["id"]
    try:
        await refund_commands.decide(state, caller, refund_id, deciding, now=state.clock.now())
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    return _back(request, word)


@routes.post(
    "/refunds/{id}/cancel",
    needs=permissions.REFUND,
    page=True,
    form=True,
    body=DecisionForm,
    refuses=(RefundAbsent, MerchantFrozen),
)
async def cancel(request: Request, caller: Caller, form: DecisionForm) -> Response:
    """Take one's own refund back."""
    state, refund_id = request.app.state, request.path_params["id"]
    reason = form.comment.strip() or None
    try:
        await refund_commands.cancel(state, caller, refund_id, reason=reason, now=state.clock.now())
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    return _back(request, "cancelled")


@routes.post(
    "/refunds/{id}/details",
    needs=permissions.REFUND,
    page=True,
    form=True,
    body=DetailsForm,
    refuses=(RefundAbsent, MerchantFrozen, *idempotency.REFUSES),
)
async def details(request: Request, caller: Caller, form: DetailsForm) -> Response:
    """Say to which wallet a refund goes."""
    now = request.app.state.clock.now()
    given = {
        "provider": form.provider,
        "phone": "".join(form.phone.split()),
        "holder": form.holder.strip(),
    }
    try:
        wallet = msgspec.convert(given | {"type": "wallet"}, Wallet)
    except msgspec.ValidationError:
        response = await _show(request, caller, said=Said("details-malformed"))
        response.status_code = HTTPStatus.BAD_REQUEST
        return response

    async def work(tx: Tx) -> refund_views.RefundAnswer:
        row = await refund_commands.give_details(
            tx, caller, request.path_params["id"], wallet, now=now
        )
        return refund_views.RefundAnswer(ok=True, refund=refund_views.refund_view(row))

    try:
        await idempotency.once_for_form(
            request,
            caller,
            operation="POST /refunds/{id}/details",
            key=form.idempotency_key,
            asked=form,
            work=work,
        )
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    return _back(request, "told")


async def _refused(request: Request, caller: Caller, refusal: Refusal) -> Response:
    if isinstance(refusal, StepUpRequired):
        return prove(f"/refunds/{request.path_params['id']}?said=confirm-again")
    if refusal.kind not in SHOWN_ON_PAGE or isinstance(refusal, MerchantFrozen):
        raise refusal
    response = await _show(request, caller, said=said_of(request, caller, refusal))
    response.status_code = HTTPStatus.CONFLICT
    return response


def _back(request: Request, word: str) -> Response:
    # No language of the page is lost, and a reload repeats nothing.
    address = f"/refunds/{request.path_params['id']}?said={word}"
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)
