"""The refunds of the merchant API."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.lifecycle import TransitionRefused
from molam.approvals.model import (
    ActionExpired,
    FieldsRefused,
    IdempotencyMismatch,
    NotEligible,
    ReasonRequired,
    SameHands,
    TwinOpen,
    Unsatisfiable,
)
from molam.kernel.currency import UnknownCurrency
from molam.merchant import permissions, queries, refund_commands
from molam.merchant import refund_views as views
from molam.merchant.endpoints import DateRangeMalformed, dates
from molam.merchant.refund_commands import Deciding
from molam.payments.queries import TransactionAbsent
from molam.payments.refunds import queries as refunds
from molam.payments.refunds import refusals
from molam.payments.refunds.asking import NewRefund
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.db import Tx
from molam.platform.web import Caller, CursorRefused, Routes, idempotency
from molam.tenancy.queries import MerchantAbsent
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

_DECISIONS = (
    refusals.RefundAbsent,
    refusals.RefundNotInState,
    NotEligible,
    StepUpRequired,
    ActionExpired,
    TransitionRefused,
    IdempotencyMismatch,
    FieldsRefused,
    MerchantFrozen,
)


@routes.post(
    "/api/merchant/refund",
    needs=permissions.REFUND,
    body=views.RefundRequest,
    answers=views.RefundAnswer,
    status=201,
    also=(200, 202),
    refuses=(
        *refusals.ON_CREATION,
        *idempotency.REFUSES,
        TransactionAbsent,
        UnknownCurrency,
        MerchantAbsent,
        MerchantFrozen,
        StepUpRequired,
        Unsatisfiable,
        TwinOpen,
    ),
)
async def refund(request: Request, caller: Caller, body: views.RefundRequest) -> Response:
    """
    Give money of a payment back to the customer.

    201: it is on its way. 202: it needs the agreement of others; the answer says of whom
    and until when. 200: the refund that the same client_reference made before.
    """
    now = request.app.state.clock.now()
    desk = await refund_commands.desk_of(request.app.state, now)
    asked = NewRefund(
        merchant_id=caller.merchant,
        transaction_id=body.txn_id,
        amount=body.amount,
        currency=body.currency,
        reason=body.reason,
        client_reference=body.client_reference,
        expected_refundable=body.expected_refundable,
    )

    async def work(tx: Tx) -> idempotency.Answer:
        done = await refund_commands.ask(tx, desk, asked, caller, now=now)
        status = 200
        if done.is_new:
            status = 202 if done.refund.requires_approval else 201
        answer = views.RefundAnswer(ok=True, refund=views.refund_view(done.refund))
        return idempotency.Answer(answer, status)

    return await idempotency.once(
        request, caller, operation="POST /api/merchant/refund", asked=body, work=work, status=201
    )


@routes.get(
    "/api/merchant/refunds",
    needs=permissions.VIEW_REFUNDS,
    query=views.RefundsQuery,
    answers=views.RefundsView,
    refuses=(CursorRefused, DateRangeMalformed, MerchantAbsent),
)
async def list_refunds(
    request: Request, caller: Caller, query: views.RefundsQuery
) -> views.RefundsView:
    """List refunds, newest first, by cursor."""
    state, merchant_id = request.app.state, caller.merchant
    from_at = to_at = None
    if query.from_ is not None or query.to is not None:
        shop = await queries.settings_of(state.db, merchant_id=merchant_id)
        from_at, to_at = dates(query.from_, query.to, shop.timezone)
    scope = ("refunds", merchant_id, msgspec.structs.asdict(query) | {"cursor": None, "limit": 0})
    beyond = None
    if query.cursor is not None:
        beyond = state.cursors.open(query.cursor, refunds.Position, filters=scope)
    filters = refunds.Filters(
        state=query.state,
        statuses=None if query.status is None else [query.status],
        transaction_id=query.txn_id,
        from_at=from_at,
        to_at=to_at,
    )
    async with state.db.transaction("refunds.list", merchant_id=merchant_id, readonly=True) as tx:
        page = await refunds.list_refunds(
            tx, merchant_id=merchant_id, filters=filters, beyond=beyond, limit=query.limit
        )
    following = None
    if page.has_older:
        last = page.rows[-1]
        position = refunds.Position(last.created_at, last.id)
        following = state.cursors.seal(position, filters=scope)
    rows = [views.refund_view(row) for row in page.rows]
    return views.RefundsView(ok=True, has_more=page.has_older, next_cursor=following, rows=rows)


@routes.get(
    "/api/merchant/refunds/feasibility",
    needs=permissions.VIEW_REFUNDS,
    query=views.FeasibilityQuery,
    answers=views.FeasibilityView,
    refuses=(TransactionAbsent, MerchantAbsent),
)
async def feasibility(
    request: Request, caller: Caller, query: views.FeasibilityQuery
) -> views.FeasibilityView:
    """Say what a refund would do, and whether it is possible; nothing happens."""
    state, merchant_id = request.app.state, caller.merchant
    desk = await refund_commands.desk_of(state, state.clock.now())
    async with state.db.transaction(
        "refunds.feasibility", merchant_id=merchant_id, readonly=True
    ) as tx:
        found = await refunds.feasibility(
            tx,
            merchant_id=merchant_id,
            transaction_id=query.txn_id,
            amount=query.amount,
            requester=caller.subject,
            thresholds=desk.thresholds,
        )
    return views.feasibility_view(found, is_remote=desk.is_remote)


@routes.get(
    "/api/merchant/refunds/{id}",
    needs=permissions.VIEW_REFUNDS,
    answers=views.RefundDetailView,
    refuses=(refusals.RefundAbsent,),
)
async def show(request: Request, caller: Caller) -> views.RefundDetailView:
    """Show one refund and who did what to it, when."""
    db, merchant_id = request.app.state.db, caller.merchant
    async with db.transaction("refunds.show", merchant_id=merchant_id, readonly=True) as tx:
        found = await refunds.detail(tx, merchant_id=merchant_id, id_=request.path_params["id"])
    return views.detail_view(found)


@routes.post(
    "/api/merchant/refunds/{id}/approve",
    needs=permissions.REFUND,
    body=views.Decision,
    answers=views.RefundAnswer,
    refuses=_DECISIONS,
)
async def approve(request: Request, caller: Caller, body: views.Decision) -> views.RefundAnswer:
    """Agree to somebody else's refund; it is sent at once. A repetition changes nothing."""
    return await _decided(request, caller, Deciding("approve", _blank(body.comment)))


@routes.post(
    "/api/merchant/refunds/{id}/reject",
    needs=permissions.REFUND,
    body=views.Rejection,
    answers=views.RefundAnswer,
    refuses=(*_DECISIONS, ReasonRequired),
)
async def reject(request: Request, caller: Caller, body: views.Rejection) -> views.RefundAnswer:
    """Refuse somebody else's refund, and say why; its amount is free again."""
    return await _decided(request, caller, Deciding("reject", body.reason))


@routes.post(
    "/api/merchant/refunds/{id}/cancel",
    needs=permissions.REFUND,
    body=views.Decision,
    answers=views.RefundAnswer,
    refuses=(
        refusals.RefundAbsent,
        refusals.RefundNotInState,
        SameHands,
        TransitionRefused,
        MerchantFrozen,
    ),
)
async def cancel(request: Request, caller: Caller, body: views.Decision) -> views.RefundAnswer:
    """Take your own refund back before others have agreed to it."""
    state = request.app.state
    row = await refund_commands.cancel(
        state,
        caller,
        request.path_params["id"],
        reason=_blank(body.comment),
        now=state.clock.now(),
    )
    return views.RefundAnswer(ok=True, refund=views.refund_view(row))


@routes.post(
    "/api/merchant/refunds/{id}/details",
    needs=permissions.REFUND,
    body=views.Details,
    answers=views.RefundAnswer,
    refuses=(
        refusals.RefundAbsent,
        refusals.RefundNotInState,
        StepUpRequired,
        MerchantFrozen,
        *idempotency.REFUSES,
    ),
)
async def details(request: Request, caller: Caller, body: views.Details) -> Response:
    """Say where a refund goes whose payment does not tell; it is sent again."""
    now = request.app.state.clock.now()

    async def work(tx: Tx) -> views.RefundAnswer:
        row = await refund_commands.give_details(
            tx, caller, request.path_params["id"], body.destination, now=now
        )
        return views.RefundAnswer(ok=True, refund=views.refund_view(row))

    operation = "POST /api/merchant/refunds/{id}/details"
    return await idempotency.once(request, caller, operation=operation, asked=body, work=work)


async def _decided(request: Request, caller: Caller, deciding: Deciding) -> views.RefundAnswer:
    state = request.app.state
    key = request.headers.get(idempotency.HEADER)
    if key is not None:
        deciding = Deciding(deciding.vote, deciding.comment, key)
    row = await refund_commands.decide(
        state, caller, request.path_params["id"], deciding, now=state.clock.now()
    )
    return views.RefundAnswer(ok=True, refund=views.refund_view(row))


def _blank(text: str | None) -> str | None:
    return (text or "").strip() or None
