"""Applying what SIRA recommends on the dashboard asks for its action, and decides nothing of it."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

import builders
from molam.alerts.remediation import recommendation_actions
from molam.kernel.refusals import Refusal
from molam.platform.db import Database
from molam.platform.jobs import Job
from remedying import Desk, a_desk


@pytest.fixture
async def desk(db: Database, ops_db: Database) -> Desk:
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    return await a_desk(db, ops_db)


async def recommended(desk: Desk, state: str = "pending") -> UUID:
    id_ = uuid4()
    action = {
        "action_type": "ADJUST_FLOAT",
        "target": {"type": "agent", "id": "agent-123"},
        "params": {"agent_id": "agent-123", "adjustment": "top_up", "amount": 1_000_000},
    }
    await desk.sql(
        "insert into ops.sira_dash_recommendations (id, tenant_type, tenant_id,"
        " recommendation_type, title, description, suggested_action, confidence_score, subject,"
        " state) values ($1, 'agent', 'agent-123', 'ADJUST_FLOAT', 'Fill it', 'It is low', $2,"
        " 0.95, 'float/agent-123', $3)",
        *(id_, action, state),
    )
    return id_


async def ask(desk: Desk, id_: UUID) -> str:
    action = await desk.engine.create_ops_action(
        origin="ops_ui",
        action_type="APPLY_SIRA_RECOMMENDATION",
        params={"recommendation_id": str(id_)},
        created_by="pay-admin-1",
    )
    return str(action["id"])


async def asked_for(desk: Desk) -> None:
    """Do what waits of the job that asks for a recommended action."""
    (handler,) = recommendation_actions.handlers(desk.watch)
    found = await desk.sql(
        "select id, payload from jobs.pgqueuer where entrypoint = $1", recommendation_actions.ASK
    )
    for id_, payload in found:
        await handler.run(Job(id_, handler.name, payload, 1, desk.db))


async def test_the_recommended_action_waits_for_its_own_votes(desk: Desk) -> None:
    id_ = await recommended(desk)
    applying = await ask(desk, id_)
    for voter in ("ops-admin-1", "ops-admin-2"):
        await desk.engine.vote_on_action(applying, voter, [], "approve")
    done = await desk.engine.execute_action(applying, "ops-admin-3")
    await asked_for(desk)

    ((status, action_id),) = await desk.sql(
        "select status, ops_action_id from ops.sira_dash_recommendations where id = $1", id_
    )
    action = await desk.engine.get_action_with_votes(str(action_id))
    assert done["result"]["applied"] is True
    assert status == "pending_approval"
    assert (action["action_type"], action["state"]) == ("ADJUST_FLOAT", "pending")
    assert action["idempotency_key"] == f"sira-rec-{id_}-apply"
    assert action["required_quorum"]["value"]["role"] == "finance_ops"
    assert await builders.balance_of(desk.db, "agent:agent-123:float:XOF") == 500_000


@pytest.mark.parametrize("state", ["expired", "superseded"])
async def test_one_that_is_over_is_refused(desk: Desk, state: str) -> None:
    id_ = await recommended(desk, state)

    with pytest.raises(Refusal) as refused:
        await ask(desk, id_)

    assert refused.value.facts["cause"] == "recommendation-ended"
