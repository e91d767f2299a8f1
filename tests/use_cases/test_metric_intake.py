"""Measurements pass through the log to their series: each once, in the order of their own time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

import builders
from measuring import (
    AGENT,
    T0,
    Followed,
    a_sample,
    a_watch,
    at,
    drain,
    said,
    settle,
    tell,
)
from molam.alerts.rules import changing, commands, folding, intake, messages, series_store, settling
from molam.alerts.rules import jobs as rules_jobs
from molam.alerts.rules.changing import RuleChange
from molam.alerts.rules.model import (
    Escalation,
    RuleAbsent,
    RuleLoosened,
    RuleMalformed,
    Transition,
    fingerprint,
)
from molam.approvals.model import Actor
from molam.kernel.clock import ManualClock
from molam.kernel.refusals import Outage
from molam.platform.db import Database, Query, Tx
from molam.platform.events import Event, cloud_event, publish
from molam.platform.events.log import lane

GOOD, BAD, WORSE = 2_000_000, 900_000, 400_000
ADMIN = Actor(id="ops-admin-1", roles=frozenset({"ops_admin"}))


async def rows(db: Database, sql: str, *values: object) -> list[Any]:
    async with db.transaction("tests.rows") as tx:
        return list(await tx.connection.fetch(sql, *values))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0)


@pytest.fixture
def followed() -> Followed:
    return Followed()


@pytest.fixture
def watch(clock):
    return a_watch(clock)


async def test_a_low_float_is_judged_once_the_log_has_moved_on(worker_db, watch, followed):
    await tell(worker_db, a_sample(BAD, 0), now=T0)
    await drain(worker_db, watch, followed)
    assert followed.transitions == []

    await tell(worker_db, a_sample(BAD, 6), now=at(6))
    watch.clock.set(at(6))
    await drain(worker_db, watch, followed)

    assert said(followed.transitions) == [("opened", 0)]
    (opened,) = followed.transitions
    assert (opened.tenant_id, opened.currency, opened.episode) == (AGENT, "XOF", 1)
    assert opened.rule.id == "float_low"


async def test_a_float_in_another_currency_is_passed_over_and_the_rest_goes_on(
    db, worker_db, watch, followed
):
    await builders.an_agent(db, id_=AGENT)
    for second in (0, 6):
        naira = a_sample(1, second, currency="NGN")
        await tell(worker_db, naira, a_sample(BAD, second), now=at(second))
    watch.clock.set(at(6))
    await drain(worker_db, watch, followed)

    assert [each.currency for each in followed.transitions] == ["XOF"]
    assert {row["currency"] for row in await rows(db, "select currency from alerts.series")} == {
        "XOF"
    }
    assert await rows(db, "select from platform.dead_letters") == []


async def test_a_tick_judges_what_is_followed_by_nothing(worker_db, watch, followed):
    await tell(worker_db, a_sample(BAD, 0), now=T0)
    await drain(worker_db, watch, followed)

    watch.clock.set(at(5))
    await settle(worker_db, watch, followed)
    assert followed.transitions == []
    watch.clock.set(at(6))
    await settle(worker_db, watch, followed)

    assert said(followed.transitions) == [("opened", 0)]


async def test_a_job_looks_again_in_the_second_after_something_is_due(db, worker_db, watch):
    await tell(worker_db, a_sample(BAD, 0), now=T0)
    await drain(worker_db, watch, Followed())

    (job,) = await rows(
        db,
        "select entrypoint, extract(epoch from execute_after - created)::int as delay"
        "  from jobs.pgqueuer",
    )
    assert (job["entrypoint"], job["delay"]) == (settling.SETTLE, 6)


async def test_good_values_ask_for_no_look_at_all(db, worker_db, watch):
    await tell(worker_db, a_sample(GOOD, 0), now=T0)
    await drain(worker_db, watch, Followed())

    assert await rows(db, "select from jobs.pgqueuer") == []
    assert [row["due_at"] for row in await rows(db, "select due_at from alerts.series")] == [None]


async def test_ten_thousand_equal_measurements_are_one_transition(worker_db, watch, followed):
    for batch in range(10):
        await tell(worker_db, *(a_sample(BAD, batch) for _ in range(1000)), now=at(batch))
    watch.clock.set(at(20))
    await drain(worker_db, watch, followed)
    await settle(worker_db, watch, followed)

    assert said(followed.transitions) == [("opened", 0)]


async def test_a_minute_keeps_what_was_measured_in_it(db, worker_db, watch, followed):
    await tell(
        worker_db,
        a_sample(GOOD, 10),
        a_sample(BAD, 30, context={"why": "withdrawals"}),
        a_sample(WORSE, 20),
        a_sample(Decimal("0.97"), 0, metric="unjudged", tenant_type="bank", tenant_id="b"),
        now=at(31),
    )
    watch.clock.set(at(31))
    await drain(worker_db, watch, followed)
    await tell(worker_db, a_sample(5, 15), now=at(32))
    await drain(worker_db, watch, followed)

    points = await rows(db, "select * from alerts.metric_points order by metric")
    point = points[0]
    assert [row["metric"] for row in points] == ["float_available", "unjudged"]
    assert (point["minute"], point["last_at"], point["last_value"]) == (T0, at(30), BAD)
    assert (point["low"], point["high"], point["samples"]) == (5, GOOD, 4)
    assert point["total"] == GOOD + BAD + WORSE + 5
    assert point["context"] == {"why": "withdrawals"}


async def test_a_measurement_that_is_told_twice_counts_once(db, worker_db, watch, followed):
    again = a_sample(BAD, 0, event_id="e-1")
    await tell(worker_db, again, again, now=T0)
    await tell(worker_db, again, a_sample(BAD, 0, event_id="e-1", tenant_id="b"), now=at(1))
    await drain(worker_db, watch, followed)

    counted = await rows(db, "select tenant_id, samples from alerts.metric_points order by 1")
    assert [tuple(row) for row in counted] == [(AGENT, 1), ("b", 1)]


async def test_an_event_that_is_delivered_again_counts_once(db, worker_db, watch, followed):
    (event,) = messages.write([a_sample(BAD, 0)], now=T0)
    handle = intake.Intake(watch, followed).handle
    for _ in range(3):
        async with worker_db.transaction("tests.deliver") as tx:
            await handle(tx, [event.payload, event.payload])

    (counted,) = await rows(db, "select samples from alerts.metric_points")
    assert counted["samples"] == 1


async def test_without_memory_of_events_a_repetition_would_count_again(
    db, worker_db, watch, followed, monkeypatch
):
    """The control."""

    async def all_of_it(_tx: Tx, heard: Sequence[messages.Heard]) -> Sequence[messages.Heard]:
        return heard

    monkeypatch.setattr(folding, "first_heard", all_of_it)
    await tell(worker_db, a_sample(BAD, 0, event_id="e-1"), now=T0)
    await tell(worker_db, a_sample(BAD, 0, event_id="e-1"), now=at(1))
    await drain(worker_db, watch, followed)

    (counted,) = await rows(db, "select samples from alerts.metric_points")
    assert counted["samples"] == 2


async def test_a_batch_whose_alerts_cannot_follow_leaves_nothing(db, worker_db, watch):
    async def fail(_tx: Tx, _watch: object, _transitions: Sequence[Transition]) -> None:
        raise LookupError("a bug")

    await tell(worker_db, a_sample(BAD, 0), a_sample(GOOD, 10), now=at(20))
    watch.clock.set(at(20))
    with contextlib.suppress(LookupError):
        await drain(worker_db, watch, fail)
    assert await rows(db, "select from alerts.series") == []
    assert await rows(db, "select from alerts.metric_points") == []

    followed = Followed()
    await drain(worker_db, watch, followed)
    assert [each.moved for each in followed.transitions] == ["opened"]


async def test_a_lost_connection_is_no_lost_measurement(dsn, db, worker_db, watch):
    """A backend that is killed between judging and committing takes the whole batch back."""
    followed = Followed()
    admin = await asyncpg.connect(dsn)

    async def die_once(tx: Tx, of: object, transitions: Sequence[Transition]) -> None:
        if not followed.transitions:
            followed.transitions.append(transitions[0])
            pid = await tx.connection.fetchval("select pg_backend_pid()")
            await admin.execute("select pg_terminate_backend($1)", pid)
            await tx.connection.fetch("select pg_sleep(1)")
        followed.transitions.extend(transitions)

    await tell(worker_db, a_sample(BAD, 0), a_sample(GOOD, 10), now=at(20))
    watch.clock.set(at(20))
    with pytest.raises(Outage):
        await drain(worker_db, watch, die_once)
    assert await rows(db, "select from alerts.series") == []
    await drain(worker_db, watch, die_once)
    await admin.close()

    assert [each.moved for each in followed.transitions[1:]] == ["opened"]
    (series,) = await rows(db, "select episode from alerts.series")
    assert series["episode"] == 1


async def test_two_workers_at_once_judge_everything_once(db, worker_db, clock):
    agents = [f"agent-{n}" for n in range(20)]
    for second in range(0, 40, 2):
        value = BAD if 10 <= second < 20 else GOOD
        await tell(
            worker_db, *(a_sample(value, second, tenant_id=one) for one in agents), now=at(second)
        )
    clock.set(at(200))
    followed = Followed()
    await asyncio.gather(*(drain(worker_db, a_watch(clock), followed) for _ in range(2)))
    await settle(worker_db, a_watch(clock), followed)

    for one in agents:
        mine = [each for each in followed.transitions if each.tenant_id == one]
        assert said(mine) == [("opened", 10), ("resolved", 80)]
    counted = await rows(db, "select sum(samples) as all from alerts.metric_points")
    assert counted[0]["all"] == 400


WAITING = "select count(*) from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))"


async def at_once(db: Database) -> list[Transition]:
    """Let one worker judge a bad value, and another the next minute's before the first commits."""

    async def take(tx: Tx, value: int, second: int) -> list[Transition]:
        samples = [a_sample(value, second)]
        return await commands.take_in(tx, samples, now=at(second), settle=True)

    async def other() -> list[Transition]:
        async with db.transaction("tests.other") as tx:
            return await take(tx, WORSE, 80)

    async with db.transaction("tests.before") as tx:
        await take(tx, GOOD, 0)
    async with db.transaction("tests.one") as tx:
        first = await take(tx, BAD, 10)
        second = asyncio.create_task(other(), context=contextvars.Context())
        async with asyncio.timeout(10):
            while not await tx.connection.fetchval(WAITING):
                await asyncio.sleep(0.01)
    return first + await second


async def test_who_judges_a_series_waits_for_who_does_so_already(worker_db):
    assert said(await at_once(worker_db)) == [("opened", 10), ("worsened", 80)]


async def test_without_the_lock_of_the_series_the_same_trouble_opens_twice(worker_db, monkeypatch):
    monkeypatch.setattr(
        series_store,
        "LOCK_SERIES",
        Query(series_store.LOCK_SERIES.sql.replace("for update", ""), row=series_store.SeriesRow),
    )

    assert said(await at_once(worker_db)) == [("opened", 10), ("opened", 80)]


async def test_a_reader_that_is_behind_finds_nobody_silent(db, worker_db, watch, followed):
    """Ticks pass through the log, so time is not ahead of what was measured."""
    await rows(db, "update alerts.metric_rules set no_data_s = 60, version = 2")
    await tell(worker_db, a_sample(GOOD, 0), now=T0)
    await drain(worker_db, watch, followed)
    for second in range(50, 600, 50):
        await tell(worker_db, a_sample(GOOD, second), now=at(second))
    watch.clock.set(at(600))

    await settle(worker_db, watch, followed)
    assert followed.transitions == []

    watch.clock.set(at(700))
    await settle(worker_db, watch, followed)
    assert said(followed.transitions) == [("no_data", 610)]


async def test_looking_at_the_clock_instead_would_find_them_silent(db, worker_db, watch, followed):
    """The control: time that does not pass through the log is ahead of it."""
    await rows(db, "update alerts.metric_rules set no_data_s = 60, version = 2")
    await tell(worker_db, a_sample(GOOD, 0), now=T0)
    await drain(worker_db, watch, followed)
    await tell(worker_db, a_sample(GOOD, 50), now=at(50))

    async with worker_db.transaction("tests.tick") as tx:
        tick = messages.Heard("agent", AGENT, at(100))
        transitions = await commands.apply(tx, [tick], watch.rules, now=at(100))

    assert [each.moved for each in transitions] == ["no_data"]


async def test_everybody_who_is_due_is_told_once_a_minute(worker_db, watch, followed):
    await tell(worker_db, a_sample(BAD, 0), a_sample(BAD, 0, tenant_id="b"), now=T0)
    await drain(worker_db, watch, followed)
    watch.clock.set(at(10))

    assert await settling.settle(worker_db, watch.clock) == 2
    assert await settling.settle(worker_db, watch.clock) == 0
    watch.clock.set(at(71))
    assert await settling.settle(worker_db, watch.clock) == 2


async def test_what_cannot_be_believed_is_set_aside_and_the_rest_judged(
    db, worker_db, watch, followed
):
    ahead = a_sample(BAD, 0, at=at(600))
    half = a_sample(Decimal("0.5"), 0)
    share = a_sample(95, 0, metric="recon_match_rate", tenant_type="bank", currency=None)
    await tell(worker_db, ahead, half, share, a_sample(BAD, 0), now=T0)
    async with worker_db.transaction("tests.tell") as tx:
        await publish(tx, [Event("metric_events", "x", '{"metric": "x"}')])
    await drain(worker_db, watch, followed)

    reasons = [row["reason"] for row in await rows(db, "select reason from platform.dead_letters")]
    assert len(reasons) == 4
    assert all(reason.startswith("metric-malformed: ") for reason in reasons)
    assert len(await rows(db, "select from alerts.series")) == 1


async def test_others_may_bring_events_of_their_own(db, worker_db, watch, followed):
    data = {
        "metric": "float_available",
        "value": BAD,
        "tenant_type": "agent",
        "tenant_id": AGENT,
        "currency": "XOF",
        "timestamp": at(0).isoformat(),
        "threshold": 5,
    }
    envelope = cloud_event(
        id_="their own id", source="float", type_="metric", subject="s", time=at(0), data=data
    )
    async with worker_db.transaction("tests.tell") as tx:
        await publish(tx, [Event("metric_events", "x", envelope)] * 2)
    await drain(worker_db, watch, followed)

    (point,) = await rows(
        db, "select samples, context ->> 'threshold' as t from alerts.metric_points"
    )
    assert (point["samples"], point["t"]) == (1, "5")


async def test_what_is_too_old_says_nothing(db, worker_db, watch, followed):
    old = a_sample(BAD, -9 * 86_400)
    await tell(worker_db, old, now=T0)
    await drain(worker_db, watch, followed)

    assert await rows(db, "select from alerts.metric_points") == []
    assert await rows(db, "select from platform.dead_letters") == []


async def test_merchants_and_agents_have_their_own_currency(db, worker_db, watch, followed):
    await builders.a_merchant(db, currency="GHS")
    await builders.an_agent(db, id_=AGENT, balance=500_000)
    bare = {"currency": None}
    await tell(
        worker_db,
        a_sample(BAD, 0, **bare),
        a_sample(
            Decimal("0.2"), 0, metric="refund_rate", tenant_type="merchant",
            tenant_id="merchant-123", **bare,
        ),
        a_sample(Decimal("0.9"), 0, metric="recon_match_rate", tenant_type="bank", **bare),
        now=T0,
    )  # fmt: skip
    await drain(worker_db, watch, followed)

    found = await rows(db, "select metric, currency from alerts.series order by metric")
    assert [tuple(row) for row in found] == [
        ("float_available", "XOF"),
        ("recon_match_rate", None),
        ("refund_rate", "GHS"),
    ]


async def test_operations_are_given_an_answer_at_once(ops_db):
    async with ops_db.transaction("tests.take_in") as tx:
        (opened,) = await commands.take_in(tx, [a_sample(WORSE)], now=T0, settle=True)
    async with ops_db.transaction("tests.take_in") as tx:
        again = await commands.take_in(tx, [a_sample(WORSE, 1)], now=at(1), settle=True)

    assert (opened.moved, opened.severity) == ("opened", "critical")
    assert again == []


class TestByHand:
    async def open(self, db: Database, **changed: Any) -> Transition | None:
        async with db.transaction("tests.open") as tx:
            return await commands.open_episode(
                tx, "float_low", a_sample(500_000, **changed), severity="critical", now=T0
            )

    async def test_an_episode_is_opened_once_and_ends_as_values_clear(
        self, worker_db, watch, followed
    ):
        opened = await self.open(worker_db)
        assert opened is not None
        assert (opened.episode, opened.value, opened.severity) == (1, 500_000, "critical")
        assert await self.open(worker_db) is None

        await tell(worker_db, a_sample(GOOD, 10), now=at(10))
        watch.clock.set(at(10))
        await drain(worker_db, watch, followed)
        watch.clock.set(at(80))
        await settle(worker_db, watch, followed)

        assert said(followed.transitions) == [("resolved", 70)]
        assert followed.transitions[0].fingerprint == opened.fingerprint

    async def test_an_episode_that_somebody_ended_is_followed_by_the_next(
        self, worker_db, watch, followed
    ):
        opened = await self.open(worker_db)
        async with worker_db.transaction("tests.end") as tx:
            await commands.end_episode(tx, opened.fingerprint, episode=1, now=at(1))

        await tell(worker_db, a_sample(BAD, 10), a_sample(BAD, 20), now=at(20))
        watch.clock.set(at(20))
        await drain(worker_db, watch, followed)

        assert [(each.moved, each.episode) for each in followed.transitions] == [("opened", 2)]

    async def test_nothing_is_opened_that_no_rule_knows(self, worker_db):
        with pytest.raises(RuleAbsent):
            await self.open(worker_db, metric="mood")


class TestRules:
    async def change(self, db: Database, *, may_loosen: bool = False, **fields: Any) -> Any:
        asked = {
            "alert_type": "float_low",
            "metric": "float_available",
            "tenant_type": "agent",
            "currency": "XOF",
        }
        async with db.transaction("tests.change") as tx:
            return await changing.change(
                tx, RuleChange(**{**asked, **fields}), by=ADMIN, now=T0, may_loosen=may_loosen
            )

    async def test_a_tenants_own_rule_comes_before_its_currencys(
        self, ops_db, worker_db, watch, followed
    ):
        await drain(worker_db, watch, followed)
        await self.change(
            ops_db, tenant_id=AGENT, fire_at=1_900_000, clear_at=3_000_000, critical_at=1_000_000
        )

        for tenant in (AGENT, "another"):
            await tell(worker_db, a_sample(1_500_000, 0, tenant_id=tenant), now=T0)
            await tell(worker_db, a_sample(1_500_000, 9, tenant_id=tenant), now=at(9))
        watch.clock.set(at(9))
        await drain(worker_db, watch, followed)

        (opened,) = followed.transitions
        assert opened.tenant_id == AGENT
        assert opened.rule.fire_at == 1_900_000

    async def test_each_currency_has_its_own_levels(self, worker_db, watch, followed):
        for second in (0, 9):
            for currency in ("XOF", "GHS", "NGN", "EUR", "KES"):
                await tell(
                    worker_db, a_sample(1_500_000, second, currency=currency), now=at(second)
                )
        watch.clock.set(at(9))
        await drain(worker_db, watch, followed)

        assert {each.currency for each in followed.transitions} == {"GHS", "NGN"}

    async def test_a_tighter_rule_judges_what_holds_already(
        self, ops_db, worker_db, watch, followed
    ):
        await tell(worker_db, a_sample(1_200_000, 0), a_sample(1_200_000, 9), now=at(9))
        watch.clock.set(at(9))
        await drain(worker_db, watch, followed)
        await self.change(ops_db, fire_at=1_300_000, clear_at=1_400_000)

        watch.clock.set(at(30))
        await settle(worker_db, watch, followed)

        assert [each.moved for each in followed.transitions] == ["opened"]

    @pytest.mark.parametrize(
        ("fields", "looser"),
        [
            ({"fire_at": 999_999}, "fire_at"),
            ({"clear_at": 1_000_000}, "clear_at"),
            ({"critical_at": None}, "critical_at"),
            ({"critical_at": 400_000}, "critical_at"),
            ({"for_s": 1}, "for_s"),
            ({"keep_firing_s": 0}, "keep_firing_s"),
            ({"severity": "info"}, "severity"),
            ({"notify_roles": ["finance_ops"]}, "notify_roles"),
            ({"escalation": []}, "escalation"),
            ({"enabled": False}, "enabled"),
            ({"tenant_id": AGENT, "fire_at": 5, "critical_at": 1}, "critical_at, fire_at"),
        ],
    )
    async def test_whatever_lets_more_through_is_for_others_to_agree_to(
        self, db, ops_db, fields, looser
    ):
        with pytest.raises(RuleLoosened, match=f"^{looser} would .* UPDATE_RISK_THRESHOLD"):
            await self.change(ops_db, **fields)

        changed = await self.change(ops_db, may_loosen=True, **fields)
        assert changed.loosened == tuple(looser.split(", "))
        (entry,) = await rows(
            db, "select count(*) as n from audit.ops_approval_audit where chain = 'alerts'"
        )
        assert entry["n"] == 1

    async def test_a_tenants_rule_must_not_hide_a_tighter_one_of_a_currency(self, ops_db):
        rate = {
            "alert_type": "refund_spike",
            "metric": "refund_rate",
            "tenant_type": "merchant",
        }
        await self.change(ops_db, **rate, currency="EUR", fire_at=0.03, clear_at=0.02)

        with pytest.raises(RuleLoosened):
            await self.change(
                ops_db, **rate, currency=None, tenant_id="m", fire_at=0.04, clear_at=0.03
            )

    @pytest.mark.parametrize(
        "fields",
        [
            {"fire_at": 1_200_000},
            {"critical_at": 1_000_001},
            {"fire_at": 1_000_000.5},
            {"notify_roles": ["finance_ops", "ops_admin", "merchant_admin"]},
            {"currency": "KES"},
            {"currency": None, "fire_at": 5, "clear_at": 6},
            {"escalation": [Escalation(after_s=0, role="cfo")]},
        ],
    )
    async def test_a_rule_that_contradicts_itself_is_refused(self, ops_db, fields):
        with pytest.raises(RuleMalformed):
            await self.change(ops_db, may_loosen=True, **fields)

    async def test_a_currency_that_nothing_judged_yet_can_be(self, ops_db):
        changed = await self.change(ops_db, currency="KES", fire_at=20_000, clear_at=22_000)

        assert (changed.before, changed.loosened) == (None, ())
        assert (changed.after.currency, changed.after.critical_at) == ("KES", None)

    async def test_a_rule_that_is_taken_back_ends_what_it_raised(
        self, ops_db, worker_db, watch, followed
    ):
        await tell(worker_db, a_sample(BAD, 0), a_sample(BAD, 9), now=at(9))
        watch.clock.set(at(9))
        await drain(worker_db, watch, followed)
        await self.change(ops_db, may_loosen=True, enabled=False)

        watch.clock.set(at(30))
        await settle(worker_db, watch, followed)

        assert [each.moved for each in followed.transitions] == ["opened", "resolved"]

    async def test_nothing_but_known_families_can_be_changed(self, ops_db):
        with pytest.raises(RuleAbsent):
            await self.change(ops_db, metric="mood", fire_at=1)


async def test_what_was_measured_long_ago_is_forgotten(db, worker_db):
    await rows(
        db,
        "insert into alerts.metric_points (metric, tenant_type, minute, last_at, last_value, low, high,"
        " total, samples) select 'm', 'platform', date_trunc('minute', now()) - d, now(), 1, 1, 1, 1, 1"
        "   from unnest('{61 days,59 days}'::interval[]) as d",
    )
    await rows(
        db,
        "insert into alerts.heard_events (id, heard_at)"
        " select gen_random_uuid(), now() - d from unnest('{10 days,8 days}'::interval[]) as d",
    )

    await rules_jobs.purge(worker_db)

    assert len(await rows(db, "select from alerts.metric_points")) == 1
    assert len(await rows(db, "select from alerts.heard_events")) == 1


def test_memory_of_events_outlasts_what_is_still_taken_in():
    assert timedelta(days=rules_jobs.EVENTS_KEPT_DAYS) > messages.AGE_MAX


def test_a_tenants_measurements_share_a_lane_of_the_log():
    events = messages.write([a_sample(GOOD, 0), a_sample(BAD, 1, metric="other")], now=T0)
    tick = messages.write_tick("agent", AGENT, now=T0)

    assert len({lane(event.key.encode()) for event in (*events, tick)}) == 1


async def test_series_are_named_by_what_they_are_of(worker_db, watch):
    await tell(worker_db, a_sample(BAD, 0), now=T0)
    await drain(worker_db, watch, Followed())

    name = fingerprint("float_low", "float_available", "agent", AGENT, currency="XOF")
    async with worker_db.transaction("tests.series") as tx:
        row = await tx.one(series_store.GET_SERIES, fingerprint=name)
    assert row is not None
