"""Proposals as services, treasurers, onlookers and strangers meet them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from callers import bearer, in_process

import builders
import route_world
from molam.entrypoints.wiring_mesh import mesh_app
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.issuer_keys import IssuerKeys
from route_world import B, C

PROPOSALS = "/api/mesh/proposals"
GENERATE = f"{PROPOSALS}/generate"
SPECIFIED = (
    '{"currency":"XOF","mesh_region_id":"region_cedeao","min_amount":0,"max_amount":1000000}'
)
STEP = {
    "bank_profile_id",
    "bank_name",
    "role",
    "score",
    "confidence",
    "estimated_cost",
    "reason",
}
SIMULATION = {
    "affected_payouts",
    "estimated_cost_delta",
    "estimated_latency_delta_seconds",
    "new_bank_profile_id",
    "new_bank_name",
    "confidence",
}
JSON = {"Content-Type": "application/json"}
WANTED: dict[str, Any] = {"mesh_region_id": "region_cedeao", "currency": "XOF"}


@pytest.fixture
async def mesh(settings: Settings, db: Database) -> AsyncIterator[httpx2.AsyncClient]:
    await route_world.a_region(db)
    app = mesh_app(settings)
    async with app.router.lifespan_context(app), in_process(app, "http://localhost:3138") as client:
        yield client


@pytest.fixture
def service(keys: IssuerKeys) -> dict[str, str]:
    return bearer(keys, sub="service:sira", roles=["service"], merchant_id=None)


@pytest.fixture
async def treasurer(keys: IssuerKeys, db: Database) -> dict[str, str]:
    return await _somebody(keys, db, "binta.toure", "treasury_ops")


async def _somebody(keys: IssuerKeys, db: Database, id_: str, role: str) -> dict[str, str]:
    await builders.a_person(db, id_=id_, name=id_, roles=[role], merchant_id=None)
    return bearer(keys, sub=id_, roles=[role], merchant_id=None)


async def test_the_documented_walk_works_as_pasted(mesh, treasurer, db):
    await route_world.payouts(db, 2, amount=20_000)
    made = await mesh.post(GENERATE, headers={**treasurer, **JSON}, content=SPECIFIED)

    assert made.status_code == 201
    proposal = made.json()["proposal"]
    assert made.json()["ok"] is True
    assert (proposal["status"], proposal["created_by"]) == ("proposed", "binta.toure")
    assert proposal["max_amount"] == 1_000_000
    for step in proposal["proposal"]["sequence"]:
        assert step.keys() > STEP
        assert isinstance(step["estimated_cost"], int)
        assert 0 <= step["score"] <= 100
    assert proposal["proposal"].keys() > {"reason", "sira_version", "timestamp"}

    tried = await mesh.post(f"{PROPOSALS}/{proposal['id']}/simulate", headers=treasurer)

    assert tried.status_code == 200
    found = tried.json()["simulation"]
    assert found.keys() > SIMULATION
    assert (found["new_bank_profile_id"], found["affected_payouts"]) == (B, 2)

    shown = (await mesh.get(f"{PROPOSALS}/{proposal['id']}", headers=treasurer)).json()["proposal"]
    assert shown["status"] == "simulated"
    assert shown["simulation_results"] == found
    assert shown["proposal"] == proposal["proposal"]


async def test_proposals_are_listed_newest_first_page_by_page(mesh, treasurer):
    ids = []
    for _ in range(3):
        made = await mesh.post(GENERATE, headers=treasurer, json=WANTED)
        ids.append(made.json()["proposal"]["id"])
    await mesh.post(f"{PROPOSALS}/{ids[0]}/simulate", headers=treasurer)

    first = (await mesh.get(f"{PROPOSALS}?mesh_region_id=CEDEAO&limit=2", headers=treasurer)).json()
    rest = await mesh.get(
        PROPOSALS,
        params={"mesh_region_id": "CEDEAO", "limit": 2, "cursor": first["next_cursor"]},
        headers=treasurer,
    )
    simulated = await mesh.get(f"{PROPOSALS}?status=simulated", headers=treasurer)
    elsewhere = await mesh.get(f"{PROPOSALS}?mesh_region_id=region_eu", headers=treasurer)

    assert [each["id"] for each in first["proposals"]] == [ids[2], ids[1]]
    assert [each["id"] for each in rest.json()["proposals"]] == [ids[0]]
    assert [each["id"] for each in simulated.json()["proposals"]] == [ids[0]]
    assert elsewhere.json()["proposals"] == []


async def test_what_cannot_be_understood_is_refused_by_name(mesh, service):
    cases: list[tuple[Any, int, str]] = [
        ({}, 400, "missing-required-fields"),
        ({"currency": "XOF"}, 400, "missing-required-fields"),
        ({"mesh_region_id": "region_cedeao", "currency": None}, 400, "missing-required-fields"),
        ({**WANTED, "mesh_region_id": "ATLANTIS"}, 404, "region-absent"),
        ({**WANTED, "mesh_region_id": "x" * 256}, 400, "body-malformed"),
        ({**WANTED, "currency": "ZZZ"}, 400, "unknown-currency"),
        ({**WANTED, "currency": "xof"}, 400, "body-malformed"),
        ({**WANTED, "currency": "USD", "mesh_region_id": "region_us"}, 422, "no-mesh-route"),
        ({**WANTED, "min_amount": 2, "max_amount": 1}, 400, "amount-bounds-malformed"),
        ({**WANTED, "min_amount": -1}, 400, "body-malformed"),
        ({**WANTED, "min_amount": True}, 400, "body-malformed"),
        ({**WANTED, "min_amount": "1"}, 400, "body-malformed"),
        ({**WANTED, "max_amount": 2**53}, 400, "body-malformed"),
        ({**WANTED, "rail": "bank'; drop table"}, 400, "body-malformed"),
        ({**WANTED, "rail": "wallet:wave"}, 422, "no-mesh-route"),
        ({**WANTED, "reason": "r" * 501}, 400, "body-malformed"),
        ({**WANTED, "created_by": "sira"}, 400, "body-malformed"),
        ({**WANTED, "kind": "override"}, 400, "body-malformed"),
        ([], 400, "body-malformed"),
    ]
    for body, status, code in cases:
        answer = await mesh.post(GENERATE, headers=service, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body
    pointed = await mesh.post(
        GENERATE,
        headers={**service, **JSON},
        content='{"mesh_region_id":"region_cedeao","currency":"XOF","max_amount":1e3}',
    )
    assert pointed.status_code == 400
    assert "minor units" in pointed.json()["detail"]


async def test_the_largest_amounts_there_are_break_nothing(mesh, treasurer, db):
    largest = 2**53 - 1
    await route_world.sql(db, "update payments.bank_profiles set percent_fee = 99.9999")
    await route_world.payouts(db, 2, amount=largest, bank=B)
    await route_world.sql(
        db,
        "update mesh.mesh_members set capabilities = capabilities || $1",
        {"max_amount_per_txn": largest, "daily_volume_limit": largest},
    )
    await route_world.sql(db, "delete from payments.bank_routes")
    await route_world.a_route(db, (C,))

    made = await mesh.post(
        GENERATE, headers=treasurer, json={**WANTED, "min_amount": 0, "max_amount": largest}
    )
    assert made.status_code == 201
    tried = await mesh.post(
        f"{PROPOSALS}/{made.json()['proposal']['id']}/simulate", headers=treasurer
    )
    assert tried.status_code == 200


async def test_queries_that_make_no_sense_are_refused(mesh, treasurer):
    for query in ("limit=0", "limit=101", "limit=NaN", "status=done", "cursor=abc", "what=1"):
        answer = await mesh.get(f"{PROPOSALS}?{query}", headers=treasurer)
        assert answer.status_code == 400, query
    absent = await mesh.get(f"{PROPOSALS}/mrp_none", headers=treasurer)
    assert (absent.status_code, absent.json()["code"]) == (404, "proposal-not-found")
    nul = await mesh.get(f"{PROPOSALS}/%00", headers=treasurer)
    assert nul.status_code in {400, 404}


async def test_strangers_and_onlookers_propose_and_simulate_nothing(mesh, treasurer, keys, db):
    viewer = await _somebody(keys, db, "lamine.diouf", "mesh_viewer")
    made = await mesh.post(GENERATE, headers=treasurer, json=WANTED)
    simulate = f"{PROPOSALS}/{made.json()['proposal']['id']}/simulate"

    assert (await mesh.post(GENERATE, json=WANTED)).status_code == 401
    assert (await mesh.get(PROPOSALS)).status_code == 401
    assert (await mesh.get(PROPOSALS, headers=bearer(keys))).status_code == 403
    assert (await mesh.post(GENERATE, headers=viewer, json=WANTED)).status_code == 403
    assert (await mesh.post(simulate, headers=viewer)).status_code == 403
    assert (await mesh.get(PROPOSALS, headers=viewer)).status_code == 200
