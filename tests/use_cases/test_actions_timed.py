"""Time: deadlines hold without any scheduler, and a scheduler changes nothing twice."""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

import builders
from approving import CREATOR, VOTERS, WHY, Ops, role_policy, together
from molam.approvals import notify, sweep_store, sweeps, voting
from molam.approvals.engine import read_request
from molam.approvals.jobs import crons
from molam.approvals.model import (
    ActionExpired,
    Actor,
    ExecutionFrozen,
    FieldsRefused,
    NotEligible,
    NotYet,
)


async def _policy(ops: Ops, **rest: Any) -> None:
    await builders.a_policy(
        ops.db, criteria={"action_type": "COUNT"}, policy=role_policy(votes=2, **rest)
    )


async def test_nobody_approves_after_the_deadline_though_nothing_swept(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")
    await ops.later(id_, hours=24)

    with pytest.raises(ActionExpired):
        await ops.vote(id_, "ops-admin-2")

    counted = await ops.counted(id_)
    assert (counted.row.state, counted.row.status, counted.row.reason) == (
        "expired",
        "expired",
        "approval",
    )


async def test_a_vote_a_moment_before_the_deadline_counts(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")
    await ops.later(id_, seconds=24 * 3600 - 30)

    assert (await ops.vote(id_, "ops-admin-2")).row.state == "approved"


async def test_a_late_rejection_is_kept_as_a_comment_and_the_expiry_is_nobodys(ops: Ops):
    id_ = await ops.ask()
    await ops.later(id_, days=2)

    cast = await ops.vote(id_, "ops-admin-2", "reject")

    trail = [(each["event"], each["actor"]) for each in await ops.trail(id_)]
    assert (cast.late, cast.vote_id, cast.row.state) == (True, None, "expired")
    assert trail[1:] == [("action.expired", "system"), ("vote.late_reject", "ops-admin-2")]
    assert await ops.one("select kind from approvals.action_comments") == "late_reject"
    assert (cast.row.votes_reject, cast.row.votes_cast) == (0, 0)
    assert await ops.told("action_expired") == [CREATOR]


async def test_the_time_to_execute_is_a_window_of_its_own(ops: Ops):
    id_ = await ops.approved()
    await ops.later(id_, hours=24)

    with pytest.raises(ActionExpired):
        await ops.execute(id_)

    row = await ops.row(id_)
    assert (row.state, row.reason, await ops.value()) == ("expired", "execution", 0)
    assert (await ops.events(id_))[-1] == "action.expired"


async def test_an_execution_shortly_before_its_window_closes_happens(ops: Ops):
    id_ = await ops.approved()
    await ops.later(id_, seconds=24 * 3600 - 30)

    assert (await ops.execute(id_)).success


async def test_what_is_to_happen_later_does_not_happen_before(ops: Ops):
    at = datetime.now(UTC) + timedelta(hours=2)
    id_ = await ops.ask(not_before=at.isoformat())
    for voter in VOTERS:
        await ops.vote(id_, voter)

    with pytest.raises(NotYet):
        await ops.execute(id_)

    assert (await ops.row(id_)).status == "approved"
    assert await ops.state(id_) == "scheduled"
    await ops.later(id_, hours=2.01)
    assert (await ops.execute(id_)).success


def test_a_time_without_an_offset_is_refused():
    request = {"origin": "ops_ui", "action_type": "COUNT", "params": {}}

    for text in ("2026-03-29T02:30:00", "2028-02-29T00:00:00", "2026-11-01T01:30:00"):
        with pytest.raises(FieldsRefused):
            read_request({**request, "not_before": text})
    assert read_request({**request, "not_before": "2028-02-29T00:00:00+05:30"}).not_before


async def test_an_escalated_action_stays_votable_by_those_of_before_and_the_added(ops: Ops):
    await _policy(ops, escalation_role="cfo", timeout_seconds=3600)
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")
    with pytest.raises(NotEligible):
        await ops.vote(id_, "cfo-1")
    await ops.later(id_, hours=1.5)

    shown = await ops.counted(id_)
    last = await ops.vote(id_, "cfo-1")

    assert (shown.row.status, shown.row.level) == ("escalated", 1)
    assert (last.row.state, last.row.votes_approve) == ("approved", 2)


async def test_the_last_level_extends_the_time_once_and_then_it_expires(ops: Ops):
    await _policy(ops, escalation_role="cfo", timeout_seconds=3600)
    id_ = await ops.ask()

    await ops.later(id_, hours=1.5)
    first = await ops.engine.run_escalation_job()
    await ops.later(id_, hours=0.4)
    between = await ops.engine.run_escalation_job()
    await ops.later(id_, hours=0.2)
    last = await ops.engine.run_escalation_job()

    assert [first, between, last] == [
        {"escalated": 1, "expired": 0},
        {"escalated": 0, "expired": 0},
        {"escalated": 0, "expired": 1},
    ]
    assert await ops.state(id_) == "expired"


async def test_each_level_is_told_once_however_often_the_job_runs(
    ops: Ops, monkeypatch: pytest.MonkeyPatch
):
    await _policy(ops, escalation_role="cfo", timeout_seconds=3600)
    id_ = await ops.ask()
    await ops.later(id_, hours=1.5)
    told = notify.action_escalated

    async def dies(*args: Any) -> None:
        await told(*args)
        raise RuntimeError("the process dies before its commit")

    monkeypatch.setattr(notify, "action_escalated", dies)
    with pytest.raises(RuntimeError):
        await ops.engine.run_escalation_job()
    assert await ops.told("action_escalated") == []
    monkeypatch.setattr(notify, "action_escalated", told)
    await ops.engine.run_escalation_job()
    await ops.engine.run_escalation_job()

    assert (await ops.told("action_escalated")).count("cfo-1") == 1
    assert (await ops.events(id_)).count("action.escalated") == 1


async def test_whoever_votes_before_the_job_comes_hides_no_level_from_those_it_adds(ops: Ops):
    await _policy(ops, escalation_role="cfo", timeout_seconds=3600)
    id_ = await ops.ask()
    await ops.later(id_, hours=1.5)

    await ops.vote(id_, "ops-admin-1")
    await ops.engine.run_escalation_job()

    assert "cfo-1" in await ops.told("action_escalated")


async def test_a_level_that_nobody_holds_is_passed_at_once(ops: Ops):
    await _policy(
        ops,
        timeout_seconds=7200,
        escalation=[
            {"after": "30m", "add_roles": ["treasury_ops"]},
            {"after": "60m", "add_roles": ["cfo"]},
        ],
    )
    id_ = await ops.ask()
    await ops.later(id_, hours=0.6)

    assert await ops.engine.run_escalation_job() == {"escalated": 1, "expired": 0}

    row = await ops.row(id_)
    whys = [e["snapshot"]["why"] for e in await ops.trail(id_) if e["event"] == "action.escalated"]
    assert (row.level, whys) == (2, ["time", "empty"])
    await ops.vote(id_, "cfo-1")


async def test_what_becomes_unreachable_escalates_before_it_blocks(ops: Ops):
    await _policy(ops, escalation_role="cfo", timeout_seconds=3600)
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1", "abstain")

    cast = await ops.vote(id_, "ops-admin-2", "abstain")

    assert (cast.row.state, cast.row.level) == ("pending", 1)


async def test_a_replacing_level_takes_the_decision_from_those_before(ops: Ops):
    await _policy(
        ops,
        timeout_seconds=7200,
        escalation=[{"after": "30m", "add_roles": ["finance_ops"], "replace": True}],
    )
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")
    await ops.later(id_, hours=0.6)

    with pytest.raises(NotEligible):
        await ops.vote(id_, "ops-admin-2")
    await ops.vote(id_, "finance-user-1")
    assert (await ops.vote(id_, "finance-user-2")).row.state == "approved"


async def test_a_timeout_in_business_hours_is_counted_by_the_calendar(ops: Ops):
    await _policy(ops, timeout_seconds="8bh")

    row = (await ops.create()).row

    assert row.expires_at - row.created_at >= timedelta(hours=8)
    assert row.timeout_seconds >= 8 * 3600


async def test_nothing_is_carried_out_in_a_frozen_time(ops: Ops):
    id_ = await ops.approved()
    other = await ops.approved("COUNT_VERIFIED")
    await ops.sql(
        "insert into approvals.freezes (id, reason, action_types, starts_at, ends_at, created_by,"
        " created_at) values (gen_random_uuid(), 'Tabaski', '{COUNT}', now(),"
        " now() + interval '1 day', 'tests', now())"
    )

    with pytest.raises(ExecutionFrozen):
        await ops.execute(id_)

    assert await ops.state(id_) == "approved"
    assert (await ops.execute(other)).success
    await ops.sql("update approvals.freezes set ended_at = now(), ended_by = 'tests'")
    assert (await ops.execute(id_)).success


async def test_the_kill_switch_stops_everything_the_job_included(ops: Ops):
    await _policy(ops, auto_execute=True)
    id_ = await ops.approved()
    await ops.sql(
        "insert into approvals.freezes (id, reason, starts_at, created_by, created_at)"
        " values (gen_random_uuid(), 'kill switch', now(), 'tests', now())"
    )

    assert await ops.engine.run_auto_execute_job() == {"executed": 0, "failed": 0}

    assert (await ops.state(id_), await ops.value()) == ("approved", 0)


async def _due(ops: Ops, count: int) -> list[UUID]:
    ids = [await ops.ask(params={"counter": f"c{n}"}) for n in range(count)]
    for id_ in ids:
        await ops.later(id_, days=2)
    return ids


async def test_two_sweepers_at_once_take_each_action_once(ops: Ops):
    ids = await _due(ops, 20)

    counts = await together(*(ops.engine.run_escalation_job() for _ in range(4)))

    assert sum(each["expired"] for each in counts) == 20
    for id_ in ids:
        assert (await ops.events(id_)).count("action.expired") == 1


async def test_a_sweeper_passes_over_what_somebody_holds_and_waits_without_the_clause(ops: Ops):
    [id_] = await _due(ops, 1)
    waiting = sweep_store.NEXT_DUE.text.replace("for update skip locked", "for update")

    async with ops.db.transaction("tests.hold") as holder:
        await holder.connection.fetch(
            "select id from approvals.ops_actions where id = $1 for update", id_
        )
        passed = await _beside(ops, sweep_store.NEXT_DUE.text)
        waited = await _beside(ops, waiting)

    assert (passed, waited) == ("found nothing", "waited")


async def _beside(ops: Ops, statement: str) -> str:
    """Run *statement* in a transaction of its own, which does not wait for long."""

    async def run() -> str:
        async with ops.runtime.db.transaction("tests.sweep") as tx:
            await tx.connection.execute("set local lock_timeout = '100ms'")
            try:
                return "found one" if await tx.connection.fetch(statement) else "found nothing"
            except asyncpg.LockNotAvailableError:
                return "waited"

    return await contextvars.Context().run(asyncio.create_task, run())


async def test_an_approved_action_whose_window_closed_is_swept(ops: Ops):
    id_ = await ops.approved()
    await ops.later(id_, days=2)

    assert await ops.engine.run_escalation_job() == {"escalated": 0, "expired": 1}

    assert (await ops.row(id_)).reason == "execution"


async def test_expiry_against_the_last_vote_ends_in_one_of_two_ways(ops: Ops):
    outcomes: Counter[str] = Counter()
    for trial in range(10):
        counter = f"c{trial}"
        id_ = await ops.ask(params={"counter": counter})
        await ops.vote(id_, "ops-admin-1")
        await ops.later(id_, seconds=24 * 3600 - 0.02)
        await together(ops.vote(id_, "ops-admin-2"), sweeps.escalate_expired(ops.runtime))
        await sweeps.escalate_expired(ops.runtime)
        outcomes[await ops.state(id_)] += 1

    assert set(outcomes) <= {"approved", "expired"}


async def test_the_jobs_are_scheduled_as_the_specification_says(ops: Ops):
    schedule = {each.name: each.expression for each in crons(ops.runtime.registry)}

    assert schedule["approvals.escalate"] == "*/10 * * * *"
    assert schedule["approvals.auto_execute"] == "*/2 * * * *"


async def test_comments_are_taken_after_the_end_too(ops: Ops):
    id_ = await ops.ask()
    await ops.later(id_, days=2)

    row = await voting.comment(ops.runtime.db, id_, Actor(CREATOR), text=WHY)

    assert row.state == "expired"
    assert (await ops.events(id_))[-2:] == ["action.expired", "comment.added"]
