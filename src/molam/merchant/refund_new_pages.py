"""Giving a refund by hand: how much and why, what that would do, and only then the deed."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.currency import currency
from molam.kernel.money import AmountMalformed, Money
from molam.kernel.refusals import Refusal
from molam.merchant import frame, permissions, proofs, queries, refund_commands, refund_views
from molam.merchant.refund_said import SHOWN_ON_PAGE, Said, prove, said_of
from molam.payments.queries import TransactionAbsent
from molam.payments.refunds import queries as refunds
from molam.payments.refunds.asking import NewRefund
from molam.payments.refunds.model import REASON_LENGTH_MAX
from molam.payments.refunds.queries import Feasibility
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes, idempotency
from molam.platform.web.l10n import parse_amount
from molam.platform.web.wire import Identifier
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

REASONS = ("customer_request", "duplicate_charge", "wrong_item", "out_of_stock", "not_received")

Typed = Annotated[str, Meta(max_length=24)]
Hidden = Annotated[str, Meta(max_length=64)]


class NewQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """First the amount and the reason; with both, what they would do."""

    txn_id: Identifier
    amount: Typed | None = None
    reason: Annotated[str, Meta(max_length=64)] | None = None
    words: Annotated[str, Meta(max_length=REASON_LENGTH_MAX)] | None = None
    confirm: Literal["again"] | None = None


class RefundForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was reviewed, in minor units, and the key that makes sending it twice harmless."""

    txn_id: Identifier
    amount: refund_views.Positive
    currency: Annotated[str, Meta(max_length=3)]
    reason: refund_views.Reason
    expected_refundable: Annotated[int, Meta(ge=0)]
    idempotency_key: Hidden


@routes.get(
    "/refunds/new",
    needs=permissions.REFUND,
    page=True,
    query=NewQuery,
    refuses=(TransactionAbsent,),
)
async def new(request: Request, caller: Caller, query: NewQuery) -> Response:
    """Ask how much and why; then show what it would do, before anything happens."""
    return await _new(request, caller, query)


@routes.post(
    "/refunds",
    needs=permissions.REFUND,
    page=True,
    form=True,
    body=RefundForm,
    refuses=(TransactionAbsent, MerchantFrozen, *idempotency.REFUSES),
)
async def give(request: Request, caller: Caller, form: RefundForm) -> Response:
    """Give the refund that was reviewed, and lead to it."""
    now = request.app.state.clock.now()
    desk = await refund_commands.desk_of(request.app.state, now)
    asked = NewRefund(
        merchant_id=caller.merchant,
        transaction_id=form.txn_id,
        amount=form.amount,
        currency=form.currency,
        reason=form.reason,
        expected_refundable=form.expected_refundable,
    )

    async def work(tx: Tx) -> refund_views.RefundAnswer:
        done = await refund_commands.ask(tx, desk, asked, caller, now=now)
        return refund_views.RefundAnswer(ok=True, refund=refund_views.refund_view(done.refund))

    try:
        answer = await idempotency.once_for_form(
            request,
            caller,
            operation="POST /refunds",
            key=form.idempotency_key,
            asked=form,
            work=work,
        )
    except Refusal as refusal:
        return await _refused_new(request, caller, form, refusal)
    refund_id = answer["refund"]["id"]
    return RedirectResponse(f"/refunds/{refund_id}?said=asked", status_code=HTTPStatus.SEE_OTHER)


async def _refused_new(
    request: Request, caller: Caller, form: RefundForm, refusal: Refusal
) -> Response:
    """Show the review again with why nothing happened; or ask for a fresh proof of identity."""
    typed = _major(form.amount, form.currency)
    query = NewQuery(txn_id=form.txn_id, amount=typed, reason="other", words=form.reason)
    if isinstance(refusal, StepUpRequired):
        again = {"txn_id": form.txn_id, "amount": typed, "reason": "other", "words": form.reason}
        return prove(f"/refunds/new?{urlencode({**again, 'confirm': 'again'})}")
    if refusal.kind not in SHOWN_ON_PAGE:
        raise refusal
    response = await _new(request, caller, query, said=said_of(request, caller, refusal))
    response.status_code = HTTPStatus.CONFLICT
    return response


async def _new(
    request: Request, caller: Caller, query: NewQuery, *, said: Said | None = None
) -> Response:
    state, merchant_id = request.app.state, caller.merchant
    first = await _feasible(request, caller, query.txn_id, amount=None)
    reason = _reason(query)
    errors, amount = [], None
    if query.amount is not None:
        try:
            amount = parse_amount(query.amount, currency(first.payment.currency)).minor
        except AmountMalformed:
            errors.append("amount")
        if amount is not None and amount < 1:
            errors.append("amount")
        if reason is None:
            errors.append("reason")
    is_review = amount is not None and not errors
    found = await _feasible(request, caller, query.txn_id, amount=amount) if is_review else first
    minutes = found.terms.approval_minutes
    return await frame.page(
        request,
        caller,
        "refund_new.html",
        place="refunds",
        shop=await queries.settings_of(state.db, merchant_id=merchant_id),
        asked=query,
        found=found,
        is_review=is_review,
        reason=reason,
        reasons=REASONS,
        errors=errors,
        said=said or (Said("confirm-again") if query.confirm else None),
        objections=[said_of(request, caller, each) for each in found.objections],
        warnings=refund_views.warnings_of(found),
        decides_via="remote" if state.settings.risk_aware_approvals_url else "engine",
        would_expire_at=found.found.now + timedelta(minutes=minutes),
        whole=_major(first.found.refundable, first.payment.currency),
        key=proofs.form_key(),
    )


async def _feasible(
    request: Request, caller: Caller, transaction_id: str, *, amount: int | None
) -> Feasibility:
    state, merchant_id = request.app.state, caller.merchant
    desk = await refund_commands.desk_of(state, state.clock.now())
    async with state.db.transaction(
        "refunds.feasibility", merchant_id=merchant_id, readonly=True
    ) as tx:
        return await refunds.feasibility(
            tx,
            merchant_id=merchant_id,
            transaction_id=transaction_id,
            amount=amount,
            requester=caller.subject,
            thresholds=desk.thresholds,
        )


def _reason(query: NewQuery) -> str | None:
    """Take what was written, or else the reason that was chosen."""
    written = " ".join((query.words or "").split())
    if written:
        return written
    return query.reason if query.reason in REASONS else None


def _major(minor: int, code: str) -> str:
    return f"{Money(minor, currency(code)).decimal():f}"
