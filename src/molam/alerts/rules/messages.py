"""What is said about measurements, on the wire and in the log, read strictly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.alerts.rules.model import (
    MetricMalformed,
    Sample,
    TenantType,
    exact,
    is_in_range,
    lane_key,
    moment,
)
from molam.kernel.clock import Instant
from molam.kernel.currency import UnknownCurrency, currency
from molam.kernel.ids import uuid7, uuid8
from molam.platform.events import Event, cloud_event
from molam.platform.web.wire import CurrencyCode, Identifier, Moment

TOPIC = "metric_events"
TICK = "metric_tick"
SOURCE = "molam/alerts"

AHEAD_MAX = timedelta(minutes=1)
"""A clock may be wrong by this much."""
AGE_MAX = timedelta(days=8)
"""What is older says nothing of now; so long, too, a measurement that comes again is known."""
CONTEXT_BYTES_MAX = 4096

MetricName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.]{0,63}\Z", max_length=64)]


class MetricEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """
    One measurement of one tenant.

    Amounts are whole minor units of `currency`, rates are shares of one. A `threshold` is
    shown with the alert; what raises one is the rule alone.
    """

    metric: MetricName
    value: int | float
    tenant_type: TenantType
    timestamp: Moment
    threshold: int | float | None = None
    tenant_id: Identifier | None = None
    currency: CurrencyCode | None = None
    event_id: Identifier | None = None
    context: dict[str, Any] | None = None


class _Tick(msgspec.Struct, frozen=True):
    tenant_type: TenantType
    tenant_id: str | None = None


class _Envelope(msgspec.Struct, gc=False):
    id: str = ""
    specversion: str = ""
    type: str = ""
    time: Annotated[Instant, Meta(tz=True)] | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class Heard(msgspec.Struct, frozen=True, gc=False):
    """
    One event of the log: a sample, or None for a tick, which says that time has passed.

    *clock* is when it was written. *event_id* tells it from one that comes again.
    """

    tenant_type: TenantType
    tenant_id: str | None
    clock: Instant
    sample: Sample | None = None
    event_id: str | None = None
    """A UUID in its usual form."""


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DECODE = msgspec.json.Decoder(_Envelope).decode
_DECODE_EVENT = msgspec.json.Decoder(MetricEvent).decode
_DECODE_TICK = msgspec.json.Decoder(_Tick).decode


def read(text: str, *, now: Instant) -> Heard | None:
    """
    Read one event of the topic; None for what is too old to say anything.

    Raises:
        MetricMalformed: it says nothing that could be believed.
    """
    try:
        envelope = _DECODE(text)
        clock = min(now, envelope.time or now)
        if envelope.type == TICK:
            tick = _DECODE_TICK(envelope.data)
            return Heard(tick.tenant_type, tick.tenant_id, clock)
        event = _DECODE_EVENT(envelope.data if envelope.specversion else text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MetricMalformed(str(error)[:200]) from error
    try:
        sample = sample_of(event, now=clock)
    except UnknownCurrency as unknown:
        raise MetricMalformed(f"{unknown.title}.") from unknown
    if sample.at < clock - AGE_MAX:
        return None
    return Heard(sample.tenant_type, sample.tenant_id, clock, sample, _id_of(sample, envelope.id))


def heard(sample: Sample, *, clock: Instant) -> Heard:
    """Take a sample as if the log had brought it at *clock*."""
    return Heard(sample.tenant_type, sample.tenant_id, clock, sample, _id_of(sample, ""))


def sample_of(event: MetricEvent, *, now: Instant) -> Sample:
    """
    Take a measurement from what was sent.

    Raises:
        MetricMalformed: it is about the future, about nobody, or of an impossible size.
        UnknownCurrency: the product keeps no money in it.
    """
    if event.currency is not None:
        currency(event.currency)
    if event.timestamp > now + AHEAD_MAX:
        raise MetricMalformed("It is about a time that has not come yet.")
    if not is_in_range(event.value):
        raise MetricMalformed("Its value is out of range.")
    if event.threshold is not None and not is_in_range(event.threshold):
        raise MetricMalformed("Its threshold is out of range.")
    if (event.tenant_id is None) != (event.tenant_type == "platform"):
        raise MetricMalformed("Name the tenant by tenant_id; only the platform has none.")
    context = dict(event.context or {})
    if event.threshold is not None:
        context["threshold"] = event.threshold
    return Sample(
        metric=event.metric,
        value=exact(event.value),
        tenant_type=event.tenant_type,
        tenant_id=event.tenant_id,
        currency=event.currency,
        at=moment(event.timestamp),
        context=_bounded(context) if context else context,
        event_id=event.event_id,
    )


def write(samples: Sequence[Sample], *, now: Instant) -> list[Event]:
    """Write *samples* as events of the log; one with an event_id always has the same id."""
    return [_event(sample, now) for sample in samples]


def write_tick(tenant_type: TenantType, tenant_id: str | None, *, now: Instant) -> Event:
    key = lane_key(tenant_type, tenant_id)
    text = cloud_event(
        id_=str(uuid7(now)),
        source=SOURCE,
        type_=TICK,
        subject=key,
        time=now,
        data={"tenant_type": tenant_type, "tenant_id": tenant_id},
    )
    return Event(TOPIC, key, text)


def _event(sample: Sample, now: Instant) -> Event:
    key = lane_key(sample.tenant_type, sample.tenant_id)
    data: dict[str, object] = {
        "metric": sample.metric,
        "value": number(sample.value),
        "tenant_type": sample.tenant_type,
        "timestamp": sample.at,
    }
    optional = {
        "tenant_id": sample.tenant_id,
        "currency": sample.currency,
        "event_id": sample.event_id,
        "context": sample.context or None,
    }
    data |= {name: value for name, value in optional.items() if value is not None}
    text = cloud_event(
        id_=_id_of(sample, "") or str(uuid7(now)),
        source=SOURCE,
        type_=TOPIC,
        subject=key,
        time=now,
        data=data,
    )
    return Event(TOPIC, key, text)


def _id_of(sample: Sample, envelope_id: str) -> str | None:
    """Name a measurement: by its own id if it has one, else by that of its event."""
    if sample.event_id is not None:
        tenant = lane_key(sample.tenant_type, sample.tenant_id)
        return str(uuid8(f"metric/{sample.metric}/{tenant}/{sample.event_id}"))
    if not envelope_id:
        return None
    if _UUID.fullmatch(envelope_id):
        return envelope_id
    return str(uuid8(f"metric_event/{envelope_id}"))


def number(value: Decimal) -> int | float:
    """Write a value as a JSON number."""
    return int(value) if value == int(value) else float(value)


def _bounded(context: dict[str, Any]) -> dict[str, object]:
    """
    Keep what a source tells beside, as JSON has it.

    Raises:
        MetricMalformed: it is too much, or holds a number that is.
    """
    text = msgspec.json.encode(_plain(context))
    if len(text) > CONTEXT_BYTES_MAX:
        raise MetricMalformed(f"Its context has more than {CONTEXT_BYTES_MAX} bytes.")
    kept: dict[str, object] = msgspec.json.decode(text)
    return kept


def _plain(value: object) -> object:
    match value:
        case bool():
            return value
        case int() | float() | Decimal():
            if not is_in_range(value):
                raise MetricMalformed("A number of its context is out of range.")
            return float(value) if isinstance(value, Decimal) else value
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
    return value
