"""The pages of settings, team, security and the journal: what they show before and after."""

from __future__ import annotations

import re
import time
from html import unescape
from typing import Any

import httpx2
import pytest
from callers import bearer

from builders import a_merchant, a_person
from facts import look
from molam.platform.auth import sessions
from molam.platform.auth.tokens import AAL1, AAL2, Identity
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

COOKIE = "molam_merchant_3001"
PAGES = ("/settings", "/settings/team", "/settings/security", "/settings/audit")
SEEN = "select action_type, changes -> 'after' from merchant.merchant_actions_audit order by created_at"


class Reader:
    """Somebody in front of a browser without JavaScript."""

    def __init__(self, client: httpx2.AsyncClient, cookie: str, csrf: str) -> None:
        self._client = client
        self.csrf = csrf
        self._headers = {
            "Cookie": f"{COOKIE}={cookie}",
            "Accept": "text/html",
            "Sec-Fetch-Site": "same-origin",
        }

    async def get(self, path: str) -> httpx2.Response:
        return await self._client.get(path, headers=self._headers)

    async def send(self, path: str, **fields: str) -> httpx2.Response:
        data = {"csrf_token": self.csrf, **fields}
        return await self._client.post(path, headers=self._headers, data=data)

    async def confirm(self, address: str) -> httpx2.Response:
        """Look at a change's effect, and press the button below it."""
        shown = await self.get(address)
        assert shown.status_code == 200, shown.text
        form = re.search(r'<form class="card-body form-acts".*?</form>', shown.text, re.DOTALL)
        assert form is not None, "there is no button"
        action = re.search(r'action="([^"]+)"', form[0])
        assert action is not None
        fields = re.findall(r'name="([^"]+)" value="([^"]*)"', form[0])
        return await self.send(action[1], **{name: unescape(value) for name, value in fields})


@pytest.fixture
async def readers(client: httpx2.AsyncClient, db: Database, web_db: Database) -> Any:
    await a_merchant(db)
    await a_person(db)
    await a_person(db, id_="moussa.ndiaye", name="Moussa <b>Ndiaye</b>")
    await a_person(db, id_="fatou", name="Fatou", roles=("merchant_accountant",))

    async def reader(sub: str = "awa.diop", acr: str = AAL2, role: str = "admin") -> Reader:
        identity = Identity(
            sub=sub,
            exp=time.time() + 300,
            name=sub,
            merchant_id="merchant-123",
            roles=(f"merchant_{role}",),
            acr=acr,
            auth_time=time.time(),
            lang="en",
        )
        cookie = await sessions.start_session(
            web_db, app="merchant", identity=identity, replaces=None, begun_at=("192.0.2.7", acr)
        )
        ((csrf,),) = await look(
            db,
            f"select csrf from platform.sessions where subject = '{sub}' order by created_at desc limit 1",
        )
        return Reader(client, cookie, csrf)

    return reader


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["fr", "en"])
async def test_every_page_is_there_in_both_languages(
    client: httpx2.AsyncClient, keys: IssuerKeys, readers: Any, path: str, language: str
):
    assert readers
    headers = bearer(keys, lang=language) | {"Accept": "text/html"}
    answer = await client.get(path, headers=headers)

    assert answer.status_code == 200
    assert answer.headers["content-language"] == language


async def test_a_change_is_shown_before_it_is_made_and_is_in_the_journal_after(
    readers: Any, db: Database
):
    reader = await readers(acr=AAL1)
    address = "/settings/review?section=refunds&threshold=50+000&approval_minutes=120&fee=returned"

    shown = await reader.get(address)
    assert "FCFA" in shown.text or "F\u202fCFA" in shown.text or "CFA" in shown.text
    assert await look(db, SEEN) == []
    done = await reader.confirm(address)

    assert (done.status_code, done.headers["location"]) == (303, "/settings?said=saved")
    assert await look(db, SEEN) == [
        (
            "settings_changed",
            {
                "refund_thresholds": {"XOF": 50_000},
                "refund_approval_minutes": 120,
                "refund_fee": "returned",
            },
        )
    ]
    journal = await reader.get("/settings/audit")
    assert "Changed the settings" in journal.text
    assert "192.0.2.7" not in journal.text  # That is where the session began, not this request.


async def test_the_same_form_sent_twice_changes_once(readers: Any, db: Database):
    reader = await readers()
    fields = {"section": "general", "locale": "en", "idempotency_key": "k1", "version": ""}

    first = await reader.send("/settings", **fields)
    second = await reader.send("/settings", **fields)

    assert [each.headers["location"] for each in (first, second)] == ["/settings?said=saved"] * 2
    assert len(await look(db, SEEN)) == 1


async def test_a_looser_rule_sends_the_reader_to_prove_who_they_are_and_back(readers: Any):
    weak, strong = await readers(acr=AAL1), await readers()
    address = "/settings/review?section=refunds&threshold=900000&approval_minutes=60"

    shown = await weak.get(address)
    forced = await weak.send(
        "/settings", section="refunds", threshold="900000", approval_minutes="60"
    )
    done = await strong.confirm(address)

    assert "form-acts" not in shown.text
    assert "/sign-in?next=%2Fsettings%2Freview%3Fsection%3Drefunds" in shown.text
    assert forced.headers["location"].startswith("/sign-in?next=%2Fsettings%2Freview")
    assert done.headers["location"] == "/settings?said=saved"


async def test_nothing_different_is_nothing_to_confirm(readers: Any):
    reader = await readers()

    address = "/settings/review?section=refunds&threshold=100000&approval_minutes=60&fee=kept"
    answer = await reader.get(address)

    assert answer.headers["location"] == "/settings?said=unchanged"


async def test_settings_changed_meanwhile_are_not_overwritten(readers: Any, db: Database):
    reader = await readers()
    await reader.send("/settings", section="general", locale="en")

    answer = await reader.send("/settings", section="general", locale="fr", version="1")

    assert answer.status_code == 409
    assert len(await look(db, SEEN)) == 1


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ("threshold=many&approval_minutes=60", "threshold"),
        ("threshold=1,50&approval_minutes=60", "threshold"),
        ("approval_minutes=0", "approval_minutes"),
        ("approval_minutes=99999", "approval_minutes"),
        ("approval_minutes=", "approval_minutes"),
        ("approval_minutes=60&daily_limit=0", "daily_limit"),
        ("approval_minutes=60&monthly_limit=-5", "monthly_limit"),
    ],
)
async def test_what_cannot_be_read_is_named_beside_its_field(readers: Any, typed: str, field: str):
    answer = await (await readers()).get(f"/settings/review?section=refunds&{typed}")

    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text


async def test_an_accountant_reads_settings_and_cannot_change_them(readers: Any):
    reader = await readers("fatou", role="accountant")

    shown = await reader.get("/settings")
    answers = [
        await reader.get("/settings/review?section=general"),
        await reader.send("/settings", section="general", locale="en"),
        await reader.get("/settings/team"),
        await reader.get("/settings/audit"),
    ]

    assert shown.status_code == 200
    assert "/settings/review" not in shown.text
    assert {each.status_code for each in answers} == {403}


async def test_rates_are_shown_with_day_and_source(readers: Any):
    shown = await (await readers()).get("/settings")

    assert "655.957 XOF" in shown.text
    assert "fixed parity" in shown.text
    assert "unknown: amounts are not converted" in shown.text


async def test_somebody_is_added_changed_and_removed_each_after_its_effect_was_shown(
    readers: Any, db: Database
):
    reader = await readers()

    added = await reader.confirm(
        "/settings/team/review?step=add&name=Binta+Ba&email=binta%40example.com&role=merchant_support"
    )
    ((id_,),) = await look(db, "select id from tenancy.people where email = 'binta@example.com'")
    changed = await reader.confirm(
        f"/settings/team/review?step=change&person_id={id_}&admin=yes&accountant=yes"
    )
    removed = await reader.confirm(f"/settings/team/review?step=remove&person_id={id_}")

    assert [each.headers["location"] for each in (added, changed, removed)] == [
        "/settings/team?said=added",
        "/settings/team?said=changed",
        "/settings/team?said=removed",
    ]
    assert [after["roles"] for _, after in await look(db, SEEN)] == [
        ["merchant_support"],
        ["merchant_accountant", "merchant_admin"],
        [],
    ]


async def test_without_a_fresh_second_factor_the_team_only_shows(readers: Any, db: Database):
    reader = await readers(acr=AAL1)

    shown = await reader.get("/settings/team/review?step=remove&person_id=moussa.ndiaye")
    forced = await reader.send("/settings/team", step="remove", person_id="moussa.ndiaye")

    assert "form-acts" not in shown.text
    assert forced.headers["location"].startswith("/sign-in?next=%2Fsettings%2Fteam%2Freview")
    assert await look(db, SEEN) == []


@pytest.mark.parametrize(
    ("typed", "status"),
    [
        ("step=change&person_id=moussa.ndiaye", 422),
        ("step=remove&person_id=nobody", 404),
        ("step=add&name=A&email=none&role=merchant_support", 422),
        ("step=add&email=a%40b.com&role=merchant_support&name=", 422),
        ("step=add&name=A&email=a%40b.com", 422),
    ],
)
async def test_a_team_change_that_cannot_be_is_refused_on_the_page(
    readers: Any, typed: str, status: int
):
    answer = await (await readers()).get(f"/settings/team/review?{typed}")

    assert answer.status_code == status
    assert 'role="alert"' in answer.text


async def test_names_are_text_and_never_markup(readers: Any):
    shown = await (await readers()).get("/settings/team")

    assert "Moussa &lt;b&gt;Ndiaye" in shown.text


async def test_forms_without_their_token_do_nothing(readers: Any, db: Database):
    reader = await readers()
    reader.csrf = "x"

    answers = [
        await reader.send("/settings", section="general", locale="en"),
        await reader.send("/settings/team", step="remove", person_id="moussa.ndiaye"),
        await reader.send("/settings/security/sign-out"),
    ]

    assert {each.status_code for each in answers} == {403}
    assert await look(db, SEEN) == []


async def test_signing_out_elsewhere_is_offered_only_when_there_is_an_elsewhere(readers: Any):
    here = await readers()
    alone = await here.get("/settings/security")
    await readers()

    both = await here.get("/settings/security")
    done = await here.send("/settings/security/sign-out")

    assert (
        "sign-out" in alone.text.partition("Where are you")[2].partition("</section>")[0]
    ) is False
    assert "/settings/security/sign-out" in both.text
    assert done.headers["location"] == "/settings/security?ended=1"


async def test_the_journal_is_narrowed_by_what_is_in_its_address(readers: Any):
    reader = await readers()
    await reader.send("/settings", section="general", locale="en")

    found = await reader.get("/settings/audit?action_type=settings_changed&user_id=awa.diop")
    none = await reader.get("/settings/audit?user_id=fatou")
    odd = await reader.get("/settings/audit?from=2026-11-02&to=2026-11-01")

    assert "<del>Français</del>" in found.text
    assert "Nothing matches these filters" in none.text
    assert "The first day is after the last." in odd.text
