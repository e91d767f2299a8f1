"""Waking up when something was published, without asking all the time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import asyncpg

UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

_RECONNECT_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Bell:
    """
    A connection of its own that listens to one channel, and is made anew when lost.

    It only shortens waits: a reader that never hears it still polls. With a
    *lock*, the connection also tries to hold that session-level advisory lock, so
    that of several processes one at a time believes itself in charge.
    """

    def __init__(self, dsn: str, channel: str, *, lock: int | None = None) -> None:
        self._dsn = dsn
        self._channel = channel
        self._lock = lock
        self._rung: list[asyncio.Event] = []
        self.is_in_charge = False

    def subscribe(self) -> asyncio.Event:
        """Return an event that is set whenever the bell rings; the waiter clears it."""
        rung = asyncio.Event()
        self._rung.append(rung)
        return rung

    def ring(self) -> None:
        for rung in self._rung:
            rung.set()

    async def listen(self, stop: asyncio.Event) -> None:
        """Ring until *stop*; then ring once more, so that nobody sleeps through it."""
        failures = 0
        while not stop.is_set():
            try:
                connection = await asyncpg.connect(
                    self._dsn, timeout=5, server_settings={"application_name": "molam bell"}
                )
            except UNREACHABLE:
                await _pause(stop, _RECONNECT_S[min(failures, len(_RECONNECT_S) - 1)])
                failures += 1
                continue
            failures = 0
            with contextlib.suppress(*UNREACHABLE):
                await self._stay(connection, stop)
            self.is_in_charge = False
            connection.terminate()
        self.ring()

    async def _stay(self, connection: asyncpg.Connection[Any], stop: asyncio.Event) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _connection: lost.set())
        await connection.add_listener(self._channel, lambda *_: self.ring())
        # Whatever was published while nobody listened.
        self.ring()
        while not stop.is_set() and not lost.is_set():
            if self._lock is not None and not self.is_in_charge:
                self.is_in_charge = await connection.fetchval(
                    "select pg_try_advisory_lock($1)", self._lock
                )
                self.ring()
            waiting = None if self._lock is None or self.is_in_charge else 1.0
            await _first_of(stop, lost, timeout_s=waiting)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _first_of(*events: asyncio.Event, timeout_s: float | None) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
