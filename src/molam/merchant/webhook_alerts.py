"""Telling a merchant that an endpoint was switched off because nothing arrived there."""

from __future__ import annotations

from urllib.parse import urlsplit

from molam.kernel.clock import Clock
from molam.kernel.ids import uuid7
from molam.merchant import store
from molam.platform.db import Tx
from molam.webhooks.delivery_store import FailingRow
from molam.webhooks.dispatcher import OnDisabled

ALERT_TYPE = "webhook_disabled"

_WHY = {
    "gone": "It answered 410 Gone.",
    "failing": "Nothing arrived there any more, for days or many times in a row.",
}


def tell_disabled(clock: Clock) -> OnDisabled:
    """Return what raises the alert, in the transaction that switches the endpoint off."""

    async def tell(tx: Tx, row: FailingRow) -> None:
        now = clock.now()
        host = urlsplit(row.url).hostname or ""
        await tx.run(
            store.APPEND_ALERT,
            id=uuid7(now),
            merchant_id=row.merchant_id,
            alert_type=ALERT_TYPE,
            severity="critical",
            title="A webhook endpoint was switched off",
            description=f"{host}: {_WHY[row.reason]} Mend it, switch it on, and send what it"
            " missed again.",
            related_transactions=[],
            sira_score=None,
            sira_tags=["webhook"],
            sira_recommendations=[],
            episode=f"{row.id}:{now.isoformat()}",
            facts={
                "rule": "webhook",
                "endpoint_id": row.id,
                "host": host,
                "reason": row.reason,
            },
            expires_at=None,
        )

    return tell
