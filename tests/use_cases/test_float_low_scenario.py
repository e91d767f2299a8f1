"""The specification's complete scenario: from SIRA's advice to an agent's topped-up float."""

from __future__ import annotations

import pytest

import builders
from molam.approvals.engine import Engine
from molam.entrypoints.registry import registry
from molam.platform.db import Database


@pytest.fixture
async def engine(db: Database, ops_db: Database) -> Engine:
    await builders.operations(db)
    await builders.a_policy(db)
    return Engine.of(ops_db, registry())


async def test_a_low_float_is_topped_up_after_two_finance_votes(
    engine: Engine, db: Database
) -> None:
    await builders.an_agent(db, id_="agent-123", balance=500_000)

    action = await engine.create_ops_action(
        idempotency_key="alert-1-sira-rec",
        origin="sira",
        action_type="ADJUST_FLOAT",
        params={
            "agent_id": "agent-123",
            "adjustment": "top_up",
            "amount": 1_000_000,
            "alert_id": "alert-1",
            "sira_confidence": 0.95,
        },
        target_tenant_type="agent",
        target_tenant_id="agent-123",
        auto_execute=False,
        created_by="sira-system",
    )
    first = await engine.vote_on_action(
        action["id"],
        "finance-user-1",
        ["finance_ops"],
        "approve",
        "Reviewed float levels, approve top-up",
    )
    second = await engine.vote_on_action(action["id"], "finance-user-2", ["finance_ops"], "approve")
    done = await engine.execute_action(action["id"], "ops-admin-1")
    audit = await engine.get_audit_trail(action["id"])

    assert action["status"] == "requested"
    assert action["context"] == {"alert_id": "alert-1", "sira_confidence": "0.95"}
    assert first["action"]["status"] == "pending_approval"
    assert second["action"]["status"] == "approved"
    assert done["success"] is True
    assert done["result"]["adjusted"] is True
    assert await builders.balance_of(db, "agent:agent-123:float:XOF") == 1_500_000
    assert [each["action"] for each in audit] == [
        "created",
        "voted",
        "voted",
        "approved",
        "executing",
        "executed",
    ]
