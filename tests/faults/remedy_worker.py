"""Remedies alerts, stops where it is told to, and says so, in order to be killed there."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar
from uuid import UUID

from molam.alerts.remediation import commands, following, group_actions, noting
from molam.alerts.runtime import Watch
from molam.approvals.engine import Engine
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.settings import Secret

POINT: ContextVar[str] = ContextVar("POINT")
VOTERS = ("finance-user-1", "finance-user-2", "compliance-1")
there = asyncio.Event()


async def pause(point: str) -> None:
    if POINT.get() == point:
        there.set()
        await asyncio.sleep(60)


def stop_inside() -> None:
    """Stop before anything is asked for, before that commits, and before the verdict does."""
    act, created, well = commands._act, noting.created, following._settle_well
    one = group_actions._one

    async def slow_act(*given):
        await pause("before asking")
        return await act(*given)

    async def slow_created(*given, **how):
        await created(*given, **how)
        await pause("while asking")

    async def slow_well(*given):
        await well(*given)
        await pause("while verifying")

    async def slow_one(tx, execution, member):
        if member.target_id == max(each.target_id for each in execution.params.members):
            await pause("in the group")
        await one(tx, execution, member)

    commands._act, noting.created = slow_act, slow_created
    following._settle_well, group_actions._one = slow_well, slow_one


async def remedy(db: Database, engine: Engine, watch: Watch, *, alert_id: str) -> None:
    action = await commands.remediate(db, watch, UUID(alert_id))
    assert action is not None
    await pause("asked")
    await carry_out(engine, str(action.id))
    await pause("executed")
    await following.follow_action(db, watch, action.id)


async def carry_out(engine: Engine, action_id: str) -> None:
    for voter in VOTERS:
        action = await engine.get_action_with_votes(action_id)
        if action["state"] == "pending":
            await engine.vote_on_action(action_id, voter, [], "approve")
    await engine.execute_action(action_id, "ops-admin-1")


async def main(dsn: str, key: str, *told: str) -> None:
    """*told*: alerts, or the action of a group, each followed by where to stop."""
    stop_inside()
    db = await open_database(dsn, ProcessRole.OPS, application="remedy_worker")
    engine = Engine.of(db, registry(), worker="to-be-killed")
    watch = Watch(engine.runtime, SystemClock(), Secret(key))
    running = []
    for id_, point in zip(told[::2], told[1::2], strict=True):
        POINT.set(point)
        there.clear()
        doing = (
            carry_out(engine, id_)
            if point == "in the group"
            else remedy(db, engine, watch, alert_id=id_)
        )
        running.append(asyncio.create_task(doing))
        arrived = asyncio.create_task(there.wait())
        await asyncio.wait([arrived, running[-1]], return_when=asyncio.FIRST_COMPLETED)
        assert there.is_set(), point
    sys.stdout.write("there\n")
    sys.stdout.flush()
    await asyncio.gather(*running)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
