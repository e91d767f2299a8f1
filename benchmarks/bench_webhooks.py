"""
How many webhooks a second leave while one endpoint hangs, and the limit they are held to.

Ours: published events, claimed, signed, posted, settled with their log, from the database
to a receiver in a process of its own. The limit: a bare loop that posts the same bodies to
the same receiver over as many connections, and does nothing else.

    MOLAM_TEST_DATABASE_URL=postgresql://... .venv/bin/python benchmarks/bench_webhooks.py
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import secrets
import sys
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import asyncpg
import httpx2
import uvloop

from molam.kernel.clock import Instant
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.db.migrations import migrate
from molam.platform.egress import Egress
from molam.platform.settings import Secret
from molam.platform.telemetry import configure_logging
from molam.webhooks import commands, subscriptions
from molam.webhooks.commands import News
from molam.webhooks.dispatcher import PER_ENDPOINT_MAX, Dispatcher
from molam.webhooks.subscriptions import Wanted, Way
from molam.webhooks.vault import Vault

ROOT = Path(__file__).parents[1]
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


async def main(count: int) -> int:
    configure_logging("bench", level="error")
    admin_dsn = os.environ["MOLAM_TEST_DATABASE_URL"]
    name = f"molam_bench_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(admin_dsn)
    await admin.execute(f"create database {name}")
    dsn = admin_dsn.rpartition("/")[0] + f"/{name}"
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=receiver, args=(there,), daemon=True)
    process.start()
    try:
        await migrate(dsn, ROOT / "migrations")
        port = here.recv()
        limit = await bare(port, count, b"x" * 520)
        rate = await ours(dsn, port, count)
    finally:
        process.terminate()
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()
    print(f"webhooks, one endpoint hanging: ours {rate:.0f}/s")
    print(f"limit (bare loop, same bodies and connections): {limit:.0f}/s")
    print(f"ratio: {rate / limit:.2f}; wanted: at least {WANTED_PER_S}/s")
    return 0 if rate >= WANTED_PER_S else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000)
    sys.exit(uvloop.run(main(parser.parse_args().count)))
