"""A worker killed after its job's effect: the job is repeated, the effect is not."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import harness
import pytest

from molam.platform.jobs import enqueue

WORKER = Path(__file__).with_name("jobs_worker.py")

pytestmark = pytest.mark.processes


async def a_worker(dsn: str, mode: str, linger_s: float) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKER), dsn, mode, str(linger_s)), stdout=asyncio.subprocess.PIPE
    )


async def effects_after_a_kill(dsn, worker_db, mode: str) -> int:
    """Kill the first worker between effect and end; let a second finish the job."""
    async with worker_db.transaction("tests.enqueue") as tx:
        await enqueue(tx, "tests.pay")
    first = await a_worker(dsn, mode, linger_s=60)
    await asyncio.wait_for(first.stdout.readline(), 20)
    first.kill()
    await first.wait()

    second = await a_worker(dsn, mode, linger_s=0)
    await asyncio.wait_for(second.stdout.readline(), 20)
    second.kill()
    await second.wait()
    return sum((await harness.effects(worker_db)).values())


async def test_effect_happens_once_although_the_job_ran_twice(dsn, db, worker_db):
    await harness.make_effects(db)

    assert await effects_after_a_kill(dsn, worker_db, "guarded") == 1


async def test_effect_happens_twice_without_the_guard(dsn, db, worker_db):
    """The control: the same kill, without claiming the job's id."""
    await harness.make_effects(db)

    assert await effects_after_a_kill(dsn, worker_db, "unguarded") == 2
