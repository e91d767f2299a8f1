"""Liveness, readiness and metrics, for the machines that look after the process."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Outage
from molam.platform.db import Database, Query, migrations
from molam.platform.web.caller import PUBLIC, Caller, Forbidden
from molam.platform.web.routes import Routes
from molam.platform.web.site import Site

VERSION = importlib.metadata.version("molam")


class Health(msgspec.Struct):
    status: str
    timestamp: datetime
    version: str


class Readiness(msgspec.Struct):
    status: str
    timestamp: datetime
    checks: dict[str, bool]


@dataclass(frozen=True, slots=True)
class _One:
    one: int


_PING = Query("/* platform.ping */ select 1 as one", row=_One)


def health_routes(site: Site, *, metrics_allow: frozenset[str]) -> Routes:
    routes = Routes()

    @routes.get("/health", needs=PUBLIC, answers=Health)
    async def health(_request: Request, _caller: Caller) -> Health:
        """Tell that the process answers; nothing else is asked."""
        return Health("healthy", site.clock.now(), VERSION)

    @routes.get("/ready", needs=PUBLIC, answers=Readiness)
    async def ready(_request: Request, _caller: Caller) -> Response:
        """Tell whether traffic is welcome: the database answers and is migrated."""
        checks = {name: await _holds(check) for name, check in site.ready.items()}
        answer = Readiness(
            "ready" if all(checks.values()) else "not ready", site.clock.now(), checks
        )
        return Response(
            msgspec.json.encode(answer),
            status_code=HTTPStatus.OK if all(checks.values()) else HTTPStatus.SERVICE_UNAVAILABLE,
            media_type="application/json",
        )

    @routes.get("/metrics", needs=PUBLIC, refuses=(Forbidden,))
    async def metrics(request: Request, caller: Caller) -> Response:
        """Show Prometheus metrics to the addresses that may read them."""
        # A reverse proxy on this host makes every visitor look like loopback.
        proxied = "x-forwarded-for" in request.headers or "forwarded" in request.headers
        if proxied or caller.ip not in metrics_allow:
            raise Forbidden("Metrics are for the addresses in MOLAM_METRICS_ALLOW.")
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return routes


async def _holds(check: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await check()
    except Outage:
        return False


def database_answers(database: Callable[[], Database]) -> Callable[[], Awaitable[bool]]:
    """Check that a pooled connection runs a statement."""

    async def check() -> bool:
        return bool(await database().read(_PING))

    return check


def migrations_applied(dsn: str, folder: Path) -> Callable[[], Awaitable[bool]]:
    """Check that nothing is left to migrate; asked no more once true, as nothing un-migrates."""
    done = False

    async def check() -> bool:
        nonlocal done
        try:
            done = done or not await migrations.pending(dsn, folder)
        except migrations.MigrationRefused:
            return False
        return done

    return check
