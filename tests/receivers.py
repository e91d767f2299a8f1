"""A merchant's server, as webhooks meet it: scripted, with kept connections, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from molam.kernel.clock import Instant
from molam.platform.db import Database
from molam.platform.egress import Egress
from molam.platform.settings import Secret
from molam.webhooks import commands, subscriptions
from molam.webhooks.dispatcher import Dispatcher
from molam.webhooks.subscriptions import Wanted, Way
from molam.webhooks.vault import Vault

VAULT = Vault(Secret("a-key-of-tests-0123456789"))
WAY = Way(VAULT, allow_private=True)


@dataclass(frozen=True)
class Heard:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """
    Answers what *script* says next, then *status*; never, while *hangs*.

    *answering*, when given, is waited for before each answer.
    """

    port: int = 0
    status: int = 200
    script: deque[int] = field(default_factory=deque)
    extra: str = "Retry-After: 60\r\n"
    """Headers of every answer. Nothing is retried before a test says so."""
    hangs: bool = False
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    at_once_seen: int = 0
    answering: Callable[[Heard], Awaitable[None]] | None = None
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [each.headers["webhook-id"] for each in self.heard]

    async def until(self, count: int, *, seconds: float = 15) -> list[Heard]:
        """Wait until *count* requests have come."""
        async with asyncio.timeout(seconds):
            while len(self.heard) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.heard

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, colon, value in (line.partition(":") for line in lines)
                if colon
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            heard = Heard(first.split(" ")[1], headers, body)
            self.heard.append(heard)
            self._arrived.set()
            self.at_once += 1
            self.at_once_seen = max(self.at_once, self.at_once_seen)
            try:
                if self.hangs:
                    await asyncio.sleep(3600)
                if self.answering is not None:
                    await self.answering(heard)
            finally:
                self.at_once -= 1
            status = self.script.popleft() if self.script else self.status
            writer.write(
                f"HTTP/1.1 {status} Answer\r\n{self.extra}Content-Length: 2\r\n\r\nok".encode()
            )
            await writer.drain()


@contextlib.asynccontextmanager
async def receiving(*receivers: Receiver) -> AsyncIterator[None]:
    """Serve each of *receivers* on a free port of loopback."""
    async with contextlib.AsyncExitStack() as stack:
        for receiver in receivers:
            await stack.enter_async_context(_serving(receiver))
        yield


@contextlib.asynccontextmanager
async def _serving(receiver: Receiver) -> AsyncIterator[None]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            # The end of the test, and no failure of the server's.
            pass
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", receiver.port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        while tasks:
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def dispatching(
    db: Database, dsn: str, *, timeout_s: float = 10.0, dispatcher: Dispatcher | None = None
) -> AsyncIterator[Dispatcher]:
    """Run a dispatcher for the body, and see that it ends in good order."""
    stop = asyncio.Event()
    async with Egress(
        allow_private=True, timeout_s=timeout_s, at_once_max=64, keep_alive_s=5
    ) as egress:
        made = dispatcher or Dispatcher(db, egress, VAULT)
        task = asyncio.create_task(made.run(dsn=dsn, stop=stop))
        try:
            yield made
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)


async def an_endpoint(
    db: Database, url: str, *, now: Instant, merchant_id: str = "merchant-123", **wanted: Any
) -> tuple[str, Secret]:
    """An endpoint that hears of refunds, unless *wanted* says otherwise; its id and secret."""
    asked = Wanted(url=url, events=wanted.pop("events", ["merchant.refund.created"]), **wanted)
    async with db.transaction("tests.an_endpoint", merchant_id=merchant_id) as tx:
        row, secret = await subscriptions.add(
            tx, asked, WAY, merchant_id=merchant_id, by="awa.diop", now=now
        )
    return row.id, secret


async def a_publication(
    db: Database,
    object_id: str = "re_1",
    *,
    version: int = 1,
    merchant_id: str = "merchant-123",
    event: str = "merchant.refund.created",
    data: dict[str, object] | None = None,
) -> None:
    """A fact that a merchant hears of."""
    async with db.transaction("tests.publish", merchant_id=merchant_id) as tx:
        await commands.publish(
            tx,
            merchant_id=merchant_id,
            event=event,
            object_id=object_id,
            version=version,
            data=data or {"id": object_id, "amount": 5000, "currency": "XOF"},
        )


async def states(db: Database) -> dict[str, tuple[str, int]]:
    """The state and the attempts of each delivery, by object and version."""
    async with db.transaction("tests.states") as tx:
        rows = await tx.connection.fetch(
            "select e.object_id || '/' || e.version as name, d.state, d.attempts"
            "  from webhooks.webhook_deliveries d join webhooks.webhook_events e using (seq)"
        )
    return {row["name"]: (row["state"], row["attempts"]) for row in rows}


async def settled(db: Database, *, seconds: float = 15) -> dict[str, tuple[str, int]]:
    """Wait until nothing is under way or waits, and say what came of everything."""
    async with asyncio.timeout(seconds):
        while True:
            found = await states(db)
            if not {state for state, _ in found.values()} & {"waiting", "delivering"}:
                return found
            await asyncio.sleep(0.02)


async def make_due(db: Database) -> None:
    """Let what waits for its retry be due now."""
    async with db.transaction("tests.make_due") as tx:
        await tx.connection.execute(
            "update webhooks.webhook_deliveries set next_attempt_at = now() where state = 'waiting'"
        )
        await tx.connection.execute("update webhooks.merchant_webhooks set paused_until = null")
        await tx.connection.execute("select pg_notify('webhooks', '')")
