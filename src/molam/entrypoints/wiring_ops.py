"""Where operations are put together: the engine, its API and the console, on one port."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import httpx2
from fastapi import FastAPI

from molam.alerts import routes as alerts
from molam.approvals import (
    aftermath_endpoints,
    delegation_endpoints,
    endpoints,
    figures_endpoints,
    freeze_endpoints,
    passkey_endpoints,
)
from molam.approvals.passkeys import Party
from molam.approvals.policy import endpoints as policy_endpoints
from molam.approvals.policy.book import PolicyBook
from molam.approvals.risk import endpoints as risk_endpoints
from molam.approvals.risk import evidence_endpoints
from molam.approvals.risk import pages as risk_pages
from molam.approvals.runtime import Runtime
from molam.audit import endpoints as audit
from molam.entrypoints.alerts_desk import watch_of
from molam.entrypoints.desk import desk_of, worker_name
from molam.entrypoints.keys import secret_key
from molam.entrypoints.local import OPS_PORT
from molam.entrypoints.registry import registry
from molam.entrypoints.signed_in_apps import callers_of, hear_directory, site_of
from molam.notices import endpoints as notices
from molam.ops import routes as console
from molam.payments.statements import endpoints as statements
from molam.platform.auth.assembly import Auth
from molam.platform.auth.sign_in import RelyingParty
from molam.platform.db import ProcessRole, open_database
from molam.platform.settings import Settings
from molam.platform.web import Cursors, assets, build_app, preferences
from molam.platform.web.listener import listening
from molam.platform.web.sse import Hub

CHANNELS = frozenset({"ops_actions", "inbox", "alerts", "dashboard"})


def ops_app(settings: Settings) -> FastAPI:
    """Put together the operations app: /api/ops, /api/approvals, and the console."""
    client = httpx2.AsyncClient(timeout=5.0)
    party = RelyingParty(
        app="ops",
        client_id=settings.molam_ops_client_id,
        public_url=settings.ops_url,
        cookie=f"molam_ops_{settings.port(OPS_PORT)}",
    )
    auth = callers_of(settings, party, client, app=lambda: app)
    app = build_app(
        name="molam-ops",
        routes=[
            endpoints.routes,
            aftermath_endpoints.routes,
            figures_endpoints.routes,
            policy_endpoints.routes,
            delegation_endpoints.routes,
            freeze_endpoints.routes,
            passkey_endpoints.routes,
            risk_endpoints.routes,
            evidence_endpoints.routes,
            risk_pages.routes,
            audit.routes,
            notices.routes,
            statements.routes,
            *alerts.API,
            *console.ALL,
            preferences.routes,
            assets.routes,
            auth.routes,
        ],
        authenticator=auth.authenticator,
        settings=settings,
        lifespan=_lifespan(settings, auth, client),
        site=site_of(settings, auth, party, metrics_prefix="molam_ops", app=lambda: app),
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
            application="molam-ops",
            connections_max=settings.molam_db_connections_max,
        )
        known = registry()
        app.state.runtime = Runtime(db, known, PolicyBook(known), worker_name("ops"))
        app.state.watch = watch_of(settings, app.state.runtime)
        app.state.tokens = auth.tokens
        app.state.passkeys = Party.at(settings.ops_url)
        app.state.mesh_url = settings.mesh_url
        app.state.ops_cursors = Cursors(secret_key(settings), purpose="ops-actions")
        app.state.hub = hub = Hub(channels=CHANNELS)

        directory_changed, doubt_everything = hear_directory(auth, hub)

        hear = {
            "ops_actions": lambda action_id: console.hear(hub, action_id),
            "inbox": lambda person_id: hub.tell("inbox", person_id),
            "alerts": lambda _: console.hear_alerts(hub),
            "dashboard": lambda _: hub.tell("dashboard", "all"),
            "directory": directory_changed,
        }
        async with (
            client,
            listening(settings.database_dsn, hear, gap=doubt_everything, application="molam-ops"),
        ):
            app.state.desk = desk_of(settings, app.state.runtime)
            yield
        await db.close()

    return lifespan
