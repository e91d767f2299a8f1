"""/api/merchant/stream, as server-sent events and over WebSocket: the summary, whenever it changes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import httpx2
import pytest
from callers import bearer
from fastapi import FastAPI
from open_streams import Opened, Summaries, opened

from builders import NOW, a_merchant, a_person
from facts import drain, succeeded
from molam.entrypoints import wiring
from molam.kernel.clock import ManualClock
from molam.merchant import commands
from molam.platform.db import Database
from molam.platform.web import sse
from molam.simulator.issuer_keys import IssuerKeys
from molam.tenancy import commands as tenancy

Open = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Opened, Summaries]]]

pytestmark = pytest.mark.parametrize("kind", ["http", "websocket"])


@pytest.fixture
async def stream(app: FastAPI, db: Database, keys: IssuerKeys, kind: str) -> Open:
    """Open the stream of a shop that its admin looks at."""
    app.state.clock = ManualClock(NOW)
    await a_merchant(db)
    await a_person(db)

    @contextlib.asynccontextmanager
    async def stream(
        query: str = "period=mtd&currency=XOF", **headers: str
    ) -> AsyncIterator[tuple[Opened, Summaries]]:
        address = f"/api/merchant/stream?{query}"
        headers = headers or bearer(keys)
        async with opened(app, address, headers, kind=kind) as connection:
            yield connection, Summaries(connection, kind)

    return stream


async def counted(worker_db: Database, *events: str) -> None:
    """Count as the worker does, announcement included."""
    async with worker_db.transaction("tests.count") as tx:
        await commands.KpiWorker(ManualClock(NOW)).handle(tx, list(events))


async def test_the_first_frame_is_the_summary(
    stream: Open, worker_db: Database, client: httpx2.AsyncClient, keys: IssuerKeys
):
    await counted(worker_db, succeeded("tx_1", amount=700))
    async with stream() as (_, summaries):
        await summaries.open()
        first = await summaries.next()

    asked = await client.get("/api/merchant/summary?period=mtd", headers=bearer(keys))
    assert first | {"computed_at": None} == asked.json() | {"computed_at": None}
    assert first["summary"]["sales"]["value"] == 700


async def test_a_committed_event_is_a_frame(stream: Open, worker_db: Database):
    async with stream() as (_, summaries):
        await summaries.open()
        before = await summaries.sales()

        await counted(worker_db, succeeded("tx_1", amount=700))
        seen = []
        while 700 not in seen:
            seen.append(await summaries.sales())

    assert before == 0
    assert set(seen) <= {0, 700}


async def test_a_posted_event_is_a_frame(
    stream: Open, client: httpx2.AsyncClient, keys: IssuerKeys, worker_db: Database
):
    service = bearer(keys, sub="service:wallet", roles=["service"], merchant_id=None)
    async with stream() as (_, summaries):
        await summaries.open()
        await summaries.sales()

        body = f"[{succeeded('tx_1', amount=900)}]"
        media = {"Content-Type": "application/json"}
        answer = await client.post("/api/merchant/events", content=body, headers=service | media)
        await drain(worker_db)
        sales = 0
        while sales != 900:
            sales = await summaries.sales()

    assert answer.status_code == 202


@pytest.fixture
def _short_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "QUARTER_S", 0.2)
    monkeypatch.setattr(wiring, "CLOCKS_DIFFER_S", 0.0)


@pytest.mark.usefixtures("_short_days")
async def test_a_day_that_ends_without_an_event_is_a_frame(
    app: FastAPI, stream: Open, worker_db: Database
):
    await counted(worker_db, succeeded("tx_1", amount=700))
    async with stream("period=today") as (_, summaries):
        await summaries.open()
        before = await summaries.sales()

        app.state.clock.set(NOW + timedelta(days=1))
        assert await summaries.reach(0)

    assert before == 700


async def test_another_merchants_event_is_none(stream: Open, db: Database, worker_db: Database):
    await a_merchant(db, id_="merchant-other")
    async with stream() as (connection, summaries):
        await summaries.open()
        await summaries.next()
        while not await connection.is_silent(0.3):
            pass

        await counted(worker_db, succeeded("tx_1", merchant_id="merchant-other"))

        assert await connection.is_silent(0.3)


async def test_a_role_taken_away_ends_the_stream(stream: Open, db: Database, kind: str):
    async with stream() as (_, summaries):
        await summaries.open()
        await summaries.next()

        async with db.transaction("tests.revoke") as tx:
            await tenancy.revoke_role(
                tx, person_id="awa.diop", role="merchant_admin", merchant_id="merchant-123"
            )
        while await summaries.next() is not None:
            pass

    assert summaries.code == (1008 if kind == "websocket" else None)


async def test_without_the_check_a_role_taken_away_would_not_end_it(
    stream: Open, db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
):
    async def always(_connection: object) -> bool:
        return True

    monkeypatch.setattr(sse, "still_admitted", always)
    async with stream() as (_, summaries):
        await summaries.open()
        await summaries.next()
        async with db.transaction("tests.revoke") as tx:
            await tenancy.revoke_role(
                tx, person_id="awa.diop", role="merchant_admin", merchant_id="merchant-123"
            )

        await counted(worker_db, succeeded("tx_1", amount=700))

        assert await summaries.reach(700)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("period=week", "period-malformed"),
        ("currency=ZZZ", "unknown-currency"),
        ("currency=XO", "query-malformed"),
        ("reporting=EUR", "query-malformed"),
        ("period=mtd&period=ytd", "query-malformed"),
    ],
)
async def test_a_bad_query_is_refused(stream: Open, query: str, code: str):
    async with stream(query) as (_, summaries):
        assert (await summaries.open(), await summaries.refusal()) == (400, code)


async def test_nobody_opens_a_stream_without_a_token(stream: Open):
    async with stream(accept="text/event-stream") as (_, summaries):
        assert (await summaries.open(), await summaries.refusal()) == (401, "unauthenticated")


async def test_too_many_streams_of_a_merchant_are_refused(
    stream: Open, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sse, "_STREAMS_PER_TOPIC_MAX", 1)
    async with stream() as (_, first):
        await first.open()
        await first.next()
        async with stream() as (_, second):
            status = await second.open()
            if kind == "http":
                assert (status, await second.refusal()) == (429, "too-many-streams")
            else:
                assert (await second.next(), second.code) == (None, 1013)


async def test_what_a_client_says_is_ignored(stream: Open, worker_db: Database, kind: str):
    async with stream() as (connection, summaries):
        await summaries.open()
        await summaries.next()
        if kind == "websocket":
            connection.tell({"type": "websocket.receive", "text": "{" * 10_000})
            connection.tell({"type": "websocket.receive", "bytes": b"\0" * 100})

        await counted(worker_db, succeeded("tx_1", amount=700))

        assert await summaries.reach(700)


async def test_hanging_up_leaves_nothing_behind(stream: Open, app: FastAPI):
    async with stream() as (connection, summaries):
        await summaries.open()
        await summaries.next()

    assert connection.task.done()
    assert app.state.hub._groups == {}
