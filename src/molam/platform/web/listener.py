"""Hearing what the database announces, across its restarts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import asyncpg

from molam.platform.telemetry import log

_CONNECT_TIMEOUT_S = 10
_PROBE_S = 10.0
_WAIT_FIRST_S = 0.2
_WAIT_MAX_S = 5.0

Hear = Callable[[str], None]

_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@contextlib.asynccontextmanager
async def listening(
    dsn: str, hear: Mapping[str, Hear], *, gap: Callable[[], None], application: str
) -> AsyncIterator[None]:
    """
    Call ``hear[channel](payload)`` for every NOTIFY while the context is open.

    *gap* is called after each (re)connection: announcements made while nobody
    listened are lost, so whoever keeps something in memory must doubt all of it.
    """
    task = asyncio.create_task(_listen(dsn, hear, gap, application), name="listener")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _listen(
    dsn: str, hear: Mapping[str, Hear], gap: Callable[[], None], application: str
) -> None:
    wait_s = _WAIT_FIRST_S
    while True:
        try:
            connection = await asyncpg.connect(
                dsn,
                timeout=_CONNECT_TIMEOUT_S,
                server_settings={"application_name": application},
            )
        except _LOST as error:
            log.warning("not listening", reason=type(error).__name__)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _WAIT_MAX_S)
            continue
        wait_s = _WAIT_FIRST_S
        try:
            await _hear_until_lost(connection, hear, gap)
        except _LOST as error:
            log.warning("listener lost", reason=type(error).__name__)
        finally:
            connection.terminate()


async def _hear_until_lost(
    connection: asyncpg.Connection[Any], hear: Mapping[str, Hear], gap: Callable[[], None]
) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _connection: lost.set())

    def dispatch(_connection: object, _pid: int, channel: str, payload: object) -> None:
        hear[channel](str(payload))

    for channel in hear:
        await connection.add_listener(channel, dispatch)
    gap()
    while not lost.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lost.wait(), _PROBE_S)
        if not lost.is_set():
            # A peer that vanished without a word is only noticed by asking.
            await connection.fetchval("select 1", timeout=_CONNECT_TIMEOUT_S)
    raise ConnectionResetError
