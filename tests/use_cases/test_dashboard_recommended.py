"""Recommendations from the product's data: made once, asked for, decided by people, followed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

import builders
import facts
import rerouting
from molam.alerts.runtime import Watch
from molam.approvals import commands as approvals
from molam.approvals.engine import Engine
from molam.approvals.model import Actor
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.ops.dashboard import aggregates, recommendation_store, recommendations
from molam.ops.dashboard.recommendation_store import RecommendationRow
from molam.ops.dashboard.recommendations import RecommendationAbsent, RecommendationEnded
from molam.platform.db import Database, Query
from molam.platform.db.transaction import Nothing
from molam.platform.settings import Secret

SIRA = Actor(recommendations.SIRA, kind="service")
FINANCE = Actor("finance-user-1", roles=frozenset({"finance_ops"}))


async def drain(db: Database, agent_id: str, *, daily: int, balance: int) -> None:
    """Let customers have taken *daily* out of a float on each of the last 28 days."""
    await builders.an_agent(db, id_=agent_id)
    async with db.transaction("tests.drain") as tx:
        await tx.connection.execute(
            "insert into ledger.accounts (id, kind, currency) values"
            " ('customers:wallet:XOF', 'outside', 'XOF') on conflict do nothing"
        )
        await tx.connection.execute(
            "insert into ledger.accounts (id, kind, currency, balance, floor)"
            " values ($1, 'agent_float', 'XOF', $2, 0)",
            *(f"agent:{agent_id}:float:XOF", balance),
        )
        for ago in range(1, 29):
            at = datetime.now(UTC) - timedelta(days=ago, hours=-1)
            await tx.connection.execute(
                "insert into ledger.transfers (id, source, target, amount, currency, agent_id, cause,"
                " cause_id, occurred_at, posted_at) values ($1, $2, 'customers:wallet:XOF', $3, 'XOF',"
                " $4, 'cash_out', 'tests', $5, $5)",
                *(uuid4(), f"agent:{agent_id}:float:XOF", daily, agent_id, at),
            )


@pytest.fixture
async def watch(db: Database, ops_db: Database) -> Watch:
    await builders.operations(db)
    await builders.a_policy(db)
    await drain(db, "agent-123", daily=600_000, balance=1_400_000)
    runtime = Engine.of(ops_db, registry()).runtime
    return Watch(approvals=runtime, clock=SystemClock(), signing_key=Secret("tests"))


async def listed(watch: Watch, status: str = "pending") -> list[RecommendationRow]:
    async with watch.approvals.db.transaction("tests.list", readonly=True) as tx:
        return await recommendations.listing(tx, status=status)


async def made(watch: Watch) -> RecommendationRow:
    """The one recommendation that there is, before anything is asked for by itself."""
    await look(watch)
    (row,) = await listed(watch)
    return row


async def run(db: Database, statement: str) -> object:
    async with db.transaction("tests.run") as tx:
        return await tx.connection.fetchval(statement)


async def look(watch: Watch) -> None:
    async with watch.approvals.db.transaction("tests.keep") as tx:
        await recommendations.keep(tx, await recommendations.look(tx), now=watch.clock.now())


async def test_one_situation_has_one_recommendation(watch: Watch) -> None:
    await look(watch)
    await look(watch)
    (row,) = await listed(watch)
    assert (row.recommendation_type, row.tenant_id) == ("ADJUST_FLOAT", "agent-123")
    weights = [each["weight"] for each in row.explanation["features"]]
    assert round(sum(weights), 2) == float(row.confidence_score)


@pytest.mark.parametrize("is_kept_apart", [True, False])
async def test_a_run_that_saw_nothing_yet_makes_no_second_one(
    watch: Watch, db: Database, monkeypatch: pytest.MonkeyPatch, is_kept_apart: bool
) -> None:
    """Without the index, which is the twin, a run that looked too early makes another."""
    nothing = recommendation_store.LIST_OPEN.sql.replace(
        "where state in", "where false and state in"
    )
    late = Query(nothing, row=RecommendationRow)
    monkeypatch.setattr(recommendation_store, "LIST_OPEN", late)
    if not is_kept_apart:
        await run(db, "drop index ops.one_recommendation_a_subject")
        insert = recommendation_store.INSERT.sql.partition("on conflict")[0]
        monkeypatch.setattr(recommendation_store, "INSERT", Query(insert, row=Nothing))
    await look(watch)
    await look(watch)
    assert len(await listed(watch)) == (1 if is_kept_apart else 2)


@pytest.mark.parametrize("may", [True, False])
async def test_the_worker_makes_asks_for_follows_and_ends_them(
    watch: Watch, db: Database, worker_db: Database, may: bool
) -> None:
    """The worker may what operations may; the twin takes that away."""
    if not may:
        await run(db, "revoke insert, update on ops.sira_dash_recommendations from molam_ops")
    runtime = Engine.of(worker_db, registry()).runtime
    own = Watch(approvals=runtime, clock=watch.clock, signing_key=watch.signing_key)
    if not may:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await recommendations.refresh(own)
        return
    await recommendations.refresh(own)
    (asked,) = await listed(watch, "pending_approval")
    assert asked.ops_action_id is not None
    await approvals.cancel(watch.approvals.db, asked.ops_action_id, SIRA, reason="Plus besoin.")
    await recommendations.refresh(own)
    assert len(await listed(watch, "rejected")) == 1
    await run(
        db,
        "insert into ops.sira_dash_recommendations (id, tenant_type, recommendation_type, title,"
        " description, suggested_action, confidence_score, subject, expires_at)"
        " select gen_random_uuid(), 'platform', 'set_hold', 't', 'd', suggested_action, 0.5, 'old',"
        " now() - interval '1 second' from ops.sira_dash_recommendations",
    )
    await recommendations.refresh(own)
    assert len(await listed(watch, "expired")) == 1


async def test_what_is_applied_waits_for_the_people_who_decide(watch: Watch) -> None:
    row = await made(watch)
    action_id = await recommendations.apply(watch, row.id, FINANCE)
    again = await recommendations.apply(watch, row.id, FINANCE)
    (asked,) = await listed(watch, "pending_approval")
    assert again == action_id == asked.ops_action_id
    action = await Engine(watch.approvals).get_action_with_votes(str(action_id))
    assert action["idempotency_key"] == f"sira-rec-{row.id}-apply"
    assert action["created_by"] == "finance-user-1"
    assert action["status"] == "requested"


async def test_a_sure_one_is_asked_for_by_itself_and_decided_by_people(
    watch: Watch, db: Database
) -> None:
    await recommendations.refresh(watch)
    await recommendations.refresh(watch)
    (asked,) = await listed(watch, "pending_approval")
    engine = Engine(watch.approvals)
    action = await engine.get_action_with_votes(str(asked.ops_action_id))
    assert action["idempotency_key"] == f"sira-rec-{asked.id}"
    assert (action["origin"], action["created_by"]) == ("sira", "sira-system")
    assert action["context"]["sira_recommendation_id"] == str(asked.id)
    # The wish to run by itself loosened nothing: two people of finance, as the policy says.
    assert action["auto_execute"] is False
    enough = f"select ops.check_ops_action_approvals('{action['id']}')"
    assert await run(db, enough) is False
    for voter in ("finance-user-1", "finance-user-2"):
        await engine.vote_on_action(action["id"], voter, ["finance_ops"], "approve", "Vu.")
    assert await run(db, enough) is True
    done = await engine.execute_action(action["id"], "ops-admin-1")
    assert done["success"]
    # Nobody waits for the clock: the action's end asks for it to be followed.
    asked_for = "select count(*) from jobs.pgqueuer where entrypoint = 'dashboard.follow_action'"
    assert await run(db, asked_for) == 1
    assert await recommendations.follow(watch.approvals.db) == 1
    (applied,) = await listed(watch, "applied")
    assert applied.applied_by == "ops-admin-1"
    balance = await builders.balance_of(db, "agent:agent-123:float:XOF")
    assert balance == 1_400_000 + applied.suggested_action["params"]["amount"]


async def test_one_that_is_not_sure_is_left_to_people(watch: Watch, db: Database) -> None:
    async with db.transaction("tests.forget") as tx:
        await tx.connection.execute("alter table ledger.transfers disable trigger user")
        await tx.connection.execute(
            "delete from ledger.transfers where cause = 'cash_out' and posted_at < now() - interval '24 days'"
        )
    await recommendations.refresh(watch)
    assert await listed(watch, "pending_approval") == []
    assert len(await listed(watch)) == 1


async def test_a_changed_situation_supersedes_what_was_said(watch: Watch, db: Database) -> None:
    first = await made(watch)
    async with db.transaction("tests.fill") as tx:
        await tx.connection.execute(
            "update ledger.accounts set balance = 900000 where id = 'agent:agent-123:float:XOF'"
        )
    second = await made(watch)
    assert second.id != first.id
    with pytest.raises(RecommendationEnded):
        await recommendations.apply(watch, first.id, FINANCE)
    async with db.transaction("tests.fill") as tx:
        await tx.connection.execute(
            "update ledger.accounts set balance = 9900000 where id = 'agent:agent-123:float:XOF'"
        )
    await look(watch)
    assert await listed(watch) == []


async def test_what_people_said_no_to_is_not_said_again(watch: Watch) -> None:
    row = await made(watch)
    said = await recommendations.reject(watch.approvals.db, row.id, FINANCE, "Fermé demain.")
    assert (said.status, said.rejected_by) == ("rejected", "finance-user-1")
    await look(watch)
    assert await listed(watch) == []
    with pytest.raises(RecommendationEnded):
        await recommendations.apply(watch, row.id, FINANCE)


async def test_an_expired_one_is_refused(watch: Watch, db: Database) -> None:
    row = await made(watch)
    async with db.transaction("tests.wait") as tx:
        await tx.connection.execute(
            "update ops.sira_dash_recommendations set expires_at = now() - interval '1 second'"
        )
    with pytest.raises(RecommendationEnded):
        await recommendations.apply(watch, row.id, FINANCE)
    with pytest.raises(RecommendationAbsent):
        await recommendations.apply(watch, UUID(int=1), FINANCE)


@pytest.mark.parametrize(("vote", "status"), [("reject", "rejected"), ("cancel", "rejected")])
async def test_it_ends_as_its_action_does(watch: Watch, vote: str, status: str) -> None:
    row = await made(watch)
    action_id = await recommendations.apply(watch, row.id, FINANCE)
    engine = Engine(watch.approvals)
    if vote == "cancel":
        await approvals.cancel(watch.approvals.db, action_id, FINANCE, reason="Plus besoin.")
    else:
        await engine.vote_on_action(
            str(action_id), "finance-user-2", [], "reject", "Non merci, pas cette fois."
        )
    await recommendations.follow(watch.approvals.db)
    (ended,) = await listed(watch, status)
    assert ended.id == row.id


async def test_two_who_apply_at_once_ask_once(watch: Watch, db: Database) -> None:
    row = await made(watch)
    other = Actor("ops-admin-1", roles=frozenset({"ops_admin"}))
    done = await asyncio.gather(
        recommendations.apply(watch, row.id, FINANCE),
        recommendations.apply(watch, row.id, other),
        return_exceptions=True,
    )
    assert any(isinstance(each, UUID) for each in done)
    async with db.transaction("tests.count") as tx:
        count = "select count(*) from approvals.ops_actions where action_type = 'ADJUST_FLOAT'"
        assert await tx.connection.fetchval(count) == 1


async def test_before_it_is_applied_its_effect_is_shown(watch: Watch) -> None:
    row = await made(watch)
    plan = await recommendations.rehearse(watch, row.id)
    assert plan["changes"][0]["what"] == "float_balance"
    async with watch.approvals.db.transaction("tests.record", readonly=True) as tx:
        record = await recommendations.track_record(tx, "ADJUST_FLOAT")
    assert (record.made, record.applied) == (1, 0)


async def test_a_merchant_whose_customers_take_back_too_much_is_to_be_held(
    watch: Watch, db: Database, worker_db: Database
) -> None:
    await builders.a_merchant(db, id_="m-bad")
    at = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
    told = [
        facts.succeeded(f"tx-{number}", merchant_id="m-bad", occurred_at=at, version=2)
        for number in range(60)
    ]
    told += [
        facts.refund(f"re-{number}", f"tx-{number}", merchant_id="m-bad", occurred_at=at, version=2)
        for number in range(15)
    ]
    await facts.take_in(worker_db, told)
    await aggregates.refresh(worker_db)
    await look(watch)
    (row,) = (row for row in await listed(watch) if row.recommendation_type == "set_hold")
    assert row.tenant_id == "m-bad"
    assert row.facts["bad"] == 15
    plan = await recommendations.rehearse(watch, row.id)
    assert plan["changes"][0]["what"] == "payouts"


async def test_a_rule_that_cries_for_nothing_is_to_be_moved(watch: Watch, db: Database) -> None:
    async with db.transaction("tests.alerts") as tx:
        for number in range(40):
            await tx.connection.execute(
                "insert into alerts.alerts (id, alert_type, tenant_type, tenant_id, severity, metric,"
                " state, title, fingerprint, episode, fired_at, resolved_at, resolved_by, group_key,"
                " rule_id) values ($1, 'refund_spike', 'merchant', 'm', 'warning', $2, 'resolved',"
                " 'High', sha256('a'::bytea), $3, now(), now(), 'system', 'g', 'refund_spike')",
                *(uuid4(), {"metric": "refund_rate", "value": 0.055}, number + 1),
            )
    await look(watch)
    (row,) = (row for row in await listed(watch) if row.tenant_type == "platform")
    assert row.suggested_action["params"]["threshold"] == "0.055"
    plan = await recommendations.rehearse(watch, row.id)
    assert any(change["what"] == "alert_rule.fire_at" for change in plan["changes"])


async def test_a_bank_that_the_mesh_would_leave_is_to_be_led_around(
    watch: Watch, db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3, amount=10_000)
    down = await rerouting.feel(db, rerouting.A, failures=0.8)
    await rerouting.feel(db, rerouting.B)
    proposal = (
        "insert into mesh.mesh_routing_proposals (id, mesh_region_id, currency, proposal, from_bank_id,"
        " to_bank_id, confidence, created_by, sira_signature, token_id, expires_at) values"
        f" ('pr_1', 'region_cedeao', 'XOF', '{{}}', '{rerouting.A}', '{rerouting.B}', 0.9, 'sira', 's',"
        " 't', now() + interval '1 hour')"
    )
    await run(db, proposal)
    await look(watch)
    (row,) = (row for row in await listed(watch) if row.recommendation_type == "route_payout")
    assert (row.tenant_type, row.tenant_id, row.priority) == ("bank", rerouting.B, "high")
    assert (row.facts["waiting"], row.facts["amount"]) == (3, 30_000)
    assert row.facts["p_down"] == round(down, 2)
    # Applied it is an override of the route, which people of its own policy decide.
    plan = await recommendations.rehearse(watch, row.id)
    assert plan["changes"]
    # Asked for through the mesh itself, it is nothing to recommend any more.
    await run(db, "update mesh.mesh_routing_proposals set ops_action_id = 'asked'")
    await look(watch)
    assert [row.recommendation_type for row in await listed(watch)] == ["ADJUST_FLOAT"]
