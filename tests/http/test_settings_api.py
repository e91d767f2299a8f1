"""GET and PUT /api/merchant/settings, and rates: what changes, what it takes, who is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from callers import bearer
from fastapi import FastAPI

from builders import a_merchant, a_person
from carrying_out import do
from facts import look
from molam.platform.actions import Registry
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys
from molam.tenancy.actions import ACTIONS

PATH = "/api/merchant/settings"
AUDIT = (
    "select action_type, changes, requires_2fa, two_factor_verified"
    " from merchant.merchant_actions_audit where merchant_id = 'merchant-123' order by created_at"
)
ALERTS = "select alert_type, facts from merchant.merchant_alerts where merchant_id = 'merchant-123'"


@pytest.fixture(autouse=True)
async def _merchant(db: Database) -> None:
    await a_merchant(db)
    await a_person(db)


@pytest.fixture
def put(client: httpx2.AsyncClient, keys: IssuerKeys) -> Any:
    async def put(
        body: object, headers: dict[str, str] | None = None, **caller: object
    ) -> httpx2.Response:
        given = bearer(keys, **caller) | (headers or {})
        return await client.put(PATH, json=body, headers=given)

    return put


async def settings(client: httpx2.AsyncClient, keys: IssuerKeys, **caller: object) -> Any:
    answer = await client.get(PATH, headers=bearer(keys, **caller))
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == f'"{answer.json()["settings"]["version"]}"'
    return answer.json()["settings"]


async def test_settings_begin_as_the_specification_has_them(
    client: httpx2.AsyncClient, keys: IssuerKeys
):
    found = await settings(client, keys)

    assert found["refunds"] == {
        "thresholds": {"XOF": 100_000},
        "approval_minutes": 60,
        "fee": "kept",
        "daily_limit": None,
        "monthly_limit": None,
        "limits_currency": "XOF",
    }
    assert (found["locale"], found["timezone"], found["default_currency"]) == (
        "fr",
        "Africa/Dakar",
        "XOF",
    )
    assert (found["payout_schedule"], found["dispute_auto_submit"]) == ("weekly", False)


async def test_what_is_named_changes_and_the_rest_stays(
    put: Any, client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    answer = await put({"locale": "en", "refund_fee": "returned", "daily_refund_limit": 500_000})

    assert answer.status_code == 200, answer.text
    found = await settings(client, keys)
    assert answer.json()["settings"] == found
    assert (found["locale"], found["refunds"]["fee"], found["refunds"]["daily_limit"]) == (
        "en",
        "returned",
        500_000,
    )
    assert found["timezone"] == "Africa/Dakar"
    ((action, changes, required, _),) = await look(db, AUDIT)
    assert (action, required) == ("settings_changed", False)
    assert changes == {
        "before": {"locale": "fr", "refund_fee": "kept", "daily_refund_limit": None},
        "after": {"locale": "en", "refund_fee": "returned", "daily_refund_limit": 500_000},
    }


async def test_saying_what_is_so_already_leaves_no_trace(put: Any, db: Database):
    first = await put({"locale": "fr", "refund_thresholds": {"XOF": 100_000}})

    assert first.status_code == 200
    assert await look(db, AUDIT) == []


LOOSER = [
    {"refund_thresholds": {"XOF": 100_001}},
    {"refund_thresholds": {"XOF": None}},
    {"refund_thresholds": {"GHS": 5_000}},
    {"dispute_auto_submit": True},
]


@pytest.mark.parametrize("body", LOOSER)
async def test_a_looser_rule_takes_a_second_factor_and_every_admin_sees_it(
    put: Any, db: Database, body: dict[str, object]
):
    refused = await put(body)
    at = int((datetime.now(UTC) - timedelta(minutes=6)).timestamp())
    stale = await put(body, acr=AAL2, auth_time=at)

    assert [each.json()["code"] for each in (refused, stale)] == ["step-up-required"] * 2
    assert refused.status_code == 401
    assert await look(db, ALERTS) == []

    accepted = await put(body, acr=AAL2)

    assert accepted.status_code == 200, accepted.text
    ((_, _, required, verified),) = await look(db, AUDIT)
    assert (required, verified) == (True, True)
    ((alert_type, facts),) = await look(db, ALERTS)
    assert (alert_type, facts["by"]) == ("settings_loosened", "Awa Diop")


@pytest.mark.parametrize(
    "body",
    [
        {"refund_thresholds": {"XOF": 99_999}},
        {"refund_thresholds": {"XOF": 0}},
        {"refund_thresholds": {"GHS": 0}},
        {"daily_refund_limit": 1, "monthly_refund_limit": 1},
        {"refund_approval_minutes": 5},
    ],
)
async def test_a_stricter_rule_takes_none(put: Any, db: Database, body: dict[str, object]):
    answer = await put(body)

    assert answer.status_code == 200, answer.text
    assert await look(db, ALERTS) == []


async def test_taking_a_limit_away_is_looser(put: Any):
    await put({"daily_refund_limit": 10_000})

    assert (await put({"daily_refund_limit": None})).json()["code"] == "step-up-required"
    assert (await put({"daily_refund_limit": 10_001})).json()["code"] == "step-up-required"
    assert (await put({"daily_refund_limit": None}, acr=AAL2)).status_code == 200


async def test_a_new_default_currency_wants_its_limits_said_again(put: Any):
    await put({"daily_refund_limit": 10_000})

    refused = await put({"default_currency": "GHS"}, acr=AAL2)
    accepted = await put(
        {"default_currency": "GHS", "daily_refund_limit": 900, "monthly_refund_limit": None},
        acr=AAL2,
    )

    assert (refused.status_code, refused.json()["code"]) == (422, "settings-refused")
    assert accepted.json()["settings"]["refunds"]["limits_currency"] == "GHS"


async def test_an_old_threshold_is_never_read_in_a_new_currency(
    put: Any, client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    await put({"default_currency": "GHS"}, acr=AAL2)

    assert (await settings(client, keys))["refunds"]["thresholds"] == {"XOF": 100_000}
    assert await look(
        db,
        "select dashboard_config ->> 'refund_threshold_requiring_approval'"
        " from merchant.merchant_dashboards",
    ) == [(None,)]


async def test_a_new_time_zone_moves_figures_by_a_job(
    put: Any, client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    answer = await put({"timezone": "Africa/Lagos"})

    found = answer.json()["settings"]
    assert (found["timezone"], found["timezone_wanted"]) == ("Africa/Dakar", "Africa/Lagos")
    jobs = await look(db, "select entrypoint, payload from jobs.pgqueuer")
    assert jobs == [
        ("merchant.change_timezone", b'{"merchant_id":"merchant-123","timezone":"Africa/Lagos"}')
    ]


async def test_only_what_was_seen_is_changed_when_a_version_is_named(put: Any, keys: IssuerKeys):
    first = (await put({"locale": "en"})).json()["settings"]["version"]
    second = await put({"locale": "fr"}, {"If-Match": f'"{first}"'})
    third = await put({"locale": "en"}, {"If-Match": f'"{first}"'})

    assert second.status_code == 200
    assert (third.status_code, third.json()["code"]) == (409, "settings-stale")
    assert third.json()["version"] == second.json()["settings"]["version"]


async def test_of_many_who_change_one_version_one_does(put: Any, client: Any, keys: IssuerKeys):
    seen = (await settings(client, keys))["version"]
    answers = await asyncio.gather(
        *(put({"refund_approval_minutes": 10 + n}, {"If-Match": f'"{seen}"'}) for n in range(6))
    )

    assert sorted(each.status_code for each in answers) == [200, *[409] * 5]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"daily_refund_limit": 10.5}, 400, "body-malformed"),
        ({"daily_refund_limit": "100"}, 400, "body-malformed"),
        ({"daily_refund_limit": True}, 400, "body-malformed"),
        ({"daily_refund_limit": 0}, 400, "body-malformed"),
        ({"daily_refund_limit": 2**53}, 400, "body-malformed"),
        ({"refund_thresholds": {"XOF": -1}}, 400, "body-malformed"),
        ({"refund_thresholds": {"XOF": 1e3}}, 400, "body-malformed"),
        ({"refund_thresholds": {"ZZZ": 1}}, 400, "unknown-currency"),
        ({"refund_thresholds": {"x" * 300: 1}}, 400, "unknown-currency"),
        ({"refund_thresholds": []}, 400, "body-malformed"),
        ({"refund_approval_minutes": 10_081}, 400, "body-malformed"),
        ({"refund_fee": "halved"}, 400, "body-malformed"),
        ({"timezone": "Mars/Olympus"}, 400, "timezone-unknown"),
        ({"timezone": "../../etc/passwd"}, 400, "timezone-unknown"),
        ({"timezone": "Africa"}, 400, "timezone-unknown"),
        ({"default_currency": "CHF"}, 400, "unknown-currency"),
        ({"locale": None}, 400, "body-malformed"),
        ({"payout_schedule": "daily"}, 400, "body-malformed"),
        ({"daily_refund_limit": 2, "monthly_refund_limit": 1}, 422, "settings-refused"),
        ([], 400, "body-malformed"),
        ("x", 400, "body-malformed"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    put: Any, db: Database, body: object, status: int, code: str
):
    answer = await put(body, acr=AAL2)

    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert await look(db, AUDIT) == []


async def test_an_amount_with_a_point_is_told_about_minor_units(put: Any):
    answer = await put({"daily_refund_limit": 10.5})

    assert "minor units" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("role", "reads"), [("merchant_accountant", 200), ("merchant_support", 403)]
)
async def test_only_admins_change_and_accountants_look(
    put: Any, client: httpx2.AsyncClient, keys: IssuerKeys, role: str, reads: int
):
    who = {"sub": "somebody", "roles": [role]}

    assert (await client.get(PATH, headers=bearer(keys, **who))).status_code == reads
    assert (await put({"locale": "en"}, acr=AAL2, **who)).status_code == 403


async def test_each_merchant_has_settings_of_its_own(
    put: Any, client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    await a_merchant(db, id_="merchant-other")
    await put({"locale": "en"})

    other = await settings(client, keys, sub="else", merchant_id="merchant-other")
    assert (other["merchant_id"], other["locale"]) == ("merchant-other", "fr")


async def test_a_frozen_merchant_changes_nothing(put: Any, ops_db: Database, db: Database):
    raw = {"merchant_id": "merchant-123", "reason": "Fraude probable"}
    await do(ops_db, Registry(ACTIONS).find("FREEZE_MERCHANT"), raw, at=datetime.now(UTC))

    answer = await put({"locale": "en"})

    assert (answer.status_code, answer.json()["code"]) == (403, "merchant-frozen")
    assert await look(db, AUDIT) == []


async def test_the_same_request_again_is_answered_alike_and_done_once(put: Any, db: Database):
    key = {"Idempotency-Key": "once"}
    first = await put({"locale": "en"}, key)
    await put({"locale": "fr"})

    again = await put({"locale": "en"}, key)

    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert len(await look(db, AUDIT)) == 2


async def test_rates_say_their_day_their_source_and_what_nobody_knows(
    client: httpx2.AsyncClient, keys: IssuerKeys
):
    answer = await client.get("/api/merchant/rates", headers=bearer(keys))

    found = {each["quote"]: each for each in answer.json()["rates"]}
    assert (answer.json()["base"], answer.json()["provider"]) == ("XOF", None)
    assert (found["EUR"]["source"], found["EUR"]["indicative"]) == ("fixed parity", False)
    assert found["XAF"]["rate"] == 1
    assert found["USD"] == {
        "base": "XOF",
        "quote": "USD",
        "rate": 0.0017,
        "as_of": "2025-01-01",
        "source": "specification",
        "indicative": True,
    }
    assert found["GNF"]["rate"] is None


async def test_rates_of_a_day_are_those_of_that_day(client: httpx2.AsyncClient, keys: IssuerKeys):
    path = "/api/merchant/rates?base=EUR&on=2024-12-31"
    answer = await client.get(path, headers=bearer(keys))

    found = {each["quote"]: each["rate"] for each in answer.json()["rates"]}
    assert (found["XOF"], found["USD"]) == (655.957, None)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("base=ZZZ", "unknown-currency"),
        ("base=x", "query-malformed"),
        ("on=yesterday", "query-malformed"),
        ("on=2026-02-30", "query-malformed"),
        ("quote=USD", "query-malformed"),
    ],
)
async def test_a_question_about_rates_of_another_shape_is_refused(
    app: FastAPI, client: httpx2.AsyncClient, keys: IssuerKeys, query: str, code: str
):
    assert app
    answer = await client.get(f"/api/merchant/rates?{query}", headers=bearer(keys))

    assert (answer.status_code, answer.json()["code"]) == (400, code)
