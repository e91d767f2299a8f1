"""A worker killed after a notice has left: it is sent again, under the same id, and only then."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from molam.notices import commands
from molam.notices.model import Kind, Notice
from molam.platform.db import Database
from sinks import HttpSink, serving

WORKER = Path(__file__).with_name("notices_worker.py")

pytestmark = pytest.mark.processes


async def a_worker(dsn: str, url: str, linger_s: float) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKER), dsn, url, str(linger_s)), stdout=asyncio.subprocess.PIPE
    )


async def state(db: Database) -> str:
    async with db.transaction("tests.state") as tx:
        return await tx.connection.fetchval("select state from notices.deliveries")


async def test_a_kill_between_sending_and_the_mark_sends_once_more_under_the_same_id(
    dsn: str, db: Database, worker_db: Database
):
    await commands.offer_channels(worker_db, ("webhook",))
    async with db.transaction("tests.tell") as tx:
        notice = Notice(
            kind=Kind.ACTION_WAITING, key="k", people=[], subject="s", link="/ops/actions/s"
        )
        await commands.tell(tx, notice)

    sink = HttpSink()
    async with serving(sink):
        first = await a_worker(dsn, sink.url, linger_s=60)
        assert first.stdout is not None
        await asyncio.wait_for(first.stdout.readline(), 20)
        assert await state(db) == "waiting"
        first.kill()
        await first.wait()

        second = await a_worker(dsn, sink.url, linger_s=0)
        async with asyncio.timeout(20):
            while await state(db) != "sent":
                await asyncio.sleep(0.05)
        # Whatever would send a third time would have been given the job by now.
        await asyncio.sleep(2)
        second.kill()
        await second.wait()

    keys = [post.headers["idempotency-key"] for post in sink.posts]
    assert (len(keys), len(set(keys))) == (2, 1)
