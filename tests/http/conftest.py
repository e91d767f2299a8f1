"""An issuer's keys and JWKS without an issuer, and the apps in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from callers import ISSUER, ISSUER_PORT, in_process
from fastapi import FastAPI
from ops_console import URL as CONSOLE_URL
from ops_console import Console
from shops import world

from molam.entrypoints.wiring import merchant_app
from molam.entrypoints.wiring_ops import ops_app
from molam.merchant import report_endpoints
from molam.platform.db import Database
from molam.platform.settings import Secret, Settings
from molam.simulator.issuer_keys import IssuerKeys, load_keys
from molam.simulator.seed import seed_demo

__all__ = ["world"]


@pytest.fixture(autouse=True)
def _nobody_writes_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs here, so waiting for one would only take time."""
    monkeypatch.setattr(report_endpoints, "WAITED_S", 0.2)


@pytest.fixture(scope="session")
def issuer_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the issuer's keys are; making them takes a while, so once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def keys(issuer_home: Path) -> IssuerKeys:
    return load_keys(issuer_home)


@pytest.fixture(scope="session")
def jwks_url(keys: IssuerKeys) -> Iterator[str]:
    """The keys and where to sign in, published on a real port."""
    discovery = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "end_session_endpoint": f"{ISSUER}/logout",
    }

    class Published(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = keys.public() if self.path == "/jwks.json" else discovery
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", ISSUER_PORT), Published)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"{ISSUER}/jwks.json"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settings(dsn: str, jwks_url: str, issuer_home: Path) -> Settings:
    return Settings(
        database_url=Secret(dsn),
        molam_home=issuer_home,
        jwt_issuer=ISSUER,
        jwt_public_key_url=jwks_url,
        molam_db_connections_max=4,
    )


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The merchant app as it is served, with its lifespan begun."""
    app = merchant_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_process(app) as client:
        yield client


@pytest.fixture
async def ops_site(settings: Settings) -> AsyncIterator[FastAPI]:
    """The operations app as it is served, with its lifespan begun."""
    app = ops_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def console(settings: Settings, keys: IssuerKeys, db: Database) -> AsyncIterator[Console]:
    """The ops console over the demo's people, merchants and agents."""
    await seed_demo(db, datetime.now(UTC))
    app = ops_app(settings)
    async with app.router.lifespan_context(app), in_process(app, CONSOLE_URL) as client:
        yield Console(client, keys, app)
