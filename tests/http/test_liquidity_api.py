"""Liquidity as treasurers, onlookers and strangers meet it: the API, and the pages."""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from callers import bearer, in_process

import builders
from facts import look
from molam.entrypoints.wiring_mesh import mesh_app
from molam.mesh.federation import exchange
from molam.mesh.liquidity import planning, solver_process
from molam.mesh.liquidity.problem import Problem, Solution
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.issuer_keys import IssuerKeys
from pooling import EAST, NORTH, POOL, SOUTH, TREASURERS, a_mesh, a_treasury

Person = dict[str, str]


@pytest.fixture
async def mesh(
    settings: Settings, db: Database, ops_db: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    async def solve(problem: Problem) -> Solution:
        return solver_process.solve(problem)

    monkeypatch.setattr(planning.solving, "solve", solve)
    await a_treasury(ops_db, db)
    await builders.a_person(
        db, id_="lamine.diouf", name="Lamine Diouf", roles=["mesh_viewer"], merchant_id=None
    )
    app = mesh_app(settings)
    async with app.router.lifespan_context(app), in_process(app, "http://localhost:3138") as client:
        yield client


@pytest.fixture
def treasurer(keys: IssuerKeys) -> Person:
    return _as(keys, TREASURERS[0], "treasury_ops")


@pytest.fixture
def viewer(keys: IssuerKeys) -> Person:
    return _as(keys, "lamine.diouf", "mesh_viewer")


def _as(keys: IssuerKeys, who: str, role: str, lang: str = "en") -> Person:
    return bearer(keys, sub=who, roles=[role], merchant_id=None, name=who, lang=lang, acr=AAL2)


def _body(amount: object = 500_000, **changed: object) -> dict[str, object]:
    return {"bank_profile_id": NORTH, "amount": amount, "reason": "Market day", **changed}


async def test_a_draw_is_made_once_for_a_key_and_seen_by_all(
    mesh: httpx2.AsyncClient, treasurer: Person, viewer: Person
) -> None:
    path = f"/api/mesh/pools/{POOL}/draws"
    keyed = treasurer | {"Idempotency-Key": "draw-1"}
    first = await mesh.post(path, headers=keyed, json=_body())
    again = await mesh.post(path, headers=keyed, json=_body())
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.json()["movement"]["id"] == again.json()["movement"]["id"]
    other = await mesh.post(path, headers=keyed, json=_body(600_000))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    seen = (await mesh.get(f"/api/mesh/pools/{POOL}", headers=viewer)).json()
    assert seen["pool"]["total_available"] == 5_500_000
    assert {each["bank_profile_id"]: each["owed"] for each in seen["shares"]} == {
        NORTH: 500_000,
        SOUTH: 0,
    }


async def test_the_same_key_at_the_same_moment_draws_once(
    mesh: httpx2.AsyncClient, treasurer: Person, db: Database
) -> None:
    keyed = treasurer | {"Idempotency-Key": "draw-at-once"}
    answers = await asyncio.gather(
        *(
            mesh.post(f"/api/mesh/pools/{POOL}/draws", headers=keyed, json=_body(amount))
            for amount in (500_000, 500_000, 600_000, 700_000)
        )
    )
    refused = {each.json()["code"] for each in answers if each.status_code != 201}
    assert refused <= {"idempotency-key-reused", "idempotency-in-progress"}
    made = {each.json()["movement"]["id"] for each in answers if each.status_code == 201}
    assert len(made) == 1
    draws = "select count(*) from mesh.pool_movements where kind = 'draw'"
    assert await look(db, draws) == [(1,)]


async def test_what_cannot_be_drawn_is_refused_by_name(
    mesh: httpx2.AsyncClient, treasurer: Person
) -> None:
    malformed = (1.5, "500000", True, 0, 2**60)
    cases = [(_body(amount), 400, "body-malformed") for amount in malformed]
    cases += [
        (_body(more=1), 400, "body-malformed"),
        (_body(bank_profile_id=EAST), 422, "pool-draw-refused"),
        (_body(9_000_000), 422, "pool-draw-refused"),
    ]
    for body, status, code in cases:
        answer = await mesh.post(f"/api/mesh/pools/{POOL}/draws", headers=treasurer, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body


async def test_onlookers_and_strangers_move_nothing(
    mesh: httpx2.AsyncClient, viewer: Person
) -> None:
    path = f"/api/mesh/pools/{POOL}/draws"
    assert (await mesh.post(path, headers=viewer, json=_body())).status_code == 403
    assert (await mesh.post(path, json=_body())).status_code == 401
    assert (
        await mesh.post("/treasury/plan", headers=viewer, data={"csrf_token": ""})
    ).status_code == 403
    absent = await mesh.get("/api/mesh/pools/pool_of_nobody", headers=viewer)
    assert (absent.status_code, absent.json()["code"]) == (404, "pool-absent")


async def test_a_pool_is_made_paid_into_drawn_from_and_given_back(
    mesh: httpx2.AsyncClient, treasurer: Person
) -> None:
    made = await mesh.post(
        "/api/mesh/pools",
        headers=treasurer,
        json={
            "id": "pool_west",
            "mesh_region_id": "CEDEAO",
            "name": "West",
            "currency": "XOF",
            "participant_bank_profiles": [NORTH, EAST],
        },
    )
    assert made.status_code == 201
    base = "/api/mesh/pools/pool_west"
    paid = await mesh.post(f"{base}/contributions", headers=treasurer, json=_body(1_000_000))
    drawn = await mesh.post(f"{base}/draws", headers=treasurer, json=_body(800_000))
    draw_id = drawn.json()["movement"]["id"]
    back = await mesh.post(
        f"{base}/draws/{draw_id}/return",
        headers=treasurer,
        json={"amount": 300_000, "reason": "Enough"},
    )
    assert [each.status_code for each in (paid, drawn, back)] == [201, 201, 201]
    assert back.json()["pool"]["available"] == 500_000
    listed = (await mesh.get(f"{base}/movements", headers=treasurer)).json()["movements"]
    assert [each["kind"] for each in listed] == ["return", "draw", "contribution"]


async def test_positions_floors_history_forecasts_and_plans_follow_each_other(
    mesh: httpx2.AsyncClient, treasurer: Person
) -> None:
    root = "/api/mesh/liquidity"
    today = datetime.now(UTC).date()
    days = "".join(f"{today - timedelta(days=n)},{100_000 + n}\n" for n in range(60, 0, -1))
    floor = {"bank_profile_id": SOUTH, "currency": "XOF", "minimum_float": 19_000_000}
    history = {"bank_profile_id": SOUTH, "currency": "XOF", "csv": f"day,net_outflow\n{days}"}
    assert (await mesh.post(f"{root}/floors", headers=treasurer, json=floor)).status_code == 200
    read = await mesh.post(f"{root}/history", headers=treasurer, json=history)
    assert read.json() == {"ok": True, "days": 60}
    await mesh.post(f"{root}/forecasts/generate", headers=treasurer)
    [first, *_] = (await mesh.get(f"{root}/forecasts", headers=treasurer)).json()["forecasts"]
    assert (first["stands_on_days"], first["q50"] <= first["q975"]) == (60, True)
    plan = (await mesh.post(f"{root}/plans", headers=treasurer, json={"days": 2})).json()
    assert plan["plan"]["status"] == "ready"
    assert plan["steps"][0]["to_bank_id"] == SOUTH
    assert "Without it South would end" in plan["steps"][0]["why"]
    held = (await mesh.get(f"{root}/positions?mesh_region_id=EU", headers=treasurer)).json()
    assert held["positions"] == []
    bad = await mesh.post(f"{root}/history", headers=treasurer, json=history | {"csv": "x"})
    assert (bad.status_code, bad.json()["code"]) == (400, "flow-history-refused")


async def test_the_treasury_page_says_what_is_short_and_what_to_move(
    mesh: httpx2.AsyncClient, treasurer: Person, viewer: Person, keys: IssuerKeys
) -> None:
    floor = {"bank_profile_id": SOUTH, "currency": "XOF", "minimum_float": 19_000_000}
    await mesh.post("/api/mesh/liquidity/floors", headers=treasurer, json=floor)
    done = await mesh.post("/treasury/plan", headers=treasurer, data={"csrf_token": ""})
    assert (done.status_code, done.headers["location"]) == (303, "/treasury?said=planned")
    page = html.unescape((await mesh.get("/treasury?said=planned", headers=treasurer)).text)
    assert "1 account holds less than today may take" in page
    assert "Without it South would end" in page
    assert "Ask for it to be carried out" in page
    onlooker = (await mesh.get("/treasury", headers=viewer)).text
    assert "Ask for it to be carried out" not in onlooker
    french = await mesh.get("/treasury", headers=_as(keys, TREASURERS[0], "treasury_ops", "fr"))
    assert "Trésorerie" in french.text


async def test_a_plan_waits_to_be_agreed_to_by_others(
    mesh: httpx2.AsyncClient, treasurer: Person, db: Database
) -> None:
    for person in ("ops-admin-1", "ops-admin-2"):
        await builders.a_person(db, id_=person, name=person, roles=["ops_admin"], merchant_id=None)
    root = "/api/mesh/liquidity"
    floor = {"bank_profile_id": SOUTH, "currency": "XOF", "minimum_float": 19_000_000}
    await mesh.post(f"{root}/floors", headers=treasurer, json=floor)
    made = await mesh.post(f"{root}/plans", headers=treasurer, json={"days": 1})
    id_ = made.json()["plan"]["id"]
    asked = await mesh.post(f"{root}/plans/{id_}/execute", headers=treasurer)
    again = await mesh.post(f"{root}/plans/{id_}/execute", headers=treasurer)
    assert (asked.status_code, again.status_code) == (202, 202)
    assert asked.json()["ops_action_id"] == again.json()["ops_action_id"]
    plan = (await mesh.get(f"{root}/plans/{id_}", headers=treasurer)).json()["plan"]
    assert plan["status"] == "waiting"
    assert (await mesh.get(f"{root}/transfers", headers=treasurer)).json()["transfers"] == []
    newer = await mesh.post(f"{root}/plans", headers=treasurer, json={"days": 1})
    assert newer.status_code == 201
    plan = (await mesh.get(f"{root}/plans/{id_}", headers=treasurer)).json()["plan"]
    assert plan["status"] == "waiting"


async def test_a_draw_is_shown_before_it_is_made(
    mesh: httpx2.AsyncClient, treasurer: Person
) -> None:
    query = f"act=draw&bank={NORTH}&amount=500+000&reason=Market"
    page = html.unescape((await mesh.get(f"/liquidity/{POOL}?{query}", headers=treasurer)).text)
    assert "Yes, do it" in page
    key = page.split('name="idempotency_key" value="')[1].split('"')[0]
    form = {"bank": NORTH, "amount": "500 000", "reason": "Market", "idempotency_key": key}
    for _ in range(2):
        done = await mesh.post(f"/liquidity/{POOL}/draw", headers=treasurer, data=form)
        assert done.headers["location"] == f"/liquidity/{POOL}?said=drawn"
    after = html.unescape((await mesh.get(f"/liquidity/{POOL}", headers=treasurer)).text)
    assert "5\u202f500\u202f000" in after or "5,500,000" in after
    much = await mesh.get(
        f"/liquidity/{POOL}?act=draw&bank={NORTH}&amount=9000000", headers=treasurer
    )
    assert "The pool does not hold that much that is free." in html.unescape(much.text)
    assert "Yes, do it" not in much.text


async def test_a_statement_is_looked_at_and_then_kept_on_the_treasury_page(
    mesh: httpx2.AsyncClient, treasurer: Person, viewer: Person
) -> None:
    day = datetime.now(UTC).date()
    content = (
        "booked_on,value_on,amount,currency,bank_ref,counterparty,text\n"
        f"{day},{day},-3500,XOF,R1,,FRAIS DE TENUE DE COMPTE\n"
    ).encode()
    file = {"file": ("releve.csv", content, "text/csv")}
    form = {"bank": NORTH, "currency": "XOF"}
    path = "/treasury/statements"
    seen = await mesh.post(path, headers=treasurer, data=form | {"act": "look"}, files=file)
    assert "1 line" in seen.text
    kept = await mesh.post(path, headers=treasurer, data=form | {"act": "keep"}, files=file)
    again = await mesh.post(path, headers=treasurer, data=form | {"act": "keep"}, files=file)
    assert kept.headers["location"] == "/treasury?said=statement-imported"
    assert again.headers["location"] == "/treasury?said=statement-known"
    refused = await mesh.post(path, headers=viewer, data=form, files=file)
    assert refused.status_code == 403


async def test_a_corridor_is_proposed_and_agreed_to_on_the_federation_page(
    mesh: httpx2.AsyncClient, treasurer: Person, viewer: Person, keys: IssuerKeys
) -> None:
    page = html.unescape((await mesh.get("/federation", headers=viewer)).text)
    assert "No other region speaks with us" in page
    assert "Propose a corridor" not in page
    form = {"origin": "region_cedeao", "target": "region_eu", "currency": "EUR", "cover": "1000"}
    path = "/federation/corridors"
    done = await mesh.post(path, headers=treasurer, data=form | {"net_debit_cap": "800,50"})
    assert done.headers["location"] == "/federation?said=corridor-proposed"
    [row] = (await mesh.get("/api/mesh/corridors", headers=viewer)).json()["corridors"]
    assert (row["status"], row["available"]) == ("proposed", 80_050)
    other = _as(keys, TREASURERS[1], "treasury_ops")
    for who, region in ((treasurer, "region_cedeao"), (other, "region_eu")):
        await mesh.post(f"{path}/{row['id']}/approve", headers=who, data={"region": region})
    [row] = (await mesh.get("/api/mesh/corridors", headers=viewer)).json()["corridors"]
    assert row["status"] == "active"
    loop = await mesh.post(
        path, headers=treasurer, data=form | {"net_debit_cap": "1", "target": "region_cedeao"}
    )
    assert loop.status_code == 422


async def test_strangers_tell_us_nothing_and_read_no_table(
    mesh: httpx2.AsyncClient, viewer: Person, ops_db: Database
) -> None:
    said = {"mesh_region_id": "region_eu", "kind": "quote", "content": {}, "token": "x.y.z"}
    answer = await mesh.post("/api/mesh/federation/messages", json=said)
    assert (answer.status_code, answer.json()["code"]) == (403, "advice-refused")
    large = await mesh.post("/api/mesh/federation/messages", json=said | {"token": "x" * 40_000})
    assert large.status_code == 413
    assert (await mesh.get("/api/mesh/federation/table")).status_code == 401
    # Looking signs nothing.
    assert (await mesh.get("/api/mesh/federation/table", headers=viewer)).status_code == 404
    await exchange.tell_all(ops_db, replace(a_mesh(ops_db), region="CEDEAO"))
    table = (await mesh.get("/api/mesh/federation/table", headers=viewer)).json()
    assert (table["mesh_region_id"], table["version"]) == ("region_cedeao", 1)
