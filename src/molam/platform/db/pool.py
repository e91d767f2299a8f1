"""Connections, each in the role of the process that holds it."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import asyncpg
import msgspec

from molam.kernel.refusals import Outage
from molam.platform.db.transaction import _UNREACHABLE, Database

_INTEGER_DIGITS_MAX = 300
_IDLE_S = 45.0


class ProcessRole(Enum):
    """The database role of each process kind; migrations grant what each may do."""

    OWNER = "owner"
    """Migrations, import and repair: the role of the connection string itself."""
    WEB = "molam_web"
    """Serves merchants. Row-level security shows it one merchant at a time."""
    MONEY = "molam_money"
    """Changes what merchants may change, one merchant at a time like WEB."""
    OPS = "molam_ops"
    """Serves operations: sees every merchant, and carries out what was approved."""
    WORKER = "molam_worker"
    """Consumes events and runs jobs for every merchant."""
    REFRESH = "molam_refresh"
    """Writes long and never to the event log, which therefore does not wait for it."""


async def open_database(
    dsn: str,
    role: ProcessRole,
    *,
    application: str,
    connections_max: int = 10,
    statement_timeout_s: int = 10,
) -> Database:
    """
    Open a pool whose every connection has *role* and bounded waits.

    Connections are not reset when returned, which saves a round trip, so nothing
    may leave session state behind: no SET, LISTEN or session lock on them.

    Raises:
        Outage: PostgreSQL cannot be reached.
    """
    assert __debug__, "assertions guard money here; do not run under python -O"
    settings = {
        "application_name": application,
        "lock_timeout": "3s",
        "statement_timeout": f"{statement_timeout_s}s",
        "idle_in_transaction_session_timeout": "15s",
        "timezone": "UTC",
        "jit": "off",
    }
    if role is not ProcessRole.OWNER:
        settings["role"] = role.value
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=connections_max,
            # A backend that has seen much keeps 10 MiB and more. What a burst of jobs needed is
            # given back before the next one; under steady load none is ever idle for so long.
            max_inactive_connection_lifetime=_IDLE_S,
            server_settings=settings,
            init=prepare_connection,
            reset=_keep,
            timeout=10,
            # By default the longest, which are the ones worth it, would be planned anew
            # each time: for counting a small batch that was four fifths of the work.
            max_cacheable_statement_size=0,
        )
    except _UNREACHABLE as error:
        raise Outage("database") from error
    return Database(pool)


async def prepare_connection(connection: asyncpg.Connection[Any]) -> None:
    """Teach a connection our types: jsonb crosses as Python values, in binary."""
    # The binary form has a version byte in front; the text form would break COPY.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=_read_jsonb,
        format="binary",
    )


def _read_jsonb(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data[1:])
    except msgspec.ValidationError:
        # A jsonb number may have more digits than msgspec reads. One row of somebody's
        # metadata must not make every list that holds it unreadable.
        return json.loads(data[1:], parse_int=_as_text)


def _as_text(digits: str) -> int | str:
    return int(digits) if len(digits) <= _INTEGER_DIGITS_MAX else digits


async def _keep(_connection: asyncpg.Connection[Any]) -> None:
    """Leave the connection as it is; see `open_database`."""
