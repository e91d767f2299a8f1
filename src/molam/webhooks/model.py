"""What may be subscribed to, what is sent, and what an attempt's outcome leads to."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Literal

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal

EVENTS = (
    "transaction.succeeded",
    "merchant.refund.created",
    "merchant.refund.updated",
    "merchant.refund.succeeded",
    "merchant.refund.failed",
    "payout.created",
    "payout.paid",
    "payout.failed",
    "dispute.created",
    "dispute.updated",
    "merchant.metrics.updated",
)
TEST_EVENT = "webhook.test"
PREFIX = "merchant."

Schedule = Literal["standard", "long"]

# The longest wait before each retry, in seconds, of which a random part is waited: see
# Note [A random wait]. When there is none left, an event is given up.
STANDARD_S = (5.0, 30.0, 180.0)
LONG_S = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
SCHEDULES: dict[str, tuple[float, ...]] = {"standard": STANDARD_S, "long": LONG_S}

RETRY_AFTER_MAX_S = 3600.0
PAUSE_S = 10.0
DELAY_MIN_S = 1.0

DATA_BYTES_MAX = 18_000
"""Of the JSON in `data`; with the rest, a body stays below 20 kB."""

_TAKEN = range(200, 300)
_ASKS_FOR_LESS = frozenset({429, 502, 503, 504})

# Note [A random wait]
#
# Events that failed together would be retried together, and an endpoint that has just
# come back would fall again. So each waits a random part of the schedule's step, which
# spreads them over it; a Retry-After is a promise of the receiver's and is kept whole.


class EventUnknown(Refusal):
    code = "webhook-event-unknown"
    kind = Kind.MALFORMED
    title = "There is no such event to subscribe to"


def canonical_event(name: str) -> str:
    """
    Return an event's own name; those with and without ``merchant.`` are accepted.

    Raises:
        EventUnknown: neither names an event.
    """
    bare = name.strip()
    for candidate in (bare, PREFIX + bare, bare.removeprefix(PREFIX)):
        if candidate in EVENTS:
            return candidate
    raise EventUnknown(f"Subscribe to some of: {', '.join(EVENTS)}.", event=bare[:64])


class Envelope(msgspec.Struct, frozen=True):
    """The body of every delivery. The first four are the specification's."""

    id: str
    event: str
    created_at: datetime
    data: msgspec.Raw
    type: str
    """The event again, under the name that Standard Webhooks has for it."""
    merchant_id: str
    object_id: str
    version: int
    sequence: int
    ordering_key: str


@dataclass(frozen=True, slots=True)
class Told:
    """What one attempt came to: an answer's status, or why there was none."""

    status: int | None
    latency_s: float
    error: str | None = None
    retry_after_s: float | None = None
    answer_bytes: int = 0

    @property
    def is_success(self) -> bool:
        return self.status in _TAKEN


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What follows from an attempt.

    *retry_in_s* is set when it is tried again; *pause_s* when the endpoint asked for
    less; *gone* when it said that it will never take anything again.
    """

    state: Literal["delivered", "waiting", "dead"]
    retry_in_s: float = 0.0
    pause_s: float = 0.0
    gone: bool = False


def judge(
    told: Told, *, attempts: int, schedule: str, is_test: bool, chance: random.Random
) -> Verdict:
    """Say what follows from attempt number *attempts*, the first being 1."""
    if told.is_success:
        return Verdict("delivered")
    if told.status == HTTPStatus.GONE:
        return Verdict("dead", gone=not is_test)
    asked_s = min(told.retry_after_s or 0.0, RETRY_AFTER_MAX_S)
    pause_s = max(asked_s, PAUSE_S) if told.status in _ASKS_FOR_LESS else 0.0
    steps = SCHEDULES[schedule]
    if is_test or attempts > len(steps):
        return Verdict("dead", pause_s=0.0 if is_test else pause_s)
    delay_s = max(DELAY_MIN_S, chance.uniform(0.0, steps[attempts - 1]), asked_s, pause_s)
    return Verdict("waiting", retry_in_s=delay_s, pause_s=pause_s)


def read_retry_after(text: str | None, now: Instant) -> float | None:
    """Read a Retry-After header, seconds or a date; None when there is none to read."""
    if not text:
        return None
    bare = text.strip()
    if bare.isascii() and bare.isdigit():
        return float(bare) if len(bare) < len("100000000") else RETRY_AFTER_MAX_S
    try:
        at = parsedate_to_datetime(bare)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        return None
    return max(0.0, (at - now).total_seconds())
