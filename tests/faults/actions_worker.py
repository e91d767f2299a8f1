"""Carries actions out, stops where it is told to, and says so, in order to be killed there."""

from __future__ import annotations

import asyncio
import sys
from uuid import UUID

import paying

from molam.approvals import execution
from molam.approvals.engine import Engine
from molam.approvals.model import Actor, Executed
from molam.kernel.refusals import Refusal
from molam.platform.db import ProcessRole, open_database

LINGER_S = 60.0


class Stop:
    """Everybody waits at *point*; when all are there, the test hears of it."""

    def __init__(self, point: str, count: int, linger_s: float) -> None:
        self.point, self.missing, self.linger_s = point, count, linger_s

    async def pause(self, point: str) -> None:
        if point != self.point:
            return
        self.missing -= 1
        if not self.missing:
            say("there")
        await asyncio.sleep(self.linger_s)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def stop_around_the_end(stop: Stop) -> None:
    """Stop inside the transaction that writes the result: before it is written, and before it commits."""
    write = execution._write

    async def slow_write(*given) -> Executed:
        await stop.pause("after effect")
        done = await write(*given)
        await stop.pause("in finish")
        return done

    execution._write = slow_write


def forget_the_fence() -> None:
    async def always_ours(tx, claim):
        return await execution.lock(tx, claim.action_id)

    execution._still_ours = always_ours


async def main(dsn: str, point: str, linger_s: str, fence: str, *ids: str) -> None:
    stop = Stop(point, len(ids), float(linger_s))
    stop_around_the_end(stop)
    if fence == "unfenced":
        forget_the_fence()
    db = await open_database(dsn, ProcessRole.OPS, application="actions_worker")
    runtime = Engine.of(db, paying.registry(stop.pause), worker="to-be-killed").runtime
    executor = Actor("ops-admin-1")

    async def carry_out(id_: str) -> None:
        claim = await execution.claims.claim(runtime, UUID(id_), executor)
        await stop.pause("claimed")
        try:
            done = await execution.run(runtime, claim)
        except Refusal as refusal:
            say(refusal.code)
            return
        await stop.pause("finished")
        say(done.error_code or done.state)

    await asyncio.gather(*map(carry_out, ids))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
