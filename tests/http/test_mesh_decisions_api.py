"""Deciding about routes over HTTP: two people's votes, the refusals, and what is listed after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from callers import bearer, in_process

import rerouting
from molam.entrypoints.wiring_mesh import mesh_app
from molam.mesh.runtime import Mesh
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.issuer_keys import IssuerKeys
from rerouting import A, B

BASE = "http://localhost:3138"


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[tuple[httpx2.AsyncClient, Mesh]]:
    app = mesh_app(settings)
    async with app.router.lifespan_context(app), in_process(app, BASE) as client:
        yield client, app.state.mesh


async def test_a_proposal_is_approved_listed_and_rolled_back(
    opened: tuple[httpx2.AsyncClient, Mesh], db: Database, keys: IssuerKeys
) -> None:
    client, mesh = opened
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 3)
    proposal = await rerouting.a_proposal(db, mesh, status="simulated")
    one, two, viewer = (
        bearer(keys, sub=id_, roles=roles)
        for id_, roles in (
            ("ops-admin-1", ["ops_admin"]),
            ("binta", ["treasury_ops"]),
            ("lamine", ["mesh_viewer"]),
        )
    )
    path = f"/api/mesh/proposals/{proposal.id}"
    assert (await client.post(f"{path}/approve")).status_code == 401
    assert (await client.post(f"{path}/approve", headers=viewer)).status_code == 403
    absent = await client.post("/api/mesh/proposals/nobody/approve", headers=one)
    assert (absent.status_code, absent.json()["code"]) == (404, "proposal-not-found")

    first = await client.post(f"{path}/approve", headers=one)
    assert first.status_code == 202
    said: dict[str, Any] = first.json()["approval"]
    assert (said["votes"], said["votes_needed"]) == (1, 2)
    done = await client.post(f"{path}/approve", headers=two, json={"comment": "vu"})
    assert done.status_code == 200
    assert done.json()["ok"] is True
    assert done.json()["applied"]["affected_payouts"] == 3
    assert done.json()["proposal"]["status"] == "applied"
    assert await rerouting.where(db) == {B: 3}

    actions = (await client.get("/api/mesh/actions?mesh_region_id=CEDEAO", headers=viewer)).json()
    assert [each["idempotency_key"] for each in actions["actions"]] == [
        f"apply-routing-{proposal.id}"
    ]
    assert actions["actions"][0]["actor_id"] == "binta"
    listed = await client.get("/api/mesh/reconciliations?status=pending&limit=2", headers=viewer)
    assert listed.json()["has_more"] is True
    rest = await client.get(
        "/api/mesh/reconciliations",
        params={"status": "pending", "limit": 2, "cursor": listed.json()["next_cursor"]},
        headers=viewer,
    )
    assert len(rest.json()["reconciliations"]) == 1
    of_proposal = await client.get(f"{path}/reconciliations", headers=viewer)
    assert len(of_proposal.json()["reconciliations"]) == 3
    for bad in ("limit=0", "limit=101", "status=lost", "limit=NaN"):
        refused = await client.get(f"/api/mesh/reconciliations?{bad}", headers=viewer)
        assert refused.status_code == 400
    assert (await client.get("/api/mesh/decisions", headers=viewer)).json()["verdicts"] == []

    silent = await client.post(f"{path}/rollback", headers=one)
    assert (silent.status_code, silent.json()["code"]) == (400, "missing-reason")
    assert (await client.post(f"{path}/reject", headers=one)).status_code == 409
    why = {"reason": "La banque répond à nouveau."}
    assert (await client.post(f"{path}/rollback", headers=one, json=why)).status_code == 202
    back = await client.post(f"{path}/rollback", headers=two, json=why)
    assert back.status_code == 200
    assert back.json()["rolled_back"]["restored_payouts"] == 3
    assert await rerouting.where(db) == {A: 3}
    late = await client.post(f"{path}/approve", headers=one)
    assert (late.status_code, late.json()["code"]) == (409, "proposal-not-in-state")


async def test_a_forged_proposal_is_refused_and_stays_what_it_was(
    opened: tuple[httpx2.AsyncClient, Mesh], db: Database, keys: IssuerKeys
) -> None:
    client, mesh = opened
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 1)
    forger = replace(mesh, signing_key=rerouting.KEY)
    proposal = await rerouting.a_proposal(db, forger, status="simulated")
    path = f"/api/mesh/proposals/{proposal.id}/approve"
    people = [bearer(keys, sub=id_, roles=list(r)) for id_, r in rerouting.PEOPLE.items()]
    await client.post(path, headers=people[0])
    refused = await client.post(path, headers=people[1])
    assert refused.status_code == 403
    assert refused.json()["code"] == "advice-refused"
    assert await rerouting.where(db) == {A: 1}
    rejected = await client.post(
        path.replace("approve", "reject"), headers=people[2], json={"reason": "faux"}
    )
    assert rejected.json()["proposal"]["status"] == "rejected"
