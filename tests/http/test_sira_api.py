"""The risk service as its callers see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx2
import pytest
from callers import bearer, in_process

from builders import a_person
from molam.entrypoints.keys import sira_signing_key
from molam.entrypoints.wiring_sira import sira_app
from molam.kernel import canonical
from molam.platform.db import Database
from molam.platform.settings import Secret, Settings
from molam.platform.web.wire import convert
from molam.simulator.issuer_keys import IssuerKeys
from molam.sira import signatures
from molam.sira.scoring import ScoreRequest

REQUEST = {
    "action": "payout.freeze",
    "module": "pay",
    "amount": 1_500_000,
    "currency": "XOF",
    "origin_country": "SN",
    "destination_country": "CI",
    "actor_id": "ops-user-1",
    "actor_role": "pay_admin",
    "historical_risk": 0.8,
    "entity_type": "payout",
    "metadata": {"business_hours": False},
}
API_KEY = "a-key-of-a-service"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, sira_api_key=Secret(API_KEY))


@pytest.fixture
async def sira(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    app = sira_app(settings)
    async with (
        app.router.lifespan_context(app),
        in_process(app, "http://localhost:8000") as client,
    ):
        yield client


async def test_score_says_what_it_is_made_of(sira: httpx2.AsyncClient, keys: IssuerKeys):
    service = bearer(keys, sub="service:approvals", roles=["service"], merchant_id=None)

    answer = await sira.post(
        "/api/score", json=REQUEST, headers={**service, "X-Model-Version": "v1.0"}
    )

    assert answer.status_code == 200
    said = answer.json()
    assert said["score"] == 100
    assert {each["name"]: each["weight"] for each in said["contributions"]} == {
        "very_high_amount": 60,
        "cross_country": 15,
        "high_historical_risk": 25,
        "critical_action": 10,
        "off_hours": 10,
    }
    assert said["tags"] == [each["name"] for each in said["contributions"]]
    assert (said["recommended_approvals"], said["confidence"]) == (3, 0.6)
    assert said["recommended_channels"] == ["email", "slack", "push"]
    assert said["model_version"] == "fallback-heuristic-v1"


async def test_score_is_signed_over_the_request_as_it_was_sent(
    sira: httpx2.AsyncClient, settings: Settings
):
    answer = await sira.post("/api/score", json=REQUEST, headers={"X-API-Key": API_KEY})

    sent = convert(canonical.parse(answer.request.content), ScoreRequest)
    claims = signatures.verify(
        answer.json()["signature"], sent, key=sira_signing_key(settings), now=datetime.now(UTC)
    )
    assert claims.score == answer.json()["score"]


async def test_amount_is_weighed_by_what_it_is_worth_in_francs(sira: httpx2.AsyncClient):
    def asked(amount: int, currency: str) -> dict[str, object]:
        return {"action": "payout.release", "amount": amount, "currency": currency}

    headers = {"X-API-Key": API_KEY}
    dollars = (await sira.post("/api/score", json=asked(200_000, "USD"), headers=headers)).json()
    francs = (await sira.post("/api/score", json=asked(200_000, "XOF"), headers=headers)).json()
    pounds = (await sira.post("/api/score", json=asked(5, "GBP"), headers=headers)).json()

    assert dollars["tags"] == ["very_high_amount"]
    assert francs["tags"] == ["high_amount"]
    # No rate leads from pounds to francs.
    assert pounds["tags"] == ["unknown_amount"]


async def test_missing_amount_weighs_as_the_highest_and_zero_as_none(sira: httpx2.AsyncClient):
    async def score(**amount: int) -> int:
        answer = await sira.post(
            "/api/score",
            json={"action": "payout.freeze", **amount},
            headers={"X-API-Key": API_KEY},
        )
        return int(answer.json()["score"])

    assert [await score(), await score(amount=0)] == [70, 10]


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "another"}, {"X-API-Key": ""}])
async def test_strangers_are_not_scored_for(sira: httpx2.AsyncClient, headers: dict[str, str]):
    assert (await sira.post("/api/score", json=REQUEST, headers=headers)).status_code == 401


async def test_merchants_may_not_ask(sira: httpx2.AsyncClient, keys: IssuerKeys):
    answer = await sira.post("/api/score", json=REQUEST, headers=bearer(keys))

    assert answer.status_code == 403


async def test_role_taken_away_asks_no_more(
    sira: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    await a_person(db, id_="former", roles=[], merchant_id=None)
    former = bearer(keys, sub="former", roles=["ops_admin"], merchant_id=None)

    assert (await sira.post("/api/score", json=REQUEST, headers=former)).status_code == 403


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": 1.5},
        {"amount": "1500000"},
        {"amount": 2**60},
        {"amount": -5},
        {"origin_country": "Senegal"},
        {"action": ""},
        {"unknown": 1},
    ],
)
async def test_malformed_request_is_refused_with_a_reason(
    sira: httpx2.AsyncClient, changed: dict[str, object]
):
    answer = await sira.post(
        "/api/score", json={**REQUEST, **changed}, headers={"X-API-Key": API_KEY}
    )

    assert answer.status_code == 400
    assert answer.json()["code"] == "body-malformed"


async def test_service_says_whether_it_is_well_and_describes_itself(sira: httpx2.AsyncClient):
    assert (await sira.get("/health")).json()["status"] == "healthy"
    assert (await sira.get("/ready")).status_code == 200
    assert "molam_sira_score" in (await sira.get("/metrics")).text
    assert "/api/score" in (await sira.get("/openapi.json")).json()["paths"]


async def test_service_without_a_key_opens_to_no_key(settings: Settings):
    app = sira_app(replace(settings, sira_api_key=Secret("")))
    async with (
        app.router.lifespan_context(app),
        in_process(app, "http://localhost:8000") as client,
    ):
        answer = await client.post("/api/score", json=REQUEST, headers={"X-API-Key": ""})

    assert answer.status_code == 401
