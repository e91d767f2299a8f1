"""Webhook endpoints over HTTP: who may, with which proof, and what the answers hold."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from callers import bearer

from builders import NOW, a_merchant, a_person
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys
from receivers import an_endpoint

ROOT = "/api/merchant/webhooks"
GOOD = {"url": "https://shop.example.com/molam", "events": ["refund.created", "payout.paid"]}


@pytest.fixture
async def admin(db: Database, keys: IssuerKeys) -> dict[str, str]:
    """An admin who proved a second factor just now."""
    await a_merchant(db)
    await a_person(db)
    return bearer(keys, acr=AAL2)


async def added(client: httpx2.AsyncClient, admin: dict[str, str]) -> dict[str, Any]:
    answer = await client.post(ROOT, json=GOOD, headers=admin)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_endpoint_is_added_with_a_secret_that_is_never_shown_again(
    client: httpx2.AsyncClient, admin: dict[str, str]
):
    made = await added(client, admin)

    assert made["secret"].startswith("whsec_")
    assert made["webhook"]["events"] == ["merchant.refund.created", "payout.paid"]
    listed = await client.get(ROOT, headers=admin)
    one = await client.get(f"{ROOT}/{made['webhook']['id']}", headers=admin)
    assert listed.json()["rows"] == [one.json()["webhook"]]
    assert made["secret"] not in listed.text + one.text


async def test_a_change_without_a_fresh_second_factor_is_refused(
    client: httpx2.AsyncClient, admin: dict[str, str], keys: IssuerKeys
):
    id_ = (await added(client, admin))["webhook"]["id"]
    weak = bearer(keys)

    for method, path, body in (
        ("POST", ROOT, {**GOOD, "url": "https://other.example.com/"}),
        ("PUT", f"{ROOT}/{id_}", {"description": "x"}),
        ("DELETE", f"{ROOT}/{id_}", None),
        ("POST", f"{ROOT}/{id_}/enable", None),
        ("POST", f"{ROOT}/{id_}/disable", None),
        ("POST", f"{ROOT}/{id_}/secret/rotate", None),
    ):
        answer = await client.request(method, path, json=body, headers=weak)
        assert answer.status_code == 401, path
        assert answer.json()["code"] == "step-up-required"
    assert (await client.get(ROOT, headers=weak)).status_code == 200


@pytest.mark.parametrize("role", ["merchant_accountant", "merchant_support"])
async def test_only_admins_see_or_change_webhooks(
    client: httpx2.AsyncClient, db: Database, keys: IssuerKeys, role: str
):
    await a_merchant(db)
    await a_person(db, roles=[role])
    other = bearer(keys, roles=[role], acr=AAL2)

    assert (await client.get(ROOT, headers=other)).status_code == 403
    assert (await client.post(ROOT, json=GOOD, headers=other)).status_code == 403


async def test_anothers_endpoint_looks_absent(
    client: httpx2.AsyncClient, db: Database, admin: dict[str, str]
):
    await a_merchant(db, id_="merchant-2")
    theirs, _ = await an_endpoint(
        db, "https://theirs.example.com/", now=NOW, merchant_id="merchant-2"
    )

    for method, path in (
        ("GET", f"{ROOT}/{theirs}"),
        ("PUT", f"{ROOT}/{theirs}"),
        ("DELETE", f"{ROOT}/{theirs}"),
        ("POST", f"{ROOT}/{theirs}/test"),
        ("POST", f"{ROOT}/{theirs}/secret/rotate"),
        ("GET", f"{ROOT}/{theirs}/deliveries"),
    ):
        answer = await client.request(method, path, headers=admin)
        nobodys = await client.request(method, path.replace(theirs, "we_nobody"), headers=admin)
        assert answer.status_code == nobodys.status_code == 404, path
        assert answer.json()["title"] == nobodys.json()["title"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"url": "https://a.example.com/", "events": []}, 400, "body-malformed"),
        ({"url": "https://a.example.com/"}, 400, "body-malformed"),
        ({"url": "https://a.example.com/", "events": ["sale"]}, 400, "webhook-event-unknown"),
        ({"url": "ftp://a.example.com/", "events": ["payout.paid"]}, 422, "address-refused"),
        ({"url": "https://u:p@a.example.com/", "events": ["payout.paid"]}, 422, "address-refused"),
        ({"url": "https://a..example.com/", "events": ["payout.paid"]}, 422, "address-refused"),
        ({"url": "https://a.example.com/#x", "events": ["payout.paid"]}, 422, "address-refused"),
        ({**GOOD, "active": "maybe"}, 400, "body-malformed"),
        ({**GOOD, "retry_schedule": "forever"}, 400, "body-malformed"),
        ({**GOOD, "url": "https://a.example.com/" + "x" * 3000}, 400, "body-malformed"),
    ],
)
async def test_a_malformed_endpoint_is_refused_with_its_reason(
    client: httpx2.AsyncClient, admin: dict[str, str], body: object, status: int, code: str
):
    answer = await client.post(ROOT, json=body, headers=admin)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await client.get(ROOT, headers=admin)).json()["rows"] == []


async def test_an_address_is_an_endpoint_once(client: httpx2.AsyncClient, admin: dict[str, str]):
    made = await added(client, admin)
    again = await client.post(ROOT, json=GOOD, headers=admin)

    assert (again.status_code, again.json()["code"]) == (409, "webhook-url-taken")
    assert again.json()["id"] == made["webhook"]["id"]


async def test_there_are_at_most_sixteen_endpoints(
    client: httpx2.AsyncClient, admin: dict[str, str]
):
    for number in range(16):
        body = {**GOOD, "url": f"https://a{number}.example.com/"}
        assert (await client.post(ROOT, json=body, headers=admin)).status_code == 201
    answer = await client.post(ROOT, json=GOOD, headers=admin)

    assert (answer.status_code, answer.json()["code"]) == (422, "webhook-too-many")


async def test_a_change_leaves_what_it_does_not_mention(
    client: httpx2.AsyncClient, admin: dict[str, str]
):
    before = (await added(client, admin))["webhook"]
    answer = await client.put(
        f"{ROOT}/{before['id']}", json={"retry_schedule": "long"}, headers=admin
    )

    after = answer.json()["webhook"]
    assert after == {**before, "retry_schedule": "long", "updated_at": after["updated_at"]}


async def test_every_change_is_in_the_trail_and_no_secret_is(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database
):
    made = await added(client, admin)
    id_ = made["webhook"]["id"]
    await client.put(f"{ROOT}/{id_}", json={"events": ["dispute.created"]}, headers=admin)
    rotated = await client.post(f"{ROOT}/{id_}/secret/rotate", headers=admin)
    await client.post(f"{ROOT}/{id_}/disable", headers=admin)
    await client.post(f"{ROOT}/{id_}/enable", headers=admin)
    await client.delete(f"{ROOT}/{id_}", headers=admin)

    async with db.transaction("tests.trail") as tx:
        rows = await tx.connection.fetch(
            "select action_type, resource_id, changes, requires_2fa, two_factor_verified"
            " from merchant.merchant_actions_audit order by created_at, id"
        )
    assert {row["action_type"] for row in rows} == {"webhook_configured"}
    assert [row["changes"]["after"]["change"] for row in rows] == [
        "created",
        "changed",
        "secret_rotated",
        "disabled",
        "enabled",
        "deleted",
    ]
    assert all(row["requires_2fa"] and row["two_factor_verified"] for row in rows)
    assert rows[1]["changes"]["before"]["events"] == ["merchant.refund.created", "payout.paid"]
    assert rows[1]["changes"]["after"]["events"] == ["dispute.created"]
    assert made["secret"] not in str(rows)
    assert rotated.json()["secret"] not in str(rows)


async def test_secrets_are_not_in_the_database_in_clear(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database
):
    made = await added(client, admin)
    async with db.transaction("tests.sealed") as tx:
        sealed = await tx.connection.fetchval("select sealed from webhooks.webhook_secrets")

    assert made["secret"].encode() not in sealed
    assert made["secret"].removeprefix("whsec_").encode()[:8] not in sealed


async def test_a_deleted_endpoint_is_gone_and_its_address_is_free(
    client: httpx2.AsyncClient, admin: dict[str, str]
):
    id_ = (await added(client, admin))["webhook"]["id"]
    assert (await client.delete(f"{ROOT}/{id_}", headers=admin)).status_code == 200

    assert (await client.get(f"{ROOT}/{id_}", headers=admin)).status_code == 404
    assert (await client.delete(f"{ROOT}/{id_}", headers=admin)).status_code == 404
    await added(client, admin)


async def test_a_test_is_accepted_and_can_be_followed(
    client: httpx2.AsyncClient, admin: dict[str, str]
):
    id_ = (await added(client, admin))["webhook"]["id"]
    asked = await client.post(f"{ROOT}/{id_}/test", headers=admin)
    found = await client.get(asked.json()["location"], headers=admin)

    assert asked.status_code == 202
    assert found.json()["delivery"]["event"] == "webhook.test"
    assert (found.json()["delivery"]["state"], found.json()["attempts"]) == ("waiting", [])
    again = await client.post(asked.json()["location"] + "/replay", headers=admin)
    assert (again.status_code, again.json()["code"]) == (409, "webhook-delivery-open")


async def test_the_log_is_paged_by_a_cursor_of_its_own(
    client: httpx2.AsyncClient, admin: dict[str, str]
):
    id_ = (await added(client, admin))["webhook"]["id"]
    for _ in range(3):
        await client.post(f"{ROOT}/{id_}/test", headers=admin)
    first = (await client.get(f"{ROOT}/{id_}/deliveries?limit=2", headers=admin)).json()
    cursor = first["next_cursor"]
    second = (
        await client.get(f"{ROOT}/{id_}/deliveries?limit=2&cursor={cursor}", headers=admin)
    ).json()
    other = await client.get(f"{ROOT}/{id_}/deliveries?state=dead&cursor={cursor}", headers=admin)

    assert (len(first["rows"]), first["has_more"]) == (2, True)
    assert (len(second["rows"]), second["has_more"]) == (1, False)
    sequences = [row["sequence"] for row in first["rows"] + second["rows"]]
    assert sequences == sorted(sequences, reverse=True)
    assert other.json()["code"] == "cursor-refused"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/replay", {"since": "yesterday"}),
        ("/replay", {"since": "2026-11-16T00:00:00"}),
        ("/replay", {}),
        ("/deliveries?limit=0", None),
        ("/deliveries?state=lost", None),
        ("/deliveries?event=nothing", None),
        ("/deliveries?cursor=zzz", None),
    ],
)
async def test_bad_questions_are_refused_and_never_fail(
    client: httpx2.AsyncClient, admin: dict[str, str], path: str, body: object
):
    id_ = (await added(client, admin))["webhook"]["id"]
    method = "GET" if body is None else "POST"
    answer = await client.request(method, f"{ROOT}/{id_}{path}", json=body, headers=admin)

    assert 400 <= answer.status_code < 500, answer.text


async def test_a_switched_off_endpoint_is_sent_nothing_again(
    client: httpx2.AsyncClient, admin: dict[str, str]
):
    id_ = (await added(client, admin))["webhook"]["id"]
    await client.post(f"{ROOT}/{id_}/disable", headers=admin)
    answer = await client.post(
        f"{ROOT}/{id_}/replay", json={"since": "2026-11-16T00:00:00Z"}, headers=admin
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "webhook-inactive")


async def test_the_specifications_query_works_by_bare_name(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database
):
    await added(client, admin)
    async with db.transaction("tests.bare_name") as tx:
        row = await tx.connection.fetchrow(
            "SELECT * FROM merchant_webhooks WHERE merchant_id = 'merchant-123'"
        )

    named = "merchant_id url events active total_delivered total_failed last_delivered_at"
    assert {*named.split(), "last_failed_at"} <= set(row.keys())
