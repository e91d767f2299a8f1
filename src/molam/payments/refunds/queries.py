"""Questions about refunds: lists, one with its timeline, and what one would do if given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.refusals import Refusal
from molam.ledger import queries as ledger
from molam.payments.queries import BEGINNING, END, TransactionAbsent
from molam.payments.refunds import asking, commands, list_store, model, remote_store, store
from molam.payments.refunds.list_store import EventRow
from molam.payments.refunds.model import Situation, State, Weight, Wish
from molam.payments.refunds.moves import SYSTEM
from molam.payments.refunds.store import PaymentRow, PersonRow, RefundRow
from molam.payments.refunds.terms import Terms
from molam.platform.db import Tx

LIMIT_MAX = 200
ASKED = "approval-service-asked"

_WAITS = State.AWAITING_APPROVAL.value


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: strictly older than this refund."""

    created_at: Instant
    id: str


@dataclass(frozen=True, slots=True)
class Filters:
    """What to list; None does not filter. Dates are half-open instants."""

    state: str | None = None
    statuses: Sequence[str] | None = None
    transaction_id: str | None = None
    from_at: Instant | None = None
    to_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[RefundRow]
    has_older: bool


@dataclass(frozen=True, slots=True)
class Detail:
    refund: RefundRow
    payment: PaymentRow
    events: list[EventRow]
    trouble: str | None = None
    """Why the service that decides about it cannot be asked at present."""


@dataclass(frozen=True, slots=True)
class Feasibility:
    """
    What would happen if a refund were asked for now, and what stands against it.

    *others* may agree if it needs approval; nobody there means the platform's people.
    """

    payment: PaymentRow
    found: Situation
    terms: Terms
    amount: int
    objections: list[Refusal]
    weight: Weight
    others: list[PersonRow]
    fee_returned: int
    needs_details: bool

    @property
    def is_possible(self) -> bool:
        return not self.objections

    @property
    def balance_after(self) -> int:
        return self.found.balance - self.amount


async def list_refunds(
    tx: Tx, *, merchant_id: str, filters: Filters, beyond: Position | None, limit: int
) -> Page:
    """List up to *limit* refunds, newest first."""
    assert 1 <= limit <= LIMIT_MAX
    rows = await tx.all(
        list_store.LIST_REFUNDS,
        merchant_id=merchant_id,
        at=beyond.created_at if beyond else END,
        id=beyond.id if beyond else "",
        from_at=filters.from_at or BEGINNING,
        to_at=filters.to_at or END,
        state=filters.state,
        statuses=None if filters.statuses is None else list(filters.statuses),
        transaction_id=filters.transaction_id,
        limit=limit + 1,
    )
    return Page(rows[:limit], has_older=len(rows) > limit)


async def detail(tx: Tx, *, merchant_id: str, id_: str) -> Detail:
    """
    Raises:
        RefundAbsent: the merchant has no such refund.
    """
    row = await commands.find(tx, merchant_id, id_)
    payment = await tx.one(store.FIND_PAYMENT, merchant_id=merchant_id, id=row.transaction_id)
    assert payment is not None, "a refund refers to its payment"
    events = await tx.all(list_store.LIST_EVENTS, merchant_id=merchant_id, refund_id=id_)
    if row.approval_via == "remote":
        return await _with_service(tx, Detail(row, payment, events))
    return Detail(row, payment, events)


async def _with_service(tx: Tx, found: Detail) -> Detail:
    """Add to a timeline how asking the approval service goes."""
    row = found.refund
    asking_ = await tx.one(remote_store.FIND_REMOTE, merchant_id=row.merchant_id, refund_id=row.id)
    assert asking_ is not None, "it is written with the refund"
    said = [(asking_.asked_at, ASKED), (asking_.failing_since, asking_.trouble)]
    events = [
        EventRow(at, SYSTEM.id, SYSTEM.name, SYSTEM.kind, None, None, _WAITS, _WAITS, code, None)
        for at, code in said
        if at is not None
    ]
    trouble = asking_.trouble if row.state == _WAITS else None
    merged = sorted([*found.events, *events], key=lambda each: each.at)
    return Detail(row, found.payment, merged, trouble)


async def of_payment(tx: Tx, *, merchant_id: str, transaction_id: str) -> list[RefundRow]:
    """List the refunds of one payment, oldest first."""
    return await tx.all(
        list_store.LIST_OF_PAYMENT, merchant_id=merchant_id, transaction_id=transaction_id
    )


async def waiting(tx: Tx, *, merchant_id: str) -> int:
    """Count the refunds that wait for somebody to agree."""
    row = await tx.one(list_store.COUNT_WAITING, merchant_id=merchant_id)
    assert row is not None
    return row.count


async def feasibility(
    tx: Tx,
    *,
    merchant_id: str,
    transaction_id: str,
    amount: int | None,
    requester: str,
    thresholds: Mapping[str, int],
) -> Feasibility:
    """
    Say what a refund would do, by the rules that `asking.ask` goes by; without *amount*, of all.

    Raises:
        TransactionAbsent: the merchant has no such payment.
    """
    terms = await asking.terms_of(tx, merchant_id)
    payment = await tx.one(store.FIND_PAYMENT, merchant_id=merchant_id, id=transaction_id)
    if payment is None:
        raise TransactionAbsent("Check the payment's id; a refund cannot be refunded.")
    balances = await ledger.balances_of(tx, merchant_id=merchant_id)
    free = next((each.available for each in balances if each.currency == payment.currency), 0)
    found = await asking.situation_of(tx, payment, requester, terms, of=(merchant_id, free))
    wanted = found.refundable if amount is None else amount
    currency(payment.currency)
    others = await tx.all(store.LIST_OTHER_ADMINS, merchant_id=merchant_id, requester=requester)
    weight = model.weigh(found, wanted, terms.threshold(payment.currency, thresholds))
    wish = Wish(max(1, wanted), payment.currency)
    return Feasibility(
        payment=payment,
        found=found,
        terms=terms,
        amount=wanted,
        objections=list(model.objections(found, wish, terms)),
        weight=weight,
        others=others,
        fee_returned=_fee(found, terms, wanted),
        needs_details=asking.destination_of(payment) is None,
    )


def _fee(found: Situation, terms: Terms, amount: int) -> int:
    """Say what of the fee would come back, if everything under way succeeds."""
    if terms.fee_rule != "returned" or found.amount == 0:
        return 0
    return model.fee_returned(
        fee=found.fee,
        captured=found.amount,
        amount=min(amount, found.amount),
        before=found.ours + found.reported,
        given_back=min(found.fee_given_back, found.fee),
    )
