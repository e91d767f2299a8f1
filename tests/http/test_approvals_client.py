"""The engine over HTTP does what it does in this process, under the same names."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator

import httpx2
import pytest
from callers import claims, in_process
from fastapi import FastAPI

import builders
from molam.approvals.client import Client, EngineRefused
from molam.approvals.engine import Engine
from molam.entrypoints.wiring_ops import ops_app
from molam.kernel.refusals import Outage
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.issuer_keys import IssuerKeys

TOP_UP = {
    "idempotency_key": "alert-1-sira-rec",
    "origin": "sira",
    "action_type": "ADJUST_FLOAT",
    "params": {"agent_id": "agent-123", "adjustment": "top_up", "amount": 1_000_000},
}


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[FastAPI]:
    app = ops_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def remote(served: FastAPI, db: Database, keys: IssuerKeys) -> AsyncIterator[Client]:
    await builders.operations(db)
    await builders.a_policy(db)
    await builders.an_agent(db, balance=500_000)

    async def token_of(actor: str) -> str:
        roles = ["service"] if actor == "sira-system" else list(builders.OPERATIONS[actor])
        return keys.sign(claims(sub=actor, roles=roles, acr=AAL2, merchant_id=None), type_="at+jwt")

    async with in_process(served, "http://localhost:3136") as http:
        yield Client("http://localhost:3136", http=http, token_of=token_of, reader="ops-admin-1")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, member in inspect.getmembers(Client, inspect.iscoroutinefunction)
        if not name.startswith("_")
    ],
)
def test_each_function_takes_the_same_arguments_either_way(name: str) -> None:
    here, there = getattr(Engine, name), getattr(Client, name)

    assert inspect.signature(here) == inspect.signature(there)


async def test_the_float_scenario_runs_over_http(remote: Client, db: Database) -> None:
    action = await remote.create_ops_action(**TOP_UP, created_by="sira-system")
    await remote.vote_on_action(action["id"], "finance-user-1", ["finance_ops"], "approve")
    voted = await remote.vote_on_action(action["id"], "finance-user-2", [], "approve", "Checked")
    done = await remote.execute_action(action["id"], "ops-admin-1")

    assert voted["action"]["status"] == "approved"
    assert voted["approval"]["view_hash"] is not None
    assert done["success"] is True
    assert await builders.balance_of(db, "agent:agent-123:float:XOF") == 1_500_000
    assert [each["action"] for each in await remote.get_audit_trail(action["id"])][-1] == "executed"
    assert [each["vote"] for each in await remote.get_user_vote_history("finance-user-2")] == [
        "approve"
    ]
    assert (await remote.get_approval_stats())[0]["approved_count"] == 1


async def test_the_same_key_gives_the_same_action(remote: Client) -> None:
    first = await remote.create_ops_action(**TOP_UP, created_by="sira-system")
    again = await remote.create_ops_action(**TOP_UP, created_by="sira-system")

    assert first["id"] == again["id"]


async def test_a_refusal_keeps_the_engines_code(remote: Client) -> None:
    action = await remote.create_ops_action(**TOP_UP, created_by="sira-system")

    with pytest.raises(EngineRefused) as refused:
        await remote.vote_on_action(action["id"], "pay-admin-1", ["finance_ops"], "approve")

    assert refused.value.code == "not-eligible"


async def test_an_engine_that_does_not_answer_is_an_outage(keys: IssuerKeys) -> None:
    async def token_of(_actor: str) -> str:
        return keys.sign(claims(), type_="at+jwt")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(_down)) as http:
        lost = Client("http://localhost:3136", http=http, token_of=token_of, reader="x")

        with pytest.raises(Outage):
            await lost.get_approval_stats()


def _down(_request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("down")


async def test_what_only_the_product_asks_for_is_no_type_to_others(remote: Client) -> None:
    with pytest.raises(EngineRefused) as refused:
        await remote.create_ops_action(
            origin="ops_ui", action_type="RISK_APPROVAL", params={}, created_by="ops-admin-1"
        )

    assert refused.value.code == "unknown-action-type"
