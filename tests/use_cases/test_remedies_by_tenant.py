"""What is asked for about each type of alert and kind of tenant: an action, or a plain no."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import builders
import mesh_people
from molam.alerts.episodes import commands as episodes
from molam.alerts.remediation import bounds, commands, fitting, policies
from molam.alerts.remediation.model import NoRemedy, PolicyOutOfBounds, PolicyRefused
from molam.alerts.remediation.policies import PolicyChange
from molam.alerts.rules import commands as rules
from molam.alerts.rules import tenants
from molam.alerts.rules.model import MetricMalformed, Rule, Sample
from molam.approvals.model import Actor
from molam.kernel.refusals import Outage
from molam.platform.db import Database
from remedying import Desk, a_desk

ADMIN = Actor("ops-admin-1", roles=frozenset({"ops_admin"}))
KNOWN = {"agent": "agent-123", "merchant": "merchant-123", "bank": "bp_1", "platform": None}
ONE_MERCHANT = "it is about one merchant, and the alert is about a platform"

EXPECTED = {
    ("float_low", "agent"): "ADJUST_FLOAT",
    ("recon_match_drop", "bank"): "EMERGENCY_CIRCUIT_BREAK",
    ("refund_spike", "merchant"): "FREEZE_MERCHANT",
    ("refund_spike", "platform"): ONE_MERCHANT,
    ("payout_fail_rate", "bank"): "no other bank is known",
    ("fraud_score_high", "merchant"): "FREEZE_MERCHANT",
    ("fraud_score_high", "platform"): ONE_MERCHANT,
    ("dlq_growth", "platform"): "There is nothing to put back",
    ("conversion_drop", "merchant"): "people have to look",
    ("conversion_drop", "platform"): "people have to look",
    ("chargeback_spike", "merchant"): "FREEZE_MERCHANT",
    ("chargeback_spike", "platform"): ONE_MERCHANT,
}
"""An action type, or what is said instead, for whatever rules there are."""


@pytest.fixture
async def desk(db: Database, ops_db: Database) -> Desk:
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    await builders.a_merchant(db)
    await mesh_people.a_bank(db, "bp_1")
    return await a_desk(db, ops_db)


async def an_alert(desk: Desk, rule: Rule, tenant_id: str | None) -> UUID:
    """An alert as bad as the rule knows."""
    level = rule.fire_at if rule.critical_at is None else rule.critical_at
    worse = level * (Decimal("0.9") if rule.comparison == "below" else Decimal("1.1"))
    now = datetime.now(UTC)
    sample = Sample(
        metric=rule.metric,
        value=Decimal(int(worse)) if rule.unit == "amount" else worse,
        tenant_type=rule.tenant_type,
        tenant_id=tenant_id,
        currency=rule.currency,
        at=now,
        context={},
    )
    async with desk.db.transaction("tests.alert") as tx:
        opened = await rules.open_episode(
            tx, rule.alert_type, sample, severity="critical", now=now, book=desk.watch.rules
        )
        assert opened is not None
        (row,) = await episodes.apply(tx, desk.watch, [opened])
    return row.id


async def answer(desk: Desk, alert_id: UUID) -> str:
    """The type of what is asked for by hand, or why nothing is."""
    try:
        action = await commands.remediate_by_hand(desk.db, desk.watch, alert_id, ADMIN)
    except NoRemedy as refusal:
        return refusal.detail
    return action.action_type


async def judges(desk: Desk) -> list[Rule]:
    async with desk.db.transaction("tests.rules", readonly=True) as tx:
        return list((await desk.watch.rules.current(tx)).all)


async def test_whatever_a_rule_can_raise_has_an_action_or_a_plain_no(desk: Desk) -> None:
    found: dict[tuple[str, str], set[str]] = {}
    for rule in await judges(desk):
        if rule.currency not in {None, "XOF"}:
            continue
        alert_id = await an_alert(desk, rule, KNOWN[rule.tenant_type])
        said = await answer(desk, alert_id)
        found.setdefault((rule.alert_type, rule.tenant_type), set()).add(said)
        await desk.sql(
            "update approvals.ops_actions set state = 'cancelled' where state = 'pending'"
        )

    assert found.keys() == EXPECTED.keys()
    for kind, all_said in found.items():
        assert all(EXPECTED[kind] in said for said in all_said), (kind, all_said)
    assert not any("missing" in said for all_said in found.values() for said in all_said)


@pytest.mark.parametrize(
    "rule_id", ["refund_spike.unusual", "chargeback_spike.unusual", "fraud_score_high.joint"]
)
async def test_what_is_only_unusual_freezes_nobody_before_people_vote(
    desk: Desk, rule_id: str
) -> None:
    rule = next(each for each in await judges(desk) if each.id == rule_id)
    await desk.enable(rule.alert_type, auto_threshold=Decimal("0.5"))
    alert_id = await an_alert(desk, rule, "merchant-123")

    action = await desk.alerts.trigger_remediation_flow(str(alert_id))

    assert action is not None
    await desk.engine.vote_on_action(action["id"], "finance-user-1", [], "approve")
    assert await desk.sql("select state from approvals.ops_actions") == [("pending",)]
    assert await desk.sql("select from tenancy.merchant_freezes") == []


@pytest.mark.parametrize("alert_type", ["payout_fail_rate", "recon_match_drop"])
async def test_about_a_bank_that_nobody_knows_nothing_is_asked_for(
    desk: Desk, alert_type: str
) -> None:
    rule = next(each for each in await judges(desk) if each.id == alert_type)

    said = await answer(desk, await an_alert(desk, rule, "bp_unknown"))

    assert said.endswith(("fewer payouts fail.", "No bank profile has this id."))


async def test_a_bank_whose_statements_stop_matching_is_handed_nothing_more(desk: Desk) -> None:
    rule = next(each for each in await judges(desk) if each.id == "recon_match_drop")
    await desk.enable("recon_match_drop", auto_threshold=Decimal("0.9"))
    alert_id = await an_alert(desk, rule, "bp_1")

    action = await desk.alerts.trigger_remediation_flow(str(alert_id))

    assert action is not None
    assert action["action_type"] == "EMERGENCY_CIRCUIT_BREAK"
    assert action["target_tenant_id"] == "bp_1"
    assert action["params"]["minutes"] == 120


async def test_a_policys_amount_is_in_its_own_currency(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard(*_: object) -> None:
        raise Outage("SIRA")

    await builders.an_agent(desk.db, id_="agent-gh", currency="GHS", country="GH", balance=9)
    rule = next(each for each in await judges(desk) if each.id == "float_low.GHS")
    alert_id = await an_alert(desk, rule, "agent-gh")
    with monkeypatch.context() as patched:
        patched.setattr(commands, "advise", unheard)
        alone = await answer(desk, alert_id)
    advised = await answer(desk, alert_id)
    [(amount,)] = await desk.sql("select params -> 'amount' from approvals.ops_actions")

    assert alone == "ADJUST_FLOAT: the policy says amount in XOF alone."
    assert (advised, amount["currency"]) == ("ADJUST_FLOAT", "GHS")


@pytest.fixture
async def in_naira(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """An alert of a float in naira, of an agent whose float is in francs."""
    rule = next(each for each in await judges(desk) if each.id == "float_low.NGN")
    await desk.enable()
    with monkeypatch.context() as patched:
        patched.setattr(tenants, "_is_foreign", lambda *_: False)
        return await an_alert(desk, rule, "agent-123")


async def test_an_amount_keeps_the_currency_that_its_bound_is_in(
    desk: Desk, in_naira: UUID
) -> None:
    assert await desk.alerts.trigger_remediation_flow(str(in_naira)) is None
    assert "in XOF, not in NGN" in await answer(desk, in_naira)
    assert await desk.sql("select from approvals.ops_actions") == []
    last = (await desk.alerts.get_alert_decisions(str(in_naira)))[-1]["decision"]
    assert (last["action"], last["details"]["code"]) == ("error", "action-plan-refused")


async def test_without_its_currency_it_would_be_francs_past_their_bound(
    desk: Desk, in_naira: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "_in_currency", lambda params, *_: params)

    action = await desk.alerts.trigger_remediation_flow(str(in_naira))

    assert action is not None
    assert action["params"]["amount"]["currency"] == "XOF"
    assert action["params"]["amount"]["minor"] > 5_000_000


async def test_a_float_in_naira_is_filled_in_naira(desk: Desk) -> None:
    await builders.an_agent(desk.db, id_="agent-ng", currency="NGN", country="NG", balance=9)
    await desk.enable()
    alert = await desk.low("agent-ng", 9)

    action = await desk.alerts.trigger_remediation_flow(alert["id"])

    assert action is not None
    assert action["params"]["amount"]["currency"] == "NGN"
    assert 5_000_000 < action["params"]["amount"]["minor"] <= 1_250_000_000


async def test_a_float_in_a_currency_that_is_not_the_agents_raises_nothing(desk: Desk) -> None:
    said = {"metric": "float_available", "value": 1, "currency": "NGN"}
    whose = {"tenant_type": "agent", "tenant_id": "agent-123"}

    with pytest.raises(MetricMalformed, match="is in XOF, not in NGN"):
        await desk.alerts.process_metric_event(**whose, **said, timestamp=datetime.now(UTC))
    with pytest.raises(MetricMalformed, match="is in XOF, not in NGN"):
        await desk.alerts.create_alert(
            alert_type="float_low", **whose, severity="critical", metric=said
        )


async def test_a_bound_of_an_amount_says_its_currency(desk: Desk) -> None:
    plain = {"ADJUST_FLOAT": {"adjustment": ["top_up"], "amount_max": 5_000_000}}

    with pytest.raises(PolicyOutOfBounds, match="for each currency"):
        await change(desk, "float_low", bounds=plain)
    await desk.enable(bounds=plain)
    alert = await desk.low()
    assert await desk.alerts.trigger_remediation_flow(alert["id"]) is None


async def change(desk: Desk, alert_type: str, **asked: Any) -> policies.Changed:
    return await policies.change(
        desk.db, desk.watch, alert_type, PolicyChange(**asked), actor=ADMIN
    )


REFUSED = [
    ("float_low", {"params": {"adjustment": "sweep", "amount": 1}}, "adjustment"),
    ("float_low", {"params": {"adjustment": "top_up", "amount": 900_000}}, "amount_max"),
    (
        "float_low",
        {"params": {"adjustment": "top_up", "amount": 6_000_000, "currency": "XOF"}},
        "amount_max",
    ),
    ("refund_spike", {"params": {"duration": "25h"}}, "duration_max"),
]


@pytest.mark.parametrize(("alert_type", "said", "bound"), REFUSED)
async def test_an_action_outside_of_its_own_bounds_is_refused(
    desk: Desk, alert_type: str, said: dict[str, Any], bound: str
) -> None:
    type_ = "ADJUST_FLOAT" if alert_type == "float_low" else "FREEZE_MERCHANT"

    with pytest.raises(PolicyOutOfBounds) as refused:
        await change(desk, alert_type, auto_action={"action_type": type_, **said})

    assert refused.value.facts["bound"] == bound


async def test_without_the_check_it_would_wait_for_votes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "check", lambda *_: None)
    said = {"action_type": "FREEZE_MERCHANT", "params": {"duration": "25h"}}

    assert (await change(desk, "refund_spike", auto_action=said)).action is not None


@pytest.mark.parametrize(
    ("auto_action", "bounds", "says"),
    [
        ({"action_type": "FREEZE_MERCHANT", "params": {"duration": "soon"}}, {}, "duration"),
        ({"action_type": "FREEZE_MERCHANT", "params": {"until": "24h"}}, {}, "until"),
        ({"action_type": "UPDATE_RISK_THRESHOLD", "params": {}}, {}, "threshold"),
        ({"action_type": "CHANGE_REMEDIATION_POLICY", "params": {}}, {}, "knows how"),
        ({"action_type": "NOTHING", "params": {}}, {}, "knows how"),
        ({"action_type": "FREEZE_MERCHANT"}, {"duration_max": "soon"}, "duration"),
        (
            {
                "action_type": "FREEZE_MERCHANT",
                "for_tenants": {"bank": {"action_type": "FREEZE_MERCHANT"}},
            },
            {},
            "not about a bank",
        ),
        (
            {
                "action_type": "FREEZE_MERCHANT",
                "for_tenants": {"shop": {"action_type": "FREEZE_MERCHANT"}},
            },
            {},
            "for_tenants",
        ),
    ],
)
async def test_what_could_never_be_asked_for_is_refused(
    desk: Desk, auto_action: dict[str, Any], bounds: dict[str, Any], says: str
) -> None:
    type_ = auto_action["action_type"]

    with pytest.raises(PolicyRefused, match=says):
        await change(desk, "refund_spike", auto_action=auto_action, bounds={type_: bounds})


async def test_every_policy_that_is_delivered_fits(desk: Desk) -> None:
    found = await policies.listed(desk.db)
    for policy in found:
        fitting.check(policy, desk.watch.approvals.registry)

    assert len(found) == 8
