"""What the browser tests do at the demo's first shop."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from playwright.async_api import Page

from molam.platform.db import Database
from molam.platform.events import Event, cloud_event, publish
from molam.platform.settings import Settings

MERCHANT = "merchant-123"
ADMIN, ACCOUNTANT, SUPPORT = "awa.diop", "fatou.sarr", "pape.gueye"

Open = Callable[..., Awaitable[Page]]


@dataclass(frozen=True, slots=True)
class Product:
    """Everything that runs, and how to reach it."""

    url: str
    db: Database
    settings: Settings


async def type_password(page: Page, who: str) -> None:
    await page.locator("#username").fill(who)
    await page.locator("#password").fill("molam-demo")
    await page.locator("main form button").click()


async def taken_in(db: Database, transaction_id: str) -> None:
    """Wait until a payment that was told of is one that the shop sees."""
    async with asyncio.timeout(30):
        while True:
            async with db.transaction("e2e.taken_in") as tx:
                if await tx.connection.fetchval(
                    "select true from payments.wallet_transactions where id = $1", transaction_id
                ):
                    return
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """Listen for webhooks; give the address, and the headers of whatever arrives."""
    heard: list[dict[str, str]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [line.partition(": ") for line in head.split("\r\n")[1:]]
        headers = {name.lower(): value for name, _, value in lines}
        await reader.readexactly(int(headers.get("content-length", "0")))
        heard.append(headers)
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/molam", heard


async def sell(db: Database, *, amount: int, customer: str = "Nafi Seck", days_ago: int = 0) -> str:
    """Let a customer pay the demo's first merchant; return the transaction's id."""
    id_ = f"tx_e2e_{secrets.token_hex(6)}"
    now = datetime.now(UTC) - timedelta(days=days_ago)
    data = {
        "id": id_,
        "transaction_id": id_,
        "merchant_id": MERCHANT,
        "type": "payment",
        "amount": amount,
        "currency": "XOF",
        "status": "succeeded",
        "occurred_at": (now + timedelta(seconds=1)).isoformat().replace("+00:00", "Z"),
        "version": 2,
        "fee_molam": amount // 100,
        "channel": "wallet",
        "provider": "wave",
        "reference_code": f"REF-{id_[-6:].upper()}",
        "customer": {"name": customer, "phone": "+221770001122"},
        "metadata": {"till": 2},
    }
    payload = cloud_event(
        id_=id_,
        source="/tests",
        type_="wallet_txn_succeeded",
        subject=id_,
        time=now,
        data=data,
    )
    async with db.transaction("e2e.sell") as tx:
        await publish(tx, [Event("wallet_txn_succeeded", MERCHANT, payload)])
    return id_
