"""Risk-aware approvals as services, approvers, mail scanners and strangers meet them."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx2
import pytest
from callers import bearer, in_process
from fastapi import FastAPI

import builders
from molam.approvals.risk import endpoints as risk_endpoints
from molam.approvals.risk import pages as risk_pages
from molam.entrypoints.wiring_ops import ops_app
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.platform.web.limits import Limiter
from molam.simulator.issuer_keys import IssuerKeys
from risk import EVIDENCE, PAYLOADS, link_of

OWN = {"Origin": "http://localhost:3136", "Sec-Fetch-Site": "same-origin"}
PDF = {"Content-Type": "application/pdf", "X-File-Name": "invoice.pdf"}


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with all its attempts left."""
    for module, name, per_minute in (
        (risk_endpoints, "_creating", 100),
        (risk_endpoints, "_consuming", 10),
        (risk_endpoints, "_overriding", 5),
        (risk_pages, "_deciding", 10),
    ):
        monkeypatch.setattr(module, name, Limiter(burst=per_minute, per_minute=per_minute))


@pytest.fixture
async def ops(settings: Settings, db: Database) -> AsyncIterator[FastAPI]:
    await builders.operations(db)
    app = ops_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(ops: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_process(ops, "http://localhost:3136") as client:
        yield client


@pytest.fixture
def service(keys: IssuerKeys) -> dict[str, str]:
    return bearer(keys, sub="service:wallet", roles=["service"], merchant_id=None)


def person(keys: IssuerKeys, id_: str, **changed: Any) -> dict[str, str]:
    return bearer(keys, sub=id_, roles=list(builders.OPERATIONS[id_]), merchant_id=None, **changed)


def a_request(people: str = "one", **changed: Any) -> dict[str, Any]:
    return {
        "action_type": "refund.merchant_initiated",
        "origin_module": "merchant_dashboard",
        "origin_entity_id": "tx_123",
        "payload": PAYLOADS[people],
        **changed,
    }


async def opened(
    client: httpx2.AsyncClient, service: dict[str, str], people: str = "one", **changed: Any
) -> dict[str, Any]:
    answer = await client.post("/api/approvals", json=a_request(people, **changed), headers=service)
    assert answer.status_code == 201, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def link(ops: FastAPI, approval_id: str, approver: str, decision: Any = "approve") -> str:
    return await link_of(ops.state.desk, UUID(approval_id), approver, decision)


def page_of(raw: str) -> str:
    return f"/approvals/link?token={quote(raw, safe='')}"


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def votes_in(db: Database) -> int:
    async with db.transaction("tests.votes") as tx:
        return int(await tx.connection.fetchval("select count(*) from approvals.ops_approvals"))


async def test_answer_has_the_specifications_fields(
    client: httpx2.AsyncClient, service: dict[str, str]
):
    said = await opened(client, service, expires_in_minutes=60)

    assert said["ok"] is True
    assert (said["status"], said["sira_score"], said["required_approvals"]) == ("pending", 40, 1)
    assert said["approvers"] == [{"id": "compliance-1", "email": "compliance-1@example.com"}]
    UUID(said["approval_id"])


async def test_same_key_gives_the_same_approval(
    client: httpx2.AsyncClient, service: dict[str, str]
):
    headers = {**service, "Idempotency-Key": "k-1"}
    first = await client.post("/api/approvals", json=a_request(), headers=headers)
    again = await client.post("/api/approvals", json=a_request(), headers=headers)
    other = await client.post("/api/approvals", json=a_request("two"), headers=headers)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["approval_id"] == again.json()["approval_id"]
    assert code_of(other) == (422, "idempotency-mismatch")


async def test_creator_is_who_the_token_says(
    client: httpx2.AsyncClient, service: dict[str, str], keys: IssuerKeys
):
    finance = person(keys, "finance-user-1")
    forged = await client.post(
        "/api/approvals", json=a_request(created_by="finance-user-2"), headers=finance
    )
    own = await client.post(
        "/api/approvals", json=a_request(created_by="finance-user-1"), headers=finance
    )
    for_somebody = await opened(client, service, created_by="awa.diop", origin_entity_id="tx_1")

    assert code_of(forged) == (403, "creator-mismatch")
    assert own.status_code == 201
    shown = await client.get(f"/api/approvals/{for_somebody['approval_id']}", headers=service)
    assert shown.json()["approval"]["created_by"] == "service:wallet"
    assert shown.json()["approval"]["on_behalf_of"] == "awa.diop"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"payload": {"amount": 10.5, "currency": "XOF"}}, (422, "payload-refused")),
        ({"payload": {"amount": 1, "currency": "ZZZ"}}, (422, "payload-refused")),
        ({"payload": []}, (400, "body-malformed")),
        ({"action_type": "<b>"}, (400, "body-malformed")),
        ({"origin_module": "A B"}, (400, "body-malformed")),
        ({"expires_in_minutes": 0}, (400, "body-malformed")),
        ({"sira_score": 0}, (400, "body-malformed")),
    ],
)
async def test_malformed_request_is_refused_with_a_reason(
    client: httpx2.AsyncClient, service: dict[str, str], changed: Any, expected: tuple[int, str]
):
    answer = await client.post("/api/approvals", json=a_request(**changed), headers=service)

    assert code_of(answer) == expected


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_strangers_and_merchants_see_nothing(
    client: httpx2.AsyncClient, keys: IssuerKeys, method: str
):
    body = a_request() if method == "POST" else None
    stranger = await client.request(method, "/api/approvals", json=body)
    merchant = await client.request(method, "/api/approvals", json=body, headers=bearer(keys))

    assert (stranger.status_code, merchant.status_code) == (401, 403)


async def test_link_decides_without_signing_in(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str]
):
    id_ = (await opened(client, service))["approval_id"]
    raw = await link(ops, id_, "compliance-1")

    answer = await client.post(f"/api/approvals/{id_}/consume", json={"token": raw})
    again = await client.post(f"/api/approvals/{id_}/consume", json={"token": raw})

    assert answer.json() == {
        "ok": True,
        "status": "approved",
        "approved_count": 1,
        "required_approvals": 1,
        "decision": "approve",
    }
    assert code_of(again) == (409, "approval-already-decided")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "missing-token")),
        ({"token": "abc"}, (400, "token-not-found")),
        ({"token": "x" * 2000}, (400, "body-malformed")),
        ({"token": None}, (400, "missing-token")),
    ],
)
async def test_what_is_no_link_is_refused(
    client: httpx2.AsyncClient,
    service: dict[str, str],
    body: dict[str, Any],
    expected: tuple[int, str],
):
    id_ = (await opened(client, service))["approval_id"]

    assert code_of(await client.post(f"/api/approvals/{id_}/consume", json=body)) == expected


async def test_evidence_is_asked_for_then_taken_and_given_back(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str], keys: IssuerKeys
):
    id_ = (await opened(client, service, "three"))["approval_id"]
    raw = await link(ops, id_, "finance-user-1")
    path = f"/api/approvals/{id_}"
    mine = person(keys, "finance-user-1", acr=AAL2)

    refused = await client.post(
        f"{path}/consume", json={"token": raw, "evidence": "it is fine"}, headers=mine
    )
    kept = await client.post(f"{path}/evidence", content=EVIDENCE, headers={**service, **PDF})
    taken = await client.post(f"{path}/consume", json={"token": raw}, headers=mine)

    assert code_of(refused) == (409, "evidence-required")
    assert kept.status_code == 201
    assert taken.json()["approved_count"] == 1
    url = kept.json()["evidence"]["file_url"]
    given = await client.get(url, headers=person(keys, "compliance-1"))
    assert given.content == EVIDENCE
    assert given.headers["content-disposition"].startswith("attachment")


async def test_evidence_may_come_with_the_link(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str], keys: IssuerKeys
):
    mine = person(keys, "finance-user-1", acr=AAL2)
    id_ = (await opened(client, service, "three"))["approval_id"]
    raw = await link(ops, id_, "finance-user-1")
    file = {
        "file_name": "invoice.pdf",
        "file_type": "application/pdf",
        "content": base64.b64encode(EVIDENCE).decode(),
    }

    bad = await client.post(
        f"/api/approvals/{id_}/consume",
        json={"token": raw, "evidence": {**file, "content": "?"}},
        headers=mine,
    )
    good = await client.post(
        f"/api/approvals/{id_}/consume", json={"token": raw, "evidence": file}, headers=mine
    )

    assert code_of(bad) == (422, "evidence-refused")
    assert good.json()["approved_count"] == 1


async def test_evidence_of_another_kind_is_refused(
    client: httpx2.AsyncClient, service: dict[str, str]
):
    id_ = (await opened(client, service, "three"))["approval_id"]
    path = f"/api/approvals/{id_}/evidence"

    html = await client.post(
        path, content=b"<script>", headers={**service, "Content-Type": "text/html"}
    )
    lying = await client.post(path, content=b"<script>", headers={**service, **PDF})

    assert code_of(html) == (415, "unsupported-media-type")
    assert code_of(lying) == (422, "evidence-refused")


async def test_detail_shows_score_votes_and_evidence_but_no_secrets(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str], keys: IssuerKeys
):
    payload = {**PAYLOADS["two"], "iban": "SN08SN0100152000048500003035", "ratio": 0.5}
    id_ = (await opened(client, service, payload=payload))["approval_id"]
    raw = await link(ops, id_, "finance-user-1")
    await client.post(
        f"/api/approvals/{id_}/consume",
        json={"token": raw},
        headers=person(keys, "finance-user-1", acr=AAL2),
    )

    answer = await client.get(f"/api/approvals/{id_}", headers=person(keys, "cfo-1"))

    said = answer.json()
    assert said["approval"]["sira_tags"] == ["high_amount", "high_historical_risk"]
    assert said["approval"]["payload"]["ratio"] == 0.5
    assert [vote["approver_id"] for vote in said["votes"]] == ["finance-user-1"]
    assert said["evidence"] == []
    assert "SN08SN01001520000485" not in answer.text
    votes = await client.get(f"/api/approvals/{id_}/votes", headers=service)
    assert votes.json()["votes"] == said["votes"]


async def test_list_is_filtered_and_bounded(client: httpx2.AsyncClient, service: dict[str, str]):
    await opened(client, service)
    await opened(client, service, "none", origin_module="wallet", origin_entity_id="tx_2")

    async def count(query: str) -> int:
        answer = await client.get(f"/api/approvals?{query}", headers=service)
        assert answer.status_code == 200
        return int(answer.json()["count"])

    assert await count("") == 2
    assert await count("status=auto_approved") == 1
    assert await count("origin_module=wallet") == 1
    assert await count("created_by=nobody") == 0
    assert await count("limit=1&offset=1") == 1
    bad = await client.get("/api/approvals?status=whatever", headers=service)
    assert bad.status_code == 400


async def test_override_takes_the_role_and_a_second_factor(
    client: httpx2.AsyncClient, service: dict[str, str], keys: IssuerKeys
):
    id_ = (await opened(client, service))["approval_id"]
    path = f"/api/approvals/{id_}/override"
    body = {"decision": "approve", "reason": "The supplier waits at the door."}
    now = int(datetime.now(UTC).timestamp())

    admin = await client.post(path, json=body, headers=person(keys, "ops-admin-1", acr=AAL2))
    header = await client.post(path, json=body, headers={**service, "X-User-Id": "super-admin-1"})
    one_factor = await client.post(path, json=body, headers=person(keys, "super-admin-1"))
    long_ago = await client.post(
        path, json=body, headers=person(keys, "super-admin-1", acr=AAL2, auth_time=now - 3600)
    )
    unsaid = await client.post(
        path, json={**body, "reason": "because"}, headers=person(keys, "super-admin-1", acr=AAL2)
    )
    done = await client.post(path, json=body, headers=person(keys, "super-admin-1", acr=AAL2))

    assert (admin.status_code, header.status_code) == (403, 403)
    assert code_of(one_factor) == code_of(long_ago) == (401, "step-up-required")
    assert code_of(unsaid) == (422, "reason-required")
    assert done.json() == {
        "ok": True,
        "approval_id": id_,
        "status": "overridden",
        "decision": "approve",
    }


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_opening_a_link_any_number_of_times_decides_nothing(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str], db: Database, method: str
):
    id_ = (await opened(client, service))["approval_id"]
    raws = [await link(ops, id_, "compliance-1", word) for word in ("approve", "reject")]

    for _ in range(3):
        for raw in raws:
            for path in (page_of(raw), f"/api/approvals/{id_}/consume?token={quote(raw, safe='')}"):
                await client.request(method, path)

    assert await votes_in(db) == 0
    shown = await client.get(f"/api/approvals/{id_}", headers=service)
    assert shown.json()["approval"]["status"] == "pending"
    taken = await client.post(f"/api/approvals/{id_}/consume", json={"token": raws[0]})
    assert taken.status_code == 200


async def test_page_of_a_link_shows_what_it_decides_and_its_button_decides(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str], db: Database
):
    payload = {**PAYLOADS["one"], "description": "Écran \u202egnp.exe <b>"}
    id_ = (await opened(client, service, payload=payload))["approval_id"]
    raw = await link(ops, id_, "compliance-1")

    page = await client.get(page_of(raw), headers={"Accept-Language": "fr"})
    fields = dict(re.findall(r'name="(token|view_hash)" value="([^"]*)"', page.text)[:2])
    done = await client.post("/approvals/link", data=fields, headers=OWN)
    after = await client.get(done.headers["location"])

    assert page.status_code == 200
    assert "refund.merchant_initiated, demandé par le module merchant_dashboard" in page.text
    assert "250" in page.text
    assert "&lt;b&gt;" in page.text
    assert "\u202e" not in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert fields["token"] == raw
    assert done.status_code == 303
    assert await votes_in(db) == 1
    assert '<form action="/approvals/link"' not in after.text


async def test_page_of_a_link_is_for_browsers_that_run_no_script(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str]
):
    id_ = (await opened(client, service))["approval_id"]

    page = await client.get(page_of(await link(ops, id_, "compliance-1")))

    assert "onclick" not in page.text
    assert "style=" not in page.text
    assert page.text.count('<form action="/approvals/link" method="post">') == 2


async def test_page_that_has_changed_since_is_not_decided_on(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str], db: Database
):
    id_ = (await opened(client, service))["approval_id"]
    raw = await link(ops, id_, "compliance-1")

    answer = await client.post(
        "/approvals/link", data={"token": raw, "view_hash": "0" * 64}, headers=OWN
    )

    assert answer.status_code == 409
    assert await votes_in(db) == 0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({**OWN, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({}, 403),
        ({"Origin": OWN["Origin"]}, 303),
    ],
)
async def test_only_its_own_page_decides(
    client: httpx2.AsyncClient,
    ops: FastAPI,
    service: dict[str, str],
    db: Database,
    headers: dict[str, str],
    expected: int,
):
    id_ = (await opened(client, service))["approval_id"]
    raw = await link(ops, id_, "compliance-1")
    page = await client.get(page_of(raw))
    fields = dict(re.findall(r'name="(token|view_hash)" value="([^"]*)"', page.text)[:2])

    answer = await client.post("/approvals/link", data=fields, headers=headers)

    assert answer.status_code == expected
    assert await votes_in(db) == (expected == 303)


async def test_link_that_was_never_opened_decides_nothing(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str], db: Database
):
    id_ = (await opened(client, service))["approval_id"]
    raw = await link(ops, id_, "compliance-1")

    answer = await client.post("/approvals/link", data={"token": raw}, headers=OWN)

    assert answer.status_code == 400
    assert await votes_in(db) == 0


async def test_what_takes_several_people_is_approved_signed_in_and_not_by_the_page_of_a_link(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str], db: Database
):
    id_ = (await opened(client, service, "two"))["approval_id"]
    raw = await link(ops, id_, "finance-user-1")

    page = (await client.get(page_of(raw), headers={"Accept-Language": "en"})).text
    shown = re.search(r'name="view_hash" value="([^"]*)"', page)
    assert shown is not None
    fields = {"token": raw, "view_hash": shown[1]}
    sent = await client.post("/approvals/link", data=fields, headers=OWN)
    called = await client.post(f"/api/approvals/{id_}/consume", json={"token": raw})

    assert page.count('<form action="/approvals/link"') == 1
    assert "Sign in to approve" in page
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("/ops/actions/")
    assert code_of(called) == (401, "step-up-required")
    assert called.json()["page"] == sent.headers["location"]
    assert await votes_in(db) == 0


async def test_page_of_a_link_writes_money_and_time_as_people_do(
    client: httpx2.AsyncClient, ops: FastAPI, service: dict[str, str]
):
    payload = {**PAYLOADS["one"], "description": "Écran"}
    id_ = (await opened(client, service, payload=payload))["approval_id"]
    raw = await link(ops, id_, "compliance-1")

    page = (await client.get(page_of(raw), headers={"Accept-Language": "fr"})).text

    assert "<dt>amount</dt>" not in page
    assert "<dt>Montant</dt>" not in page
    assert "XOF" not in page
    assert re.search(r"250.000", page)
    until = re.search(r"<dt>Jusqu.au</dt><dd><time[^>]*>([^<]*)</time> UTC</dd>", page)
    assert until is not None
    assert re.fullmatch(r"\d{1,2} \S+ \d{4}, \d\d:\d\d", until[1])
    assert "<dt>Description</dt><dd>Écran</dd>" in page


async def test_guessing_links_is_slowed_down(client: httpx2.AsyncClient, service: dict[str, str]):
    id_ = (await opened(client, service))["approval_id"]
    path = f"/api/approvals/{id_}/consume"

    answers = [await client.post(path, json={"token": f"{id_}|a|b|c|{n}"}) for n in range(11)]

    assert [each.status_code for each in answers] == [400] * 10 + [429]


async def test_metrics_have_the_specifications_names(
    client: httpx2.AsyncClient, service: dict[str, str]
):
    await opened(client, service)

    text = (await client.get("/metrics")).text
    assert "molam_approvals_created_total{" in text
    assert "molam_approvals_decided_total" in text
    assert 'molam_approvals_sira_score_bucket{le="25.0"}' in text


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ('{"amount": 250000, "currency": "XOF", "n": %s}' % 10**400, 422),
        ('{"n": 1e400}', 422),
        ('{"n": 1e-400}', 422),
        ('{"a": {"b": [%s]}}' % 2**70, 422),
        ('{"amount": 250000, "currency": "XOF", "n": %s, "m": 0.10}' % 2**60, 201),
        ('{"amount": 250000, "currency": "XOF", "a": {"b": [1.5, null, true, "\\n"]}}', 201),
        ('{"a": "\\u0000"}', 400),
        ('{"a": NaN}', 400),
        ('{"a": 1, "a": 2}', 400),
        ('{"historical_risk_score": {"$gt": 0}, "origin_country": 5, "beneficiary_id": []}', 201),
    ],
)
async def test_hostile_payload_is_stored_as_it_is_or_refused(
    client: httpx2.AsyncClient, service: dict[str, str], payload: str, status: int
):
    body = f'{{"action_type": "a", "origin_module": "wallet", "payload": {payload}}}'

    answer = await client.post(
        "/api/approvals", content=body, headers={**service, "Content-Type": "application/json"}
    )

    assert answer.status_code == status, answer.text
    if status == 201:
        shown = await client.get(f"/api/approvals/{answer.json()['approval_id']}", headers=service)
        assert shown.status_code == 200


@pytest.mark.parametrize("id_", ["tx\u202e", "e\u0301", "a|b|c", "x" * 255])
async def test_strange_entity_is_taken_as_it_is_or_refused(
    client: httpx2.AsyncClient, service: dict[str, str], id_: str
):
    answer = await client.post(
        "/api/approvals", json=a_request(origin_entity_id=id_), headers=service
    )

    assert answer.status_code in {201, 422}, answer.text
