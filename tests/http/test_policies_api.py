"""Policies over HTTP: the specification's envelopes, and what only some may do."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from callers import in_process
from fastapi import FastAPI
from starlette.requests import HTTPConnection

import builders
from molam.approvals.engine import Engine
from molam.approvals.policy import endpoints as policy_endpoints
from molam.entrypoints.registry import registry
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.platform.web import Caller, Site, build_app

TWO = {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}}
ADMINS = {"type": "role", "value": {"role": "ops_admin", "min_votes": 2}}
STRICT = {"required_quorum": ADMINS, "required_ratio": 1, "timeout_seconds": 7200}
FEE = {
    "name": "Merchant Fee Adjustment",
    "criteria": {"action_type": "ADJUST_MERCHANT_FEE", "params.fee_percentage": {"$gte": 3.0}},
    "policy": {
        "required_quorum": TWO,
        "required_ratio": 0.75,
        "timeout_seconds": 7200,
        "escalation_role": "cfo",
        "auto_execute": False,
    },
    "priority": 90,
    "enabled": True,
}
TIGHT = {**FEE, "policy": STRICT}
Clients = Callable[..., httpx2.AsyncClient]


@pytest.fixture
async def clients(db: Database, ops_db: Database) -> Clients:
    """Make a client whose caller holds one role."""
    await builders.operations(db)
    await builders.an_agent(db, id_="agent-123", balance=500_000)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield

    def of(role: str = "ops_admin", subject: str = "ops-admin-1") -> httpx2.AsyncClient:
        async def caller(_connection: HTTPConnection) -> Caller | None:
            return Caller(
                subject=subject, name=subject, merchant_id=None, roles=frozenset({role}),
                locale="en", acr="", auth_time=None, csrf=None, via="bearer", request_id="r",
                ip="127.0.0.1", user_agent="",
            )  # fmt: skip

        app = build_app(
            name="ops", routes=[policy_endpoints.routes], authenticator=caller,
            settings=Settings(), lifespan=lifespan, site=Site(metrics_prefix="ops"),
        )  # fmt: skip
        app.state.db = ops_db
        app.state.runtime = Engine.of(ops_db, registry()).runtime
        return in_process(app)

    return of


async def post(clients: Clients, path: str, body: Any, **who: Any) -> httpx2.Response:
    async with clients(**who) as client:
        response: httpx2.Response = await client.post(f"/api/ops/policies{path}", json=body)
        return response


async def test_a_policy_that_tightens_is_created(clients: Clients):
    answer = await post(clients, "", TIGHT)

    assert answer.status_code == 201
    body = answer.json()
    assert body["success"] is True
    assert body["policy"]["name"] == "Merchant Fee Adjustment"
    assert body["policy"]["policy"]["required_ratio"] == 1
    assert body["policy"]["created_by"] == "ops-admin-1"
    assert body["policy"]["sentences"]["fr"]["criteria"].startswith(
        "Changer les frais d'un marchand (ADJUST_MERCHANT_FEE) si frais"
    )
    assert answer.headers["etag"] == '"1"'


async def test_the_policy_of_the_specification_loosens_and_opens_an_action(clients: Clients):
    answer = await post(clients, "", {**FEE, "created_by": "admin-user-id"})

    assert answer.status_code == 202
    body = answer.json()
    assert body["action"]["action_type"] == "CHANGE_APPROVAL_POLICY"
    assert body["action"]["created_by"] == "ops-admin-1"
    assert answer.headers["location"] == f"/api/ops/actions/{body['action']['id']}"


async def test_asking_twice_for_the_same_policy_opens_one_action(clients: Clients):
    first, second = await post(clients, "", FEE), await post(clients, "", FEE)

    assert (first.status_code, second.status_code) == (202, 409)
    assert second.json()["action_id"] == first.json()["action"]["id"]


async def test_policies_are_listed_read_changed_and_deleted(clients: Clients):
    lax = {"required_quorum": ADMINS, "required_ratio": 1, "timeout_seconds": 86400}
    id_ = (await post(clients, "", {**FEE, "policy": lax})).json()["policy"]["id"]

    async with clients() as client:
        listed = (await client.get("/api/ops/policies", params={"enabled_only": "true"})).json()
        put = await client.put(f"/api/ops/policies/{id_}", json={"policy": STRICT, "priority": 95})
        stale = await client.put(
            f"/api/ops/policies/{id_}", json={"priority": 96}, headers={"If-Match": '"1"'}
        )
        got = (await client.get(f"/api/ops/policies/{id_}")).json()
        kept = (await client.get(f"/api/ops/policies/{id_}/versions")).json()
        back = await client.put(f"/api/ops/policies/{id_}", json={"policy": lax})
        gone = await client.delete(f"/api/ops/policies/{id_}")

    assert (listed["count"], listed["policies"][0]["id"]) == (1, id_)
    assert (put.status_code, put.json()["policy"]["version"]) == (200, 2)
    assert stale.status_code == 409
    assert (got["policy"]["priority"], got["policy"]["policy"]["timeout_seconds"]) == (95, 7200)
    assert [each["change"] for each in kept["versions"]] == ["tightened", "created"]
    assert back.status_code == 202
    # Two changes of one policy do not wait at once.
    assert (gone.status_code, gone.json()["type"].rpartition("/")[2]) == (409, "action-twin-open")


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("ops_admin", True), ("finance_ops", False), ("pay_admin", False), ("merchant_admin", False)],
)
async def test_only_ops_admin_changes_policies(clients: Clients, role: str, allowed: bool):
    answer = await post(clients, "", TIGHT, role=role)

    assert answer.status_code == (201 if allowed else 403)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("ops_admin", True), ("finance_ops", True), ("pay_admin", True), ("merchant_admin", False)],
)
async def test_operations_read_policies(clients: Clients, role: str, allowed: bool):
    async with clients(role=role) as client:
        for path in ("", "/templates"):
            answer = await client.get(f"/api/ops/policies{path}")
            assert answer.status_code == (200 if allowed else 403)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"criteria": {}}, "criteria-malformed"),
        ({"criteria": {"params.fee_percentage": {"gte": 5}}}, "criteria-malformed"),
        ({"policy": {"required_quorum": {}}}, "policy-malformed"),
        ({"policy": {**STRICT, "timeout_seconds": 0}}, "policy-malformed"),
        ({"priority": 0}, "body-malformed"),
        ({"unknown": 1}, "body-malformed"),
    ],
)
async def test_a_policy_that_cannot_be_read_is_refused(
    clients: Clients, change: dict[str, Any], code: str
):
    answer = await post(clients, "", {**TIGHT, **change})

    assert 400 <= answer.status_code < 500
    assert answer.json()["type"].rpartition("/")[2] == code


async def test_an_unknown_policy_is_absent(clients: Clients):
    async with clients() as client:
        for id_ in (uuid4(), "no-id"):
            assert (await client.get(f"/api/ops/policies/{id_}")).status_code == 404
            assert (await client.delete(f"/api/ops/policies/{id_}")).status_code == 404
            assert (await client.get(f"/api/ops/policies/{id_}/versions")).status_code == 404


async def test_a_draft_is_linted(clients: Clients):
    answer = await post(clients, "/lint", {"policy": FEE}, role="finance_ops")

    found = {each["code"]: each for each in answer.json()["findings"]}
    assert answer.status_code == 200
    assert found["timeout-short"]["sentence"]["fr"].startswith("En moins de 24 h")


FLOATS = {
    "name": "Floats",
    "criteria": {"action_type": "ADJUST_FLOAT"},
    "policy": {"required_quorum": TWO},
}
TOP_UP = {
    "origin": "ops_ui",
    "action_type": "ADJUST_FLOAT",
    "params": {"agent_id": "agent-123", "adjustment": "top_up", "amount": 1000},
}


async def test_made_up_actions_are_decided_with_and_without_a_draft(clients: Clients):
    unknown = {**TOP_UP, "params": {**TOP_UP["params"], "agent_id": "nobody"}}

    answer = await post(clients, "/simulate", {"policy": FLOATS, "intents": [TOP_UP, unknown]})

    decided, refused = answer.json()["results"]
    assert decided["before"]["policy"]["name"] == "__default__"
    assert decided["after"]["policy"]["name"] == "Floats"
    assert decided["looser"] is True
    assert refused["error"]["code"] in {"agent-absent", "action-plan-refused"}
    assert decided["after"]["trace"]["policies"][0]["truth"] == "true"


async def test_a_draft_is_tried_on_the_past(clients: Clients):
    answer = await post(clients, "/backtest", {"policy": FLOATS, "limit": 10})

    assert answer.json()["backtest"]["actions"] == 0


async def test_a_draft_replaces_the_policy_it_is_of(clients: Clients):
    id_ = (await post(clients, "", TIGHT)).json()["policy"]["id"]

    same = await post(clients, "/lint", {"policy": TIGHT, "policy_id": id_})
    twin = await post(clients, "/lint", {"policy": {**TIGHT, "name": "Twin"}})

    assert "overlap" not in {each["code"] for each in same.json()["findings"]}
    assert "overlap" in {each["code"] for each in twin.json()["findings"]}


async def test_templates_say_which_action_types_are_not_here_yet(clients: Clients):
    async with clients() as client:
        templates = (await client.get("/api/ops/policies/templates")).json()["templates"]

    missing = {each["key"]: each["missing_action_types"] for each in templates}
    assert missing == {
        "merchant-freeze": [],
        "high-value-payout": [],
        "merchant-fee-adjustment": [],
        "float-top-up": [],
        "mesh-member": [],
    }


async def test_every_template_that_can_be_saved_is_accepted_as_it_is(clients: Clients):
    async with clients() as client:
        templates = (await client.get("/api/ops/policies/templates")).json()["templates"]
        for each in templates:
            if each["missing_action_types"]:
                continue
            body = {"name": each["name"]["fr"]} | {
                k: each[k] for k in ("criteria", "policy", "priority")
            }
            answer = await client.post("/api/ops/policies", json=body)
            assert answer.status_code in {201, 202}, answer.text
