"""Settling alerts: dealt with, or of no matter."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from molam.merchant import store, trail
from molam.merchant.commands import AlertAbsent
from molam.platform.db import Database
from molam.platform.web import Caller

Settled = Literal["resolved", "dismissed"]


async def settle(
    db: Database, caller: Caller, alert_id: UUID, *, status: Settled
) -> store.AlertRow:
    """
    Say that an alert was dealt with, or needs nothing. What was settled stays as it was.

    Raises:
        AlertAbsent: the merchant has no such alert.
    """
    merchant_id = caller.merchant
    async with db.transaction("merchant.settle_alert", merchant_id=merchant_id) as tx:
        before = await tx.one(store.LOCK_ALERT, merchant_id=merchant_id, id=alert_id)
        if before is None:
            raise AlertAbsent("It may have been cleared; reload the list.")
        settled = await tx.run(
            store.SET_SETTLED,
            merchant_id=merchant_id,
            id=alert_id,
            status=status,
            by=caller.subject,
        )
        if not settled:
            return before
        await trail.record(
            tx,
            caller,
            action_type=f"alert_{status}",
            resource_type="alert",
            resource_id=str(alert_id),
            before={"status": before.status},
            after={"status": status},
        )
        after = await tx.one(store.LOCK_ALERT, merchant_id=merchant_id, id=alert_id)
        assert after is not None
        return after
