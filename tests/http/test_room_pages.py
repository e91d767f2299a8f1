"""The control room's pages without a browser: what they show, refuse, and leave alone."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from room_console import ADMIN, SECOND, TREASURER, VIEWER, Room, opened

from mesh_room import (
    ACTION_LOG,
    APPLIED_PROPOSAL,
    BETTER,
    FAILING,
    LATE_PAYOUT,
    OPEN_PROPOSAL,
    REGION,
    furnish,
)
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys


@pytest.fixture(scope="module")
async def empty(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Room]:
    """The control room before anything was set up; nobody changes anything."""
    async with opened(postgres, _admin, keys, jwks_url, issuer_home) as (room, _):
        yield room


@pytest.fixture(scope="module")
async def seen(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Room]:
    """The control room after a bad hour, to be looked at."""
    async with opened(postgres, _admin, keys, jwks_url, issuer_home) as (room, db):
        await furnish(db)
        yield room


@pytest.fixture
async def room(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[tuple[Room, Database]]:
    """The same, for a test that changes it, with the owner's view of its database."""
    async with opened(postgres, _admin, keys, jwks_url, issuer_home) as (room, db):
        await furnish(db)
        yield room, db


async def proposed(room: Room, who: str = TREASURER) -> str:
    """Ask for a route away from the bank that fails; return the proposal's id."""
    answer = await room.post(
        "/proposals",
        who,
        region=REGION,
        lane="XOF/bank",
        away=FAILING,
        reason="It answers nothing since eight.",
    )
    assert answer.status_code == 303, answer.text
    return re.fullmatch(r"/proposals/([^?]+)\?said=proposed", answer.headers["location"])[1]  # type: ignore[index]


async def test_the_first_page_says_first_which_bank_fails_and_who_takes_over(seen: Room) -> None:
    page = await seen.page("/")

    assert "Banque du Plateau is failing; payouts go to Banque Teranga" in page
    assert "1 other bank needs a look." in page
    assert page.index("finding-title") < page.index("Waiting to be sent")
    assert "Failover: Banque du Plateau → Banque Teranga" in page
    assert re.search(r"150,000.*?3 wait", page, re.DOTALL)


async def test_the_first_page_speaks_french(seen: Room) -> None:
    page = await seen.page("/", SECOND, lang="fr")

    assert "Banque du Plateau est en panne" in page
    assert "les versements vont à Banque Teranga" in page


async def test_a_gate_that_keeps_only_what_nobody_carries_leads_payouts_elsewhere(
    room: tuple[Room, Database],
) -> None:
    web, db = room

    async def first_page(shut_up_to: int) -> str:
        async with db.transaction("tests.gate") as tx:
            await tx.connection.execute(
                "update payments.bank_gates set is_open = false, closed_for ="
                f" '{{(,{shut_up_to + 1})}}' where bank_profile_id = '{FAILING}'"
            )
        return await web.page("/")

    # Members carry 10,000,000 at most.
    page = await first_page(10_000_000)
    assert "Banque du Plateau is failing; payouts go to Banque Teranga" in page
    assert "Payouts are led elsewhere" in page
    # Where others carry more than it is shut for, new ones still reach it.
    page = await first_page(9_999_999)
    assert "Banque du Plateau is failing; what others carry goes to Banque Teranga" in page

    async with db.transaction("tests.smaller") as tx:
        await tx.connection.execute(
            'update mesh.mesh_members set capabilities = capabilities || \'{"max_amount_per_txn":'
            f" {{\"XOF\": 40000}}}}' where bank_profile_id = '{FAILING}'"
        )
    bank = await web.page(f"/banks/{FAILING}?rail=bank&currency=XOF")
    assert re.search(r"One of .{0,5}50,000.{0,7} is more than the .{0,5}40,000", bank)


async def test_what_waits_where_nothing_was_heard_is_said_first(
    room: tuple[Room, Database],
) -> None:
    web, db = room
    async with db.transaction("tests.silence") as tx:
        await tx.connection.execute("update payments.bank_gates set is_open = true")
        await tx.connection.execute(
            "update mesh.member_health set mode = 'serving', left_at = null, p_down = 0.001,"
            f" last_signal_at = now() - case when bank_profile_id = '{FAILING}'"
            " then interval '1 hour' else interval '0' end"
        )
        await tx.connection.execute("delete from mesh.declared_outages")
    page = await web.page("/")

    assert re.search(
        "Nothing was heard of Banque du Plateau lately, and .{0,5}150,000.{0,9} wait there", page
    )
    assert "Nothing needs you" not in page


async def test_a_payout_that_was_led_elsewhere_names_its_merchant(seen: Room) -> None:
    page = await seen.page("/reconciliations?show=all")

    assert "Boutique Sandaga" in page
    assert ">merchant-" not in page


async def test_a_bank_that_was_left_and_is_well_again_is_not_said_to_fail(
    room: tuple[Room, Database],
) -> None:
    web, db = room
    async with db.transaction("tests.well_again") as tx:
        await tx.connection.execute(
            "update mesh.member_health set p_down = 0.001, better_since = now()"
        )
    page = re.sub("<time[^>]*>|</time>", "", await web.page("/"))

    assert "is failing" not in page
    times = r"at \d\d:\d\d\s\S+ and is well again since \d\d:\d\d\s\S+"
    assert re.search(f"Banque du Plateau was left {times}; payouts go to Banque Teranga", page)
    assert "they return after the hold" in page


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/", "No bank is in use"),
        ("/banks", "No bank is set up"),
        ("/proposals", "Nothing waits for a decision"),
        ("/proposals?show=applied", "There is none of this kind"),
        ("/actions", "Nothing was done yet"),
        ("/reconciliations", "Nothing was led elsewhere yet"),
        ("/drill", "No drill was run yet."),
    ],
)
async def test_an_empty_page_says_what_to_do_next(empty: Room, path: str, said: str) -> None:
    assert said in await empty.page(path)


async def test_a_bank_shows_its_past_and_why_it_is_believed_to_fail(seen: Room) -> None:
    page = await seen.page(f"/banks/{FAILING}?hours=6")

    assert "Payouts are led elsewhere" in page
    assert "6 of the last 9 attempts failed" in page
    assert "payouts would stay, had at most 2 failed" in page
    assert re.search(r'<polyline class="past-score" points="[\d., ]+', page)
    assert "Signature does not fit: not to be used" in page
    assert "Signature expired" in page
    assert "Active probes" in page


async def test_a_bank_that_is_not_there_is_absent(seen: Room) -> None:
    assert (await seen.get("/banks/bp_absent")).status_code == 404
    assert (await seen.get(f"/banks/{FAILING}?hours=5")).status_code == 400


async def test_a_prediction_made_at_the_page_is_signed(seen: Room) -> None:
    answer = await seen.post(f"/banks/{BETTER}/predict", rail="bank", currency="XOF")
    page = await seen.page(answer.headers["location"])

    assert "A new prediction is made." in page
    assert "Signature valid" in page


async def test_a_proposal_shows_its_order_its_trial_and_what_its_confidence_means(
    seen: Room,
) -> None:
    page = await seen.page(f"/proposals/{OPEN_PROPOSAL}")

    assert "Payouts leave Banque du Plateau and go to Banque Teranga" in page
    assert "Of 100 such moves, 93 are right" in page
    assert "Its next file leaves in 7 hours" in page
    assert "1 payout would cost more than the policy allows" in page
    assert re.search(r"Banque Teranga</th>.*?0 payouts.*?3 payouts", page, re.DOTALL)


async def test_what_was_not_signed_by_sira_cannot_be_approved_at_the_page(seen: Room) -> None:
    page = await seen.page(f"/proposals/{OPEN_PROPOSAL}")

    assert "Signature does not fit" in page
    assert 'class="act act-reject"' in page
    assert 'class="act act-approve"' not in page


async def test_two_people_apply_a_route_and_two_take_it_back(room: tuple[Room, Database]) -> None:
    here, db = room
    id_ = await proposed(here)
    wrong = await here.post(f"/proposals/{id_}/approve", SECOND, confirmation="Banque")
    first = await here.post(f"/proposals/{id_}/approve", SECOND, confirmation="banque teranga")
    waiting = await here.page(first.headers["location"])
    last = await here.post(f"/proposals/{id_}/approve", ADMIN, confirmation=BETTER)
    applied = await here.page(last.headers["location"], ADMIN)
    moved = await held_by(db, BETTER)
    wish = {"confirmation": FAILING, "reason": "It answers again, says the bank."}
    asked = await here.post(f"/proposals/{id_}/rollback", SECOND, **wish)
    done = await here.post(f"/proposals/{id_}/rollback", ADMIN, **wish)
    back = await here.page(done.headers["location"])

    assert wrong.status_code == 409
    assert "What you typed is not what was asked for" in html.unescape(wrong.text)
    assert first.headers["location"].endswith("said=approved"), first.text
    assert "Your approval is recorded." in waiting
    assert "1 more vote of" in waiting
    assert last.headers["location"].endswith("said=applied"), last.text
    assert "The route is applied." in applied
    assert "3 payouts, 150,000" in applied
    assert "can go back to where they were" in applied
    assert moved == 4
    assert asked.headers["location"].endswith("said=rollback-asked"), asked.text
    assert done.headers["location"].endswith("said=rolled-back"), done.text
    assert "Back where they were" in back
    assert await held_by(db, FAILING) == 3


async def held_by(db: Database, bank: str) -> int:
    async with db.transaction("tests.held", readonly=True) as tx:
        count: int = await tx.connection.fetchval(
            "select count(*) from payments.payouts where bank_profile_id = $1 and origin = 'molam'"
            " and state in ('scheduled', 'pending')",
            bank,
        )
    return count


async def test_what_is_decided_or_late_is_explained_and_offers_no_button(
    room: tuple[Room, Database],
) -> None:
    here, db = room
    path = f"/proposals/{OPEN_PROPOSAL}"
    async with db.transaction("tests.expire") as tx:
        await tx.connection.execute(
            "update mesh.mesh_routing_proposals set expires_at = now() - interval '1 minute'"
            " where id = $1",
            OPEN_PROPOSAL,
        )
    late = await here.page(path)
    tried = await here.post(f"{path}/simulate")
    short = await here.post(f"{path}/reject", SECOND, reason="no")
    done = await here.post(f"{path}/reject", SECOND, reason="The bank says it is back.")
    rejected = await here.page(done.headers["location"])

    assert "It was not decided in time" in late
    assert f"away={FAILING}" in late
    assert 'id="decide"' not in late
    assert tried.status_code == 409
    assert short.status_code == 409
    assert "Write at least ten characters" in html.unescape(short.text)
    assert "The proposal is rejected." in rejected
    assert "The bank says it is back." in rejected
    assert 'id="decide"' not in rejected


async def test_a_viewer_sees_everything_and_is_offered_nothing(seen: Room) -> None:
    pages = [f"/proposals/{OPEN_PROPOSAL}", f"/proposals/{APPLIED_PROPOSAL}", f"/banks/{FAILING}"]
    forms = [
        form
        for path in [*pages, "/", "/drill", "/proposals"]
        for form in re.findall(
            r'<form[^>]*action="([^"]*)"[^>]*method="post"', await seen.page(path, VIEWER)
        )
    ]

    assert set(forms) == {"/auth/sign-out"}
    for path in ("approve", "reject", "rollback", "simulate"):
        answer = await seen.post(f"/proposals/{OPEN_PROPOSAL}/{path}", VIEWER)
        assert answer.status_code == 403, path


async def test_a_form_that_cannot_be_proposed_is_shown_again(seen: Room) -> None:
    answer = await seen.post(
        "/proposals", region=REGION, lane="XOF/bank", least="12,345.678", reason="Why not?"
    )

    assert answer.status_code == 422
    assert 'value="12,345.678"' in answer.text
    assert (await seen.post("/proposals", region=REGION, lane="zzz/bank")).status_code == 422
    assert (await seen.post("/proposals", region="nowhere", lane="XOF/bank")).status_code in {
        404,
        422,
    }


async def test_the_log_names_who_did_what_to_which_payouts(seen: Room) -> None:
    listed = await seen.page("/actions")
    page = await seen.page(f"/actions/{ACTION_LOG}")

    assert "Route applied: Banque du Plateau → Banque Teranga" in listed
    assert "The controller" in listed
    assert LATE_PAYOUT in page
    assert "1 settled, 1 still open" in page
    assert "No entry" not in await seen.page("/actions?type=rollback")
    assert (await seen.get("/actions/absent")).status_code == 404


async def test_reconciliations_begin_with_what_is_overdue(seen: Room) -> None:
    first = await seen.page("/reconciliations")
    found = await seen.page("/reconciliations?q=po_room_1")
    nothing = await seen.page("/reconciliations?q=po_absent")

    assert LATE_PAYOUT in first
    assert "po_room_1" not in first
    assert "57 min earlier" in found
    assert "That payout was never led elsewhere" in nothing


async def test_a_list_goes_on_where_its_page_ends(
    seen: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molam.mesh.room.proposal_pages._PAGE_ROWS", 1)
    first = await seen.page("/proposals?show=all")
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None
    second = await seen.page(older[1])

    assert OPEN_PROPOSAL in first
    assert APPLIED_PROPOSAL not in first
    assert APPLIED_PROPOSAL in second
    assert (await seen.get("/proposals?show=all&cursor=made-up")).status_code == 400
    assert (await seen.get(older[1].replace("show=all", "show=open"))).status_code == 400


async def test_a_drill_is_begun_and_watched_at_its_page(seen: Room) -> None:
    begun = await seen.post("/drill", bank=FAILING, severity="1", minutes="3", payouts="5")
    page = await seen.page(begun.headers["location"])
    twice = await seen.post("/drill", bank=FAILING, severity="1", minutes="3", payouts="5")

    assert "The drill begins in a moment." in page
    assert "SIRA holds the bank to be down" in page
    assert twice.status_code == 409
    assert (await seen.get("/drill/dr_absent")).status_code == 404
    assert (
        await seen.post("/drill", bank="bp_wave_sn", minutes="5", payouts="9")
    ).status_code == 409


async def test_no_drill_is_offered_where_no_bank_is_simulated(
    seen: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen.app.state, "drills", None, raising=False)

    assert "No drill can be run here" in await seen.page("/drill")
    assert (await seen.post("/drill", bank=FAILING, minutes="5", payouts="40")).status_code == 409


async def test_a_proposal_says_what_its_confidence_and_its_trial_stand_on(seen: Room) -> None:
    page = await seen.page(f"/proposals/{OPEN_PROPOSAL}")

    assert "Checked against 41 moves that were judged. Signals alone say 98" in page
    assert "91.3" in page
    assert re.search(r"it would have been 98\.5\s?% \(96\.1\s?% to 100", page)
    assert "few payments speak for it" in page


async def test_a_bank_shows_whether_it_still_beats_and_whether_predictions_hold(seen: Room) -> None:
    silent = await seen.page(f"/banks/{FAILING}?rail=bank&currency=XOF")
    beating = await seen.page(f"/banks/{BETTER}?rail=bank&currency=XOF")

    assert "none since" in silent
    assert "Last heartbeat" not in silent
    assert "usually every 60 s" in beating
    assert re.search(r"81\s?% of the last 200; 80\s?% are meant", beating)
    never = await seen.page("/banks/bp_tresor?rail=bank&currency=XOF")
    assert "eartbeat" not in never


async def test_policies_show_how_often_moves_were_right(seen: Room, empty: Room) -> None:
    page = await seen.page("/policies", lang="fr")

    assert "Les changements étaient-ils justes" in page
    assert re.search(r"1 sur 1 étaient justes \(100", page)
    assert "Annoncé et advenu" in page
    assert "none could be judged yet" in await empty.page("/policies")


async def test_pages_say_what_practice_showed_and_which_amounts_a_bank_keeps(
    room: tuple[Room, Database],
) -> None:
    site, db = room
    statements = (
        (
            "insert into mesh.practice_runs (proposal_id, mesh_region_id, action_id, currency, rail,"
            " from_bank_id, to_bank_id, share, promise_s, ends_at, ended_at, end_reason, outcome,"
            " payouts, value, paid, fees, usual_fees, seconds, usual_seconds, judged_at)"
            f" values ('{APPLIED_PROPOSAL}', '{REGION}', '{ACTION_LOG}', 'XOF', 'bank', '{FAILING}',"
            f" '{BETTER}', 5, 86400, now(), now(), 'time', 'works', 3, 75000, 3, 900, 600, 95, 120, now())"
        ),
        (
            "insert into payments.bank_gates (bank_profile_id, rail, currency, is_open, closed_for)"
            f" values ('{BETTER}', 'bank', 'XOF', false, '{{[100,5001)}}')"
        ),
        (
            'update mesh.mesh_members set capabilities = capabilities || \'{"max_amount_per_txn": "x"}\''
            f" where bank_profile_id = '{BETTER}'"
        ),
    )
    async with db.transaction("tests.practice") as tx:
        for statement in statements:
            await tx.connection.execute(statement)

    bank = await site.page(f"/banks/{BETTER}?rail=bank&currency=XOF")
    assert "What did practice runs show?" in bank
    assert re.search(r"3 payouts, .{0,5}75,000.*3 paid, 0 failed, 0 given back", bank, re.DOTALL)
    assert re.search(
        r"closed: .{0,5}100.* \u2013 .*5,000.*it keeps what no other bank carries", bank
    )
    policies = await site.page("/policies/policy_cedeao")
    assert "It works" in policies
    members = await site.page(f"/members?region={REGION}")
    assert "is not written down properly" in members
    assert re.search(r"left by the mesh: .{0,5}100", await site.page("/switches"))
