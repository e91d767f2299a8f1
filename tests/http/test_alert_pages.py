"""The console's pages about alerts: what they show, and what their forms do."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import open_streams
import pytest
from ops_console import ASKS, FIRST, SECOND, Console

from alerting import a_transition, happen, one
from measuring import a_rule, a_sample
from molam.alerts.episodes import queries
from molam.alerts.rules import points
from molam.ops import live
from molam.platform.db import Database


async def test_the_board_says_of_each_alert_what_is_the_matter(
    console: Console, worker_db: Database
) -> None:
    empty = await console.page("/alerts")
    await one(worker_db)
    await one(worker_db, [a_transition(tenant_id="agent-9", severity="warning")])
    board = await console.page("/alerts")
    french = await console.page("/alerts", lang="fr")

    assert "Nothing is the matter" in empty
    assert "The float of " in board
    assert "under 1,000,000" in board
    assert board.index("Critical</span>") < board.index("Warning</span>")
    assert "Le float de " in french
    assert "sous 1\u202f000\u202f000" in french


async def test_filters_are_in_the_address_and_leave_what_fits(
    console: Console, worker_db: Database
) -> None:
    await one(worker_db)
    await one(worker_db, [a_transition(tenant_id="agent-9", severity="warning")])

    warnings = await console.page("/alerts?severity=warning")
    assert warnings.count('class="alert-card') == 1
    assert "No alert fits" in await console.page("/alerts?type=refund_spike")
    assert "No alert yet" in await console.page("/alerts?state=over")
    assert (await console.get("/alerts?severity=red")).status_code == 400


async def test_an_alert_shows_its_levels_its_line_and_what_happened(
    console: Console, worker_db: Database
) -> None:
    alert = await one(worker_db)
    async with worker_db.transaction("tests.points") as tx:
        await points.add(tx, [a_sample(900_000 - n * 1000, n * 60) for n in range(-5, 5)])
    page = await console.page(f"/alerts/{alert.id}")

    assert "under 1,000,000" in page
    assert "1,100,000" in page
    assert "built-in" not in page
    assert '<svg class="alert-plot"' in page
    assert "<polyline points=" in page
    assert '<a href="/ops/agents/agent-123">' in page
    assert "It began" in page
    assert (await console.get(f"/alerts/{uuid4()}")).status_code == 404


async def test_an_alert_names_the_day_that_looked_most_like_its_own(
    console: Console, worker_db: Database
) -> None:
    alert = await one(worker_db)
    unlike = await console.page(f"/alerts/{alert.id}")
    async with worker_db.transaction("tests.points") as tx:
        days = [a_sample(900_000 + 1000 * (n % 24), (n - 240) * 3600) for n in range(241)]
        await points.add(tx, days)
    page = await console.page(f"/alerts/{alert.id}")

    assert 'id="likeness"' not in unlike
    assert "The day until it began looks most like the one until" in page
    assert "alike by 100%" in page


async def test_somebody_takes_an_alert_on_from_the_board(
    console: Console, worker_db: Database
) -> None:
    alert = await one(worker_db)
    answer = await console.post(f"/alerts/{alert.id}/acknowledge", board="yes")
    again = await console.post(f"/alerts/{alert.id}/acknowledge", ASKS, board="yes")

    assert answer.headers["location"] == "/alerts?said=acknowledged"
    assert again.headers["location"] == "/alerts?said=alert-taken"
    board = await console.page("/alerts?said=acknowledged")
    assert "You have taken it on" in board
    assert f'action="/alerts/{alert.id}/acknowledge"' not in board


async def test_an_alert_is_ended_with_a_reason(console: Console, worker_db: Database) -> None:
    alert = await one(worker_db)
    bare = await console.post(f"/alerts/{alert.id}/resolve", note=" ")
    ended = await console.post(f"/alerts/{alert.id}/resolve", note="The agent was topped up.")
    again = await console.post(f"/alerts/{alert.id}/resolve", note="Again.")

    assert bare.headers["location"].endswith("said=reason-missing")
    assert ended.headers["location"].endswith("said=alert-resolved")
    assert again.headers["location"].endswith("said=alert-over")
    page = await console.page(f"/alerts/{alert.id}")
    assert "The agent was topped up." in page
    assert 'id="decide"' not in page


async def test_a_note_is_kept_with_who_wrote_it(console: Console, worker_db: Database) -> None:
    alert = await one(worker_db)
    await console.post(f"/alerts/{alert.id}/note", note="<b>He is on his way.</b>")

    page = (await console.get(f"/alerts/{alert.id}")).text
    assert "&lt;b&gt;He is on his way." in page


async def test_a_critical_alert_is_silenced_after_a_fresh_proof(
    console: Console, worker_db: Database
) -> None:
    alert = await one(worker_db)
    path = f"/alerts/{alert.id}/silence"
    unproved = await console.post(path, claims={"acr": "aal1"}, reason="Being moved.")
    done = await console.post(path, reason="Being moved.", lasts="1h")

    assert unproved.headers["location"].startswith("/sign-in?")
    assert done.headers["location"].endswith("said=alert-silenced")
    assert "Being moved." in await console.page(f"/alerts/{alert.id}")
    assert "Silenced" in await console.page("/alerts?flag=silenced")


async def test_an_alerts_own_silence_is_listed_and_ended(
    console: Console, worker_db: Database
) -> None:
    alert = await one(worker_db)
    await console.post(f"/alerts/{alert.id}/silence", reason="Being moved.")
    await console.post(f"/alerts/{alert.id}/acknowledge", csrf_token="")
    page = await console.page(f"/alerts/{alert.id}")
    listed = await console.page("/alerts/silences")
    told = (await console.get("/api/alerts/silences")).json()["silences"]
    ended = await console.post(f"/alerts/silences/{alert.id}/end", alert="yes")
    again = await console.post(f"/alerts/silences/{alert.id}/end", csrf_token="")

    assert "Silenced until" in page
    assert "End its silence" in page
    assert f'href="/alerts/{alert.id}"' in listed
    assert "Nothing is silenced" not in listed
    assert [(each["matcher"], each["reason"], each["created_by"]) for each in told] == [
        ({"alert_id": str(alert.id)}, "Being moved.", FIRST)
    ]
    assert ended.headers["location"] == f"/alerts/{alert.id}?said=silence-ended"
    assert again.headers["location"].endswith("said=silence-over")
    assert not (await queries.get_alert(worker_db, alert.id)).is_silenced
    assert "Nothing is silenced" in await console.page("/alerts/silences")


async def test_a_silence_says_whom_it_quiets_before_it_does(
    console: Console, worker_db: Database
) -> None:
    await one(worker_db)
    form = {"tenant_type": "agent", "reason": "Counting the tills."}
    nothing = await console.post("/alerts/silences", reason="Everything.")
    shown = await console.post("/alerts/silences", **form)
    assert nothing.status_code == 422
    assert "It quiets 1 open alert" in shown.text
    assert not await queries.silences(worker_db)

    unproved = await console.post("/alerts/silences", claims={"acr": "aal1"}, sure="yes", **form)
    assert "confirm first that it is you" in unproved.text
    done = await console.post("/alerts/silences", sure="yes", **form)
    assert done.headers["location"].endswith("said=silenced")
    (row,) = await queries.silences(worker_db)
    ended = await console.post(f"/alerts/silences/{row.id}/end", csrf_token="")
    assert ended.headers["location"].endswith("said=silence-ended")
    assert "Nothing is silenced" in await console.page("/alerts/silences")


async def test_what_was_written_is_there_after_a_fresh_proof(
    console: Console, worker_db: Database
) -> None:
    alert = await one(worker_db)
    stale: dict[str, Any] = {"claims": {"acr": "aal1"}}
    form = {"tenant_type": "agent", "severity": "critical", "lasts": "3d"}
    why = "Inventaire « à l'étage » & Cie, 100 % compté"
    asked = await console.post("/alerts/silences", **stale, sure="yes", reason=why, **form)
    (proof,) = re.findall(r'href="(/sign-in\?[^"]+)"', asked.text)
    back = parse_qs(urlsplit(html.unescape(proof)).query)["next"][0]
    page = await console.page(back)
    of_one = await console.post(f"/alerts/{alert.id}/silence", **stale, reason=why, lasts="4h")
    returned = parse_qs(urlsplit(of_one.headers["location"]).query)["next"][0]
    longest = await console.post("/alerts/silences", **stale, reason="é" * 500, **form)

    assert f'value="{why}"' in page
    assert all(f'value="{value}" selected' in page for value in form.values())
    assert "It quiets 1 open alert" in page
    assert 'name="sure" value="yes"' in page
    shown = await console.page(returned)
    assert f'value="{why}"' in shown
    assert 'value="4h" selected' in shown
    (address,) = re.findall(r'href="(/sign-in\?[^"]+)"', longest.text)
    assert (await console.get(html.unescape(address))).is_redirect


async def test_which_alerts_quiet_others_is_changed_by_those_who_may(
    console: Console, worker_db: Database
) -> None:
    there = "/alerts/inhibitions?id=critical-quiets-warning"
    assert there in await console.page("/alerts/silences")
    euro = a_rule(currency="EUR", id="float_low.EUR")
    await happen(worker_db, a_transition(), a_transition(rule=euro, severity="warning"))
    assert 'name="same_type" value="yes" checked' in await console.page(there)
    form = {"source_type": "float_low", "target_type": "refund_spike", "enabled": "yes"}
    shown = await console.post("/alerts/inhibitions", **form)
    asked = await console.post("/alerts/inhibitions", sure="yes", **form)
    again = await console.post("/alerts/inhibitions", sure="yes", **form)
    itself = await console.post(
        "/alerts/inhibitions", target_severity="info", **form | {"target_type": ""}
    )
    unnamed = await console.post("/alerts/inhibitions", source_type="float_low")
    gone = await console.post("/alerts/inhibitions/remove", id="critical-quiets-warning")
    other = await console.get(there, "ousmane.sow")

    assert "two others decide" in shown.text
    page = await console.page(asked.headers["location"])
    assert "While these are open" in page
    assert "keeps more quiet than before" in page
    assert "Keep “Refunds surge” quiet while “Low float” is open" in page
    assert "Name what quiets, and what is quieted" in unnamed.text
    assert again.headers["location"].endswith("said=replayed")
    assert itself.status_code == 422
    assert 'value="float_low" selected' in itself.text
    assert gone.headers["location"].endswith("said=saved")
    assert not [
        row for row in await queries.newest(worker_db, queries.Wanted()) if row.is_inhibited
    ]
    assert other.status_code == 403


async def test_a_rule_is_tightened_and_what_loosens_it_is_for_others(console: Console) -> None:
    rules = await console.page("/alerts/rules")
    assert "under 1,000,000" in rules
    assert "/alerts/rules/edit?id=float_low" in rules

    looser = await console.post("/alerts/rules/edit", id="float_low", fire_at="900 000")
    tighter = await console.post(
        "/alerts/rules/edit", id="float_low", fire_at="1 050 000", clear_at="1 200 000"
    )
    assert "This would let more through" in looser.text
    (asking,) = re.findall(r'href="(/ops/propose/UPDATE_RISK_THRESHOLD[^"]+)"', looser.text)
    form = await console.page(html.unescape(asking))
    assert 'value="900000"' in form
    assert 'value="float_available"' in form
    assert "This only tightens" in tighter.text
    nothing = await console.post("/alerts/rules/edit", id="float_low")
    assert "Nothing would change." in nothing.text
    assert 'name="sure"' in tighter.text
    assert 'name="sure"' not in nothing.text
    refused = await console.post(
        "/alerts/rules/edit", id="float_low", fire_at="much", for_minutes="0"
    )
    assert refused.status_code == 422
    assert 'value="much" autocomplete="off" inputmode="decimal"' in refused.text
    assert refused.text.count('aria-invalid="true"') == 1
    assert re.search(r'id="for_minutes"[^>]* value="0"', refused.text)
    french = await console.post(
        "/alerts/rules/edit", id="float_low", clear_at="1000", claims={"lang": "fr"}
    )
    assert "ne doit pas en être une qui la déclenche" in french.text
    saved = await console.post(
        "/alerts/rules/edit", id="float_low", fire_at="1 050 000", clear_at="1 200 000", sure="yes"
    )
    assert saved.headers["location"] == "/alerts/rules?said=rule-saved"
    assert "under 1,050,000" in await console.page("/alerts/rules")


@pytest.mark.parametrize("path", ["resolve", "silence"])
async def test_who_may_not_decide_finds_no_form_and_a_closed_door(
    console: Console, worker_db: Database, path: str
) -> None:
    alert = await one(worker_db)
    who: dict[str, Any] = {"roles": ["compliance"]}
    page = await console.page(f"/alerts/{alert.id}", "mariama.cisse", **who)
    answer = await console.post(
        f"/alerts/{alert.id}/{path}", "mariama.cisse", claims=who, note="x", reason="Because."
    )

    assert f'action="/alerts/{alert.id}/{path}"' not in page
    assert answer.status_code == 403


async def test_the_mark_of_the_board_moves_with_what_it_shows(
    console: Console, worker_db: Database
) -> None:
    def mark(page: str) -> str:
        found = re.search(r'id="queue" data-key="([^"]+)"', page)
        assert found is not None
        return found[1]

    before = mark(await console.page("/alerts"))
    await one(worker_db)
    opened = mark(await console.page("/alerts"))
    await happen(worker_db, a_transition("resolved", 60))

    assert len({before, opened, mark(await console.page("/alerts"))}) == 3


async def test_pages_of_alerts_follow_the_votes_on_what_is_done(
    console: Console, worker_db: Database
) -> None:
    alert = await one(worker_db)
    asked = await console.post(f"/alerts/{alert.id}/remediate", ASKS, csrf_token="")
    action_id = urlsplit(asked.headers["location"]).path.rpartition("/")[2]
    async with (
        console.stream(f"/alerts/{alert.id}/live") as page,
        console.stream("/alerts/live") as board,
    ):
        assert "Waiting for votes" in html.unescape(await page.reads("remedies"))
        marked = await board.reads("event: waiting")
        await console.vote(action_id, "approve", FIRST)

        assert "1 approval" in await page.reads("1 approval")
        assert await board.reads("event: waiting") != marked
        await console.vote(action_id, "approve", SECOND)
        assert "It waits for votes" not in await page.reads("#stands")


async def test_what_is_not_told_of_votes_stays_as_it_was(
    console: Console, worker_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "ALERTS", "another topic")
    monkeypatch.setattr(open_streams, "PATIENCE_S", 0.5)
    alert = await one(worker_db)
    asked = await console.post(f"/alerts/{alert.id}/remediate", ASKS, csrf_token="")
    action_id = urlsplit(asked.headers["location"]).path.rpartition("/")[2]
    async with console.stream(f"/alerts/{alert.id}/live") as page:
        await page.reads("remedies")
        await console.vote(action_id, "approve", FIRST)

        with pytest.raises(TimeoutError):
            await page.reads("1 approval")
