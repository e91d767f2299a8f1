"""Refunds above the threshold decided by our own operations app, over HTTP, as another service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID

import httpx2
import pytest
from callers import bearer, claims, in_process
from fastapi import FastAPI

import builders
from bank_desk import served
from molam.entrypoints.wiring import merchant_app
from molam.entrypoints.wiring_ops import ops_app
from molam.payments.refunds import remote
from molam.payments.refunds.remote_service import ApprovalService
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.platform.settings import Secret, Settings
from molam.simulator.issuer_keys import IssuerKeys
from refunding import a_sale, a_shop
from risk import link_of

BODY = {"txn_id": "tx_big", "amount": 150_000, "currency": "XOF", "reason": "duplicate_charge"}


@dataclass(frozen=True, slots=True)
class Both:
    """The merchant app, and the operations app that it asks."""

    merchant: httpx2.AsyncClient
    ops: FastAPI
    service: ApprovalService
    db: Database
    worker: Database
    awa: dict[str, str]
    moussa: dict[str, str]

    async def ask(self) -> str:
        answer = await self.merchant.post("/api/merchant/refund", json=BODY, headers=self.awa)
        assert answer.status_code == 202, answer.text
        refund = answer.json()["refund"]
        assert (refund["approval_by"], refund["approvers"]) == ("service", [])
        return str(refund["id"])

    async def follow(self, refund_id: str) -> dict[str, object]:
        async with self.db.transaction("tests.hurry") as tx:
            await tx.connection.execute("update payments.remote_approvals set next_look_at = now()")
        await remote.follow(self.service, self.worker, "merchant-123", refund_id)
        return await self.look(refund_id)

    async def look(self, refund_id: str) -> dict[str, object]:
        path = f"/api/merchant/refunds/{refund_id}"
        answer = await self.merchant.get(path, headers=self.awa)
        found: dict[str, object] = answer.json()["refund"]
        return found

    async def page(self, path: str) -> str:
        asking = {**self.awa, "Accept": "text/html", "Accept-Language": "en"}
        answer = await self.merchant.get(path, headers=asking)
        assert answer.status_code == 200, answer.text
        return answer.text


@pytest.fixture
async def both(
    settings: Settings, keys: IssuerKeys, db: Database, worker_db: Database
) -> AsyncIterator[Both]:
    await a_shop(db)
    await a_sale(db, "tx_big", 300_000)
    await builders.operations(db)
    ours = claims(sub="service:refunds", roles=["service"], merchant_id=None)
    ops = ops_app(settings)
    async with ops.router.lifespan_context(ops), served(ops) as url:
        asking = replace(
            settings,
            risk_aware_approvals_url=url,
            approvals_service_token=Secret(keys.sign(ours, type_="at+jwt")),
        )
        service = ApprovalService.of(asking)
        assert service is not None
        app = merchant_app(asking)
        async with app.router.lifespan_context(app), in_process(app) as merchant:
            yield Both(
                merchant,
                ops,
                service,
                db,
                worker_db,
                bearer(keys, acr=AAL2, lang="en"),
                bearer(keys, sub="moussa.ndiaye", name="Moussa Ndiaye", acr=AAL2),
            )


async def _decide(both: Both, approval_id: str, word: str) -> None:
    raw = await link_of(both.ops.state.desk, UUID(approval_id), "compliance-1", word)  # type: ignore[arg-type]
    async with in_process(both.ops, "http://localhost:3136") as client:
        body = {"token": raw, "comment": "As the contract says."}
        answer = await client.post(f"/api/approvals/{approval_id}/consume", json=body)
    assert answer.status_code == 200, answer.text


async def test_our_own_operations_decide_a_refund_over_http(both: Both):
    refund_id = await both.ask()

    waits = await both.follow(refund_id)
    assert waits["state"] == "awaiting_approval"
    await _decide(both, str(waits["approval_id"]), "approve")

    done = await both.follow(refund_id)
    assert (done["state"], done["approved_by"]) == ("queued", "compliance-1")


async def test_our_own_operations_refuse_a_refund_over_http(both: Both):
    refund_id = await both.ask()
    waits = await both.follow(refund_id)
    await _decide(both, str(waits["approval_id"]), "reject")

    assert (await both.follow(refund_id))["state"] == "rejected"


async def test_asking_our_own_operations_twice_makes_one_approval(both: Both):
    refund_id = await both.ask()
    first = await both.follow(refund_id)
    async with both.db.transaction("tests.forget") as tx:
        await tx.connection.execute("update payments.refunds set approval_id = null")

    again = await both.follow(refund_id)

    assert again["approval_id"] == first["approval_id"]
    async with both.db.transaction("tests.count") as tx:
        count = await tx.connection.fetchval("select count(*) from approvals.approvals_action")
    assert count == 1


async def test_second_refund_of_a_payment_is_asked_about_after_the_first(both: Both):
    first, second = await both.ask(), await both.ask()
    waits = await both.follow(first)
    assert (await both.follow(second))["approval_id"] is None

    await _decide(both, str(waits["approval_id"]), "reject")

    assert (await both.follow(second))["approval_id"] is not None


async def test_merchants_see_who_decides_and_cannot(both: Both):
    refund_id = await both.ask()
    page = await both.page(f"/refunds/{refund_id}")

    assert "approval service must agree" in page
    assert f'action="/refunds/{refund_id}/cancel"' in page
    assert f'action="/refunds/{refund_id}/approve"' not in page
    path = f"/api/merchant/refunds/{refund_id}/approve"
    answer = await both.merchant.post(path, json={}, headers=both.moussa)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-eligible")


async def test_page_says_that_the_service_does_not_answer(both: Both):
    refund_id = await both.ask()
    silent = ApprovalService("http://127.0.0.1:9", Secret("x"))
    await remote.follow(silent, both.worker, "merchant-123", refund_id)

    page = await both.page(f"/refunds/{refund_id}")

    assert page.count("The approval service does not answer.") == 2


async def test_review_says_beforehand_that_the_service_decides(both: Both):
    page = await both.page("/refunds/new?txn_id=tx_big&amount=150+000&reason=wrong_item")
    path = "/api/merchant/refunds/feasibility?txn_id=tx_big&amount=150000"
    said = (await both.merchant.get(path, headers=both.awa)).json()

    assert "approval service must agree by" in page
    assert (said["approval"]["by"], said["approval"]["approvers"]) == ("service", [])


async def test_requester_takes_it_back(both: Both):
    refund_id = await both.ask()
    path = f"/api/merchant/refunds/{refund_id}/cancel"

    refused = await both.merchant.post(path, json={}, headers=both.moussa)
    taken = await both.merchant.post(path, json={}, headers=both.awa)

    assert refused.status_code == 403
    assert taken.json()["refund"]["state"] == "cancelled"
