"""The inbox over HTTP: one's own, whatever one asks for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from callers import in_process
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from builders import a_person
from molam.notices import commands, endpoints
from molam.notices.model import Kind, Notice
from molam.platform.db import Database
from molam.platform.settings import Secret, Settings
from molam.platform.web import Caller, Site, build_app

LANGUAGES = {"awa": "fr", "moussa": "en"}


async def _by_name(connection: HTTPConnection) -> Caller | None:
    """Believe a header: these tests are not about signing in."""
    name = connection.headers.get("x-caller")
    if name is None:
        return None
    return Caller(
        subject=name, name=name, merchant_id=None, roles=frozenset(), acr="1", auth_time=None,
        locale=LANGUAGES.get(name, "fr"), csrf=None, via="bearer", request_id="tests",
        ip="127.0.0.1", user_agent="tests",
    )  # fmt: skip


@pytest.fixture
async def app(ops_db: Database, dsn: str) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield

    app = build_app(
        name="inbox",
        routes=[endpoints.routes],
        authenticator=_by_name,
        settings=Settings(database_url=Secret(dsn)),
        lifespan=lifespan,
        site=Site(public_origin="http://localhost:3136"),
    )
    app.state.db = ops_db
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_process(app, "http://localhost:3136") as client:
        yield client


@pytest.fixture
async def told(db: Database, ops_db: Database) -> None:
    await a_person(db, id_="awa", roles=("ops_admin",))
    await a_person(db, id_="moussa", roles=("ops_admin",), locale="en")
    async with ops_db.transaction("tests.tell") as tx:
        for number in range(3):
            notice = Notice(
                kind=Kind.ACTION_REJECTED,
                key=f"k{number}",
                people=["awa", "moussa"],
                subject=f"action-{number}",
                link=f"/ops/actions/{number}",
                facts={"title": {"fr": "Geler", "en": "Freeze"}, "by": "Fatou", "reason": "no"},
            )
            await commands.tell(tx, notice)


async def ask(client: httpx2.AsyncClient, path: str, who: str = "awa") -> dict[str, Any]:
    answer = await client.get(f"/api/ops/inbox{path}", headers={"X-Caller": who})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.usefixtures("told")
async def test_an_inbox_comes_in_pages_newest_first(client: httpx2.AsyncClient):
    first = await ask(client, "?limit=2")
    rest = await ask(client, f"?limit=2&before={first['next_before']}")

    assert first["unread"] == 3
    assert [row["subject"] for row in [*first["rows"], *rest["rows"]]] == [
        "action-2", "action-1", "action-0",
    ]  # fmt: skip
    assert rest["next_before"] is None


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("who", "headline"), [("awa", "Rejeté\u00a0: Geler"), ("moussa", "Rejected: Freeze")]
)
async def test_it_is_in_its_readers_language(client: httpx2.AsyncClient, who: str, headline: str):
    row = (await ask(client, "", who))["rows"][0]

    assert (row["headline"], row["quote"], row["read_at"]) == (headline, "no", None)
    assert row["link"] == "/ops/actions/2"


@pytest.mark.usefixtures("told")
async def test_reading_one_or_all_counts_down_for_the_reader_alone(client: httpx2.AsyncClient):
    rows = (await ask(client, ""))["rows"]

    one = await client.post(f"/api/ops/inbox/{rows[2]['id']}/read", headers={"X-Caller": "awa"})
    upto = await client.post(
        "/api/ops/inbox/read", json={"up_to": rows[1]["id"]}, headers={"X-Caller": "awa"}
    )

    assert (one.json()["unread"], upto.json()["unread"]) == (2, 1)
    assert [row["subject"] for row in (await ask(client, "?unread=true"))["rows"]] == ["action-2"]
    assert (await ask(client, "", "moussa"))["unread"] == 3


@pytest.mark.usefixtures("told")
async def test_an_entry_of_another_is_absent(client: httpx2.AsyncClient):
    (row, *_) = (await ask(client, "", "moussa"))["rows"]

    for id_ in (row["id"], 10**9, 10**30):
        answer = await client.post(f"/api/ops/inbox/{id_}/read", headers={"X-Caller": "awa"})
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (
            404, "notice-absent",
        )  # fmt: skip


@pytest.mark.usefixtures("told")
async def test_preferences_are_kept(client: httpx2.AsyncClient):
    before = await ask(client, "/preferences")
    answer = await client.put(
        "/api/ops/inbox/preferences", json={"email": "urgent"}, headers={"X-Caller": "awa"}
    )

    assert before["email"] == "all"
    assert answer.status_code == 200
    assert (await ask(client, "/preferences"))["email"] == "urgent"
    assert (await ask(client, "/preferences", "moussa"))["email"] == "all"


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "?before=0", None, 400),
        ("GET", "?before=99999999999999999999", None, 400),
        ("GET", "?limit=1000", None, 400),
        ("GET", "?person=moussa", None, 400),
        ("PUT", "/preferences", {"email": "sometimes"}, 400),
        ("PUT", "/preferences", {}, 400),
        ("PUT", "/preferences", {"email": "all", "person_id": "moussa"}, 400),
        ("POST", "/read", {"up_to": -1}, 400),
        ("POST", "/read", {"up_to": 10**30}, 400),
        ("POST", "/x/read", None, 404),
    ],
)
async def test_odd_requests_are_refused(
    client: httpx2.AsyncClient, method: str, path: str, body: Any, status: int
):
    answer = await client.request(
        method, f"/api/ops/inbox{path}", json=body, headers={"X-Caller": "awa"}
    )

    assert answer.status_code == status, answer.text


async def test_strangers_have_no_inbox_and_no_preferences(client: httpx2.AsyncClient):
    unknown = await client.put(
        "/api/ops/inbox/preferences", json={"email": "all"}, headers={"X-Caller": "nobody"}
    )

    assert (await client.get("/api/ops/inbox")).status_code == 401
    assert (await ask(client, "", "nobody"))["rows"] == []
    assert unknown.status_code == 403
