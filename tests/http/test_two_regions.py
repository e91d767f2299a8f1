"""Two installations, each with its own database and region, that speak over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from callers import ISSUER, bearer
from fastapi import FastAPI

import builders
import route_world
from databases import fresh_database
from molam.entrypoints.wiring_mesh import mesh_app
from molam.mesh.federation import corridors, exchange
from molam.mesh.federation.commands import signed_message
from molam.mesh.federation.peers import Peer, Peers
from molam.mesh.runtime import Mesh
from molam.mesh.signals import queries as signals
from molam.platform.auth import AAL2
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.settings import Secret, Settings
from molam.simulator.issuer_keys import IssuerKeys
from molam.sira.content import verify_content

HERE, THERE = "region_cedeao", "region_eu"
KEY = "a-key-that-two-regions-share-0123456789"
BANK = "bank_both"
MESSAGES = "/api/mesh/federation/messages"


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave Ctrl-C to pytest."""
        yield


@dataclass
class Installation:
    """A region as its own people, and its peers, meet it."""

    app: FastAPI
    url: str
    admin: Database
    client: httpx2.AsyncClient
    server: uvicorn.Server

    @property
    def db(self) -> Database:
        found: Database = self.app.state.db
        return found

    @property
    def mesh(self) -> Mesh:
        found: Mesh = self.app.state.mesh
        return found

    async def tell(self) -> int:
        """What the worker does every two minutes."""
        return await exchange.tell_all(self.db, self.mesh)

    async def corridors(self, head: dict[str, str]) -> list[dict[str, Any]]:
        answer = await self.client.get("/api/mesh/corridors", headers=head)
        found: list[dict[str, Any]] = answer.json()["corridors"]
        return found


@contextlib.asynccontextmanager
async def installed(
    server: Any, admin: Any, settings: Settings, listener: socket.socket
) -> AsyncIterator[Installation]:
    async with fresh_database(server, admin) as dsn:
        settings = replace(settings, database_url=Secret(dsn))
        db = await open_database(settings.database_dsn, ProcessRole.OWNER, application="tests")
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            for person in ("ana", "bob"):
                await builders.a_person(
                    db, id_=person, name=person, roles=["treasury_ops"], merchant_id=None
                )
            await route_world.a_bank(db, BANK, region=settings.mesh_region)
            app = mesh_app(settings)
            config = uvicorn.Config(
                app, log_config=None, lifespan="off", timeout_graceful_shutdown=1
            )
            running = _Quiet(config)
            async with app.router.lifespan_context(app), httpx2.AsyncClient(base_url=url) as client:
                task = asyncio.create_task(running.serve(sockets=[listener]))
                async with asyncio.timeout(20):
                    while not running.started:
                        await asyncio.sleep(0.02)
                try:
                    yield Installation(app, url, db, client, running)
                finally:
                    running.should_exit = True
                    await task
        finally:
            await db.close()


@pytest.fixture
async def two(
    postgres: Any, _admin: Any, jwks_url: str, issuer_home: Path
) -> AsyncIterator[tuple[Installation, Installation]]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in listeners]
    regions = (HERE, THERE)
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for at, listener in enumerate(listeners):
            peer = {"key": KEY, "url": f"http://127.0.0.1:{ports[1 - at]}"}
            settings = Settings(
                molam_home=issuer_home,
                jwt_issuer=ISSUER,
                jwt_public_key_url=jwks_url,
                molam_db_connections_max=4,
                mesh_region=regions[at],
                mesh_peers=Secret(json.dumps({regions[1 - at]: peer})),
                sira_signing_key=Secret(f"the-own-key-of-{regions[at]}".ljust(40, "k")),
            )
            made.append(
                await stack.enter_async_context(installed(postgres, _admin, settings, listener))
            )
        yield made[0], made[1]


def _as(keys: IssuerKeys, who: str) -> dict[str, str]:
    return bearer(keys, sub=who, roles=["treasury_ops"], merchant_id=None, acr=AAL2, lang="en")


async def test_two_regions_exchange_predictions_agree_on_a_corridor_and_part(
    two: tuple[Installation, Installation], keys: IssuerKeys
) -> None:
    here, there = two
    ana, bob = _as(keys, "ana"), _as(keys, "bob")
    for each, failures in ((here, 0), (there, 8)):
        await route_world.believed(each.admin, BANK, failures=failures)
        await route_world.sql(each.admin, "update mesh.member_health set last_signal_at = now()")

    assert (await here.tell(), await there.tell()) == (1, 1)
    [(said,)] = await route_world.sql(here.admin, "select p_down from mesh.foreign_messages")
    assert said > 0.9
    [peer] = (await here.client.get("/api/mesh/peers", headers=ana)).json()["peers"]
    assert (peer["mesh_region_id"], peer["last_failure"]) == (THERE, None)
    assert peer["last_heard_at"]
    assert peer["last_told_at"]
    async with here.db.transaction("tests.health") as tx:
        [seen] = await signals.health_of(tx, bank_ids=[BANK])
    assert seen.doubted_by == ()  # Two observers are no three.

    body = {"path": ["CEDEAO", "EU"], "currency": "XOF", "cover": 9_000, "net_debit_cap": 5_000}
    made = await here.client.post("/api/mesh/corridors", json=body, headers=ana)
    path = f"/api/mesh/corridors/{made.json()['corridor']['id']}/approve"
    for_us = await here.client.post(path, json={"mesh_region_id": "CEDEAO"}, headers=ana)
    for_them = await here.client.post(path, json={"mesh_region_id": "EU"}, headers=bob)
    assert (for_us.status_code, for_them.status_code) == (200, 422)
    assert (await there.corridors(bob)) == []
    await here.tell()
    [known] = await there.corridors(bob)
    assert (known["status"], known["approved_from"]) == ("proposed", f"region:{HERE}")
    agreed = await there.client.post(path, json={"mesh_region_id": "EU"}, headers=bob)
    assert agreed.json()["corridor"]["status"] == "active"
    await there.tell()
    [mine] = await here.corridors(ana)
    assert (mine["status"], mine["approved_to"]) == ("active", f"region:{THERE}")
    await route_world.sql(there.admin, "update mesh.corridors set position = 4300")
    await there.tell()
    async with here.db.transaction("tests.ways") as tx:
        way = (await corridors.ways(tx, region_id=HERE, currency="XOF"))[THERE]
    assert (way.is_usable, way.free) == (True, 700)  # What the other end can still take.

    closed = path.replace("approve", "reject")
    assert (await there.client.post(closed, headers=bob)).status_code == 200
    await there.tell()
    assert [each["status"] for each in await here.corridors(ana)] == ["closed"]

    await here.tell()
    there.server.should_exit = True
    async with asyncio.timeout(10):
        while any(each.is_serving() for each in there.server.servers):
            await asyncio.sleep(0.02)
    assert await here.tell() == 0
    table = (await here.client.get("/api/mesh/federation/table", headers=ana)).json()
    key = here.mesh.signing_key
    claims = verify_content(
        table["signature"], "proposal", table["table"], key=key, now=datetime.now(UTC)
    )
    assert claims.exp - datetime.now(UTC).timestamp() > 11 * 3600
    [alone] = (await here.client.get("/api/mesh/peers", headers=ana)).json()["peers"]
    assert alone["last_failure"] is not None


async def test_what_was_forged_altered_or_said_before_is_refused(
    two: tuple[Installation, Installation], keys: IssuerKeys
) -> None:
    here, there = two
    now = datetime.now(UTC)
    content = {
        "mesh_region_id": THERE,
        "bank_profile_id": BANK,
        "rail": "bank",
        "currency": "XOF",
        "p_down": 0.9,
        "predicted_score": 10.0,
        "window_minutes": 60,
    }
    good = _posted(signed_message("prediction", content, peers=there.mesh.peers, to=HERE, now=now))
    other = Peers({HERE: Peer(HERE, Secret("the-key-of-somebody-else-".ljust(40, "x")))})
    forged = _posted(signed_message("prediction", content, peers=other, to=HERE, now=now))
    stranger = forged | {"mesh_region_id": "region_us"}
    refused = [
        forged,
        stranger,
        good | {"content": content | {"p_down": 0.1}},
        good | {"mesh_region_id": HERE},
    ]
    answers = [await here.client.post(MESSAGES, json=each) for each in refused]
    assert {(each.status_code, each.json()["code"]) for each in answers} == {
        (403, "advice-refused")
    }
    first, second = answers[0].json(), answers[1].json()
    # Who asks does not learn whether we know the region.
    assert first.pop("instance") != second.pop("instance")
    assert first == second
    assert (await here.client.post(MESSAGES, json=good)).status_code == 202
    again = await here.client.post(MESSAGES, json=good)
    assert (again.status_code, again.json()["code"]) == (409, "peer-message-used")
    # Nor does what was said to one region count at another, or come back to who said it.
    back = await there.client.post(MESSAGES, json=good)
    assert back.status_code == 403


async def test_a_stranger_who_goes_on_is_asked_to_wait(
    two: tuple[Installation, Installation],
) -> None:
    here, _ = two
    wrong = {"mesh_region_id": THERE, "kind": "quote", "content": {}, "token": "x.y.z"}
    here.app.state.federation_doors.strangers = type(here.app.state.federation_doors.strangers)(
        burst=2, per_minute=1
    )
    codes = [(await here.client.post(MESSAGES, json=wrong)).status_code for _ in range(3)]
    assert codes == [403, 403, 429]


def _posted(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


async def test_a_bank_that_other_regions_see_down_is_shown_so(
    two: tuple[Installation, Installation], keys: IssuerKeys
) -> None:
    here, _ = two
    await route_world.believed(here.admin, BANK)
    await route_world.sql(here.admin, "update mesh.member_health set last_signal_at = now()")
    for region in (THERE, "region_us"):
        await route_world.sql(
            here.admin,
            "insert into mesh.peers (mesh_region_id, squared_error, squared_error_climatology,"
            " judged) values ($1, 0.1, 10, 5000)",
            region,
        )
        await route_world.sql(
            here.admin,
            "insert into mesh.foreign_messages (token_id, mesh_region_id, kind, subject, rail,"
            " currency, p_down, content, token, issued_at, expires_at) values ($1, $1, 'prediction',"
            " $2, 'bank', 'XOF', 0.85, '{}', '', now(), now() + interval '10 minutes')",
            *(region, BANK),
        )
    page = await here.client.get(f"/banks/{BANK}", headers=_as(keys, "ana"))
    assert "Other regions see it down as well: EU, US." in page.text
    shown = await here.client.get("/api/mesh/health?rail=bank", headers=_as(keys, "ana"))
    [row] = [each for each in shown.json()["health"] if each["bank_profile_id"] == BANK]
    assert row["doubted_by"] == ["EU", "US"]
    assert row["p_down"] == pytest.approx(0.85, abs=0.01)
