"""What an action's new state asks for at once: carrying it out, or telling its domain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from approving import VOTERS, Ops
from builders import a_policy
from fake_actions import registry_of
from molam.approvals import commands, jobs, sweeps
from molam.approvals.engine import Engine
from molam.approvals.locked import AUTO_EXECUTE, TELL_END
from molam.approvals.model import Actor
from molam.platform.actions import Registry
from molam.platform.db import Database
from molam.platform.jobs import Job


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def telling(ops: Ops, told: list[str]) -> Ops:
    """The engine, with a COUNT that wants to hear how its actions end."""

    async def ended(_tx: Any, params: Any, state: str) -> None:
        told.append(f"{params.counter} {state}")

    types = [
        replace(each, ended=ended) if each.name == "COUNT" else each
        for each in registry_of(ops.psp)
    ]
    engine = Engine.of(ops.runtime.db, Registry(types))
    return Ops(engine, ops.db, ops.psp)


async def run_waiting(ops: Ops, worker_db: Database, name: str) -> int:
    """Run the waiting jobs of *name* once each, as a worker would."""
    handler = next(h for h in jobs.handlers(ops.runtime.registry) if h.name == name)
    rows = await ops.sql(
        "delete from jobs.pgqueuer where entrypoint = $1 returning id, payload", name
    )
    for id_, payload in rows:
        await handler.run(Job(id_, name, bytes(payload), 1, worker_db))
    return len(rows)


async def test_a_rejected_action_tells_its_domain_once(telling, told, worker_db):
    id_ = await telling.ask()
    await telling.vote(id_, VOTERS[0], "reject")

    assert await run_waiting(telling, worker_db, TELL_END) == 1
    assert told == ["north rejected"]


async def test_a_cancelled_and_an_expired_action_tell_their_domain(telling, told, worker_db):
    cancelled = await telling.ask()
    await commands.cancel(telling.runtime.db, cancelled, Actor("pay-admin-1"), reason=None)
    expired = await telling.ask()
    await telling.later(expired, days=2)
    await sweeps.escalate_expired(telling.runtime)

    await run_waiting(telling, worker_db, TELL_END)

    assert sorted(told) == ["north cancelled", "north expired"]


async def test_an_executed_action_has_nothing_to_tell(telling, told, worker_db):
    id_ = await telling.approved()
    await telling.execute(id_)

    assert await run_waiting(telling, worker_db, TELL_END) == 0
    assert told == []


async def test_a_type_that_does_not_want_to_hear_asks_for_no_job(ops, worker_db):
    id_ = await ops.ask()
    await ops.vote(id_, VOTERS[0], "reject")

    assert await run_waiting(ops, worker_db, TELL_END) == 0


async def test_an_action_that_runs_by_itself_runs_right_after_its_approval(ops, worker_db):
    await a_policy(
        ops.db,
        criteria={"action_type": "COUNT"},
        policy={
            "required_quorum": {"type": "role", "value": {"role": "finance_ops", "min_votes": 1}},
            "auto_execute": True,
        },
    )
    id_ = await ops.ask(auto_execute=True)
    await ops.vote(id_, "finance-user-1")
    assert await ops.state(id_) == "approved"

    await run_waiting(ops, worker_db, AUTO_EXECUTE)

    assert await ops.state(id_) == "executed"
    assert await ops.value() == 1


async def test_an_action_that_waits_for_a_person_is_not_carried_out_by_itself(ops, worker_db):
    await ops.approved()

    assert await run_waiting(ops, worker_db, AUTO_EXECUTE) == 0
