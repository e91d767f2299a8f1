"""A process killed anywhere between an alert and its verdict: one action, and it is verified."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import builders
from molam.alerts.remediation import commands, following, grouping
from molam.approvals import sweeps
from molam.platform.db import Database
from remedying import KEY, Desk, a_desk

WORKER = Path(__file__).with_name("remedy_worker.py")
# The last two hold locks that others would wait for.
POINTS = ("before asking", "asked", "executed", "while verifying", "while asking")

pytestmark = pytest.mark.processes


@pytest.fixture
async def desk(db: Database, ops_db: Database) -> Desk:
    return await a_desk(db, ops_db)


async def low_agents(desk: Desk, count: int) -> list[dict[str, Any]]:
    for number in range(count):
        await builders.an_agent(desk.db, id_=f"agent-{number}", balance=100_000)
    return [await desk.low(f"agent-{number}", 100_000) for number in range(count)]


async def killed(dsn: str, *told: str) -> None:
    """Let a process come to each of the points, and kill it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKER), dsn, KEY.reveal(), *told), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while (line := await process.stdout.readline()) != b"there\n":
            assert line, "the worker ended"
    process.kill()
    await process.wait()


async def filled(desk: Desk) -> list[int]:
    rows = await desk.sql(
        "select count(*) from ledger.transfers where cause = 'float.adjusted' group by agent_id"
    )
    return [int(count) for (count,) in rows]


async def actions(desk: Desk, state: str) -> list[str]:
    rows = await desk.sql("select id from approvals.ops_actions where state = $1", state)
    return [str(id_) for (id_,) in rows]


async def test_a_kill_leaves_one_action_for_each_alert_and_a_verdict(dsn: str, desk: Desk) -> None:
    await desk.enable()
    alerts = await low_agents(desk, len(POINTS))
    points = zip(alerts, POINTS, strict=True)
    await killed(dsn, *(word for alert, point in points for word in (alert["id"], point)))

    for alert in alerts:
        await commands.remediate(desk.db, desk.watch, UUID(alert["id"]))
    for id_ in await actions(desk, "pending"):
        await desk.carry_out({"id": id_})
    await following.follow(desk.db, desk.watch)

    states = [(await desk.alerts.get_alert(alert["id"]))["status"] for alert in alerts]
    assert states == ["auto_remediated"] * len(POINTS)
    assert len(await actions(desk, "verified")) == len(POINTS)
    assert await filled(desk) == [1] * len(POINTS)


async def test_a_group_killed_between_two_targets_acts_on_each_once(dsn: str, desk: Desk) -> None:
    await desk.enable(targets_per_hour=1)
    alerts = await low_agents(desk, 4)
    for alert in alerts:
        await commands.remediate(desk.db, desk.watch, UUID(alert["id"]))
    kind = {"alert_type": "float_low", "action_type": "ADJUST_FLOAT"}
    group = await grouping.ask(desk.db, desk.watch, **kind)
    assert group is not None
    await killed(dsn, str(group.id), "in the group")
    begun = await filled(desk)

    await desk.sql("update approvals.ops_actions set lease_until = now() where state = 'executing'")
    await sweeps.recover(desk.engine.runtime)
    await desk.sql(
        "update approvals.ops_actions set next_attempt_at = now() where state = 'failed'"
    )
    await sweeps.auto_execute(desk.engine.runtime)
    await following.follow_action(desk.db, desk.watch, group.id)

    assert begun == [1, 1]
    assert await filled(desk) == [1, 1, 1]
    assert await actions(desk, "verified") == [str(group.id)]
