"""How much may be done about alerts by itself: to one target, and to all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from molam.alerts.remediation import store
from molam.alerts.remediation.model import Policy
from molam.approvals.store import ActionRow
from molam.platform.db import Tx


@dataclass
class Held(Exception):
    """Nothing is asked for, and *reason* says why, in a word."""

    reason: str
    details: dict[str, Any] = field(default_factory=dict)
    action: ActionRow | None = None
    """What would have been asked for, where others may still decide it for many at once."""


async def check(tx: Tx, policy: Policy, action: ActionRow) -> None:
    """
    Hold back an action that was just asked for; the policy's row is locked.

    Raises:
        Held: too soon for this target, too many targets this hour, or its breaker is open.
    """
    found = await tx.one(
        store.LIMITS,
        action_type=action.action_type,
        target_type=action.target_tenant_type,
        target_id=action.target_tenant_id,
    )
    assert found is not None
    if found.is_broken:
        raise Held("breaker", {"action_type": action.action_type})
    wait = timedelta(seconds=policy.cooldown_seconds)
    if found.last_at is not None and found.last_at + wait > found.now:
        raise Held("cooldown", {"until": (found.last_at + wait).isoformat()})
    most = policy.targets_max(found.active)
    if found.targets + 1 > most:
        raise Held("blast_radius", {"targets": found.targets, "most": most}, action)
