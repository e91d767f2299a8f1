"""The ops console's pages without a browser: what they show, refuse, and leave alone."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import Any
from uuid import UUID

import pytest
from ops_console import ABSENT, ASKS, FIRST, OUTSIDE, SECOND, Console, hidden, panel

from builders import a_policy
from molam.platform.db import Database


async def test_my_turn_holds_what_i_can_decide_and_not_what_i_asked_for(console: Console) -> None:
    await console.freeze()

    voter = await console.page("/ops")
    asker = await console.page("/ops", ASKS)
    mine = await console.page("/ops?tab=mine", ASKS)
    outsider = await console.page("/ops", OUTSIDE)

    assert "Freeze merchant merchant-123 for 24 hours" in voter
    assert "your vote counts as Operations administrator" in voter
    assert "Nothing waits for you" in asker
    assert "Freeze merchant merchant-123 for 24 hours" in mine
    assert "Nothing waits for you" in outsider


async def test_my_turn_waits_for_the_escalation_that_makes_it_mine(
    console: Console, db: Database
) -> None:
    await a_policy(db)
    id_ = await console.float()

    before = await console.page("/ops", "ndeye.kane")
    async with db.transaction("tests.escalate") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set level = 1 where id = $1", UUID(id_)
        )
    after = await console.page("/ops", "ndeye.kane")

    assert "Nothing waits for you" in before
    assert "data-turn hidden" in before
    assert "to the float of agent agent-123" in after
    assert "in escalation" in after.lower() or "escalated" in after
    assert "data-turn hidden" not in after
    assert "to the float of agent agent-123" in await console.page("/ops", OUTSIDE)


async def test_my_turn_passes_over_pages_that_are_not_mine_yet(
    console: Console, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molam.ops.queue_pages.PAGE_ROWS", 1)
    await a_policy(db)
    await console.float()
    await a_policy(
        db,
        name="Freezes",
        criteria={"action_type": "FREEZE_MERCHANT"},
        policy={"required_quorum": {"type": "role", "value": {"role": "cfo", "min_votes": 1}}},
    )
    await console.freeze()

    page = await console.page("/ops", "ndeye.kane")

    assert "Freeze merchant" in page
    assert "float of agent" not in page


async def test_a_vote_leaves_my_turn_and_waits_on_others(console: Console) -> None:
    id_ = await console.freeze()

    answer = await console.vote(id_, "approve", FIRST)

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/ops/actions/{id_}?said=voted-approve"
    assert "Nothing waits for you" in await console.page("/ops")
    assert "Freeze merchant" in await console.page("/ops?tab=waiting")
    assert "1/2" in await console.page("/ops", SECOND)


async def test_an_action_page_says_what_why_who_and_what_happened(console: Console) -> None:
    id_ = await console.freeze(context={"note": "Twenty refunds within an hour."})

    page = await console.page(f"/ops/actions/{id_}")

    assert "Freeze merchant merchant-123 for 24 hours" in page
    assert "Boutique Sandaga" in page
    assert re.search(r"Status</th>.*?in service.*?frozen", page, re.DOTALL)
    assert "No policy matched: the strict default applies." in page
    assert "2 more votes of: Operations administrator" in page
    assert "Esi Boateng + Khady Seck" in page
    assert "Twenty refunds within an hour." in page
    assert "Check words" in page
    assert re.search(r'title="[0-9a-f]{64}">[0-9a-f]{8}</a>', page)


async def test_two_people_approve_and_a_third_carries_out(console: Console) -> None:
    id_ = await console.freeze()

    await console.vote(id_, "approve", FIRST)
    last = await console.page(f"/ops/actions/{id_}", SECOND)
    await console.vote(id_, "approve", SECOND, comment="Agreed.")
    shown = hidden(await console.page(f"/ops/actions/{id_}", ASKS))
    done = await console.post(f"/ops/actions/{id_}/execute", ASKS, **shown)
    page = await console.page(f"/ops/actions/{id_}?said=executed")
    merchant = await console.page("/ops/merchants/merchant-123")

    assert "You are the last approver" in last
    assert done.headers["location"].endswith("said=executed")
    assert await console.state(id_) == "executed"
    assert "It is carried out." in page
    assert "What happened to the target?" in page
    assert "Frozen since" in merchant
    assert "Unfreeze a merchant" in merchant


async def test_the_last_warning_is_not_given_to_the_first(console: Console) -> None:
    id_ = await console.freeze()

    assert "last approver" not in await console.page(f"/ops/actions/{id_}")


async def test_a_changed_page_is_shown_again_with_what_changed(
    console: Console, db: Database
) -> None:
    id_ = await console.float()
    shown = hidden(await console.page(f"/ops/actions/{id_}", FIRST))
    async with db.transaction("tests.change") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set plan ="
            " jsonb_set(plan, '{changes,0,after,minor}', '2500000') where id = $1",
            UUID(id_),
        )

    answer = await console.post(f"/ops/actions/{id_}/vote", FIRST, **shown, vote="approve")
    page = html.unescape(answer.text)

    assert answer.status_code == 409
    assert "Nothing was recorded: this changed since you opened it." in page
    assert re.search(r"<del>1,500,000.F.CFA</del> → <ins>2,500,000.F.CFA</ins>", page)
    assert await console.votes(id_) == 0


async def test_a_page_that_shows_what_is_there_is_believed(console: Console) -> None:
    id_ = await console.float()

    await console.vote(id_, "approve", FIRST)

    assert await console.votes(id_) == 1


async def test_a_form_sent_twice_votes_once(console: Console) -> None:
    id_ = await console.freeze()
    shown = hidden(await console.page(f"/ops/actions/{id_}"))

    for _ in range(2):
        answer = await console.post(f"/ops/actions/{id_}/vote", **shown, vote="approve")
        assert answer.status_code == 303

    assert await console.votes(id_) == 1


async def test_rejecting_takes_a_reason(console: Console) -> None:
    id_ = await console.freeze()

    short = await console.vote(id_, "reject", FIRST, comment="no")
    said = await console.vote(id_, "reject", FIRST, comment="This merchant did nothing wrong.")

    assert short.status_code == 409
    assert "at least ten characters" in html.unescape(short.text)
    assert said.status_code == 303
    assert "This merchant did nothing wrong." in await console.page(f"/ops/actions/{id_}", SECOND)


async def test_a_vote_is_withdrawn_and_may_be_given_again(console: Console) -> None:
    id_ = await console.freeze()
    await console.vote(id_, "approve", FIRST)
    shown = hidden(await console.page(f"/ops/actions/{id_}"))

    await console.post(f"/ops/actions/{id_}/withdraw", **shown)
    page = await console.page(f"/ops/actions/{id_}")

    assert "0/2" in page
    assert "withdrew their vote" in page
    assert (await console.vote(id_, "abstain", FIRST)).status_code == 303


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (ASKS, "You gain by it, or asked for it: somebody else must agree."),
        (OUTSIDE, "No role of yours may vote on this at present."),
    ],
)
async def test_a_button_that_cannot_be_pressed_says_why_and_the_engine_agrees(
    console: Console, who: str, why: str
) -> None:
    id_ = await console.freeze()

    page = await console.page(f"/ops/actions/{id_}", who)
    sent = await console.post(f"/ops/actions/{id_}/vote", who, **hidden(page), vote="approve")

    assert why in panel(page, "approve")
    assert "<form" not in panel(page, "approve")
    assert sent.status_code == 409
    assert await console.votes(id_) == 0


async def test_money_is_approved_only_with_a_fresh_proof_of_identity(console: Console) -> None:
    id_ = await console.float()
    weak: dict[str, Any] = {"acr": "urn:molam:aal1"}

    page = await console.page(f"/ops/actions/{id_}", FIRST, **weak)
    shown = hidden(page)
    sent = await console.post(
        f"/ops/actions/{id_}/vote", FIRST, claims=weak, **shown, vote="approve"
    )

    assert "Confirm with my one-time code" in panel(page, "approve")
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("/sign-in?next=%2Fops%2Factions%2F")
    assert "acr_values" in sent.headers["location"]
    assert await console.votes(id_) == 0


async def test_what_a_requester_wrote_is_quoted_and_disarmed(console: Console) -> None:
    id_ = await console.freeze(context={"note": "<script>alert(1)</script> paid by \u202ereversed"})

    answer = await console.get(f"/ops/actions/{id_}")

    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; paid by reversed" in answer.text
    assert "\u202e" not in answer.text


async def test_what_failed_is_tried_again_by_hand(console: Console, db: Database) -> None:
    id_ = await console.freeze()
    for who in (FIRST, SECOND):
        await console.vote(id_, "approve", who)
    async with db.transaction("tests.fail") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set state = 'failed', attempts = 1,"
            " error_message = 'The ledger was away.' where id = $1",
            UUID(id_),
        )

    page = await console.page(f"/ops/actions/{id_}", ASKS)
    address = re.search(r'action="([^"]*)"', panel(page, "retry"))
    assert address is not None
    again = await console.post(address[1], ASKS, **hidden(page))

    assert "The ledger was away." in page
    assert again.headers["location"].endswith("said=executed")
    assert await console.state(id_) == "executed"


async def test_undoing_asks_for_an_action_of_its_own(console: Console) -> None:
    id_ = await console.freeze()
    for who in (FIRST, SECOND):
        await console.vote(id_, "approve", who)
    await console.engine.execute_action(id_, ASKS)
    shown = hidden(await console.page(f"/ops/actions/{id_}", ASKS))

    answer = await console.post(
        f"/ops/actions/{id_}/compensate", ASKS, **shown, comment="The refunds were genuine."
    )
    page = await console.page(answer.headers["location"])

    assert answer.status_code == 303
    assert "Unfreeze merchant merchant-123" in page
    assert "It is asked for." in page


async def test_whoever_approves_in_haste_is_asked_to_read(console: Console) -> None:
    shops = ("merchant-123", "merchant-cocody", "merchant-makola", "merchant-balogun")
    *quick, last = [
        await console.freeze(params={"merchant_id": shop, "reason": "refunds"}) for shop in shops
    ]
    for id_ in quick:
        await console.vote(id_, "approve", FIRST)

    page = await console.page(f"/ops/actions/{last}", FIRST)
    hasty = await console.vote(last, "approve", FIRST)
    careful = await console.vote(last, "approve", FIRST, read="yes")

    assert "I have read what will happen here." in panel(page, "approve")
    assert hasty.status_code == 409
    assert careful.status_code == 303
    assert await console.votes(last) == 1


@pytest.mark.parametrize("zone", ["../../etc/passwd", "Africa", "%00", "x" * 500, ""])
async def test_a_time_zone_that_is_none_is_not_used(console: Console, zone: str) -> None:
    id_ = await console.freeze()

    answer = await console._client.get(
        f"/ops/actions/{id_}", headers=console._as(FIRST) | {"Cookie": f"molam_tz={zone}"}
    )

    assert answer.status_code == 200
    assert 'data-timezone="Africa/Dakar"' in answer.text


async def test_cancelling_takes_a_reason_and_ends_it(console: Console) -> None:
    id_ = await console.freeze()
    shown = hidden(await console.page(f"/ops/actions/{id_}", ASKS))

    await console.post(f"/ops/actions/{id_}/cancel", ASKS, **shown, comment="short")
    before = await console.state(id_)
    await console.post(f"/ops/actions/{id_}/cancel", ASKS, **shown, comment="Asked for by mistake.")

    assert before == "pending"
    assert await console.state(id_) == "cancelled"


async def test_a_comment_is_there_for_everybody(console: Console) -> None:
    id_ = await console.freeze()
    shown = hidden(await console.page(f"/ops/actions/{id_}", OUTSIDE))

    await console.post(f"/ops/actions/{id_}/comment", OUTSIDE, **shown, comment="Which refunds?")

    assert "Which refunds?" in await console.page(f"/ops/actions/{id_}")


async def test_a_rehearsal_shows_the_effect_and_stores_nothing(console: Console) -> None:
    answer = await console.post(
        "/ops/propose/ADJUST_FLOAT",
        ASKS,
        agent_id="agent-123",
        adjustment="top_up",
        amount="1 000 000",
        step="rehearse",
        form_id="a",
    )
    page = html.unescape(answer.text)

    assert answer.status_code == 200
    assert re.search(r"Add 1,000,000.F.CFA to the float of agent agent-123", page)
    assert re.search(r"500,000.F.CFA.*1,500,000.F.CFA", page, re.DOTALL)
    assert "They can: " in page
    assert await console.engine.get_pending_actions(["ops_admin"]) == []


async def test_asking_twice_by_one_form_asks_once(console: Console) -> None:
    fields = {
        "merchant_id": "merchant-cocody",
        "reason": "Chargebacks are rising",
        "duration": "12h",
        "step": "submit",
        "why": "Their dispute rate doubled in a day.",
        "form_id": "one-form",
    }

    answers = [await console.post("/ops/propose/FREEZE_MERCHANT", ASKS, **fields) for _ in range(2)]

    assert [each.status_code for each in answers] == [303, 303]
    assert answers[0].headers["location"].endswith("said=created")
    assert answers[1].headers["location"].endswith("said=replayed")
    assert len(await console.engine.get_pending_actions(["ops_admin"])) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"agent_id": "agent-none", "amount": "5"}, "No such agent"),
        ({"agent_id": "agent-123", "amount": "five"}, "Type an amount with digits only."),
        ({"agent_id": "agent-123", "amount": "99000000", "adjustment": "sweep"}, "float"),
        ({"amount": "5"}, "This is needed."),
    ],
)
async def test_what_cannot_be_done_is_said_beside_the_form(
    console: Console, fields: dict[str, str], said: str
) -> None:
    answer = await console.post(
        "/ops/propose/ADJUST_FLOAT", ASKS, **({"adjustment": "top_up", "step": "submit"} | fields)
    )

    assert answer.status_code == 200
    assert said in html.unescape(answer.text)
    assert 'name="agent_id"' in answer.text


async def test_the_same_thing_asked_twice_leads_to_the_first(console: Console) -> None:
    first = await console.freeze()

    answer = await console.post(
        "/ops/propose/FREEZE_MERCHANT",
        ASKS,
        merchant_id="merchant-123",
        reason="again",
        step="submit",
        why="Asked for a second time.",
        form_id="another",
    )

    assert f"/ops/actions/{first}" in answer.text
    assert "Show that action" in answer.text


async def test_the_list_is_filtered_and_its_export_shows_the_same(console: Console) -> None:
    await console.freeze()
    await console.float()

    page = await console.page("/ops/actions?type=ADJUST_FLOAT")
    export = await console.get("/ops/actions/export?type=ADJUST_FLOAT")
    rows = list(csv.DictReader(io.StringIO(export.text)))

    assert "to the float of agent" in page
    assert "Freeze merchant" not in page
    assert "/ops/actions/export?type=ADJUST_FLOAT" in page
    assert [(row["amount"], row["currency"], row["target_id"]) for row in rows] == [
        ("1000000", "XOF", "agent-123")
    ]
    assert export.headers["content-type"].startswith("text/csv")


async def test_pages_of_the_list_lead_back_and_forth(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molam.ops.history_pages.PAGE_ROWS", 1)
    await console.freeze()
    await console.float()

    def link(page: str, rel: str) -> str:
        match = re.search(rf'rel="{rel}" href="([^"]*)"', page)
        assert match is not None
        return match[1]

    first = await console.page("/ops/actions")
    second = await console.page(link(first, "next"))
    back = await console.page(link(second, "prev"))

    assert "float of agent" in first
    assert "Freeze merchant" in second
    assert "float of agent" in back
    assert 'rel="prev"' not in back


async def test_a_cursor_made_up_is_refused(console: Console) -> None:
    answer = await console.get("/ops/actions?cursor=bWFkZS11cA")

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "query", ["from=0001-01-01", "to=9999-12-31", "from=2026-05-02&to=2026-05-01"]
)
async def test_days_on_which_nothing_can_have_happened_are_said_to_be(
    console: Console, query: str
) -> None:
    assert "The first day is after the last." in await console.page(f"/ops/actions?{query}")
    assert (await console.get(f"/ops/actions/export?{query}")).text.count("\n") == 1


async def test_search_finds_every_kind_by_name_number_and_beginning(console: Console) -> None:
    id_ = await console.freeze()

    assert "Boutique Sandaga" in await console.page("/ops/search?q=sandaga")
    assert "/ops/agents/agent-123" in await console.page("/ops/search?q=agent-123")
    assert f"/ops/actions/{id_}" in await console.page(f"/ops/search?q={id_[:13]}")
    assert f"/ops/actions/{id_}" in await console.page("/ops/search?q=merchant-123")
    assert "Nothing found for" in await console.page("/ops/search?q=zzzzzz")
    assert "Find what it is about" in await console.page("/ops/search")


@pytest.mark.parametrize(
    "path",
    [
        "/ops/merchants/nobody",
        "/ops/agents/nobody",
        "/ops/transactions/tx_none?merchant=merchant-123",
        f"/ops/actions/{ABSENT}",
        f"/ops/policies/{ABSENT}",
        "/ops/propose/NO_SUCH_TYPE",
        "/ops/propose/CHANGE_APPROVAL_POLICY",
    ],
)
async def test_what_is_not_there_is_said_not_to_be(console: Console, path: str) -> None:
    answer = await console.get(path)

    assert answer.status_code in {404, 422}
    assert "text/html" in answer.headers["content-type"]


async def test_a_merchants_administrator_is_not_let_in(console: Console) -> None:
    answer = await console.get("/ops", "awa.diop", roles=["merchant_admin"])

    assert answer.status_code == 403


async def test_a_visitor_is_welcomed_and_sent_to_sign_in(console: Console) -> None:
    client = console._client
    answer = await client.get("/ops/actions", headers={"Accept": "text/html"})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fops%2Factions"
    assert (
        "Operations console"
        in (await client.get("/sign-in", headers={"Accept-Language": "en"})).text
    )


@pytest.mark.parametrize(
    "verb", ["vote", "withdraw", "execute", "cancel", "comment", "reconcile", "compensate"]
)
async def test_no_get_decides(console: Console, verb: str) -> None:
    id_ = await console.freeze()

    answer = await console.get(f"/ops/actions/{id_}/{verb}")

    assert answer.status_code == 405
    assert await console.votes(id_) == 0
    assert await console.state(id_) == "pending"


async def test_policies_are_sentences_with_who_could_decide_and_what_they_decided(
    console: Console, db: Database
) -> None:
    policy_id = await a_policy(db)
    id_ = await console.float()

    listed = await console.page("/ops/policies")
    page = await console.page(f"/ops/policies/{policy_id}")
    action = await console.page(f"/ops/actions/{id_}", OUTSIDE)
    statistics = await console.page("/ops/statistics")

    assert "2 approvals from Finance operations" in listed
    assert "Ousmane Sow" in page
    assert "to the float of agent agent-123" in page
    assert f'"/ops/policies/{policy_id}"' in action
    assert "It applies when:" in action
    assert "Float Top-up" in statistics


async def test_a_policy_is_changed_and_deleted_by_its_pages(console: Console, db: Database) -> None:
    policy_id = await a_policy(db)
    page = await console.page(f"/ops/policies/{policy_id}/edit")

    deleted = await console.post(f"/ops/policies/{policy_id}/delete", csrf_token="-")

    assert '"finance_ops"' in page
    assert deleted.status_code == 303
    assert "said=policy-" in deleted.headers["location"]
    assert (await console.get(deleted.headers["location"])).status_code == 200


async def test_a_change_of_policy_is_critical_and_takes_a_typed_confirmation(
    console: Console, db: Database
) -> None:
    policy_id = await a_policy(db)
    asked = await console.post(f"/ops/policies/{policy_id}/delete", ASKS, csrf_token="-")
    id_ = asked.headers["location"].split("/")[-1].split("?")[0]

    page = await console.page(f"/ops/actions/{id_}")
    wrong = await console.vote(id_, "approve", FIRST, confirmation="nope")
    right = await console.vote(id_, "approve", FIRST, confirmation=str(policy_id)[-4:])

    assert "Type the last four characters of" in panel(page, "approve")
    assert wrong.status_code == 409
    assert "what you typed is not what was asked for" in html.unescape(wrong.text)
    assert right.status_code == 303


async def test_a_policy_is_tried_before_it_is_saved(console: Console) -> None:
    await console.freeze()
    fields = {
        "name": "Freezes by payments",
        "priority": "90",
        "criteria": '{"action_type": "FREEZE_MERCHANT"}',
        "policy": '{"required_quorum": {"type": "role", "value": {"role": "ops_admin",'
        ' "min_votes": 3}}, "required_ratio": 1, "timeout_seconds": 7200}',
    }

    tried = await console.post("/ops/policies/new", FIRST, **fields, step="try")
    page = html.unescape(tried.text)
    saved = await console.post("/ops/policies/new", FIRST, **fields, step="save")

    assert "What it would mean" in page
    assert "1 past action was decided again." in page
    assert saved.status_code == 303
    assert "said=policy-" in saved.headers["location"]


async def test_a_policy_that_cannot_be_read_is_said_where_it_fails(console: Console) -> None:
    fields = {"name": "x", "criteria": '{"params.amuont": {"$gte": 5}}', "policy": "{}"}

    answer = await console.post("/ops/policies/new", FIRST, **fields, step="try")
    broken = await console.post(
        "/ops/policies/new", FIRST, **(fields | {"criteria": "{"}), step="try"
    )

    assert "amuont" in html.unescape(answer.text)
    assert broken.status_code == 200
    assert 'role="alert"' in broken.text


PAGES = (
    "/ops",
    "/ops?tab=waiting",
    "/ops?tab=mine",
    "/ops?tab=escalated",
    "/ops?tab=executing",
    "/ops?tab=done",
    "/ops/actions",
    "/ops/search?q=a",
    "/ops/merchants/merchant-123",
    "/ops/agents/agent-123",
    "/ops/propose",
    "/ops/propose/ADJUST_MERCHANT_FEE?merchant_id=merchant-123",
    "/ops/policies",
    "/ops/policies/new",
    "/ops/policies/new?template=merchant-freeze",
    "/ops/statistics?days=7",
    "/ops/audit",
    "/ops/audit?q=khady",
    "/ops/inbox?show=all",
)


@pytest.mark.parametrize("language", ["fr", "en"])
async def test_every_page_is_there_in_both_languages(console: Console, language: str) -> None:
    id_ = await console.float()
    for path in (*PAGES, f"/ops/actions/{id_}", f"/ops/audit?action={id_}"):
        answer = await console.get(path, lang=language)

        assert answer.status_code == 200, path
        assert f'<html lang="{language}"' in answer.text, path
        assert " style=" not in answer.text, path
        assert "onclick" not in answer.text, path


@pytest.mark.parametrize(
    ("amount", "said"),
    [(1_000_000, True), (6_000_000, False)],
)
async def test_the_page_says_which_policy_was_nearly_in_play(
    console: Console, db: Database, amount: int, said: bool
) -> None:
    floats = {"action_type": "ADJUST_FLOAT"}
    await a_policy(db, criteria=floats)
    await a_policy(
        db,
        name="Large floats",
        criteria=floats | {"min_amount": 5_000_000, "currency": "XOF"},
        priority=90,
    )

    page = await console.page(f"/ops/actions/{await console.float(amount)}")

    nearly = re.search(r"Nearly: Large floats applies if amount ≥ 5,000,000.F.CFA", page)
    assert (nearly is not None) is said
    assert "applies if action" not in page


@pytest.mark.parametrize(("path", "leads_to"), [("/mesh", "/"), ("/mesh/reconciliations",) * 2])
async def test_notices_of_the_mesh_lead_to_the_control_room(
    console: Console, path: str, leads_to: str
) -> None:
    answer = await console.get(path)

    assert answer.status_code == 303
    assert answer.headers["location"] == f"http://localhost:3138{leads_to.removeprefix('/mesh')}"
