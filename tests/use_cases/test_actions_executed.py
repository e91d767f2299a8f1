"""Carrying out: by one, of what was approved, once or visibly unknown."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

import builders
from approving import CREATOR, EXECUTOR, VOTERS, Ops, role_policy, together
from molam.approvals import claims, commands, execution, store, sweeps, voting
from molam.approvals.claims import Claim, NoLongerApproved, StaleIntent
from molam.approvals.execution import Ending
from molam.approvals.lifecycle import TransitionRefused
from molam.approvals.model import Actor, SameHands, VoteRequest
from molam.platform.actions import Outcome, Registry
from molam.platform.db import Query
from molam.platform.db.transaction import assert_no_transaction

TRIALS = 30
AUTO: dict[str, Any] = {"auto_execute": True}


async def _auto(ops: Ops, type_: str, **rest: Any) -> None:
    await builders.a_policy(
        ops.db, criteria={"action_type": type_}, policy=role_policy(votes=2, **AUTO, **rest)
    )


async def _claim(ops: Ops, id_: UUID) -> Claim:
    return await claims.claim(ops.runtime, id_, Actor(EXECUTOR))


async def _attempts(ops: Ops, id_: UUID) -> list[str | None]:
    rows = await ops.sql(
        "select outcome from approvals.execution_attempts where ops_action_id = $1 order by fence",
        id_,
    )
    return [row[0] for row in rows]


async def test_what_was_approved_is_carried_out_with_its_result(ops: Ops):
    id_ = await ops.approved(params={"by": 3})

    done = await ops.execute(id_)

    row = await ops.row(id_)
    assert done.success
    assert await ops.value() == 3
    assert (row.status, row.executed_by) == ("executed", EXECUTOR)
    assert row.result == {
        "counted": 3,
        "changes": [{"what": "value", "before": 0, "after": 3}],
        "external_refs": [],
    }


async def test_what_is_not_approved_is_not_carried_out(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")

    with pytest.raises(TransitionRefused):
        await ops.execute(id_)

    assert await ops.value() == 0


async def test_whoever_approved_does_not_carry_out(ops: Ops):
    id_ = await ops.approved()

    with pytest.raises(SameHands):
        await ops.execute(id_, VOTERS[0])

    assert await ops.state(id_) == "approved"


async def test_a_policy_may_let_voters_carry_out(ops: Ops):
    await builders.a_policy(
        ops.db,
        criteria={"action_type": "COUNT"},
        policy=role_policy(votes=2, voters_may_execute=True),
    )

    assert (await ops.execute(await ops.approved(), VOTERS[0])).success


async def test_params_changed_behind_the_engines_back_go_stale(ops: Ops):
    id_ = await ops.approved()
    await ops.sql(
        "update approvals.ops_actions set params = params || '{\"by\": 1000}' where id = $1", id_
    )

    with pytest.raises(StaleIntent):
        await ops.execute(id_)

    assert (await ops.state(id_), await ops.value()) == ("stale", 0)
    assert (await ops.events(id_))[-1] == "action.stale"


async def test_rules_changed_behind_the_engines_back_go_stale(ops: Ops):
    id_ = await ops.approved()
    await ops.sql(
        "update approvals.ops_actions set policy_snapshot = jsonb_set(policy_snapshot,"
        " '{rules,required_ratio}', '\"0\"') where id = $1",
        id_,
    )

    with pytest.raises(StaleIntent):
        await ops.execute(id_)

    assert await ops.value() == 0


async def test_four_workers_at_once_have_one_winner(ops: Ops):
    outcomes: Counter[int] = Counter()
    for trial in range(TRIALS):
        counter = f"c{trial}"
        id_ = await ops.approved(params={"counter": counter})
        done = await together(*(ops.execute(id_) for _ in range(4)))
        assert sum(isinstance(each, TransitionRefused) for each in done) == 3
        outcomes[await ops.value(counter)] += 1

    assert outcomes == {1: TRIALS}


async def test_without_the_row_lock_workers_do_it_again_or_fail(
    ops: Ops, monkeypatch: pytest.MonkeyPatch
):
    unlocked = store.LOCK_ACTIONS.sql.replace("for update", "")
    winners: Counter[int] = Counter()
    ids = [await ops.approved("CALL_NATIVE", params={"counter": f"c{n}"}) for n in range(TRIALS)]
    monkeypatch.setattr(store, "LOCK_ACTIONS", Query(unlocked, row=store.ActionRow))

    for id_ in ids:
        done = await together(*(ops.execute(id_) for _ in range(4)))
        winners[sum(isinstance(each, TransitionRefused) for each in done)] += 1

    assert winners[3] < TRIALS


async def test_a_voter_who_lost_the_role_sends_it_back_with_the_other_votes(ops: Ops):
    id_ = await ops.approved()
    await ops.revoke(VOTERS[0], "ops_admin")

    with pytest.raises(NoLongerApproved):
        await ops.execute(id_)

    back = await ops.row(id_)
    assert (back.state, back.votes_approve, await ops.value()) == ("pending", 2, 0)
    assert "ops-admin-3" in await ops.told("action_sent_back")
    assert (await ops.vote(id_, "ops-admin-3")).row.state == "approved"
    assert (await ops.execute(id_, "finance-user-1")).success


async def test_a_stricter_policy_sends_back_what_it_would_not_have_approved(ops: Ops):
    id_ = await ops.approved()
    await builders.a_policy(ops.db, criteria={"action_type": "COUNT"}, policy=role_policy("cfo", 1))

    with pytest.raises(NoLongerApproved):
        await ops.execute(id_)

    assert await ops.state(id_) == "pending"
    assert (await ops.vote(id_, "cfo-1")).row.state == "approved"
    assert (await ops.execute(id_)).success


async def test_a_looser_policy_changes_nothing_for_what_is_open(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")
    await builders.a_policy(ops.db, criteria={"action_type": "COUNT"}, policy=role_policy(votes=1))

    assert (await ops.vote(id_, "ops-admin-2")).row.state == "approved"
    third = await ops.ask(params={"counter": "south"})
    assert (await ops.vote(third, "ops-admin-1")).row.state == "approved"


async def test_a_target_that_moved_makes_it_stale_and_nothing_happens(ops: Ops):
    id_ = await ops.approved(params={"strict": True})
    await ops.sql("insert into public.counters values ('north', 9)")

    done = await ops.execute(id_)

    assert (done.success, done.state, done.error_code) == (False, "stale", "precondition-changed")
    assert await ops.value() == 9


async def test_what_the_domain_refuses_at_the_last_moment_fails_and_is_not_retried(ops: Ops):
    id_ = await ops.approved("REFUSE")

    done = await ops.execute(id_)

    row = await ops.row(id_)
    assert (done.success, done.error_code) == (False, "counter-absent")
    assert (row.state, row.status, row.next_attempt_at) == ("failed", "failed", None)
    assert await ops.engine.run_auto_execute_job() == {"executed": 0, "failed": 0}


async def test_every_attempt_has_the_same_key(ops: Ops):
    ops.psp.script = ["down", "lost", "done"]
    id_ = await ops.approved("CALL_NATIVE")

    for _ in range(3):
        await ops.execute(id_)

    assert len(ops.psp.keys) == 3
    assert len(set(ops.psp.keys)) == 1
    assert await ops.state(id_) == "executed"
    assert await _attempts(ops, id_) == ["transient", "transient", "executed"]


async def test_keys_differ_from_action_to_action(ops: Ops):
    for counter in ("north", "south"):
        await ops.execute(await ops.approved("CALL_NATIVE", params={"counter": counter}))

    assert len(set(ops.psp.keys)) == 2


async def test_a_worker_that_was_taken_for_dead_writes_nothing(ops: Ops):
    id_ = await ops.approved("CALL_NATIVE")
    claim = await _claim(ops, id_)
    await ops.later(id_, seconds=31)
    assert await sweeps.recover(ops.runtime) == 1
    recovered = await ops.row(id_)

    late = await execution.finish(
        ops.runtime, claim, Ending("executed", Outcome({"called": "by the dead"}))
    )

    assert (late.success, late.error_code) == (False, "lease-lost")
    assert await ops.row(id_) == recovered
    assert recovered.state == "executed"
    assert await _attempts(ops, id_) == ["lost", "executed"]


async def test_without_the_fence_the_dead_would_overwrite(
    ops: Ops, monkeypatch: pytest.MonkeyPatch
):
    async def trusting(tx: Any, claim: Claim) -> Any:
        return await execution.lock(tx, claim.action_id)

    id_ = await ops.approved("CALL_NONE")
    claim = await _claim(ops, id_)
    await ops.later(id_, seconds=31)
    await sweeps.recover(ops.runtime)
    assert await ops.state(id_) == "execution_unknown"
    monkeypatch.setattr(execution, "_still_ours", trusting)

    with pytest.raises(TransitionRefused):
        await execution.finish(ops.runtime, claim, Ending("executed", Outcome({"called": True})))


async def test_a_living_worker_keeps_its_lease(ops: Ops):
    id_ = await ops.approved("CALL_NATIVE")
    await _claim(ops, id_)

    assert await sweeps.recover(ops.runtime) == 0

    assert await ops.state(id_) == "executing"


@pytest.mark.parametrize(
    ("type_", "answer", "state", "effects"),
    [
        ("CALL_NATIVE", "lost", "failed", 1),
        ("CALL_PROBE", "lost", "executed", 1),
        ("CALL_PROBE", "silent", "failed", 0),
        ("CALL_NONE", "lost", "execution_unknown", 1),
        ("CALL_NONE", "silent", "execution_unknown", 0),
        ("CALL_NONE", "refused", "failed", 0),
    ],
)
async def test_an_answer_that_is_lost_is_found_out_or_stays_unknown(
    ops: Ops, type_: str, answer: Any, state: str, effects: int
):
    ops.psp.script = [answer]
    id_ = await ops.approved(type_)

    await ops.execute(id_)

    assert await ops.state(id_) == state
    assert ops.psp.effects.total() == effects


async def test_of_an_unknown_outcome_hears_whoever_may_find_out(ops: Ops):
    ops.psp.script = ["lost"]
    id_ = await ops.approved("CALL_NONE")

    await ops.execute(id_)

    finders = {"ops-admin-1", "ops-admin-2", "finance-user-1", "finance-user-2"}
    assert finders <= set(await ops.told("execution_unknown"))


@pytest.mark.parametrize(
    ("type_", "happened", "state", "calls"),
    [
        ("COUNT", False, "executed", 0),
        ("CALL_NATIVE", True, "executed", 1),
        ("CALL_PROBE", True, "executed", 0),
        ("CALL_PROBE", False, "failed", 0),
        ("CALL_NONE", True, "execution_unknown", 0),
    ],
)
async def test_a_worker_killed_after_its_claim_is_replaced(
    ops: Ops, type_: str, happened: bool, state: str, calls: int
):
    ops.psp.idempotent = True
    id_ = await ops.approved(type_)
    claim = await _claim(ops, id_)
    if happened:
        ops.psp.effects[claim.execution.key] += 1
    await ops.later(id_, seconds=31)

    assert await sweeps.recover(ops.runtime) == 1

    assert await ops.state(id_) == state
    assert len(ops.psp.keys) == calls
    assert max(ops.psp.effects.values(), default=0) <= 1
    assert await ops.value() == (1 if type_ == "COUNT" else 0)


async def test_an_attempt_of_a_type_that_is_gone_is_left_to_people_and_keeps_nobody_waiting(
    ops: Ops,
):
    gone, known = await ops.approved("CALL_NATIVE"), await ops.approved("COUNT")
    for id_ in (gone, known):
        await _claim(ops, id_)
    await ops.later(known, seconds=31)
    await ops.later(gone, seconds=62)
    left = Registry([each for each in ops.runtime.registry if each.name != "CALL_NATIVE"])

    assert await sweeps.recover(replace(ops.runtime, registry=left)) == 2

    row = await ops.row(gone)
    assert (row.state, row.error_code) == ("execution_unknown", "unknown-action-type")
    assert await _attempts(ops, gone) == ["lost"]
    assert await ops.state(known) == "executed"
    assert "ops-admin-1" in await ops.told("execution_unknown")


async def test_what_a_type_that_is_gone_should_verify_keeps_nobody_waiting(ops: Ops):
    for type_ in ("COUNT_VERIFIED", "COUNT"):
        await ops.execute(await ops.approved(type_))
    [verified] = await ops.sql("select id from approvals.ops_actions where verify_at is not null")
    await ops.later(verified[0], hours=24)
    left = Registry([each for each in ops.runtime.registry if each.name != "COUNT_VERIFIED"])

    without = await sweeps.verify(replace(ops.runtime, registry=left))
    again = await sweeps.verify(ops.runtime)

    assert without == {"verified": 0, "ineffective": 0}
    assert sum(again.values()) == 1


async def test_a_probe_without_an_answer_leaves_it_unknown(ops: Ops):
    ops.psp.script, ops.psp.probes_answered = ["lost"], False
    id_ = await ops.approved("CALL_PROBE")

    await ops.execute(id_)

    row = await ops.row(id_)
    assert (row.state, row.status, row.error_code) == (
        "execution_unknown",
        "executing",
        "probe-failed",
    )
    assert await sweeps.recover(ops.runtime) == 0


async def test_passing_failures_are_tried_again_by_the_job_up_to_a_limit(ops: Ops):
    await _auto(ops, "CALL_NATIVE")
    ops.psp.script = ["down"] * 5
    id_ = await ops.approved("CALL_NATIVE")

    counts = []
    for _ in range(5):
        counts.append(await ops.engine.run_auto_execute_job())
        await ops.later(id_, seconds=900)

    failed, nothing = {"executed": 0, "failed": 1}, {"executed": 0, "failed": 0}
    row = await ops.row(id_)
    assert counts == [failed, failed, failed, nothing, nothing]
    assert (row.attempts, row.next_attempt_at, row.state) == (3, None, "failed")
    assert (await ops.events(id_)).count("execution.failed") == 3


async def test_the_job_carries_out_what_its_policy_lets_run_by_itself(ops: Ops):
    await _auto(ops, "COUNT")
    for n in range(3):
        await ops.approved(params={"counter": f"c{n}"})
    waiting = await ops.approved("COUNT_VERIFIED")

    assert await ops.engine.run_auto_execute_job() == {"executed": 3, "failed": 0}

    assert {await ops.value(f"c{n}") for n in range(3)} == {1}
    assert await ops.state(waiting) == "approved"
    rows = await ops.sql(
        "select distinct executed_by from approvals.ops_actions where result <> '{}'"
    )
    assert rows == [("system_auto_execute",)]


async def test_several_jobs_at_once_carry_out_each_action_once(ops: Ops):
    await _auto(ops, "COUNT")
    for n in range(6):
        await ops.approved(params={"counter": f"c{n}"})

    counts = await together(*(ops.engine.run_auto_execute_job() for _ in range(3)))

    assert sum(each["executed"] for each in counts) == 6
    assert [await ops.value(f"c{n}") for n in range(6)] == [1] * 6


async def test_a_requester_who_wants_a_person_gets_one(ops: Ops):
    await _auto(ops, "COUNT")
    id_ = await ops.approved(auto_execute=False)

    assert await ops.engine.run_auto_execute_job() == {"executed": 0, "failed": 0}

    assert await ops.state(id_) == "approved"


async def test_what_cannot_be_asked_about_never_runs_by_itself_nor_again(ops: Ops):
    await _auto(ops, "CALL_NONE")
    ops.psp.script = ["down"]
    id_ = await ops.approved("CALL_NONE")

    by_itself = await ops.engine.run_auto_execute_job()
    await ops.execute(id_)
    await ops.later(id_, seconds=900)
    again = await ops.engine.run_auto_execute_job()

    assert by_itself == again == {"executed": 0, "failed": 0}
    assert len(ops.psp.keys) == 1
    assert (await ops.execute(id_)).success, "a person may try again"


async def test_recovery_leaves_the_decision_as_it_was(ops: Ops):
    id_ = await ops.approved("CALL_PROBE")
    before = await ops.counted(id_)
    await _claim(ops, id_)
    await ops.later(id_, seconds=31)

    await sweeps.recover(ops.runtime)

    after = await ops.counted(id_)
    assert after.votes == before.votes
    assert after.row.votes_approve == 2
    assert (await ops.events(id_)).count("action.approved") == 1


async def test_cancel_and_execute_at_once_have_one_winner(ops: Ops):
    outcomes: Counter[tuple[str, int]] = Counter()
    for trial in range(TRIALS):
        counter = f"c{trial}"
        id_ = await ops.approved(params={"counter": counter})
        both = await together(
            ops.execute(id_),
            commands.cancel(ops.runtime.db, id_, Actor(CREATOR), reason=None),
        )
        assert sum(isinstance(each, TransitionRefused) for each in both) == 1
        outcomes[await ops.state(id_), await ops.value(counter)] += 1

    assert set(outcomes) <= {("executed", 1), ("cancelled", 0)}


async def test_no_call_is_made_inside_a_transaction(ops: Ops):
    id_ = await ops.approved("CALL_PROBE")
    ops.psp.script = ["lost"]

    assert (await ops.execute(id_)).success, "both the call and the probe assert it"

    async with ops.runtime.db.transaction("tests.outer"):
        with pytest.raises(AssertionError, match="inside transaction"):
            assert_no_transaction("a call to the provider")


async def test_a_failed_action_stays_failed_until_somebody_deals_with_it(ops: Ops):
    ops.psp.script = ["refused"]
    id_ = await ops.approved("CALL_NATIVE")
    await ops.execute(id_)

    retried = await ops.execute(id_)

    assert retried.success
    assert await ops.state(id_) == "executed"


async def test_a_failed_action_can_be_given_up(ops: Ops):
    id_ = await ops.approved("REFUSE")
    await ops.execute(id_)

    row = await commands.cancel(ops.runtime.db, id_, Actor(CREATOR), reason="no longer wanted")

    assert row.state == "cancelled"


async def test_the_effect_is_verified_afterwards(ops: Ops):
    good = await ops.approved("COUNT_VERIFIED")
    await ops.execute(good)
    assert await sweeps.verify(ops.runtime) == {"verified": 0, "ineffective": 0}
    await ops.later(good, hours=1)
    first = await sweeps.verify(ops.runtime)
    ops.psp.effects["any"] += 1
    second_id = await ops.approved("COUNT_VERIFIED", params={"counter": "south"})
    await ops.execute(second_id)
    await ops.later(second_id, hours=1)

    second = await sweeps.verify(ops.runtime)

    assert (first, second) == (
        {"verified": 0, "ineffective": 1},
        {"verified": 1, "ineffective": 0},
    )
    assert (await ops.state(good), (await ops.row(good)).status) == ("ineffective", "executed")
    assert await ops.state(second_id) == "verified"


async def test_a_vote_during_execution_changes_nothing(ops: Ops):
    id_ = await ops.approved("CALL_NATIVE")
    claim = await _claim(ops, id_)

    with pytest.raises(TransitionRefused):
        await voting.vote(
            ops.runtime,
            id_,
            VoteRequest(vote="withdrawn"),
            Actor(VOTERS[0]),
        )

    assert (await execution.run(ops.runtime, claim)).success
