"""A small HTTP client: requests one after another on some connections, and live streams."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Load:
    requests_per_s: float
    median_ms: float


async def drive(url: str, *, token: str | None, connections: int, seconds: float) -> Load:
    """Ask *url* as often as it answers, and count only answers of 200."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{authorization}\r\n".encode()
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while time.perf_counter() < end:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), (head, await reader.read(400))
            lower = head.lower()
            length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return Load(len(took) / seconds, statistics.median(took) * 1000)


async def until_it_answers(url: str, *, seconds: float = 30) -> None:
    """Wait for a server that is starting."""
    end = time.perf_counter() + seconds
    while True:
        try:
            await drive(url, token=None, connections=1, seconds=0.01)
        except (OSError, AssertionError, asyncio.IncompleteReadError):
            assert time.perf_counter() < end, f"{url} does not answer"
            await asyncio.sleep(0.1)
        else:
            return


async def listen(url: str, *, token: str, hear: Callable[[bytes, float], None]) -> None:
    """Hold a live stream open until cancelled; give each frame with the moment it came."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n".encode()
    )
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), (head, await reader.read(400))
        while True:
            length = int(await reader.readuntil(b"\r\n"), 16)
            hear(await reader.readexactly(length + 2), time.perf_counter())
    finally:
        writer.close()
