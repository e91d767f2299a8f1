"""
From an event's commit to the page that shows it, while 500 events arrive each second.

The merchant app, the issuer and two workers run as they do in the product. Of
the merchants that events are for, some have an overview open and an API client
connected. Each event is worth one franc, so a figure says how many it includes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import re
import statistics
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg

import load
import processes
import stage as bench
from molam.platform import events
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.settings import load as load_settings
from molam.simulator.issuer import mint_development_token

PORT_OFFSET = 21_000
COMMITS_PER_S = 100
WARM_UP_S = 3
LIMIT_MS = 100

TOPIC = "wallet_txn_succeeded"

# What a frame says of the sales: the API in JSON, the page in a fragment for htmx.
API_SALES = re.compile(rb'"sales":\{"value":(\d+)')
PAGE_SALES = re.compile(rb'hx-target="#sales-value"[^>]*>(.*?)</hx-partial>', re.DOTALL)


_numbers = itertools.count(1)


@dataclass(slots=True)
class Watch:
    """One open stream of one merchant, and when each of its events became visible on it."""

    merchant_id: str
    committed: list[float]
    """When each event of the merchant was committed, in order."""
    waits_ms: list[float] = field(default_factory=list)
    shown: int = 0

    def hear_api(self, frame: bytes, at: float) -> None:
        if found := API_SALES.search(frame):
            self._show(int(found[1]), at)

    def hear_page(self, frame: bytes, at: float) -> None:
        if found := PAGE_SALES.search(frame):
            text = re.sub(rb"<[^>]*>", b"", found[1])
            self._show(int(re.sub(rb"\D", b"", text) or 0), at)

    def _show(self, count: int, at: float) -> None:
        # A frame may outrun the commit's acknowledgement to us; that is no time at all.
        for number in range(self.shown, count):
            sent = self.committed[number] if number < len(self.committed) else at
            self.waits_ms.append(max(0.0, at - sent) * 1000)
        self.shown = max(self.shown, count)


async def main(embedded: EmbeddedPostgres) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="events a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--merchants", type=int, default=50)
    parser.add_argument("--watched", type=int, default=5, help="merchants with streams open")
    given = parser.parse_args()

    async with bench.stage(embedded) as stage, contextlib.AsyncExitStack() as stack:
        owner = await asyncpg.connect(stage.dsn)
        merchants = await bench.add_merchants(owner, given.merchants)
        await bench.add_admin(owner, merchants)
        await owner.close()
        settings = processes.environment(stage, dsn=stage.dsn, port_offset=PORT_OFFSET)
        for part in ("kpi", "intake"):
            worker = (*processes.MOLAM, "worker", "--only", part)
            stack.enter_context(processes.running(settings, worker))
        await stack.enter_async_context(
            processes.serving(
                settings, (*processes.MOLAM, "serve", "identity"), port=3100 + PORT_OFFSET
            )
        )
        app = await stack.enter_async_context(
            processes.serving(
                settings, (*processes.MOLAM, "serve", "merchant"), port=3001 + PORT_OFFSET
            )
        )
        db = await open_database(stage.dsn, ProcessRole.WORKER, application="benchmark")
        stack.push_async_callback(db.close)

        committed: dict[str, list[float]] = {merchant_id: [] for merchant_id in merchants}
        await publish(db, committed, rate=given.rate, seconds=WARM_UP_S)
        await asyncio.sleep(1)
        api, pages, listening = await _open_streams(
            settings, app, merchants[: given.watched], committed
        )
        await asyncio.sleep(1)
        for watch in (*api, *pages):
            watch.waits_ms.clear()  # What the first frame showed was there before it.
        rate = await publish(db, committed, rate=given.rate, seconds=given.seconds)
        await asyncio.sleep(1)
        for task in listening:
            task.cancel()
        for watch in (*api, *pages):
            assert watch.shown == len(committed[watch.merchant_id]), "an event was never shown"
    print(f"{rate:,.0f} events/s committed for {given.merchants} merchants", flush=True)
    bench.finish(
        report(f"commit to page, {len(pages)} open", pages),
        report(f"commit to API stream, {len(api)} open", api),
    )


async def publish(
    db: Database, committed: dict[str, list[float]], *, rate: int, seconds: int
) -> float:
    """Publish at an even pace, and note when each commit was acknowledged; return events a second."""
    rng = random.Random(7)
    merchants = list(committed)
    began = time.perf_counter()
    for commit in range(seconds * COMMITS_PER_S):
        await asyncio.sleep(max(0.0, began + commit / COMMITS_PER_S - time.perf_counter()))
        chosen = rng.choices(merchants, k=rate // COMMITS_PER_S)
        async with db.transaction("benchmark.publish") as tx:
            await events.publish(tx, [_event(merchant_id) for merchant_id in chosen])
        now = time.perf_counter()
        for merchant_id in chosen:
            committed[merchant_id].append(now)
    return seconds * COMMITS_PER_S * (rate // COMMITS_PER_S) / (time.perf_counter() - began)


def _event(merchant_id: str) -> events.Event:
    name = f"tx_{next(_numbers):08}"
    now = datetime.now(UTC)
    data = {
        "transaction_id": name,
        "merchant_id": merchant_id,
        "amount": 1,
        "currency": "XOF",
        "status": "succeeded",
        "occurred_at": now.isoformat(),
        "provider": "wave",
        "reference_code": name,
        "customer": {"name": "Awa Diop", "phone": "+221770000000"},
    }
    text = events.cloud_event(
        id_=name, source="/benchmark", type_=TOPIC, subject=name, time=now, data=data
    )
    return events.Event(TOPIC, merchant_id, text)


async def _open_streams(
    settings: dict[str, str], app: str, merchants: list[str], committed: dict[str, list[float]]
) -> tuple[list[Watch], list[Watch], list[asyncio.Task[None]]]:
    api, pages, listening = [], [], []
    for merchant_id in merchants:
        token = await mint_development_token(
            load_settings(settings),
            roles=("merchant_admin",),
            merchant_id=merchant_id,
            subject="bench",
        )
        ours, page = (Watch(merchant_id, committed[merchant_id]) for _ in range(2))
        api.append(ours)
        pages.append(page)
        for path, hear in (
            ("/api/merchant/stream?period=today&currency=XOF", ours.hear_api),
            ("/live?period=today&currency=XOF", page.hear_page),
        ):
            stream = load.listen(f"{app}{path}", token=token, hear=hear)
            listening.append(asyncio.create_task(stream))
    return api, pages, listening


def report(name: str, watches: list[Watch]) -> bool:
    waits = [wait for watch in watches for wait in watch.waits_ms]
    p50, p95, p99 = (statistics.quantiles(waits, n=100)[at - 1] for at in (50, 95, 99))
    verdict = "ok" if p95 <= LIMIT_MS else "ABOVE"
    print(
        f"{name}: {len(waits):,} events, p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {max(waits):.0f}"
        f" ms, p95 {p95:.0f} ms (at most {LIMIT_MS} ms) {verdict}",
        flush=True,
    )
    return p95 <= LIMIT_MS


if __name__ == "__main__":
    with bench.server() as running:
        asyncio.run(main(running))
