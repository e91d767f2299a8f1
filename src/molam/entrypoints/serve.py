"""How a web application of ours is served: one process, one port, a bounded farewell."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
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
    "sira": "molam-sira",
}


def serve(name: str, port: int, given: Settings, make_app: Callable[[Settings], ASGIApp]) -> None:
    """
    Serve until told to stop.

    Raises:
        StartRefused: the port is taken, or the application did not start.
    """
    listener = listen(given, port)
    setproctitle(f"molam: {name}")
    configure_logging(_SERVICES[name], level=given.log_level)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(given),
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
    # uvicorn raises the signal again once it has finished; by then we have too.
    with contextlib.suppress(SystemExit, KeyboardInterrupt), contextlib.closing(listener):
        server.run(sockets=[listener])
    if not server.started:
        raise StartRefused(f"{name} did not start; the log above says why")


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
