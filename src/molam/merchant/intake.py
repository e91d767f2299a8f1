"""Wallet events posted over HTTP: checked as a whole, then appended to the event log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.kernel.currency import currency
from molam.kernel.refusals import Kind, Refusal
from molam.platform import events as log
from molam.platform.db import Database, Query
from molam.platform.events.log import EVENT_BYTES_MAX
from molam.platform.web.wire import CurrencyCode, Identifier, LongText, Minor, Moment, ShortText

EVENTS_MAX = 1000

# What the tables hold. An event beyond them would be accepted here, and buried later.
OCCURRED_FROM = datetime(2000, 1, 1, tzinfo=UTC)
OCCURRED_TO = datetime(2100, 1, 1, tzinfo=UTC)
METADATA_EXPONENT_MAX = 300

# A number in metadata stays a number, digit for digit.
_encode = msgspec.json.Encoder(decimal_format="number").encode

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
    provider: Annotated[str, Meta(pattern=r"^[a-z0-9_]+\Z", max_length=64)] | None = None
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
    published = [_published(event, position) for position, event in enumerate(events)]
    merchants = sorted({event.data.merchant_id for event in events})
    async with db.transaction("merchant.accept_events") as tx:
        known = {row.id for row in await tx.all(_LIST_KNOWN, ids=merchants)}
        for merchant_id in merchants:
            if merchant_id not in known:
                raise MerchantUnknown("Register the merchant first.", merchant_id=merchant_id[:255])
        await log.publish(tx, published)
    return len(events)


def _published(event: CloudEvent, position: int) -> log.Event:
    # In UTC, because PostgreSQL reads fewer offsets than RFC 3339 allows.
    event.data.occurred_at = event.data.occurred_at.astimezone(UTC)
    payload = _encode(event)
    if len(payload) > EVENT_BYTES_MAX:
        raise EventRefused(
            f"Event {position} is longer than {EVENT_BYTES_MAX} bytes.", position=position
        )
    return log.Event(event.type, event.data.merchant_id, payload.decode())


def _check(event: CloudEvent, position: int) -> None:
    currency(event.data.currency)
    reason = next(_faults(event), None)
    if reason is not None:
        raise EventRefused(f"Event {position}: {reason}.", position=position)


def _faults(event: CloudEvent) -> Iterator[str]:
    """Say what the tables would refuse about an event."""
    data = event.data
    is_payment = event.type.startswith("wallet_") and data.type != "refund"
    if (data.transaction_id or data.id if is_payment else data.id) is None:
        yield f"{'data.transaction_id' if is_payment else 'data.id'} is missing"
    for name in ("id", "transaction_id", "provider", "reference_code"):
        if not (getattr(data, name) or "").isprintable():
            yield f"data.{name} holds a character that cannot be shown"
    if data.status is not None and data.status not in STATUSES[event.type]:
        yield f"status is one of {', '.join(sorted(STATUSES[event.type]))}"
    if data.fee_molam is not None and data.fee_molam > data.amount:
        yield "the fee exceeds the amount"
    if not OCCURRED_FROM <= data.occurred_at < OCCURRED_TO:
        yield f"occurred_at is in the years {OCCURRED_FROM.year} to {OCCURRED_TO.year - 1}"
    if not _is_storable(data.metadata):
        yield "a number of its metadata is too large or too small"


def _is_storable(value: object) -> bool:
    match value:
        case Decimal():
            return abs(value.adjusted()) <= METADATA_EXPONENT_MAX
        case dict():
            return all(map(_is_storable, value.values()))
        case list():
            return all(map(_is_storable, value))
    return True
