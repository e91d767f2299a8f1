"""``molam drill float-low``: the float is drained, and every step to the full one is told."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

import builders
from molam.alerts.remediation import commands, policies
from molam.alerts.remediation.policies import PolicyChange
from molam.approvals.model import Actor
from molam.entrypoints.drill_float import drained, held_back
from molam.platform.db import Database
from molam.simulator import float_drill
from remedying import Desk, a_desk

FLOAT = "agent:agent-123:float:XOF"


@pytest.fixture
async def desk(db: Database, ops_db: Database) -> Desk:
    await builders.an_agent(db, id_="agent-123", balance=2_000_000)
    return await a_desk(db, ops_db)


async def test_a_drill_is_watched_from_the_drained_float_to_the_verified_one(
    desk: Desk, worker_db: Database
) -> None:
    began = datetime.now(UTC)
    await float_drill.seed_remedies(desk.db)
    before = await float_drill.drain(worker_db, began)
    nothing = await float_drill.look(worker_db, since=began)
    alert = await desk.low()
    await commands.remediate(worker_db, desk.watch, UUID(alert["id"]))
    asked = await float_drill.look(worker_db, since=began)
    assert asked is not None
    await desk.carry_out({"id": str(asked.action_id)})
    await desk.alerts.verify_remediations()
    done = await float_drill.look(worker_db, since=asked.opened_at)

    assert done is not None
    assert (before, nothing) == (2_000_000, None)
    assert (str(asked.alert_id), asked.action_state, asked.votes) == (alert["id"], "pending", 0)
    assert asked.suggested_at is not None
    assert (done.status, done.settled, done.balance) == ("auto_remediated", "verified", 1_500_000)
    assert (done.action_state, done.votes) == ("verified", 2)


async def test_a_float_that_is_low_already_is_looked_at_again(desk: Desk) -> None:
    now = datetime.now(UTC)
    await float_drill.drain(desk.db, now)
    await desk.low()
    await desk.sql("delete from jobs.pgqueuer")

    again = await float_drill.drain(desk.db, now)

    waiting = await desk.sql(
        "select count(*) from jobs.pgqueuer where entrypoint = $1", "alerts.remediate"
    )
    assert again == float_drill.LOW_MINOR
    assert drained(again).endswith("is at 500,000\u00a0F\u202fCFA already, and is not moved")
    assert "goes from 500,001\u00a0F\u202fCFA to 500,000\u00a0" in drained(again + 1)
    assert waiting[0][0] == 1
    assert await builders.balance_of(desk.db, FLOAT) == float_drill.LOW_MINOR


async def test_what_operations_decided_of_the_policy_stays(desk: Desk) -> None:
    tighter = PolicyChange(cooldown_seconds=7200)
    await policies.change(desk.db, desk.watch, "float_low", tighter, actor=Actor("ops-admin-1"))

    await float_drill.seed_remedies(desk.db)

    found = (await policies.listed(desk.db))[3]
    assert (found.alert_type, found.enabled, found.cooldown_seconds) == ("float_low", False, 7200)


def test_why_nothing_more_happens_is_said_in_words() -> None:
    assert held_back("twin_open") == "the same action is under way already"
    assert held_back("action_rejected") == "the action was not carried out: it is rejected"
    assert held_back("SIRA does not answer.") == "SIRA does not answer."
