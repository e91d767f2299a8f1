"""A worker killed at each point of an execution: the effect happens once, or is visibly unknown."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import paying
import pytest

import builders
from audit_records import assert_audited
from molam.approvals import binding, execution, sweeps
from molam.approvals.engine import Engine
from molam.platform.db import Database

WORKER = Path(__file__).with_name("actions_worker.py")
VOTERS = ("finance-user-1", "finance-user-2")
POLICY = {
    "required_quorum": {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}},
    "required_ratio": "1",
}

pytestmark = pytest.mark.processes


@pytest.fixture
async def engine(db: Database, ops_db: Database) -> Engine:
    await builders.operations(db)
    await paying.make_tills(db)
    for name in paying.TYPES:
        await builders.a_policy(db, name=name, criteria={"action_type": name}, policy=POLICY)
    return Engine.of(ops_db, paying.registry(paying.straight_on), worker="successor")


async def approved(engine: Engine, action_type: str) -> UUID:
    made = await engine.create_ops_action(
        origin="module",
        action_type=action_type,
        params={"till": "till-1"},
        created_by="ops-admin-3",
    )
    for voter in VOTERS:
        await engine.vote_on_action(made["id"], voter, (), "approve")
    return UUID(made["id"])


@contextlib.asynccontextmanager
async def a_worker(
    dsn: str, point: str, *ids: UUID, linger_s: float = 60.0, fence: str = "fenced"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker that has come to *point* with each of the actions."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKER), dsn, point, str(linger_s), fence, *map(str, ids)),
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
    )
    try:
        assert await _heard(process) == "there"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _heard(process: asyncio.subprocess.Process) -> str:
    """Return the next word that is no log line."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while line := (await process.stdout.readline()).decode().strip():
            if " " not in line and not line.startswith("{"):
                return line
    raise AssertionError("the worker ended")


async def row_of(db: Database, id_: UUID) -> asyncpg.Record:
    async with db.transaction("tests.row") as tx:
        return await tx.connection.fetchrow(
            "select * from approvals.ops_actions where id = $1", id_
        )


async def paid(db: Database, row: Any) -> int:
    key = binding.key_of(row["id"], row["intent_hash"])
    async with db.transaction("tests.paid") as tx:
        return await tx.connection.fetchval(
            "select count(*) from public.payments where key = $1", key
        )


async def run_out(db: Database) -> None:
    """Let every lease be over, as after half a minute of silence."""
    async with db.transaction("tests.run_out") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set lease_until = clock_timestamp()"
            " where lease_until is not null"
        )


async def recovered(db: Database, engine: Engine) -> None:
    """Run everything that may repeat an attempt, and more than once."""
    for _ in range(3):
        await run_out(db)
        await sweeps.recover(engine.runtime)
        async with db.transaction("tests.hurry") as tx:
            await tx.connection.execute(
                "update approvals.ops_actions set next_attempt_at = clock_timestamp()"
                " where next_attempt_at is not null"
            )
        await sweeps.auto_execute(engine.runtime)


@pytest.mark.parametrize("point", paying.POINTS)
async def test_a_kill_has_no_second_effect(dsn: str, db: Database, engine: Engine, point: str):
    ids = {name: await approved(engine, name) for name in paying.TYPES}
    async with a_worker(dsn, point, *ids.values()) as worker:
        worker.send_signal(signal.SIGKILL)
        await worker.wait()

    await recovered(db, engine)

    came_to = {}
    for name, id_ in ids.items():
        row = await row_of(db, id_)
        came_to[name] = (row["state"], await paid(db, row))
        assert row["votes_approve"] == 2
        assert row["decided_at"] is not None
    begun = point not in {"claimed", "before effect"}
    blind = ("executed", 1) if point == "finished" else ("execution_unknown", int(begun))
    assert came_to == {
        "PAY_HERE": ("executed", 1),
        "PAY_NATIVE": ("executed", 1),
        "PAY_PROBED": ("executed", 1),
        "PAY_BLIND": blind,
    }
    assert await assert_audited(db) == len(ids)


async def test_what_is_repeated_blindly_happens_twice(
    dsn: str, db: Database, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    """The control: the same kill, and a recovery that takes every type for repeatable."""
    id_ = await approved(engine, "PAY_BLIND")
    async with a_worker(dsn, "after effect", id_) as worker:
        worker.kill()
        await worker.wait()

    monkeypatch.setattr(sweeps, "_find_out", execution.run)
    await run_out(db)
    await sweeps.recover(engine.runtime)

    assert await paid(db, await row_of(db, id_)) == 2


async def _paused_past_its_lease(
    dsn: str, db: Database, engine: Engine, *, fence: str
) -> tuple[str, asyncpg.Record]:
    """Stop a worker after its effect, let another take over, and let the first go on."""
    id_ = await approved(engine, "PAY_NATIVE")
    async with a_worker(dsn, "in effect", id_, linger_s=1.0, fence=fence) as worker:
        worker.send_signal(signal.SIGSTOP)
        await run_out(db)
        # It is taken over, and its successor has not yet found anything out.
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sweeps, "_find_out", _nothing_yet)
            assert await sweeps.recover(engine.runtime) == 1
        worker.send_signal(signal.SIGCONT)
        said = await _heard(worker)
    return said, await row_of(db, id_)


async def _nothing_yet(*_given: object) -> None:
    await asyncio.sleep(0)


async def test_a_worker_paused_past_its_lease_cannot_write_the_result(
    dsn: str, db: Database, engine: Engine
):
    said, row = await _paused_past_its_lease(dsn, db, engine, fence="fenced")

    assert said == "lease-lost"
    assert (row["state"], row["fence"], row["lease_owner"]) == ("executing", 2, "successor")

    await recovered(db, engine)

    row = await row_of(db, row["id"])
    assert (row["state"], await paid(db, row)) == ("executed", 1)


async def test_without_the_fence_it_writes_over_its_successor(
    dsn: str, db: Database, engine: Engine
):
    said, row = await _paused_past_its_lease(dsn, db, engine, fence="unfenced")

    assert said == "executed"
    assert (row["state"], row["fence"], row["lease_owner"]) == ("executed", 2, None)
