"""/api/dashboard: figures of whom, by whom; widgets; recommendations and actions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from callers import bearer, in_process
from fastapi import FastAPI

import builders
import facts
from molam.ops.dashboard import aggregates
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

URL = "http://localhost:3136"
BASE = "/api/dashboard"
ADMIN, FINANCE = "ops-admin-1", "finance-user-1"
TILE = {
    "name": "Sales",
    "kind": "metric",
    "config": {"metric": "gmv"},
    "position": {"row": 9, "col": 0, "width": 3, "height": 2},
}


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
        content = None if body is None else json.dumps(body)
        return await self.client.request(method, BASE + path, content=content, headers=headers)

    async def get(self, path: str, **how: Any) -> Any:
        answer = await self.call("GET", path, **how)
        assert answer.status_code == 200, answer.text
        assert answer.json()["success"] is True
        return answer.json()


@pytest.fixture
async def api(
    ops_site: FastAPI, db: Database, worker_db: Database, keys: IssuerKeys
) -> AsyncIterator[Api]:
    await builders.operations(db)
    await builders.a_policy(db)
    await builders.a_merchant(db)
    await builders.an_agent(db, balance=700_000)
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    sold = facts.succeeded("tx-1", amount=5000, occurred_at=hour_ago, version=2)
    await facts.take_in(worker_db, [sold])
    await aggregates.refresh(worker_db)
    await aggregates.refresh_snapshots(worker_db, now=datetime.now(UTC))
    async with in_process(ops_site, URL) as client:
        yield Api(client, keys)


async def test_the_overview_has_the_figures_and_when_they_were_taken(api: Api) -> None:
    told = await api.get("/overview?tenantType=platform")
    assert told["snapshot"]["gmv"] == 5000
    assert told["snapshot"]["float_available"] == 700_000
    assert told["currency"] == "XOF"
    assert datetime.fromisoformat(told["snapshot_ts"]) <= datetime.now(UTC)
    own = await api.get("/overview?tenantType=merchant&tenantId=merchant-123")
    assert own["snapshot"]["transaction_count"] == 1


async def test_of_whom_nobody_registered_nothing_is_told(api: Api) -> None:
    (widget, *_) = (await api.get("/widgets"))["widgets"]
    for kind in ("merchant", "agent", "bank"):
        of = f"?tenantType={kind}&tenantId=nope"
        for path in ("/overview", "/metrics/gmv/timeseries", "/metrics/gmv/heatmap", "/alerts",
                     "/widgets", f"/widgets/{widget['id']}/data", "/sira/recommendations"):  # fmt: skip
            refused = await api.call("GET", path + of)
            assert (refused.status_code, refused.json()["code"]) == (404, f"{kind}-absent"), path
    known = await api.get("/overview?tenantType=agent&tenantId=agent-123")
    assert known["snapshot"]["gmv"] == 0


REFUSED = (
    ("/overview", 400),
    ("/overview?tenantType=merchant", 422),
    ("/overview?tenantType=platform&tenantId=x", 422),
    ("/overview?tenantType=platform&sql=1", 400),
    ("/metrics/gmv%29%20from%20pg_user/timeseries?tenantType=platform", 422),
    ("/metrics/gmv/timeseries?tenantType=platform&timeRange=7y", 422),
    ("/metrics/gmv/timeseries?tenantType=platform&groupBy=minute", 400),
    ("/metrics/gmv/timeseries?tenantType=merchant&tenantId=m&country=SN", 422),
    ("/metrics/gmv/timeseries?tenantType=platform&country=SN&region=CEMAC", 422),
    ("/alerts?tenantType=platform&severity=worst", 400),
    ("/map?lat=14", 400),
    ("/map?lat=14&lon=-17&country=SN", 400),
    ("/widgets/00000000-0000-4000-8000-0000000000ff/data", 404),
    ("/sira/recommendations/none", 404),
)


async def test_what_cannot_be_asked_is_refused(api: Api) -> None:
    for path, status in REFUSED:
        answer = await api.call("GET", path)
        assert answer.status_code == status, (path, answer.text)


async def test_a_series_has_every_bucket(api: Api) -> None:
    told = await api.get("/metrics/gmv/timeseries?tenantType=platform&timeRange=24h&groupBy=hour")
    assert len(told["data"]) == 24
    assert sum(point["value"] for point in told["data"]) == 5000
    assert (told["metric"], told["time_range"], told["group_by"]) == ("gmv", "24h", "hour")


@pytest.mark.parametrize(
    ("place", "sold"), [("country=SN", 5000), ("country=SN&region=WAEMU", 5000), ("country=GH", 0)]
)
async def test_whatever_is_asked_can_be_asked_of_a_country(api: Api, place: str, sold: int) -> None:
    of = f"?tenantType=platform&currency=XOF&{place}"
    assert (await api.get("/overview" + of))["snapshot"]["gmv"] == sold
    told = await api.get("/metrics/gmv/timeseries" + of)
    assert sum(point["value"] for point in told["data"]) == sold
    heat = (await api.get("/metrics/gmv/heatmap" + of))["cells"]
    assert sum(cell["value"] for cell in heat) == sold
    assert bool((await api.get(f"/map?{place}"))["agents"]) == bool(sold)
    for each in (await api.get("/widgets"))["widgets"]:
        data = (await api.get(f"/widgets/{each['id']}/data{of}"))["data"]
        if each["kind"] == "chart_line":
            assert sum(point["value"] for point in data["data"]) == sold
        elif each["kind"] in {"table", "map"}:
            assert bool(data.get("rows") or data.get("agents")) == bool(sold)


async def test_merchants_people_read_nothing_here(api: Api) -> None:
    for path in ("/overview?tenantType=merchant&tenantId=merchant-123", "/widgets", "/map"):
        answer = await api.call("GET", path, who="awa.diop", roles=["merchant_admin"])
        assert answer.status_code == 403


async def test_every_seeded_widget_shows_its_data(api: Api) -> None:
    listed = (await api.get("/widgets"))["widgets"]
    assert {each["name"] for each in listed} >= {"GMV Trend", "Top Countries", "Alerts"}
    for each in listed:
        told = await api.get(f"/widgets/{each['id']}/data")
        assert told["kind"] == each["kind"]


async def test_the_approvals_widget_has_the_specifications_fields(api: Api) -> None:
    asked = {
        "action_type": "FREEZE_MERCHANT",
        "target": {"tenant_type": "merchant", "tenant_id": "merchant-123"},
        "params": {"merchant_id": "merchant-123", "reason": "refunds"},
        "risk_level": "low",
    }
    created = await api.call("POST", "/ops/actions", asked)
    assert created.status_code == 201, created.text
    action_id = created.json()["action"]["id"]
    (widget,) = (
        each
        for each in (await api.get("/widgets"))["widgets"]
        if each["kind"] == "pending_approvals_list"
    )
    (shown,) = (await api.get(f"/widgets/{widget['id']}/data"))["data"]["actions"]
    assert shown["id"] == action_id
    assert set(shown) == {
        "id", "action_type", "status", "votes_approve", "votes_reject", "quorum_satisfied",
        "created_at", "expires_at",
    }  # fmt: skip
    # Whoever asked has no vote, and one person's vote is not two.
    own = await api.call("POST", f"/ops/actions/{action_id}/approve", {})
    assert own.status_code == 403
    other = await api.call("POST", f"/ops/actions/{action_id}/approve", {}, who="ops-admin-2")
    assert other.status_code == 200, other.text
    early = await api.call("POST", f"/ops/actions/{action_id}/execute", who="ops-admin-2")
    assert early.status_code == 409


async def test_a_widget_is_made_changed_arranged_and_removed(api: Api) -> None:
    made = await api.call("POST", "/widgets", TILE)
    assert made.status_code == 201, made.text
    id_ = made.json()["widget"]["id"]
    changed = await api.call("PUT", f"/widgets/{id_}", TILE | {"name": "Sold"})
    assert changed.json()["widget"]["name"] == "Sold"
    assert (await api.get(f"/widgets/{id_}/data"))["data"]["value"] == 5000
    place = {"widget_id": id_, "row": 0, "col": 0, "width": 12, "height": 1, "hidden": True}
    kept = await api.call("PUT", "/layout", {"places": [place]})
    (mine,) = (each for each in kept.json()["widgets"] if each["id"] == id_)
    assert mine["hidden"] is True
    theirs = (await api.get("/widgets", who=FINANCE))["widgets"]
    assert not any(each["hidden"] for each in theirs)
    assert (await api.call("DELETE", f"/widgets/{id_}", who=FINANCE)).status_code == 403
    assert (await api.call("DELETE", f"/widgets/{id_}")).status_code == 200
    assert (await api.call("DELETE", f"/widgets/{id_}")).status_code == 404


async def test_a_widget_of_certain_roles_is_absent_for_others(api: Api) -> None:
    made = await api.call("POST", "/widgets", TILE | {"required_roles": ["ops_admin"]})
    id_ = made.json()["widget"]["id"]
    assert id_ not in {each["id"] for each in (await api.get("/widgets", who=FINANCE))["widgets"]}
    assert (await api.call("GET", f"/widgets/{id_}/data", who=FINANCE)).status_code == 404


async def test_the_map_lists_agents_and_those_nearby(api: Api, db: Database) -> None:
    (agent,) = (await api.get("/map"))["agents"]
    assert (agent["id"], agent["float_available"], agent["floor"]) == (
        "agent-123",
        700_000,
        1_000_000,
    )
    assert (await api.get("/map?lat=14.7&lon=-17.4"))["agents"] == []
    assert (await api.get("/health"))["status"] == "ok"
    assert (await api.get("/metrics/gmv/heatmap?tenantType=platform"))["cells"]


async def recommend(db: Database, priority: str = "medium") -> str:
    id_ = uuid4()
    action = {
        "action_type": "ADJUST_FLOAT",
        "target": {"tenant_type": "agent", "tenant_id": "agent-123"},
        "params": {"agent_id": "agent-123", "adjustment": "top_up", "amount": 500_000},
    }
    async with db.transaction("tests.recommend") as tx:
        await tx.connection.execute(
            "insert into ops.sira_dash_recommendations (id, tenant_type, tenant_id,"
            " recommendation_type, title, description, suggested_action, confidence_score, subject,"
            " priority) values ($1, 'agent', 'agent-123', 'ADJUST_FLOAT', 'Top up', 'Low', $2, 0.80,"
            " $3, $3)",
            *(id_, action, priority),
        )
    return str(id_)


async def test_a_recommendation_is_applied_as_specified(api: Api, db: Database) -> None:
    id_ = await recommend(db)
    (shown,) = (await api.get("/sira/recommendations"))["recommendations"]
    assert (shown["id"], shown["status"], shown["confidence_score"]) == (id_, "pending", 0.8)
    path = f"/sira/recommendations/{id_}/apply"
    refused = await api.call("POST", path, who="pay-admin-1")
    assert refused.status_code == 403
    assert refused.json()["required_roles"] == "finance_ops, ops_admin"
    applied = await api.call("POST", path, who=FINANCE)
    assert applied.status_code == 200, applied.text
    assert set(applied.json()) == {"success", "message", "action_id"}
    now = (await api.get(f"/sira/recommendations/{id_}"))["recommendation"]
    assert (now["status"], now["ops_action_id"]) == (
        "pending_approval",
        applied.json()["action_id"],
    )
    reject = f"/sira/recommendations/{id_}/reject"
    late = await api.call("POST", reject, {"reason": "Non."}, who=FINANCE)
    assert late.status_code == 409


async def test_a_recommendation_is_said_no_to(api: Api, db: Database) -> None:
    id_ = await recommend(db)
    path = f"/sira/recommendations/{id_}"
    said = await api.call("POST", f"{path}/reject", {"reason": "Fermé."}, who=FINANCE)
    assert said.json()["recommendation"]["status"] == "rejected"
    assert (await api.call("POST", f"{path}/apply", who=FINANCE)).status_code == 409


async def test_alerts_are_told_in_the_dashboards_words(api: Api) -> None:
    assert (await api.get("/alerts?tenantType=platform"))["alerts"] == []
    absent = await api.call("POST", f"/alerts/{uuid4()}/acknowledge")
    assert absent.status_code == 404


async def test_what_is_urgently_recommended_is_an_alert(api: Api, db: Database) -> None:
    urgent, _ = await recommend(db, "high"), await recommend(db, "medium")
    (shown,) = (await api.get("/alerts?tenantType=platform&severity=critical,high"))["alerts"]
    assert {name: shown[name] for name in ("source", "category", "action_label")} == {
        "source": "sira",
        "category": "sira_recommendation",
        "action_label": "View Recommendation",
    }
    assert shown["action_url"] == f"/dashboard/sira/recommendations/{urgent}"
    for place, count in (("SN", 2), ("GH", 0)):
        of = f"?tenantType=platform&country={place}"
        assert len((await api.get(f"/sira/recommendations{of}"))["recommendations"]) == count
        assert len((await api.get(f"/alerts{of}"))["alerts"]) == count / 2
    await api.call("POST", f"/sira/recommendations/{urgent}/apply", who=FINANCE)
    taken = await api.get("/alerts?tenantType=agent&tenantId=agent-123&status=acknowledged")
    assert [each["id"] for each in taken["alerts"]] == [urgent]
