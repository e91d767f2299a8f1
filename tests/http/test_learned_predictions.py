"""The learned model on its way: SIRA's service, the mesh's API, and the page that shows it."""

from __future__ import annotations

import html
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from callers import bearer, in_process, served
from test_sira_health_api import API_KEY, Between

import builders
from bank_health import BANK, a_member, drain, heard, tell
from learned_health import a_model, as_files
from molam.entrypoints import doctor
from molam.entrypoints.doctor import Level
from molam.entrypoints.wiring_mesh import mesh_app
from molam.entrypoints.wiring_sira import sira_app
from molam.platform.db import Database
from molam.platform.settings import Secret, Settings
from molam.simulator.issuer_keys import IssuerKeys
from molam.sira import registry
from molam.sira.drift import DriftState
from sinks import serving

ABOUT = {"bank_profile_id": BANK, "mesh_region_id": "region_cedeao"}


@dataclass
class World:
    """A mesh that asks a SIRA of its own, and what is between them."""

    mesh: httpx2.AsyncClient
    between: Between
    settings: Settings
    keys: IssuerKeys
    db: Database

    async def predicted(self) -> dict[str, Any]:
        who = bearer(self.keys, sub="service:mesh", roles=["service"], merchant_id=None)
        answer = await self.mesh.post("/api/mesh/predictions/generate", json=ABOUT, headers=who)
        assert answer.status_code == 201, answer.text
        prediction: dict[str, Any] = answer.json()["prediction"]
        return prediction

    async def page(self) -> str:
        who = bearer(
            self.keys, sub="lamine.diouf", roles=["mesh_viewer"], merchant_id=None, lang="en"
        )
        answer = await self.mesh.get(f"/banks/{BANK}?rail=bank&currency=XOF", headers=who)
        assert answer.status_code == 200, answer.text
        return html.unescape(answer.text)

    async def run(self, sql: str) -> None:
        async with self.db.transaction("tests.run") as tx:
            await tx.connection.execute(sql)


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, sira_api_key=Secret(API_KEY), molam_home=tmp_path)


@pytest.fixture
async def world(
    settings: Settings,
    db: Database,
    worker_db: Database,
    keys: IssuerKeys,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    monkeypatch.setattr(registry, "LOOK_AGAIN_S", 0.0)
    await a_member(db)
    await builders.a_person(
        db, id_="lamine.diouf", name="Lamine Diouf", roles=["mesh_viewer"], merchant_id=None
    )
    await tell(worker_db, *(heard(at=time.time() - 20) for _ in range(40)))
    await drain(worker_db)
    service = sira_app(settings)
    async with (
        service.router.lifespan_context(service),
        in_process(service, "http://localhost:8000") as sira,
    ):
        between = Between(sira=sira)
        async with serving(between):
            app = mesh_app(replace(settings, sira_api_url=between.url))
            async with (
                app.router.lifespan_context(app),
                in_process(app, "http://localhost:3138") as mesh,
            ):
                yield World(mesh, between, settings, keys, db)


def _keep(world: World, **changed: Any) -> None:
    model = a_model(**changed)
    registry.keep(world.settings.molam_home, model.version, as_files(model))
    registry.point_to(world.settings.molam_home, model.version)


def _width(prediction: dict[str, Any]) -> float:
    interval = prediction["sira_confidence_intervals"]
    return float(interval["p90"]) - float(interval["p10"])


async def test_learned_model_serves_until_it_drifts_and_the_page_says_who_does(world: World):
    by_filter = await world.predicted()
    _keep(world)
    learned = await world.predicted()
    page = await world.page()
    registry.keep_drift(
        world.settings.molam_home, "health-1", DriftState("health-1", alarm="errors have shifted")
    )
    frozen = await world.predicted()

    assert [each["served_by"] for each in (by_filter, learned, frozen)] == [
        *("tier1", "tier2", "tier1")
    ]
    assert learned["sira_model_version"] == "health-1"
    assert "version health-1" in page
    assert _width(frozen) > _width(by_filter) * 1.2

    _keep(world, version="health-2")
    assert (await world.predicted())["sira_model_version"] == "health-2"
    assert "molam_sira_drift_frozen 0.0" in (await world.mesh.get("/metrics")).text


async def test_model_that_lost_to_the_filter_is_not_asked(world: World):
    _keep(world, serves=False, why="it does not beat the filter")

    assert (await world.predicted())["served_by"] == "tier1"


async def test_sira_that_is_silent_is_said_to_be_and_heard_again(world: World):
    _keep(world)
    world.between.status = 503
    fallen = await world.predicted()
    page = await world.page()
    world.between.status = 200

    assert (fallen["served_by"], fallen["confidence"]) == ("fallback", 0.6)
    assert "SIRA did not answer" in fallen["prediction_reason"]
    assert "SIRA did not answer" in page
    assert (await world.predicted())["served_by"] == "tier2"


async def test_sira_is_told_of_a_week_and_of_what_no_minute_shows(world: World):
    await world.run(
        "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at, attempts,"
        f" failures, latency_sum_ms, latency_max_ms, latencies) select '{BANK}', 'bank', 'XOF', at,"
        " 3, 1, 600, 300, 3 from generate_series(date_trunc('minute', now() - interval '8 days'),"
        " date_trunc('minute', now() - interval '1 minute'), interval '1 minute') as at"
        " on conflict do nothing"
    )
    await world.run(
        "insert into mesh.declared_outages (id, bank_profile_id, source, created_by, begins_at)"
        f" values (gen_random_uuid(), '{BANK}', 'bank', 'tests', now() - interval '1 minute')"
    )
    told = await world.predicted()
    (question,) = world.between.questions

    rows = question["historical_data"]
    assert len(rows) <= 2000
    hours = [row for row in rows if row["attempts"] == 180]
    assert len(hours) == 144
    assert all(row["failures"] == 60 and ":59:00" in row["checked_at"] for row in hours)
    minutes = 3 * (7 * 24 * 60)
    assert minutes <= sum(row["attempts"] for row in rows) <= minutes + 3 * 61 + 40
    assert question["surroundings"]["maintenance_now"] is True
    assert question["surroundings"]["p_down_min"] == 0.9
    assert told["p_down"] >= 0.9
    assert told["recommended_action"] == "failover"
    assert "declared_outage" in {part["name"] for part in told["contributions"]}

    world.between.status = 503
    fallen = await world.predicted()
    assert (fallen["recommended_action"], fallen["predicted_score"]) == ("failover", 10)


async def test_prediction_about_other_surroundings_is_not_believed(world: World):
    """The twin: as it was sent, the same answer is believed."""
    asked: list[Any] = []

    def calmer(said: dict[str, Any]) -> None:
        asked.append(said)

    world.between.alter = calmer
    assert (await world.predicted())["served_by"] == "tier1"
    ask = world.between.sira
    assert ask is not None

    class Calm:
        """Asks SIRA something else than the mesh did."""

        async def post(self, path: str, content: bytes, **more: Any) -> httpx2.Response:
            question = json.loads(content)
            question["surroundings"]["neighbours_p_down"] = 0.5
            return await ask.post(path, content=json.dumps(question).encode(), **more)

    world.between.sira = Calm()  # type: ignore[assignment]
    assert (await world.predicted())["served_by"] == "fallback"
    assert len(asked) == 2


async def test_service_of_its_own_needs_no_other_key_than_the_one_that_signs(
    settings: Settings, db: Database, worker_db: Database, keys: IssuerKeys
):
    """As processes do it: over a socket, where long answers would be packed."""
    settings = replace(settings, sira_api_key=Secret(""))
    await a_member(db)
    await tell(worker_db, *(heard(at=time.time() - 20) for _ in range(40)))
    await drain(worker_db)
    who = bearer(keys, sub="service:mesh", roles=["service"], merchant_id=None)
    with served(sira_app(settings)) as url:
        here = replace(settings, sira_api_url=url)
        app = mesh_app(here)
        async with (
            app.router.lifespan_context(app),
            in_process(app, "http://localhost:3138") as mesh,
        ):
            answer = await mesh.post("/api/mesh/predictions/generate", json=ABOUT, headers=who)
        found, inside = [each async for each in doctor._sira(here)]
        other = replace(here, sira_signing_key=Secret("another key that others have, and not we"))
        stranger, _ = [each async for each in doctor._sira(other)]
    gone, _ = [each async for each in doctor._sira(here)]

    assert answer.json()["prediction"]["served_by"] == "tier1"
    assert found.level is Level.OK
    assert (inside.level, "in each process" in inside.said) == (Level.OK, True)
    assert (stranger.level, "401" in stranger.said) == (Level.WARN, True)
    assert (gone.level, "did not answer" in gone.said) == (Level.WARN, True)
