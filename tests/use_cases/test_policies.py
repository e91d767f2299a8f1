"""Policies change at once when they tighten, and by an approved action when they loosen."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

import builders
from molam.approvals import model
from molam.approvals.engine import Engine
from molam.approvals.model import Actor, Auth, NotEligible, StaleVersion
from molam.approvals.policy import book as policy_book
from molam.approvals.policy import effect as policy_effect
from molam.approvals.policy import policies
from molam.approvals.policy import store as policy_store
from molam.approvals.policy.criteria import CriteriaMalformed
from molam.approvals.policy.document import read_draft
from molam.approvals.policy.policies import Changed, PolicyAbsent, PolicyNameTaken, PolicyRefused
from molam.approvals.policy.quorum import PolicyMalformed
from molam.approvals.policy.selection import META, select
from molam.approvals.policy.trials import backtest, past_facts, simulate
from molam.approvals.runtime import Runtime
from molam.approvals.store import NOW, PolicyRow
from molam.entrypoints.registry import registry
from molam.platform.actions import PreconditionChanged
from molam.platform.db import Database

OVER_HTTP = Actor("ops-admin-1", frozenset({"ops_admin"}), auth=Auth("", None))
TWO = {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}}
THREE = {"type": "role", "value": {"role": "finance_ops", "min_votes": 3}}
ADMINS = {"type": "role", "value": {"role": "ops_admin", "min_votes": 2}}

# Stricter than the built-in policy on every axis.
STRICT = {"required_quorum": ADMINS, "required_ratio": 1, "timeout_seconds": 7200}
FEE = {
    "name": "Merchant Fee Adjustment",
    "criteria": {"action_type": "ADJUST_MERCHANT_FEE", "params.fee_percentage": {"$gte": 3.0}},
    "policy": {
        "required_quorum": TWO,
        "required_ratio": 0.75,
        "timeout_seconds": 7200,
        "escalation_role": "cfo",
        "auto_execute": False,
    },
    "priority": 90,
    "enabled": True,
}


@pytest.fixture
async def engine(db: Database, ops_db: Database) -> Engine:
    await builders.operations(db)
    return Engine.of(ops_db, registry())


@pytest.fixture
def runtime(engine: Engine) -> Runtime:
    return engine.runtime


def fee(**more: Any) -> dict[str, Any]:
    given = {**FEE, **more}
    return {**given, "criteria": {"action_type": "ADJUST_MERCHANT_FEE"}}


async def created(runtime: Runtime, fields: dict[str, Any]) -> PolicyRow:
    """A policy that was saved at once."""
    changed = await policies.create_policy(runtime, fields, Actor("admin-user-id"))
    assert changed.policy is not None
    return changed.policy


async def versions(runtime: Runtime, policy_id: UUID) -> list[tuple[int, str]]:
    found = await policies.list_versions(runtime.db, policy_id)
    return [(each.version, each.change) for each in found]


async def approve(engine: Engine, changed: Changed) -> None:
    """Let two other ops_admin agree to a loosening, and a third person carry it out."""
    assert changed.action is not None
    for voter in ("ops-admin-2", "ops-admin-3"):
        await engine.vote_on_action(str(changed.action.id), voter, [], "approve", "Agreed.")


async def test_code_in_this_process_adds_the_first_policy_of_a_type_at_once(runtime: Runtime):
    row = await created(runtime, parsed(FEE))

    assert (row.name, row.version, row.priority, row.created_by) == (
        "Merchant Fee Adjustment", 1, 90, "admin-user-id",
    )  # fmt: skip
    assert row.criteria["params.fee_percentage"] == {"$gte": "3"}
    assert row.policy["required_ratio"] == "3/4"
    assert await versions(runtime, row.id) == [(1, "created")]


def parsed(fields: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = model.parsed(fields)
    return read


async def test_a_policy_stricter_than_what_applied_is_added_at_once(runtime: Runtime):
    changed = await policies.create_policy(runtime, fee(policy=STRICT), OVER_HTTP)

    assert changed.action is None
    assert changed.policy is not None


async def test_a_policy_that_loosens_what_applied_waits_for_others(
    engine: Engine, runtime: Runtime
):
    changed = await policies.create_policy(runtime, fee(policy={"required_quorum": TWO}), OVER_HTTP)

    assert changed.policy is None
    assert changed.action is not None
    assert changed.action.action_type == "CHANGE_APPROVAL_POLICY"
    assert await policies.list_policies(runtime.db) == []

    await approve(engine, changed)
    done = await engine.execute_action(str(changed.action.id), "finance-user-1")

    (row,) = await policies.list_policies(runtime.db)
    assert done["success"] is True
    assert row.name == "Merchant Fee Adjustment"
    (version,) = await policies.list_versions(runtime.db, row.id)
    assert (version.change, version.action_id) == ("created", changed.action.id)


CHANGES = [
    ({"policy": {**STRICT, "required_quorum": TWO}}, False),
    ({"policy": {**STRICT, "required_ratio": 0.5}}, False),
    ({"policy": {**STRICT, "timeout_seconds": 7201}}, False),
    ({"policy": {**STRICT, "escalation_role": "cfo"}}, False),
    ({"policy": {**STRICT, "auto_execute": True}}, False),
    ({"policy": {**STRICT, "voters_may_execute": True}}, False),
    ({"enabled": False}, False),
    ({"criteria": {"action_type": "ADJUST_MERCHANT_FEE", "origin": "ops_ui"}}, False),
    ({"valid_until": "2999-01-01T00:00:00Z"}, False),
    ({"valid_from": "2999-01-01T00:00:00Z"}, False),
    ({"baseline": True}, True),
    ({"description": "Said in other words"}, True),
    ({"name": "Another name"}, True),
    ({"priority": 5}, True),
    ({"policy": {**STRICT, "timeout_seconds": 3600}}, True),
    (
        {
            "policy": {
                **STRICT,
                "required_quorum": {"type": "role", "value": {"role": "ops_admin", "min_votes": 3}},
            }
        },
        True,
    ),
    ({"policy": {**STRICT, "veto_roles": ["compliance"]}}, True),
]


@pytest.mark.parametrize(("change", "at_once"), CHANGES, ids=lambda value: str(value)[:60])
async def test_each_field_of_a_policy_is_guarded(
    runtime: Runtime, change: dict[str, Any], at_once: bool
):
    row = await created(runtime, fee(policy=STRICT))

    changed = await policies.update_policy(runtime, row.id, parsed(change), OVER_HTTP)

    assert (changed.action is None) is at_once
    assert await versions(runtime, row.id) == ([(2, "tightened")] if at_once else []) + [
        (1, "created")
    ]


async def test_lowering_the_priority_below_a_laxer_policy_is_a_loosening(
    runtime: Runtime, db: Database
):
    row = await created(runtime, fee(policy=STRICT, priority=100))
    await builders.a_policy(
        db,
        name="Lax",
        criteria={"action_type": "ADJUST_MERCHANT_FEE"},
        policy={"required_quorum": TWO},
        priority=50,
    )

    changed = await policies.update_policy(runtime, row.id, {"priority": 40}, OVER_HTTP)

    assert changed.action is not None


async def test_a_laxer_policy_above_a_strict_one_is_a_loosening_even_from_this_process(
    runtime: Runtime,
):
    await created(runtime, fee(policy=STRICT, priority=100))

    lax = fee(name="Lax", policy={"required_quorum": TWO}, priority=200)
    changed = await policies.create_policy(runtime, lax, Actor("admin-user-id"))

    assert changed.action is not None


async def test_a_floor_is_always_a_tightening(runtime: Runtime):
    floor = fee(name="Floor", baseline=True, policy={"required_quorum": TWO, "required_ratio": 0})

    changed = await policies.create_policy(runtime, floor, OVER_HTTP)

    assert changed.action is None


async def test_deleting_what_protects_waits_for_others(engine: Engine, runtime: Runtime):
    floor = await created(
        runtime, fee(name="Floor", baseline=True, policy={"required_quorum": THREE})
    )

    changed = await policies.delete_policy(runtime, floor.id, OVER_HTTP)
    assert changed.action is not None
    assert [row.name for row in await policies.list_policies(runtime.db)] == ["Floor"]
    await approve(engine, changed)
    await engine.execute_action(str(changed.action.id), "finance-user-1")

    assert await policies.list_policies(runtime.db) == []
    assert await versions(runtime, floor.id) == [(2, "deleted"), (1, "created")]


async def test_deleting_a_policy_laxer_than_the_built_in_one_happens_at_once(runtime: Runtime):
    lax = await created(runtime, fee(policy={"required_quorum": ADMINS, "required_ratio": 0}))

    changed = await policies.delete_policy(runtime, lax.id, OVER_HTTP)

    assert changed.action is None
    with pytest.raises(PolicyAbsent):
        await policies.find_policy(runtime.db, lax.id)


async def test_the_approvers_see_what_the_change_would_have_meant(
    engine: Engine, runtime: Runtime, db: Database
):
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    row = await created(runtime, {
        "name": "Floats", "criteria": {"action_type": "ADJUST_FLOAT"}, "policy": {"required_quorum": TWO},
    })  # fmt: skip
    await engine.create_ops_action(
        origin="ops_ui",
        action_type="ADJUST_FLOAT",
        params={"agent_id": "agent-123", "adjustment": "top_up", "amount": 1000},
        created_by="sira-system",
    )

    one = {"type": "role", "value": {"role": "finance_ops", "min_votes": 1}}
    changed = await policies.update_policy(
        runtime, row.id, {"policy": {"required_quorum": one}}, OVER_HTTP
    )

    assert changed.action is not None
    shown = {each["what"]: each for each in changed.action.plan["changes"]}
    assert shown["policy"]["before"]["policy"]["required_quorum"]["value"]["min_votes"] == 2
    assert shown["policy"]["after"]["policy"]["required_quorum"]["value"]["min_votes"] == 1
    assert shown["backtest"]["after"]["fewer"] == 1
    assert shown["backtest"]["after"]["sentence"]["en"].startswith("1 of 1 past actions")
    assert changed.action.plan["effects"] == ["policy_loosened"]


async def test_changing_policies_has_rules_that_no_policy_touches(engine: Engine, runtime: Runtime):
    everything = {
        "name": "Everything",
        "criteria": {"action_type": {"$exists": True}},
        "policy": {
            "required_quorum": {"type": "role", "value": {"role": "nobody", "min_votes": 9}}
        },
        "baseline": True,
    }
    await policies.create_policy(runtime, everything, OVER_HTTP)

    changed = await policies.create_policy(
        runtime,
        fee(policy={"required_quorum": TWO}, priority=900),
        Actor("ops-admin-1", auth=Auth("", None)),
    )
    if changed.action is None:
        changed = await policies.delete_policy(
            runtime, (await policies.list_policies(runtime.db))[0].id, OVER_HTTP
        )

    assert changed.action is not None
    assert changed.action.policy_name == "__meta__"
    assert changed.action.required_quorum == {
        "type": "role",
        "value": {"role": "ops_admin", "min_votes": 2},
    }
    assert META.auto_execute is False


async def test_a_policy_about_changing_policies_is_refused(runtime: Runtime):
    given = {
        "name": "Mine",
        "criteria": {"action_type": "CHANGE_APPROVAL_POLICY"},
        "policy": {"required_quorum": TWO},
    }

    with pytest.raises(PolicyMalformed):
        await policies.create_policy(runtime, given, OVER_HTTP)


async def test_the_requester_of_a_loosening_does_not_approve_it(engine: Engine, runtime: Runtime):
    changed = await policies.create_policy(runtime, fee(policy={"required_quorum": TWO}), OVER_HTTP)

    assert changed.action is not None
    with pytest.raises(NotEligible):
        await engine.vote_on_action(str(changed.action.id), "ops-admin-1", [], "approve")


async def test_a_loosening_approved_for_another_version_goes_stale(
    engine: Engine, runtime: Runtime
):
    row = await created(runtime, fee(policy=STRICT))
    changed = await policies.update_policy(
        runtime, row.id, {"policy": {"required_quorum": TWO}}, OVER_HTTP
    )
    await policies.update_policy(runtime, row.id, {"description": "meanwhile"}, OVER_HTTP)
    assert changed.action is not None
    await approve(engine, changed)

    done = await engine.execute_action(str(changed.action.id), "finance-user-1")

    assert (done["success"], done["error_code"]) == (False, PreconditionChanged.code)
    assert await versions(runtime, row.id) == [(2, "tightened"), (1, "created")]


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        ({"criteria": {}}, CriteriaMalformed),
        ({"criteria": {"risk_level": "low"}}, CriteriaMalformed),
        ({"criteria": {"action_type": "REVERSE_SOMETHING"}}, CriteriaMalformed),
        ({"policy": {}}, PolicyMalformed),
        ({"name": ""}, PolicyMalformed),
        ({"name": "__default__"}, PolicyMalformed),
        ({"priority": 0}, PolicyMalformed),
        ({"enabled": "yes"}, PolicyMalformed),
        ({"valid_from": "2026-01-01"}, PolicyMalformed),
        (
            {"valid_from": "2026-01-02T00:00:00Z", "valid_until": "2026-01-02T00:00:00Z"},
            PolicyMalformed,
        ),
        (
            {
                "criteria": {"action_type": "ADJUST_FLOAT"},
                "policy": {"required_quorum": TWO, "counting": "participation"},
            },
            PolicyMalformed,
        ),
        (
            {
                "criteria": {
                    "action_type": "ADJUST_FLOAT",
                    "origin": "sira",
                    "$not": {"origin": "sira"},
                }
            },
            PolicyRefused,
        ),
    ],
)
async def test_a_policy_that_makes_no_sense_is_not_saved(
    runtime: Runtime, more: dict[str, Any], refusal: type[Exception]
):
    with pytest.raises(refusal):
        await policies.create_policy(runtime, parsed({**FEE, **more}), Actor("admin-user-id"))

    assert await policies.list_policies(runtime.db) == []


async def test_two_policies_do_not_share_a_name(runtime: Runtime):
    await created(runtime, fee(policy=STRICT))

    with pytest.raises(PolicyNameTaken):
        await policies.create_policy(
            runtime, fee(policy=STRICT, priority=91), Actor("admin-user-id")
        )


async def test_an_overlap_at_the_same_priority_is_not_saved(runtime: Runtime):
    await created(runtime, fee(policy=STRICT))

    with pytest.raises(PolicyRefused):
        await policies.create_policy(
            runtime, fee(name="Twin", policy=STRICT), Actor("admin-user-id")
        )


async def test_a_change_of_an_older_version_is_refused(runtime: Runtime):
    row = await created(runtime, fee(policy=STRICT))
    await policies.update_policy(runtime, row.id, {"description": "two"}, OVER_HTTP)

    with pytest.raises(StaleVersion):
        await policies.update_policy(
            runtime, row.id, {"description": "three"}, OVER_HTTP, version=1
        )


async def test_changes_at_the_same_moment_happen_one_after_the_other(runtime: Runtime):
    row = await created(runtime, fee(policy=STRICT))
    said = [{"description": f"number {i}"} for i in range(6)]

    done = await asyncio.gather(
        *(policies.update_policy(runtime, row.id, each, OVER_HTTP) for each in said),
        return_exceptions=True,
    )

    succeeded = [each for each in done if not isinstance(each, BaseException)]
    assert all(isinstance(each, StaleVersion | Changed) for each in done)
    assert len(await versions(runtime, row.id)) == 1 + len(succeeded)


async def test_without_the_comparison_a_loosening_would_take_effect_at_once(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(policies, "is_tightening", lambda *_: True)

    changed = await policies.create_policy(runtime, fee(policy={"required_quorum": TWO}), OVER_HTTP)

    assert changed.action is None, "the harness notices"
    assert policy_effect.is_tightening is not policies.is_tightening


async def test_a_change_is_in_the_record(runtime: Runtime, db: Database):
    row = await created(runtime, fee(policy=STRICT))

    async with db.transaction("tests.audit") as tx:
        found = await tx.connection.fetch(
            "select body from audit.ops_approval_audit where chain = $1", f"policy:{row.id}"
        )

    assert len(found) == 1


async def test_a_backtest_counts_what_would_come_too_late(
    runtime: Runtime, engine: Engine, db: Database
):
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    action = await engine.create_ops_action(
        origin="ops_ui",
        action_type="ADJUST_FLOAT",
        params={"agent_id": "agent-123", "adjustment": "top_up", "amount": 1000},
        created_by="sira-system",
    )
    async with db.transaction("tests.decide") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set decided_at = created_at + interval '3 hours' where id = $1",
            UUID(action["id"]),
        )
    draft = read_draft(
        {"name": "x", "criteria": {"action_type": "ADJUST_FLOAT"}, "policy": STRICT},
        runtime.registry,
    )
    async with runtime.db.transaction("tests.backtest", readonly=True) as tx:
        now = await tx.one(NOW)
        assert now is not None
        mine = draft.stored(None, version=1, created_at=now.at)
        tried = await backtest(tx, ([], [mine]), types=draft.criteria.types)

    assert (tried.actions, tried.decided, tried.late, tried.looser) == (1, 1, 1, 0)


async def test_creation_simulation_and_backtest_decide_alike(
    runtime: Runtime, engine: Engine, db: Database
):
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    for name, priority, minor in (("Floats", 90, 1), ("Large floats", 95, 1_000_000)):
        await builders.a_policy(
            db,
            name=name,
            priority=priority,
            criteria={
                "action_type": "ADJUST_FLOAT",
                "amount": {"$gte": {"currency": "XOF", "minor": minor}},
            },
            policy={"required_quorum": TWO if minor == 1 else THREE},
        )
    params = {"agent_id": "agent-123", "adjustment": "top_up", "amount": 1_000_000}
    request = model.NewAction(origin="ops_ui", action_type="ADJUST_FLOAT", params=params)

    action = await engine.create_ops_action(
        origin="ops_ui", action_type="ADJUST_FLOAT", params=params, created_by="sira-system"
    )
    async with runtime.db.transaction("tests.trials", readonly=True) as tx:
        held = await policies.load_policies(tx, runtime.registry)
        (row,) = await tx.all(
            policy_store.LIST_PAST_ACTIONS, action_types=["ADJUST_FLOAT"], limit=1
        )
        (trial,) = await simulate(tx, runtime.registry, [request], (held, held), at=row.created_at)

    assert trial.after is not None
    past = select(held, past_facts(row), row.created_at)
    traces = [row.policy_trace, trial.after.trace, past.trace]
    decided = [{k: v for k, v in each.items() if k != "policies_changed_at"} for each in traces]
    assert decided[0] == decided[1] == decided[2]
    assert decided[0]["winner"] == {"name": "Large floats", "version": 1}
    assert action["policy"]["name"] == "Large floats"


async def test_a_tie_that_got_past_the_linter_is_counted(
    runtime: Runtime, engine: Engine, db: Database
):
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    await builders.a_policy(db, name="One", policy={"required_quorum": TWO})
    await builders.a_policy(db, name="Two", policy={"required_quorum": THREE})
    before = policy_book.TIES._value.get()

    action = await engine.create_ops_action(
        origin="ops_ui",
        action_type="ADJUST_FLOAT",
        params={"agent_id": "agent-123", "adjustment": "top_up", "amount": 1000},
        created_by="sira-system",
    )

    assert policy_book.TIES._value.get() == before + 1
    assert action["required_quorum"]["value"]["min_votes"] == 3
