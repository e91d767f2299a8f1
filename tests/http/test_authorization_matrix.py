"""
Every route x every kind of caller x own, another's and absent object, asserted whole.

The expectation is authorization_matrix.txt, and for operations authorization_matrix_ops.txt,
written for people to review. After a deliberate change:
WRITE_MATRIX=1 make test ARGS=tests/http/test_authorization_matrix.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from callers import bearer, forged, in_process
from fastapi import FastAPI

from builders import a_merchant, a_person, a_transaction, an_alert
from molam.approvals.engine import Engine
from molam.approvals.risk import endpoints as risk_endpoints
from molam.approvals.risk import pages as risk_pages
from molam.platform.db import Database
from molam.platform.web import PUBLIC, Operation
from molam.platform.web.limits import Limiter
from molam.platform.web.routes import WEBSOCKET
from molam.simulator.issuer_keys import IssuerKeys

SNAPSHOT = Path(__file__).parent / "authorization_matrix.txt"
SNAPSHOT_OPS = Path(__file__).parent / "authorization_matrix_ops.txt"

OWN, OTHER = "merchant-123", "merchant-cocody"
MERCHANT_ROLES = ("merchant_admin", "merchant_accountant", "merchant_support")
PLATFORM_ROLES = (
    "ops_admin",
    "finance_ops",
    "pay_admin",
    "compliance",
    "cfo",
    "auditor",
    "treasury_ops",
    "mesh_viewer",
)
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

# These never end; HEAD asks the same question and gets only the head of the answer.
STREAMS = frozenset(
    {"/api/merchant/stream", "/live", "/live/transactions", "/live/alerts"}
    | {"/ops/live", "/ops/actions/{id:uuid}/live"}
)

# What a route needs to be told before its answer is about authorisation.
QUERIES: Mapping[str, str] = {"/live": "period=mtd&currency=XOF"}

# Which kind of object an address names, by the beginning of what follows /api/merchant.
KINDS = {
    "/alerts/": "alert",
    "/disputes/": "dispute",
    "/exports/": "export",
    "/reports/files/": "export",
    "/payouts/": "payout",
    "/refunds/": "refund",
    "/settings/webhooks/deliveries/": "delivery",
    "/settings/webhooks/": "webhook",
    "/team/": "person",
    "/transactions/": "transaction",
    "/webhooks/deliveries/": "delivery",
    "/webhooks/": "webhook",
}

# A body that passes, where authorisation is not the only thing asked.
BODIES: Mapping[tuple[str, str], Any] = {
    ("POST", "/api/merchant/events"): [
        {
            "specversion": "1.0",
            "id": "e-1",
            "source": "/wallet",
            "type": "wallet_txn_succeeded",
            "data": {
                "merchant_id": OWN,
                "transaction_id": "tx_900",
                "amount": 100,
                "currency": "XOF",
                "status": "succeeded",
                "occurred_at": "2026-11-16T12:00:00Z",
            },
        }
    ],
    ("POST", "/api/merchant/alerts/{id:uuid}/settle"): {"outcome": "resolved"},
    ("POST", "/api/merchant/refund"): {
        "txn_id": "{id}",
        "amount": 1,
        "currency": "XOF",
        "reason": "duplicate_charge",
    },
    ("POST", "/api/merchant/refunds/{id}/details"): {
        "destination": {"type": "wallet", "provider": "wave", "phone": "+221770000123", "holder": "A"}
    },
    ("POST", "/api/merchant/refunds/{id}/reject"): {"reason": "No."},
    ("PUT", "/api/merchant/disputes/{id:path}/draft"): {"statement": "It was delivered."},
    ("POST", "/api/merchant/disputes/{id:path}/evidence/confirm"): {
        "upload_id": str(UUID(int=7)),
        "sha256": "0" * 64,
    },
    ("PUT", "/api/merchant/team/{person_id}"): {"roles": ["merchant_support"]},
    ("PUT", "/api/merchant/webhooks/{id}"): {"description": "Ours"},
    ("POST", "/api/merchant/webhooks/{id}/replay"): {"since": "2026-11-16T12:00:00Z"},
}

FORMS: Mapping[str, Mapping[str, str]] = {
    "/alerts/{id:uuid}/settle": {"outcome": "resolved"},
    "/refunds/{id}/details": {"idempotency_key": "k", "provider": "wave", "phone": "+221770000123"},
}


class World:
    """Two merchants with one object of each kind, and somebody for every role."""

    def __init__(self, keys: IssuerKeys, objects: dict[str, Any]) -> None:
        self._keys = keys
        self.objects = objects

    def headers(self, caller: str) -> dict[str, str]:
        now = int(datetime.now(UTC).timestamp())
        changed: dict[str, dict[str, object]] = {
            "expired": {"iat": now - 900, "exp": now - 600},
            "revoked": {"sub": "revoked"},
            "homeless": {"sub": "merchant_admin", "merchant_id": None},
            "service": {"sub": "service:wallet", "roles": ["service"], "merchant_id": None},
            **{role: {"sub": role, "roles": [role]} for role in MERCHANT_ROLES},
            **{
                role: {"sub": role, "roles": [role], "merchant_id": None}
                for role in (*PLATFORM_ROLES, "super_admin")
            },
        }
        if caller == "anonymous":
            return {}
        if caller == "forged":
            return forged(self._keys)
        return bearer(self._keys, **changed[caller])

    def path(self, operation: Operation, which: str) -> str:
        kind = "alert" if "alerts" in operation.path else "transaction"
        return (
            operation.template.replace("{id}", self.objects.get((kind, which), ""))
            .replace("{digest}", "0" * 16)
            .replace("{name}", "absent.js")
        )


@pytest.fixture
async def world(db: Database, keys: IssuerKeys) -> World:
    await a_merchant(db, id_=OWN)
    await a_merchant(db, id_=OTHER, name="Cocody")
    for role in MERCHANT_ROLES:
        await a_person(db, id_=role, roles=[role], merchant_id=OWN)
    for role in PLATFORM_ROLES:
        await a_person(db, id_=role, roles=[role], merchant_id=None)
    await a_person(db, id_="revoked", roles=[])
    objects = {
        ("transaction", "own"): await a_transaction(db, id_="tx_own", merchant_id=OWN),
        ("transaction", "other"): await a_transaction(db, id_="tx_other", merchant_id=OTHER),
        ("transaction", "absent"): "tx_absent",
        ("alert", "own"): await an_alert(db, merchant_id=OWN),
        ("alert", "other"): await an_alert(db, merchant_id=OTHER),
        ("alert", "absent"): str(uuid4()),
    }
    return World(keys, objects)


async def ask(
    client: httpx2.AsyncClient, operation: Operation, path: str, headers: dict[str, str]
) -> httpx2.Response:
    method = "HEAD" if operation.path in STREAMS else operation.method
    path += f"?{QUERIES[operation.path]}" if operation.path in QUERIES else ""
    if operation.upload:
        return await client.request(method, path, headers=headers, files={"x": (None, "")})
    if operation.form:
        return await client.request(method, path, headers=headers, data={"x": ""})
    body = BODIES.get((operation.method, operation.path))
    return await client.request(method, path, headers=headers, json=body)


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


def objects_of(operation: Operation) -> tuple[str, ...]:
    return ("own", "other", "absent") if "id" in operation.path_parameters else ("-",)


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
    assert " 500 " not in written
    if os.environ.get("WRITE_MATRIX"):
        snapshot.write_text(written, encoding="utf-8")
    assert written == snapshot.read_text(encoding="utf-8")


async def test_every_route_answers_every_caller_as_reviewed(
    app: FastAPI, client: httpx2.AsyncClient, world: World
):
    compare(await matrix_of(app, client, world, callers=CALLERS, kinds=objects_of), SNAPSHOT)


class OpsWorld(World):
    """One action that waits for votes, and nothing else."""

    def headers(self, caller: str) -> dict[str, str]:
        if caller == "revoked":
            return bearer(self._keys, sub="revoked", roles=["ops_admin"], merchant_id=None)
        return super().headers(caller)

    def path(self, operation: Operation, which: str) -> str:
        del which
        path = operation.path.replace("{type}", "ADJUST_FLOAT")
        if path.startswith("/ops/actions/"):
            path = path.replace("{id:uuid}", self.objects["action"])
        path = path.replace("{action_id}", self.objects["action"]).replace("{id:int}", "1")
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
        "/",
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


async def test_another_merchants_object_and_an_absent_one_look_the_same(
    app: FastAPI, client: httpx2.AsyncClient, world: World
):
    compared = 0
    for operation in app.state.operations:
        if "id" not in operation.path_parameters:
            continue
        for role in MERCHANT_ROLES:
            seen = []
            for which in ("other", "absent"):
                path = world.path(operation, which)
                answer = await ask(client, operation, path, world.headers(role))
                told = answer.text.replace(world.objects["alert", which], "ID")
                told = told.replace(world.objects["transaction", which], "ID")
                seen.append(
                    (answer.status_code, told.replace(answer.headers["x-request-id"], "REQUEST"))
                )
            assert seen[0] == seen[1], f"{operation.method} {operation.path} tells {role}"
            compared += 1
    assert compared


async def test_lists_show_own_objects_only(client: httpx2.AsyncClient, world: World):
    headers = world.headers("merchant_admin")

    transactions = (await client.get("/api/merchant/transactions", headers=headers)).json()
    alerts = (await client.get("/api/merchant/alerts", headers=headers)).json()

    assert [row["id"] for row in transactions["rows"]] == ["tx_own"]
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
        "/banks/{bank_profile_id}/callbacks",
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
