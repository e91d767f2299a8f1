"""Health, outages and predictions as operators, services and strangers meet them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from callers import bearer, in_process

import builders
from bank_health import BANK, a_member, drain, heard, tell
from molam.entrypoints.wiring_mesh import mesh_app
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.issuer_keys import IssuerKeys

GENERATE = "/api/mesh/predictions/generate"


@pytest.fixture
async def mesh(settings: Settings, db: Database, worker_db: Database) -> AsyncIterator[Any]:
    await a_member(db)
    await tell(worker_db, *(heard(at=time.time() - 20) for _ in range(40)))
    await drain(worker_db)
    app = mesh_app(settings)
    async with app.router.lifespan_context(app), in_process(app, "http://localhost:3138") as client:
        yield client


@pytest.fixture
def service(keys: IssuerKeys) -> dict[str, str]:
    return bearer(keys, sub="service:monitor", roles=["service"], merchant_id=None)


@pytest.fixture
async def viewer(keys: IssuerKeys, db: Database) -> dict[str, str]:
    await builders.a_person(
        db, id_="lamine.diouf", name="Lamine Diouf", roles=["mesh_viewer"], merchant_id=None
    )
    return bearer(keys, sub="lamine.diouf", roles=["mesh_viewer"], merchant_id=None)


async def post(client: httpx2.AsyncClient, path: str, who: dict[str, str], body: Any) -> Any:
    return await client.post(path, headers=who, json=body)


async def test_prediction_is_generated_as_the_documentation_shows(mesh, service):
    body = '{"bank_profile_id":"bp_123","mesh_region_id":"region_cedeao"}'
    answer = await mesh.post(
        GENERATE, headers={**service, "Content-Type": "application/json"}, content=body
    )

    assert answer.status_code == 201
    told = answer.json()
    assert told["ok"] is True
    assert told["prediction"]["recommended_action"] == "monitor"
    assert told["prediction"]["sira_signature"].count(".") == 2

    listed = await mesh.get(
        f"/api/mesh/predictions?mesh_region_id=CEDEAO&bank_profile_id={BANK}&limit=1",
        headers=service,
    )
    assert listed.json() == {"ok": True, "predictions": [told["prediction"]]}


async def test_prediction_that_cannot_be_made_is_refused_by_name(mesh, service):
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({}, 400, "missing-bank-profile-id"),
        ({"bank_profile_id": None}, 400, "missing-bank-profile-id"),
        ({"bank_profile_id": "bp_nobody"}, 404, "no-health-data-available"),
        ({"bank_profile_id": BANK, "currency": "USD"}, 404, "no-health-data-available"),
        ({"bank_profile_id": BANK, "mesh_region_id": "ATLANTIS"}, 404, "region-absent"),
        ({"bank_profile_id": 7}, 400, "body-malformed"),
        ({"bank_profile_id": BANK, "rail": "bank'; --"}, 400, "body-malformed"),
        ({"bank_profile_id": BANK, "extra": 1}, 400, "body-malformed"),
    ]
    for body, status, code in cases:
        answer = await post(mesh, GENERATE, service, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body


async def test_strangers_and_onlookers_generate_nothing(mesh, viewer, keys):
    merchant = bearer(keys)
    body = {"bank_profile_id": BANK}

    assert (await post(mesh, GENERATE, {}, body)).status_code == 401
    assert (await post(mesh, GENERATE, viewer, body)).status_code == 403
    assert (await post(mesh, GENERATE, merchant, body)).status_code in {401, 403}
    assert (await mesh.get("/api/mesh/predictions", headers=viewer)).status_code == 200
    assert (await mesh.get("/api/mesh/health", headers=viewer)).status_code == 200


async def test_list_is_bounded(mesh, service):
    for limit in ("0", "101", "NaN", "1e2", "-1"):
        answer = await mesh.get(f"/api/mesh/predictions?limit={limit}", headers=service)
        assert answer.status_code == 400, limit


async def test_posted_report_is_taken_in_by_the_worker(mesh, service, worker_db):
    answer = await post(mesh, "/api/mesh/health", service, _report())
    assert answer.status_code == 202
    await drain(worker_db)

    seen = (await mesh.get(f"/api/mesh/health?bank_profile_id={BANK}", headers=service)).json()
    assert {(row["rail"], row["currency"]) for row in seen["health"]} == {
        (rail, code)
        for rail in ("bank", "wallet:wave", "wallet:orange_money")
        for code in ("XOF", "EUR")
    }
    assert {row["signals"] for row in seen["health"]} == {1, 41}


def _report(**changed: object) -> dict[str, object]:
    return {
        "bank_profile_id": BANK,
        "health_score": 40,
        "latency_ms": 900,
        "success_rate": 0.4,
        "volume_last_hour": 10,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **changed,
    }


async def test_hostile_reports_are_refused(mesh, service):
    for changed, status in (
        ({"bank_profile_id": "bp_nobody"}, 404),
        ({"success_rate": 1.01}, 400),
        ({"success_rate": True}, 400),
        ({"health_score": "97"}, 400),
        ({"latency_ms": -1}, 400),
        ({"timestamp": "2199-01-01T00:00:00Z"}, 400),
        ({"timestamp": "2026-01-01T00:00:00"}, 400),
        ({"volume_last_hour": 1.5}, 400),
        ({"observer": "me"}, 400),
    ):
        answer = await post(mesh, "/api/mesh/health", service, _report(**changed))
        assert answer.status_code == status, changed
    raw = b'{"bank_profile_id":"bp_123","health_score":NaN,"success_rate":1,"timestamp":"x"}'
    answer = await mesh.post(
        "/api/mesh/health", headers={**service, "Content-Type": "application/json"}, content=raw
    )
    assert answer.status_code == 400


async def test_outage_is_announced_moved_and_ended(mesh, service):
    announced = await post(
        mesh,
        "/api/mesh/outages",
        service,
        {"bank_profile_id": BANK, "note": "Nightly work"},
    )
    assert announced.status_code == 201
    outage = announced.json()["outage"]
    # Who says it is read from the token, and not from what it says.
    assert (outage["created_by"], outage["source"]) == ("service:monitor", "bank")

    seen = (await mesh.get("/api/mesh/health?rail=bank&currency=XOF", headers=service)).json()
    assert (seen["health"][0]["is_announced_down"], seen["health"][0]["p_down"]) == (True, 0.9)

    path = f"/api/mesh/outages/{outage['id']}"
    moved = await mesh.put(path, headers=service, json={"ends_at": "2190-01-01T00:00:00Z"})
    assert moved.json()["outage"]["ends_at"] == "2190-01-01T00:00:00Z"
    assert len((await mesh.get("/api/mesh/outages", headers=service)).json()["outages"]) == 1

    ended = await mesh.delete(path, headers=service)
    assert ended.status_code == 200
    again = await mesh.delete(path, headers=service)
    assert (again.status_code, again.json()["code"]) == (422, "outage-malformed")
    assert (await mesh.get("/api/mesh/outages", headers=service)).json()["outages"] == []
    seen = (await mesh.get("/api/mesh/health?rail=bank&currency=XOF", headers=service)).json()
    assert not seen["health"][0]["is_announced_down"]


async def test_outage_that_cannot_be_is_refused(mesh, service):
    for body, status, code in (
        ({"bank_profile_id": "bp_nobody"}, 404, "bank-absent"),
        ({"bank_profile_id": BANK, "currency": "USD"}, 422, "outage-malformed"),
        ({"bank_profile_id": BANK, "ends_at": "2020-01-01T00:00:00Z"}, 422, "outage-malformed"),
        ({"bank_profile_id": BANK, "source": "bank"}, 400, "body-malformed"),
        ({"bank_profile_id": BANK, "note": "x" * 501}, 400, "body-malformed"),
    ):
        answer = await post(mesh, "/api/mesh/outages", service, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    for id_ in ("nonsense", "01a2025b-0f6e-72ca-8012-ff8f2930bc6a"):
        answer = await mesh.delete(f"/api/mesh/outages/{id_}", headers=service)
        assert (answer.status_code, answer.json()["code"]) == (404, "outage-absent")


async def test_sira_that_is_down_is_stood_in_for_or_not_as_is_set(settings, mesh, service):
    body = {"bank_profile_id": BANK}
    for fallback, status in ((True, 201), (False, 409)):
        app = mesh_app(
            replace(settings, sira_api_url="http://127.0.0.1:1", sira_fallback_enabled=fallback)
        )
        async with (
            app.router.lifespan_context(app),
            in_process(app, "http://localhost:3138") as client,
        ):
            answer = await post(client, GENERATE, service, body)
        assert answer.status_code == status
        told = answer.json()
        assert (
            told["prediction"]["served_by"] == "fallback"
            if fallback
            else (told["code"] == "prediction-unavailable")
        )
