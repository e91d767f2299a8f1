"""The body of an event, as every endpoint gets it."""

from __future__ import annotations

import msgspec

from molam.webhooks.delivery_store import DueRow
from molam.webhooks.log_store import EventRow
from molam.webhooks.model import Envelope


def body_of(row: DueRow | EventRow) -> bytes:
    """Write the body: the same bytes at every attempt."""
    return msgspec.json.encode(
        Envelope(
            id=row.event_id,
            event=row.event,
            created_at=row.created_at,
            data=msgspec.Raw(row.data.encode()),
            type=row.event,
            merchant_id=row.merchant_id,
            object_id=row.object_id,
            version=row.version,
            sequence=row.sequence,
            ordering_key=row.object_id,
        )
    )
