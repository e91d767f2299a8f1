"""Telling the merchant's systems of what becomes of its disputes."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from molam.kernel.clock import Instant
from molam.payments.disputes.model import Dispute
from molam.platform.db import Tx
from molam.webhooks import commands as webhooks
from molam.webhooks.commands import News


async def publish(tx: Tx, disputes: Sequence[tuple[Dispute, bool]]) -> None:
    """Let subscribed endpoints know of each dispute; the flag says that it is new."""
    await webhooks.publish_all(
        tx,
        [
            News(
                merchant_id=dispute.merchant_id,
                event="dispute.created" if is_new else "dispute.updated",
                object_id=dispute.id,
                version=dispute.revision,
                data=facts_of(dispute),
            )
            for dispute, is_new in disputes
        ],
    )


def facts_of(dispute: Dispute) -> dict[str, object]:
    """Write a dispute as webhooks say it."""
    return {
        "id": dispute.id,
        "transaction_id": dispute.transaction_id,
        "type": dispute.type,
        "reason": dispute.reason,
        "network_reason_code": dispute.network_reason_code,
        "network_case_id": dispute.network_case_id,
        "amount": dispute.amount,
        "fee": dispute.fee,
        "currency": dispute.currency,
        "status": dispute.status,
        "state": dispute.state.value,
        "stage": dispute.stage_name,
        "evidence_deadline": _written(dispute.evidence_due_at),
        "evidence_submitted_at": _written(dispute.submitted_at),
        "resolution": dispute.resolution,
        "occurred_at": _written(dispute.occurred_at),
    }


def path_part(id_: str) -> str:
    """Write an id from outside as one part of an address."""
    return quote(id_, safe="")


def _written(instant: Instant | None) -> str | None:
    return None if instant is None else f"{instant:%Y-%m-%dT%H:%M:%SZ}"
