"""The control room as people of the demo use it, without a browser."""

from __future__ import annotations

import contextlib
import html
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from callers import ISSUER, bearer, in_process
from fastapi import FastAPI

from databases import fresh_database
from molam.entrypoints.wiring_mesh import mesh_app
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.settings import Secret, Settings
from molam.simulator.issuer_keys import IssuerKeys
from molam.simulator.people import PLATFORM_PEOPLE
from molam.simulator.seed import seed_demo

URL = "http://localhost:3138"
TREASURER, SECOND, ADMIN, VIEWER = "selorm.agbeko", "binta.toure", "ibrahima.ba", "lamine.diouf"
_ROLES = {person.id: person.roles for person in PLATFORM_PEOPLE}


class Room:
    """The control room as people of the demo use it."""

    def __init__(self, client: httpx2.AsyncClient, keys: IssuerKeys, app: FastAPI) -> None:
        self._client = client
        self._keys = keys
        self.db: Database = app.state.db
        self.app = app

    def _as(self, who: str, **changed: Any) -> dict[str, str]:
        claims = {"sub": who, "roles": list(_ROLES.get(who, ())), "merchant_id": None}
        claims |= {"name": who, "lang": "en", "acr": AAL2} | changed
        return bearer(self._keys, **claims)

    async def get(self, path: str, who: str = TREASURER, **changed: Any) -> httpx2.Response:
        return await self._client.get(path, headers=self._as(who, **changed))

    async def page(self, path: str, who: str = TREASURER, **changed: Any) -> str:
        answer = await self.get(path, who, **changed)
        assert answer.status_code == 200, answer.text
        return html.unescape(answer.text)

    async def post(self, path: str, who: str = TREASURER, **fields: str) -> httpx2.Response:
        return await self._client.post(
            path,
            headers=self._as(who),
            data={"csrf_token": "", **fields},
            follow_redirects=False,
        )


@contextlib.asynccontextmanager
async def opened(
    server: Any, admin: Any, keys: IssuerKeys, url: str, home: Path
) -> AsyncIterator[tuple[Room, Database]]:
    """Open the control room over the demo, in a database of its own."""
    async with fresh_database(server, admin) as dsn:
        settings = Settings(
            database_url=Secret(dsn),
            molam_home=home,
            jwt_issuer=ISSUER,
            jwt_public_key_url=url,
            molam_db_connections_max=4,
        )
        db = await open_database(settings.database_dsn, ProcessRole.OWNER, application="tests")
        await seed_demo(db, datetime.now(UTC))
        app = mesh_app(settings)
        async with app.router.lifespan_context(app), in_process(app, URL) as client:
            yield Room(client, keys, app), db
        await db.close()
