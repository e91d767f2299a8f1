"""Workers killed while they deliver: nothing is lost, and what comes twice has the same id."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builders import NOW, a_merchant
from molam.platform.db import Database
from receivers import Heard, Receiver, a_publication, an_endpoint, receiving, settled, states

WORKER = Path(__file__).with_name("webhooks_worker.py")
KEY = "a-key-of-tests-0123456789"
COUNT = 120
KILLS = 4
SEED = 20261116

pytestmark = pytest.mark.processes


@contextlib.asynccontextmanager
async def a_worker(dsn: str, safety: str) -> AsyncIterator[None]:
    """A worker for the body, which is then killed whatever it is doing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKER), dsn, KEY, safety), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), 20)
        yield
    finally:
        process.kill()
        await process.wait()


async def killed_again_and_again(
    db: Database, dsn: str, receiver: Receiver, *, safety: str, patience_s: float
) -> None:
    """Deliver while workers die at random moments, each with requests under way."""
    chance = random.Random(SEED)

    async def slowly(_: Heard) -> None:
        await asyncio.sleep(chance.random() * 0.1)

    receiver.answering = slowly
    await an_endpoint(db, receiver.url, now=NOW)
    for number in range(COUNT):
        await a_publication(db, f"re_{number}")
    for _ in range(KILLS):
        async with a_worker(dsn, safety):
            before = len(receiver.heard)
            wanted = min(before + 5 + chance.randrange(15), COUNT)
            await receiver.until(wanted, seconds=patience_s)
    async with a_worker(dsn, safety):
        await settled(db, seconds=patience_s)


async def test_a_kill_loses_nothing_and_repeats_only_under_the_same_id(dsn: str, db: Database):
    await a_merchant(db)
    receiver = Receiver()
    async with receiving(receiver):
        await killed_again_and_again(db, dsn, receiver, safety="whole", patience_s=60)

    objects = {each.headers["webhook-id"]: each.document["object_id"] for each in receiver.heard}
    bodies = Counter((each.headers["webhook-id"], each.body) for each in receiver.heard)
    assert len(objects) == len(set(objects.values())) == COUNT
    assert len(bodies) == COUNT, "the same id comes with the same bytes"
    assert {state for state, _ in (await states(db)).values()} == {"delivered"}
    assert len(receiver.heard) > COUNT, f"seed {SEED} killed nothing that was under way"


async def test_the_twin_that_takes_nothing_back_leaves_some_behind(dsn: str, db: Database):
    await a_merchant(db)
    receiver = Receiver()
    async with receiving(receiver):
        with pytest.raises(TimeoutError):
            await killed_again_and_again(db, dsn, receiver, safety="forgetful", patience_s=10)

    left = Counter(state for state, _ in (await states(db)).values())
    assert left["delivering"] > 0
