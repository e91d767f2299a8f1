"""Reading what arrives on the topics of health, strictly: from us, from banks, from anybody."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.kernel.money import MINOR_MAX
from molam.mesh.signals.folding import Report
from molam.mesh.signals.model import HealthMalformed
from molam.payments.banks import signals
from molam.sira.health_signal import Signal

HEALTH = "mesh.health"
TOPICS = (signals.TOPIC, HEALTH)
OURS = "molam/mesh"
"""The source of what we publish ourselves, and so do not listen to."""

AHEAD_MAX = timedelta(minutes=1)
"""A clock may be wrong by this much; what claims to be later would bind the future."""
AGE_MAX = timedelta(days=8)
"""What is older says nothing of now, as a statement does that comes late."""
_LATENCY_MAX_MS = 86_400_000

_Id = Annotated[str, Meta(min_length=1, max_length=255)]


class HealthReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a bank is doing, as whoever watches it says: an event of the topic ``mesh.health``."""

    bank_profile_id: _Id
    health_score: Annotated[float, Meta(ge=0, le=100)]
    success_rate: Annotated[float, Meta(ge=0, le=1, description="A share, from 0 to 1")]
    timestamp: Annotated[Instant, Meta(tz=True)]
    latency_ms: Annotated[float, Meta(ge=0, le=_LATENCY_MAX_MS)] = 0
    volume_last_hour: Annotated[int, Meta(ge=0, le=MINOR_MAX)] = 0
    kind: Annotated[
        Literal["report", "heartbeat"],
        Meta(description="heartbeat: more will follow regularly, and their silence counts"),
    ] = "report"


class _Envelope(msgspec.Struct):
    id: str = ""
    specversion: str = ""
    type: str = ""
    source: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class Posted:
    """A report about a whole bank."""

    bank_profile_id: str
    report: Report
    is_beat: bool = False


@dataclass(frozen=True, slots=True)
class Noted:
    """A signal, and the event that brought it: once, or once more."""

    event_id: UUID
    signal: Signal


def read(text: str, *, now: Instant) -> Noted | Posted | None:
    """
    Read one event; None for our own words come back, and for what is history.

    Raises:
        HealthMalformed: it says nothing that could be believed.
    """
    try:
        envelope = msgspec.json.decode(text, type=_Envelope)
        if envelope.type == signals.EVENT_TYPE:
            signal = _checked(msgspec.json.decode(envelope.data, type=Signal), now)
            return None if signal is None else Noted(UUID(envelope.id), signal)
        if envelope.specversion:
            if envelope.source == OURS:
                return None
            text = bytes(envelope.data).decode()
        return posted(msgspec.json.decode(text, type=HealthReport), now=now)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise HealthMalformed(str(error)[:200]) from error


def posted(told: HealthReport, *, now: Instant) -> Posted | None:
    """
    Take a report for what it is: one more thing seen, however much it claims to have seen.

    Raises:
        HealthMalformed: it is about the future.
    """
    if told.timestamp > now + AHEAD_MAX:
        raise HealthMalformed("It is about a time that has not come yet.")
    if told.timestamp < now - AGE_MAX:
        return None
    report = Report(1 - told.success_rate, told.timestamp.timestamp())
    return Posted(told.bank_profile_id, report, is_beat=told.kind == "heartbeat")


def _checked(signal: Signal, now: Instant) -> Signal | None:
    """
    Raises:
        HealthMalformed: a time, a delay or an amount that cannot be.
    """
    at = now.timestamp()
    if not math.isfinite(signal.at) or not 0 < signal.at <= at + AHEAD_MAX.total_seconds():
        raise HealthMalformed("Its time cannot be, or has not come yet.")
    if not 0 <= (signal.latency_ms or 0) <= _LATENCY_MAX_MS:
        raise HealthMalformed("Its delay cannot be.")
    if not 0 <= (signal.amount or 0) <= MINOR_MAX:
        raise HealthMalformed("Its amount cannot be.")
    return signal if signal.at > at - AGE_MAX.total_seconds() else None
