"""Putting routes together into an app, with everything that holds for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from molam.platform.settings import Settings
from molam.platform.web import health, openapi
from molam.platform.web.caller import PUBLIC, Caller
from molam.platform.web.compression import Compression
from molam.platform.web.edge import Edge
from molam.platform.web.operations import Path, Socket
from molam.platform.web.routes import WEBSOCKET, Authenticator, Operation, Routes
from molam.platform.web.site import Site

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    *,
    name: str,
    routes: Sequence[Routes],
    authenticator: Authenticator,
    settings: Settings,
    lifespan: Lifespan,
    site: Site,
) -> FastAPI:
    """
    Make the app called *name*.

    *lifespan* sets ``app.state.db`` and whatever else endpoints use; settings,
    clock and operations are on ``app.state`` already. Only `Routes` can be
    given, and each of theirs names a permission, so no route is without one.
    """
    assert all(isinstance(each, Routes) for each in routes), "build_app mounts Routes only"
    internal = [
        _described_by(name, routes, site),
        health.health_routes(site, metrics_allow=settings.metrics_allowed),
    ]
    operations = [each for group in (*routes, *internal) for each in group.operations]

    app = FastAPI(
        title=name,
        version=health.VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        routes=_mounted(operations, authenticator, site),
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    # All routes are ours, so FastAPI's own layers would only be walked through:
    # the edge describes every error, and no dependency needs closing.
    app.middleware_stack = Edge(Compression(app.router), site=site)
    app.state.settings = settings
    app.state.clock = site.clock
    app.state.public_origin = site.public_origin
    app.state.operations = operations
    app.state.authenticator = authenticator
    return app


def _mounted(
    operations: Sequence[Operation], authenticator: Authenticator, site: Site
) -> list[BaseRoute]:
    by_path: dict[str, list[Operation]] = {}
    sockets: list[BaseRoute] = []
    for operation in operations:
        if operation.method == WEBSOCKET:
            socket = Socket(operation, authenticator=authenticator, site=site)
            sockets.append(WebSocketRoute(operation.path, socket))
        else:
            by_path.setdefault(operation.path, []).append(operation)
    # Fixed paths before those with parameters: /x/export must not be taken for /x/{id}.
    ordered = sorted(by_path.items(), key=lambda item: "{" in item[0])
    paths: list[BaseRoute] = [
        Route(path, Path(group, authenticator=authenticator, site=site)) for path, group in ordered
    ]
    mounts: list[BaseRoute] = [Mount(prefix, app=app) for prefix, app in site.mounts.items()]
    return [*paths, *sockets, *mounts]


def _described_by(name: str, routes: Sequence[Routes], site: Site) -> Routes:
    described = Routes()
    document = openapi.write(
        title=name,
        version=health.VERSION,
        server=site.public_origin,
        operations=[each for group in routes for each in group.operations],
    )

    @described.get("/openapi.json", needs=PUBLIC)
    async def openapi_document(_request: Request, _caller: Caller) -> Response:
        """Describe this API (OpenAPI 3.1)."""
        return Response(document, media_type="application/json")

    return described
