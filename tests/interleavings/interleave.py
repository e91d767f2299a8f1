"""
Runs production commands on real PostgreSQL, one statement at a time, in an order drawn by seed.

Each statement, and each commit, is a step. Between two steps the scheduler asks
PostgreSQL which sessions wait for a lock, so that a schedule depends on its seed
alone: the same seed takes the same steps again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from molam.platform.db import Database, Query, Tx

Work = Callable[[], Awaitable[object]]

STEPS_MAX = 2_000
LOOK_AFTER_S = 0.002
STUCK_S = 20.0

_me: ContextVar[Session] = ContextVar("session")

_WAITING = """
select pid from unnest($1::int[]) as pid where cardinality(pg_blocking_pids(pid)) > 0
"""


@dataclass(eq=False, slots=True)
class Session:
    """One of the parties of a schedule: before each step it stops until it is chosen."""

    work: Work
    pid: int = 0
    chosen: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    has_ended: bool = False

    async def run(self) -> None:
        _me.set(self)
        try:
            await self.work()
        finally:
            self.has_ended = True
            self.stopped.set()


async def step() -> None:
    """Stop here until the scheduler goes on with this session."""
    me = _me.get()
    me.stopped.set()
    await me.chosen.wait()
    me.chosen.clear()


class StepTx(Tx):
    async def all(self, query: Query[Any], **params: object) -> list[Any]:
        await step()
        return await super().all(query, **params)

    async def run(self, query: Query[Any], **params: object) -> int:
        await step()
        return await super().run(query, **params)


class StepDatabase(Database):
    """A `Database` for the sessions of a schedule."""

    @contextlib.asynccontextmanager
    async def transaction(self, name: str, **options: Any) -> AsyncIterator[Tx]:
        async with super().transaction(name, **options) as tx:
            yield StepTx(tx.connection, name)
            await step()  # The commit is a step of its own.

    async def read(self, query: Query[Any], **params: object) -> list[Any]:
        await step()
        return await super().read(query, **params)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        async with super()._connection() as connection:
            me = _me.get()
            me.pid = connection.get_server_pid()
            try:
                yield connection
            finally:
                me.pid = 0


async def interleave(
    seed: int,
    observer: asyncpg.Connection[Any],
    works: Sequence[Work],
    *,
    between: Work | None = None,
) -> None:
    """
    Run *works* at once in the order that *seed* says.

    *between* is called after every step, to look at what is committed.

    Raises:
        AssertionError: a work failed, or *between* did, or every session waits.
    """
    rng = random.Random(seed)
    sessions = [Session(work) for work in works]
    tasks = [asyncio.create_task(session.run()) for session in sessions]
    steps = 0
    try:
        ready = await _settle(sessions, observer)
        while not all(session.has_ended for session in sessions):
            assert ready, f"seed {seed}: deadlock"
            chosen = rng.choice(ready)
            chosen.stopped.clear()
            chosen.chosen.set()
            ready = await _settle(sessions, observer)
            if between is not None:
                await between()
            steps += 1
            assert steps < STEPS_MAX, f"seed {seed}: no end after {steps} steps"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if (failure := task.exception()) is not None:
            raise AssertionError(f"seed {seed}: {failure!r}") from failure


async def _settle(sessions: Sequence[Session], observer: asyncpg.Connection[Any]) -> list[Session]:
    """Wait until nothing moves; return the sessions that can, those that wait for no lock."""
    async with asyncio.timeout(STUCK_S):
        while moving := [session for session in sessions if not session.stopped.is_set()]:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AFTER_S):
                    await asyncio.gather(*(session.stopped.wait() for session in moving))
                continue
            rows = await observer.fetch(_WAITING, [session.pid for session in moving])
            held = {row["pid"] for row in rows}
            waits = all(session.stopped.is_set() or session.pid in held for session in moving)
            # Where nobody could go on, PostgreSQL ends a deadlock itself before long; or else
            # it was somebody outside, such as a vacuum, that they all waited for.
            if waits and any(s.stopped.is_set() and not s.has_ended for s in sessions):
                break
    return [s for s in sessions if s.stopped.is_set() and not s.has_ended]
