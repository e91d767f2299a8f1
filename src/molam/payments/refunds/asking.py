"""Asking for a refund: checked under the payment's lock, set aside, and sent or put to others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from prometheus_client import Counter

from molam.approvals.model import Auth
from molam.approvals.runtime import Runtime
from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.ids import show, uuid7
from molam.ledger import commands as ledger
from molam.payments.banks.model import Wallet
from molam.payments.queries import TransactionAbsent
from molam.payments.refunds import approval, model, moves, remote, store
from molam.payments.refunds.model import Situation, State, Weight, Wish
from molam.payments.refunds.moves import By
from molam.payments.refunds.refusals import ClientReferenceUsed
from molam.payments.refunds.store import PaymentRow, RefundRow
from molam.payments.refunds.terms import Terms
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S, require_proof
from molam.platform.db import Tx
from molam.tenancy.queries import MerchantAbsent

REQUESTS = Counter(
    "molam_merchant_refund_requests_total", "Refunds asked for, by what became of it.", ["outcome"]
)

_NOT_PHONE = re.compile(r"[\s().-]")
_HOLDER_LENGTH_MAX = 140
_UNNAMED = "Client"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRefund:
    """What is asked for. *reason* is a code or a sentence."""

    merchant_id: str
    transaction_id: str
    amount: int
    currency: str
    reason: str
    client_reference: str | None = None
    expected_refundable: int | None = None
    metadata: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """What asking needs: the approval engine, and the platform's thresholds by currency."""

    runtime: Runtime
    thresholds: Mapping[str, int]
    is_remote: bool = False
    """Whether another service decides about what is above them."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and how they proved who they are; no proof is asked of code."""

    by: By
    roles: frozenset[str]
    auth: Auth | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A refund, whether it is new, and what could be refunded before it."""

    refund: RefundRow
    is_new: bool
    refundable: int = 0


async def ask(tx: Tx, desk: Desk, asked: NewRefund, asker: Asker, *, now: Instant) -> Asked:
    """
    Set an amount aside for the customer, and send it, or first ask whoever must agree.

    The same request under the same ``client_reference`` gives the first refund again.

    Raises:
        TransactionAbsent: the merchant has no such payment.
        StepUpRequired: it needs approval, and so a fresh second factor of whoever asks.
        Unsatisfiable: it needs approval, and nobody could give it.
        refusals.ON_CREATION: it is not possible; each says why.
    """
    reason = model.read_reason(asked.reason)
    currency(asked.currency)
    terms = await terms_of(tx, asked.merchant_id)
    payment = await lock_payment(tx, asked.merchant_id, asked.transaction_id)
    repeated = await _repeated(tx, asked, reason)
    if repeated is not None:
        return Asked(repeated, is_new=False)
    balance = await ledger.lock_available(
        tx, merchant_id=asked.merchant_id, currency=asked.currency
    )
    found = await situation_of(tx, payment, asker.by.id, terms, of=(asked.merchant_id, balance))
    wish = Wish(asked.amount, asked.currency, asked.expected_refundable)
    for objection in model.objections(found, wish, terms):
        REQUESTS.labels("refused").inc()
        raise objection
    weight = model.weigh(found, asked.amount, terms.threshold(asked.currency, desk.thresholds))
    if weight.needs_approval and asker.auth is not None:
        proof = asker.auth
        require_proof(
            acr=proof.acr, auth_time=proof.auth_time, now=now, max_age_s=STEP_UP_MAX_AGE_S
        )
    state = State.AWAITING_APPROVAL if weight.needs_approval else State.QUEUED
    row = await insert(tx, asked, (payment, found), reason=reason, state=state, by=asker.by)
    if weight.needs_approval and desk.is_remote:
        row = await remote.ask(tx, row, minutes=terms.approval_minutes, timezone=terms.timezone)
    elif weight.needs_approval:
        row = await _put_to_others(tx, desk, row, asker, terms=terms, weight=weight)
    else:
        await moves.set_out(tx, row, payment)
    REQUESTS.labels(row.state).inc()
    return Asked(row, is_new=True, refundable=found.refundable)


async def insert(
    tx: Tx,
    asked: NewRefund,
    of: tuple[PaymentRow, Situation],
    *,
    reason: str,
    state: State,
    by: By,
) -> RefundRow:
    """
    Write a refund *of* a payment down and set its amount aside; payment and balance are locked.

    Raises:
        ClientReferenceUsed: another request under the same reference came first.
    """
    payment, found = of
    row = await tx.one(
        store.INSERT_REFUND,
        merchant_id=asked.merchant_id,
        id=show("re", uuid7(found.now)),
        transaction_id=asked.transaction_id,
        amount=asked.amount,
        currency=asked.currency,
        reason=reason,
        state=state.value,
        origin="operations" if (asked.metadata or {}).get("kind") else "merchant",
        created_by=by.id,
        requires_approval=state is State.AWAITING_APPROVAL,
        approval_id=(asked.metadata or {}).get("action_id"),
        client_reference=asked.client_reference,
        destination=destination_of(payment),
        metadata=dict(asked.metadata or {}),
    )
    if row is None:
        raise ClientReferenceUsed("Use a new client_reference for a new refund.")
    await moves.begin(tx, row, by)
    return row


async def _put_to_others(
    tx: Tx, desk: Desk, row: RefundRow, asker: Asker, *, terms: Terms, weight: Weight
) -> RefundRow:
    others = await tx.all(
        store.LIST_OTHER_ADMINS, merchant_id=row.merchant_id, requester=asker.by.id
    )
    asked_for = await approval.ask(
        tx,
        desk.runtime,
        row,
        approval.actor_of(asker.by, roles=asker.roles, auth=asker.auth),
        ballot=approval.Ballot(others, terms.approval_minutes, weight),
    )
    written = await tx.one(
        store.SET_APPROVAL,
        merchant_id=row.merchant_id,
        id=row.id,
        approval_id=str(asked_for.id),
        approval_via="engine",
        approvers=[{"id": each.id, "name": each.name} for each in others],
        expires_at=asked_for.expires_at,
    )
    assert written is not None
    return written


async def terms_of(tx: Tx, merchant_id: str) -> Terms:
    """
    Raises:
        MerchantAbsent: nobody set this merchant up.
    """
    row = await tx.one(store.FIND_TERMS, merchant_id=merchant_id)
    if row is None:
        raise MerchantAbsent("Check the merchant id.")
    return Terms(
        row.default_currency,
        row.timezone,
        row.dashboard_config,
        row.daily_refund_limit,
        row.monthly_refund_limit,
    )


async def lock_payment(tx: Tx, merchant_id: str, id_: str) -> PaymentRow:
    """
    Raises:
        TransactionAbsent: the merchant has no such payment.
    """
    payment = await tx.one(store.LOCK_PAYMENT, merchant_id=merchant_id, id=id_)
    if payment is None:
        raise TransactionAbsent("Check the payment's id; a refund cannot be refunded.")
    return payment


async def situation_of(
    tx: Tx, payment: PaymentRow, requester: str, terms: Terms, *, of: tuple[str, int]
) -> Situation:
    """Read all that decides about a refund; *of* is the merchant and what it has free."""
    merchant_id, balance = of
    sums = await tx.one(
        store.READ_SUMS,
        merchant_id=merchant_id,
        transaction_id=payment.id,
        currency=payment.currency,
        timezone=terms.timezone,
        requester=requester,
        counted=[each.value for each in model.COUNTED],
        window_s=model.WINDOW.total_seconds(),
        provider="card" if payment.channel == "card" else payment.provider,
    )
    assert sums is not None
    window = None
    if sums.window_days is not None:
        window = model.Window(sums.window_days, bool(sums.is_refused_later))
    return Situation(
        state=payment.state,
        amount=payment.amount,
        currency=payment.currency,
        fee=payment.fee_molam,
        imported=payment.imported,
        occurred_at=payment.occurred_at,
        window=window,
        ours=sums.ours,
        reported=sums.reported,
        lost=sums.lost,
        open_dispute=sums.open_dispute,
        balance=balance,
        today=sums.today,
        this_month=sums.this_month,
        of_payment=sums.of_payment,
        of_requester=sums.of_requester,
        fee_given_back=sums.fee_given_back,
        now=sums.now,
    )


async def _repeated(tx: Tx, asked: NewRefund, reason: str) -> RefundRow | None:
    """
    Find the refund that the same request made before.

    Raises:
        ClientReferenceUsed: its reference belongs to another request.
    """
    if asked.client_reference is None:
        return None
    row = await tx.one(
        store.FIND_BY_REFERENCE,
        merchant_id=asked.merchant_id,
        client_reference=asked.client_reference,
    )
    if row is None:
        return None
    before = row.transaction_id, row.amount, row.currency, row.reason
    if before != (asked.transaction_id, asked.amount, asked.currency, reason):
        raise ClientReferenceUsed("Use a new client_reference for a new refund.", refund_id=row.id)
    return row


def destination_of(payment: PaymentRow) -> dict[str, Any] | None:
    """Return the wallet that a payment came from; None where nobody knows it."""
    said = {
        "type": "wallet",
        "provider": payment.provider,
        "phone": _NOT_PHONE.sub("", str(payment.customer.get("phone") or "")),
        "holder": str(payment.customer.get("name") or _UNNAMED)[:_HOLDER_LENGTH_MAX],
    }
    if payment.channel != "wallet":
        return None
    try:
        wallet = msgspec.convert(said, Wallet)
    except msgspec.ValidationError:
        return None
    written: dict[str, Any] = msgspec.to_builtins(wallet)
    return written
