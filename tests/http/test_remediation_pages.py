"""The console on what would help an alert: the advice, asking for it, and the policies."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from ops_console import Console

from molam.alerts.engine import Alerts
from molam.alerts.remediation import noting
from molam.alerts.remediation.model import Decision
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


async def test_what_an_error_or_a_twin_left_behind_is_shown(
    console: Console, alert: dict[str, Any]
) -> None:
    """An error says no reason; of a twin the page leads to the action that is under way."""
    twin = "019b8c5a-0000-7000-8000-00000000cafe"
    pages = []
    for action, details in (
        ("error", {"error": "SIRA does not answer.", "code": None}),
        ("skip", {"reason": "twin_open", "action_id": twin}),
    ):
        async with console.db.transaction("test") as tx:
            await noting.note(tx, UUID(alert["id"]), Decision("system", action, details))
        pages.append(await console.page(f"/alerts/{alert['id']}"))

    assert "the recommendation could not be used" in pages[0]
    assert "No action has been asked for." in pages[0]
    assert "the same action is under way" in pages[1]
    assert "No action has been asked for." not in pages[1]
    assert pages[1].count(f"/ops/actions/{twin}") == 2


async def test_a_target_that_its_group_left_out_is_said_to_be(
    console: Console, alert: dict[str, Any]
) -> None:
    await console.post(f"/alerts/{alert['id']}/remediate", csrf_token="")
    async with console.db.transaction("test") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set state = 'verified', result = '{}', decided_at = now()"
        )
        await tx.connection.execute(
            "update alerts.remediations set state = 'ended', is_group = true"
        )
        await tx.connection.execute(
            "insert into alerts.group_results (action_id, alert_id, said)"
            ' select action_id, alert_id, \'{"reason": "over"}\' from alerts.remediations'
        )
    page = await console.page(f"/alerts/{alert['id']}")

    assert "Left out: the alert was over" in page
    assert "Carried out and verified" not in page


async def test_what_sira_says_is_in_words_on_the_page_of_the_action(
    console: Console, alert: dict[str, Any]
) -> None:
    answer = await console.post(f"/alerts/{alert['id']}/remediate", csrf_token="")
    there = answer.headers["location"]
    page = await console.page(there)
    french = await console.page(there, lang="fr")
    async with console.db.transaction("test") as tx:
        await tx.connection.execute(
            'update approvals.ops_actions set context = context || \'{"sira_explanation":'
            ' {"features": [{"name": "x", "value": {}, "weight": "much"}]}}\''
        )
    strange = await console.page(there)

    assert "95% sure" in page
    assert "Features: " not in page
    assert "le grand livre" in french
    assert "Sira recommendation id" not in french
    assert "much" in strange


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
async def test_what_cannot_be_read_stays_in_the_form_and_is_marked(console: Console) -> None:
    for name, typed, said in (
        ("auto_threshold", "abc", "no number"),
        ("auto_threshold", "101 %", "From 0 to 100."),
        ("cooldown_seconds", "-1", "From 0 to 604,800."),
        ("cooldown_seconds", "9" * 12, "From 0 to 604,800."),
        ("targets_per_hour", "1.5", "no number"),
        ("bounds", "[1]", "JSON"),
    ):
        wrong = {name: typed, "verify_hold_s": "77"}
        answer = await console.post("/alerts/policies/float_low", **wrong)
        page = html.unescape(answer.text)
        assert answer.status_code == 422, (typed, page)
        assert typed in page, typed
        assert 'value="77"' in page
        assert page.count('aria-invalid="true"') == 1, typed
        assert f'aria-describedby="{name}-float_low-wrong"' in page, typed
        assert said in page, typed
    french = await console.post(
        "/alerts/policies/float_low", claims={"lang": "fr"}, cooldown_seconds="-1"
    )
    assert "De 0 à 604" in html.unescape(french.text)
    saved = await console.post(
        "/alerts/policies/float_low",
        enabled="yes",
        cooldown_seconds="7 200",
        auto_threshold="99,5 %",
    )
    assert saved.headers["location"].endswith("policy-saved")


@pytest.mark.usefixtures("alert")
async def test_another_change_that_waits_is_said_to_be_another(console: Console) -> None:
    policy = "/alerts/policies/float_low"
    first = await console.post(policy, enabled="yes", cooldown_seconds="30")
    other = await console.post(policy, enabled="yes", cooldown_seconds="40")
    waits = await console.page(other.headers["location"])
    await console.post(policy, csrf_token="")
    again = await console.post(policy, enabled="yes")
    asked = await console.page(again.headers["location"], lang="fr")

    assert first.headers["location"].endswith("policy-proposed")
    assert other.headers["location"].endswith("policy-waits")
    assert "another change of this policy waits already" in waits
    assert again.headers["location"].endswith("policy-proposed")
    assert first.headers["location"] != again.headers["location"]
    assert "Float bas" in asked
    assert "remediation_policy" not in asked.partition("<h2")[2].partition("</section>")[0]


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
