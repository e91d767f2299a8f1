"""What surrounds an ordinary approval: emergencies, unknown outcomes, undoing, stricter policies."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

import builders
from approving import CREATOR, EXECUTOR, VOTERS, WHY, Ops, role_policy, signed_in
from molam.approvals import aftermath, execution
from molam.approvals.aftermath import NotUndoable, ReviewAbsent
from molam.approvals.claims import NoLongerApproved
from molam.approvals.lifecycle import TransitionRefused
from molam.approvals.model import Actor, ReasonRequired, SameHands
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.auth.tokens import AAL1, AAL2

BREAKER = Actor("super-admin-1")
SECRET = "SN08SN0100152000048500003035"


async def _break_glass(ops: Ops, id_: UUID, who: Actor = BREAKER) -> Any:
    return await aftermath.break_glass(ops.runtime.db, id_, who, reason=WHY)


async def test_in_an_emergency_it_runs_without_votes_and_everybody_is_told(ops: Ops):
    id_ = await ops.ask()

    row = await _break_glass(ops, id_)
    done = await execution.execute(ops.runtime, id_, BREAKER)

    assert (row.state, row.status, done.success) == ("approved", "approved", True)
    assert set(await ops.told("break_glass_used")) == set(builders.OPERATIONS)
    assert "action.break_glass" in await ops.events(id_)


async def test_an_emergency_that_fails_in_passing_may_be_tried_again(ops: Ops):
    ops.psp.script = ["down"]
    id_ = await ops.ask("CALL_NATIVE")
    await _break_glass(ops, id_)
    assert not (await execution.execute(ops.runtime, id_, BREAKER)).success

    again = await execution.execute(ops.runtime, id_, BREAKER)

    assert again.success


async def test_an_emergency_takes_a_reason_and_a_fresh_second_factor(ops: Ops):
    id_ = await ops.ask()
    with pytest.raises(ReasonRequired):
        await aftermath.break_glass(ops.runtime.db, id_, BREAKER, reason="  now  ")
    for weak in (
        signed_in("super-admin-1", acr=AAL1),
        signed_in("super-admin-1", acr=AAL2, age_s=400),
    ):
        with pytest.raises(StepUpRequired):
            await _break_glass(ops, id_, weak)

    assert (await _break_glass(ops, id_, signed_in("super-admin-1", acr=AAL2))).state == "approved"


async def test_what_was_rejected_is_no_emergency(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1", "reject")

    with pytest.raises(TransitionRefused):
        await _break_glass(ops, id_)

    assert await ops.count("approvals.break_glass_uses") == 0


async def test_an_emergency_is_reviewed_once_by_somebody_else(ops: Ops):
    id_ = await ops.ask()
    await _break_glass(ops, id_)
    with pytest.raises(SameHands):
        await aftermath.review(ops.runtime.db, id_, BREAKER, text=WHY)

    await aftermath.review(ops.runtime.db, id_, Actor("compliance-1"), text=WHY)

    with pytest.raises(ReviewAbsent):
        await aftermath.review(ops.runtime.db, id_, Actor("cfo-1"), text=WHY)
    assert (await ops.events(id_))[-1] == "break_glass.reviewed"
    assert await aftermath.remind_of_reviews(ops.runtime.db) == 0


async def test_an_emergency_is_not_reviewed_by_who_asked_or_took_a_side(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")
    await _break_glass(ops, id_)
    [(asked, excluded)] = await ops.sql("select created_by, excluded from approvals.ops_actions")

    for party in {asked, "ops-admin-1", *excluded, BREAKER.id}:
        with pytest.raises(SameHands):
            await aftermath.review(ops.runtime.db, id_, Actor(party), text=WHY)

    await aftermath.review(ops.runtime.db, id_, Actor("compliance-1"), text=WHY)
    assert (await ops.events(id_))[-1] == "break_glass.reviewed"


async def test_an_overdue_review_is_asked_for_once(ops: Ops):
    id_ = await ops.ask()
    await _break_glass(ops, id_)
    assert await aftermath.remind_of_reviews(ops.runtime.db) == 0
    await ops.sql("update approvals.break_glass_uses set review_due = now()")

    counts = [await aftermath.remind_of_reviews(ops.runtime.db) for _ in range(2)]

    assert counts == [1, 1]
    assert (await ops.told("review_due")).count("compliance-1") == 1
    assert aftermath.REVIEWS_OVERDUE._value.get() == 1


async def _unknown(ops: Ops, type_: str = "CALL_NONE", **how: Any) -> UUID:
    ops.psp.script = ["lost"]
    id_ = await ops.approved(type_, **how)
    await ops.execute(id_)
    assert await ops.state(id_) == "execution_unknown"
    return id_


@pytest.mark.parametrize(("executed", "state"), [(True, "executed"), (False, "failed")])
async def test_two_people_find_out_what_became_of_it(ops: Ops, executed: bool, state: str):
    id_ = await _unknown(ops)

    first = await ops.reconcile(id_, "ops-admin-1", executed=executed)
    with pytest.raises(SameHands):
        await ops.reconcile(id_, "ops-admin-1", executed=executed)
    second = await ops.reconcile(id_, "finance-user-1", executed=executed)

    assert (first.agreed, first.row.state) == (False, "execution_unknown")
    assert (second.agreed, second.row.state, second.row.status) == (True, state, state)


async def test_two_people_who_disagree_settle_nothing(ops: Ops):
    id_ = await _unknown(ops)

    await ops.reconcile(id_, "ops-admin-1", executed=True)
    other = await ops.reconcile(id_, "ops-admin-2", executed=False)
    third = await ops.reconcile(id_, "finance-user-1", executed=False)

    assert (other.agreed, third.agreed, third.row.state) == (False, True, "failed")


async def test_only_what_is_unknown_is_reconciled(ops: Ops):
    id_ = await ops.approved()

    with pytest.raises(TransitionRefused):
        await ops.reconcile(id_, "ops-admin-1", executed=True)


async def test_undoing_is_an_action_of_its_own_that_is_linked_and_voted_on(ops: Ops):
    id_ = await ops.approved(params={"by": 4})
    await ops.execute(id_)

    undoing = (await ops.compensate(id_)).row
    assert (undoing.compensates, undoing.state, undoing.votes_cast) == (id_, "pending", 0)
    assert await ops.state(id_) == "executed"
    for voter in VOTERS:
        await ops.vote(undoing.id, voter)
    await ops.execute(undoing.id)

    row = await ops.row(id_)
    assert (row.state, row.status, await ops.value()) == ("compensated", "rolled_back", 0)
    assert (await ops.events(id_))[-2:] == ["action.compensating", "action.compensated"]


async def test_undoing_is_asked_for_once(ops: Ops):
    id_ = await ops.approved()
    await ops.execute(id_)

    first, second = await ops.compensate(id_), await ops.compensate(id_)

    assert (first.is_new, second.is_new, second.row.id) == (True, False, first.row.id)


async def test_what_was_not_done_or_has_no_inverse_is_not_undone(ops: Ops):
    with pytest.raises(NotUndoable):
        await ops.compensate(await ops.approved())
    id_ = await ops.approved("COUNT_VERIFIED")
    await ops.execute(id_)

    with pytest.raises(NotUndoable):
        await ops.compensate(id_)


async def _undone_by_call(ops: Ops, script: list[Any]) -> tuple[UUID, UUID]:
    id_ = await ops.approved("COUNT_UNDONE_BY_CALL")
    await ops.execute(id_)
    undoing = (await ops.compensate(id_)).row.id
    for voter in VOTERS:
        await ops.vote(undoing, voter)
    ops.psp.script = script
    await ops.execute(undoing)
    return id_, undoing


async def test_an_undoing_that_fails_leaves_it_to_be_undone_again(ops: Ops):
    id_, undoing = await _undone_by_call(ops, ["refused"])
    assert await ops.state(id_) == "compensation_failed"

    await ops.execute(undoing)

    assert await ops.state(id_) == "compensated"


async def test_an_undoing_that_fails_in_passing_and_is_given_up_leaves_nothing_hanging(ops: Ops):
    id_, undoing = await _undone_by_call(ops, ["down"])
    await ops.later(undoing, days=3)

    await ops.engine.run_escalation_job()

    assert await ops.state(undoing) == "expired"
    assert await ops.state(id_) == "compensation_failed"


@pytest.mark.parametrize(
    ("executed", "state"), [(True, "compensated"), (False, "compensation_failed")]
)
async def test_what_people_find_out_about_an_undoing_holds_for_what_it_undoes(
    ops: Ops, executed: bool, state: str
):
    id_, undoing = await _undone_by_call(ops, ["lost"])
    assert await ops.state(id_) == "compensating"

    await ops.reconcile(undoing, "ops-admin-1", executed=executed)
    await ops.reconcile(undoing, "ops-admin-2", executed=executed)

    assert await ops.state(id_) == state


async def test_a_policy_tightened_while_it_is_open_holds_at_the_next_vote(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")
    await builders.a_policy(
        ops.db, criteria={"action_type": "COUNT"}, policy=role_policy("compliance", 1)
    )

    second = await ops.vote(id_, "ops-admin-2")
    third = await ops.vote(id_, "compliance-1")

    assert (second.row.state, third.row.state) == ("pending", "approved")


async def test_a_tightened_policy_does_not_count_the_actions_own_amount_twice(ops: Ops):
    cap = {"currency": "XOF", "minor": 1_000}
    summed = {"field": "amount", "window": "24h", "$gt": cap}
    await builders.a_policy(
        ops.db,
        name="Splitting",
        criteria={"action_type": "COUNT", "$sum_over": summed},
        policy=role_policy("cfo", 1),
        priority=90,
    )
    id_ = await ops.approved(params={"reserve": {"currency": "XOF", "minor": 900}})
    await builders.a_policy(
        ops.db, name="Other", criteria={"action_type": "REFUSE"}, policy=role_policy()
    )

    assert (await ops.execute(id_)).success


async def test_a_policy_of_others_changes_nothing(ops: Ops):
    id_ = await ops.approved()
    await builders.a_policy(
        ops.db, criteria={"action_type": "REFUSE"}, policy=role_policy("compliance", 1)
    )

    assert (await ops.execute(id_)).success


async def test_a_role_lost_and_a_new_vote_in_time_keep_the_deadline_open(ops: Ops):
    id_ = await ops.approved()
    await ops.later(id_, hours=23)
    await ops.revoke(VOTERS[0], "ops_admin")
    with pytest.raises(NoLongerApproved):
        await ops.execute(id_)

    row = await ops.row(id_)

    assert row.expires_at - row.updated_at > timedelta(hours=23)
    assert "action.sent_back" in await ops.events(id_)


async def test_secrets_reach_no_inbox(ops: Ops):
    id_ = await ops.approved(params={"iban": SECRET})
    await ops.execute(id_)

    told = await ops.sql("select facts::text from notices.notices")

    assert told
    assert not [text for (text,) in told if SECRET in text]


async def test_secrets_are_masked_in_what_the_api_shows(ops: Ops):
    id_ = await ops.approved(params={"iban": SECRET})
    await ops.execute(id_)

    shown = {
        "detail": await ops.engine.get_action_with_votes(str(id_)),
        "lists": await ops.engine.get_user_action_history(CREATOR),
        "audit": await ops.engine.get_audit_trail(str(id_)),
        "queue": await ops.engine.get_pending_actions(["ops_admin"]),
    }

    assert [name for name, each in shown.items() if SECRET in json.dumps(each)] == []


async def test_figures_count_decisions_and_keep_what_was_executed_since(ops: Ops):
    await ops.execute(await ops.approved())
    rejected = await ops.ask(params={"counter": "south"})
    await ops.vote(rejected, "ops-admin-1", "reject")
    expired = await ops.ask(params={"counter": "east"})
    await ops.later(expired, days=2)
    await ops.engine.run_escalation_job()
    await ops.ask(params={"counter": "west"})

    [stats] = await ops.engine.get_approval_stats()
    [summary] = await ops.engine.get_pending_summary()

    assert (stats["action_type"], stats["total_actions"]) == ("COUNT", 4)
    counts = {key: stats[f"{key}_count"] for key in ("approved", "rejected", "expired")}
    assert counts == {"approved": 1, "rejected": 1, "expired": 1}
    assert (summary["action_type"], summary["status"], summary["count"]) == (
        "COUNT",
        "requested",
        1,
    )


async def test_the_console_of_the_specification_is_gathered(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")

    data = await ops.engine.get_dashboard_ops_data(["ops_admin"], "ops-admin-1")

    assert [each["id"] for each in data["pending_actions"]] == [str(id_)]
    assert [each["vote"] for each in data["user_votes"]] == ["approve"]
    assert data["stats"][0]["total_actions"] == 1


async def test_lists_are_filtered_before_they_are_cut(ops: Ops):
    await builders.a_policy(
        ops.db, criteria={"action_type": "REFUSE"}, policy=role_policy("cfo", 1)
    )
    for n in range(4):
        await ops.ask("REFUSE", params={"counter": f"c{n}"})
    mine = await ops.ask()

    pending = await ops.engine.get_pending_actions(["ops_admin"], 1, 0)

    assert [each["id"] for each in pending] == [str(mine)]


async def test_somebody_elses_executor_name_is_kept(ops: Ops):
    id_ = await ops.approved()
    await ops.execute(id_, EXECUTOR)

    mine = await ops.engine.get_user_action_history(EXECUTOR)

    assert [each["id"] for each in mine] == [str(id_)]
