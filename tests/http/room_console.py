"""The control room as people of the demo use it, without a browser."""

from __future__ import annotations

import html
from typing import Any

import httpx2
from callers import bearer
from fastapi import FastAPI

from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys
from molam.simulator.people import PLATFORM_PEOPLE

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
