"""
Every route x every kind of caller x own, another's and absent object, asserted whole.

The expectation is authorization_matrix.txt, for operations authorization_matrix_ops.txt, and
for the mesh and SIRA authorization_matrix_mesh.txt, written for people to review. After a deliberate change:
WRITE_MATRIX=1 make test ARGS=tests/http/test_authorization_matrix.py
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from callers import bearer, in_process
from fastapi import FastAPI
from mesh_site import Site, opened
from shops import (
    MERCHANT_ROLES,
    OWN,
    PLATFORM_ROLES,
    World,
    ask,
    objects_of,
)

from builders import a_merchant, a_person
from molam.approvals.engine import Engine
from molam.approvals.risk import endpoints as risk_endpoints
from molam.approvals.risk import pages as risk_pages
from molam.entrypoints.wiring_sira import sira_app
from molam.platform.auth import AAL1, AAL2
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.platform.web import PUBLIC, Operation
from molam.platform.web.limits import Limiter
from molam.platform.web.routes import WEBSOCKET
from molam.simulator.issuer_keys import IssuerKeys

SNAPSHOT = Path(__file__).parent / "authorization_matrix.txt"
SNAPSHOT_OPS = Path(__file__).parent / "authorization_matrix_ops.txt"
SNAPSHOT_MESH = Path(__file__).parent / "authorization_matrix_mesh.txt"

CALLERS = (
    "anonymous",
    "expired",
    "forged",
    "revoked",
    "homeless",
    *MERCHANT_ROLES,
    "service",
    *PLATFORM_ROLES,
)
"""revoked: the token says merchant_admin, the directory no longer does.
homeless: a merchant_admin whose token names no merchant."""

OPS_CALLERS = (
    "anonymous",
    "expired",
    "forged",
    "revoked",
    "merchant_admin",
    "service",
    *PLATFORM_ROLES,
    "super_admin",
)


async def shake_hands(app: FastAPI, path: str, headers: dict[str, str]) -> int:
    """Open a WebSocket and hang up; return 101, or the status that refused it."""
    messages = iter([{"type": "websocket.connect"}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "websocket.disconnect", "code": 1000})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "subprotocols": [],
        "scheme": "ws",
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 3001),
        "extensions": {"websocket.http.response": {}},
    }
    await app(scope, receive, send)
    first = sent[0]
    return 101 if first["type"] == "websocket.accept" else int(first.get("status", 403))


async def matrix_of(
    app: FastAPI,
    client: httpx2.AsyncClient,
    world: World,
    *,
    callers: Sequence[str],
    kinds: Callable[[Operation], Sequence[str]],
) -> str:
    lines = []
    for operation in sorted(app.state.operations, key=lambda each: (each.path, each.method)):
        lines.append(f"{operation.method} {operation.template} needs {operation.needs.name}")
        for which in kinds(operation):
            path = world.path(operation, which)
            cells: dict[str, list[str]] = {}
            for caller in callers:
                headers = world.headers(caller)
                if operation.method == WEBSOCKET:
                    status = await shake_hands(app, path, headers)
                else:
                    status = (await ask(client, operation, path, headers)).status_code
                cells.setdefault(str(status), []).append(caller)
            lines += [
                f"    {which:6} {status} {'all' if len(who) == len(callers) else ' '.join(who)}"
                for status, who in sorted(cells.items())
            ]
    return "\n".join(lines) + "\n"


def compare(written: str, snapshot: Path) -> None:
    assert [line for line in written.splitlines() if " 500 " in line] == []
    if os.environ.get("WRITE_MATRIX"):
        snapshot.write_text(written, encoding="utf-8")
    assert written == snapshot.read_text(encoding="utf-8")


async def test_every_route_answers_every_caller_as_reviewed(
    app: FastAPI, client: httpx2.AsyncClient, world: World
):
    compare(await matrix_of(app, client, world, callers=CALLERS, kinds=objects_of), SNAPSHOT)


class OpsWorld(World):
    """One action that waits for votes, and nothing else."""

    def headers(self, caller: str, *, acr: str = AAL1) -> dict[str, str]:
        if caller == "revoked":
            return bearer(self._keys, sub="revoked", roles=["ops_admin"], merchant_id=None)
        return super().headers(caller, acr=acr)

    def path(self, operation: Operation, which: str) -> str:
        del which
        path = operation.path.replace("{type}", "ADJUST_FLOAT")
        if path.startswith("/ops/actions/"):
            path = path.replace("{id:uuid}", self.objects["action"])
        path = path.replace("{action_id}", self.objects["action"]).replace("{id:int}", "1")
        path = path.replace("{line_no:int}", "1")
        return re.sub(r"{\w+(:\w+)?}", str(UUID(int=0)), path)


@pytest.fixture
async def ops_world(ops_site: FastAPI, db: Database, keys: IssuerKeys) -> OpsWorld:
    await a_merchant(db, id_=OWN)
    await a_person(db, id_="merchant_admin", roles=["merchant_admin"], merchant_id=OWN)
    for role in (*PLATFORM_ROLES, "super_admin"):
        await a_person(db, id_=role, roles=[role], merchant_id=None)
    for each in ("second", "third"):
        await a_person(db, id_=each, roles=["ops_admin"], merchant_id=None)
    await a_person(db, id_="revoked", roles=[])
    action = await Engine(ops_site.state.runtime).create_ops_action(
        origin="ops_ui",
        action_type="FREEZE_MERCHANT",
        params={"merchant_id": OWN, "reason": "refunds", "duration": "24h"},
        created_by="somebody",
    )
    return OpsWorld(keys, {"action": action["id"]})


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one address try as often as the matrix does; limits have tests of their own."""
    for module, name in ((risk_endpoints, "_consuming"), (risk_pages, "_deciding")):
        monkeypatch.setattr(module, name, Limiter(burst=1000, per_minute=1000))
    monkeypatch.setattr(risk_endpoints, "_overriding", Limiter(burst=1000, per_minute=1000))


@pytest.mark.usefixtures("_patient")
async def test_every_route_of_operations_answers_every_caller_as_reviewed(
    ops_site: FastAPI, ops_world: OpsWorld
):
    async with in_process(ops_site, "http://localhost:3136") as client:
        written = await matrix_of(
            ops_site, client, ops_world, callers=OPS_CALLERS, kinds=lambda _: ("-",)
        )

    compare(written, SNAPSHOT_OPS)


async def test_public_routes_of_operations_are_these_and_no_others(ops_site: FastAPI):
    public = {each.template for each in ops_site.state.operations if each.needs is PUBLIC}

    assert public == {
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
        "/sign-in",
        "/preferences",
        "/auth/sign-in",
        "/auth/callback",
        "/s/{digest}/{name}",
        "/api/ops/health",
        # A single-use link is the credential.
        "/api/approvals/{id}/consume",
        "/approvals/link",
    }


# The mesh has one object of each kind, and who may ask is all that differs.


@pytest.fixture
async def mesh_site(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Site]:
    async with opened(postgres, _admin, keys, jwks_url, issuer_home) as site:
        yield site


class MeshWorld(World):
    """The mesh's objects, as one who may not see any would ask for them."""

    def __init__(self, site: Site, keys: IssuerKeys) -> None:
        super().__init__(keys, {})
        self._site = site

    def headers(self, caller: str, *, acr: str = AAL1) -> dict[str, str]:
        if caller == "revoked":
            return bearer(self._keys, sub="revoked", roles=["ops_admin"], merchant_id=None)
        return super().headers(caller, acr=acr)

    def path(self, operation: Operation, which: str) -> str:
        # What writes is asked about something absent, so that every caller finds the same.
        is_read = operation.method == "GET"
        return self._site.path(operation, None if is_read else which)


async def test_every_route_of_the_mesh_and_sira_answers_every_caller_as_reviewed(
    mesh_site: Site, settings: Settings, keys: IssuerKeys
):
    world = MeshWorld(mesh_site, keys)
    written = await matrix_of(
        mesh_site.app,
        mesh_site.client,
        world,
        callers=OPS_CALLERS,
        kinds=lambda operation: ("absent" if "{" in operation.template else "-",),
    )
    sira = sira_app(replace(settings, database_url=mesh_site.database_url))
    async with (
        sira.router.lifespan_context(sira),
        in_process(sira, "http://localhost:8000") as client,
    ):
        written += await matrix_of(sira, client, world, callers=OPS_CALLERS, kinds=lambda _: ("-",))

    compare(written, SNAPSHOT_MESH)


async def test_public_routes_of_the_mesh_are_these_and_no_others(mesh_site: Site):
    operations = mesh_site.app.state.operations

    assert {each.template for each in operations if each.needs is PUBLIC} == {
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
        "/sign-in",
        "/preferences",
        "/auth/sign-in",
        "/auth/callback",
        "/s/{digest}/{name}",
        # What another region says is told by its signature.
        "/api/mesh/federation/messages",
    }


async def test_merchants_are_shown_nothing_of_the_mesh(mesh_site: Site, keys: IssuerKeys):
    world, asked = MeshWorld(mesh_site, keys), 0
    for operation in mesh_site.operations:
        if operation.needs is PUBLIC or operation.path == "/auth/sign-out":
            continue
        for role in MERCHANT_ROLES:
            path = mesh_site.path(operation)
            answer = await ask(mesh_site.client, operation, path, world.headers(role))
            asked += 1
            assert answer.status_code in {401, 403}, (operation.method, operation.path, role)
    assert asked > 200


async def test_another_merchants_object_and_an_absent_one_look_the_same(
    app: FastAPI, client: httpx2.AsyncClient, world: World
):
    compared = 0
    for operation in app.state.operations:
        if objects_of(operation) == ("-",):
            continue
        for role in MERCHANT_ROLES:
            seen = []
            for which in ("other", "absent"):
                path = world.path(operation, which)
                answer = await ask(client, operation, path, world.headers(role, acr=AAL2))
                told = answer.text.replace(answer.headers["x-request-id"], "REQUEST")
                for named in world.objects_called(which):
                    told = told.replace(named, "ID")
                # Forms carry a new key each time they are shown.
                told = re.sub(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", told)
                seen.append((answer.status_code, told, answer.headers.get("location", "")))
            assert seen[0] == seen[1], f"{operation.method} {operation.path} tells {role}"
            assert seen[0][0] in {400, 403, 404}, f"{operation.method} {operation.path}: {seen[0]}"
            compared += seen[0][0] == 404
    assert compared > 80


async def test_lists_show_own_objects_only(client: httpx2.AsyncClient, world: World):
    headers = world.headers("merchant_admin")

    transactions = (await client.get("/api/merchant/transactions", headers=headers)).json()
    alerts = (await client.get("/api/merchant/alerts", headers=headers)).json()

    assert [row["id"] for row in transactions["rows"]] == [
        "tx_sold_own",
        "tx_own",
    ]
    assert [row["id"] for row in alerts["rows"]] == [world.objects["alert", "own"]]


async def test_public_routes_are_these_and_no_others(app: FastAPI):
    public = {each.template for each in app.state.operations if each.needs is PUBLIC}

    assert public == {
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
        "/sign-in",
        "/preferences",
        "/auth/sign-in",
        "/auth/callback",
        "/s/{digest}/{name}",
        # A bank is told apart by its signature, or is only believed after a question to it.
        "/banks/{bank_profile_id}/callbacks",
        # A signed link is the credential.
        "/files/{token}",
    }


async def test_every_route_of_the_app_was_declared_with_a_permission(app: FastAPI):
    declared = {each.path for each in app.state.operations}

    assert {getattr(route, "path", None) for route in app.routes} == declared


async def test_the_matrix_notices_a_route_that_forgets_to_ask(
    app: FastAPI,
    client: httpx2.AsyncClient,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("molam.platform.web.operations.authorise", lambda *_: None)

    answer = await client.get("/api/merchant/alerts", headers=world.headers("merchant_support"))

    reviewed = SNAPSHOT.read_text(encoding="utf-8").partition("GET /api/merchant/alerts ")[2]
    refused = next(line for line in reviewed.splitlines() if " 403 " in line)
    assert "merchant_support" in refused
    assert answer.status_code == 200
