"""Putting dead letters back and changing rate limits, as approved actions do it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import msgspec
import pytest

from builders import NOW
from carrying_out import carry_out, do, rehearse, rows
from molam.platform.actions import Change, PreconditionChanged
from molam.platform.events import actions as events_actions
from molam.platform.events.actions import NoDeadLetters
from molam.platform.web import problems, rate_actions, rate_limits
from molam.platform.web.caller import Caller
from molam.platform.web.rate_limits import OPS_EXECUTE, OPS_READ, RateLimit, RateLimited

(REQUEUE,) = events_actions.ACTIONS
(RATE,) = rate_actions.ACTIONS

CALLER = Caller(
    subject="ibrahima.ba",
    name="Ibrahima Ba",
    merchant_id=None,
    roles=frozenset({"ops_admin"}),
    locale="fr",
    acr="",
    auth_time=None,
    csrf=None,
    via="bearer",
    request_id="r",
    ip="",
    user_agent="",
)
SMALL = RateLimit("tests.small", 3)


async def dead_letters(db, count, *, group="kpi", payload=None, start=0):
    event = {
        "specversion": "1.0",
        "type": "wallet_txn_created",
        "subject": "tx",
        "data": {"merchant_id": "merchant-123"},
    }
    async with db.transaction("tests.bury") as tx:
        await tx.connection.executemany(
            'insert into platform.dead_letters ("group", topic, part, pos, payload, reason)'
            " values ($1, 'events', 0, $2, $3, 'tests')",
            [(group, start + n, payload or json.dumps(event)) for n in range(count)],
        )


async def waiting(db):
    return (await rows(db, "select count(*) from platform.dead_letters where requeued_at is null"))[
        0
    ][0]


async def published(db):
    return (await rows(db, "select count(*) from platform.events"))[0][0]


async def test_oldest_dead_letters_are_put_back(db, ops_db):
    await dead_letters(db, 5)
    shown = await rehearse(ops_db, REQUEUE, {"max_items": 3})
    assert shown.plan.changes == (
        Change("dead_letters_waiting", 5, 2),
        Change("events_published_again", 0, 3),
    )

    outcome = await carry_out(ops_db, shown)

    assert outcome.result == {"requeued": True, "count": 3, "unreadable": 0}
    assert await rows(
        db, "select pos from platform.dead_letters where requeued_at is null order by pos"
    ) == [(3,), (4,)]
    assert await published(db) == 3


async def test_requeueing_again_under_its_key_publishes_nothing_more(db, ops_db):
    await dead_letters(db, 5)
    shown = await rehearse(ops_db, REQUEUE, {"max_items": 3})
    first = await carry_out(ops_db, shown)

    again = await carry_out(ops_db, shown)

    assert again.result == first.result
    assert await published(db) == 3


async def test_requeueing_under_another_key_goes_on(db, ops_db):
    """The twin of the test above: it is the key that holds the second run back."""
    await dead_letters(db, 5)
    shown = await rehearse(ops_db, REQUEUE, {"max_items": 3})
    await carry_out(ops_db, shown)

    outcome = await carry_out(ops_db, shown, key="key-2")

    assert outcome.result["count"] == 2


async def test_two_at_once_publish_each_dead_letter_once(db, ops_db):
    await dead_letters(db, 8)
    shown = await rehearse(ops_db, REQUEUE, {"max_items": 8})

    await asyncio.gather(*(carry_out(ops_db, shown, key=f"key-{n}") for n in range(3)))

    assert await published(db) == 8


async def test_what_is_no_event_does_not_stand_in_the_way(db, ops_db):
    await dead_letters(db, 150, payload="not json")
    await dead_letters(db, 5, start=1000)

    outcome = await do(ops_db, REQUEUE, {"max_items": 5})

    assert outcome.result == {"requeued": True, "count": 5, "unreadable": 150}
    assert await waiting(db) == 150


async def test_only_the_named_group_is_put_back(db, ops_db):
    await dead_letters(db, 2, group="kpi")
    await dead_letters(db, 3, group="intake")

    outcome = await do(ops_db, REQUEUE, {"max_items": 1000, "group": "intake"})

    assert outcome.result["count"] == 3
    assert await waiting(db) == 2


async def test_nothing_to_put_back_is_not_worth_an_approval(db, ops_db):
    await dead_letters(db, 1, group="kpi")

    with pytest.raises(NoDeadLetters):
        await rehearse(ops_db, REQUEUE, {"max_items": 1, "group": "intake"})


async def test_rate_limit_is_changed_and_counts_at_once(db, ops_db):
    shown = await rehearse(ops_db, RATE, {"limit": 2})
    assert shown.plan.changes == (Change("requests_per_hour", 1000, 2),)

    outcome = await carry_out(ops_db, shown)

    assert outcome.result == {
        "adjusted": True,
        "limit": 2,
        "name": "ops.read",
        "old_limit": 1000,
    }
    assert await RATE.verify(ops_db, shown.params)
    await rate_limits.take(ops_db, OPS_READ, CALLER)
    await rate_limits.take(ops_db, OPS_READ, CALLER)
    with pytest.raises(RateLimited):
        await rate_limits.take(ops_db, OPS_READ, CALLER)


async def test_rate_limit_repeated_under_its_key_stays(db, ops_db):
    shown = await rehearse(ops_db, RATE, {"limit": 2})
    first = await carry_out(ops_db, shown)

    assert (await carry_out(ops_db, shown)).result == first.result


async def test_rate_limit_changed_since_it_was_approved_is_stale(db, ops_db):
    shown = await rehearse(ops_db, RATE, {"limit": 2})
    await do(ops_db, RATE, {"limit": 500}, key="other")

    with pytest.raises(PreconditionChanged):
        await carry_out(ops_db, shown)


async def test_compensation_puts_the_limit_back(db, ops_db):
    shown = await rehearse(ops_db, RATE, {"limit": 60, "name": "ops.execute"})
    outcome = await carry_out(ops_db, shown)

    _, raw = RATE.compensate(shown.params, outcome.result)
    await do(ops_db, RATE, raw, key="undo")

    async with ops_db.transaction("tests.limit", readonly=True) as tx:
        assert await rate_limits.in_force(tx, OPS_EXECUTE) == 50


@pytest.mark.parametrize(
    ("type_", "raw"),
    [
        (REQUEUE, {}),
        (REQUEUE, {"max_items": 0}),
        (REQUEUE, {"max_items": 1001}),
        (REQUEUE, {"max_items": "5"}),
        (REQUEUE, {"max_items": True}),
        (REQUEUE, {"max_items": 5, "group": "Kpi; drop"}),
        (REQUEUE, {"max_items": 5, "group": "kpi\n"}),
        (REQUEUE, {"max_items": 5, "topic": "x"}),
        (RATE, {}),
        (RATE, {"limit": 0}),
        (RATE, {"limit": 1_000_001}),
        (RATE, {"limit": 10.5}),
        (RATE, {"limit": 10, "name": "ops.everything"}),
        (RATE, {"limit": 10, "caller": "me"}),
    ],
)
async def test_hostile_params_are_refused(db, ops_db, type_, raw):
    await dead_letters(db, 1)

    with pytest.raises(msgspec.ValidationError):
        await rehearse(ops_db, type_, raw)


async def test_answers_say_what_is_left_of_the_hour(ops_db):
    first = await rate_limits.take(ops_db, SMALL, CALLER)
    second = await rate_limits.take(ops_db, SMALL, CALLER)

    assert (first["X-RateLimit-Limit"], first["X-RateLimit-Remaining"]) == ("3", "2")
    assert second["X-RateLimit-Remaining"] == "1"
    assert int(first["X-RateLimit-Reset"]) % 3600 == 0


async def test_callers_and_kinds_are_counted_apart(ops_db):
    for _ in range(3):
        await rate_limits.take(ops_db, SMALL, CALLER)

    await rate_limits.take(ops_db, SMALL, replace(CALLER, subject="khady.seck"))
    await rate_limits.take(ops_db, RateLimit("tests.other", 1), CALLER)
    with pytest.raises(RateLimited):
        await rate_limits.take(ops_db, SMALL, CALLER)


async def test_requests_at_once_never_exceed_the_limit(ops_db):
    taken = await asyncio.gather(
        *(rate_limits.take(ops_db, SMALL, CALLER) for _ in range(20)), return_exceptions=True
    )

    assert sum(isinstance(each, dict) for each in taken) == 3


async def test_refusal_says_when_to_come_back(ops_db):
    for _ in range(3):
        await rate_limits.take(ops_db, SMALL, CALLER)

    with pytest.raises(RateLimited) as refused:
        await rate_limits.take(ops_db, SMALL, CALLER)

    problem = problems.describe(refused.value, request_id="r", locale="fr")
    assert problem.status == 429
    assert 0 < int(problem.headers["Retry-After"]) <= 3600
    assert problem.headers["X-RateLimit-Limit"] == "3"
    assert problem.headers["X-RateLimit-Remaining"] == "0"
    assert int(problem.headers["X-RateLimit-Reset"]) % 3600 == 0


async def test_counts_of_past_hours_are_forgotten(db, worker_db, ops_db):
    await rate_limits.take(ops_db, SMALL, CALLER)
    await rows(
        db,
        "insert into platform.rate_counts values ('tests.small', 'x', $1, 5) returning name",
        NOW.replace(year=2020),
    )
    (cron,) = rate_limits.CRONS

    await cron.run(worker_db)

    assert await rows(db, "select caller from platform.rate_counts") == [("ibrahima.ba",)]
