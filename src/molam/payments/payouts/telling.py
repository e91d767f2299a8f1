"""Who is told of a payout: the figures and lists, and the merchant's own systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid8
from molam.payments.payouts.model import TOLD, State
from molam.platform import events
from molam.platform.db import Tx
from molam.platform.events import Event, cloud_event
from molam.webhooks import commands as webhooks
from molam.webhooks.commands import News

TOPIC = "payout_created"
_SOURCE = "/molam/payouts"

_WEBHOOKS = {
    State.PAID: "payout.paid",
    State.FAILED: "payout.failed",
    State.RETURNED: "payout.failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A payout as others hear of it: the version of its row says which news is newer."""

    id: str
    merchant_id: str
    state: State
    amount: int
    currency: str
    version: int
    occurred_at: Instant
    reference_code: str
    scheduled_for: Instant
    is_new: bool = False
    failure_code: str | None = None


async def tell(tx: Tx, payouts: Sequence[Told], *, at: Instant) -> None:
    """
    Publish what became of *payouts*, in the transaction that made it so.

    The events name the transfer that set the money aside, so that intake, which posts
    what wallets report, posts nothing for them.
    """
    await events.publish(tx, [_event(each, at) for each in payouts])
    await webhooks.publish_all(tx, [news for each in payouts for news in _news(each)])


def reserve_id(payout_id: str, times: int) -> str:
    """Name the transfer that sets a payout's money aside for the *times*-th time."""
    return f"payout/{payout_id}/reserve/{times}"


def _event(payout: Told, at: Instant) -> Event:
    payload = cloud_event(
        id_=f"{payout.id}/{payout.version}",
        source=_SOURCE,
        type_=TOPIC,
        subject=payout.id,
        time=at,
        data={
            "id": payout.id,
            "merchant_id": payout.merchant_id,
            "type": "payout",
            "amount": payout.amount,
            "currency": payout.currency,
            "status": TOLD[payout.state],
            "version": payout.version,
            "occurred_at": payout.occurred_at.isoformat(),
            "ledger_transfer_id": str(uuid8(reserve_id(payout.id, 1))),
        },
    )
    return Event(TOPIC, payout.merchant_id, payload)


def _news(payout: Told) -> list[News]:
    event = "payout.created" if payout.is_new else _WEBHOOKS.get(payout.state)
    if event is None:
        return []
    return [
        News(
            merchant_id=payout.merchant_id,
            event=event,
            object_id=payout.id,
            version=payout.version,
            data={
                "id": payout.id,
                "amount": payout.amount,
                "currency": payout.currency,
                "status": TOLD[payout.state],
                "state": payout.state.value,
                "reference": payout.reference_code,
                "scheduled_for": f"{payout.scheduled_for:%Y-%m-%dT%H:%M:%SZ}",
                "failure_code": payout.failure_code,
            },
        )
    ]
