"""What every command does first: settings, a database to talk to, a port to listen on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import molam
from molam.platform.db.migrations import migrate
from molam.platform.embedded import (
    EmbeddedPostgres,
    create_database,
    enable_refresh_login,
    running_dsn,
)
from molam.platform.settings import Secret, Settings, load

MERCHANT_PORT = 3001
IDENTITY_PORT = 3100
SIRA_PORT = 8000
OPS_PORT = 3136
MESH_PORT = 3138

# Not a setting: how `molam up` tells its children which pipe it holds.
PARENT_PIPE = "_MOLAM_PARENT_PIPE"

_ORPHAN_GRACE_S = 10.0


class StartRefused(Exception):
    """A process cannot start here; the message is one line that says why."""


def read_settings() -> Settings:
    return load(os.environ, Path(".env"))


def migrations_folder() -> Path:
    """Return where the SQL files are: inside an installed package, or beside ``src``."""
    package = Path(molam.__file__).parent
    packaged = package / "migrations"
    return packaged if packaged.is_dir() else package.parents[1] / "migrations"


@contextlib.contextmanager
def database(given: Settings, *, migrated: bool = True) -> Iterator[Settings]:
    """
    Give settings whose DATABASE_URL is never empty.

    Without one in the environment, the embedded server is started for as long as
    the caller runs, or found running.
    """
    with embedded(given) as server:
        if server is None:
            yield given
        else:
            yield asyncio.run(prepared(server, given) if migrated else _created(server, given))


@contextlib.contextmanager
def embedded(given: Settings) -> Iterator[EmbeddedPostgres | None]:
    """Run the embedded server if the settings name no other."""
    if given.database_url:
        yield None
        return
    server = EmbeddedPostgres(given.molam_home)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def running(given: Settings) -> Settings:
    """
    Give settings that lead to a database which runs already; start none.

    Raises:
        StartRefused: none does.
    """
    dsn = given.database_url.reveal() or running_dsn(given.molam_home)
    if dsn is None:
        raise StartRefused(
            f"no database runs in {given.molam_home}: start it with `molam up`, or set DATABASE_URL"
        )
    return replace(given, database_url=Secret(dsn))


async def _created(server: EmbeddedPostgres, given: Settings) -> Settings:
    await create_database(server.dsn("postgres"))
    return replace(given, database_url=Secret(server.dsn()))


async def prepared(server: EmbeddedPostgres, given: Settings) -> Settings:
    """Create and migrate the database of *server*; return settings that lead to it."""
    settings = await _created(server, given)
    await migrate(server.dsn(), migrations_folder())
    refresh_dsn = await enable_refresh_login(server.dsn(), given.molam_home.absolute())
    return replace(settings, molam_refresh_database_url=Secret(refresh_dsn))


def listen(given: Settings, specified: int) -> socket.socket:
    """
    Take one of the specification's ports before anything else is begun.

    Raises:
        StartRefused: somebody else has it, or it may not be had.
    """
    port = given.port(specified)
    family = socket.AF_INET6 if ":" in given.molam_bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((given.molam_bind, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartRefused(
                f"port {port} is taken: stop what listens there, or set MOLAM_PORT_OFFSET"
            ) from None
        raise StartRefused(
            f"cannot listen on {given.molam_bind} port {port}: {error.strerror}; "
            "see MOLAM_BIND and MOLAM_PORT_OFFSET"
        ) from None
    listener.set_inheritable(True)
    return listener


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set *stop* when the process is asked to end; call inside the running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)


def end_with_parent() -> None:
    """
    End this process when `molam up` does, however it ended.

    It holds the other end of a pipe and never writes to it, so reading returns
    only when it is gone.
    """
    number = os.environ.pop(PARENT_PIPE, None)
    if number is not None:
        watcher = threading.Thread(target=_wait_for_parent, args=(int(number),), daemon=True)
        watcher.start()


def _wait_for_parent(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_GRACE_S)
    os._exit(1)
