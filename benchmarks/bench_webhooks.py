"""
How many webhooks a second leave while one endpoint hangs, and the limit they are held to.

Ours: published events, claimed, signed, posted, settled with their log, from the database
to a receiver in a process of its own. The limit: a bare loop that posts bodies as long to
the same receiver over as many connections, and does nothing else. What is promised is a
rate; the ratio says how much of it is ours to win.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection

import httpx2
import uvloop

import stage as bench
from molam.kernel.clock import Instant
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.egress import Egress
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.settings import Secret
from molam.platform.telemetry import configure_logging
from molam.webhooks import commands, subscriptions
from molam.webhooks.commands import News
from molam.webhooks.dispatcher import PER_ENDPOINT_MAX, Dispatcher
from molam.webhooks.subscriptions import Wanted, Way
from molam.webhooks.vault import Vault

WANTED_PER_S = 300
MERCHANT = "merchant-bench"
WAY = Way(Vault(Secret("a-key-of-benchmarks-0123")), allow_private=True)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take posts on one connection: answer at once, or never under /hang."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            await reader.readexactly(length)
            if head.startswith(b"POST /hang"):
                await asyncio.sleep(3600)
            writer.write(_ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def receiver(told: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.start_server(receive, "127.0.0.1", 0, backlog=1024)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


async def publish(db: Database, count: int, *, now: Instant) -> None:
    for first in range(0, count, 500):
        news = [
            News(
                merchant_id=MERCHANT,
                event="transaction.succeeded",
                object_id=f"tx_{number}",
                version=1,
                data={
                    "id": f"tx_{number}",
                    "amount": 75_000,
                    "currency": "XOF",
                    "occurred_at": now,
                    "customer": {"name": "Nafi Seck", "phone": "+221770001122"},
                },
            )
            for number in range(first, min(first + 500, count))
        ]
        async with db.transaction("bench.publish", merchant_id=MERCHANT) as tx:
            await commands.publish_all(tx, news)


async def ours(dsn: str, port: int, count: int) -> float:
    db = await open_database(dsn, ProcessRole.WORKER, application="bench")
    owner = await open_database(dsn, ProcessRole.OWNER, application="bench-owner")
    now = datetime.now(UTC)
    async with owner.transaction("bench.merchant") as tx:
        await tx.connection.execute(
            "insert into tenancy.merchants (id, name, country, default_currency)"
            " values ($1, 'Bench', 'SN', 'XOF')",
            MERCHANT,
        )
        for path in ("/hook", "/hang"):
            asked = Wanted(f"http://127.0.0.1:{port}{path}", ["transaction.succeeded"])
            await subscriptions.add(tx, asked, WAY, merchant_id=MERCHANT, by="bench", now=now)
    await publish(owner, count, now=now)
    stop = asyncio.Event()
    async with Egress(allow_private=True, at_once_max=64, keep_alive_s=15) as egress:
        dispatcher = Dispatcher(db, egress, WAY.vault)
        began = time.perf_counter()
        task = asyncio.create_task(dispatcher.run(dsn=dsn, stop=stop))
        while await delivered(owner) < count:
            await asyncio.sleep(0.02)
        took = time.perf_counter() - began
        stop.set()
        await task
    await db.close()
    await owner.close()
    return count / took


async def delivered(db: Database) -> int:
    async with db.transaction("bench.delivered") as tx:
        return int(
            await tx.connection.fetchval(
                "select total_delivered from webhooks.merchant_webhooks where url like '%/hook'"
            )
        )


async def bare(port: int, count: int, body: bytes) -> float:
    """Post the same with the same library and as many connections, and nothing else."""
    left = iter(range(count))
    headers = {"Content-Type": "application/json", "webhook-id": "x" * 36}
    limits = httpx2.Limits(max_connections=PER_ENDPOINT_MAX)
    async with httpx2.AsyncClient(limits=limits, trust_env=False) as client:

        async def post() -> None:
            for _ in left:
                await client.post(f"http://127.0.0.1:{port}/hook", content=body, headers=headers)

        began = time.perf_counter()
        await asyncio.gather(*(post() for _ in range(PER_ENDPOINT_MAX)))
        return count / (time.perf_counter() - began)


@contextlib.contextmanager
def a_receiver() -> Iterator[int]:
    """Run a receiver until the end of the context; give its port."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=receiver, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


async def main(embedded: EmbeddedPostgres, arguments: Sequence[str]) -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="deliveries of a round")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    configure_logging("bench", level="error")
    rates, limits = [], []
    async with bench.stage(embedded):
        for number in range(asked.rounds):
            # A receiver of its own, since one that hangs keeps its connections.
            with a_receiver() as port:
                limits.append(await bare(port, asked.count, b"x" * 520))
                dsn = await bench.clone(embedded, f"round_{number}")
                rates.append(await ours(dsn, port, asked.count))
    ratio = statistics.median(mine / best for mine, best in zip(rates, limits, strict=True))
    rate = statistics.median(rates)
    verdict = "ok" if rate >= WANTED_PER_S else "BELOW"
    print(
        f"webhooks, one endpoint hanging: ours {rate:,.0f} /s (at least {WANTED_PER_S}) {verdict},"
        f" limit {statistics.median(limits):,.0f} /s, ratio {ratio:.2f}"
    )
    return rate >= WANTED_PER_S


if __name__ == "__main__":
    with bench.server() as running:
        sys.exit(0 if uvloop.run(main(running, sys.argv[1:])) else 1)
