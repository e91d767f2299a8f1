"""What was said about one attempt, or by somebody who has left since, does not carry over."""

from __future__ import annotations

from uuid import UUID

import pytest

import builders
from audit_records import assert_audited
from molam.approvals import aftermath
from molam.approvals.engine import Engine
from molam.approvals.model import Actor
from molam.kernel.refusals import Refusal
from molam.platform.db import Database
from till import POLICY, Tills, make_tills

REASON = "Vu avec le fournisseur."


@pytest.fixture
def tills() -> Tills:
    return Tills()


@pytest.fixture
async def engine(db: Database, ops_db: Database, tills: Tills) -> Engine:
    await builders.operations(db)
    await make_tills(db)
    for name in ("TILL_PAY", "TILL_SEND"):
        await builders.a_policy(db, name=name, criteria={"action_type": name}, policy=POLICY)
    return Engine.of(ops_db, tills.registry)


async def asked(engine: Engine, action_type: str) -> UUID:
    made = await engine.create_ops_action(
        origin="module",
        action_type=action_type,
        params={"till": "till-1"},
        created_by="ops-admin-3",
    )
    return UUID(made["id"])


async def change(db: Database, sql: str) -> None:
    async with db.transaction("tests.change") as tx:
        await tx.connection.execute(sql)


async def test_what_was_found_out_about_one_attempt_says_nothing_of_the_next(
    engine: Engine, ops_db: Database, tills: Tills
):
    tills.says["till-1"] = ["unknown", "unknown"]
    id_ = await asked(engine, "TILL_SEND")
    for voter in ("finance-user-1", "finance-user-2"):
        await engine.vote_on_action(str(id_), voter, (), "approve")
    await engine.execute_action(str(id_), "ops-admin-1")
    for person in ("ops-admin-1", "ops-admin-2"):
        await aftermath.reconcile(ops_db, id_, Actor(person), executed=False, evidence=REASON)
    await engine.execute_action(str(id_), "ops-admin-1")

    found = await aftermath.reconcile(
        ops_db, id_, Actor("ops-admin-2"), executed=False, evidence=REASON
    )

    assert found.agreed is False
    assert found.row.state == "execution_unknown"


async def test_an_emergency_that_fails_may_be_repeated_as_one(
    engine: Engine, db: Database, ops_db: Database, tills: Tills
):
    tills.says["till-1"] = ["permanent"]
    id_ = await asked(engine, "TILL_PAY")
    await aftermath.break_glass(ops_db, id_, Actor("super-admin-1"), reason=REASON)
    first = await engine.execute_action(str(id_), "ops-admin-1")

    again = await engine.execute_action(str(id_), "ops-admin-1")

    assert (first["success"], again["success"]) == (False, True)
    assert await assert_audited(db) == 1


async def test_whoever_has_left_does_not_vote_for_somebody_else(engine: Engine, db: Database):
    id_ = await asked(engine, "TILL_PAY")
    await change(
        db,
        "insert into approvals.delegations (id, delegator_id, delegate_id, role, starts_at, ends_at,"
        " reason, created_at) values (gen_random_uuid(), 'finance-user-1', 'cfo-1', 'finance_ops',"
        " now(), now() + interval '1 day', 'tests', now())",
    )
    await change(db, "update tenancy.people set deactivated_at = now() where id = 'cfo-1'")

    with pytest.raises(Refusal) as refused:
        await engine.vote_on_action(str(id_), "cfo-1", (), "approve")

    assert refused.value.code == "not-eligible"
    await assert_audited(db)


async def test_only_a_vote_that_was_cast_can_be_taken_back(engine: Engine, db: Database):
    id_ = await asked(engine, "TILL_PAY")
    await engine.vote_on_action(str(id_), "finance-user-1", (), "abstain")
    await engine.vote_on_action(str(id_), "finance-user-1", (), "withdrawn")

    with pytest.raises(Refusal) as refused:
        await engine.vote_on_action(str(id_), "finance-user-1", (), "withdrawn")

    assert refused.value.code == "no-vote"
    await assert_audited(db)
