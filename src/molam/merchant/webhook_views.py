"""The wire shapes of webhooks in the merchant API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.platform.web.wire import Moment, PageLimit
from molam.webhooks.log_store import AttemptRow, DeliveryRow
from molam.webhooks.store import EndpointRow

Url = Annotated[str, Meta(min_length=8, max_length=2048, description="Where events are posted")]
EventName = Annotated[str, Meta(min_length=1, max_length=64)]
Events = Annotated[list[EventName], Meta(min_length=1, max_length=32)]
Description = Annotated[str, Meta(max_length=200)]
Schedule = Literal["standard", "long"]
State = Literal["waiting", "delivering", "delivered", "dead", "skipped"]


class NewWebhook(msgspec.Struct, forbid_unknown_fields=True):
    """*retry_schedule*: three retries within minutes, or ten over three days."""

    url: Url
    events: Events
    description: Description = ""
    retry_schedule: Schedule = "standard"


class WebhookChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    retry_schedule: Schedule | None = None


class ReplaySince(msgspec.Struct, forbid_unknown_fields=True):
    since: Moment
    what: Literal["undelivered", "all"] = "undelivered"


class DeliveriesQuery(msgspec.Struct, forbid_unknown_fields=True):
    state: State | None = None
    event: EventName | None = None
    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    limit: PageLimit = 50


class WebhookView(msgspec.Struct):
    id: str
    url: str
    description: str
    events: list[str]
    active: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    """by_hand, failing (for days, or too often in a row) or gone (it answered 410)."""
    retry_schedule: str
    total_delivered: int
    total_failed: int
    """Attempts that failed, those that a retry made good included."""
    last_delivered_at: datetime | None
    last_failed_at: datetime | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


class WebhooksAnswer(msgspec.Struct):
    ok: bool
    rows: list[WebhookView]
    events: list[str]
    """All that may be subscribed to."""


class WebhookAnswer(msgspec.Struct):
    ok: bool
    webhook: WebhookView


class WebhookSecretAnswer(msgspec.Struct):
    ok: bool
    webhook: WebhookView
    secret: str
    """Keep it: it is never shown again."""
    previous_valid_hours: int = 0
    """How long the secret before still signs as well."""


class AttemptView(msgspec.Struct):
    number: int
    status: int | None
    error: str | None
    latency_ms: int
    at: datetime


class DeliveryView(msgspec.Struct):
    id: UUID
    webhook_id: str
    """The id that the receiver sees, the same at every attempt."""
    event: str
    object_id: str
    version: int
    sequence: int
    state: str
    is_test: bool
    attempts: int
    next_attempt_at: datetime | None
    last_status: int | None
    last_latency_ms: int | None
    last_error: str | None
    created_at: datetime
    ended_at: datetime | None


class DeliveriesAnswer(msgspec.Struct):
    ok: bool
    rows: list[DeliveryView]
    has_more: bool
    next_cursor: str | None


class DeliveryAnswer(msgspec.Struct):
    ok: bool
    delivery: DeliveryView
    attempts: list[AttemptView]


class TestAnswer(msgspec.Struct):
    """Where to ask what came of it: usually within a second."""

    ok: bool
    delivery_id: UUID
    location: str


class ReplayAnswer(msgspec.Struct):
    ok: bool
    replayed: int
    """At most 10,000; ask again while it is that many."""


def webhook_view(row: EndpointRow) -> WebhookView:
    return WebhookView(
        id=row.id,
        url=row.url,
        description=row.description,
        events=row.events,
        active=row.active,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
        retry_schedule=row.retry_schedule,
        total_delivered=row.total_delivered,
        total_failed=row.total_failed,
        last_delivered_at=row.last_delivered_at,
        last_failed_at=row.last_failed_at,
        failing_since=row.failing_since,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def delivery_view(row: DeliveryRow) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        webhook_id=row.event_id,
        event=row.event,
        object_id=row.object_id,
        version=row.version,
        sequence=row.sequence,
        state=row.state,
        is_test=row.is_test,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at if row.state == "waiting" else None,
        last_status=row.last_status,
        last_latency_ms=row.last_latency_ms,
        last_error=row.last_error,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def attempt_view(row: AttemptRow) -> AttemptView:
    return AttemptView(row.number, row.status, row.error, row.latency_ms, row.at)
