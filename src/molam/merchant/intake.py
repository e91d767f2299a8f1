"""Wallet events posted over HTTP: checked as a whole, then appended to the event log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.kernel.currency import currency
from molam.kernel.refusals import Kind, Refusal
from molam.platform import events as log
from molam.platform.db import Database, Query
from molam.platform.web.wire import CurrencyCode, Identifier, LongText, Minor, Moment, ShortText

EVENTS_MAX = 1000

Topic = Literal[
    "wallet_txn_created",
    "wallet_txn_succeeded",
    "refund_created",
    "payout_created",
    "dispute_created",
]

# The words each kind of fact knows; the tables refuse any other.
STATUSES: dict[str, frozenset[str]] = {
    "wallet_txn_created": frozenset({"created", "pending", "succeeded", "failed", "cancelled"}),
    "wallet_txn_succeeded": frozenset({"succeeded"}),
    "refund_created": frozenset(
        {"pending", "processing", "succeeded", "completed", "failed", "cancelled"}
    ),
    "payout_created": frozenset(
        {"pending", "in_transit", "paid", "failed", "cancelled", "returned"}
    ),
    "dispute_created": frozenset({"open", "under_review", "won", "lost", "accepted", "escalated"}),
}


class EventRefused(Refusal):
    code = "event-refused"
    kind = Kind.BROKEN_RULE
    title = "An event of the batch cannot be accepted"


class MerchantUnknown(Refusal):
    code = "merchant-unknown"
    kind = Kind.BROKEN_RULE
    title = "An event names a merchant that is not registered"


class Customer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: ShortText | None = None
    email: ShortText | None = None
    phone: Annotated[str, Meta(max_length=32)] | None = None


class FactData(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """
    What happened, in minor units of the currency.

    *occurred_at* of a wallet transaction is the instant it was created, whatever
    became of it later. The greatest *version* wins, in whatever order they come.
    """

    merchant_id: Identifier
    amount: Minor
    currency: CurrencyCode
    occurred_at: Moment
    id: Identifier | None = None
    """The id of a refund, payout or dispute."""
    transaction_id: Identifier | None = None
    """The payment's id: the fact itself on wallet topics, the original elsewhere."""
    type: Literal["payment", "refund"] | None = None
    status: ShortText | None = None
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    fee_molam: Minor | None = None
    channel: Literal["wallet", "card", "bank_transfer"] | None = None
    provider: Annotated[str, Meta(pattern="^[a-z0-9_]+$", max_length=64)] | None = None
    reference_code: ShortText | None = None
    customer: Customer | None = None
    metadata: dict[ShortText, Any] | None = None
    reason: LongText | None = None


class CloudEvent(msgspec.Struct, forbid_unknown_fields=True):
    """CloudEvents 1.0 in structured JSON."""

    specversion: Literal["1.0"]
    id: Identifier
    source: Identifier
    type: Topic
    data: FactData
    time: Moment | None = None
    subject: Identifier | None = None
    datacontenttype: Literal["application/json"] = "application/json"


@dataclass(frozen=True, slots=True)
class KnownRow:
    id: str


_LIST_KNOWN = Query(
    """
    /* merchant.list_known_merchants */
    select id from tenancy.merchants where id = any(:ids::text[])
    """,
    row=KnownRow,
)


async def accept_events(db: Database, *, events: list[CloudEvent]) -> int:
    """
    Append a batch to the event log, all or nothing; return its size.

    Raises:
        EventRefused: names the first event that breaks a rule, by its position.
        MerchantUnknown: names the merchant.
    """
    if len(events) > EVENTS_MAX:
        raise EventRefused(f"Send at most {EVENTS_MAX} events at a time.")
    for position, event in enumerate(events):
        _check(event, position)
    merchants = sorted({event.data.merchant_id for event in events})
    async with db.transaction("merchant.accept_events") as tx:
        known = {row.id for row in await tx.all(_LIST_KNOWN, ids=merchants)}
        for merchant_id in merchants:
            if merchant_id not in known:
                raise MerchantUnknown("Register the merchant first.", merchant_id=merchant_id[:255])
        await log.publish(
            tx,
            [
                log.Event(event.type, event.data.merchant_id, msgspec.json.encode(event).decode())
                for event in events
            ],
        )
    return len(events)


def _check(event: CloudEvent, position: int) -> None:
    data = event.data
    currency(data.currency)
    is_wallet = event.type.startswith("wallet_")
    if (data.transaction_id or data.id if is_wallet else data.id) is None:
        needed = "data.transaction_id" if is_wallet else "data.id"
        raise EventRefused(f"Event {position} has no {needed}.", position=position)
    if data.status is not None and data.status not in STATUSES[event.type]:
        words = ", ".join(sorted(STATUSES[event.type]))
        raise EventRefused(f"Event {position}: status is one of {words}.", position=position)
    if data.fee_molam is not None and data.fee_molam > data.amount:
        raise EventRefused(f"Event {position}: the fee exceeds the amount.", position=position)
