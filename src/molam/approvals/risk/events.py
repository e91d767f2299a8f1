"""Telling those who asked how an approval ended: once, with the ending itself."""

from __future__ import annotations

from uuid import UUID

from prometheus_client import Counter

from molam.approvals.risk import store
from molam.approvals.risk.store import RiskRow
from molam.platform.db import Tx
from molam.platform.events.log import Event, cloud_event, publish

ENDED = Counter("molam_approvals_risk_ended_total", "Risk-aware approvals that ended.", ["status"])

SOURCE = "/approvals"
COMPLETED = "approval.completed"
REJECTED = "approval.rejected"
EXPIRED = "approval.expired"

_BATCH = 100
_TOPICS = {
    "approved": COMPLETED,
    "auto_approved": COMPLETED,
    "rejected": REJECTED,
    "expired": EXPIRED,
}


async def tell_ended(tx: Tx, id_: UUID | None = None) -> int:
    """
    Publish the outcome of ended approvals that nobody has been told of; return how many.

    The row says in the same transaction that it was told, so it is told once.
    """
    rows = await tx.all(store.TAKE_UNTOLD, id=id_, limit=_BATCH)
    await publish(tx, [event_of(row) for row in sorted(rows, key=lambda each: each.id)])
    for row in rows:
        ENDED.labels(row.status).inc()
    return len(rows)


def event_of(row: RiskRow) -> Event:
    """Write the event of an approval that has ended."""
    assert row.decided_at is not None
    topic = _topic(row)
    data: dict[str, object] = {
        "approval_id": str(row.id),
        "action_type": row.action_type,
        "origin_module": row.origin_module,
        "origin_entity_id": row.origin_entity_id,
        "status": row.status,
        "sira_score": row.sira_score,
        "approved_count": row.approved_count,
        "required_approvals": row.required_approvals,
        "payload_hash": row.payload_hash.hex(),
        "reason": row.reason,
        ("expired_at" if topic == EXPIRED else "decided_at"): row.decided_at,
    }
    if row.status == "overridden":
        data |= {"decision": row.override_decision, "override_by": row.override_by}
    payload = cloud_event(
        id_=f"{row.id}/{topic}",
        source=SOURCE,
        type_=topic,
        subject=str(row.id),
        time=row.decided_at,
        data=data,
    )
    return Event(topic=topic, key=str(row.id), payload=payload)


def _topic(row: RiskRow) -> str:
    if row.status == "overridden":
        return COMPLETED if row.override_decision == "approve" else REJECTED
    return _TOPICS[row.status]
