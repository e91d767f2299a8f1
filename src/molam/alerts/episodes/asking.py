"""Asking for what is done later about alerts: telling people, escalating, remedying."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

import msgspec

from molam.alerts.episodes.model import OVER, REMEDIATE, AlertJob, AlertRow
from molam.kernel.clock import Instant
from molam.platform.db import Tx
from molam.platform.jobs import enqueue, enqueue_all

TELL = "alerts.tell"
ESCALATE = "alerts.escalate"
REFLAG = "alerts.reflag"

SOON_S = 90.0
"""What is due later is found by the clock's own round."""


class GroupJob(msgspec.Struct, frozen=True):
    group_key: str


async def to_tell(tx: Tx, group_key: str, *, at: Instant, now: Instant) -> None:
    """Look at *at* what to tell of a group."""
    name = hashlib.sha256(group_key.encode()).hexdigest()[:16]
    await _once_a_second(tx, f"{TELL}/{name}", TELL, GroupJob(group_key), at=at, now=now)


async def to_escalate(tx: Tx, *, at: Instant, now: Instant) -> None:
    await _once_a_second(tx, ESCALATE, ESCALATE, b"", at=at, now=now)


async def to_reflag(tx: Tx, *, at: Instant, now: Instant) -> None:
    """Judge the flags again when a silence begins or is over."""
    await _once_a_second(tx, REFLAG, REFLAG, b"", at=at, now=now)


async def to_remedy(tx: Tx, alert_ids: Sequence[UUID]) -> None:
    await enqueue_all(tx, [(REMEDIATE, AlertJob(str(each))) for each in alert_ids])


async def to_let_go(tx: Tx, alert: AlertRow) -> None:
    """Let what waits to be done about an alert hear at once that the alert is over."""
    if alert.remedied_by_action_id is not None:
        await enqueue(tx, OVER, AlertJob(str(alert.id)), once=f"{OVER}/{alert.id}")


async def _once_a_second(
    tx: Tx, once: str, job: str, payload: bytes | msgspec.Struct, *, at: Instant, now: Instant
) -> None:
    if (at - now).total_seconds() >= SOON_S:
        return
    # Of a second to come, whose job cannot be under way and have looked already.
    second = int(max(at, now).timestamp()) + 1
    delay_s = second - now.timestamp()
    await enqueue(tx, job, payload, delay_s=delay_s, once=f"{once}/{second}")
