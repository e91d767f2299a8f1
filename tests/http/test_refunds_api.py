"""The refunds of the merchant API, as integrators call them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from callers import bearer

from builders import a_merchant, a_person, balance_of
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys
from refunding import a_sale, a_shop, pay

URL = "/api/merchant/refund"
RESERVED = "merchant:merchant-123:reserved:XOF"
BODY = {"txn_id": "tx_123", "amount": 50_000, "currency": "XOF", "reason": "duplicate_charge"}


@pytest.fixture
async def shop(db: Database) -> None:
    await a_shop(db)
    await a_sale(db)
    await a_sale(db, "tx_big", 300_000)


Caller = dict[str, str]


@pytest.fixture
def awa(keys: IssuerKeys) -> Caller:
    return bearer(keys, acr=AAL2)


@pytest.fixture
def moussa(keys: IssuerKeys) -> Caller:
    return bearer(keys, sub="moussa.ndiaye", name="Moussa Ndiaye", acr=AAL2)


async def ask(client: httpx2.AsyncClient, caller: Caller, **changed: Any) -> httpx2.Response:
    return await client.post(URL, json={**BODY, **changed}, headers=caller)


async def a_waiting_refund(client: httpx2.AsyncClient, caller: Caller) -> dict[str, Any]:
    answer = await ask(client, caller, txn_id="tx_big", amount=150_000)
    assert answer.status_code == 202
    found: dict[str, Any] = answer.json()["refund"]
    return found


pytestmark = pytest.mark.usefixtures("shop")


async def test_the_specifications_example_refunds_as_written(
    client: httpx2.AsyncClient, keys: IssuerKeys
):
    answer = await client.post(
        URL,
        content='{"txn_id":"tx_123","amount":50000,"currency":"XOF","reason":"duplicate_charge"}',
        headers={**bearer(keys), "Content-Type": "application/json"},
    )

    said = answer.json()
    assert (answer.status_code, said["ok"]) == (201, True)
    assert answer.headers["Idempotency"] == "absent"
    assert said["refund"]["id"].startswith("re_")
    assert (said["refund"]["status"], said["refund"]["state"]) == ("processing", "queued")


async def test_refund_above_threshold_says_who_may_agree_and_until_when(
    client: httpx2.AsyncClient, awa: Caller
):
    refund = await a_waiting_refund(client, awa)

    assert (refund["status"], refund["state"]) == ("pending", "awaiting_approval")
    assert refund["approval_by"] == "merchant"
    assert refund["approvers"] == [{"id": "moussa.ndiaye", "name": "Moussa Ndiaye"}]
    assert refund["expires_at"]


async def test_refund_above_threshold_is_challenged_for_a_second_factor(
    client: httpx2.AsyncClient, keys: IssuerKeys
):
    answer = await ask(client, bearer(keys), txn_id="tx_big", amount=150_000)

    assert answer.status_code == 401
    assert "insufficient_user_authentication" in answer.headers["WWW-Authenticate"]


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"amount": 50_000.5}, "minor units"),
    ({"amount": "50000"}, "minor units"),
    ({"amount": True}, "minor units"),
    ({"amount": 0}, "amount"),
    ({"amount": -1}, "amount"),
    ({"amount": 2**53}, "amount"),
    ({"currency": "XOFF"}, "currency"),
    ({"reason": ""}, "reason"),
    ({"reason": "x" * 501}, "reason"),
    ({"txn_id": ""}, "txn_id"),
    ({"client_reference": ""}, "client_reference"),
    ({"surprise": 1}, "surprise"),
]


@pytest.mark.parametrize(("changed", "says"), MALFORMED, ids=lambda each: str(each)[:30])
async def test_malformed_body_is_refused_by_name(
    client: httpx2.AsyncClient, awa: Caller, db: Database, changed: dict[str, Any], says: str
):
    answer = await ask(client, awa, **changed)

    assert answer.status_code == 400
    assert says in answer.json()["detail"]
    assert await balance_of(db, RESERVED) == 0


@pytest.mark.parametrize("amount", ["5e4", "50000.0", "5E4", "NaN", "1e400"])
async def test_amount_that_is_no_whole_number_is_refused_as_written(
    client: httpx2.AsyncClient, awa: Caller, db: Database, amount: str
):
    content = f'{{"txn_id":"tx_123","amount":{amount},"currency":"XOF","reason":"x"}}'

    answer = await client.post(
        URL, content=content, headers={**awa, "Content-Type": "application/json"}
    )

    assert answer.status_code == 400
    assert await balance_of(db, RESERVED) == 0


@pytest.mark.parametrize("missing", BODY)
async def test_missing_field_is_refused(client: httpx2.AsyncClient, awa: Caller, missing: str):
    body = {name: value for name, value in BODY.items() if name != missing}

    answer = await client.post(URL, json=body, headers=awa)

    assert answer.status_code == 400
    assert missing in answer.json()["detail"]


@pytest.mark.parametrize("role", ["merchant_accountant", "merchant_support"])
async def test_others_than_administrators_may_not_refund(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database, role: str
):
    await a_person(db, id_="other", name="Other", roles=(role,))

    answer = await ask(client, bearer(keys, sub="other", roles=[role]))

    assert answer.status_code == 403


async def test_payment_of_another_merchant_looks_absent(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    await a_merchant(db, id_="merchant-other", name="Other")
    await a_person(db, id_="eve", name="Eve", merchant_id="merchant-other")
    stranger = bearer(keys, sub="eve", merchant_id="merchant-other")

    theirs = await ask(client, stranger)
    nobodys = await ask(client, stranger, txn_id="tx_none")

    assert (theirs.status_code, nobodys.status_code) == (404, 404)
    assert theirs.json()["detail"] == nobodys.json()["detail"]


async def test_refund_of_another_merchant_looks_absent(
    client: httpx2.AsyncClient, awa: Caller, keys: IssuerKeys, db: Database
):
    refund = await a_waiting_refund(client, awa)
    await a_merchant(db, id_="merchant-other", name="Other")
    await a_person(db, id_="eve", name="Eve", merchant_id="merchant-other")
    stranger = bearer(keys, sub="eve", merchant_id="merchant-other", acr=AAL2)
    path = f"/api/merchant/refunds/{refund['id']}"

    answers = [
        await client.get(path, headers=stranger),
        await client.post(f"{path}/approve", json={}, headers=stranger),
        await client.post(f"{path}/reject", json={"reason": "I say no to it."}, headers=stranger),
        await client.post(f"{path}/cancel", json={}, headers=stranger),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4


async def test_fifty_equal_requests_at_once_refund_once_and_answer_alike(
    client: httpx2.AsyncClient, awa: Caller, db: Database
):
    keyed = {**awa, "Idempotency-Key": "till-7/42"}

    answers = await asyncio.gather(*(ask(client, keyed, amount=1_000) for _ in range(50)))
    answers = [
        await ask(client, keyed, amount=1_000) if each.status_code == 409 else each
        for each in answers
    ]

    assert {each.status_code for each in answers} == {201}
    assert len({each.content for each in answers}) == 1
    assert await balance_of(db, RESERVED) == 1_000


async def test_fifty_requests_without_a_key_are_fifty_wishes(
    client: httpx2.AsyncClient, awa: Caller, db: Database
):
    """What the key is for: without it every repetition is a refund, up to the payment."""
    answers = await asyncio.gather(*(ask(client, awa, amount=2_000) for _ in range(50)))

    assert sum(each.status_code in {201, 202} for each in answers) > 1
    assert await balance_of(db, RESERVED) <= 75_000


async def test_key_of_another_body_is_refused(client: httpx2.AsyncClient, awa: Caller):
    keyed = {**awa, "Idempotency-Key": "till-7/42"}
    await ask(client, keyed, amount=1_000)

    answer = await ask(client, keyed, amount=1_001)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")


async def test_refused_request_leaves_its_key_free(client: httpx2.AsyncClient, awa: Caller):
    keyed = {**awa, "Idempotency-Key": "till-7/42"}
    refused = await ask(client, keyed, amount=75_001)

    answer = await ask(client, keyed, amount=75_000)

    assert (refused.status_code, answer.status_code) == (422, 201)


async def test_same_client_reference_answers_with_the_first_refund(
    client: httpx2.AsyncClient, awa: Caller
):
    first = await ask(client, awa, amount=1_000, client_reference="order-7")

    again = await ask(client, awa, amount=1_000, client_reference="order-7")

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["refund"]["id"] == first.json()["refund"]["id"]


async def test_stale_expectation_is_refused_with_the_true_value(
    client: httpx2.AsyncClient, awa: Caller
):
    await ask(client, awa, amount=1_000)

    answer = await ask(client, awa, amount=1_000, expected_refundable=75_000)

    assert answer.status_code == 409
    assert answer.json()["refundable"] == 74_000


async def test_balance_that_is_too_small_is_refused_with_the_figures(
    client: httpx2.AsyncClient, awa: Caller, db: Database
):
    async with db.transaction("tests.spend") as tx:
        await tx.connection.execute(
            "update ledger.accounts set balance = 10 where id = 'merchant:merchant-123:available:XOF'"
        )

    answer = await ask(client, awa)

    said = answer.json()
    assert (answer.status_code, said["code"]) == (422, "balance-insufficient")
    assert (said["available"], said["needed"], said["currency"]) == (10, 50_000, "XOF")


async def test_other_administrator_approves_and_the_refund_goes_at_once(
    client: httpx2.AsyncClient, awa: Caller, moussa: Caller
):
    refund = await a_waiting_refund(client, awa)

    answer = await client.post(
        f"/api/merchant/refunds/{refund['id']}/approve", json={}, headers=moussa
    )

    said = answer.json()["refund"]
    assert (answer.status_code, said["state"]) == (200, "queued")
    assert said["approved_by"] == "moussa.ndiaye"


async def test_own_refund_is_not_approved_and_the_attempt_is_kept(
    client: httpx2.AsyncClient, awa: Caller, db: Database
):
    refund = await a_waiting_refund(client, awa)

    answer = await client.post(
        f"/api/merchant/refunds/{refund['id']}/approve", json={}, headers=awa
    )

    assert answer.status_code == 403
    assert "refund_decision_refused" in await trail_of(db)


async def trail_of(db: Database) -> list[str]:
    async with db.transaction("tests.trail") as tx:
        rows = await tx.connection.fetch(
            "select action_type from merchant.merchant_actions_audit order by created_at"
        )
    return [row["action_type"] for row in rows]


async def test_every_change_leaves_a_line_in_the_merchants_trail(
    client: httpx2.AsyncClient, awa: Caller, moussa: Caller, db: Database
):
    refund = await a_waiting_refund(client, awa)
    await client.post(f"/api/merchant/refunds/{refund['id']}/approve", json={}, headers=moussa)

    async with db.transaction("tests.trail") as tx:
        rows = await tx.connection.fetch(
            "select user_id, action_type, resource_id, ip_address, changes, requires_2fa,"
            " two_factor_verified, approval_required, approval_id"
            " from merchant.merchant_actions_audit order by created_at"
        )

    asked, approved = rows
    assert (asked["action_type"], asked["resource_id"]) == ("refund_initiated", "tx_big")
    assert asked["changes"]["before"] == {"refundable": 300_000}
    assert asked["changes"]["after"]["refundable"] == 150_000
    assert (asked["approval_required"], asked["approval_id"]) == (True, refund["approval_id"])
    assert (asked["ip_address"], asked["two_factor_verified"]) == ("127.0.0.1", True)
    assert (approved["action_type"], approved["user_id"]) == ("refund_approved", "moussa.ndiaye")
    assert approved["changes"]["before"] == {"state": "awaiting_approval"}
    assert approved["changes"]["after"]["state"] == "queued"


@pytest.mark.parametrize(("word", "who"), [("reject", "moussa"), ("cancel", "awa")])
async def test_a_refund_that_ends_is_in_the_trail_as_it_was_before_and_after(
    client: httpx2.AsyncClient, awa: Caller, moussa: Caller, db: Database, *, word: str, who: str
):
    refund = await a_waiting_refund(client, awa)
    path = f"/api/merchant/refunds/{refund['id']}/{word}"

    body = {"reason": "The customer was refunded."} if word == "reject" else {}
    await client.post(path, json=body, headers=awa if who == "awa" else moussa)

    async with db.transaction("tests.trail") as tx:
        changes = await tx.connection.fetchval(
            "select changes from merchant.merchant_actions_audit"
            " where action_type <> 'refund_initiated'"
        )
    assert changes["before"]["state"] == "awaiting_approval"
    assert changes["after"]["state"] == {"reject": "rejected", "cancel": "cancelled"}[word]


async def test_rejection_needs_a_reason_and_frees_the_amount(
    client: httpx2.AsyncClient, awa: Caller, moussa: Caller, db: Database
):
    refund = await a_waiting_refund(client, awa)
    path = f"/api/merchant/refunds/{refund['id']}/reject"

    blank = await client.post(path, json={"reason": "no"}, headers=moussa)
    said = await client.post(path, json={"reason": "The customer was refunded."}, headers=moussa)

    assert blank.status_code == 422
    assert said.json()["refund"]["status"] == "cancelled"
    assert await balance_of(db, RESERVED) == 0


async def test_requester_cancels_before_anybody_agreed(
    client: httpx2.AsyncClient, awa: Caller, moussa: Caller
):
    refund = await a_waiting_refund(client, awa)
    path = f"/api/merchant/refunds/{refund['id']}/cancel"

    others = await client.post(path, json={}, headers=moussa)
    own = await client.post(path, json={}, headers=awa)
    again = await client.post(path, json={}, headers=awa)

    assert (others.status_code, own.status_code, again.status_code) == (403, 200, 409)
    assert own.json()["refund"]["state"] == "cancelled"


async def test_details_are_given_to_a_refund_that_waits_for_them(
    client: httpx2.AsyncClient, awa: Caller, worker_db: Database, db: Database
):
    await a_sale(db, "tx_card", channel="card", provider="visa", customer={"name": "A"})
    made = (await ask(client, awa, txn_id="tx_card", amount=5_000)).json()["refund"]
    await pay(worker_db, made["id"])
    path = f"/api/merchant/refunds/{made['id']}"
    waiting = (await client.get(path, headers=awa)).json()["refund"]
    wallet = {"type": "wallet", "provider": "wave", "phone": "+221770000123", "holder": "A"}

    answer = await client.post(f"{path}/details", json={"destination": wallet}, headers=awa)

    assert waiting["state"] == "needs_details"
    assert answer.json()["refund"]["state"] == "queued"


async def test_details_are_refused_without_a_second_factor(
    client: httpx2.AsyncClient, keys: IssuerKeys
):
    wallet = {"type": "wallet", "provider": "wave", "phone": "+221770000123", "holder": "A"}

    answer = await client.post(
        "/api/merchant/refunds/re_none/details", json={"destination": wallet}, headers=bearer(keys)
    )

    assert answer.status_code == 401


async def test_list_is_filtered_and_goes_on_by_cursor(client: httpx2.AsyncClient, awa: Caller):
    made = [
        (await ask(client, awa, amount=amount)).json()["refund"]["id"]
        for amount in (1_000, 2_000, 3_000)
    ]

    first = (await client.get("/api/merchant/refunds?limit=2", headers=awa)).json()
    cursor = first["next_cursor"]
    then = (await client.get(f"/api/merchant/refunds?limit=2&cursor={cursor}", headers=awa)).json()

    assert [row["id"] for row in first["rows"] + then["rows"]] == made[::-1]
    assert (first["has_more"], then["has_more"]) == (True, False)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("status=processing", 1),
        ("status=completed", 0),
        ("state=queued", 1),
        ("txn_id=tx_123", 1),
        ("txn_id=tx_none", 0),
        ("from=2000-01-01&to=2000-01-02", 0),
    ],
)
async def test_filters_choose_what_is_listed(
    client: httpx2.AsyncClient, awa: Caller, query: str, count: int
):
    await ask(client, awa, amount=1_000)

    answer = await client.get(f"/api/merchant/refunds?{query}", headers=awa)

    assert len(answer.json()["rows"]) == count


async def test_timeline_says_who_did_what(
    client: httpx2.AsyncClient, awa: Caller, worker_db: Database
):
    made = (await ask(client, awa)).json()["refund"]
    await pay(worker_db, made["id"])

    answer = await client.get(f"/api/merchant/refunds/{made['id']}", headers=awa)

    said = answer.json()
    assert [each["to_state"] for each in said["timeline"]] == ["queued", "submitted", "succeeded"]
    assert (said["timeline"][0]["by"], said["timeline"][0]["ip_address"]) == (
        "awa.diop",
        "127.0.0.1",
    )
    assert said["refund"]["status"] == "completed"


async def test_feasibility_says_what_would_happen(client: httpx2.AsyncClient, awa: Caller):
    small = (
        await client.get(
            "/api/merchant/refunds/feasibility?txn_id=tx_123&amount=50000", headers=awa
        )
    ).json()
    large = (
        await client.get("/api/merchant/refunds/feasibility?txn_id=tx_big", headers=awa)
    ).json()

    assert (small["possible"], small["refundable"], small["approval"]) == (True, 75_000, None)
    assert small["balance_after"] == small["balance_before"] - 50_000
    assert large["approval"]["approvers"] == [{"id": "moussa.ndiaye", "name": "Moussa Ndiaye"}]
    assert large["approval"]["minutes"] == 60


async def test_feasibility_says_everything_that_stands_against_it(
    client: httpx2.AsyncClient, awa: Caller
):
    said = (
        await client.get(
            "/api/merchant/refunds/feasibility?txn_id=tx_123&amount=2000000", headers=awa
        )
    ).json()

    assert not said["possible"]
    assert [each["code"] for each in said["objections"]] == [
        "refund-exceeds-payment",
        "balance-insufficient",
    ]


async def test_frozen_merchant_refunds_nothing(
    client: httpx2.AsyncClient, awa: Caller, db: Database
):
    async with db.transaction("tests.freeze") as tx:
        await tx.connection.execute(
            "update tenancy.merchants set status = 'frozen' where id = 'merchant-123'"
        )

    answer = await ask(client, awa)

    assert (answer.status_code, answer.json()["code"]) == (403, "merchant-frozen")
