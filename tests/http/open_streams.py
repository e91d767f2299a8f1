"""Streams of an app in this process, read frame by frame: httpx2 would wait for their end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

PATIENCE_S = 5


class Opened:
    """One connection: what the app sent, and a way to hang up."""

    def __init__(self, app: FastAPI, address: str, headers: Mapping[str, str], kind: str) -> None:
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        if kind == "websocket":
            self._told.put_nowait({"type": "websocket.connect"})
        else:
            self._told.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self._hang_up = {"type": f"{kind}.disconnect", "code": 1000}
        self.task = asyncio.create_task(
            app(_scope(address, headers, kind), self._told.get, self._sent.put)  # type: ignore[arg-type]
        )

    async def next(self) -> dict[str, Any]:
        """Return the next message, or an empty one when the app has ended."""
        reading = asyncio.create_task(self._sent.get())
        await asyncio.wait(
            {reading, self.task}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
        if reading.done():
            return reading.result()
        reading.cancel()
        if self.task.done():
            await self.task
            return {}
        raise TimeoutError("nothing was sent")

    async def is_silent(self, seconds: float) -> bool:
        """Wait a while, and tell whether nothing came."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._sent.get(), seconds)
            return False
        return True

    async def reads(self, text: str) -> str:
        """Read on until a frame holds *text*, and return that frame; empty at the end."""
        while message := await self.next():
            frame = message.get("body", b"").decode()
            if text in frame:
                return frame
        return ""

    def tell(self, message: dict[str, Any]) -> None:
        self._told.put_nowait(message)

    async def close(self) -> None:
        self.tell(self._hang_up)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.task, PATIENCE_S)


def _scope(address: str, headers: Mapping[str, str], kind: str) -> dict[str, Any]:
    parts = urlsplit(address)
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [
            *([] if "Host" in headers else [(b"host", b"localhost:3001")]),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
        ],
        "subprotocols": [],
        "scheme": "ws" if kind == "websocket" else "http",
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 3001),
        "extensions": {"websocket.http.response": {}},
    }


@contextlib.asynccontextmanager
async def opened(
    app: FastAPI, address: str, headers: Mapping[str, str], *, kind: str
) -> AsyncIterator[Opened]:
    connection = Opened(app, address, headers, kind)
    try:
        yield connection
    finally:
        await connection.close()


class Summaries:
    """The summaries a connection delivers, whichever way it does."""

    def __init__(self, connection: Opened, kind: str) -> None:
        self._connection = connection
        self._kind = kind
        self.status = 0
        self.code: int | None = None

    async def open(self) -> int:
        """Read the head; return its status, 101 for a WebSocket."""
        head = await self._connection.next()
        self.status = 101 if head["type"] == "websocket.accept" else int(head["status"])
        return self.status

    async def refusal(self) -> str:
        """Return the code of the problem that answered instead."""
        body = await self._connection.next()
        return str(json.loads(body["body"])["code"])

    async def next(self) -> Any:
        """Return the next summary; None at the end of the stream."""
        while True:
            message = await self._connection.next()
            if message.get("type") == "websocket.close":
                self.code = message["code"]
                return None
            if not message or not message.get("more_body", True):
                return None
            if self._kind == "websocket":
                return json.loads(message["text"])
            frame = message["body"].decode()
            if frame.startswith("event: summary\ndata: "):
                assert frame.endswith("\n\n")
                return json.loads(frame.removeprefix("event: summary\ndata: "))

    async def sales(self) -> Any:
        summary = await self.next()
        return None if summary is None else summary["summary"]["sales"]["value"]

    async def reach(self, sales: int) -> bool:
        """Read on until the summary shows *sales*; False when the stream ends before."""
        while (shown := await self.sales()) is not None:
            if shown == sales:
                return True
        return False
