"""Asking for an action: once for each key, never twice on one target, all of it or nothing."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import asyncpg
import pytest

import builders
from approving import CREATOR, WHY, Ops, role_policy, signed_in, together
from molam.approvals import commands, store
from molam.approvals.engine import Engine
from molam.approvals.intents import PlanRefused
from molam.approvals.lifecycle import TransitionRefused
from molam.approvals.locked import rules_of
from molam.approvals.model import (
    ActionAbsent,
    Actor,
    FieldsRefused,
    IdempotencyMismatch,
    OriginRefused,
    SameHands,
    TargetMismatch,
    TwinOpen,
    Unsatisfiable,
)
from molam.approvals.policy import history_store
from molam.approvals.policy.quorum import PolicyMalformed
from molam.approvals.policy.rules import is_tighter
from molam.entrypoints.registry import registry
from molam.kernel.refusals import Refusal
from molam.platform.actions import ParamsRefused, UnknownActionType
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database, Query, Tx

FLOAT = {"agent_id": "agent-123", "adjustment": "top_up", "amount": 100_000}


class Crash(Exception):
    """A process that dies between two statements."""


@pytest.fixture
async def floats(db: Database, ops_db: Database) -> Engine:
    """The engine with the real action types."""
    await builders.operations(db)
    return Engine.of(ops_db, registry())


async def test_fifty_at_once_under_one_key_make_one_action_and_one_notification(ops: Ops):
    made = await together(*(ops.create(idempotency_key="one-key") for _ in range(50)))

    assert len({each.row.id for each in made}) == 1
    assert [each.is_new for each in made].count(True) == 1
    assert await ops.count("approvals.ops_actions") == 1
    assert await ops.count("notices.notices") == 1
    assert await ops.told("action_waiting") == ["ops-admin-1", "ops-admin-2", "ops-admin-3"]


async def test_the_answer_to_a_repetition_is_the_first_action_even_when_decided(ops: Ops):
    first = await ops.approved(idempotency_key="one-key")

    again = await ops.create(idempotency_key="one-key")

    assert (again.row.id, again.is_new, again.row.state) == (first, False, "approved")


async def test_a_key_used_for_something_else_is_refused(ops: Ops):
    await ops.create(idempotency_key="one-key")

    for other in (
        {"params": {"by": 2}},
        {"params": {"counter": "south"}},
        {"timeout_seconds": 600},
        {"auto_execute": False},
    ):
        with pytest.raises(IdempotencyMismatch):
            await ops.create(idempotency_key="one-key", **other)

    assert await ops.count("approvals.ops_actions") == 1


async def test_one_alert_told_ten_times_asks_once(ops: Ops):
    for _ in range(10):
        await ops.create(
            origin="alert", idempotency_key="alert-7-remediation", params={"alert_id": "7"}
        )

    assert await ops.count("approvals.ops_actions") == 1


async def test_a_twin_is_refused_with_the_way_to_the_first(ops: Ops):
    first = await ops.ask(idempotency_key="a")

    with pytest.raises(TwinOpen) as refused:
        await ops.create(idempotency_key="b", params={"by": 5})

    assert refused.value.facts == {"action_id": str(first), "state": "pending"}


async def test_of_two_twins_at_once_one_is_made(ops: Ops):
    answers = await together(*(ops.create(params={"by": n}) for n in range(1, 9)))

    assert sum(isinstance(each, TwinOpen) for each in answers) == 7
    assert await ops.count("approvals.ops_actions") == 1


async def test_an_unknown_outcome_keeps_its_twin_away(ops: Ops):
    id_ = await ops.approved("CALL_NONE")
    ops.psp.script = ["lost"]
    await ops.execute(id_)

    with pytest.raises(TwinOpen):
        await ops.create("CALL_NONE")

    assert await ops.state(id_) == "execution_unknown"


async def test_a_new_version_replaces_the_first_and_takes_no_votes_along(ops: Ops):
    first = await ops.ask()
    await ops.vote(first, "ops-admin-1")

    second = await ops.create(params={"by": 2}, supersedes=str(first))

    old = await ops.row(first)
    assert (old.state, old.status, old.superseded_by) == ("superseded", "cancelled", second.row.id)
    assert (second.row.votes_cast, second.row.supersedes) == (0, first)
    assert "action.superseded" in await ops.events(first)
    assert await ops.told("action_cancelled") == [CREATOR]


async def test_a_new_version_asked_for_twice_at_once_is_made_once(ops: Ops):
    first = await ops.ask()

    answers = await together(
        *(
            ops.create(params={"by": 2}, supersedes=str(first), idempotency_key="new")
            for _ in range(6)
        )
    )

    assert len({each.row.id for each in answers}) == 1
    assert sum(each.is_new for each in answers) == 1


async def test_a_new_version_is_for_whoever_asked_or_an_ops_admin(ops: Ops):
    first = await ops.ask()

    with pytest.raises(SameHands):
        await ops.create(params={"by": 2}, supersedes=str(first), by="pay-admin-2")

    assert await ops.state(first) == "pending"
    assert await ops.count("approvals.ops_actions") == 1


async def test_what_is_carried_out_cannot_be_replaced(ops: Ops):
    first = await ops.approved()
    await ops.execute(first)

    with pytest.raises(TransitionRefused):
        await ops.create(params={"by": 2}, supersedes=str(first))


async def test_a_twin_whose_time_has_passed_makes_room(ops: Ops):
    first = await ops.ask()
    await ops.later(first, days=2)

    second = await ops.create()

    assert second.is_new
    assert await ops.state(first) == "expired"
    assert await ops.told("action_expired") == [CREATOR]


async def test_the_requester_can_tighten(ops: Ops):
    await builders.a_policy(
        ops.db,
        criteria={"action_type": "COUNT"},
        policy=role_policy(votes=1, required_ratio="1/2", timeout_seconds=7200, auto_execute=True),
    )

    created = await ops.create(
        required_quorum={"type": "role", "value": {"role": "finance_ops", "min_votes": 2}},
        required_ratio="3/4",
        timeout_seconds=600,
        auto_execute=False,
    )

    rules = rules_of(created.row)
    assert rules.ratio == Fraction(3, 4)
    assert not rules.auto_execute
    assert created.row.timeout_seconds == 600
    assert (created.row.expires_at - created.row.created_at).total_seconds() == 600
    assert set(created.row.voter_roles) == {"ops_admin", "finance_ops"}


async def test_the_requester_cannot_loosen(ops: Ops):
    plain = rules_of((await ops.create()).row)
    wishes: list[dict[str, Any]] = [
        {"required_quorum": {"type": "role", "value": {"role": "pay_admin", "min_votes": 1}}},
        {"required_ratio": "1/10"},
        {"required_ratio": 0},
        {"timeout_seconds": 10_000_000},
        {"auto_execute": True},
        {"escalation_role": "pay_admin"},
    ]

    asked = [
        rules_of((await ops.create(params={"counter": f"c{n}"}, **wish)).row)
        for n, wish in enumerate(wishes)
    ]

    assert [is_tighter(each, plain) for each in asked] == [True] * len(wishes)


async def test_what_too_few_could_approve_is_refused_and_names_whom_it_lacks(ops: Ops):
    for each in ("ops-admin-2", "ops-admin-3"):
        await ops.revoke(each, "ops_admin")

    with pytest.raises(Unsatisfiable) as refused:
        await ops.create()

    assert "ops_admin" in str(refused.value.facts["missing"])
    assert await ops.count("approvals.ops_actions") == 0


async def test_whoever_asks_does_not_count_among_those_who_could_approve(ops: Ops):
    await ops.revoke("ops-admin-3", "ops_admin")

    with pytest.raises(Unsatisfiable):
        await ops.create(by="ops-admin-1")

    assert (await ops.create(by=CREATOR)).is_new


async def test_a_rehearsal_cannot_write(ops: Ops):
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await ops.create("PEEK")

    assert await ops.value("sneaky") == 0
    assert await ops.count("approvals.ops_actions") == 0


async def test_what_the_rehearsal_refuses_is_not_stored(ops: Ops):
    with pytest.raises(PlanRefused) as refused:
        await ops.create(params={"counter": "absent"})

    assert refused.value.facts["cause"] == "counter-absent"
    assert await ops.count("approvals.ops_actions") == 0


async def test_the_rehearsal_is_what_approvers_are_shown(ops: Ops):
    await ops.execute(await ops.approved(params={"by": 4}))

    created = await ops.create(params={"by": 3})

    assert created.row.plan["changes"] == [{"what": "value", "before": 4, "after": 7}]
    assert created.row.plan["title"] == {"fr": "Ajouter 3 : north", "en": "Add 3 : north"}


async def test_an_unknown_type_is_refused(ops: Ops):
    with pytest.raises(UnknownActionType):
        await ops.create("NO_SUCH_TYPE")

    assert await ops.count("approvals.ops_actions") == 0


HOSTILE: list[tuple[dict[str, Any], type[Refusal]]] = [
    ({"params": {"by": "1"}}, ParamsRefused),
    ({"params": {"by": 1.0}}, ParamsRefused),
    ({"params": {"by": True}}, ParamsRefused),
    ({"params": {"by": None}}, ParamsRefused),
    ({"params": {"by": 1 << 53}}, ParamsRefused),
    ({"params": {"by": 1 << 70}}, ParamsRefused),
    ({"params": {"counter": "e\u0301te\u0301"}}, ParamsRefused),
    ({"params": {"counter": "north\u202e"}}, ParamsRefused),
    ({"params": {"counter": "nor\u0000th"}}, ParamsRefused),
    ({"params": {"counter": "\ud800"}}, ParamsRefused),
    ({"params": {"counter": ""}}, ParamsRefused),
    ({"params": {"counter": ["north"]}}, ParamsRefused),
    ({"params": {"more": 1}}, ParamsRefused),
    ({"params": {"reserve": {"currency": "XOF", "minor": 1.5}}}, ParamsRefused),
    ({"params": {"reserve": 5}}, ParamsRefused),
    ({"target_tenant_type": "counter", "target_tenant_id": "south"}, TargetMismatch),
    ({"target_tenant_type": "merchant"}, TargetMismatch),
    ({"required_quorum": {"type": "role"}}, PolicyMalformed),
    ({"required_quorum": {"type": "nobody", "value": {}}}, PolicyMalformed),
    ({"required_ratio": "2"}, PolicyMalformed),
    ({"required_ratio": -1}, PolicyMalformed),
    ({"timeout_seconds": 5}, PolicyMalformed),
    ({"timeout_seconds": "soon"}, FieldsRefused),
    ({"origin": "nobody"}, FieldsRefused),
    ({"idempotency_key": ""}, FieldsRefused),
    ({"idempotency_key": "k" * 256}, FieldsRefused),
    ({"not_before": "2026-12-01T08:00:00"}, FieldsRefused),
    ({"supersedes": "nothing"}, ActionAbsent),
    ({"supersedes": "00000000-0000-7000-8000-000000000000"}, ActionAbsent),
    ({"surprise": 1}, FieldsRefused),
    ({"voter_roles": ["ops_admin"]}, FieldsRefused),
    ({"context": {"text": "x" * 20_000}}, FieldsRefused),
]


async def test_what_is_not_a_request_is_refused_and_not_stored(ops: Ops):
    found: list[object] = []
    for fields, _ in HOSTILE:
        try:
            found.append(await ops.create(**fields))
        except Refusal as refusal:
            found.append(type(refusal))

    assert list(zip(map(str, HOSTILE), found, strict=True)) == [
        (str(each), each[1]) for each in HOSTILE
    ]
    assert await ops.count("approvals.ops_actions") == 0


async def test_people_cannot_speak_for_machines(ops: Ops):
    for origin in ("sira", "system", "alert"):
        with pytest.raises(OriginRefused):
            await ops.create(by=signed_in(CREATOR, acr=AAL2), origin=origin)

    assert await ops.count("approvals.ops_actions") == 0


async def test_why_is_kept_beside_the_intent_and_is_not_part_of_it(ops: Ops):
    plain = await ops.create(params={"counter": "a"})
    because = await ops.create(
        params={"counter": "b", "alert_id": "alert-1", "sira_confidence": 0.95}
    )

    assert because.row.context == {"alert_id": "alert-1", "sira_confidence": "0.95"}
    assert because.row.params.keys() == plain.row.params.keys()


async def test_a_crash_between_any_two_statements_leaves_nothing(
    ops: Ops, monkeypatch: pytest.MonkeyPatch
):
    whole = Tx._check_rank
    statements = itertools.count()
    survived = 0

    def dies_at(limit: int) -> Any:
        left = itertools.count()

        def check(self: Tx, query: Query[Any]) -> None:
            if self.name == "approvals.create":
                next(statements)
                if next(left) == limit:
                    raise Crash
            whole(self, query)

        return check

    for at in range(40):
        monkeypatch.setattr(Tx, "_check_rank", dies_at(at))
        try:
            await ops.create()
        except Crash:
            survived += 1
            monkeypatch.setattr(Tx, "_check_rank", whole)
            for table in ("approvals.ops_actions", "audit.ops_approval_audit", "notices.notices"):
                assert await ops.count(table) == 0, f"{table} after statement {at}"
        else:
            break

    monkeypatch.setattr(Tx, "_check_rank", whole)
    assert survived >= 5, "the crashes came too late to show anything"
    assert await ops.count("approvals.ops_actions") == 1
    assert await ops.count("audit.ops_approval_audit") == 1
    assert await ops.count("notices.notices") == 1


async def test_without_a_policy_two_ops_admins_decide_unanimously(ops: Ops):
    row = (await ops.create()).row

    assert (row.policy_name, row.policy_id, row.auto_execute) == ("__default__", None, False)
    assert row.required_quorum == {"type": "role", "value": {"role": "ops_admin", "min_votes": 2}}
    assert row.required_ratio == 1


async def test_a_policy_for_one_type_does_not_fall_through_to_another(ops: Ops):
    await builders.a_policy(
        ops.db, criteria={"action_type": "REFUSE"}, policy=role_policy("pay_admin", 1)
    )

    assert (await ops.create()).row.policy_name == "__default__"


async def test_a_deleted_policy_stays_readable_in_what_it_decided(ops: Ops):
    policy = await builders.a_policy(
        ops.db, criteria={"action_type": "COUNT"}, policy=role_policy("finance_ops", 2)
    )
    id_ = await ops.ask()
    before = (await ops.row(id_)).policy_snapshot

    await ops.sql(
        "update approvals.approval_policies set deleted_at = now(), enabled = false,"
        " updated_at = clock_timestamp() where id = $1",
        policy,
    )

    found = await ops.engine.get_action_with_votes(str(id_))
    assert found["policy"]["name"] == "Float Top-up"
    assert found["policy"]["id"] == str(policy)
    assert (await ops.row(id_)).policy_snapshot == before
    await ops.vote(id_, "finance-user-1")
    assert (await ops.vote(id_, "finance-user-2")).row.state == "pending", (
        "tightened by __default__"
    )


async def test_policies_of_equal_rank_are_merged_to_the_strictest(ops: Ops):
    for name, role, ratio in (("One", "finance_ops", "1/2"), ("Other", "cfo", "3/4")):
        await builders.a_policy(
            ops.db,
            name=name,
            criteria={"action_type": "COUNT"},
            policy=role_policy(role, 1, required_ratio=ratio),
        )

    row = (await ops.create()).row

    assert set(row.voter_roles) == {"finance_ops", "cfo"}
    assert rules_of(row).ratio == Fraction(3, 4)


CAP = {"currency": "XOF", "minor": 900_000}
SPLIT = {"$sum_over": {"field": "amount", "window": "24h", "$gt": CAP, "group_by": []}}


async def _ten_at_once(floats: Engine, db: Database) -> int:
    """Ask for ten top-ups of 100,000 at once; return how many the strict policy took."""
    for name, criteria, role, priority in (
        ("Usual", {}, "finance_ops", 50),
        ("Split", SPLIT, "cfo", 90),
    ):
        await builders.a_policy(
            db,
            name=name,
            criteria={"action_type": "ADJUST_FLOAT", **criteria},
            policy=role_policy(role, 1),
            priority=priority,
        )
    for n in range(10):
        await builders.an_agent(db, id_=f"agent-{n}", name=f"Kiosque {n}")
    made = await together(
        *(
            floats.create_ops_action(
                origin="ops_ui",
                action_type="ADJUST_FLOAT",
                params={**FLOAT, "agent_id": f"agent-{n}"},
                created_by="finance-user-3",
            )
            for n in range(10)
        )
    )
    return sum(each["policy"]["name"] == "Split" for each in made)


async def test_sums_split_over_ten_at_once_are_added_up(floats: Engine, db: Database):
    assert await _ten_at_once(floats, db) == 1


async def test_without_the_lock_a_split_sum_goes_unnoticed(
    floats: Engine, db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        history_store, "LOCK_HISTORY", Query("select :action_type <> '' as done", row=store.Told)
    )

    assert await _ten_at_once(floats, db) == 0


async def test_counts_over_several_types_at_once_are_added_up(floats: Engine, db: Database):
    await builders.a_policy(
        db,
        name="Many",
        criteria={
            "action_type": {"$in": ["ADJUST_FLOAT", "FREEZE_MERCHANT"]},
            "$count_over": {"window": "24h", "$gte": 10, "group_by": []},
        },
        policy=role_policy("cfo", 1),
        priority=90,
    )
    for n in range(5):
        await builders.an_agent(db, id_=f"agent-{n}", name=f"Kiosque {n}")
        await builders.a_merchant(db, id_=f"merchant-{n}")

    made = await together(
        *(
            floats.create_ops_action(
                origin="ops_ui", action_type=type_, params=params, created_by="ops-admin-1"
            )
            for n in range(5)
            for type_, params in (
                ("ADJUST_FLOAT", {**FLOAT, "agent_id": f"agent-{n}"}),
                ("FREEZE_MERCHANT", {"merchant_id": f"merchant-{n}", "reason": "A complaint"}),
            )
        )
    )

    assert sum(each["policy"]["name"] == "Many" for each in made) == 1


async def test_a_failed_action_keeps_counting_in_the_sum(floats: Engine, db: Database):
    await builders.a_policy(
        db,
        name="Split",
        criteria={"action_type": "ADJUST_FLOAT", **SPLIT},
        policy=role_policy("cfo", 1),
        priority=90,
    )
    for n in range(2):
        await builders.an_agent(db, id_=f"agent-{n}", name=f"Kiosque {n}")

    async def ask(n: int, amount: int) -> dict[str, Any]:
        return await floats.create_ops_action(
            origin="ops_ui",
            action_type="ADJUST_FLOAT",
            params={**FLOAT, "agent_id": f"agent-{n}", "amount": amount},
            created_by="finance-user-3",
        )

    first = await ask(0, 900_000)
    async with db.transaction("tests.fail") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set state = 'failed' where id = $1", first["id"]
        )

    second = await ask(1, 1)

    assert second["policy"]["name"] == "Split"


async def test_a_cancelled_action_makes_room_and_says_who_and_why(ops: Ops):
    id_ = await ops.ask()

    row = await commands.cancel(ops.runtime.db, id_, Actor(CREATOR), reason=WHY)

    assert (row.state, row.reason) == ("cancelled", f"by {CREATOR}")
    assert (await ops.create()).is_new
    entry = (await ops.trail(id_))[-1]
    assert (entry["event"], entry["actor"]) == ("action.cancelled", CREATOR)
