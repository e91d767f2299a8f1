"""The kill switch: what is frozen is not carried out, stays approved, and others must lift it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import builders
from molam.approvals import claims, execution, freezes, sweeps
from molam.approvals.engine import Engine
from molam.approvals.freezes import FreezeAbsent, FreezeOver, NewFreeze
from molam.approvals.locked import lock
from molam.approvals.model import (
    LIFT_FREEZE,
    Actor,
    ExecutionFrozen,
    FieldsRefused,
    NotEligible,
    TwinOpen,
)
from molam.entrypoints.registry import registry
from molam.kernel.ids import uuid7
from molam.platform.actions import UnknownActionType
from molam.platform.db import Database

ADMIN = Actor("ops-admin-1", roles=frozenset({"ops_admin"}))
AUTOMATIC = {**builders.FLOAT_POLICY, "auto_execute": True}


@pytest.fixture
async def engine(db: Database, ops_db: Database) -> Engine:
    await builders.operations(db)
    await builders.a_policy(db, policy=AUTOMATIC)
    await builders.an_agent(db, balance=500_000)
    return Engine.of(ops_db, registry())


async def freeze(engine: Engine, **changed: Any) -> freezes.Begun:
    wanted = NewFreeze(**{"reason": "A bank is answering twice.", **changed})
    return await freezes.begin(engine.runtime, wanted, ADMIN)


async def approved(engine: Engine) -> str:
    action = await engine.create_ops_action(
        origin="ops_ui",
        action_type="ADJUST_FLOAT",
        params={"agent_id": "agent-123", "adjustment": "top_up", "amount": 1_000_000},
        created_by="pay-admin-1",
    )
    for voter in ("finance-user-1", "finance-user-2"):
        await engine.vote_on_action(action["id"], voter, [], "approve")
    return str(action["id"])


async def lift(engine: Engine, begun: freezes.Begun) -> str:
    asked = await freezes.ask_to_lift(engine.runtime, begun.row.id, ADMIN, reason="Repaired.")
    return str(asked.row.id)


async def test_what_is_frozen_is_refused_and_stays_approved(engine: Engine, db: Database):
    action = await approved(engine)
    await freeze(engine)

    with pytest.raises(ExecutionFrozen) as refused:
        await engine.execute_action(action, "ops-admin-1")

    assert refused.value.detail == "Execution is frozen: A bank is answering twice."
    assert (await engine.get_action_with_votes(action))["status"] == "approved"
    assert await builders.balance_of(db, "agent:agent-123:float:XOF") == 500_000


async def test_without_the_freeze_the_same_action_is_carried_out(engine: Engine, db: Database):
    action = await approved(engine)

    done = await engine.execute_action(action, "ops-admin-1")

    assert done["success"] is True
    assert await builders.balance_of(db, "agent:agent-123:float:XOF") == 1_500_000


async def test_automatic_execution_passes_over_what_is_frozen(engine: Engine, db: Database):
    action = await approved(engine)
    begun = await freeze(engine)

    counts = await engine.auto_execute_approved_actions()

    assert counts == {"executed": 0, "failed": 0}
    assert (await engine.get_action_with_votes(action))["status"] == "approved"

    async with db.transaction("tests.thaw") as tx:
        await tx.connection.execute(
            "update approvals.freezes set ended_at = now() where id = $1", begun.row.id
        )
    assert (await engine.auto_execute_approved_actions())["executed"] == 1


async def test_automatic_execution_that_has_found_its_action_is_refused_too(engine: Engine):
    action = await approved(engine)
    await freeze(engine)

    with pytest.raises(ExecutionFrozen):
        await execution.execute(engine.runtime, UUID(action), sweeps.AUTO_EXECUTOR)


async def test_an_attempt_whose_worker_died_is_not_repeated_while_frozen(
    engine: Engine, db: Database
):
    action = await approved(engine)
    claim = await claims.claim(engine.runtime, UUID(action), Actor("ops-admin-1"))
    async with db.transaction("tests.die") as tx:
        await tx.connection.execute("update approvals.ops_actions set lease_until = now()")
    begun = await freeze(engine)

    await sweeps.recover(engine.runtime)

    held = await engine.get_action_with_votes(action)
    assert (claim.fence, held["state"], held["error_code"]) == (1, "failed", "execution-frozen")
    assert await builders.balance_of(db, "agent:agent-123:float:XOF") == 500_000
    async with db.transaction("tests.thaw") as tx:
        await tx.connection.execute(
            "update approvals.freezes set ended_at = now() where id = $1", begun.row.id
        )
        await tx.connection.execute("update approvals.ops_actions set next_attempt_at = now()")
    assert (await engine.auto_execute_approved_actions())["executed"] == 1


async def test_a_freeze_of_other_types_holds_nothing_else_back(engine: Engine):
    action = await approved(engine)
    await freeze(engine, action_types=["FREEZE_MERCHANT"])

    assert (await engine.execute_action(action, "ops-admin-1"))["success"] is True


async def test_a_freeze_that_has_not_begun_or_is_over_holds_nothing_back(
    engine: Engine, db: Database
):
    now = datetime.now(UTC)
    action = await approved(engine)
    await freeze(engine, starts_at=now + timedelta(hours=1))
    begun = await freeze(engine, ends_at=now + timedelta(hours=1))
    async with db.transaction("tests.age") as tx:
        await tx.connection.execute(
            "update approvals.freezes set starts_at = now() - interval '2 hours',"
            " ends_at = clock_timestamp() where id = $1",
            begun.row.id,
        )

    assert (await engine.execute_action(action, "ops-admin-1"))["success"] is True


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("reason", {"reason": "  "}),
        ("starts_at", {"starts_at": datetime.now(UTC) - timedelta(hours=1)}),
        ("starts_at", {"starts_at": datetime.now(UTC) + timedelta(days=400)}),
        ("ends_at", {"ends_at": datetime.now(UTC) - timedelta(hours=1)}),
        ("ends_at", {"ends_at": datetime.now(UTC) + timedelta(days=400)}),
        ("ends_at", {"ends_at": datetime(2027, 1, 1)}),  # noqa: DTZ001 - refused.
    ],
)
async def test_a_freeze_of_impossible_times_is_refused(
    engine: Engine, field: str, changed: dict[str, Any]
):
    with pytest.raises(FieldsRefused) as refused:
        await freeze(engine, **changed)

    assert refused.value.facts["field"] == field


async def test_a_misspelt_type_is_refused_because_it_would_freeze_nothing(engine: Engine):
    with pytest.raises(UnknownActionType):
        await freeze(engine, action_types=["ADJUST_FLOTE"])


async def test_a_kill_switch_pulled_by_two_at_once_is_one_freeze(engine: Engine):
    begun = await asyncio.gather(*(freeze(engine) for _ in range(4)))

    assert len({each.row.id for each in begun}) == 1
    assert sorted(each.is_new for each in begun) == [False, False, False, True]


async def test_lifting_takes_others_votes_and_no_freeze_holds_it_back(engine: Engine, db: Database):
    frozen = await approved(engine)
    begun = await freeze(engine)
    action = await lift(engine, begun)

    with pytest.raises(NotEligible):
        await engine.vote_on_action(action, "ops-admin-1", [], "approve")
    for voter in ("ops-admin-2", "ops-admin-3"):
        await engine.vote_on_action(action, voter, [], "approve")
    lifted = await engine.execute_action(action, "finance-user-1")
    done = await engine.execute_action(frozen, "ops-admin-1")

    assert lifted["result"]["lifted"] is True
    assert done["success"] is True
    [row] = await freezes.listed(engine.runtime.db)
    assert (row.is_open, row.in_force, row.ended_by) == (False, False, "finance-user-1")


async def test_without_its_exemption_a_freeze_could_never_be_lifted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(claims, "LIFT_FREEZE", "NO_SUCH_TYPE")
    action = await lift(engine, await freeze(engine))
    for voter in ("ops-admin-2", "ops-admin-3"):
        await engine.vote_on_action(action, voter, [], "approve")

    with pytest.raises(ExecutionFrozen):
        await engine.execute_action(action, "finance-user-1")


async def test_lifting_is_asked_for_once(engine: Engine):
    begun = await freeze(engine)
    await lift(engine, begun)

    with pytest.raises(TwinOpen):
        await lift(engine, begun)


async def test_lifting_what_is_over_or_absent_is_refused(engine: Engine, db: Database):
    begun = await freeze(engine)
    async with db.transaction("tests.thaw") as tx:
        await tx.connection.execute("update approvals.freezes set ended_at = now()")

    with pytest.raises(FreezeOver):
        await lift(engine, begun)
    with pytest.raises(FreezeAbsent):
        await freezes.ask_to_lift(engine.runtime, uuid7(datetime.now(UTC)), ADMIN, reason=None)


async def test_lifting_goes_stale_when_the_freeze_ends_by_itself(engine: Engine, db: Database):
    begun = await freeze(engine, ends_at=datetime.now(UTC) + timedelta(hours=1))
    action = await lift(engine, begun)
    for voter in ("ops-admin-2", "ops-admin-3"):
        await engine.vote_on_action(action, voter, [], "approve")
    async with db.transaction("tests.age") as tx:
        await tx.connection.execute(
            "update approvals.freezes set starts_at = now() - interval '2 hours',"
            " ends_at = clock_timestamp()"
        )

    done = await engine.execute_action(action, "finance-user-1")

    assert (done["success"], done["state"]) == (False, "stale")


async def test_the_reason_for_lifting_is_context_and_not_hashed(engine: Engine):
    begun = await freeze(engine)
    action = await lift(engine, begun)

    async with engine.runtime.db.transaction("tests.read") as tx:
        [locked] = await lock(tx, UUID(action))

    assert locked.row.action_type == LIFT_FREEZE
    assert locked.row.params == {"freeze_id": str(begun.row.id)}
    assert locked.row.context["reason"] == "Repaired."


async def test_everybody_is_told_and_it_is_recorded(engine: Engine):
    begun = await freeze(engine)
    action = await lift(engine, begun)
    for voter in ("ops-admin-2", "ops-admin-3"):
        await engine.vote_on_action(action, voter, [], "approve")
    await engine.execute_action(action, "finance-user-1")

    async with engine.runtime.db.transaction("tests.read") as tx:
        recorded = await tx.connection.fetch(
            "select action, body::jsonb -> 'data' ->> 'by_action' from audit.ops_approval_audit"
            " where chain = 'ops' order by seq"
        )
        told = await tx.connection.fetch(
            "select n.kind, n.urgent, count(*) from notices.notices n"
            " join notices.inbox i on i.notice_id = n.id where n.kind like 'freeze%'"
            " group by n.id order by n.id"
        )
    assert [tuple(each) for each in recorded] == [
        ("freeze.begun", None),
        ("freeze.ended", action),
    ]
    assert [tuple(each) for each in told] == [
        ("freeze_begun", True, len(builders.OPERATIONS)),
        ("freeze_ended", False, len(builders.OPERATIONS)),
    ]
