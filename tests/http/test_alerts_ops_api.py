"""/api/alerts: reading, taking on, ending and quieting alerts, and who may."""

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
from alerting import a_transition, happen, one
from measuring import a_rule
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

URL = "http://localhost:3136"
ADMIN = "ops-admin-1"


@dataclass
class Api:
    client: httpx2.AsyncClient
    keys: IssuerKeys

    async def send(
        self, method: str, path: str, body: Any = None, *, who: str = ADMIN, **claims: Any
    ) -> httpx2.Response:
        good = {"sub": who, "merchant_id": None, "name": who, "acr": AAL2}
        good["roles"] = list(builders.OPERATIONS.get(who, ()))
        headers = bearer(self.keys, **{**good, **claims}) | {"Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        return await self.client.request(method, path, content=content, headers=headers)

    async def call(self, method: str, path: str, *said: Any, **how: Any) -> httpx2.Response:
        return await self.send(method, f"/api/alerts{path}", *said, **how)

    async def get(self, path: str, **how: Any) -> Any:
        return (await self.call("GET", path, **how)).json()


@pytest.fixture
async def api(ops_site: FastAPI, db: Database, keys: IssuerKeys) -> AsyncIterator[Api]:
    await builders.operations(db)
    await builders.an_agent(db)
    async with in_process(ops_site, URL) as client:
        yield Api(client, keys)


def in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def test_alerts_of_one_kind_of_tenant_are_listed_newest_first(api: Api, worker_db: Database):
    first = await one(worker_db)
    second = await one(worker_db, [a_transition(tenant_id="agent-9", severity="warning")])

    listed = await api.get("?tenantType=agent")
    assert [each["id"] for each in listed["alerts"]] == [str(second.id), str(first.id)]
    assert listed["alerts"][1]["metric"] == {
        "metric": "float_available",
        "value": 500_000,
        "threshold": 1_000_000,
        "previous_value": None,
        "context": {},
    }
    assert (await api.get("?tenantType=merchant"))["count"] == 0
    by = "?tenantType=agent&tenantId=agent-9&severity=info,warning&status=open&limit=1"
    assert [each["id"] for each in (await api.get(by))["alerts"]] == [str(second.id)]


async def test_who_has_no_alerts_is_told_from_whom_nobody_registered(api: Api, worker_db: Database):
    await one(worker_db, [a_transition(tenant_id="agent-early")])

    for path in ("", "/stats"):
        refused = await api.call("GET", f"{path}?tenantType=merchant&tenantId=nope")
        assert (refused.status_code, refused.json()["code"]) == (404, "merchant-absent")
    # Alerts of whom nobody registered yet are alerts all the same.
    assert (await api.get("?tenantType=agent&tenantId=agent-early"))["count"] == 1


@pytest.mark.parametrize(
    "query",
    ["", "?tenantType=planet", "?tenantType=agent&severity=red", "?tenantType=agent&limit=101",
     "?tenantType=agent&limit=0", "?tenantType=agent&offset=-1", "?tenantType=agent&hue=red",
     "?tenantType=agent&offset=10000000"],
)  # fmt: skip
async def test_what_cannot_be_asked_for_is_refused(api: Api, query: str):
    assert (await api.call("GET", query)).status_code == 400


async def test_one_alert_is_shown_with_what_happened_to_it(api: Api, worker_db: Database):
    alert = await one(worker_db)
    taken = await api.call("POST", f"/{alert.id}/acknowledge", {"note": "On it."})
    shown = await api.get(f"/{alert.id}")

    assert (taken.json()["alert"]["status"], shown["alert"]["note"]) == ("acknowledged", "On it.")
    assert [each["moved"] for each in shown["moves"]] == ["acknowledged", "opened"]
    assert shown["moves"][0]["by"] == ADMIN


@pytest.mark.parametrize("path", ["acknowledge", "resolve", "silence", "notes"])
async def test_an_alert_that_there_is_not_cannot_be_decided(api: Api, path: str):
    body = {"note": "x"} if path == "notes" else {}
    if path == "silence":
        body = {"reason": "Because.", "minutes": 5}
    for id_ in (uuid4(), "nonsense"):
        answer = await api.call("POST", f"/{id_}/{path}", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "alert-not-found")


async def test_what_is_over_stays_over(api: Api, worker_db: Database):
    alert = await one(worker_db)
    ended = await api.call("POST", f"/{alert.id}/resolve", {})
    assert ended.json()["alert"]["status"] == "resolved"

    for path in ("acknowledge", "resolve"):
        answer = await api.call("POST", f"/{alert.id}/{path}", {})
        assert (answer.status_code, answer.json()["code"]) == (409, "alert-over")


async def test_one_alert_is_silenced_by_somebody_who_proves_who_they_are(
    api: Api, worker_db: Database
):
    alert = await one(worker_db)
    body = {"reason": "Being moved.", "minutes": 30}
    unproved = await api.call("POST", f"/{alert.id}/silence", body, acr="aal1")
    quiet = await api.call("POST", f"/{alert.id}/silence", body)

    assert unproved.status_code == 401
    assert unproved.json()["code"] == "step-up-required"
    assert quiet.json()["alert"]["status"] == "suppressed"
    assert (await api.get("?tenantType=agent&status=suppressed"))["count"] == 1
    (own,) = (await api.get("/silences"))["silences"]
    assert (own["id"], own["matcher"]) == (str(alert.id), {"alert_id": str(alert.id)})
    ended = await api.call("DELETE", f"/silences/{alert.id}")
    again = await api.call("DELETE", f"/silences/{alert.id}")
    assert ended.json()["silence"]["ended_by"] == ADMIN
    assert again.json()["code"] == "silence-over"
    assert (await api.get("?tenantType=agent&status=suppressed"))["count"] == 0


async def test_a_note_says_something(api: Api, worker_db: Database):
    alert = await one(worker_db)
    blank = await api.call("POST", f"/{alert.id}/notes", {"note": " \n\t"})

    assert blank.status_code == 400
    assert (await api.call("POST", f"/{alert.id}/notes", {"note": " On it.\n"})).is_success


async def test_a_silence_is_previewed_begun_listed_and_ended(api: Api, worker_db: Database):
    await one(worker_db)
    matcher = {"tenant_id": "agent-123"}
    preview = await api.call("POST", "/silences/preview", {"matcher": matcher})
    body = {"matcher": matcher, "reason": "Being moved.", "ends_at": in_an_hour()}
    begun = await api.call("POST", "/silences", body)

    assert preview.json()["quiets"] == 1
    assert begun.status_code == 201
    id_ = begun.json()["silence"]["id"]
    assert [each["id"] for each in (await api.get("/silences"))["silences"]] == [id_]
    assert (await api.call("DELETE", f"/silences/{id_}")).status_code == 200
    again = await api.call("DELETE", f"/silences/{id_}")
    assert (again.status_code, again.json()["code"]) == (409, "silence-over")
    assert (await api.get("/silences"))["silences"] == []
    assert len((await api.get("/silences?over=yes"))["silences"]) == 1
    absent = await api.call("DELETE", f"/silences/{uuid4()}")
    assert absent.json()["code"] == "silence-absent"


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"matcher": {}}, 422),
        ({"matcher": {"colour": "red"}}, 400),
        ({"ends_at": "2020-01-01T00:00:00Z"}, 422),
        ({"ends_at": "2199-01-01T00:00:00Z"}, 422),
        ({"reason": "x"}, 400),
    ],
)
async def test_a_silence_that_is_too_wide_or_too_long_is_refused(
    api: Api, changed: dict[str, Any], status: int
):
    body = {"matcher": {"tenant_id": "a"}, "reason": "Being moved.", "ends_at": in_an_hour()}
    assert (await api.call("POST", "/silences", body | changed)).status_code == status


async def test_a_silence_that_cannot_cover_critical_alerts_needs_no_fresh_proof(api: Api):
    body = {"matcher": {"severity": "warning"}, "reason": "Noise.", "ends_at": in_an_hour()}

    assert (await api.call("POST", "/silences", body, acr="aal1")).status_code == 201
    del body["matcher"]["severity"]  # type: ignore[attr-defined]
    body["matcher"] = {"tenant_type": "agent"}
    assert (await api.call("POST", "/silences", body, acr="aal1")).status_code == 401


QUIETER = {
    "source": {"alert_type": "float_low", "severity": "critical"},
    "target": {"alert_type": "refund_spike"},
}


async def voted(api: Api, action_id: str, vote: str, *people: str) -> None:
    for who in people:
        path = f"/api/ops/actions/{action_id}/vote"
        answer = await api.send("POST", path, {"vote": vote}, who=who)
        assert answer.status_code == 200, answer.text


async def quiet(api: Api) -> list[str]:
    found = (await api.get("?tenantType=merchant"))["alerts"]
    return [each["id"] for each in found if each["is_inhibited"]]


async def test_what_quiets_more_others_agree_to_and_what_quiets_less_holds_at_once(
    api: Api, db: Database, worker_db: Database
):
    refunds = a_rule(alert_type="refund_spike", tenant_type="merchant", currency=None)
    await one(worker_db)
    spike = await one(worker_db, [a_transition(rule=refunds, tenant_id="m-1")])
    path = "/inhibitions/float-quiets-refunds"
    asked = (await api.call("PUT", path, QUIETER)).json()
    twin = await api.call("PUT", path, QUIETER)
    before = await quiet(api)
    await voted(api, asked["action_id"], "approve", "ops-admin-2", "finance-user-1")
    done = await api.send("POST", f"/api/ops/actions/{asked['action_id']}/execute", {}, who=ADMIN)
    after = await quiet(api)
    narrower = {**QUIETER, "equal": ["tenant_type", "tenant_id"]}
    less = (await api.call("PUT", path, narrower)).json()
    freed = await quiet(api)
    wider = (await api.call("PUT", path, QUIETER | {"target": {"severity": "warning"}})).json()

    assert (asked["inhibition"], asked["loosened"]) == (None, ["enabled"])
    assert (twin.status_code, twin.json()["code"]) == (409, "action-twin-open")
    assert done.json()["success"] is True, done.text
    assert (before, after, freed) == ([], [str(spike.id)], [])
    assert (less["action_id"], less["inhibition"]["equal"]) == (None, ["tenant_id", "tenant_type"])
    assert sorted(wider["loosened"]) == ["equal", "target"]
    removed = await api.call("DELETE", path)
    assert removed.json()["inhibition"]["id"] == "float-quiets-refunds"
    assert (await api.call("DELETE", path)).json()["code"] == "inhibition-absent"
    async with db.transaction("tests.record") as tx:
        told = await tx.connection.fetch(
            "select action from audit.ops_approval_audit where chain = 'alerts' order by seq"
        )
    assert [each[0] for each in told] == [
        "inhibition.changed", "inhibition.changed", "inhibition.removed"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("id_", "changed", "status"),
    [
        ("x", {"source": {}}, 422),
        ("x", {"source": {"severity": "critical"}, "target": {"tenant_type": "agent"}}, 422),
        ("x", {"source": {"alert_type": "recon_match_drop"}, "target": {"alert_type": "payout_fail_rate"}}, 422),
        ("Upper", {}, 422),
        ("x", {"equal": ["colour"]}, 400),
        ("x", {"until": "ever"}, 400),
    ],
)  # fmt: skip
async def test_an_inhibition_by_which_alerts_quiet_themselves_is_refused(
    api: Api, id_: str, changed: dict[str, Any], status: int
):
    before = await api.get("/inhibitions")
    answer = await api.call("PUT", f"/inhibitions/{id_}", QUIETER | changed)

    assert answer.status_code == status, answer.text
    assert await api.get("/inhibitions") == before
    assert (
        await api.call("PUT", "/inhibitions/x", QUIETER, who="finance-user-1")
    ).status_code == 403


async def test_stats_count_what_is_open_and_how_alerts_ended(api: Api, worker_db: Database):
    await one(worker_db)
    await happen(worker_db, a_transition("resolved", 60))
    await one(worker_db, [a_transition(tenant_id="agent-9", severity="warning")])

    said = await api.get("/stats")
    assert said["active_alerts_by_severity"] == {"info": 0, "warning": 1, "critical": 0}
    (low,) = said["auto_remediation_stats"]
    assert (low["open_count"], low["resolved_count"]) == (1, 1)
    of_one = await api.get("/stats?tenantType=agent&tenantId=agent-123")
    assert of_one["active_alerts_by_severity"]["warning"] == 0
    health = await api.get("/health")
    assert (health["status"], health["pending"], health["critical"]) == ("ok", 1, 0)


async def test_who_may_read_take_on_end_and_quiet_differs(api: Api, worker_db: Database):
    alert = await one(worker_db)

    async def status(method: str, path: str, who: str, body: Any = None) -> int:
        return (await api.call(method, path, body, who=who)).status_code

    assert await status("GET", "?tenantType=agent", "compliance-1") == 200
    assert await status("POST", f"/{alert.id}/resolve", "finance-user-1") == 403
    assert await status("POST", f"/{alert.id}/acknowledge", "finance-user-1", {}) == 200
    assert await status("POST", f"/{alert.id}/acknowledge", "ops-admin-2", {}) == 409
    quiet = {"reason": "Because.", "minutes": 5}
    assert await status("POST", f"/{alert.id}/silence", "compliance-1", quiet) == 403
    assert await status("GET", "/inhibitions", "compliance-1") == 200
