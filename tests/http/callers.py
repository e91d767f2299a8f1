"""Tokens for tests, and clients that reach an app of this process."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from molam.platform.auth import AAL1
from molam.simulator.issuer_keys import IssuerKeys

with socket.create_server(("127.0.0.1", 0)) as _free:
    ISSUER_PORT: int = _free.getsockname()[1]
ISSUER = f"http://127.0.0.1:{ISSUER_PORT}"
"""Where conftest publishes keys and discovery, when a test asks for settings."""
AUDIENCE = "molam-connect"


def claims(**changed: object) -> dict[str, Any]:
    """The claims of a good access token, with *changed* on top; None removes one."""
    now = int(datetime.now(UTC).timestamp())
    good: dict[str, Any] = {
        "iss": ISSUER,
        "sub": "awa.diop",
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 300,
        "auth_time": now,
        "acr": AAL1,
        "amr": ["pwd"],
        "roles": ["merchant_admin"],
        "merchant_id": "merchant-123",
        "name": "Awa Diop",
        "lang": "fr",
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def bearer(keys: IssuerKeys, **changed: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.sign(claims(**changed), type_='at+jwt')}"}


def forged(keys: IssuerKeys) -> dict[str, str]:
    """A genuine signature under claims it was not made for."""
    genuine = keys.sign(claims(roles=["merchant_support"]), type_="at+jwt")
    wanted = keys.sign(claims(), type_="at+jwt")
    unsigned, signature = wanted.rpartition(".")[0], genuine.rpartition(".")[2]
    return {"Authorization": f"Bearer {unsigned}.{signature}"}


def in_process(app: FastAPI, base_url: str = "http://localhost:3001") -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False, client=("127.0.0.1", 1))
    return httpx2.AsyncClient(transport=transport, base_url=base_url, trust_env=False)


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve the app on a thread of its own, with a loop of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            threading.Event().wait(0.02)
        assert server.started
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
