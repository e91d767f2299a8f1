"""/api/merchant/disputes: lists, evidence by form and by link, the answer, who may."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from callers import bearer
from fastapi import FastAPI

from builders import a_merchant, a_person
from carrying_out import do
from disputing import PDF, in_hours, late, report, stands
from facts import look, succeeded, take_in
from molam.payments.disputes.model import State
from molam.platform.actions import Registry
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys
from molam.tenancy.actions import ACTIONS

API = "/api/merchant/disputes"


@pytest.fixture(autouse=True)
async def shop(db: Database, worker_db: Database) -> None:
    await a_merchant(db)
    await a_merchant(db, id_="merchant-other")
    await a_person(db)
    await take_in(worker_db, [succeeded("tx_1", amount=700, customer={"name": "Élodie"})])
    await report(worker_db, transaction_id="tx_1", reason="not_received")


def support(keys: IssuerKeys) -> dict[str, str]:
    return bearer(keys, sub="moussa.fall", roles=["merchant_support"])


async def upload(
    client: httpx2.AsyncClient,
    headers: dict[str, str],
    content: bytes = PDF,
    *,
    name: str = "reçu.pdf",
    **fields: str,
) -> httpx2.Response:
    return await client.post(
        f"{API}/dp_1/evidence",
        headers=headers,
        files={"file": (name, content, "application/x-whatever")},
        data={"kind": "receipt", **fields},
    )


async def test_disputes_are_listed_with_the_specifications_words_and_ours(
    client: httpx2.AsyncClient, keys: IssuerKeys
) -> None:
    answer = await client.get(API, headers=support(keys))

    body = answer.json()
    assert answer.status_code == 200
    (row,) = body["rows"]
    assert (row["id"], row["status"], row["state"], row["stage"]) == (
        "dp_1",
        "open",
        "needs_response",
        "dispute",
    )
    assert body["at_risk"][0]["amount"] == 700
    assert body["at_risk"][0]["waiting"] == 1


async def test_pages_of_the_list_leave_nothing_out_and_repeat_nothing(
    client: httpx2.AsyncClient, keys: IssuerKeys, worker_db: Database
) -> None:
    for number in range(2, 8):
        await report(worker_db, f"dp_{number}", metadata={"evidence_due_at": in_hours(number)})

    for filters in ("", "&waiting=true"):
        seen: list[str] = []
        cursor = ""
        while True:
            answer = await client.get(f"{API}?limit=3{filters}{cursor}", headers=bearer(keys))
            body = answer.json()
            seen += [row["id"] for row in body["rows"]]
            if not body["has_more"]:
                break
            cursor = f"&cursor={body['next_cursor']}"
        assert sorted(seen) == [f"dp_{number}" for number in range(1, 8)]
    assert seen == ["dp_2", "dp_3", "dp_4", "dp_5", "dp_6", "dp_7", "dp_1"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=open", 1),
        ("status=won", 0),
        ("state=needs_response", 1),
        ("transaction_id=tx_1", 1),
        ("transaction_id=tx_2", 0),
        ("from=2026-11-16&to=2026-11-16", 1),
        ("from=2026-11-17", 0),
    ],
)
async def test_filters_leave_what_they_say(
    client: httpx2.AsyncClient, keys: IssuerKeys, query: str, found: int
) -> None:
    answer = await client.get(f"{API}?{query}", headers=bearer(keys))

    assert len(answer.json()["rows"]) == found


@pytest.mark.parametrize("query", ["status=disputed", "limit=0", "cursor=x", "from=never", "x=1"])
async def test_what_filters_nothing_is_refused(
    client: httpx2.AsyncClient, keys: IssuerKeys, query: str
) -> None:
    assert (await client.get(f"{API}?{query}", headers=bearer(keys))).status_code == 400


async def test_support_uploads_a_file_and_anybody_who_may_look_downloads_it_safely(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
) -> None:
    answer = await upload(client, support(keys), name="../../etc/reçu <1>.pdf")

    assert answer.status_code == 201
    evidence = answer.json()["evidence"]
    assert evidence["file_name"] == "reçu _1_.pdf"
    assert evidence["media_type"] == "application/pdf"
    assert evidence["sha256"] == hashlib.sha256(PDF).hexdigest()
    fetched = await client.get(evidence["url"], headers=bearer(keys))
    assert fetched.content == PDF
    assert fetched.headers["content-disposition"].startswith("attachment;")
    assert fetched.headers["x-content-type-options"] == "nosniff"
    assert fetched.headers["content-security-policy"].startswith("sandbox")
    ((path,),) = await look(db, "select path from payments.dispute_evidence")
    assert re.fullmatch(r"disputes/[0-9a-f]{16}/[0-9a-f]{16}/[0-9a-f]{32}", path)
    trail = "select action_type, resource_type, resource_id, user_id from merchant_actions_audit"
    assert await look(db, trail) == [
        ("dispute_evidence_uploaded", "dispute", "dp_1", "moussa.fall")
    ]


async def test_the_same_file_again_is_the_same_evidence(
    client: httpx2.AsyncClient, keys: IssuerKeys
) -> None:
    first = await upload(client, bearer(keys))
    second = await upload(client, bearer(keys), name="another name.pdf")

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "dispute-file-refused"),
        (b"PK\x03\x04" + b"\0" * 99, 422, "dispute-file-refused"),
        (b"GIF89a" + b"\0" * 99, 422, "dispute-file-refused"),
        (b"%PDF-" + b"a" * (10 * 1024 * 1024), 422, "dispute-file-refused"),
        (b"a" * (10 * 1024 * 1024 + 100_000), 413, "body-too-large"),
    ],
)
async def test_files_that_are_no_evidence_are_refused_and_leave_nothing(
    client: httpx2.AsyncClient,
    keys: IssuerKeys,
    db: Database,
    content: bytes,
    status: int,
    code: str,
) -> None:
    answer = await upload(client, bearer(keys), content)

    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (status, code)
    assert await look(db, "select 1 from payments.dispute_evidence") == []


async def test_a_gigabyte_is_refused_by_what_it_says_of_itself(
    client: httpx2.AsyncClient, keys: IssuerKeys
) -> None:
    headers = {
        **bearer(keys),
        "content-type": "multipart/form-data; boundary=x",
        "content-length": str(1024**3),
    }

    answer = await client.post(f"{API}/dp_1/evidence", headers=headers, content=b"")

    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-type": "application/json"}, b'{"evidence_urls": ["https://x"]}', 415),
        ({"content-type": "multipart/form-data; boundary=x"}, b"nonsense", 422),
        ({"content-type": "multipart/form-data"}, b"", 400),
    ],
)
async def test_a_body_that_is_no_form_is_refused(
    client: httpx2.AsyncClient,
    keys: IssuerKeys,
    headers: dict[str, str],
    body: bytes,
    status: int,
) -> None:
    answer = await client.post(
        f"{API}/dp_1/evidence", headers={**bearer(keys), **headers}, content=body
    )

    assert answer.status_code in {status, 400, 422}
    assert answer.status_code < 500


async def test_an_unknown_kind_is_refused(client: httpx2.AsyncClient, keys: IssuerKeys) -> None:
    answer = await upload(client, bearer(keys), kind="bribe")

    assert answer.status_code == 400


async def test_a_file_comes_by_a_signed_link_and_counts_once_confirmed(
    client: httpx2.AsyncClient, keys: IssuerKeys, app: FastAPI, db: Database
) -> None:
    asked = await client.post(
        f"{API}/dp_1/evidence/link",
        headers=support(keys),
        json={"kind": "delivery_proof", "file_name": "bon.pdf"},
    )
    link = asked.json()
    sha256 = hashlib.sha256(PDF).hexdigest()
    confirm = {"upload_id": link["upload_id"], "sha256": sha256}
    early = await client.post(f"{API}/dp_1/evidence/confirm", headers=support(keys), json=confirm)

    left = await client.put(link["url"], content=PDF)
    wrong = await client.post(
        f"{API}/dp_1/evidence/confirm",
        headers=support(keys),
        json={**confirm, "sha256": "0" * 64},
    )
    answer = await client.post(f"{API}/dp_1/evidence/confirm", headers=support(keys), json=confirm)
    again = await client.post(f"{API}/dp_1/evidence/confirm", headers=support(keys), json=confirm)

    assert (asked.status_code, early.status_code, left.status_code) == (201, 404, 201)
    assert (wrong.status_code, answer.status_code, again.status_code) == (409, 201, 200)
    evidence = answer.json()["evidence"]
    assert (evidence["kind"], evidence["file_name"]) == ("delivery_proof", "bon.pdf")
    paths = await look(
        db,
        "select u.path = e.path from payments.dispute_uploads u, payments.dispute_evidence e",
    )
    assert paths == [(False,)]


async def test_what_is_left_under_a_link_is_looked_at_like_any_file(
    client: httpx2.AsyncClient, keys: IssuerKeys
) -> None:
    page = b"<html><script>alert(1)</script></html>"
    asked = await client.post(f"{API}/dp_1/evidence/link", headers=bearer(keys), json={})
    await client.put(asked.json()["url"], content=page)

    answer = await client.post(
        f"{API}/dp_1/evidence/confirm",
        headers=bearer(keys),
        json={
            "upload_id": asked.json()["upload_id"],
            "sha256": hashlib.sha256(page).hexdigest(),
        },
    )

    assert answer.status_code == 422


async def test_a_removed_file_is_not_sent_but_stays_on_record(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
) -> None:
    evidence = (await upload(client, bearer(keys))).json()["evidence"]

    removed = await client.delete(evidence["url"], headers=support(keys))
    again = await client.delete(evidence["url"], headers=support(keys))

    assert removed.json()["evidence"]["removed_at"] is not None
    assert again.status_code == 404
    detail = (await client.get(f"{API}/dp_1", headers=bearer(keys))).json()
    assert detail["evidence_urls"] == []
    assert len(detail["evidence"]) == 1
    assert len(await look(db, "select 1 from payments.dispute_evidence")) == 1


async def test_the_detail_says_what_is_missing_and_offers_an_answer(
    client: httpx2.AsyncClient, keys: IssuerKeys
) -> None:
    before = (await client.get(f"{API}/dp_1", headers=support(keys))).json()
    await upload(client, support(keys), kind="delivery_proof")

    after = (await client.get(f"{API}/dp_1", headers=support(keys))).json()

    assert (before["complete"], after["complete"]) == (False, True)
    assert set(before["prepared"]) == {"fr", "en"}
    assert [event["kind"] for event in after["timeline"]] == ["opened", "evidence_added"]
    assert [exhibit["kind"] for exhibit in after["exhibits"]] == ["receipt"]


async def test_submitting_is_final_and_a_repetition_gets_the_same_answer(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
) -> None:
    await upload(client, support(keys))
    key = {**support(keys), "Idempotency-Key": "answer-1"}
    body = {"statement": "Delivered."}

    first = await client.post(f"{API}/dp_1/submit", headers=key, json=body)
    second = await client.post(f"{API}/dp_1/submit", headers=key, json=body)
    other = await client.post(f"{API}/dp_1/submit", headers=key, json={"statement": "Other."})
    late_file = await upload(client, support(keys), PDF + b" ")

    assert first.status_code == 200
    assert first.json()["dispute"]["status"] == "under_review"
    assert (second.content, second.headers["idempotent-replayed"]) == (first.content, "true")
    assert (other.status_code, late_file.status_code) == (422, 409)
    assert len(await look(db, "select 1 from payments.dispute_submissions")) == 1
    actions = await look(
        db, "select action_type from merchant_actions_audit order by created_at, action_type"
    )
    assert ("dispute_submitted",) in actions


async def test_an_answer_that_somebody_changed_meanwhile_is_not_sent(
    client: httpx2.AsyncClient, keys: IssuerKeys, worker_db: Database
) -> None:
    await client.put(f"{API}/dp_1/draft", headers=support(keys), json={"statement": "One."})
    seen = (await client.get(f"{API}/dp_1", headers=support(keys))).json()["manifest_sha256"]
    await upload(client, bearer(keys))

    answer = await client.post(
        f"{API}/dp_1/submit", headers=support(keys), json={"expected_manifest_sha256": seen}
    )

    assert answer.status_code == 409
    assert answer.json()["manifest_sha256"] != seen
    assert (await stands(worker_db)).state is State.NEEDS_RESPONSE


async def test_only_an_administrator_accepts(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
) -> None:
    refused = await client.post(f"{API}/dp_1/accept", headers=support(keys), json={})
    answer = await client.post(f"{API}/dp_1/accept", headers=bearer(keys), json={})

    assert (refused.status_code, answer.status_code) == (403, 200)
    assert answer.json()["dispute"]["resolution"] == "customer_won"
    assert await look(db, "select action_type, user_id from merchant_actions_audit") == [
        ("dispute_accepted", "awa.diop")
    ]


async def test_after_the_deadline_the_refusal_says_when_it_was(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
) -> None:
    await late(db)

    for answer in (
        await upload(client, bearer(keys)),
        await client.post(f"{API}/dp_1/submit", headers=bearer(keys), json={"statement": "x"}),
        await client.post(f"{API}/dp_1/evidence/link", headers=bearer(keys), json={}),
    ):
        assert answer.status_code == 409
        assert answer.json()["evidence_due_at"] in answer.json()["detail"]


REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "", {}),
    ("POST", "/submit", {"json": {"statement": "x"}}),
    ("POST", "/accept", {"json": {}}),
    ("POST", "/evidence/link", {"json": {}}),
    ("PUT", "/draft", {"json": {"statement": "x"}}),
    ("POST", "/evidence", {"files": {"file": ("a.pdf", PDF, "application/pdf")}}),
    ("GET", "/evidence/0192aaaa-0000-7000-8000-000000000000", {}),
]


@pytest.mark.parametrize(("method", "path", "more"), REQUESTS)
async def test_another_merchants_dispute_looks_like_none(
    client: httpx2.AsyncClient,
    keys: IssuerKeys,
    method: str,
    path: str,
    more: dict[str, Any],
) -> None:
    theirs = bearer(keys, sub="other.admin", merchant_id="merchant-other")

    answer = await client.request(method, f"{API}/dp_1{path}", headers=theirs, **more)
    absent = await client.request(method, f"{API}/dp_none{path}", headers=theirs, **more)

    assert answer.status_code == absent.status_code == 404
    keep = ("type", "title", "detail", "status")
    assert {key: answer.json()[key] for key in keep} == {key: absent.json()[key] for key in keep}


async def test_an_accountant_sees_no_disputes(client: httpx2.AsyncClient, keys: IssuerKeys) -> None:
    headers = bearer(keys, roles=["merchant_accountant"])

    assert (await client.get(API, headers=headers)).status_code == 403


async def test_a_frozen_merchant_changes_nothing(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database, ops_db: Database
) -> None:
    freeze = Registry(ACTIONS).find("FREEZE_MERCHANT")
    params = {"merchant_id": "merchant-123", "reason": "Fraude probable"}
    await do(ops_db, freeze, params, at=datetime.now(UTC))

    for method, path, more in REQUESTS:
        answer = await client.request(method, f"{API}/dp_1{path}", headers=bearer(keys), **more)
        if method != "GET":
            assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (
                403,
                "merchant-frozen",
            ), path
    assert await look(db, "select 1 from payments.dispute_events where kind <> 'opened'") == []
