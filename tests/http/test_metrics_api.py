"""POST /api/ops/metrics/events and the rules that judge: what is taken, refused, and by whom."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from callers import bearer, in_process
from fastapi import FastAPI

import builders
from measuring import Followed, a_watch, drain
from molam.kernel.clock import SystemClock
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

URL = "http://localhost:3136"
EVENTS = "/api/ops/metrics/events"
RULES = "/api/alerts/rules"
ADMIN = "ops-admin-1"


def an_event(**changed: Any) -> dict[str, Any]:
    told = {
        "metric": "float_available",
        "value": 500_000,
        "threshold": 1_000_000,
        "tenant_type": "agent",
        "tenant_id": "agent-123",
        "timestamp": (datetime.now(UTC) - timedelta(seconds=10)).isoformat(),
    }
    return {name: value for name, value in {**told, **changed}.items() if value is not ...}


@dataclass
class Api:
    client: httpx2.AsyncClient
    keys: IssuerKeys

    async def call(
        self, method: str, path: str, body: Any = None, *, who: str = ADMIN, **claims: Any
    ) -> httpx2.Response:
        good = {"sub": who, "merchant_id": None, "name": who, "acr": AAL2}
        good["roles"] = list(builders.OPERATIONS.get(who, ()))
        headers = bearer(self.keys, **{**good, **claims}) | {"Content-Type": "application/json"}
        content = body if isinstance(body, str) else json.dumps(body) if body else None
        return await self.client.request(method, path, content=content, headers=headers)

    async def post(self, body: Any, **how: Any) -> httpx2.Response:
        return await self.call("POST", EVENTS, body, **how)

    async def tighten(self, **fields: Any) -> httpx2.Response:
        scope = {
            "alert_type": "float_low",
            "metric": "float_available",
            "tenant_type": "agent",
            "currency": "XOF",
        }
        return await self.call("PUT", RULES, scope | fields)


@pytest.fixture
async def api(ops_site: FastAPI, db: Database, keys: IssuerKeys) -> AsyncIterator[Api]:
    await builders.operations(db)
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    async with in_process(ops_site, URL) as client:
        yield Api(client, keys)


async def test_what_is_posted_is_judged_by_the_rule(api: Api, worker_db: Database):
    answer = await api.post(an_event(threshold=5))
    later = await api.post({"events": [an_event(timestamp=datetime.now(UTC).isoformat())]})

    assert (answer.status_code, answer.json()) == (202, {"success": True, "accepted": 1})
    assert later.json() == {"success": True, "accepted": 1}
    followed = Followed()
    await drain(worker_db, a_watch(SystemClock()), followed)
    (opened,) = followed.transitions
    assert (opened.moved, opened.severity, opened.currency) == ("opened", "critical", "XOF")
    assert opened.context == {"threshold": 5}


async def test_who_is_not_registered_is_named_and_a_float_in_another_currency_refused(
    api: Api, db: Database
):
    known, early = an_event(), an_event(tenant_type="bank", tenant_id="bp_new", metric="hue")
    told = await api.post({"events": [known, early, early]})
    alone = await api.post(an_event(tenant_id="nobody"))
    naira = await api.post({"events": [known, an_event(currency="NGN")]})

    assert told.status_code == alone.status_code == 202
    assert (told.json()["accepted"], told.json()["unknown_tenants"]) == (
        3,
        [{"tenant_type": "bank", "tenant_id": "bp_new"}],
    )
    assert alone.json()["unknown_tenants"] == [{"tenant_type": "agent", "tenant_id": "nobody"}]
    assert (naira.status_code, naira.json()["code"]) == (400, "metric-malformed")
    assert "agent-123 is in XOF, not in NGN" in naira.json()["detail"]
    async with db.transaction("tests.count") as tx:
        assert await tx.connection.fetchval("select count(*) from platform.events") == 4


async def test_a_service_may_post_and_others_may_not(api: Api):
    service = await api.post(an_event(), who="service:float", roles=["service"])
    finance = await api.post(an_event(), who="finance-user-1")

    assert (service.status_code, finance.status_code) == (202, 403)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"value": "500000"}, "Expected `int | float`"),
        ({"value": True}, "Expected `int | float`"),
        ({"value": 1.5}, "whole minor units"),
        ({"value": 1e300}, "out of range"),
        ({"value": ...}, "value"),
        ({"metric": "Float!"}, "metric"),
        ({"metric": "recon_match_rate", "tenant_type": "bank", "value": 95}, "a share"),
        ({"tenant_id": ...}, "Name the tenant"),
        ({"tenant_type": "platform"}, "Name the tenant"),
        ({"tenant_type": "planet"}, "tenant_type"),
        ({"currency": "xof"}, "currency"),
        ({"timestamp": "2026-11-16T12:00:00"}, "timestamp"),
        ({"timestamp": "2999-11-16T12:00:00Z"}, "2199"),
        ({"timestamp": "2199-11-16T12:00:00Z"}, "not come yet"),
        ({"timestamp": "2026-01-01T12:00:00Z"}, "eight days"),
        ({"context": {"much": "x" * 5000}}, "4096 bytes"),
        ({"hue": "red"}, "hue"),
        ({"events": []}, "length"),
    ],
)
async def test_what_cannot_be_believed_is_refused_and_nothing_taken(
    api: Api, db: Database, changed: dict[str, Any], said: str
):
    event = an_event(**changed)
    alone = await api.post(event)
    in_a_list = await api.post({"events": [an_event(), event]})

    for answer in (alone, in_a_list):
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] in {"metric-malformed", "body-malformed"}
    assert said in alone.json()["detail"]
    async with db.transaction("tests.count") as tx:
        assert await tx.connection.fetchval("select count(*) from platform.events") == 0


async def test_one_and_many_are_not_sent_together(api: Api):
    answer = await api.post({**an_event(), "events": [an_event()]})

    assert (answer.status_code, answer.json()["code"]) == (400, "metric-malformed")


async def test_a_thousand_may_be_sent_and_no_more(api: Api):
    assert (await api.post({"events": [an_event()] * 1000})).json()["accepted"] == 1000
    assert (await api.post({"events": [an_event()] * 1001})).status_code == 400


async def test_numbers_of_any_writing_are_one_value(api: Api, db: Database):
    for value in ("0.97", "97e-2", "9.7e-1"):
        event = an_event(metric="recon_match_rate", tenant_type="bank", value=0)
        text = json.dumps(event).replace('"value": 0', f'"value": {value}')
        assert (await api.post(text)).status_code == 202

    async with db.transaction("tests.log") as tx:
        values = await tx.connection.fetch(
            "select payload -> 'data' ->> 'value' from platform.events"
        )
    assert {row[0] for row in values} == {"0.97"}


async def test_rules_are_listed_with_their_levels(api: Api):
    everything = (await api.call("GET", RULES)).json()["rules"]
    one = (await api.call("GET", f"{RULES}?alert_type=float_low&currency=XOF")).json()

    assert {rule["alert_type"] for rule in everything} >= {"float_low", "dlq_growth"}
    (rule,) = one["rules"]
    assert one["success"] is True
    assert (rule["fire_at"], rule["critical_at"], rule["unit"]) == (1_000_000, 500_000, "amount")


async def test_tightening_holds_at_once(api: Api):
    answer = await api.tighten(tenant_id="agent-123", fire_at=1_500_000, clear_at=1_600_000)
    again = await api.tighten(tenant_id="agent-123", fire_at=1_500_000)

    rule = answer.json()["rule"]
    assert answer.status_code == 200
    assert (rule["tenant_id"], rule["fire_at"], rule["version"]) == ("agent-123", 1_500_000, 1)
    assert rule["updated_by"] == ADMIN
    assert again.json()["rule"]["version"] == 2


async def test_loosening_is_refused_and_names_the_action(api: Api):
    answer = await api.tighten(fire_at=900_000)

    assert (answer.status_code, answer.json()["code"]) == (409, "alert-rule-loosened")
    assert answer.json()["action_type"] == "UPDATE_RISK_THRESHOLD"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"fire_at": 1.5}, 422),
        ({"fire_at": 10**18}, 422),
        ({"metric": "mood"}, 404),
        ({"for_s": -1}, 400),
        ({"hue": 1}, 400),
        ({"notify_roles": ["nobody", "finance_ops", "ops_admin"]}, 422),
    ],
)
async def test_a_rule_that_cannot_be_is_refused(api: Api, fields: dict[str, Any], status: int):
    assert (await api.tighten(**fields)).status_code == status


async def test_who_may_not_change_rules_is_refused(api: Api):
    body = {
        "alert_type": "float_low",
        "metric": "float_available",
        "tenant_type": "agent",
        "currency": "XOF",
    }
    answer = await api.call("PUT", RULES, body, who="finance-user-1")

    assert answer.status_code == 403
