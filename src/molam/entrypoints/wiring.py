"""Where domains are joined into the web apps; workers.py does the same for workers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx2
from fastapi import FastAPI

from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.entrypoints.bank_desk import ear_of
from molam.entrypoints.desk import worker_name
from molam.entrypoints.keys import secret_key
from molam.entrypoints.local import MERCHANT_PORT
from molam.entrypoints.registry import registry
from molam.entrypoints.signed_in_apps import callers_of, hear_directory, site_of
from molam.entrypoints.webhook_delivery import way_of
from molam.kernel.clock import SystemClock
from molam.ledger.francs import Francs
from molam.merchant import routes as dashboard
from molam.merchant.cache import Bodies, RateBook
from molam.payments.banks import endpoints as bank_callbacks
from molam.platform import links
from molam.platform.auth.assembly import Auth
from molam.platform.auth.sign_in import RelyingParty
from molam.platform.db import ProcessRole, open_database
from molam.platform.files import open_store
from molam.platform.settings import Settings
from molam.platform.web import Cursors, assets, build_app, preferences
from molam.platform.web.listener import listening
from molam.platform.web.sse import Hub

CHANNELS = frozenset({"kpi", "transactions"})
QUARTER_S = 15 * 60.0
# The cache goes by the database's clock, which may be a little behind ours.
CLOCKS_DIFFER_S = 2.0


def merchant_app(settings: Settings) -> FastAPI:
    """Put together the merchant app: the API under /api/merchant, and the pages."""
    client = httpx2.AsyncClient(timeout=5.0)
    party = RelyingParty(
        app="merchant",
        client_id=settings.molam_oidc_client_id,
        public_url=settings.merchant_url,
        cookie=f"molam_merchant_{settings.port(MERCHANT_PORT)}",
    )
    auth = callers_of(settings, party, client, app=lambda: app)
    app = build_app(
        name="merchant-dashboard",
        routes=[
            *dashboard.ALL,
            bank_callbacks.routes,
            links.routes,
            preferences.routes,
            assets.routes,
            auth.routes,
        ],
        authenticator=auth.authenticator,
        settings=settings,
        lifespan=_lifespan(settings, auth, client),
        site=site_of(
            settings, auth, party, metrics_prefix="molam_merchant_dashboard", app=lambda: app
        ),
    )
    return app


def _lifespan(
    settings: Settings, auth: Auth, client: httpx2.AsyncClient
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.db = await open_database(
            settings.database_dsn,
            ProcessRole.WEB,
            application="molam-merchant",
            connections_max=settings.molam_db_connections_max,
        )
        # What changes anything goes by a role of its own, over connections of its own.
        app.state.money = money = await open_database(
            settings.database_dsn,
            ProcessRole.MONEY,
            application="molam-merchant-money",
            connections_max=settings.molam_db_connections_max,
        )
        known = registry()
        app.state.runtime = Runtime(money, known, PolicyBook(known), worker_name("merchant"))
        app.state.francs = Francs(SystemClock())
        app.state.files = open_store(settings)
        app.state.links = links.Links(
            app.state.files, secret_key(settings), settings.merchant_url, SystemClock()
        )
        app.state.bank_ear = ear_of(settings)
        app.state.hub = hub = Hub(channels=CHANNELS)
        app.state.rates = RateBook()
        app.state.bodies = Bodies()
        app.state.webhooks = way_of(settings)
        app.state.cursors = Cursors(secret_key(settings), purpose="transactions")

        directory_changed, doubt_everything = hear_directory(auth, hub)

        hear = {
            "kpi": lambda merchant_id: hub.tell("kpi", merchant_id),
            "transactions": lambda merchant_id: hub.tell("transactions", merchant_id),
            "directory": directory_changed,
        }
        turning = asyncio.create_task(_turn_days(hub), name="days")
        async with (
            client,
            listening(
                settings.database_dsn, hear, gap=doubt_everything, application="molam-merchant"
            ),
        ):
            yield
        turning.cancel()
        await money.close()
        await app.state.db.close()

    return lifespan


async def _turn_days(hub: Hub) -> None:
    """
    Have everything that is open rendered anew after each quarter of an hour.

    Somewhere a day may just have ended, and where nothing is sold at night no event
    would say so. Every time zone's midnight falls on a quarter.
    """
    while True:
        now_s = SystemClock().now().timestamp()
        await asyncio.sleep(QUARTER_S - now_s % QUARTER_S + CLOCKS_DIFFER_S)
        hub.tell_all()
