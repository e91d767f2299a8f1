"""POST /v1/recommend on SIRA's own port: who may ask, what is answered, and its signature."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import httpx2
import pytest
from callers import bearer, in_process, served

import builders
from molam.alerts.engine import Alerts
from molam.alerts.runtime import Watch
from molam.approvals.engine import Engine
from molam.approvals.runtime import Runtime
from molam.entrypoints import doctor
from molam.entrypoints.desk import desk_of
from molam.entrypoints.doctor import Level
from molam.entrypoints.keys import sira_api_key, sira_signing_key
from molam.entrypoints.registry import registry
from molam.entrypoints.wiring_sira import sira_app
from molam.kernel.clock import SystemClock
from molam.platform.db import Database
from molam.platform.settings import Secret, Settings
from molam.simulator.issuer_keys import IssuerKeys
from molam.sira.scoring import ScoreRequest

API_KEY = "a-key-of-a-service"
ALERT: dict[str, Any] = {
    "alert_id": "alert-1",
    "alert_type": "float_low",
    "severity": "critical",
    "tenant_type": "agent",
    "tenant_id": "agent-123",
    "currency": "XOF",
    "metric": "float_available",
    "value": 500_000,
    "fire_at": 1_000_000,
    "clear_at": 1_100_000,
}


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


async def test_a_service_hears_what_to_do_and_why(
    sira: httpx2.AsyncClient, keys: IssuerKeys
) -> None:
    service = bearer(keys, sub="service:alerts", roles=["service"], merchant_id=None)
    answer = await sira.post("/v1/recommend", json={"alert": ALERT}, headers=service)
    by_key = await sira.post("/v1/recommend", json={"alert": ALERT}, headers={"X-API-Key": API_KEY})

    said = answer.json()
    assert (answer.status_code, by_key.status_code) == (200, 200)
    assert (said["action"], said["recommendation_type"]) == ("ADJUST_FLOAT", "ADJUST_FLOAT")
    assert said["params"] == {"adjustment": "top_up", "amount": 1_000_000}
    assert said["confidence"] == 0.95
    assert {each["name"] for each in said["explanation"]["features"]} == {
        "float_available",
        "days_it_would_not_last",
    }
    assert said["signature"]


async def test_nobody_else_does(sira: httpx2.AsyncClient, keys: IssuerKeys) -> None:
    merchant = await sira.post("/v1/recommend", json={"alert": ALERT}, headers=bearer(keys))
    nobody = await sira.post("/v1/recommend", json={"alert": ALERT})
    unknown = await sira.post(
        "/v1/recommend", json={"alert": ALERT, "more": 1}, headers={"X-API-Key": API_KEY}
    )

    assert (merchant.status_code, nobody.status_code, unknown.status_code) == (403, 401, 400)


async def test_alerting_believes_a_sira_elsewhere_by_its_signature(
    settings: Settings, db: Database, ops_db: Database
) -> None:
    await builders.operations(db)
    await builders.a_policy(db)
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    runtime = Engine.of(ops_db, registry()).runtime
    with served(sira_app(settings)) as url:
        watch = Watch(
            runtime,
            SystemClock(),
            sira_signing_key(settings),
            sira_url=url,
            sira_api_key=Secret(API_KEY),
        )
        alerts = Alerts(ops_db, watch)
        alert = await alerts.create_alert(
            alert_type="float_low",
            tenant_type="agent",
            tenant_id="agent-123",
            severity="critical",
            metric={"metric": "float_available", "value": 500_000},
        )
        said = await alerts.call_sira_recommendation(alert)

    assert (said["action"], said["confidence"]) == ("ADJUST_FLOAT", 0.95)


async def test_doctor_asks_the_sira_that_scores_and_recommends(settings: Settings) -> None:
    with served(sira_app(replace(settings, sira_api_key=Secret("")))) as url:
        here = replace(settings, sira_url=f"{url}/", sira_api_key=Secret(""))
        other = replace(here, sira_signing_key=Secret("another key that others have, and not we"))
        # Whoever is let in and cannot be believed: the door is the same, the signature is not.
        known = replace(other, sira_api_key=sira_api_key(here))
        inside, found = [each async for each in doctor._sira(here)]
        _, stranger = [each async for each in doctor._sira(other)]
        _, liar = [each async for each in doctor._sira(known)]
        scorer = desk_of(here, cast("Runtime", None)).scorer
        scored = await scorer.weigh_remotely(ScoreRequest("OTHER"))
    _, gone = [each async for each in doctor._sira(here)]

    assert (inside.level, "in each process" in inside.said) == (Level.OK, True)
    assert (found.level, found.said) == (Level.OK, f"{url}/ recommends (remedy-1)")
    assert (stranger.level, "401" in stranger.said) == (Level.WARN, True)
    assert (liar.level, "sign" in liar.said) == (Level.WARN, True)
    assert (gone.level, "did not answer" in gone.said) == (Level.WARN, True)
    assert scored.failure is None
