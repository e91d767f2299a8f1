"""Alerts that were dealt with, or need nothing, leave the list with who said so."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from callers import bearer

from builders import a_merchant, an_alert
from facts import look
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

AUDIT = "select action_type, changes from merchant.merchant_actions_audit order by created_at"


@pytest.fixture
async def alert(db: Database) -> str:
    await a_merchant(db)
    return await an_alert(db)


@pytest.fixture
def settle(client: httpx2.AsyncClient, keys: IssuerKeys) -> Any:
    async def settle(id_: str, body: object, **caller: object) -> httpx2.Response:
        headers = bearer(keys, **{"sub": "somebody", **caller})
        return await client.post(f"/api/merchant/alerts/{id_}/settle", headers=headers, json=body)

    return settle


@pytest.mark.parametrize("status", ["resolved", "dismissed"])
async def test_a_settled_alert_says_who_settled_it_and_as_what(
    settle: Any, db: Database, alert: str, status: str
):
    answer = await settle(alert, {"status": status})

    settled = answer.json()["alert"]
    assert (answer.status_code, settled["status"], settled["resolved_by"]) == (
        200,
        status,
        "somebody",
    )
    assert settled["resolved_at"].endswith("Z")
    assert await look(db, AUDIT) == [
        (f"alert_{status}", {"before": {"status": "active"}, "after": {"status": status}})
    ]


async def test_the_first_word_on_an_alert_stays(settle: Any, db: Database, alert: str):
    first = await settle(alert, {"status": "dismissed"})
    second = await settle(alert, {"status": "resolved"}, sub="somebody else")

    assert second.json() == first.json()
    assert len(await look(db, AUDIT)) == 1


async def test_an_alert_that_was_seen_can_be_settled_and_keeps_who_saw_it(
    settle: Any, client: httpx2.AsyncClient, keys: IssuerKeys, alert: str
):
    path = f"/api/merchant/alerts/{alert}/acknowledge"
    await client.post(path, headers=bearer(keys, sub="first"))

    settled = (await settle(alert, {"status": "resolved"})).json()["alert"]

    assert (settled["acknowledged_by"], settled["resolved_by"]) == ("first", "somebody")


async def test_another_merchants_alert_is_absent(settle: Any, db: Database, alert: str):
    await a_merchant(db, id_="merchant-other")
    foreign, absent = await an_alert(db, merchant_id="merchant-other"), str(uuid4())

    answers = [await settle(id_, {"status": "resolved"}) for id_ in (foreign, absent)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() | {"instance": ""} == answers[1].json() | {"instance": ""}
    assert await look(db, AUDIT) == []


@pytest.mark.parametrize("body", [{}, {"status": "active"}, {"status": None}, [], {"by": "me"}])
async def test_another_word_is_refused(settle: Any, alert: str, body: object):
    assert (await settle(alert, body)).status_code == 400


async def test_alerts_are_narrowed_by_kind_and_severity(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database, alert: str
):
    other = await an_alert(db, alert_type="admin_added")

    async def ids(query: str) -> list[str]:
        answer = await client.get(
            f"/api/merchant/alerts?{query}", headers=bearer(keys, sub="somebody")
        )
        return [row["id"] for row in answer.json()["rows"]]

    assert await ids("type=admin_added") == [other]
    assert await ids("severity=warning") == [other, alert]
    assert await ids("severity=critical") == []


async def test_the_page_offers_filters_and_settling(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database, alert: str
):
    await an_alert(db, alert_type="dispute_late")
    headers = bearer(keys, lang="en", sub="somebody") | {"Accept": "text/html"}

    every = await client.get("/alerts", headers=headers)
    some = await client.get("/alerts?type=dispute_late", headers=headers)
    none = await client.get("/alerts?severity=critical", headers=headers)

    assert every.text.count(f"/alerts/{alert}/settle") == 1
    assert f"/alerts/{alert}/settle" not in some.text
    assert "Nothing matches these filters" in none.text


async def test_the_overview_says_the_dollars_rate_its_day_and_source(
    client: httpx2.AsyncClient, keys: IssuerKeys, alert: str
):
    assert alert
    headers = bearer(keys, lang="en", sub="somebody") | {"Accept": "text/html"}

    shown = await client.get("/", headers=headers)

    assert "Dollars at 588.235 XOF a dollar" in shown.text
    assert "indicative" in shown.text
