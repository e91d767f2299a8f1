"""GET /api/merchant/alerts and acknowledging one: once, by whom, and with a trail."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from callers import bearer

from builders import a_merchant, an_alert
from facts import look
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

AUDIT = (
    "select user_id, action_type, resource_type, resource_id, ip_address, user_agent, changes"
    " from merchant.merchant_actions_audit where merchant_id = 'merchant-123'"
)


@pytest.fixture
async def alert(db: Database) -> str:
    await a_merchant(db)
    return await an_alert(db)


@pytest.fixture
def acknowledge(client: httpx2.AsyncClient, keys: IssuerKeys) -> Any:
    async def acknowledge(id_: str, **caller: object) -> httpx2.Response:
        headers = bearer(keys, **{"sub": "somebody", **caller}) | {"User-Agent": "tests/1"}
        return await client.post(f"/api/merchant/alerts/{id_}/acknowledge", headers=headers)

    return acknowledge


async def ids(client: httpx2.AsyncClient, keys: IssuerKeys, query: str = "") -> list[str]:
    answer = await client.get(f"/api/merchant/alerts?{query}", headers=bearer(keys, sub="somebody"))
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["rows"]]


async def test_an_alert_says_what_happened_and_why(
    client: httpx2.AsyncClient, keys: IssuerKeys, alert: str
):
    answer = await client.get("/api/merchant/alerts", headers=bearer(keys, sub="somebody"))

    (row,) = answer.json()["rows"]
    assert (row["id"], row["alert_type"], row["severity"]) == (alert, "threshold_breach", "warning")
    assert (row["title"], row["description"], row["status"]) == ("Title", "Why", "active")
    assert (row["acknowledged_at"], row["acknowledged_by"]) == (None, None)


async def test_acknowledging_says_who_and_when_and_leaves_a_trail(
    acknowledge: Any, db: Database, alert: str
):
    answer = await acknowledge(alert)

    acknowledged = answer.json()["alert"]
    assert (answer.status_code, acknowledged["status"]) == (200, "acknowledged")
    assert acknowledged["acknowledged_by"] == "somebody"
    assert acknowledged["acknowledged_at"].endswith("Z")
    assert await look(db, AUDIT) == [
        (
            "somebody",
            "alert_acknowledged",
            "alert",
            alert,
            "127.0.0.1",
            "tests/1",
            {"before": {"status": "active"}, "after": {"status": "acknowledged"}},
        )
    ]


async def test_acknowledging_again_changes_nothing(acknowledge: Any, db: Database, alert: str):
    first = await acknowledge(alert)

    second = await acknowledge(alert, sub="somebody else")

    assert second.json() == first.json()
    assert len(await look(db, AUDIT)) == 1


async def test_of_many_who_acknowledge_at_once_one_does(acknowledge: Any, db: Database, alert: str):
    answers = await asyncio.gather(*(acknowledge(alert, sub=f"person-{n}") for n in range(8)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["alert"]["acknowledged_by"] for answer in answers}) == 1
    assert len(await look(db, AUDIT)) == 1


async def test_an_acknowledged_alert_leaves_the_active_list(
    acknowledge: Any, client: httpx2.AsyncClient, keys: IssuerKeys, db: Database, alert: str
):
    other = await an_alert(db, episode="another")
    await acknowledge(alert)

    assert await ids(client, keys) == [other]
    assert await ids(client, keys, "status=acknowledged") == [alert]
    assert await ids(client, keys, "status=all") == [other, alert]
    assert await ids(client, keys, "status=all&limit=1") == [other]


async def test_another_merchants_alert_is_absent_and_stays_as_it_was(
    acknowledge: Any, db: Database, alert: str
):
    await a_merchant(db, id_="merchant-other")
    foreign, absent = await an_alert(db, merchant_id="merchant-other"), str(uuid4())

    answers = [await acknowledge(id_) for id_ in (foreign, absent)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() | {"instance": ""} == answers[1].json() | {"instance": ""}
    assert await look(db, "select count(*) from merchant_alerts where status <> 'active'") == [(0,)]
    assert await look(db, "select 1 from merchant.merchant_actions_audit") == []


@pytest.mark.parametrize(
    "role", ["merchant_support", "merchant_accountant", "ops_admin", "service"]
)
async def test_only_an_admin_acknowledges(acknowledge: Any, db: Database, alert: str, role: str):
    answer = await acknowledge(alert, roles=[role])

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert answer.json()["required_roles"] == "merchant_admin"
    assert await look(db, AUDIT) == []


@pytest.mark.parametrize("id_", ["1", "not-a-uuid", "%00", "' or 1=1", "é" * 200])
async def test_what_is_no_id_is_absent(acknowledge: Any, alert: str, id_: str):
    assert alert
    assert (await acknowledge(id_)).status_code == 404


@pytest.mark.parametrize("query", ["status=open", "limit=0", "limit=201", "severity=high"])
async def test_a_query_of_another_shape_is_refused(
    client: httpx2.AsyncClient, keys: IssuerKeys, alert: str, query: str
):
    assert alert
    answer = await client.get(f"/api/merchant/alerts?{query}", headers=bearer(keys, sub="somebody"))

    assert (answer.status_code, answer.json()["code"]) == (400, "query-malformed")
