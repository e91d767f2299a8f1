"""Alerts: one an episode, told once, taken on, quieted, escalated and ended."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

import builders
from alerting import a_transition, age, happen, one
from measuring import T0, a_rule, a_sample, a_watch, at, drain, tell
from molam.alerts.episodes import (
    commands,
    deciding,
    due,
    escalating,
    jobs,
    queries,
    silencing,
    store,
    telling,
)
from molam.alerts.episodes.model import (
    AlertAbsent,
    AlertOver,
    AlertTaken,
    Matcher,
    NewAlert,
    SilenceMalformed,
    SilenceOver,
)
from molam.alerts.rules.model import Escalation, RuleAbsent
from molam.approvals.model import Actor
from molam.kernel.clock import ManualClock, SystemClock
from molam.platform.db import Database, Query

ADMIN = Actor(id="ops-admin-1", roles=frozenset({"ops_admin"}))
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
async def world(db: Database) -> None:
    await builders.operations(db)
    await builders.an_agent(db)


async def rows(db: Database, sql: str, *values: object) -> list[Any]:
    async with db.transaction("tests.rows") as tx:
        return [tuple(row) for row in await tx.connection.fetch(sql, *values)]


async def notices(db: Database) -> list[tuple[str, int]]:
    """List the kinds of notices there are, and how many people each is for."""
    return await rows(
        db,
        "select n.kind, count(i.person_id)::int from notices.notices n"
        " left join notices.inbox i on i.notice_id = n.id"
        " group by n.id, n.kind order by n.created_at, n.id",
    )


async def moves(db: Database) -> list[str]:
    return [row[0] for row in await rows(db, "select moved from alerts.alert_moves order by id")]


def soon(**lasts: float) -> datetime:
    return datetime.now(UTC) + timedelta(**(lasts or {"hours": 1}))


async def test_what_opens_an_alert_says_what_is_the_matter(db, worker_db):
    alert = await one(worker_db)

    assert (alert.status, alert.severity, alert.episode) == ("open", "critical", 1)
    assert alert.title == "Low float, Kiosque Médina"
    assert alert.metric["threshold"] == 1_000_000
    assert alert.facts["name"] == "Kiosque Médina"
    waiting = "select entrypoint from jobs.pgqueuer order by 1"
    assert await rows(db, waiting) == [("alerts.remediate",), ("alerts.tell",)]


async def test_an_episode_that_opens_again_is_the_same_alert(db, worker_db):
    alert = await one(worker_db)
    await happen(worker_db, a_transition(), a_transition())

    assert await rows(db, "select id from alerts.alerts") == [(alert.id,)]


async def test_ten_thousand_equal_measurements_are_one_alert_and_one_notice(db, worker_db):
    clock = ManualClock(T0)
    watch = a_watch(clock)
    for batch in range(10):
        samples = [a_sample(400_000, batch * 100 + n / 10) for n in range(1000)]
        clock.set(at(batch * 100 + 100))
        await tell(worker_db, *samples, now=clock.now())
        await drain(worker_db, watch, commands.apply)
    await telling.tell(worker_db, "float_low/agent")
    await jobs.look(worker_db)

    assert await rows(db, "select count(*) from alerts.alerts") == [(1,)]
    assert await notices(db) == [("alert_opened", 6)]


async def test_the_notice_says_it_in_both_languages_and_leads_to_the_alert(db, worker_db):
    alert = await one(worker_db, [a_transition(rule=a_rule(notify_roles=("cfo",)))])
    await telling.tell(worker_db, alert.group_key)

    ((facts, link),) = await rows(db, "select facts, link from notices.notices")
    assert facts["title"]["fr"].startswith(
        "Le float de Kiosque Médina est de 500\u202f000\u00a0F\u202fCFA, sous 1\u202f000\u202f000"
    )
    assert "under 1,000,000" in facts["title"]["en"]
    assert link == f"/alerts/{alert.id}"


async def test_what_comes_within_ten_seconds_is_told_together(db, worker_db):
    for number in range(5):
        await happen(worker_db, a_transition(tenant_id=f"agent-{number}", severity="warning"))
    await telling.tell(worker_db, "float_low/agent")
    assert await notices(db) == []

    await age(db, timedelta(seconds=10))
    await telling.tell(worker_db, "float_low/agent")
    await telling.tell(worker_db, "float_low/agent")

    assert await notices(db) == [("alert_opened", 3)]
    ((told,),) = await rows(db, "select count(*) from alerts.alert_moves where moved = 'told'")
    assert told == 5


async def test_more_than_one_notice_holds_are_told_one_after_the_other(db, worker_db, monkeypatch):
    monkeypatch.setattr(telling, "_AT_ONCE_MAX", 2)
    await happen(worker_db, *[a_transition(tenant_id=f"agent-{number}") for number in range(5)])
    for _ in range(3):
        await telling.tell(worker_db, "float_low/agent")
        await age(db, timedelta(minutes=1))

    untold = "select count(*) from alerts.alerts where notified_at is null"
    assert await rows(db, untold) == [(0,)]
    assert len(await notices(db)) == 3


async def test_two_workers_at_once_tell_once(db, worker_db):
    alert = await one(worker_db)
    await asyncio.gather(*(telling.tell(worker_db, alert.group_key) for _ in range(4)))

    assert await notices(db) == [("alert_opened", 3)]


async def test_a_rhythm_of_eight_and_two_minutes_rings_no_more_than_its_floor(db, worker_db):
    for episode in (1, 2, 3):
        await happen(worker_db, a_transition(episode=episode))
        await telling.tell(worker_db, "float_low/agent")
        await happen(worker_db, a_transition("resolved", episode=episode))
        await age(db, MINUTE)

    assert [kind for kind, _ in await notices(db)] == ["alert_opened"]


async def test_without_its_floor_it_rings_each_time(db, worker_db, monkeypatch):
    monkeypatch.setattr(due, "FLOOR", timedelta(0))
    for episode in (1, 2, 3):
        await happen(worker_db, a_transition(episode=episode))
        await telling.tell(worker_db, "float_low/agent")
        await happen(worker_db, a_transition("resolved", episode=episode))
        await age(db, MINUTE)

    assert [kind for kind, _ in await notices(db)].count("alert_opened") == 3


async def test_a_flapping_alert_is_recorded_and_tells_nobody(db, worker_db):
    await happen(worker_db, a_transition(is_flapping=True))
    await age(db, timedelta(hours=1))
    await jobs.look(worker_db)
    assert await notices(db) == []

    await happen(worker_db, a_transition("steady"))
    await jobs.look(worker_db)
    assert await notices(db) == [("alert_opened", 3)]


async def test_what_worsens_is_told_again_and_keeps_who_took_it_on(db, worker_db, ops_db):
    alert = await one(worker_db, [a_transition(severity="warning", value=Decimal(900_000))])
    await age(db, MINUTE)
    await telling.tell(worker_db, alert.group_key)
    await deciding.acknowledge(ops_db, alert.id, by="finance-user-1", note="Calling the agent.")
    await happen(worker_db, a_transition("worsened", 60))
    await age(db, MINUTE)
    await telling.tell(worker_db, alert.group_key)

    after = await queries.get_alert(ops_db, alert.id)
    assert (after.state, after.severity, after.note) == (
        "acknowledged", "critical", "Calling the agent.",
    )  # fmt: skip
    assert [kind for kind, _ in await notices(db)] == ["alert_opened", "alert_opened"]


async def test_who_was_told_hears_that_it_is_over(db, worker_db):
    alert = await one(worker_db)
    await telling.tell(worker_db, alert.group_key)
    await happen(worker_db, a_transition("resolved", 300))
    await age(db, MINUTE)
    await telling.tell(worker_db, alert.group_key)
    await telling.tell(worker_db, alert.group_key)

    assert await notices(db) == [("alert_opened", 3), ("alert_ended", 3)]
    assert (await moves(db))[-1] == "resolved"


async def test_an_alert_ends_when_its_value_did_and_not_before_it_was_written(db, worker_db):
    now = datetime.now(UTC)
    cleared = now - 3 * MINUTE
    await one(worker_db, [a_transition(at=now - 9 * MINUTE)])
    await age(db, 8 * MINUTE)
    (ended,) = await happen(worker_db, a_transition("resolved", at=cleared))
    await one(worker_db, [a_transition(at=cleared, episode=2)])
    (at_once,) = await happen(worker_db, a_transition("resolved", at=cleared, episode=2))
    await one(worker_db, [a_transition(at=now, episode=3)])
    (ahead,) = await happen(worker_db, a_transition("resolved", at=soon(), episode=3))

    assert ended.resolved_at == cleared
    assert at_once.resolved_at == at_once.created_at
    assert ahead.resolved_at < soon(minutes=1)


async def test_somebody_takes_an_alert_on_once(worker_db, ops_db):
    alert = await one(worker_db)
    first = await deciding.acknowledge(ops_db, alert.id, by="ops-admin-1")
    again = await deciding.acknowledge(ops_db, alert.id, by="ops-admin-1")

    assert (first.status, again.version) == ("acknowledged", first.version)
    with pytest.raises(AlertTaken):
        await deciding.acknowledge(ops_db, alert.id, by="ops-admin-2")
    with pytest.raises(AlertAbsent):
        await deciding.acknowledge(ops_db, uuid4(), by="ops-admin-1")


async def test_what_is_over_is_not_taken_on_silenced_or_ended_again(worker_db, ops_db):
    alert = await one(worker_db)
    watch = a_watch(SystemClock())
    ended = await deciding.resolve(ops_db, watch, alert.id, by="ops-admin-1", note="A test.")

    assert (ended.status, ended.resolved_by, ended.note) == ("resolved", "ops-admin-1", "A test.")
    with pytest.raises(AlertOver):
        await deciding.acknowledge(ops_db, alert.id, by="ops-admin-1")
    with pytest.raises(AlertOver):
        await deciding.resolve(ops_db, watch, alert.id, by="ops-admin-1")
    with pytest.raises(AlertOver):
        await deciding.silence(ops_db, alert.id, by="me", until=soon(), reason="late")


async def test_an_alert_may_be_raised_by_hand_and_is_one_with_the_rules(worker_db):
    watch = a_watch(SystemClock())
    asked = NewAlert(
        alert_type="float_low",
        tenant_type="agent",
        tenant_id="agent-123",
        severity="critical",
        metric={"metric": "float_available", "value": 500_000, "threshold": Decimal(3)},
    )
    async with worker_db.transaction("tests.create") as tx:
        made = await deciding.create_alert(tx, watch, asked)
    async with worker_db.transaction("tests.create") as tx:
        again = await deciding.create_alert(tx, watch, asked)

    assert (made.severity, made.currency, made.id) == ("critical", "XOF", again.id)
    assert made.metric["threshold"] == 1_000_000
    with pytest.raises(RuleAbsent):
        async with worker_db.transaction("tests.create") as tx:
            await deciding.create_alert(
                tx, watch, NewAlert(alert_type="float_low", tenant_type="bank",
                                    severity="info", metric={"metric": "m", "value": 1}),
            )  # fmt: skip


async def an_action(db: Database) -> Any:
    """The id of some action, as far as an alert's link needs one."""
    async with db.transaction("tests.unlink") as tx:
        await tx.connection.execute(
            "alter table alerts.alerts drop constraint alerts_remedied_by_action_id_fkey"
        )
    return uuid4()


async def test_what_an_action_ended_is_remediated_even_if_its_value_said_so_first(db, worker_db):
    alert = await one(worker_db)
    action_id = await an_action(db)
    await happen(worker_db, a_transition("resolved", 60))
    async with worker_db.transaction("tests.remediated") as tx:
        after = await deciding.remediated(tx, a_watch(), alert.id, action_id=action_id, by="system")

    assert after is not None
    assert (after.status, after.remedied_by_action_id) == ("auto_remediated", action_id)


async def test_what_a_person_ended_stays_as_they_said(db, worker_db, ops_db):
    alert = await one(worker_db)
    await deciding.resolve(ops_db, a_watch(SystemClock()), alert.id, by="ops-admin-1")
    async with worker_db.transaction("tests.remediated") as tx:
        after = await deciding.remediated(tx, a_watch(), alert.id, action_id=uuid4(), by="system")

    assert after is None


async def test_a_silenced_alert_reads_as_suppressed_until_its_time(db, worker_db, ops_db):
    alert = await one(worker_db)
    quiet = await deciding.silence(
        ops_db, alert.id, by="ops-admin-1", until=soon(), reason="Being moved."
    )
    assert (quiet.status, quiet.suppression_reason) == ("suppressed", "Being moved.")
    await jobs.look(worker_db)
    assert await notices(db) == []

    await age(db, timedelta(hours=2))
    await jobs.look(worker_db)

    assert (await queries.get_alert(ops_db, alert.id)).status == "open"
    assert [kind for kind, _ in await notices(db)] == ["alert_opened"]


async def test_a_silenced_warning_that_becomes_critical_speaks(worker_db, ops_db):
    alert = await one(worker_db, [a_transition(severity="warning")])
    await deciding.silence(ops_db, alert.id, by="me", until=soon(), reason="Known.")
    (after,) = await happen(worker_db, a_transition("worsened", 10))

    assert (after.status, after.is_silenced) == ("open", False)


@pytest.mark.parametrize(
    ("matcher", "lasts", "reason"),
    [
        ({}, {"hours": 1}, "Because."),
        ({"tenant_id": "agent-123"}, {"days": 7, "hours": 1}, "Because."),
        ({"tenant_id": "agent-123"}, {"hours": -1}, "Because."),
        ({"tenant_id": "agent-123"}, {"hours": 1}, " x "),
    ],
)
async def test_a_silence_names_something_for_a_week_at_most_and_says_why(
    ops_db, matcher, lasts, reason
):
    with pytest.raises(SilenceMalformed):
        await silencing.begin(
            ops_db,
            silencing.NewSilence(matcher=Matcher(**matcher), reason=reason, ends_at=soon(**lasts)),
            by=ADMIN,
        )


async def test_a_silence_quiets_what_fits_now_and_later_until_it_is_ended(db, worker_db, ops_db):
    alert = await one(worker_db)
    matcher = Matcher(tenant_type="agent")
    assert [each.id for each in await silencing.would_quiet(ops_db, matcher)] == [alert.id]
    made = await silencing.begin(
        ops_db,
        silencing.NewSilence(
            matcher=matcher, reason="Moving house.", ends_at=soon(), kind="maintenance"
        ),
        by=ADMIN,
    )
    (later,) = await happen(worker_db, a_transition(tenant_id="agent-9"))
    assert later.is_in_maintenance
    await jobs.look(worker_db)
    assert await notices(db) == []

    await silencing.end(ops_db, made.id, by=ADMIN)
    await telling.tell(worker_db, alert.group_key)

    assert [kind for kind, _ in await notices(db)] == ["alert_opened"]
    with pytest.raises(SilenceOver):
        await silencing.end(ops_db, made.id, by=ADMIN)
    events = await rows(db, "select action from audit.ops_approval_audit where chain = 'alerts'")
    assert len(events) == 2


async def test_the_end_of_what_quiets_others_lets_them_speak(db, worker_db):
    low = a_rule()
    euro = a_rule(currency="EUR", id="float_low.EUR")
    await happen(worker_db, a_transition(rule=low))
    (warning, *_) = [
        each
        for each in await happen(worker_db, a_transition(rule=euro, severity="warning"))
        if each.severity == "warning"
    ]
    assert warning.is_inhibited

    changed = await happen(worker_db, a_transition("resolved", 60, rule=low))

    freed = next(each for each in changed if each.id == warning.id)
    assert (freed.is_inhibited, freed.inhibited_by) == (False, None)


async def test_both_open_at_once_the_worse_one_quiets_the_other(db, worker_db):
    euro = a_rule(currency="EUR", id="float_low.EUR")
    await asyncio.gather(
        happen(worker_db, a_transition()),
        happen(worker_db, a_transition(rule=euro, severity="warning")),
    )

    flags = "select severity, is_inhibited from alerts.alerts order by 1"
    assert await rows(db, flags) == [("critical", False), ("warning", True)]


async def test_without_the_lock_of_the_board_neither_sees_the_other(db, worker_db, monkeypatch):
    unlocked = Query("/* alerts.lock_board */ select clock_timestamp() as at", row=store.AtRow)
    monkeypatch.setattr(store, "LOCK_BOARD", unlocked)
    euro = a_rule(currency="EUR", id="float_low.EUR")
    async with worker_db.transaction("tests.first") as tx:
        await commands.apply(tx, a_watch(), [a_transition()])
        # Another worker, before the first has committed.
        other = happen(worker_db, a_transition(rule=euro, severity="warning"))
        await asyncio.create_task(other, context=contextvars.Context())

    assert (await rows(db, "select count(*) from alerts.alerts where is_inhibited")) == [(0,)]


CHAIN = (Escalation(900, "ops_admin"), Escalation(3600, "cfo"))


async def test_nobody_takes_it_on_and_the_next_are_called_once_a_step(db, worker_db):
    await one(worker_db, [a_transition(rule=a_rule(escalation=CHAIN))])
    assert await escalating.escalate(worker_db) == 0
    await age(db, timedelta(minutes=15))
    assert await escalating.escalate(worker_db) == 1
    assert await escalating.escalate(worker_db) == 0
    await age(db, timedelta(minutes=45))
    assert await escalating.escalate(worker_db) == 1
    await age(db, timedelta(days=1))
    assert await escalating.escalate(worker_db) == 0

    assert await notices(db) == [("alert_escalated", 3), ("alert_escalated", 1)]


async def test_whoever_takes_it_on_ends_the_escalation(db, worker_db, ops_db):
    alert = await one(worker_db, [a_transition(rule=a_rule(escalation=CHAIN))])
    await deciding.acknowledge(ops_db, alert.id, by="finance-user-1")
    await age(db, timedelta(days=1))

    assert await escalating.escalate(worker_db) == 0


async def test_the_chain_is_that_of_the_beginning(db, worker_db):
    alert = await one(worker_db, [a_transition(rule=a_rule(escalation=CHAIN))])
    async with db.transaction("tests.change") as tx:
        await tx.connection.execute("update alerts.metric_rules set escalation = '[]'")
    await happen(worker_db, a_transition("eased", 5, rule=a_rule(escalation=())))
    await age(db, timedelta(minutes=15))

    assert await escalating.escalate(worker_db) == 1
    assert alert.escalation[1]["role"] == "cfo"


async def test_what_is_quiet_is_not_escalated_and_has_a_minute_when_it_no_longer_is(
    db, worker_db, ops_db
):
    alert = await one(worker_db, [a_transition(rule=a_rule(escalation=CHAIN))])
    await deciding.silence(ops_db, alert.id, by="me", until=soon(), reason="Known.")
    await age(db, timedelta(hours=2))
    await jobs.look(worker_db)
    assert await escalating.escalate(worker_db) == 0

    await age(db, MINUTE)
    assert await escalating.escalate(worker_db) == 1


async def test_a_role_that_nobody_holds_is_passed_over_at_once(db, worker_db):
    chain = (Escalation(60, "auditor"), Escalation(3600, "cfo"))
    await one(worker_db, [a_transition(rule=a_rule(escalation=chain))])
    await age(db, MINUTE)
    await escalating.escalate(worker_db)
    await escalating.escalate(worker_db)

    assert await notices(db) == [("alert_escalated", 0), ("alert_escalated", 1)]


async def test_silence_of_a_source_is_an_alert_and_a_remark_on_an_open_one(db, worker_db):
    quiet = a_transition("no_data", severity="warning", cause="silence")
    alert = await one(worker_db, [quiet])
    await happen(worker_db, quiet)

    assert alert.description.startswith("Low float: nothing has been measured for Kiosque")
    assert await moves(db) == ["opened", "noted"]
