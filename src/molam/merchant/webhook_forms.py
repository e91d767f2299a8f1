"""The forms of the pages of webhooks."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from molam.webhooks.model import EVENTS
from molam.webhooks.store import EndpointRow
from molam.webhooks.subscriptions import Wanted

Tick = Literal["yes"] | None

_REACHES = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "everything": timedelta(days=90),
}


class EndpointForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A box for each event: a form's field is given once, so they cannot share a name."""

    url: Annotated[str, Meta(max_length=2048)] = ""
    description: Annotated[str, Meta(max_length=200)] = ""
    retry_schedule: Literal["standard", "long"] = "standard"
    transaction_succeeded: Tick = msgspec.field(name="transaction.succeeded", default=None)
    refund_created: Tick = msgspec.field(name="merchant.refund.created", default=None)
    refund_updated: Tick = msgspec.field(name="merchant.refund.updated", default=None)
    refund_succeeded: Tick = msgspec.field(name="merchant.refund.succeeded", default=None)
    refund_failed: Tick = msgspec.field(name="merchant.refund.failed", default=None)
    payout_created: Tick = msgspec.field(name="payout.created", default=None)
    payout_paid: Tick = msgspec.field(name="payout.paid", default=None)
    payout_failed: Tick = msgspec.field(name="payout.failed", default=None)
    dispute_created: Tick = msgspec.field(name="dispute.created", default=None)
    dispute_updated: Tick = msgspec.field(name="dispute.updated", default=None)
    metrics_updated: Tick = msgspec.field(name="merchant.metrics.updated", default=None)

    @classmethod
    def of(cls, row: EndpointRow) -> EndpointForm:
        """Fill the form with an endpoint as it is."""
        return msgspec.convert(
            {
                "url": row.url,
                "description": row.description,
                "retry_schedule": row.retry_schedule,
                **{event: "yes" for event in row.events if event in EVENTS},
            },
            cls,
        )

    @property
    def events(self) -> list[str]:
        said = msgspec.to_builtins(self)
        return [event for event in EVENTS if said[event] == "yes"]

    def wanted(self) -> Wanted:
        # An endpoint that hears of nothing is refused as an event without a name is.
        return Wanted(self.url, self.events or [""], self.description, self.retry_schedule)


class ReplayForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    since: Literal["hour", "day", "week", "everything"] = "day"

    @property
    def reach(self) -> timedelta:
        return _REACHES[self.since]
