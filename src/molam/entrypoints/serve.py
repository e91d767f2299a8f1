"""How web applications of ours are served: a port each, a bounded farewell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from setproctitle import setproctitle
from starlette.types import ASGIApp

import molam
from molam.entrypoints.local import StartRefused, listen
from molam.platform.settings import Settings
from molam.platform.telemetry import configure_logging

# An open live stream would otherwise hold the process for ever.
_FAREWELL_S = 5
_CONNECTIONS_MAX = 2_000
_MESSAGE_BYTES_MAX = 65_536
# What log lines call each of them; the specification names the first.
_SERVICES = {
    "merchant": "merchant-dashboard",
    "identity": "molam-identity",
    "ops": "molam-ops",
    "mesh": "molam-mesh",
    "sira": "molam-sira",
}


@dataclass(frozen=True, slots=True)
class Site:
    """An application of ours: what its process is called, its port, how it is made."""

    name: str
    port: int
    make: Callable[[Settings], ASGIApp]


def serve(name: str, port: int, given: Settings, make_app: Callable[[Settings], ASGIApp]) -> None:
    """
    Serve until told to stop.

    Raises:
        StartRefused: the port is taken, or the application did not start.
    """
    serve_together([Site(name, port, make_app)], given)


def serve_together(sites: Sequence[Site], given: Settings) -> None:
    """
    Serve several applications from one process, each on its own port, until told to stop.

    Raises:
        StartRefused: a port is taken, or an application did not start.
    """
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(contextlib.closing(listen(given, site.port))) for site in sites
        ]
        setproctitle(f"molam: {' and '.join(site.name for site in sites)}")
        configure_logging(_SERVICES[sites[0].name], level=given.log_level)
        servers = [_server(site.make(given)) for site in sites]
        # uvicorn raises the signal again once it has finished, which ends the next
        # server, and at last us; by then all of them have said farewell.
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            _run(servers, listeners)
        for site, server in zip(sites, servers, strict=True):
            if not server.started:
                raise StartRefused(f"{site.name} did not start; the log above says why")


def _run(servers: Sequence[uvicorn.Server], listeners: Sequence[socket.socket]) -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            for server, listener in zip(servers, listeners, strict=True):
                tasks.create_task(_serve(server, listener, servers))

    with asyncio.Runner(loop_factory=servers[0].config.get_loop_factory()) as runner:
        runner.run(run())


async def _serve(
    server: uvicorn.Server, listener: socket.socket, all_: Sequence[uvicorn.Server]
) -> None:
    await server.serve(sockets=[listener])
    for other in all_:
        other.should_exit = True


def _server(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_FAREWELL_S,
            limit_concurrency=_CONNECTIONS_MAX,
            ws_max_size=_MESSAGE_BYTES_MAX,
        )
    )


def serve_reloading(factory: str, port: int, given: Settings) -> None:
    """Serve for development: whenever a source file changes, begin again."""
    listen(given, port).close()
    # The reloaded process reads its settings anew, and must find the same database.
    os.environ["DATABASE_URL"] = given.database_url.reveal()
    os.environ["MOLAM_REFRESH_DATABASE_URL"] = given.molam_refresh_database_url.reveal()
    with contextlib.suppress(SystemExit, KeyboardInterrupt):
        uvicorn.run(
            factory,
            factory=True,
            reload=True,
            reload_dirs=[str(Path(molam.__file__).parent)],
            reload_includes=["*.html", "*.css", "*.js", "*.mo"],
            host=given.molam_bind,
            port=given.port(port),
            lifespan="on",
            access_log=False,
            timeout_graceful_shutdown=_FAREWELL_S,
        )
