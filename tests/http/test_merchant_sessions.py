"""The merchant API behind a session cookie, and secrets that no log or answer may hold."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Iterator
from html import unescape
from typing import Any
from uuid import UUID

import httpx2
import pytest
import structlog
from callers import bearer, claims, forged
from fastapi import FastAPI
from open_streams import Summaries, opened

from builders import a_merchant, a_person, an_alert
from facts import created, look
from molam.platform.auth import sessions
from molam.platform.auth.tokens import Identity
from molam.platform.db import Database
from molam.platform.telemetry import configure_logging
from molam.simulator.issuer_keys import IssuerKeys

COOKIE = "molam_merchant_3001"
OWN = {"Sec-Fetch-Site": "same-origin"}


class Visitor:
    """Somebody who signed in."""

    def __init__(self, client: httpx2.AsyncClient, cookie: str, csrf: str) -> None:
        self._client = client
        self.cookie = cookie
        self.csrf = csrf
        self.headers = {"Cookie": f"{COOKIE}={cookie}"}

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self._client.get(path, headers=self.headers | headers)

    async def post(self, path: str, headers: dict[str, str], **body: Any) -> httpx2.Response:
        return await self._client.post(path, headers=self.headers | headers, **body)


@pytest.fixture
async def visitor(client: httpx2.AsyncClient, db: Database, web_db: Database) -> Visitor:
    await a_merchant(db)
    await a_person(db)
    identity = Identity(
        sub="awa.diop",
        exp=time.time() + 300,
        name="Awa Diop",
        merchant_id="merchant-123",
        roles=("merchant_admin",),
    )
    cookie = await sessions.start_session(web_db, app="merchant", identity=identity, replaces=None)
    ((csrf,),) = await look(db, "select csrf from platform.sessions")
    return Visitor(client, cookie, csrf)


@pytest.mark.parametrize(
    "path", ["/api/merchant/summary", "/api/merchant/transactions", "/api/merchant/alerts"]
)
async def test_a_session_reads_what_a_token_reads(
    visitor: Visitor, client: httpx2.AsyncClient, keys: IssuerKeys, path: str
):
    by_cookie = await visitor.get(path)
    by_token = await client.get(path, headers=bearer(keys))

    assert by_cookie.status_code == 200
    assert by_cookie.json() | {"computed_at": ""} == by_token.json() | {"computed_at": ""}


async def test_a_cookie_nobody_gave_is_nobody(visitor: Visitor):
    visitor.headers = {"Cookie": f"{COOKIE}={visitor.cookie[:-1]}x"}

    assert (await visitor.get("/api/merchant/summary")).status_code == 401
    for value in ("", "x" * 5000, "\x7f", "a; molam_merchant_3001=b"):
        visitor.headers = {"Cookie": f"{COOKIE}={value}"}
        assert (await visitor.get("/api/merchant/summary")).status_code == 401


async def test_a_session_of_another_app_is_none_here(visitor: Visitor, db: Database):
    async with db.transaction("tests.other_app") as tx:
        await tx.connection.execute("update platform.sessions set app = 'ops'")

    assert (await visitor.get("/api/merchant/summary")).status_code == 401


async def test_a_bad_token_is_refused_even_beside_a_good_session(
    visitor: Visitor, keys: IssuerKeys
):
    answer = await visitor.get("/api/merchant/summary", **forged(keys))

    assert (answer.status_code, answer.json()["code"]) == (401, "token-refused")


async def test_a_session_acts_only_with_the_pages_token_and_from_our_own_page(
    visitor: Visitor, db: Database
):
    path = f"/api/merchant/alerts/{await an_alert(db)}/acknowledge"
    token = {"X-CSRF-Token": visitor.csrf}

    refused = [
        await visitor.post(path, headers)
        for headers in (
            {},
            OWN,
            token,
            OWN | {"X-CSRF-Token": "x"},
            token | {"Sec-Fetch-Site": "cross-site"},
            token | {"Origin": "http://localhost:3100"},
            token | {"Origin": "null"},
        )
    ]
    accepted = await visitor.post(path, OWN | token)

    assert {(each.status_code, each.json()["code"]) for each in refused} == {
        (403, "cross-site-request")
    }
    assert (accepted.status_code, accepted.json()["alert"]["status"]) == (200, "acknowledged")


async def test_the_form_of_the_alerts_page_acknowledges_and_comes_back(
    visitor: Visitor, db: Database
):
    id_ = await an_alert(db)
    form = {"csrf_token": visitor.csrf}

    forged_ = await visitor.post(f"/alerts/{id_}/acknowledge", OWN, data={"csrf_token": "x"})
    answer = await visitor.post(f"/alerts/{id_}/acknowledge", OWN, data=form)

    assert forged_.status_code == 403
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts")
    assert await look(db, "select acknowledged_by from merchant_alerts") == [("awa.diop",)]


@pytest.mark.parametrize(
    ("finding", "path"),
    [
        ("refunds_high", "/transactions?from=2026-11-15&to=2026-11-16&type=refund"),
        ("joint_unusual", "/transactions?from=2026-11-15&to=2026-11-16"),
        ("chargeback_rate_high", "/disputes"),
    ],
)
async def test_what_is_unusual_leads_to_the_rows_behind_it(
    visitor: Visitor, db: Database, finding: str, path: str
):
    id_ = await an_alert(db, alert_type="anomaly")
    facts = {"rule": "seasonal", "finding": finding, "from_day": "2026-11-15"}
    async with db.transaction("tests.facts") as tx:
        await tx.connection.execute(
            "update merchant.merchant_alerts set facts = $2 where id = $1",
            *(UUID(id_), facts | {"to_day": "2026-11-16"}),
        )

    page = await visitor.get("/alerts")

    links = [unescape(each) for each in re.findall('href="([^"]*)"', page.text)]
    assert path in links
    assert (await visitor.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost:3001", 101), ("http://evil.example", 403), ("null", 403), (None, 403)],
)
async def test_another_site_cannot_open_a_socket_with_the_visitors_cookie(
    visitor: Visitor, app: FastAPI, origin: str | None, status: int
):
    headers = visitor.headers | ({"Origin": origin} if origin else {})
    async with opened(app, "/api/merchant/stream", headers, kind="websocket") as connection:
        assert await Summaries(connection, "websocket").open() == status


async def test_no_answer_may_be_kept_by_a_cache_or_read_by_another_site(visitor: Visitor):
    answer = await visitor.get("/api/merchant/summary", Origin="https://evil.example")

    assert "no-store" in answer.headers["cache-control"]
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("merchant-dashboard", level="debug", stream=stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


async def test_neither_logs_nor_refusals_hold_secrets_or_customers(
    visitor: Visitor,
    client: httpx2.AsyncClient,
    keys: IssuerKeys,
    written: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
):
    token = keys.sign(claims(sub="somebody"), type_="at+jwt")
    canary = "canary-4242"
    json_body = {"Content-Type": "application/json"}
    service = bearer(keys, sub="service:wallet", roles=["service"], merchant_id=None) | json_body
    good = created("tx_1", customer={"name": canary, "phone": "+221770004242"}, reason=canary)

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    answers = [
        await client.get("/api/merchant/summary", headers={"Authorization": f"Bearer {token}"}),
        await client.get("/api/merchant/summary", headers={"Authorization": f"Bearer {token}x"}),
        await client.get("/api/merchant/summary", headers={"Authorization": f"Basic {canary}"}),
        await client.get(f"/api/merchant/summary?token={token}", headers=bearer(keys)),
        await visitor.get(f"/api/merchant/transactions?q={canary}"),
        await visitor.get(f"/api/merchant/transactions/{canary}", **{"X-CSRF-Token": visitor.csrf}),
        await visitor.post("/api/merchant/alerts/x/acknowledge", OWN),
        await client.post("/api/merchant/events", headers=service, content=f"[{good}]"),
        await client.post("/api/merchant/events", headers=service, content=f"[{good}"),
        await client.post(
            "/api/merchant/events",
            headers=service,
            content=f"[{good.replace('1000', json.dumps(canary))}]",
        ),
        await client.get(f"/auth/callback?code={canary}&state={canary}&iss=x"),
        await client.get(f"/sign-in?next=/{canary}"),
    ]
    monkeypatch.setattr("molam.merchant.queries.alerts", broken)
    answers.append(await visitor.get(f"/api/merchant/alerts?status=all&q={canary}"))
    answers.append(await visitor.get("/api/merchant/alerts"))

    assert answers[-1].status_code == 500
    log = written.getvalue()
    assert "ZeroDivisionError" in log
    # A page holds its own address, for coming back to it.
    told = "".join(each.text for each in answers if "html" not in each.headers["content-type"])
    for secret in (
        canary,
        token,
        token.rpartition(".")[2],
        visitor.cookie,
        visitor.csrf,
        "+221770004242",
        "ZeroDivision",
    ):
        assert secret not in told, secret
        assert secret == "ZeroDivision" or secret not in log, secret
