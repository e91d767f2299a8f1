"""The console on what would help an alert: the advice, asking for it, and the policies."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from typing import Any

import pytest
from ops_console import Console

from molam.alerts.engine import Alerts
from molam.platform.db import Database


@pytest.fixture
async def alert(console: Console, db: Database) -> dict[str, Any]:
    alerts = Alerts(console.db, console.watch)
    async with db.transaction("tests.enable") as tx:
        await tx.connection.execute(
            "update alerts.remediation_policies set enabled = true, share_of_targets = 1,"
            " auto_threshold = 0.99 where alert_type = 'float_low'"
        )
    made = await alerts.process_metric_event(
        metric="float_available",
        value=500_000,
        tenant_type="agent",
        tenant_id="agent-123",
        timestamp=datetime.now(UTC),
    )
    assert made is not None
    await alerts.trigger_remediation_flow(made["id"])
    return made


async def test_the_alert_shows_the_advice_and_asks_for_it(
    console: Console, alert: dict[str, Any]
) -> None:
    page = await console.page(f"/alerts/{alert['id']}")
    answer = await console.post(f"/alerts/{alert['id']}/remediate", csrf_token="")
    action = await console.page(answer.headers["location"])
    after = await console.page(f"/alerts/{alert['id']}")

    assert "SIRA recommends" in page
    assert "95% sure" in page
    assert "SIRA is not sure enough" in page
    assert answer.status_code == 303
    assert "Kiosque Médina" in action
    assert "It waits for votes." in after


async def test_an_action_that_is_decided_waits_for_no_votes(
    console: Console, alert: dict[str, Any]
) -> None:
    await console.post(f"/alerts/{alert['id']}/remediate", csrf_token="")
    async with console.db.transaction("test") as tx:
        await tx.connection.execute("update approvals.ops_actions set state = 'executing'")

    page = await console.page(f"/alerts/{alert['id']}")

    assert "Being carried out." in page
    assert "It waits for votes." not in page


async def test_who_may_not_ask_sees_no_button(console: Console, alert: dict[str, Any]) -> None:
    page = await console.page(f"/alerts/{alert['id']}", "ousmane.sow")
    refused = await console.post(f"/alerts/{alert['id']}/remediate", "ousmane.sow", csrf_token="")

    assert f"/alerts/{alert['id']}/remediate" not in page
    assert refused.status_code == 403


@pytest.mark.usefixtures("alert")
async def test_policies_are_shown_and_tightened(console: Console) -> None:
    policy = "/alerts/policies/float_low"
    page = await console.page("/alerts/policies", lang="fr")
    saved = await console.post(policy, enabled="yes", cooldown_seconds="7200")
    looser = await console.post("/alerts/policies/refund_spike", enabled="yes")
    wrong = await console.post(policy, enabled="yes", verify_hold_s="86400")
    unread = await console.post(policy, enabled="yes", verify_hold_s="999999")

    assert "Remédiation" in page
    assert saved.headers["location"] == "/alerts/policies?said=policy-saved"
    assert looser.headers["location"].startswith("/ops/actions/")
    assert (wrong.status_code, unread.status_code) == (422, 422)


@pytest.mark.usefixtures("alert")
async def test_an_action_outside_of_its_bounds_is_refused_in_the_readers_language(
    console: Console,
) -> None:
    policy = "/alerts/policies/refund_spike"
    action = '{"action_type": "FREEZE_MERCHANT", "params": {"duration": "25h"}}'
    page = await console.page("/alerts/policies")
    french = await console.post(policy, claims={"lang": "fr"}, auto_action=action)
    unread = await console.post(policy, auto_action="{")
    wider = await console.post(
        policy, auto_action=action, bounds='{"FREEZE_MERCHANT": {"duration_max": "25h"}}'
    )

    assert "Hand a bank nothing more" in page
    assert (french.status_code, unread.status_code) == (422, 422)
    assert "sort de ses propres limites" in html.unescape(french.text)
    assert "duration_max" in french.text
    assert wider.headers["location"].startswith("/ops/actions/")
