"""Ending an action whose reason is gone, before anybody carries it out."""

from __future__ import annotations

from uuid import UUID

from molam.approvals import notify
from molam.approvals.lifecycle import OPEN, State
from molam.approvals.locked import lock, standing_of
from molam.approvals.store import ActionRow
from molam.approvals.timing import SYSTEM
from molam.platform.db import Tx

_NOT_BEGUN = OPEN | {State.APPROVED, State.SCHEDULED, State.FAILED}


def may_go_stale(row: ActionRow) -> bool:
    """Tell whether an action is not carried out yet, nor being carried out."""
    return State(row.state) in _NOT_BEGUN


async def go_stale(tx: Tx, action_id: UUID, *, why: str) -> ActionRow | None:
    """
    End an action that is not carried out yet; None if it is too late for that. Safe to repeat.

    Raises:
        ActionAbsent
    """
    [action] = await lock(tx, action_id)
    if not may_go_stale(action.row):
        return None
    standing = await standing_of(tx, action, SYSTEM.id)
    action.move("go_stale", reason=why)
    action.record("action.stale", SYSTEM, standing.now, why=why)
    await action.save(tx, standing.now)
    await notify.action_ended(tx, action.row)
    return action.row


async def verified(tx: Tx, action_id: UUID, *, holds: bool) -> None:
    """Say whether what was carried out had the effect it was for. Safe to repeat."""
    [action] = await lock(tx, action_id)
    if action.row.state != State.EXECUTED:
        return
    standing = await standing_of(tx, action, SYSTEM.id)
    action.move("verify_ok" if holds else "verify_bad")
    action.change(verify_at=None)
    action.record("execution.verified" if holds else "execution.ineffective", SYSTEM, standing.now)
    await action.save(tx, standing.now)
