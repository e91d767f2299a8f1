"""The ops console as people of the demo use it, without a browser."""

from __future__ import annotations

import contextlib
import html
import re
from typing import Any
from uuid import UUID

import httpx2
from callers import bearer
from fastapi import FastAPI
from open_streams import Opened, opened

from molam.alerts.runtime import Watch
from molam.approvals import store
from molam.approvals.engine import Engine
from molam.approvals.risk.commands import Desk
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys
from molam.simulator.people import PLATFORM_PEOPLE

URL = "http://localhost:3136"
_ROLES = {person.id: person.roles for person in PLATFORM_PEOPLE}
ASKS, FIRST, SECOND = "ibrahima.ba", "khady.seck", "esi.boateng"
OUTSIDE = "ousmane.sow"
FORM = "application/x-www-form-urlencoded"
ABSENT = "019b8c5a-0000-7000-8000-00000000dead"


class Console:
    """The console as people of the demo use it."""

    def __init__(self, client: httpx2.AsyncClient, keys: IssuerKeys, app: FastAPI) -> None:
        self._client = client
        self._keys = keys
        self._app = app
        self.engine = Engine(app.state.runtime)
        self.db: Database = app.state.db
        self.desk: Desk = app.state.desk
        self.watch: Watch = app.state.watch

    def _as(self, who: str, **changed: Any) -> dict[str, str]:
        claims = {"sub": who, "roles": list(_ROLES.get(who, ())), "merchant_id": None}
        claims |= {"name": who, "lang": "en", "acr": AAL2} | changed
        return bearer(self._keys, **claims)

    async def get(self, path: str, who: str = FIRST, **changed: Any) -> httpx2.Response:
        return await self._client.get(path, headers=self._as(who, **changed))

    async def page(self, path: str, who: str = FIRST, **changed: Any) -> str:
        answer = await self.get(path, who, **changed)
        assert answer.status_code == 200, answer.text
        return html.unescape(answer.text)

    async def post(
        self, path: str, who: str = FIRST, *, claims: dict[str, Any] | None = None, **fields: str
    ) -> httpx2.Response:
        return await self._client.post(
            path, headers=self._as(who, **(claims or {})), data=fields, follow_redirects=False
        )

    def stream(self, path: str, who: str = FIRST) -> contextlib.AbstractAsyncContextManager[Opened]:
        """Open a page's live stream."""
        return opened(self._app, path, self._as(who) | {"Host": "localhost:3136"}, kind="http")

    async def send_file(
        self, path: str, who: str, *, file: tuple[str, bytes, str], **fields: str
    ) -> httpx2.Response:
        """Send a form with a file, as a browser does."""
        return await self._client.post(
            path, headers=self._as(who), data=fields, files={"file": file}, follow_redirects=False
        )

    async def send(self, path: str, who: str, *, kind: str, body: bytes) -> httpx2.Response:
        """Send bytes that no browser would."""
        headers = self._as(who) | {"Content-Type": kind}
        return await self._client.post(path, headers=headers, content=body)

    async def freeze(self, **fields: Any) -> str:
        """Ask for a freeze; without a policy, two operations administrators decide it."""
        asked = {
            "origin": "ops_ui",
            "action_type": "FREEZE_MERCHANT",
            "params": {"merchant_id": "merchant-123", "reason": "refunds", "duration": "24h"},
            "created_by": ASKS,
        }
        created = await self.engine.create_ops_action(**(asked | fields))
        return str(created["id"])

    async def float(self, amount: int = 1_000_000) -> str:
        created = await self.engine.create_ops_action(
            origin="alert",
            action_type="ADJUST_FLOAT",
            params={"agent_id": "agent-123", "adjustment": "top_up", "amount": amount},
            created_by="sira-system",
        )
        return str(created["id"])

    async def state(self, id_: str) -> str:
        return (await self.db.read(store.FIND_ACTION, id=UUID(id_)))[0].state

    async def votes(self, id_: str) -> int:
        return (await self.db.read(store.FIND_ACTION, id=UUID(id_)))[0].votes_cast

    async def vote(
        self, id_: str, vote: str, who: str, *, claims: dict[str, Any] | None = None, **fields: str
    ) -> httpx2.Response:
        """Fill in the form that *who* is shown, and send it."""
        shown = hidden(await self.page(f"/ops/actions/{id_}", who, **(claims or {})))
        return await self.post(
            f"/ops/actions/{id_}/vote", who, claims=claims, **(shown | {"vote": vote} | fields)
        )


def hidden(page: str) -> dict[str, str]:
    names = ("view_hash", "intent_hash", "seen", "form_id")
    found = {name: re.search(f'name="{name}" value="([^"]*)"', page) for name in names}
    return {name: match[1] for name, match in found.items() if match is not None}


def panel(page: str, name: str) -> str:
    """Cut out one panel of the bar that decides."""
    match = re.search(rf'<details class="act act-{name}".*?</details>', page, re.DOTALL)
    assert match is not None, name
    return match[0]
