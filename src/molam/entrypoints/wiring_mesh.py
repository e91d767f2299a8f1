"""Where the mesh is put together: its API and the control room, on one port."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import httpx2
from fastapi import FastAPI

from molam.entrypoints.keys import secret_key
from molam.entrypoints.local import MESH_PORT
from molam.entrypoints.mesh_desk import mesh_of
from molam.entrypoints.signed_in_apps import callers_of, hear_directory, site_of
from molam.kernel.clock import SystemClock
from molam.mesh import routes
from molam.mesh.federation.endpoints import Doors
from molam.platform.auth.assembly import Auth
from molam.platform.auth.sign_in import RelyingParty
from molam.platform.db import ProcessRole, open_database
from molam.platform.settings import Settings
from molam.platform.web import Cursors, assets, build_app, preferences
from molam.platform.web.listener import listening
from molam.platform.web.sse import Hub
from molam.simulator.drill_desk import DrillDesk

CHANNELS = frozenset({"mesh"})


def mesh_app(settings: Settings) -> FastAPI:
    """Put together the mesh app: /api/mesh, and the control room."""
    client = httpx2.AsyncClient(timeout=5.0)
    party = RelyingParty(
        app="mesh",
        client_id=settings.molam_mesh_client_id,
        public_url=settings.mesh_url,
        cookie=f"molam_mesh_{settings.port(MESH_PORT)}",
    )
    auth = callers_of(settings, party, client, app=lambda: app)
    app = build_app(
        name="molam-mesh",
        routes=[*routes.API, *routes.PAGES, preferences.routes, assets.routes, auth.routes],
        authenticator=auth.authenticator,
        settings=settings,
        lifespan=_lifespan(settings, auth, client),
        site=site_of(settings, auth, party, metrics_prefix="molam_mesh", app=lambda: app),
    )
    return app


def _lifespan(
    settings: Settings, auth: Auth, client: httpx2.AsyncClient
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.db = db = await open_database(
            settings.database_dsn,
            ProcessRole.OPS,
            application="molam-mesh",
            connections_max=settings.molam_db_connections_max,
        )
        app.state.mesh = mesh_of(settings, db, worker="mesh")
        app.state.runtime = app.state.mesh.approvals
        app.state.tokens = auth.tokens
        app.state.ops_url = settings.ops_url
        app.state.drills = None if settings.is_production else DrillDesk(db, SystemClock())
        app.state.mesh_cursors = Cursors(secret_key(settings), purpose="mesh")
        app.state.federation_doors = Doors()
        app.state.hub = hub = Hub(channels=CHANNELS)

        directory_changed, doubt_everything = hear_directory(auth, hub)

        hear = {
            "mesh": lambda _said: hub.tell_all(),
            "directory": directory_changed,
        }
        async with (
            client,
            listening(settings.database_dsn, hear, gap=doubt_everything, application="molam-mesh"),
        ):
            yield
        await db.close()

    return lifespan
