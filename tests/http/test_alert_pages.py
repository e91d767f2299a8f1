"""The console's pages about alerts: what they show, and what their forms do."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from ops_console import ASKS, Console

from alerting import a_transition, happen, one
from measuring import a_sample
from molam.alerts.episodes import queries
from molam.alerts.rules import points
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

    assert bare.headers["location"].endswith("said=reason-short")
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


async def test_a_rule_is_tightened_and_what_loosens_it_is_for_others(console: Console) -> None:
    rules = await console.page("/alerts/rules")
    assert "under 1,000,000" in rules
    assert "/alerts/rules/edit?id=float_low" in rules

    looser = await console.post("/alerts/rules/edit", id="float_low", fire_at="900 000")
    tighter = await console.post(
        "/alerts/rules/edit", id="float_low", fire_at="1 050 000", clear_at="1 200 000"
    )
    assert "This would let more through" in looser.text
    assert "This only tightens" in tighter.text
    refused = await console.post("/alerts/rules/edit", id="float_low", fire_at="much")
    assert refused.status_code == 422
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
