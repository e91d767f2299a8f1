"""A new action type from nothing to its audit trail, as docs/guide/approvals.md shows it."""

from __future__ import annotations

import msgspec

import builders
from molam.approvals.engine import Engine
from molam.platform.actions import ActionType, Change, Execution, Outcome, Plan, Registry, Target
from molam.platform.db import Database, Tx
from molam.platform.db.transaction import Nothing, Query
from molam.tenancy import queries, standing
from molam.tenancy.freeze_actions import expect


class CloseAgent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agent_id: str


async def _plan(tx: Tx, params: CloseAgent) -> Plan:
    agent = await queries.get_agent(tx, params.agent_id)
    change = Change("agent_status", agent.status, "closed")
    return Plan(agent.name, (change,), reversible=False, expect={"status": agent.status})


_CLOSE = Query(
    "/* tenancy.close_agent */ update tenancy.agents set status = 'closed' where id = :id",
    row=Nothing,
)


async def _apply(tx: Tx, execution: Execution[CloseAgent]) -> Outcome:
    agent = await standing.lock_agent(tx, execution.params.agent_id)
    expect(execution.expect, status=agent.status)
    await tx.run(_CLOSE, id=agent.id)
    return Outcome({"closed": True, "agent_id": agent.id})


CLOSE_AGENT = ActionType(
    name="CLOSE_AGENT",
    params=CloseAgent,
    risk="high",
    title=lambda params, locale: f"{'Fermer' if locale == 'fr' else 'Close'} {params.agent_id}",
    target=lambda params: Target("agent", params.agent_id),
    plan=_plan,
    apply=_apply,
)

POLICY = {
    "required_quorum": {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}},
    "required_ratio": "3/4",
    "timeout_seconds": 7200,
    "escalation_role": "cfo",
}


async def test_an_agent_is_closed_after_two_finance_votes(db: Database, ops_db: Database) -> None:
    await builders.operations(db)
    params = {"agent_id": await builders.an_agent(db)}
    engine = Engine.of(ops_db, Registry([CLOSE_AGENT]))
    await engine.create_approval_policy(
        name="Closing agents",
        criteria={"action_type": "CLOSE_AGENT"},
        policy=POLICY,
        created_by="ops-admin-1",
    )

    action = await engine.create_ops_action(
        origin="ops_ui", action_type="CLOSE_AGENT", params=params, created_by="ops-admin-1"
    )
    for voter in ("finance-user-1", "finance-user-2"):
        await engine.vote_on_action(action["id"], voter, ["finance_ops"], "approve")
    done = await engine.execute_action(action["id"], "ops-admin-2")

    assert done["result"]["closed"] is True
    trail = [each["action"] for each in await engine.get_audit_trail(action["id"])]
    assert trail == ["created", "voted", "voted", "approved", "executing", "executed"]
