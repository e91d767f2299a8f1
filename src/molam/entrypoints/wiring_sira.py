"""Where SIRA's service is put together: its rules, its key, and rates from the ledger."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx2
from fastapi import FastAPI

from molam.entrypoints.keys import sira_api_key, sira_signing_key
from molam.entrypoints.local import SIRA_PORT, migrations_folder
from molam.kernel.clock import SystemClock
from molam.ledger.francs import Francs
from molam.platform.auth.api_keys import or_api_key
from molam.platform.auth.assembly import assemble
from molam.platform.auth.sign_in import RelyingParty
from molam.platform.db import ProcessRole, open_database
from molam.platform.settings import Settings, SettingsRefused
from molam.platform.web import Site, build_app, health
from molam.sira import endpoints, health_endpoints, recommending_endpoints, signing
from molam.sira.registry import Shelf
from molam.tenancy import queries as tenancy


def sira_app(settings: Settings) -> FastAPI:
    """Put together SIRA: POST /api/score, /api/predict/health and /v1/recommend."""
    key = sira_signing_key(settings)
    if not signing.can_sign(key):
        raise SettingsRefused("SIRA_SIGNING_KEY is a public key; SIRA signs with the private one")
    client = httpx2.AsyncClient(timeout=5.0)

    async def roles_of(subject: str, merchant_id: str | None) -> frozenset[str] | None:
        return await tenancy.roles_of(app.state.db, subject, merchant_id)

    address = f"http://localhost:{settings.port(SIRA_PORT)}"
    auth = assemble(
        settings,
        # Nobody signs in here; services and people bring a token.
        party=RelyingParty(app="sira", client_id="", public_url=address, cookie="molam_sira"),
        client=client,
        directory=roles_of,
        clock=SystemClock(),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.db = await open_database(
            settings.database_dsn,
            ProcessRole.OPS,
            application="molam-sira",
            connections_max=settings.molam_db_connections_max,
        )
        francs = Francs(SystemClock())
        app.state.in_francs = lambda minor, code: francs.of(app.state.db, minor, code)
        app.state.signing_key = key
        app.state.shelf = Shelf(settings.molam_home)
        async with client:
            yield
        await app.state.db.close()

    app = build_app(
        name="molam-sira",
        routes=[endpoints.routes, health_endpoints.routes, recommending_endpoints.routes],
        authenticator=or_api_key(auth.authenticator, key=sira_api_key(settings)),
        settings=settings,
        lifespan=lifespan,
        site=Site(
            public_origin=address,
            metrics_prefix="molam_sira",
            ready={
                "database": health.database_answers(lambda: app.state.db),
                "migrations": health.migrations_applied(settings.database_dsn, migrations_folder()),
            },
        ),
    )
    return app
