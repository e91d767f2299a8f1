"""The specification's complete example, in process: a low float, advice, votes, and a full one."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

import builders
from molam.platform.db import Database
from remedying import Desk, a_desk

TRAIL = ["created", "voted", "voted", "approved", "executing", "executed"]


@pytest.fixture
async def desk(db: Database, ops_db: Database) -> Desk:
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    return await a_desk(db, ops_db)


async def test_the_complete_example_passes_as_written(desk: Desk, db: Database) -> None:
    alert = await desk.alerts.create_alert(
        alert_type="float_low",
        tenant_type="agent",
        tenant_id="agent-123",
        severity="critical",
        metric={"metric": "float_available", "value": 500000, "threshold": 1000000},
    )
    sira_rec = await desk.alerts.call_sira_recommendation(alert)
    action = await desk.engine.create_ops_action(
        idempotency_key=f"alert-{alert['id']}-sira-rec",
        origin="sira",
        action_type="ADJUST_FLOAT",
        params={
            "agent_id": "agent-123",
            "adjustment": "top_up",
            "amount": 1000000,
            "alert_id": alert["id"],
            "sira_confidence": sira_rec["confidence"],
        },
        target_tenant_type="agent",
        target_tenant_id="agent-123",
        auto_execute=False,
        created_by="sira-system",
    )
    await desk.engine.vote_on_action(
        action["id"],
        "finance-user-1",
        ["finance_ops"],
        "approve",
        "Reviewed float levels, approve top-up",
    )
    await desk.engine.vote_on_action(action["id"], "finance-user-2", ["finance_ops"], "approve")
    approved = await desk.engine.get_action_with_votes(action["id"])
    result = await desk.engine.execute_action(action["id"], "ops-admin-1")
    audit = await desk.engine.get_audit_trail(action["id"])
    await desk.alerts.verify_remediations()
    after = await desk.alerts.get_alert(alert["id"])

    assert (sira_rec["action"], sira_rec["confidence"]) == ("ADJUST_FLOAT", 0.95)
    assert sira_rec["params"] == {"adjustment": "top_up", "amount": 1000000}
    assert approved["status"] == "approved"
    assert result["success"] is True
    assert await builders.balance_of(db, "agent:agent-123:float:XOF") == 1_500_000
    assert after["status"] == "auto_remediated"
    assert after["remedied_by_action_id"] == action["id"]
    assert [each["action"] for each in audit] == TRAIL


async def test_a_measured_low_float_leads_to_the_same_by_itself(desk: Desk) -> None:
    await desk.enable()
    alert = await desk.low()

    action = await desk.alerts.trigger_remediation_flow(alert["id"])
    assert action is not None
    linked = await desk.alerts.get_alert(alert["id"])
    await desk.carry_out(action)
    await desk.alerts.verify_remediations()
    after = await desk.alerts.get_alert(alert["id"])
    done = await desk.engine.get_action_with_votes(action["id"])

    assert action["idempotency_key"] == f"alert-{alert['id']}-remediation"
    assert (action["origin"], action["created_by"]) == ("alert", "sira-system")
    assert action["auto_execute"] is False
    assert action["context"]["alert_id"] == alert["id"]
    assert linked["remedied_by_action_id"] == action["id"]
    assert await desk.decisions(alert) == [
        ("suggest", ""),
        ("create_ops_action", ""),
        ("execute", ""),
    ]
    assert (after["status"], done["state"]) == ("auto_remediated", "verified")


async def test_a_remedy_is_counted_once_it_is_carried_out(desk: Desk, ops_db: Database) -> None:
    def counted() -> tuple[float, float]:
        made = REGISTRY.get_sample_value("remediations_executed_total", {"type": "ADJUST_FLOAT"})
        timed = REGISTRY.get_sample_value("remediation_latency_seconds_count")
        return made or 0, timed or 0

    async def has_cooled() -> bool:
        async with ops_db.transaction("tests.compat") as tx:
            asked = "select alerts.check_policy_cooldown('float_low')"
            return bool(await tx.connection.fetchval(asked))

    made, timed = counted()
    assert await has_cooled()
    await desk.enable()
    action = await desk.alerts.trigger_remediation_flow((await desk.low())["id"])
    assert action is not None
    await desk.alerts.verify_remediations()
    assert (counted(), await has_cooled()) == ((made, timed), False)

    await desk.carry_out(action)
    for _ in range(2):
        await desk.alerts.verify_remediations()
    assert counted() == (made + 1, timed + 1)

    await desk.sql("update alerts.remediation_policies set last_executed_at = null")
    assert await has_cooled()
    async with ops_db.transaction("tests.compat") as tx:
        await tx.connection.execute("select alerts.update_policy_last_executed('float_low')")
    assert not await has_cooled()


async def test_without_a_policy_in_force_nothing_is_asked_for(desk: Desk) -> None:
    alert = await desk.low()

    action = await desk.alerts.trigger_remediation_flow(alert["id"])

    assert action is None
    assert await desk.sql("select id from approvals.ops_actions") == []
