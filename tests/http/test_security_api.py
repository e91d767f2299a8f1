"""How somebody signed in, where else they are, and the trail of what was done."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from callers import bearer

from builders import a_merchant, a_person
from facts import look
from molam.platform.auth import sessions
from molam.platform.auth.tokens import AAL2, Identity
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

COOKIE = "molam_merchant_3001"


async def signed_in(
    db: Database, sub: str, *, agent: str = "Firefox", app: str = "merchant"
) -> str:
    identity = Identity(
        sub=sub,
        exp=time.time() + 300,
        merchant_id="merchant-123",
        roles=("merchant_admin",),
        acr=AAL2,
    )
    return await sessions.start_session(
        db, app=app, identity=identity, replaces=None, begun_at=("192.0.2.7", agent)
    )


@pytest.fixture(autouse=True)
async def _people(db: Database) -> None:
    await a_merchant(db)
    await a_person(db)
    await a_person(db, id_="moussa.ndiaye", name="Moussa Ndiaye")


def by(cookie: str) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={cookie}"}


async def csrf_of(db: Database, agent: str) -> dict[str, str]:
    sql = f"select csrf from platform.sessions where user_agent = '{agent}'"
    ((csrf,),) = await look(db, sql)
    return {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-origin"}


async def test_every_browser_is_listed_and_which_one_is_this(
    client: httpx2.AsyncClient, web_db: Database
):
    here = await signed_in(web_db, "awa.diop", agent="Here")
    await signed_in(web_db, "awa.diop", agent="There")
    await signed_in(web_db, "moussa.ndiaye", agent="Elsewhere")
    await signed_in(web_db, "awa.diop", agent="Console", app="ops")

    answer = (await client.get("/api/merchant/security", headers=by(here))).json()

    assert [(each["user_agent"], each["is_this"]) for each in answer["sessions"]] == [
        ("Here", True),
        ("There", False),
    ]
    assert (answer["sessions"][0]["ip"], answer["sessions"][0]["second_factor"]) == (
        "192.0.2.7",
        True,
    )
    assert "team" in answer["second_factor_required_for"]


async def test_signing_out_elsewhere_leaves_this_browser_in(
    client: httpx2.AsyncClient, web_db: Database, db: Database
):
    here = await signed_in(web_db, "awa.diop", agent="Here")
    there = await signed_in(web_db, "awa.diop", agent="There")
    other = await signed_in(web_db, "moussa.ndiaye", agent="Elsewhere")

    answer = await client.post(
        "/api/merchant/security/sessions/revoke", headers=by(here) | await csrf_of(db, "Here")
    )

    assert answer.json() == {"ok": True, "ended": 1}
    statuses = [
        (await client.get("/api/merchant/security", headers=by(each))).status_code
        for each in (here, there, other)
    ]
    assert statuses == [200, 401, 200]
    ((action, user),) = await look(
        db, "select action_type, user_id from merchant.merchant_actions_audit"
    )
    assert (action, user) == ("sessions_ended", "awa.diop")


async def test_with_a_token_every_session_of_its_owner_ends(
    client: httpx2.AsyncClient, keys: IssuerKeys, web_db: Database
):
    await signed_in(web_db, "awa.diop")
    await signed_in(web_db, "moussa.ndiaye")

    path = "/api/merchant/security/sessions/revoke"
    first = await client.post(path, headers=bearer(keys))
    again = await client.post(path, headers=bearer(keys))

    assert (first.json()["ended"], again.json()["ended"]) == (1, 0)


@pytest.fixture
def put(client: httpx2.AsyncClient, keys: IssuerKeys) -> Any:
    async def put(**body: object) -> None:
        answer = await client.put("/api/merchant/settings", json=body, headers=bearer(keys))
        assert answer.status_code == 200, answer.text

    return put


async def trail(client: httpx2.AsyncClient, keys: IssuerKeys, query: str = "") -> Any:
    answer = await client.get(f"/api/merchant/audit?{query}", headers=bearer(keys))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_trail_says_who_what_from_where_and_the_difference(
    put: Any, client: httpx2.AsyncClient, keys: IssuerKeys
):
    await put(locale="en")

    (row,) = (await trail(client, keys))["rows"]

    assert (row["user_id"], row["user_name"], row["action_type"]) == (
        "awa.diop",
        "Awa Diop",
        "settings_changed",
    )
    assert (row["before"], row["after"]) == ({"locale": "fr"}, {"locale": "en"})
    assert (row["ip_address"], row["two_factor_verified"]) == ("127.0.0.1", False)


async def test_pages_of_the_trail_join_without_gap_or_overlap(
    put: Any, client: httpx2.AsyncClient, keys: IssuerKeys
):
    for minutes in range(1, 8):
        await put(refund_approval_minutes=minutes)

    seen, query = [], "limit=3"
    while True:
        page = await trail(client, keys, query)
        seen += [row["after"]["refund_approval_minutes"] for row in page["rows"]]
        if not page["has_more"]:
            break
        query = f"limit=3&cursor={page['next_cursor']}"

    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_the_trail_is_narrowed_and_its_cursor_belongs_to_that(
    put: Any, client: httpx2.AsyncClient, keys: IssuerKeys
):
    await put(locale="en")
    await put(locale="fr")
    today = datetime.now(UTC).date().isoformat()

    assert len((await trail(client, keys, f"from={today}&to={today}"))["rows"]) == 2
    assert (await trail(client, keys, "to=2020-01-01"))["rows"] == []
    assert (await trail(client, keys, "user_id=moussa.ndiaye"))["rows"] == []
    assert len((await trail(client, keys, "action_type=settings_changed"))["rows"]) == 2
    cursor = (await trail(client, keys, "limit=1"))["next_cursor"]
    answer = await client.get(
        f"/api/merchant/audit?user_id=awa.diop&cursor={cursor}", headers=bearer(keys)
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor-refused")


async def test_another_merchants_trail_is_not_there(
    put: Any, client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    await a_merchant(db, id_="merchant-other")
    await put(locale="en")

    headers = bearer(keys, sub="else", merchant_id="merchant-other")
    answer = await client.get("/api/merchant/audit", headers=headers)

    assert answer.json()["rows"] == []


@pytest.mark.parametrize("role", ["merchant_accountant", "merchant_support"])
async def test_only_administrators_read_the_trail(
    client: httpx2.AsyncClient, keys: IssuerKeys, role: str
):
    answer = await client.get("/api/merchant/audit", headers=bearer(keys, sub="x", roles=[role]))

    assert answer.status_code == 403


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "offset=1", "from=x", "cursor=x", "to=2026-13-01"]
)
async def test_a_question_to_the_trail_of_another_shape_is_refused(
    client: httpx2.AsyncClient, keys: IssuerKeys, query: str
):
    answer = await client.get(f"/api/merchant/audit?{query}", headers=bearer(keys))

    assert answer.status_code == 400, answer.text
