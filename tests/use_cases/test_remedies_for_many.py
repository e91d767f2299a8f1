"""More targets than may be acted on in an hour: one action for all of them, and more votes."""

from __future__ import annotations

import contextlib
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import builders
from molam.alerts.episodes import commands as episodes
from molam.alerts.remediation import following, group_store, grouping
from molam.alerts.remediation.jobs import crons
from molam.alerts.rules import commands as rules
from molam.alerts.rules.model import Sample
from molam.approvals.model import NotEligible
from molam.kernel.refusals import Refusal
from molam.mesh.members.floors import any_of
from molam.platform.db import Database, Query
from remedying import Desk, a_desk

KIND = {"alert_type": "float_low", "action_type": "ADJUST_FLOAT"}
VOTERS = ("finance-user-1", "finance-user-2", "compliance-1")


@pytest.fixture
async def desk(db: Database, ops_db: Database) -> Desk:
    return await a_desk(db, ops_db)


async def low_agents(desk: Desk, count: int, *, first: int = 0) -> list[dict[str, Any]]:
    numbers = range(first, first + count)
    for number in numbers:
        await builders.an_agent(desk.db, id_=f"agent-{number}", balance=100_000)
    return [await desk.low(f"agent-{number}", 100_000) for number in numbers]


async def remedy_all(desk: Desk, alerts: list[dict[str, Any]]) -> None:
    for alert in alerts:
        await desk.alerts.trigger_remediation_flow(alert["id"])


async def asked(desk: Desk) -> dict[str, Any]:
    row = await grouping.ask(desk.db, desk.watch, **KIND)
    assert row is not None
    return await desk.engine.get_action_with_votes(str(row.id))


async def a_group(desk: Desk, alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """A group of all but the first of *alerts*."""
    await desk.enable(targets_per_hour=1)
    await remedy_all(desk, alerts)
    return await asked(desk)


async def vote(desk: Desk, action: dict[str, Any], *voters: str) -> str:
    for voter in voters:
        await desk.engine.vote_on_action(action["id"], voter, [], "approve")
    return str((await desk.engine.get_action_with_votes(action["id"]))["state"])


async def carried_out(desk: Desk, action: dict[str, Any]) -> dict[str, Any]:
    await vote(desk, action, *VOTERS)
    done = await desk.engine.execute_action(action["id"], "ops-admin-1")
    assert done["success"] is True, done
    return dict(done["result"])


async def balances(desk: Desk) -> list[int]:
    rows = await desk.sql(
        "select balance from ledger.accounts where kind = 'agent_float' order by id"
    )
    return [int(balance) for (balance,) in rows]


async def merchants(desk: Desk, count: int) -> list[dict[str, Any]]:
    """So many shops whose fraud score is high, all in one measurement."""
    await desk.sql(
        "insert into tenancy.merchants (id, name, city, country, default_currency)"
        " select 'shop-' || n, 'Shop ' || n, 'Dakar', 'SN', 'XOF' from generate_series(1, $1) n",
        count,
    )
    now = datetime.now(UTC)
    samples = [
        Sample(
            metric="fraud_score",
            value=Decimal("0.95"),
            tenant_type="merchant",
            tenant_id=f"shop-{number}",
            currency=None,
            at=now - timedelta(seconds=1),
            context={},
        )
        for number in range(1, count + 1)
    ]
    async with desk.db.transaction("tests.measure") as tx:
        moved = await rules.take_in(tx, samples, now=now, settle=True, book=desk.watch.rules)
        rows = await episodes.apply(tx, desk.watch, moved)
    return [{"id": str(row.id)} for row in rows]


async def count_of(desk: Desk, action_type: str) -> int:
    rows = await desk.sql(
        "select count(*) from approvals.ops_actions where action_type = $1", action_type
    )
    return int(rows[0][0])


async def test_each_target_of_a_group_keeps_the_currency_of_its_alert(desk: Desk) -> None:
    francs = await low_agents(desk, 2)
    await builders.an_agent(desk.db, id_="agent-ng", currency="NGN", country="NG", balance=9)

    action = await a_group(desk, [*francs, await desk.low("agent-ng", 9)])

    members = action["params"]["members"]
    assert {each["target_id"]: each["params"]["amount"]["currency"] for each in members} == {
        "agent-1": "XOF",
        "agent-ng": "NGN",
    }


async def test_two_hundred_merchants_are_ten_actions_and_one_for_the_rest(desk: Desk) -> None:
    await desk.enable("fraud_score_high", auto_threshold=0.9)
    alerts = await merchants(desk, 200)

    await remedy_all(desk, alerts)
    await grouping.ask_all(desk.db, desk.watch, gather_s=0)
    await grouping.ask_all(desk.db, desk.watch, gather_s=0)

    rows = await desk.sql("select action_id, target_id from alerts.remediations")
    shown = await desk.sql(
        "select jsonb_array_length(plan -> 'changes'), jsonb_array_length(params -> 'members')"
        " from approvals.ops_actions where action_type = 'REMEDIATE_GROUP'"
    )
    unlinked = await desk.sql("select from alerts.alerts where remedied_by_action_id is null")
    assert await count_of(desk, "FREEZE_MERCHANT") == 10
    assert await count_of(desk, "REMEDIATE_GROUP") == 1
    assert [tuple(row) for row in shown] == [(191, 190)]
    assert len({target for _, target in rows}) == len(rows) == 200
    assert unlinked == []


async def test_a_group_takes_a_vote_more_than_each_alone(desk: Desk) -> None:
    action = await a_group(desk, await low_agents(desk, 3))

    two = await vote(desk, action, *VOTERS[:2])
    three = await vote(desk, action, VOTERS[2])

    assert (action["action_type"], action["risk_level"]) == ("REMEDIATE_GROUP", "critical")
    assert [each["target_id"] for each in action["params"]["members"]] == ["agent-1", "agent-2"]
    assert (two, three) == ("pending", "approved")


async def test_the_votes_of_each_alone_are_not_enough_votes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the vote more, two would do."""
    monkeypatch.setattr(grouping, "_votes", lambda _quorum: 0)
    monkeypatch.setattr(grouping.floors, "any_of", lambda roles, _least: any_of(roles, 2))
    action = await a_group(desk, await low_agents(desk, 3))

    assert await vote(desk, action, *VOTERS[:2]) == "approved"


async def test_each_target_has_a_result_and_each_alert_is_verified(desk: Desk) -> None:
    alerts = await low_agents(desk, 4)
    action = await a_group(desk, alerts)
    await desk.alerts.resolve_alert(alerts[2]["id"], "ops-admin-1", "Filled by hand")

    result = await carried_out(desk, action)
    await following.follow_action(desk.db, desk.watch, UUID(action["id"]))

    states = [(await desk.alerts.get_alert(alert["id"]))["status"] for alert in alerts]
    after = await desk.engine.get_action_with_votes(action["id"])
    said = {each["target_id"]: each.get("reason") or "done" for each in result["targets"]}
    assert (result["remediated"], result["left_out"]) == (2, 1)
    assert said == {"agent-1": "done", "agent-2": "over", "agent-3": "done"}
    assert states == ["open", "auto_remediated", "resolved", "auto_remediated"]
    assert after["state"] == "verified"
    assert (await balances(desk))[0::2] == [100_000, 100_000]
    assert min((await balances(desk))[1::2]) > 1_100_000
    assert (await desk.decisions(alerts[2]))[-1] == ("skip", "over")


async def test_one_without_effect_makes_the_group_ineffective(desk: Desk) -> None:
    alerts = await low_agents(desk, 3)
    action = await a_group(desk, alerts)
    await carried_out(desk, action)
    await desk.sql("update ledger.accounts set balance = 9 where id = 'agent:agent-1:float:XOF'")

    await following.follow_action(desk.db, desk.watch, UUID(action["id"]))
    waiting = await desk.engine.get_action_with_votes(action["id"])
    await desk.sql("update alerts.remediations set verify_by = now() - interval '1 second'")
    await desk.alerts.verify_remediations()

    after = await desk.engine.get_action_with_votes(action["id"])
    states = [(await desk.alerts.get_alert(alert["id"]))["status"] for alert in alerts]
    assert (waiting["state"], after["state"]) == ("executed", "ineffective")
    assert states == ["open", "open", "auto_remediated"]


async def filled_by_hand(desk: Desk, alert: dict[str, Any]) -> None:
    """Fill a float by the alert's own action, and look at nothing."""
    action = await desk.alerts.remediate_alert(alert["id"], "ops-admin-2")
    await desk.carry_out(action)


async def test_who_was_acted_on_meanwhile_is_left_out(desk: Desk) -> None:
    alerts = await low_agents(desk, 3)
    action = await a_group(desk, alerts)
    await filled_by_hand(desk, alerts[1])

    result = await carried_out(desk, action)

    assert [each.get("reason") for each in result["targets"]] == ["acted_on", None]
    assert [each < 3_000_000 for each in await balances(desk)] == [True, True, True]


async def test_without_the_look_they_would_be_acted_on_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = Query(
        "/* tests.blind */ select null::text as why where :action_id::uuid is not null"
        " and :alert_id::uuid is not null and :twin::text is not null"
        " and (:action_type::text, :target_type::text, :target_id::text) is not null",
        row=group_store.ReasonRow,
    )
    monkeypatch.setattr(group_store, "WHY_NOT", blind)
    alerts = await low_agents(desk, 3)
    action = await a_group(desk, alerts)
    await filled_by_hand(desk, alerts[1])
    before = await balances(desk)

    await carried_out(desk, action)

    assert (await balances(desk))[1] > before[1] > 1_000_000


async def test_what_is_held_later_waits_for_the_next_hour(desk: Desk) -> None:
    first = await a_group(desk, await low_agents(desk, 3))
    later = await low_agents(desk, 2, first=3)
    await remedy_all(desk, later)

    waits = await grouping.ask(desk.db, desk.watch, **KIND)
    await desk.engine.vote_on_action(first["id"], VOTERS[0], [], "reject", "Filled this morning")
    await following.follow_action(desk.db, desk.watch, UUID(first["id"]))
    still = await grouping.ask(desk.db, desk.watch, **KIND)
    await desk.sql(
        "update approvals.ops_actions set created_at = created_at - interval '1 hour',"
        " idempotency_key = idempotency_key || '-before'"
    )
    second = await asked(desk)

    assert (waits, still) == (None, None)
    assert [each["target_id"] for each in second["params"]["members"]] == ["agent-3", "agent-4"]


async def test_a_group_goes_stale_with_the_last_of_its_alerts(desk: Desk) -> None:
    alerts = await low_agents(desk, 3)
    action = await a_group(desk, alerts)
    states = []
    for alert in alerts[1:]:
        await desk.alerts.resolve_alert(alert["id"], "ops-admin-1", "Filled by hand")
        await following.follow_alert(desk.db, desk.watch, UUID(alert["id"]))
        states.append((await desk.engine.get_action_with_votes(action["id"]))["state"])

    assert states == ["pending", "stale"]


async def test_nobody_who_gains_by_one_of_them_votes(desk: Desk) -> None:
    alerts = await low_agents(desk, 3)
    await desk.sql("update tenancy.agents set owner_id = 'compliance-1' where id = 'agent-2'")
    action = await a_group(desk, alerts)

    with pytest.raises(NotEligible):
        await vote(desk, action, "compliance-1")


async def test_where_too_few_could_agree_people_look_at_each(desk: Desk) -> None:
    alerts = await low_agents(desk, 2)
    await desk.enable(targets_per_hour=1)
    await remedy_all(desk, alerts)
    await desk.sql(
        "update tenancy.role_grants set revoked_at = now() where person_id not in"
        " ('finance-user-1', 'finance-user-2')"
    )

    assert await grouping.ask(desk.db, desk.watch, **KIND) is None
    assert [word for word, _ in await desk.decisions(alerts[1])][-1] == "error"
    assert await grouping.ask(desk.db, desk.watch, **KIND) is None


async def test_the_clock_leaves_a_group_its_time_to_gather(desk: Desk) -> None:
    await desk.enable(targets_per_hour=1)
    await remedy_all(desk, await low_agents(desk, 3))
    (cron,) = crons(desk.watch)

    await cron.run(desk.db)
    early = await count_of(desk, "REMEDIATE_GROUP")
    await desk.sql("update alerts.held_remedies set held_at = held_at - interval '31 seconds'")
    await cron.run(desk.db)

    assert (early, await count_of(desk, "REMEDIATE_GROUP")) == (0, 1)


STEPS = ("remedy", "group", "carry_out", "carry_out", "resolve", "follow", "low")


@pytest.mark.parametrize("seed", range(3))
async def test_in_whatever_order_no_target_is_filled_twice(desk: Desk, seed: int) -> None:
    """Within its cooldown, whatever is measured and asked for, a target is acted on once."""
    chance = random.Random(seed)
    await desk.enable(targets_per_hour=1, cooldown_seconds=3600)
    alerts = await low_agents(desk, 4)
    for _ in range(50):
        with contextlib.suppress(Refusal):
            await _step(desk, chance.choice(STEPS), chance.choice(alerts))

    filled = await desk.sql(
        "select agent_id, count(*) from ledger.transfers where cause = 'float.adjusted' group by 1"
    )
    assert filled
    assert all(count == 1 for _, count in filled), filled


async def _step(desk: Desk, step: str, alert: dict[str, Any]) -> None:
    match step:
        case "remedy":
            await remedy_all(desk, [alert])
        case "group":
            await grouping.ask_all(desk.db, desk.watch, gather_s=0)
        case "resolve":
            await desk.alerts.resolve_alert(alert["id"], "ops-admin-1")
        case "low":
            with contextlib.suppress(AssertionError):  # It is not the newest measurement.
                alert |= await desk.low(alert["tenant_id"], 100_000)
        case "follow":
            await desk.alerts.verify_remediations()
        case _:
            waiting = await desk.sql("select id from approvals.ops_actions where state = 'pending'")
            for (id_,) in waiting[:1]:
                for voter in VOTERS:
                    with contextlib.suppress(Refusal):
                        await desk.engine.vote_on_action(str(id_), voter, [], "approve")
                await desk.engine.execute_action(str(id_), "ops-admin-1")
