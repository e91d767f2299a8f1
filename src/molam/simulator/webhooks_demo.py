"""The demo's webhooks: one endpoint of the first shop, switched off, with a week of deliveries."""

from __future__ import annotations

from datetime import timedelta

from molam.kernel.clock import Instant
from molam.kernel.ids import show, uuid8
from molam.platform.db import Database
from molam.simulator import webhooks_store as store

MERCHANT = "merchant-123"
ENDPOINT_ID = show("we", uuid8("demo/webhook/merchant-123"))
URL = "https://boutique-sandaga.example/molam"

_COUNT = 40
_EVENTS = ("transaction.succeeded", "payout.paid", "merchant.refund.succeeded")
_FAILS_EVERY = 13


async def seed_webhooks(db: Database, now: Instant) -> None:
    """Add the endpoint and its log once; nothing is ever sent there, since it is switched off."""
    failed = _COUNT // _FAILS_EVERY
    async with db.transaction("demo.webhooks", merchant_id=MERCHANT) as tx:
        await tx.run(
            store.ADD_ENDPOINT,
            id=ENDPOINT_ID,
            merchant_id=MERCHANT,
            url=URL,
            description="Caisse du magasin",
            events=sorted(_EVENTS),
            delivered=_COUNT - failed,
            failed=failed,
            now=now,
            created_by="awa.diop",
            created_at=now - timedelta(days=30),
        )
        for number in range(1, _COUNT + 1):
            is_failed = number % _FAILS_EVERY == 0
            event = _EVENTS[0] if number % 5 else _EVENTS[1 + _drawn(number, 2)]
            object_id = f"demo_{number}"
            amount = (5 + _drawn(number, 400)) * 100
            await tx.run(
                store.ADD_DELIVERY,
                event_id=show("evt", uuid8(f"demo/webhook/{number}")),
                merchant_id=MERCHANT,
                endpoint_id=ENDPOINT_ID,
                event=event,
                object_id=object_id,
                data={"id": object_id, "amount": amount, "currency": "XOF"},
                state="dead" if is_failed else "delivered",
                status=500 if is_failed else 200,
                latency_ms=40 + _drawn(number, 360),
                at=now - timedelta(hours=4 * (_COUNT - number) + 1),
            )


def _drawn(number: int, end: int) -> int:
    """Draw below *end*, the same at every seeding."""
    return uuid8(f"demo/webhook/draw/{number}").int % end
