"""Real servers on loopback that take what is sent to them: mail by SMTP, and HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import EmailMessage


@dataclass
class MailSink:
    """An SMTP server. *refuse* answers RCPT with that code; *mute* says nothing at all."""

    port: int = 0
    refuse: int = 0
    mute: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(line: str) -> None:
            writer.write(line.encode() + b"\r\n")
            await writer.drain()

        if self.mute:
            await reader.read()
            return
        await say("220 sink")
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    await say("250-sink\r\n250 SMTPUTF8")
                elif verb == b"RCPT" and self.refuse:
                    await say(f"{self.refuse} no")
                elif verb == b"DATA":
                    await say("354 go on")
                    text = (await reader.readuntil(b"\r\n.\r\n"))[:-5].replace(b"\r\n..", b"\r\n.")
                    self.raw.append(text)
                    self.mails.append(email.message_from_bytes(text, policy=email.policy.default))
                    await say("250 taken")
                elif verb == b"QUIT":
                    await say("221 bye")
                    break
                else:
                    await say("250 yes")


@dataclass(frozen=True)
class Posted:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HttpSink:
    """An HTTP server that answers *status*; more bytes than asked for with *flood*."""

    port: int = 0
    status: int = 200
    location: str = ""
    flood: int = 0
    posts: list[Posted] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, colon, value in (line.partition(":") for line in lines)
            if colon
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.posts.append(Posted(first.split(" ")[1], headers, body))
        answer = b"x" * self.flood or b"ok"
        more = f"Location: {self.location}\r\n" if self.location else ""
        with contextlib.suppress(ConnectionError):
            writer.write(
                f"HTTP/1.1 {self.status} Answer\r\n{more}Content-Length: {len(answer)}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            writer.write(answer)
            await writer.drain()


@contextlib.asynccontextmanager
async def serving(sink: MailSink | HttpSink) -> AsyncIterator[None]:
    """Serve *sink* on a free port of loopback."""
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await sink.serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        open_now.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        for writer in open_now:
            writer.transport.abort()
        while open_now:
            await asyncio.sleep(0)
