"""The console where somebody decides alone, and where a machine's score asks for evidence."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from ops_console import ABSENT, ASKS, FIRST, SECOND, Console, hidden, panel

from molam.approvals import freezes
from molam.approvals.model import Actor
from molam.approvals.risk import commands
from molam.platform.auth.tokens import AAL1
from molam.platform.db import Database
from risk import EVIDENCE, SERVICE, asked

BREAKER, REVIEWER, AUDITOR = "alioune.sy", "mariama.cisse", "seynabou.mbaye"
WHY = "Refunds are leaving by the minute."
FOUND = "It was one, and this was right."


async def break_glass(console: Console, id_: str, who: str = BREAKER, **fields: str) -> Any:
    shown = hidden(await console.page(f"/ops/actions/{id_}", who))
    return await console.post(
        f"/ops/actions/{id_}/break-glass", who, **(shown | {"comment": WHY} | fields)
    )


async def review(console: Console, id_: str, who: str = REVIEWER, text: str = FOUND) -> Any:
    shown = hidden(await console.page(f"/ops/actions/{id_}", who))
    return await console.post(f"/ops/actions/{id_}/review", who, **shown, comment=text)


async def overdue(db: Database) -> None:
    async with db.transaction("tests.overdue") as tx:
        await tx.connection.execute(
            "update approvals.break_glass_uses set used_at = used_at - interval '25 hours',"
            " review_due = review_due - interval '25 hours'"
        )


async def test_one_person_carries_out_alone_and_the_page_says_so(console: Console) -> None:
    id_ = await console.freeze()

    before = await console.page(f"/ops/actions/{id_}", BREAKER)
    answer = await break_glass(console, id_)
    after = await console.page(f"/ops/actions/{id_}?said=emergency-executed")

    assert "somebody else must review it within 24 hours" in panel(before, "glass")
    assert answer.headers["location"].endswith("said=emergency-executed")
    assert await console.state(id_) == "executed"
    assert "It is carried out without votes." in after
    assert "Decided in an emergency, by one person without votes" in after
    assert "Alioune Sy" in after
    assert WHY in after
    assert "Somebody else has to review it by" in after


@pytest.mark.parametrize("who", [FIRST, REVIEWER, AUDITOR])
async def test_nobody_else_is_offered_or_granted_it(console: Console, who: str) -> None:
    id_ = await console.freeze()

    page = await console.page(f"/ops/actions/{id_}", who)
    answer = await break_glass(console, id_, who)

    assert "act-glass" not in page
    assert answer.status_code == 403
    assert await console.state(id_) == "pending"


async def test_a_short_reason_does_nothing(console: Console) -> None:
    id_ = await console.freeze()

    answer = await break_glass(console, id_, comment="Now!")

    assert answer.status_code == 409
    assert "say why in at least ten characters" in answer.text
    assert re.search(r'<details class="act act-glass"[^>]* open>', answer.text)
    assert await console.state(id_) == "pending"


async def test_an_older_page_does_nothing(console: Console) -> None:
    id_ = await console.freeze()

    answer = await break_glass(console, id_, view_hash="0" * 64)

    assert answer.status_code == 409
    assert "this changed since you opened it" in answer.text
    assert await console.state(id_) == "pending"


@pytest.mark.parametrize(
    "claims", [{"acr": AAL1}, {"auth_time": int(datetime.now(UTC).timestamp()) - 3600}]
)
async def test_without_a_fresh_second_factor_the_page_asks_for_it(
    console: Console, claims: dict[str, Any]
) -> None:
    id_ = await console.freeze()

    page = await console.page(f"/ops/actions/{id_}", BREAKER, **claims)
    answer = await console.post(
        f"/ops/actions/{id_}/break-glass", BREAKER, claims=claims, **hidden(page), comment=WHY
    )

    assert "Confirm with my one-time code" in panel(page, "glass")
    assert "glass-reason" not in page
    assert answer.headers["location"].startswith("/sign-in?")
    assert await console.state(id_) == "pending"


async def test_what_is_critical_is_typed_here_too(console: Console, db: Database) -> None:
    id_ = await console.freeze()
    async with db.transaction("tests.critical") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set risk_level = 'critical' where id = $1", UUID(id_)
        )

    wrong = await break_glass(console, id_, confirmation="9999")
    untouched = await console.state(id_)
    right = await break_glass(console, id_, confirmation="-123")

    assert "what you typed is not what was asked for" in wrong.text
    assert untouched == "pending"
    assert right.headers["location"].endswith("said=emergency-executed")


async def test_a_freeze_of_executions_holds_it_back_and_says_so(console: Console) -> None:
    id_ = await console.freeze()
    wanted = freezes.NewFreeze(reason="Something is wrong.")
    await freezes.begin(
        console.engine.runtime, wanted, Actor(SECOND, roles=frozenset({"ops_admin"}))
    )

    answer = await break_glass(console, id_)

    assert answer.status_code == 409
    assert await console.state(id_) == "approved"
    assert "Decided in an emergency" in await console.page(f"/ops/actions/{id_}")


async def test_somebody_else_reviews_it_and_the_page_keeps_what_they_found(
    console: Console,
) -> None:
    id_ = await console.freeze()
    await break_glass(console, id_)
    offered = await console.page(f"/ops/actions/{id_}", REVIEWER)

    answer = await review(console, id_)
    page = await console.page(f"/ops/actions/{id_}?said=reviewed", REVIEWER)

    assert "What did you find?" in panel(offered, "review")
    assert answer.headers["location"].endswith("said=reviewed")
    assert "Your review is recorded." in page
    assert "Mariama Cissé has reviewed it" in page
    assert FOUND in page
    assert "act-review" not in page


async def test_a_short_review_is_none(console: Console) -> None:
    id_ = await console.freeze()
    await break_glass(console, id_)

    answer = await review(console, id_, text="Fine.")

    assert answer.status_code == 409
    assert "say why in at least ten characters" in answer.text
    assert "Somebody else has to review it by" in await console.page(f"/ops/actions/{id_}")


async def test_nobody_reviews_what_they_did_and_not_everybody_may(console: Console) -> None:
    id_ = await console.freeze()
    await break_glass(console, id_)
    both = {"roles": ["super_admin", "ops_admin"]}

    page = await console.page(f"/ops/actions/{id_}", BREAKER, **both)
    shown = hidden(page)
    own = await console.post(
        f"/ops/actions/{id_}/review", BREAKER, claims=both, **shown, comment=FOUND
    )
    unable = await review(console, id_, AUDITOR)

    assert own.status_code in {403, 409}
    assert unable.status_code == 403
    assert "act-review" not in await console.page(f"/ops/actions/{id_}", AUDITOR)
    assert "Somebody else has to review it by" in await console.page(f"/ops/actions/{id_}")


async def test_who_asked_or_voted_is_offered_no_review(console: Console) -> None:
    id_ = await console.freeze()
    await console.vote(id_, "approve", FIRST)
    await break_glass(console, id_)
    reviewer = {"roles": ["ops_admin"]}

    pages = {
        who: await console.page(f"/ops/actions/{id_}", who, **reviewer) for who in (ASKS, FIRST)
    }
    other = await console.page(f"/ops/actions/{id_}", REVIEWER)

    assert {who: "What did you find?" in page for who, page in pages.items()} == {
        ASKS: False,
        FIRST: False,
    }
    assert "What did you find?" in other


async def test_what_nobody_reviewed_stands_above_what_is_carried_out(
    console: Console, db: Database
) -> None:
    id_ = await console.freeze()
    none = await console.page("/ops?tab=executing")
    await break_glass(console, id_)

    waiting = await console.page("/ops?tab=executing")
    await overdue(db)
    late = await console.page("/ops?tab=executing")
    banner = await console.page(f"/ops/actions/{id_}")
    figures = await console.page("/ops/statistics")
    await review(console, id_)
    after = await console.page("/ops?tab=executing")

    assert "Emergencies to review" not in none
    assert "Emergencies to review" in waiting
    assert f'href="/ops/actions/{id_}"' in waiting
    assert "overdue" in late
    assert "should have reviewed it by" in banner
    assert '<a href="/ops?tab=executing">1 review is due</a>' in figures
    assert "Emergencies to review" not in after


async def a_risk(console: Console, people: str = "one", **changed: Any) -> str:
    """Ask for an approval as a module would; return the id of the action that decides it."""
    opened = await commands.create(console.desk, asked(people, **changed), SERVICE)
    assert opened.row.ops_action_id is not None
    return str(opened.row.ops_action_id)


async def upload(
    console: Console, id_: str, who: str = FIRST, *, kind: str = "application/pdf", **sent: Any
) -> Any:
    name, content = sent.pop("name", "facture n° 7.pdf"), sent.pop("content", EVIDENCE)
    return await console.send_file(
        f"/ops/actions/{id_}/evidence", who, file=(name, content, kind), **sent
    )


async def test_a_risk_aware_approval_says_how_risky_and_why(console: Console) -> None:
    id_ = await a_risk(console, "two")

    page = await console.page(f"/ops/actions/{id_}")

    assert "How risky is it, and why?" in page
    assert re.search(r'score-value">65</b>', page)
    assert "a risky history" in page
    assert "+25" in page
    assert "high_historical_risk" in page
    assert "No evidence was added; none is needed." in page


async def test_another_action_has_no_score(console: Console) -> None:
    assert "How risky is it" not in await console.page(f"/ops/actions/{await console.freeze()}")


async def test_lists_show_it_like_any_other(console: Console) -> None:
    await a_risk(console)

    listed = await console.page("/ops/actions?type=RISK_APPROVAL")
    export = await console.get("/ops/actions/export?type=RISK_APPROVAL")

    assert "refund.large, asked for by the module wallet" in listed
    assert "250,000" in listed
    assert "RISK_APPROVAL" in export.text


async def test_evidence_is_added_by_a_plain_form_and_downloaded_again(console: Console) -> None:
    id_ = await a_risk(console, "three")
    before = await console.page(f"/ops/actions/{id_}")

    answer = await upload(console, id_, description="The invoice.")
    page = await console.page(f"/ops/actions/{id_}?said=evidence-added")
    link = re.search(r'href="(/api/approvals/[^"]+)" download>facture n° 7.pdf', page)
    assert link is not None
    file = await console.get(link[1])

    assert "Nobody can approve it before evidence is there." in before
    assert 'enctype="multipart/form-data"' in before
    assert answer.headers["location"].endswith("said=evidence-added")
    assert "The evidence is there." in page
    assert "The invoice." in page
    assert "Khady Seck" in page
    assert file.content == EVIDENCE
    assert "attachment" in file.headers["content-disposition"]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"kind": "text/html", "content": b"<script>"}, "This cannot be taken as evidence"),
        ({"content": b"no document"}, "This cannot be taken as evidence"),
        ({"name": "", "content": b""}, "choose a file"),
        ({"name": "a/b.pdf"}, "Give the file a plain name."),
    ],
)
async def test_what_is_no_evidence_is_refused_on_the_page(
    console: Console, sent: dict[str, Any], said: str
) -> None:
    id_ = await a_risk(console, "three")

    answer = await upload(console, id_, **sent)

    assert answer.status_code == 409
    assert said in answer.text
    assert "before evidence is there" in await console.page(f"/ops/actions/{id_}")


async def test_too_large_a_file_is_refused_before_it_is_read(console: Console) -> None:
    id_ = await a_risk(console, "three")

    answer = await upload(console, id_, content=EVIDENCE + bytes(6_000_000))

    assert answer.status_code == 413


async def test_an_auditor_reads_evidence_and_adds_none(console: Console) -> None:
    id_ = await a_risk(console, "three")
    await upload(console, id_)

    page = await console.page(f"/ops/actions/{id_}", AUDITOR)

    assert "facture n° 7.pdf" in page
    assert "evidence-file" not in page
    assert (await upload(console, id_, AUDITOR)).status_code == 403


async def test_evidence_is_for_what_is_weighed_and_open(console: Console) -> None:
    plain = await console.freeze()
    ended = await a_risk(console)
    async with console.db.transaction("tests.end") as tx:
        await tx.connection.execute(
            "update approvals.approvals_action set status = 'expired', decided_at = now()"
            " where ops_action_id = $1",
            UUID(ended),
        )

    late = await upload(console, ended)

    assert (await upload(console, plain)).status_code == 404
    assert (await upload(console, ABSENT)).status_code == 404
    assert late.status_code == 409
    assert "This approval has been decided" in late.text


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/x-www-form-urlencoded", b"description=x", 415),
        ("multipart/form-data", b"--x", 400),
        ("multipart/form-data; boundary=x; charset=utf-16", b"--x", 415),
        ("multipart/form-data; boundary=x", b"nothing of the kind", 400),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n",
            400,
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="other"; filename="f"\r\n\r\n1\r\n--x--\r\n',
            400,
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="description"\r\n\r\n1\r\n' * 2
            + b"--x--\r\n",
            400,
        ),
    ],
)
async def test_a_malformed_upload_is_refused(
    console: Console, kind: str, body: bytes, status: int
) -> None:
    id_ = await a_risk(console)

    answer = await console.send(f"/ops/actions/{id_}/evidence", FIRST, kind=kind, body=body)

    assert answer.status_code == status


async def test_an_emergency_carries_out_what_lacks_evidence(console: Console) -> None:
    id_ = await a_risk(console, "three")

    answer = await break_glass(console, id_, confirmation="2500000")

    assert answer.headers["location"].endswith("said=emergency-executed")
    assert await console.state(id_) == "executed"
