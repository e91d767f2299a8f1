"""Who is told of a refund: the figures and lists, and the merchant's own systems."""

from __future__ import annotations

from collections.abc import Mapping

from molam.kernel.ids import uuid8
from molam.payments.refunds.store import PaymentRow, RefundRow
from molam.platform import events
from molam.platform.db import Tx
from molam.platform.events import Event, cloud_event
from molam.webhooks import commands as webhooks

TOPIC = "refund_created"
_SOURCE = "molam/payments"

# Note [A refund's three versions]
#
# Lists and figures know a refund as wallets report them: an event with a version. Ours
# is version 1 when it leaves approval, 2 when it succeeded or failed, 3 when an operator
# returned it later. Each names the ledger transfer that paid it, so that intake, which
# posts what wallets report, posts nothing for it.
_GIVEN, _DECIDED, _RETURNED = 1, 2, 3


async def left_approval(tx: Tx, row: RefundRow, payment: PaymentRow) -> None:
    await _publish(tx, row, payment, status="pending", version=_GIVEN)
    await _call(tx, row, "merchant.refund.created")


async def succeeded(tx: Tx, row: RefundRow, payment: PaymentRow) -> None:
    await _publish(tx, row, payment, status="succeeded", version=_DECIDED)
    await _call(tx, row, "merchant.refund.succeeded")


async def failed(tx: Tx, row: RefundRow, payment: PaymentRow) -> None:
    """Tell that the customer did not get it, or has sent it back."""
    version = _RETURNED if row.state == "reversed" else _DECIDED
    await _publish(tx, row, payment, status="failed", version=version)
    await _call(tx, row, "merchant.refund.failed")


async def changed(tx: Tx, row: RefundRow) -> None:
    await _call(tx, row, "merchant.refund.updated")


def shown(row: RefundRow) -> Mapping[str, object]:
    """Describe a refund to a merchant's systems."""
    return {
        "id": row.id,
        "transaction_id": row.transaction_id,
        "amount": row.amount,
        "currency": row.currency,
        "reason": row.reason,
        "status": row.status,
        "state": row.state,
        "client_reference": row.client_reference,
        "requires_approval": row.requires_approval,
        "fee_returned": row.fee_returned,
        "failed_code": row.failed_code,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }


async def _call(tx: Tx, row: RefundRow, event: str) -> None:
    await webhooks.publish(
        tx,
        merchant_id=row.merchant_id,
        event=event,
        object_id=row.id,
        version=row.version,
        data=shown(row),
    )


async def _publish(
    tx: Tx, row: RefundRow, payment: PaymentRow, *, status: str, version: int
) -> None:
    began_at = row.queued_at or row.created_at
    data: dict[str, object] = {
        "id": row.id,
        "transaction_id": row.transaction_id,
        "merchant_id": row.merchant_id,
        "type": "refund",
        "amount": row.amount,
        # What is given back of a fee is a fee below zero.
        "fee_molam": -row.fee_returned,
        "currency": row.currency,
        "status": status,
        "version": version,
        "occurred_at": began_at.isoformat(),
        "channel": payment.channel,
        "provider": payment.provider,
        "reference_code": payment.reference_code,
        "customer": payment.customer,
        "reason": row.reason,
        "ledger_transfer_id": str(uuid8(f"refund/{row.id}/pay")),
    }
    told = {name: value for name, value in data.items() if value is not None}
    payload = cloud_event(
        id_=f"{row.id}-{version}",
        source=_SOURCE,
        type_=TOPIC,
        subject=row.id,
        time=row.updated_at,
        data=told,
    )
    await events.publish(tx, [Event(TOPIC, row.merchant_id, payload)])
