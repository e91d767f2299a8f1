"""The wire shapes of refunds, and how rows become them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.kernel.money import MINOR_MAX
from molam.payments.banks.model import BankAccount, Wallet
from molam.payments.refunds.list_store import EventRow
from molam.payments.refunds.queries import Detail, Feasibility
from molam.payments.refunds.store import RefundRow
from molam.platform.web.wire import Identifier, PageLimit, ShortText

StateWord = Literal[
    "awaiting_approval",
    "queued",
    "submitted",
    "needs_details",
    "unknown",
    "succeeded",
    "failed",
    "rejected",
    "expired",
    "cancelled",
    "reversed",
]
StatusWord = Literal["pending", "processing", "completed", "failed", "cancelled"]
Positive = Annotated[
    int, Meta(ge=1, le=MINOR_MAX, description="Minor units of the currency, a whole number")
]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]
Comment = Annotated[str, Meta(max_length=1000)]


class RefundRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The specification's body, and what makes a repetition safe without a key."""

    txn_id: Identifier
    amount: Positive
    currency: Annotated[str, Meta(max_length=3, description="ISO 4217 code")]
    reason: Reason
    client_reference: Identifier | None = None
    """Yours; the same one never makes a second refund."""
    expected_refundable: Annotated[int, Meta(ge=0, le=MINOR_MAX)] | None = None
    """What you believe is left to refund; refused with the true value if it is not."""


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    comment: Comment | None = None


class Rejection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Comment


class Details(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    destination: BankAccount | Wallet


class RefundsQuery(msgspec.Struct, forbid_unknown_fields=True):
    state: StateWord | None = None
    status: StatusWord | None = None
    txn_id: Identifier | None = None
    from_: ShortText | None = msgspec.field(name="from", default=None)
    """A local day, or an instant with an offset; included."""
    to: ShortText | None = None
    """A local day (the whole of it is included), or an instant (excluded)."""
    limit: PageLimit = 50
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


class FeasibilityQuery(msgspec.Struct, forbid_unknown_fields=True):
    txn_id: Identifier
    amount: Positive | None = None
    """All that is left, if not given."""


class ApproverView(msgspec.Struct):
    id: str
    name: str


class RefundView(msgspec.Struct):
    id: str
    transaction_id: str
    amount: int
    currency: str
    reason: str
    status: str
    state: str
    created_by: str
    approved_by: str | None
    requires_approval: bool
    approval_id: str | None
    approval_by: Literal["merchant", "platform", "service"] | None
    """Who may agree: the merchant's other administrators, finance operations, or a service."""
    approvers: list[ApproverView]
    expires_at: datetime | None
    """Until when somebody may agree."""
    client_reference: str | None
    fee_returned: int
    ledger_entry_id: UUID | None
    provider_ref: str | None
    failed_code: str | None
    failed_reason: str | None
    details_until: datetime | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


class RefundAnswer(msgspec.Struct):
    ok: bool
    refund: RefundView


class StepView(msgspec.Struct):
    """One line of the timeline."""

    at: datetime
    by: str
    name: str
    kind: str
    ip_address: str | None
    from_state: str | None
    to_state: str
    code: str | None
    detail: str | None


class RefundDetailView(msgspec.Struct):
    ok: bool
    refund: RefundView
    timeline: list[StepView]


class RefundsView(msgspec.Struct):
    ok: bool
    has_more: bool
    next_cursor: str | None
    rows: list[RefundView]


class ObjectionView(msgspec.Struct):
    code: str
    title: str
    detail: str
    facts: dict[str, str | int]


class ApprovalView(msgspec.Struct):
    by: Literal["merchant", "platform", "service"]
    approvers: list[ApproverView]
    minutes: int
    would_expire_at: datetime
    counted: int
    """This refund with those that count together with it."""
    threshold: int


class FeasibilityView(msgspec.Struct):
    ok: bool
    possible: bool
    txn_id: str
    amount: int
    currency: str
    refundable: int
    objections: list[ObjectionView]
    warnings: list[str]
    """``past-window``: a new transfer instead; ``needs-details``: say where it goes later."""
    approval: ApprovalView | None
    fee_returned: int
    balance_before: int
    balance_after: int


def refund_view(row: RefundRow) -> RefundView:
    return RefundView(
        id=row.id,
        transaction_id=row.transaction_id,
        amount=row.amount,
        currency=row.currency,
        reason=row.reason,
        status=row.status,
        state=row.state,
        created_by=row.created_by,
        approved_by=row.approved_by,
        requires_approval=row.requires_approval,
        approval_id=row.approval_id,
        approval_by=approval_by(row),
        approvers=[ApproverView(each["id"], each["name"]) for each in row.approvers],
        expires_at=row.expires_at,
        client_reference=row.client_reference,
        fee_returned=row.fee_returned,
        ledger_entry_id=row.ledger_entry_id,
        provider_ref=row.provider_ref,
        failed_code=row.failed_code,
        failed_reason=row.failed_reason,
        details_until=row.details_until,
        created_at=row.created_at,
        updated_at=row.updated_at,
        completed_at=row.completed_at,
    )


def approval_by(row: RefundRow) -> Literal["merchant", "platform", "service"] | None:
    """Say who may agree, or did; None where nobody had to."""
    if not row.requires_approval:
        return None
    if row.approval_via == "remote":
        return "service"
    return "merchant" if row.approvers else "platform"


def detail_view(found: Detail) -> RefundDetailView:
    return RefundDetailView(
        ok=True,
        refund=refund_view(found.refund),
        timeline=[_step_view(each) for each in found.events],
    )


def _step_view(each: EventRow) -> StepView:
    return StepView(
        at=each.at,
        by=each.actor_id,
        name=each.actor_name,
        kind=each.actor_kind,
        ip_address=each.ip_address,
        from_state=each.old_state,
        to_state=each.new_state,
        code=each.code,
        detail=each.detail,
    )


def feasibility_view(found: Feasibility, *, is_remote: bool = False) -> FeasibilityView:
    approval = None
    others = [] if is_remote else found.others
    if found.weight.needs_approval:
        minutes = found.terms.approval_minutes
        approval = ApprovalView(
            by="service" if is_remote else "merchant" if others else "platform",
            approvers=[ApproverView(each.id, each.name) for each in others],
            minutes=minutes,
            would_expire_at=found.found.now + timedelta(minutes=minutes),
            counted=found.weight.counted,
            threshold=found.weight.threshold,
        )
    return FeasibilityView(
        ok=True,
        possible=found.is_possible,
        txn_id=found.payment.id,
        amount=found.amount,
        currency=found.payment.currency,
        refundable=found.found.refundable,
        objections=[
            ObjectionView(each.code, each.title, each.detail, each.facts)
            for each in found.objections
        ],
        warnings=warnings_of(found),
        approval=approval,
        fee_returned=found.fee_returned,
        balance_before=found.found.balance,
        balance_after=found.balance_after,
    )


def warnings_of(found: Feasibility) -> list[str]:
    """List what does not stand against a refund, and is good to know before."""
    warnings = []
    if found.found.is_past_window:
        warnings.append("past-window")
    if found.needs_details:
        warnings.append("needs-details")
    return warnings
