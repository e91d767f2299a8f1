"""`transaction.succeeded`: each payment that succeeds is told once to whoever subscribed."""

from __future__ import annotations

from molam.merchant import webhook_store
from molam.platform.db import Tx
from molam.webhooks import commands, queries
from molam.webhooks.commands import News

TOPICS = ("wallet_txn_created", "wallet_txn_succeeded")
EVENT = "transaction.succeeded"
_ONCE = 1
"""Later versions of a payment are refunds and the like, which have events of their own."""


async def tell_payments(tx: Tx, payloads: list[str]) -> None:
    """Publish the payments of a batch that succeeded; one that comes twice tells nothing new."""
    merchants = await queries.subscribed(tx, EVENT)
    if not merchants:
        return
    paid = await tx.all(
        webhook_store.FIND_PAID, events=f"[{','.join(payloads)}]", merchants=merchants
    )
    await commands.publish_all(tx, [_news(row) for row in paid])


def _news(row: webhook_store.PaidRow) -> News:
    return News(
        merchant_id=row.merchant_id,
        event=EVENT,
        object_id=row.id,
        version=_ONCE,
        data={
            "id": row.id,
            "type": "payment",
            "status": "succeeded",
            "amount": row.amount,
            "fee_molam": row.fee,
            "net_amount": row.amount - row.fee,
            "currency": row.currency,
            "method": row.method,
            "reference_code": row.reference_code,
            "occurred_at": row.occurred_at,
        },
    )
