"""The API of payouts: what is shown, what is done once, and what is refused with a reason."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from callers import bearer

import paying_out as pay
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

PAYOUTS = "/api/merchant/payouts"
SCHEDULE = "/api/merchant/settings/payout-schedule"
DESTINATION = "/api/merchant/settings/payout-destination"


@pytest.fixture
async def payee(db: Database) -> str:
    await pay.a_bank(db)
    return await pay.a_payee(db)


@pytest.fixture
def admin(keys: IssuerKeys) -> dict[str, str]:
    return bearer(keys)


@pytest.fixture
def proved(keys: IssuerKeys) -> dict[str, str]:
    return bearer(keys, acr=AAL2, amr=["pwd", "otp"])


async def _post(
    client: httpx2.AsyncClient, admin: dict[str, str], key: str = "", **body: Any
) -> httpx2.Response:
    headers = {**admin, "Idempotency-Key": key} if key else admin
    return await client.post(PAYOUTS, json=body, headers=headers)


async def test_the_list_says_what_comes_next_what_is_under_way_and_what_has_ended(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.an_entry(db, 1_000)
    ended = await pay.ask(db)
    await pay.cancel(db, ended.id)
    waiting = await pay.ask(db)
    await pay.an_entry(db, 500)

    answer = await client.get(PAYOUTS, headers=admin)

    said = answer.json()
    assert answer.status_code == 200, answer.text
    assert [each["id"] for each in said["upcoming"]] == [waiting.id]
    assert [each["id"] for each in said["history"]] == [ended.id]
    assert said["upcoming"][0]["composition"] == {
        "gross": 1_000, "fees": 0, "refunds": 0, "disputes": 0, "adjustments": 0, "entries": 1,
    }  # fmt: skip
    (forecast,) = said["forecast"]
    assert (forecast["payable"], forecast["balance"], forecast["in_payout"]) == (500, 500, 1_000)
    assert [why["code"] for why in forecast["why"]] == ["by_hand"]
    assert said["upcoming"][0]["destination"]["account"] == "••••0001"


@pytest.mark.parametrize(
    ("status", "found"),
    [("cancelled", 1), ("paid", 0), ("settled", 0), ("pending", 0), ("processing", 0)],
)
async def test_the_list_is_filtered_by_either_vocabulary(
    client: httpx2.AsyncClient,
    admin: dict[str, str],
    db: Database,
    payee: str,
    *,
    status: str,
    found: int,
):
    await pay.an_entry(db, 1_000)
    await pay.cancel(db, (await pay.ask(db)).id)

    said = (await client.get(f"{PAYOUTS}?status={status}", headers=admin)).json()

    assert len(said["history"]) + len(said["upcoming"]) == found


async def test_the_history_is_turned_by_cursor_and_by_page(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.an_entry(db, 1_000)
    ids = []
    for _ in range(5):
        ids.append((await pay.ask(db)).id)
        await pay.cancel(db, ids[-1])
    seen, cursor = [], ""
    for _ in range(3):
        said = (await client.get(f"{PAYOUTS}?limit=2{cursor}", headers=admin)).json()
        seen += [each["id"] for each in said["history"]]
        cursor = f"&cursor={said['next_cursor']}"

    paged = (await client.get(f"{PAYOUTS}?limit=2&page=2", headers=admin)).json()

    assert seen == ids[::-1]
    assert said["has_more"] is False
    assert [each["id"] for each in paged["history"]] == ids[::-1][2:4]
    stolen = await client.get(f"{PAYOUTS}?limit=2{cursor}x", headers=admin)
    assert stolen.status_code == 400


async def test_a_payout_is_asked_for_once_however_often_the_request_is_repeated(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.an_entry(db, 1_000)

    answers = await asyncio.gather(*(_post(client, admin, "k-1") for _ in range(12)))

    bodies = {each.content for each in answers if each.status_code == 201}
    assert len(bodies) == 1
    assert {each.status_code for each in answers} <= {201, 409}
    assert await pay.one(db, "select count(*) from payments.payouts") == 1
    assert (await _post(client, admin, "k-1", expected_amount=7)).status_code == 422


async def test_asking_answers_the_payout_and_is_written_into_the_trail(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.an_entry(db, 1_000)

    answer = await _post(client, admin, expected_amount=1_000)

    assert answer.status_code == 201, answer.text
    assert answer.headers["Idempotency"] == "absent"
    made = answer.json()["payout"]
    assert (made["amount"], made["state"], made["status"]) == (1_000, "pending", "pending")
    trail = await pay.sql(
        db, "select action_type, user_id, resource_id from merchant.merchant_actions_audit"
    )
    assert trail == [("payout_requested", "awa.diop", made["id"])]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"expected_amount": 10.0}, 422),
        ({"expected_amount": "10"}, 422),
        ({"expected_amount": True}, 422),
        ({"expected_amount": 0}, 422),
        ({"currency": "xof"}, 422),
        ({"currency": "JPY"}, 422),
        ({"amount": 5}, 422),
        ({"expected_amount": 2_000}, 409),
    ],
)
async def test_a_request_that_cannot_be_meant_is_refused(
    client: httpx2.AsyncClient,
    admin: dict[str, str],
    db: Database,
    payee: str,
    *,
    body: dict[str, Any],
    status: int,
):
    await pay.an_entry(db, 1_000)

    answer = await _post(client, admin, **body)

    assert answer.status_code in {status, 400}, answer.text
    assert await pay.one(db, "select count(*) from payments.payouts") == 0


async def test_nothing_to_pay_is_said_with_what_could_be(
    client: httpx2.AsyncClient, admin: dict[str, str], payee: str
):
    answer = await _post(client, admin)

    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (
        422,
        "nothing-to-pay",
    )


async def test_a_frozen_merchant_asks_for_nothing(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.an_entry(db, 1_000)
    await pay.sql(db, "update tenancy.merchants set status = 'frozen'")

    assert (await _post(client, admin)).status_code == 403


async def test_one_payout_shows_its_lines_its_timeline_and_why_it_waits(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.an_entry(db, 1_000, cause_id="tx_1")
    await pay.an_entry(db, -10, cause="payment_fee", cause_id="tx_1")
    made = await pay.ask(db)
    await pay.claim(db, made.id)
    await pay.settle(db, made.id, "unknown")

    said = (await client.get(f"{PAYOUTS}/{made.id}?limit=1", headers=admin)).json()

    assert [step["what"] for step in said["timeline"]] == ["created", "sent", "in_doubt"]
    assert [why["code"] for why in said["why"]] == ["in_doubt"]
    assert "never send twice" in said["why"][0]["sentence"]
    assert (len(said["lines"]), said["lines_has_more"]) == (1, True)
    turned = f"{PAYOUTS}/{made.id}?limit=1&cursor={said['lines_next_cursor']}"
    rest = (await client.get(turned, headers=admin)).json()
    assert {each["part"] for each in said["lines"] + rest["lines"]} == {"gross", "fees"}


async def test_another_merchants_payout_is_absent_like_one_that_never_was(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.a_payee(db, id_="merchant-2")
    await pay.an_entry(db, 1_000, merchant_id="merchant-2")
    theirs = (await pay.ask(db, merchant_id="merchant-2")).id

    def bare(answer: httpx2.Response) -> dict[str, Any]:
        return {key: value for key, value in answer.json().items() if key != "instance"}

    for path in ("", "/cancel"):
        call = client.post if path else client.get
        seen = await call(f"{PAYOUTS}/{theirs}{path}", headers=admin)
        never = await call(f"{PAYOUTS}/po_never{path}", headers=admin)
        assert (seen.status_code, never.status_code) == (404, 404)
        assert bare(seen) == bare(never)


async def test_a_payout_is_cancelled_once_and_not_when_the_bank_has_it(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.an_entry(db, 1_000)
    first = (await pay.ask(db)).id

    answers = [await client.post(f"{PAYOUTS}/{first}/cancel", headers=admin) for _ in range(2)]

    assert [each.json()["payout"]["state"] for each in answers] == ["cancelled"] * 2
    second = (await pay.ask(db)).id
    await pay.claim(db, second)
    refused = await client.post(f"{PAYOUTS}/{second}/cancel", headers=admin)
    assert (refused.status_code, refused.json()["state"]) == (409, "in_transit")
    changes = await pay.one(
        db,
        "select changes from merchant.merchant_actions_audit"
        " where action_type = 'payout_cancelled' order by created_at limit 1",
    )
    assert changes["before"]["state"] == "pending"
    assert changes["after"]["state"] == "cancelled"


async def test_the_schedule_takes_a_second_factor_and_is_written_down_before_and_after(
    client: httpx2.AsyncClient,
    admin: dict[str, str],
    proved: dict[str, str],
    db: Database,
    payee: str,
):
    weekly = {"schedule": "weekly", "weekday": 5, "delay_days": 2, "minimum": 5_000}
    assert (await client.put(SCHEDULE, json=weekly, headers=admin)).status_code == 401

    answer = await client.put(SCHEDULE, json=weekly, headers=proved)

    said = answer.json()["schedule"]
    assert answer.status_code == 200, answer.text
    assert (said["schedule"], said["weekday"], said["minimum"]) == ("weekly", 5, 5_000)
    assert len(said["next_dates"]) == 3
    (row,) = await pay.sql(
        db,
        "select action_type, changes, requires_2fa, two_factor_verified"
        " from merchant.merchant_actions_audit",
    )
    assert row[0] == "payout_schedule_changed"
    assert (row[1]["before"]["schedule"], row[1]["after"]["schedule"]) == ("manual", "weekly")
    assert row[2:] == (True, True)
    dashboard = await pay.one(db, "select payout_schedule from merchant.merchant_dashboards")
    assert dashboard == "weekly"
    read = (await client.get(SCHEDULE, headers=admin)).json()["schedules"]
    assert [(each["currency"], each["schedule"]) for each in read] == [("XOF", "weekly")]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing-schedule"),
        ({"schedule": ""}, "missing-schedule"),
        ({"schedule": "hourly"}, "invalid-payout-schedule"),
        ({"schedule": "weekly", "weekday": 8}, "invalid-payout-schedule"),
        ({"schedule": "monthly", "month_day": 0}, "invalid-payout-schedule"),
        ({"schedule": "daily", "delay_days": -1}, "invalid-payout-schedule"),
        ({"schedule": "daily", "minimum": 2**53}, "invalid-payout-schedule"),
    ],
)
async def test_a_schedule_that_is_none_is_refused(
    client: httpx2.AsyncClient,
    proved: dict[str, str],
    db: Database,
    payee: str,
    *,
    body: dict[str, Any],
    code: str,
):
    answer = await client.put(SCHEDULE, json=body, headers=proved)

    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (400, code)


async def test_a_new_destination_is_told_to_all_admins_and_its_payouts_wait_a_day(
    client: httpx2.AsyncClient,
    admin: dict[str, str],
    proved: dict[str, str],
    db: Database,
    payee: str,
):
    from builders import a_person

    await a_person(db)
    await a_person(db, id_="moussa.ndiaye")
    asked = {"destination": pay.OTHER_WALLET}
    assert (await client.put(DESTINATION, json=asked, headers=admin)).status_code == 401

    answer = await client.put(DESTINATION, json=asked, headers=proved)

    assert answer.status_code == 200, answer.text
    said = answer.json()["destination"]
    assert said["destination"]["account"] == "••••0002"
    assert said["payouts_wait_until"] is not None
    told = await pay.sql(db, "select person_id from notices.inbox order by person_id")
    assert told == [("awa.diop",), ("moussa.ndiaye",)]
    await pay.an_entry(db, 1_000)
    made = (await _post(client, admin)).json()["payout"]
    assert (made["state"], made["destination"]["account"]) == ("held", "••••0002")
    trail = await pay.one(
        db,
        "select changes::text from merchant.merchant_actions_audit"
        " where action_type = 'payout_destination_changed'",
    )
    assert "+22177" not in trail


@pytest.mark.parametrize(
    "destination",
    [
        {
            "type": "bank_account",
            "holder": "A",
            "country": "FR",
            "iban": "FR7630006000011234567890188",
        },
        {"type": "bank_account", "holder": "A", "country": "SN"},
        {"type": "bank_account", "holder": "A", "country": "SN", "account_number": "123456"},
        {"type": "wallet", "holder": "A", "provider": "unheard_of", "phone": "+221770000001"},
    ],
)
async def test_a_destination_that_cannot_be_paid_is_refused(
    client: httpx2.AsyncClient,
    proved: dict[str, str],
    db: Database,
    payee: str,
    *,
    destination: dict[str, str],
):
    answer = await client.put(DESTINATION, json={"destination": destination}, headers=proved)

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("payout-destination-refused"), answer.text


async def test_accountants_look_and_do_not_change_and_support_does_neither(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database, payee: str
):
    accountant = bearer(keys, roles=["merchant_accountant"], acr=AAL2)
    support = bearer(keys, roles=["merchant_support"], acr=AAL2)

    assert (await client.get(PAYOUTS, headers=accountant)).status_code == 200
    assert (await _post(client, accountant)).status_code == 403
    assert (await client.get(PAYOUTS, headers=support)).status_code == 403
