"""The only door to the wall clock. Domain code receives instants; it never asks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

Instant = datetime
"""An aware point in time. Naive datetimes are refused wherever text becomes a time."""


class Clock(Protocol):
    def now(self) -> Instant: ...


class SystemClock:
    def now(self) -> Instant:
        return datetime.now(UTC)


class ManualClock:
    """A clock that a test or a simulation moves by hand."""

    def __init__(self, start: Instant) -> None:
        assert start.tzinfo is not None
        self._now = start

    def now(self) -> Instant:
        return self._now

    def set(self, instant: Instant) -> None:
        assert instant.tzinfo is not None
        self._now = instant
