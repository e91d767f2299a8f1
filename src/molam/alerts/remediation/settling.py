"""What one remediation's end means for its action, which may be for many alerts."""

from __future__ import annotations

from molam.alerts.remediation import group_store, store
from molam.alerts.remediation.store import RemediationRow
from molam.approvals import staling
from molam.approvals.locked import lock
from molam.platform.db import Tx


async def settle(tx: Tx, row: RemediationRow, state: str) -> bool:
    """
    Say how a remediation ended; False if somebody else did. It locks the action first.

    An action for many is verified with the last of them, if none was without effect.
    """
    await lock(tx, row.action_id)
    if not await tx.run(store.SETTLE, id=row.id, state=state):
        return False
    if state == "ended" and not row.is_group:
        return True
    stand = await tx.one(group_store.STAND, action_id=row.action_id)
    assert stand is not None
    if not stand.unsettled and stand.verified + stand.ineffective:
        await staling.verified(tx, row.action_id, holds=not stand.ineffective)
    return True


async def leave(tx: Tx, row: RemediationRow) -> bool:
    """
    Let go of a remediation whose alert is over before it was done; False if that is too late.

    With the last of them its action goes stale.
    """
    [action] = await lock(tx, row.action_id)
    if not staling.may_go_stale(action.row):
        return False
    if not await tx.run(store.SETTLE, id=row.id, state="ended"):
        return False
    stand = await tx.one(group_store.STAND, action_id=row.action_id)
    assert stand is not None
    if not stand.unsettled:
        await staling.go_stale(tx, row.action_id, why="alert_over")
    return True
