"""Delegations, freezes and passkeys over HTTP, and in the console's pages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from callers import bearer, in_process
from fastapi import FastAPI

from authenticators import Authenticator
from builders import a_policy
from molam.approvals.engine import Engine
from molam.entrypoints.wiring_ops import ops_app
from molam.platform.auth.tokens import AAL1, AAL2
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.issuer_keys import IssuerKeys
from molam.simulator.people import PLATFORM_PEOPLE
from molam.simulator.seed import seed_demo

URL = "http://localhost:3136"
ROLES = {person.id: person.roles for person in PLATFORM_PEOPLE}


def somebody(role: str, *, other_than: tuple[str, ...] = ()) -> str:
    return next(id_ for id_, roles in ROLES.items() if role in roles and id_ not in other_than)


ADMIN = somebody("ops_admin")
FINANCE = somebody("finance_ops")
COMPLIANCE = somebody("compliance")
ASKER = somebody("pay_admin")


class Desk:
    """The API as people of the demo call it."""

    def __init__(self, client: httpx2.AsyncClient, keys: IssuerKeys, app: FastAPI) -> None:
        self.client = client
        self._keys = keys
        self.engine = Engine(app.state.runtime)

    def as_(self, who: str, **changed: Any) -> dict[str, str]:
        claims = {"sub": who, "roles": list(ROLES.get(who, ())), "merchant_id": None}
        return bearer(self._keys, **(claims | {"name": who, "lang": "en", "acr": AAL2} | changed))

    async def get(self, path: str, who: str, **changed: Any) -> httpx2.Response:
        return await self.client.get(path, headers=self.as_(who, **changed))

    async def post(
        self, path: str, who: str, body: object = None, **changed: Any
    ) -> httpx2.Response:
        content = None if body is None else json.dumps(body)
        headers = self.as_(who, **changed) | {"Content-Type": "application/json"}
        return await self.client.post(path, headers=headers, content=content)

    async def form(self, path: str, who: str, **fields: str) -> httpx2.Response:
        return await self.client.post(
            path,
            headers=self.as_(who),
            data={"csrf_token": "x"} | fields,
            follow_redirects=False,
        )

    async def float(self) -> str:
        created = await self.engine.create_ops_action(
            origin="alert",
            action_type="ADJUST_FLOAT",
            params={"agent_id": "agent-123", "adjustment": "top_up", "amount": 1_000_000},
            created_by="sira-system",
        )
        return str(created["id"])

    async def passkey(self, who: str) -> Authenticator:
        key = Authenticator()
        begun = await self.post("/api/ops/passkeys/challenge", who)
        body = {"label": "Phone", "credential": key.create(begun.json()["options"])}
        kept = await self.post("/api/ops/passkeys", who, body)
        assert kept.status_code == 201, kept.text
        return key


@pytest.fixture
async def desk(settings: Settings, keys: IssuerKeys, db: Database) -> AsyncIterator[Desk]:
    await seed_demo(db, datetime.now(UTC))
    await a_policy(db)
    app = ops_app(settings)
    async with app.router.lifespan_context(app), in_process(app, URL) as client:
        yield Desk(client, keys, app)


def lending(**changed: Any) -> dict[str, Any]:
    ends = datetime.now(UTC) + timedelta(days=3)
    body = {
        "delegate_id": COMPLIANCE,
        "role": "finance_ops",
        "ends_at": ends.isoformat(),
        "reason": "on leave",
    }
    return body | changed


async def test_a_role_is_lent_listed_and_taken_back(desk: Desk):
    lent = await desk.post("/api/ops/delegations", FINANCE, lending())
    id_ = lent.json()["delegation"]["id"]
    given = await desk.get("/api/ops/delegations", COMPLIANCE)
    outsider = await desk.get("/api/ops/delegations", ASKER)
    everybodys = await desk.get("/api/ops/delegations?show=all", ADMIN)
    refused = await desk.get("/api/ops/delegations?show=all", ASKER)
    stranger = await desk.post(f"/api/ops/delegations/{id_}/revoke", ASKER)
    ended = await desk.post(f"/api/ops/delegations/{id_}/revoke", FINANCE)

    assert lent.status_code == 201
    assert [each["id"] for each in given.json()["delegations"]] == [id_]
    assert outsider.json()["count"] == 0
    assert everybodys.json()["count"] == 1
    assert (refused.status_code, stranger.status_code) == (403, 404)
    assert ended.json()["delegation"]["revoked_at"] is not None


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"role": "cfo"}, 422, "delegation-refused"),
        ({"delegate_id": FINANCE}, 422, "delegation-refused"),
        ({"ends_at": "2026-12-01T00:00:00"}, 400, "body-malformed"),
        ({"reason": ""}, 400, "body-malformed"),
        ({"action_types": ["NO_SUCH_TYPE"]}, 422, "unknown-action-type"),
        ({"action_types": ["X"] * 51}, 400, "body-malformed"),
        ({"surprise": 1}, 400, "body-malformed"),
    ],
)
async def test_a_delegation_that_cannot_be_is_refused(
    desk: Desk, changed: dict[str, Any], status: int, code: str
):
    answer = await desk.post("/api/ops/delegations", FINANCE, lending(**changed))

    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("id_", ["none", "019b8c5a-0000-7000-8000-000000000001"])
async def test_what_is_absent_is_404_whatever_its_id(desk: Desk, id_: str):
    ended = await desk.post(f"/api/ops/delegations/{id_}/revoke", FINANCE)
    lifted = await desk.post(f"/api/ops/freezes/{id_}/end", ADMIN, {})

    assert (ended.status_code, lifted.status_code) == (404, 404)


async def test_the_kill_switch_stops_at_once_and_lifting_it_is_asked_for(desk: Desk):
    forbidden = await desk.post("/api/ops/freezes", FINANCE, {"reason": "No"})
    first = await desk.post("/api/ops/freezes", COMPLIANCE, {"reason": "A breach"})
    again = await desk.post("/api/ops/freezes", ADMIN, {"reason": "Another hand"})
    id_ = first.json()["freeze"]["id"]
    asked = await desk.post(f"/api/ops/freezes/{id_}/end", COMPLIANCE, {"reason": "Over"})
    twice = await desk.post(f"/api/ops/freezes/{id_}/end", ADMIN, {})
    listed = await desk.get("/api/ops/freezes", FINANCE)

    assert (forbidden.status_code, first.status_code, again.status_code) == (403, 201, 200)
    assert again.json()["freeze"]["id"] == id_
    assert (asked.status_code, asked.json()["action"]["action_type"]) == (202, "LIFT_FREEZE")
    assert (twice.status_code, twice.json()["code"]) == (409, "action-twin-open")
    assert [each["in_force"] for each in listed.json()["freezes"]] == [True]


async def test_a_freeze_refuses_execution_over_http_and_leaves_it_approved(desk: Desk):
    id_ = await desk.float()
    voters = [who for who, roles in ROLES.items() if "finance_ops" in roles]
    for voter in voters[:3]:
        if (await desk.engine.get_action_with_votes(id_))["status"] != "approved":
            await desk.engine.vote_on_action(id_, voter, [], "approve")
    await desk.post("/api/ops/freezes", ADMIN, {"reason": "A breach"})

    answer = await desk.post(f"/api/ops/actions/{id_}/execute", ADMIN)

    assert (answer.status_code, answer.json()["code"]) == (409, "execution-frozen")
    assert (await desk.engine.get_action_with_votes(id_))["status"] == "approved"


async def test_a_vote_on_money_asks_for_a_second_factor_as_rfc_9470_says(desk: Desk):
    id_ = await desk.float()

    weak = await desk.post(f"/api/ops/actions/{id_}/vote", FINANCE, {"vote": "approve"}, acr=AAL1)
    old = int((datetime.now(UTC) - timedelta(minutes=6)).timestamp())
    stale = await desk.post(
        f"/api/ops/actions/{id_}/vote", FINANCE, {"vote": "approve"}, auth_time=old
    )
    fresh = await desk.post(f"/api/ops/actions/{id_}/vote", FINANCE, {"vote": "approve"})

    for answer in (weak, stale):
        assert (answer.status_code, answer.json()["code"]) == (401, "step-up-required")
        challenge = answer.headers["www-authenticate"]
        assert 'error="insufficient_user_authentication"' in challenge
        assert f'acr_values="{AAL2}"' in challenge
        assert "max_age=300" in challenge
    assert fresh.status_code == 200


async def test_a_rejection_needs_no_second_factor(desk: Desk):
    id_ = await desk.float()

    answer = await desk.post(
        f"/api/ops/actions/{id_}/vote",
        FINANCE,
        {"vote": "reject", "comment": "The agent was paid yesterday."},
        acr=AAL1,
    )

    assert answer.status_code == 200


async def test_a_passkey_confirms_a_vote_over_http_once(desk: Desk):
    key = await desk.passkey(FINANCE)
    id_ = await desk.float()
    asked = (
        await desk.post(
            f"/api/ops/actions/{id_}/passkey/challenge", FINANCE, {"vote": "approve"}, acr=AAL1
        )
    ).json()
    body = {
        "vote": "approve",
        "intent_hash": asked["intent_hash"],
        "view_hash": asked["view_hash"],
        "passkey": key.get(asked["options"]),
    }

    first = await desk.post(f"/api/ops/actions/{id_}/vote", FINANCE, body, acr=AAL1)
    replayed = await desk.post(f"/api/ops/actions/{id_}/vote", FINANCE, body, acr=AAL1)

    assert first.status_code == 200, first.text
    assert first.json()["approval"]["auth"]["amr"] == ["hwk", "user"]
    assert (replayed.status_code, replayed.json()["code"]) == (403, "passkey-refused")


async def test_passkeys_change_only_right_after_a_second_factor(desk: Desk):
    key = await desk.passkey(FINANCE)
    [listed] = (await desk.get("/api/ops/passkeys", FINANCE)).json()["passkeys"]
    path = f"/api/ops/passkeys/{listed['id']}"

    begun = await desk.post("/api/ops/passkeys/challenge", FINANCE, acr=AAL1)
    kept = await desk.post(
        "/api/ops/passkeys",
        FINANCE,
        {"label": "x", "credential": key.create({"challenge": "AAAA"})},
        acr=AAL1,
    )
    weak = await desk.client.delete(path, headers=desk.as_(FINANCE, acr=AAL1))
    others = await desk.client.delete(path, headers=desk.as_(ADMIN))
    removed = await desk.client.delete(path, headers=desk.as_(FINANCE))

    assert [each.status_code for each in (begun, kept, weak)] == [401, 401, 401]
    assert (others.status_code, removed.status_code) == (404, 200)
    assert (await desk.get("/api/ops/passkeys", FINANCE)).json()["count"] == 0


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"id": "AA", "rawId": "AA", "type": "public-key", "response": {}},
        {
            "id": "AA",
            "rawId": "BB",
            "type": "public-key",
            "response": {"clientDataJSON": "!!!", "attestationObject": "é"},
        },
        {
            "id": "A" * 1401,
            "rawId": "AA",
            "type": "public-key",
            "response": {"clientDataJSON": "AA", "attestationObject": "AA"},
        },
    ],
)
async def test_what_is_no_passkey_is_refused_and_breaks_nothing(
    desk: Desk, credential: dict[str, Any]
):
    answer = await desk.post("/api/ops/passkeys", FINANCE, {"label": "x", "credential": credential})

    assert answer.status_code in {400, 422}


async def test_the_page_of_delegations_lends_and_takes_back(desk: Desk):
    day = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
    form = {"role": "finance_ops", "delegate_id": COMPLIANCE, "last_day": day, "reason": "Leave"}

    lent = await desk.form("/ops/delegations", FINANCE, **form)
    again = await desk.form("/ops/delegations", FINANCE, **form)
    page = (await desk.get("/ops/delegations?said=delegated", COMPLIANCE)).text
    id_ = page.partition("/ops/delegations/")[2].partition("/revoke")[0]
    back = await desk.form(f"/ops/delegations/{id_}/revoke", COMPLIANCE)
    after = (await desk.get("/ops/delegations", COMPLIANCE)).text

    assert (lent.status_code, lent.headers["location"]) == (303, "/ops/delegations?said=delegated")
    assert again.status_code == 422
    assert "You have lent them this role for that time already." in again.text
    assert "Give it back" in page
    assert back.headers["location"] == "/ops/delegations?said=delegation-ended"
    assert "taken back" in after


async def test_the_page_of_freezes_freezes_and_asks_to_lift(desk: Desk):
    empty = (await desk.get("/ops/freezes", FINANCE)).text
    frozen = await desk.form("/ops/freezes", ADMIN, reason="A breach", lasts="4h")
    wrong = await desk.form("/ops/freezes", ADMIN, reason="A breach", action_type="NOPE")
    page = (await desk.get("/ops/freezes", ADMIN)).text
    id_ = page.partition("/ops/freezes/")[2].partition("/end")[0]
    asked = await desk.form(f"/ops/freezes/{id_}/end", ADMIN, reason="It is repaired")
    again = await desk.form(f"/ops/freezes/{id_}/end", COMPLIANCE, reason="It is repaired")
    after = (await desk.get("/ops/freezes", FINANCE, lang="fr")).text

    assert "Nothing is frozen" in empty
    assert 'action="/ops/freezes"' not in empty
    assert frozen.status_code == 303
    assert wrong.status_code == 422
    assert asked.headers["location"].endswith("?said=created")
    assert again.headers["location"] == asked.headers["location"].replace("created", "replayed")
    assert "Sa levée est soumise au vote" in after


async def test_the_page_of_security_adds_and_removes_a_passkey(desk: Desk):
    key = Authenticator()
    begun = await desk.post("/api/ops/passkeys/challenge", FINANCE)
    credential = json.dumps(key.create(begun.json()["options"]))

    weak = (await desk.get("/ops/security", FINANCE, acr=AAL1)).text
    added = await desk.form(
        "/ops/security/passkeys", FINANCE, label="My phone", credential=credential
    )
    twice = await desk.form(
        "/ops/security/passkeys", FINANCE, label="My phone", credential=credential
    )
    page = (await desk.get("/ops/security", FINANCE)).text
    id_ = page.partition('name="credential_id" value="')[2].partition('"')[0]
    removed = await desk.form("/ops/security/passkeys/remove", FINANCE, credential_id=id_)

    assert "Confirm with my one-time code" in weak
    assert added.headers["location"] == "/ops/security?said=passkey-added"
    assert twice.status_code == 422
    assert "My phone" in page
    assert removed.headers["location"] == "/ops/security?said=passkey-removed"


async def test_the_vote_form_offers_a_passkey_and_takes_its_answer(desk: Desk):
    key = await desk.passkey(FINANCE)
    id_ = await desk.float()
    page = (await desk.get(f"/ops/actions/{id_}", FINANCE, acr=AAL1)).text
    asked = (
        await desk.post(
            f"/api/ops/actions/{id_}/passkey/challenge", FINANCE, {"vote": "approve"}, acr=AAL1
        )
    ).json()
    fields = {"vote": "approve", "passkey": json.dumps(key.get(asked["options"]))}
    fields |= {name: asked[name] for name in ("intent_hash", "view_hash")}

    async def send(**changed: str) -> httpx2.Response:
        return await desk.client.post(
            f"/ops/actions/{id_}/vote",
            headers=desk.as_(FINANCE, acr=AAL1),
            data=fields | changed,
            follow_redirects=False,
        )

    voted, replayed = await send(), await send()

    assert f'data-passkey-vote="/api/ops/actions/{id_}/passkey/challenge"' in page
    assert voted.headers["location"].endswith("?said=voted-approve"), voted.text
    assert replayed.status_code == 409
    assert (await desk.engine.get_action_with_votes(id_))["votes_approve"] == 1


async def test_the_contract_says_what_a_passkey_answers(desk: Desk):
    document = (await desk.client.get("/openapi.json", headers=desk.as_(ADMIN))).json()

    schemas = document["components"]["schemas"]
    assert set(schemas["AssertionResponse"]["properties"]) == {
        "clientDataJSON",
        "authenticatorData",
        "signature",
        "userHandle",
    }
