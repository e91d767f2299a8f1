"""What an alert may lead to by itself, and everything that holds it back."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

import builders
from molam.alerts.episodes import deciding
from molam.alerts.remediation import commands, following, limits, noting, policies, store
from molam.alerts.remediation.policies import PolicyChange
from molam.approvals.model import Actor, TwinOpen
from molam.kernel.refusals import Outage
from molam.platform.db import Database
from molam.sira import recommending_client
from molam.sira.recommending import Recommendation
from molam.sira.recommending_messages import Recommended
from remedying import Desk, a_desk

ADMIN = Actor("ops-admin-1", roles=frozenset({"ops_admin"}))


@pytest.fixture
async def desk(db: Database, ops_db: Database) -> Desk:
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    return await a_desk(db, ops_db)


async def remedy(desk: Desk, alert: dict[str, Any]) -> Any:
    return await desk.alerts.trigger_remediation_flow(alert["id"])


async def actions(desk: Desk) -> int:
    return int((await desk.sql("select count(*) from approvals.ops_actions"))[0][0])


async def test_a_hundred_refirings_are_one_action(desk: Desk) -> None:
    await desk.enable()
    alert = await desk.low()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(100):
            tasks.create_task(remedy(desk, alert))

    assert await actions(desk) == 1
    assert (await desk.sql("select count(*) from alerts.remediations"))[0][0] == 1


@pytest.mark.parametrize(
    "flag", ["is_silenced", "is_inhibited", "is_in_maintenance", "is_flapping"]
)
async def test_a_quiet_alert_leads_to_nothing(desk: Desk, flag: str) -> None:
    await desk.enable()
    alert = await desk.low()
    await desk.sql(f"update alerts.alerts set {flag} = true")

    assert await remedy(desk, alert) is None
    assert await actions(desk) == 0
    assert [word for word, _ in await desk.decisions(alert)] == ["skip"]


async def test_less_sure_than_the_policy_wants_is_only_a_suggestion(desk: Desk) -> None:
    await desk.enable(auto_threshold=Decimal("0.96"))
    alert = await desk.low()

    assert await remedy(desk, alert) is None
    assert await actions(desk) == 0
    assert await desk.decisions(alert) == [("suggest", ""), ("skip", "low_confidence")]


async def test_without_sira_people_are_asked_to_look(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard(*_: object, **__: object) -> Recommended:
        raise Outage("SIRA")

    monkeypatch.setattr(recommending_client, "there", unheard)
    away = replace(desk.watch, sira_url="http://127.0.0.1:9")
    await desk.enable(auto_threshold=Decimal("0.4"))
    alert = await desk.low()

    await commands.remediate(desk.db, away, UUID(alert["id"]))

    assert await actions(desk) == 0
    assert await desk.decisions(alert) == [("suggest", ""), ("skip", "low_confidence")]


def another_type(made: Recommended) -> dict[str, Any]:
    return {"recommendation_type": "FREEZE_MERCHANT", "action": "FREEZE_MERCHANT"}


def more_money(made: Recommended) -> dict[str, Any]:
    return {"params": {**made.params, "amount": 4_000_000}}


def another_tenant(made: Recommended) -> dict[str, Any]:
    return {"tenant_id": "agent-other"}


@pytest.mark.parametrize("altered", [another_type, more_money, another_tenant])
async def test_what_sira_did_not_sign_is_not_believed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, altered: Any
) -> None:
    answer = recommending_client.here

    def tampered(*args: Any, **how: Any) -> Recommended:
        made = answer(*args, **how)
        said = {name: getattr(made, name) for name in Recommended.__struct_fields__}
        return Recommended(**{**said, **altered(made)})

    monkeypatch.setattr(recommending_client, "here", tampered)
    await desk.enable()
    alert = await desk.low()

    assert await remedy(desk, alert) is None
    assert await actions(desk) == 0
    assert [word for word, _ in await desk.decisions(alert)] == ["error"]


async def test_without_the_check_of_the_signature_it_would_be_believed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = recommending_client.here

    def tampered(*args: Any, **how: Any) -> Recommended:
        made = answer(*args, **how)
        said = {name: getattr(made, name) for name in Recommended.__struct_fields__}
        return Recommended(**{**said, **more_money(made)})

    def gullible(_asked: Any, said: Recommended, **_: object) -> Recommendation:
        return said

    monkeypatch.setattr(recommending_client, "here", tampered)
    monkeypatch.setattr(recommending_client, "believed", gullible)
    await desk.enable()

    action = await remedy(desk, await desk.low())

    assert action["params"]["amount"]["minor"] == 4_000_000


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"bounds": {"ADJUST_FLOAT": {"amount_max": {"XOF": 900_000}}}}, "amount is at most"),
        ({"bounds": {"ADJUST_FLOAT": {"amount_max": {"GHS": 9}}}}, "nothing says how much"),
        ({"auto_action": {"action_type": "FREEZE_MERCHANT"}}, "not FREEZE_MERCHANT"),
    ],
)
async def test_what_is_out_of_bounds_is_an_error_and_no_action(
    desk: Desk, columns: dict[str, Any], says: str
) -> None:
    await desk.enable(**columns)
    alert = await desk.low()

    assert await remedy(desk, alert) is None
    last = (await desk.alerts.get_alert_decisions(alert["id"]))[-1]["decision"]
    assert last["action"] == "error"
    assert says in last["details"]["error"]
    assert await actions(desk) == 0


async def test_a_target_is_left_alone_for_as_long_as_its_cooldown(desk: Desk) -> None:
    await desk.enable(cooldown_seconds=3600)
    first = await remedy(desk, await desk.low())
    await desk.carry_out(first)
    await desk.alerts.verify_remediations()
    again = await desk.low()

    assert await remedy(desk, again) is None
    assert (await desk.decisions(again))[-1] == ("skip", "cooldown")

    await desk.sql("update alerts.remediations set created_at = created_at - interval '2 hours'")
    assert await remedy(desk, again) is not None


async def agents(desk: Desk, count: int) -> list[dict[str, Any]]:
    for number in range(count):
        await builders.an_agent(desk.db, id_=f"agent-{number}", balance=100_000)
    return [await desk.low(f"agent-{number}", 100_000) for number in range(count)]


async def test_many_targets_at_once_are_few_actions_and_one_notice(desk: Desk) -> None:
    await desk.enable(targets_per_hour=3)
    alerts = await agents(desk, 12)

    async with asyncio.TaskGroup() as tasks:
        for alert in alerts:
            tasks.create_task(remedy(desk, alert))

    held = await desk.sql(
        "select count(*) from alerts.alert_decisions where decision ->> 'action' = 'require_approval'"
    )
    told = await desk.sql("select count(*) from notices.notices where kind = 'remediation_held'")
    assert await actions(desk) == 3
    assert held[0][0] == 9
    assert told[0][0] == 1


async def test_without_the_lock_of_the_policy_more_would_slip_through(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unlocked(tx: Any, alert_type: str) -> Any:
        return await commands.policy_of(tx, alert_type)

    async def slow(tx: Any, policy: Any, action: Any) -> None:
        await check(tx, policy, action)
        await asyncio.sleep(0.05)

    check = limits.check
    monkeypatch.setattr(commands, "locked_policy", unlocked)
    monkeypatch.setattr(limits, "check", slow)
    await desk.enable(targets_per_hour=1)
    alerts = await agents(desk, 4)

    async with asyncio.TaskGroup() as tasks:
        for alert in alerts:
            tasks.create_task(remedy(desk, alert))

    assert await actions(desk) > 1


async def drained(desk: Desk) -> None:
    """Make the float as low as it was: the effect did nothing."""
    await desk.sql(
        "update ledger.accounts set balance = 500000 where id = 'agent:agent-123:float:XOF'"
    )


async def overdue(desk: Desk) -> None:
    await desk.sql("update alerts.remediations set verify_by = now() - interval '1 second'")


async def test_an_action_without_effect_leaves_the_alert_open(desk: Desk) -> None:
    await desk.enable()
    alert = await desk.low()
    action = await remedy(desk, alert)
    await desk.carry_out(action)
    await drained(desk)

    await desk.alerts.verify_remediations()
    waiting = await desk.alerts.get_alert(alert["id"])
    await overdue(desk)
    await desk.alerts.verify_remediations()
    after = await desk.alerts.get_alert(alert["id"])
    done = await desk.engine.get_action_with_votes(action["id"])

    assert waiting["remedied_by_action_id"] == action["id"]
    assert (after["status"], after["remedied_by_action_id"]) == ("open", None)
    assert done["state"] == "ineffective"


async def test_without_looking_at_the_metric_it_would_pass_for_remediated(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "holds", lambda *_args, **_how: True)
    await desk.enable()
    alert = await desk.low()
    action = await remedy(desk, alert)
    await desk.carry_out(action)
    await drained(desk)

    await desk.alerts.verify_remediations()

    assert (await desk.alerts.get_alert(alert["id"]))["status"] == "auto_remediated"


async def test_a_second_time_without_effect_opens_the_breaker(desk: Desk) -> None:
    await desk.enable(cooldown_seconds=0)
    for _ in range(2):
        alert = await desk.low()
        action = await remedy(desk, alert)
        await desk.carry_out(action)
        await drained(desk)
        await desk.alerts.verify_remediations()
        await overdue(desk)
        await desk.alerts.verify_remediations()
        await desk.alerts.resolve_alert(alert["id"], "ops-admin-1")
    third = await desk.low(value=400_000)

    assert await remedy(desk, third) is None
    assert (await desk.decisions(third))[-1] == ("require_approval", "breaker")
    told = await desk.sql("select count(*) from notices.notices where kind = 'remediation_held'")
    assert told[0][0] == 2

    await policies.close_breaker(
        desk.db,
        action_type="ADJUST_FLOAT",
        target_type="agent",
        target_id="agent-123",
        by="ops-admin-1",
    )
    assert await desk.db.read(store.LIST_BREAKERS) == []
    assert await remedy(desk, third) is not None


async def test_an_action_whose_alert_is_over_goes_stale(desk: Desk) -> None:
    await desk.enable()
    alert = await desk.low()
    action = await remedy(desk, alert)
    await desk.approve(action)
    await desk.alerts.resolve_alert(alert["id"], "ops-admin-1", "Filled by hand")

    await desk.alerts.verify_remediations()
    after = await desk.engine.get_action_with_votes(action["id"])

    assert (after["state"], after["reason"]) == ("stale", "alert_over")
    assert (await desk.alerts.get_alert(alert["id"]))["status"] == "resolved"


async def test_a_rejected_action_leaves_the_alert_to_people(desk: Desk) -> None:
    await desk.enable()
    alert = await desk.low()
    action = await remedy(desk, alert)
    for voter in ("finance-user-1", "finance-user-2"):
        await desk.engine.vote_on_action(action["id"], voter, [], "reject", "Filled this morning")

    await following.follow_action(desk.db, desk.watch, UUID(action["id"]))

    assert (await desk.alerts.get_alert(alert["id"]))["remedied_by_action_id"] is None
    assert (await desk.decisions(alert))[-1] == ("skip", "action_rejected")


async def test_an_alert_its_values_ended_first_was_remediated_all_the_same(desk: Desk) -> None:
    await desk.enable()
    alert = await desk.low()
    action = await remedy(desk, alert)
    await desk.carry_out(action)
    await desk.sql(
        "update alerts.alerts set state = 'resolved', resolved_at = now(), resolved_by = 'system'"
    )

    await desk.alerts.verify_remediations()

    assert (await desk.alerts.get_alert(alert["id"]))["status"] == "auto_remediated"


async def test_looking_again_and_again_changes_nothing(desk: Desk) -> None:
    await desk.enable()
    alert = await desk.low()
    action = await remedy(desk, alert)
    await desk.carry_out(action)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(desk.alerts.verify_remediations())

    moved = await desk.sql(
        "select moved from alerts.alert_moves where moved in ('acted', 'verified', 'remediated')"
    )
    assert sorted(moved) == [("acted",), ("remediated",), ("verified",)]
    assert (await desk.alerts.get_alert(alert["id"]))["status"] == "auto_remediated"


async def test_an_action_that_only_claims_an_alert_does_not_remedy_it(desk: Desk) -> None:
    await builders.an_agent(desk.db, id_="agent-other", balance=100_000)
    alert = await desk.low()
    action = await desk.engine.create_ops_action(
        origin="ops_ui",
        action_type="ADJUST_FLOAT",
        params={
            "agent_id": "agent-other",
            "adjustment": "top_up",
            "amount": 1_000_000,
            "alert_id": alert["id"],
        },
        created_by="pay-admin-1",
    )
    await desk.carry_out(action)

    await desk.alerts.verify_remediations()

    assert (await desk.alerts.get_alert(alert["id"]))["status"] == "open"


async def test_a_policy_that_allows_more_waits_for_two_people(desk: Desk) -> None:
    tighter = await policies.change(
        desk.db, desk.watch, "float_low", PolicyChange(cooldown_seconds=7200), actor=ADMIN
    )
    looser = await policies.change(
        desk.db, desk.watch, "float_low", PolicyChange(enabled=True), actor=ADMIN
    )

    assert (tighter.policy.cooldown_seconds, tighter.action) == (7200, None)
    assert looser.action is not None
    assert looser.action.state == "pending"
    assert looser.loosened == ("enabled",)
    assert looser.policy.enabled is False


async def test_a_change_asked_of_an_older_version_gives_way(desk: Desk) -> None:
    async def change(**asked: Any) -> policies.Changed:
        return await policies.change(
            desk.db, desk.watch, "float_low", PolicyChange(**asked), actor=ADMIN
        )

    async def states() -> list[tuple[Any, ...]]:
        return await desk.sql("select state from approvals.ops_actions order by created_at")

    await desk.enable()
    older = (await change(cooldown_seconds=30)).action
    with pytest.raises(TwinOpen):
        await change(cooldown_seconds=30)
    waiting = await states()
    await change(enabled=False)
    passed = await states()
    newer = (await change(enabled=True)).action
    await desk.sql("update alerts.remediation_policies set version = version + 1")
    again = (await change(enabled=True)).action

    assert all((older, newer, again))
    assert (waiting, passed) == ([("pending",)], [("stale",)])
    assert await states() == [("stale",), ("stale",), ("pending",)]


async def test_an_alert_that_ended_meanwhile_undoes_the_action(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = commands.advise

    async def slow(*args: Any) -> Any:
        answer = await ask(*args)
        await deciding.resolve(desk.db, desk.watch, UUID(alert["id"]), by="ops-admin-1")
        return answer

    monkeypatch.setattr(commands, "advise", slow)
    await desk.enable()
    alert = await desk.low()

    assert await remedy(desk, alert) is None
    assert await actions(desk) == 0
    assert (await desk.decisions(alert))[-1] == ("skip", "over")


@pytest.mark.parametrize("step", ["_act", "_begin", "_settle_well"])
async def test_a_worker_that_dies_in_a_step_has_done_all_of_it_or_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    where, last = {
        "_act": (noting, "created"),
        "_begin": (deciding, "note_move"),
        "_settle_well": (noting, "note"),
    }[step]
    alive = getattr(where, last)

    async def dying(tx: Any, *args: Any, **how: Any) -> None:
        await alive(tx, *args, **how)
        await tx.connection.execute("select pg_terminate_backend(pg_backend_pid())")

    async def once_dying(awaited: Any) -> None:
        monkeypatch.setattr(where, last, dying)
        with contextlib.suppress(Outage, OSError, asyncpg.PostgresError):
            await awaited
        monkeypatch.setattr(where, last, alive)

    await desk.enable()
    alert = await desk.low()
    if step == "_act":
        await once_dying(remedy(desk, alert))
    action = await remedy(desk, alert)
    await desk.carry_out(action)
    if step != "_act":
        await once_dying(desk.alerts.verify_remediations())
    await desk.alerts.verify_remediations()

    moved = await desk.sql(
        "select moved from alerts.alert_moves"
        " where moved in ('proposed', 'acted', 'verified', 'remediated')"
    )
    assert sorted(moved) == [("acted",), ("proposed",), ("remediated",), ("verified",)]
    assert await actions(desk) == 1
    assert (await desk.alerts.get_alert(alert["id"]))["status"] == "auto_remediated"
