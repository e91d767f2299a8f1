"""What came of moves, over HTTP; and heartbeats as they are posted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from callers import bearer, in_process

import rerouting
from molam.entrypoints.wiring_mesh import mesh_app
from molam.mesh.routing import outcomes
from molam.mesh.runtime import Mesh
from molam.mesh.signals import intake
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.issuer_keys import IssuerKeys
from rerouting import A, B, sql


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[tuple[httpx2.AsyncClient, Mesh]]:
    app = mesh_app(settings)
    async with (
        app.router.lifespan_context(app),
        in_process(app, "http://localhost:3138") as client,
    ):
        yield client, app.state.mesh


async def test_moves_are_listed_with_what_came_of_them(
    opened: tuple[httpx2.AsyncClient, Mesh], db: Database, worker_db: Database, keys: IssuerKeys
) -> None:
    client, mesh = opened
    viewer = bearer(keys, sub="lamine", roles=["mesh_viewer"])
    empty = (await client.get("/api/mesh/outcomes", headers=viewer)).json()
    nothing = {"right": 0, "wrong": 0, "unknown": 0, "precision": None}
    assert empty == {
        "ok": True,
        "automatic": nothing,
        "by_people": nothing,
        "reliability": [],
        "calibration": None,
        "emergency_calibration": None,
        "outcomes": [],
    }
    await rerouting.a_region(db)
    row = await rerouting.a_proposal(db, mesh, status="simulated")
    await sql(
        db,
        "update mesh.mesh_routing_proposals set status = 'applied', reviewed_by = 'mesh-controller',"
        " applied_at = now() - interval '70 minutes' where id = $1",
        row.id,
    )
    for bank, failures in ((A, 30), (B, 1)):
        await sql(
            db,
            "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at, probes,"
            " probe_failures) values ($1, 'bank', 'XOF', now() - interval '30 minutes', 60, $2)",
            *(bank, failures),
        )
    await outcomes.judge_due(worker_db)

    said = (await client.get("/api/mesh/outcomes?limit=1", headers=viewer)).json()
    assert said["automatic"] == {"right": 1, "wrong": 0, "unknown": 0, "precision": 1.0}
    assert said["reliability"] == [
        {"low": 0.95, "high": 1.0, "moves": 1, "mean_confidence": 0.97, "share_right": 1.0}
    ]
    (outcome,) = said["outcomes"]
    assert (outcome["proposal_id"], outcome["outcome"]) == (row.id, "right")
    assert (outcome["from_seen"], float(outcome["from_failed"])) == (60, 30.0)
    for bad in ("limit=0", "limit=101", "limit=x", "nothing=1"):
        refused = await client.get(f"/api/mesh/outcomes?{bad}", headers=viewer)
        assert refused.status_code == 400, bad
    stranger = bearer(keys, sub="awa", roles=["merchant_admin"])
    assert (await client.get("/api/mesh/outcomes", headers=stranger)).status_code == 403


async def test_a_bank_that_promised_heartbeats_and_stops_is_shown_as_silent(
    opened: tuple[httpx2.AsyncClient, Mesh], db: Database, worker_db: Database, keys: IssuerKeys
) -> None:
    client, mesh = opened
    await rerouting.a_region(db)
    service = bearer(keys, sub="service:bank-monitor", roles=["service"])
    beat = {
        "bank_profile_id": A,
        "health_score": 99,
        "success_rate": 1,
        "timestamp": datetime.now(UTC).isoformat(),
        "kind": "heartbeat",
    }
    wrong = await client.post("/api/mesh/health", headers=service, json=beat | {"kind": "shout"})
    assert wrong.status_code in {400, 422}
    assert (await client.post("/api/mesh/health", headers=service, json=beat)).status_code == 202
    async with worker_db.transaction("tests.heard") as tx:
        (text,) = await tx.connection.fetchrow(
            "select payload::text from platform.events where topic = 'mesh.health'"
        )
        await intake.Intake(mesh).handle(tx, [text])
    await sql(
        db,
        "update mesh.heartbeats set last_at = $1, gaps = array_fill(60::float8, array[10])",
        datetime.now(UTC) - timedelta(minutes=10),
    )
    await intake.listen(worker_db, mesh)

    said = (await client.get(f"/api/mesh/health?bank_profile_id={A}", headers=service)).json()
    (health,) = said["health"]
    assert health["silent_since"] is not None
