"""The specification's complete example over HTTP: measured, advised, voted, filled, audited."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from callers import bearer, in_process
from fastapi import FastAPI

import builders
from measuring import drain
from molam.alerts.episodes import commands as episodes
from molam.alerts.remediation import commands, following
from molam.alerts.runtime import Watch
from molam.approvals import commands as engine
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

TRAIL = ["created", "voted", "voted", "approved", "executing", "executed"]


class Api:
    """The operations app as people of `builders.OPERATIONS` and SIRA call it."""

    def __init__(self, client: Any, keys: IssuerKeys) -> None:
        self._client, self._keys = client, keys

    async def call(
        self, method: str, path: str, body: Any = None, *, who: str, key: str | None = None
    ) -> Any:
        roles = list(builders.OPERATIONS.get(who, ("service",)))
        said = {"sub": who, "roles": roles, "merchant_id": None, "name": who, "acr": AAL2}
        headers = bearer(self._keys, **said) | ({} if key is None else {"Idempotency-Key": key})
        return await self._client.request(method, path, json=body, headers=headers)

    async def post(self, path: str, body: Any = None, *, who: str) -> Any:
        return await self.call("POST", path, body, who=who)

    async def get(self, path: str, *, who: str = "ops-admin-1") -> Any:
        return (await self.call("GET", path, who=who)).json()


@pytest.fixture
async def api(ops_site: FastAPI, keys: IssuerKeys, db: Database) -> AsyncIterator[Api]:
    await builders.operations(db)
    await builders.a_policy(db)
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    async with in_process(ops_site, "http://localhost:3136") as client:
        yield Api(client, keys)


@pytest.fixture
def watch(ops_site: FastAPI) -> Watch:
    found: Watch = ops_site.state.watch
    return found


async def measured(api: Api, worker_db: Database, watch: Watch) -> dict[str, Any]:
    """Post the low float, let it be judged, and find the alert."""
    event = {
        "metric": "float_available",
        "value": 500_000,
        "threshold": 1_000_000,
        "tenant_type": "agent",
        "tenant_id": "agent-123",
        "timestamp": (datetime.now(UTC) - timedelta(seconds=10)).isoformat(),
    }
    taken = await api.post("/api/ops/metrics/events", event, who="ops-admin-1")
    assert taken.status_code == 202, taken.text
    await drain(worker_db, watch, episodes.apply)
    listed = await api.get("/api/alerts?tenantType=agent&tenantId=agent-123")
    (alert,) = listed["alerts"]
    return dict(alert)


async def decide(api: Api, action_id: str) -> Any:
    for who in ("finance-user-1", "finance-user-2"):
        voted = await api.post(f"/api/ops/actions/{action_id}/vote", {"vote": "approve"}, who=who)
        assert voted.status_code == 200, voted.text
    return await api.post(f"/api/ops/actions/{action_id}/execute", who="ops-admin-1")


async def test_a_low_float_is_filled_after_two_votes(
    api: Api, watch: Watch, db: Database, worker_db: Database
) -> None:
    async with db.transaction("tests.enable") as tx:
        await tx.connection.execute(
            "update alerts.remediation_policies set enabled = true, share_of_targets = 1"
            " where alert_type = 'float_low'"
        )
    alert = await measured(api, worker_db, watch)
    await commands.remediate(worker_db, watch, UUID(alert["id"]))
    linked = (await api.get(f"/api/alerts/{alert['id']}"))["alert"]
    action_id = linked["remedied_by_action_id"]

    executed = await decide(api, action_id)
    await following.follow_action(worker_db, watch, UUID(action_id))
    after = (await api.get(f"/api/alerts/{alert['id']}"))["alert"]
    action = (await api.get(f"/api/ops/actions/{action_id}"))["action"]
    audit = (await api.get(f"/api/ops/actions/{action_id}/audit"))["audit"]
    decided = await api.get(f"/api/alerts/{alert['id']}/decisions")

    assert (alert["severity"], alert["status"]) == ("critical", "open")
    assert action["params"]["amount"] == {"currency": "XOF", "minor": 1_000_000}
    assert action["context"]["alert_id"] == alert["id"]
    assert action["context"]["sira_confidence"] in {0.95, "0.95"}
    assert executed.json()["success"] is True
    assert await builders.balance_of(db, "agent:agent-123:float:XOF") == 1_500_000
    assert after["status"] == "auto_remediated"
    assert after["remedied_by_action_id"] == action_id
    assert [each["action"] for each in audit][:6] == TRAIL
    assert [each["decision"]["action"] for each in decided["decisions"]] == [
        "suggest",
        "create_ops_action",
        "execute",
    ]


async def test_asking_by_hand_takes_the_action_of_the_alerts_type(
    api: Api, watch: Watch, db: Database, worker_db: Database
) -> None:
    alert = await measured(api, worker_db, watch)

    first = await api.post(f"/api/alerts/{alert['id']}/remediate", who="ops-admin-1")
    again = await api.post(f"/api/alerts/{alert['id']}/remediate", who="ops-admin-1")
    refused = await api.post(f"/api/alerts/{alert['id']}/remediate", who="finance-user-1")
    absent = await api.post("/api/alerts/nothing/remediate", who="ops-admin-1")
    other = {"action_type": "FREEZE_MERCHANT"}
    unknown = await api.post(f"/api/alerts/{alert['id']}/remediate", other, who="ops-admin-1")
    answer = first.json()
    action = (await api.get(f"/api/ops/actions/{answer['action_id']}"))["action"]

    assert (answer["success"], answer["message"]) == (True, "Remediation action created")
    assert again.json()["action_id"] == answer["action_id"]
    assert (refused.status_code, absent.status_code) == (403, 404)
    assert (unknown.status_code, unknown.json()["code"]) == (400, "body-malformed")
    assert action["action_type"] == "ADJUST_FLOAT"
    assert action["idempotency_key"] == f"alert-{alert['id']}-manual-remediation"
    assert action["created_by"] == "ops-admin-1"


async def test_a_policy_is_tightened_at_once_and_loosened_by_two_people(api: Api) -> None:
    path = "/api/remediation-policies/float_low"
    tighter = await api.call("PUT", path, {"auto_threshold": 0.97}, who="ops-admin-1")
    looser = await api.call(
        "PUT", path, {"enabled": True, "auto_threshold": 0.9}, who="ops-admin-1"
    )
    unknown = await api.call("PUT", path, {"enable": True}, who="ops-admin-1")
    waiting = looser.json()
    for who in ("ops-admin-2", "finance-user-1"):
        await api.post(
            f"/api/ops/actions/{waiting['action_id']}/vote", {"vote": "approve"}, who=who
        )
    executed = await api.post(f"/api/ops/actions/{waiting['action_id']}/execute", who="ops-admin-3")
    after = (await api.get(path))["policy"]

    assert tighter.json()["policy"]["auto_threshold"] == 0.97
    assert waiting["policy"]["enabled"] is False
    assert sorted(waiting["loosened"]) == ["auto_threshold", "enabled"]
    assert unknown.status_code == 400
    assert executed.json()["success"] is True, executed.text
    assert (after["enabled"], after["auto_threshold"]) == (True, 0.9)
    assert (
        await api.call("GET", "/api/remediation-policies/none", who="ops-admin-1")
    ).status_code == 404


async def test_a_level_is_changed_once_others_agree(
    api: Api, watch: Watch, worker_db: Database
) -> None:
    await measured(api, worker_db, watch)
    asked = await api.post(
        "/api/ops/actions",
        {
            "origin": "ops_ui",
            "action_type": "UPDATE_RISK_THRESHOLD",
            "params": {
                "threshold": 400_000,
                "alert_type": "float_low",
                "metric": "float_available",
                "tenant_type": "agent",
                "currency": "XOF",
            },
        },
        who="pay-admin-1",
    )
    action = asked.json()["action"]
    for who in ("ops-admin-1", "ops-admin-2"):
        await api.post(f"/api/ops/actions/{action['id']}/vote", {"vote": "approve"}, who=who)
    executed = await api.post(f"/api/ops/actions/{action['id']}/execute", who="ops-admin-3")
    rules = await api.get("/api/alerts/rules?alert_type=float_low&currency=XOF")

    assert asked.status_code == 201, asked.text
    changes = {each["what"]: (each["before"], each["after"]) for each in action["plan"]["changes"]}
    assert changes["alert_rule.fire_at"] == tuple(
        {"currency": "XOF", "minor": minor} for minor in (1_000_000, 400_000)
    )
    assert set(changes) == {
        "alert_rule.fire_at",
        "alert_rule.clear_at",
        "alert_rule.critical_at",
        "alerts_of_30_days",
    }
    assert changes["alerts_of_30_days"] == (1, 0)
    title = re.sub(r"\s", " ", action["plan"]["title"]["en"])
    assert title == (
        "Alert under 400,000 F CFA (over again at 440,000 F CFA, critical under 200,000 F CFA)"
        " for Low float, XOF"
    )
    done = {each["what"] for each in executed.json()["result"]["changes"]}
    assert done == set(changes) - {"alerts_of_30_days"}
    assert executed.json()["result"]["threshold"] == "400000", executed.text
    assert rules["rules"][0]["fire_at"] == 400_000


def squatted(alert: dict[str, Any]) -> dict[str, Any]:
    """What takes the key of an alert's own action, and does something else."""
    return {
        "origin": "ops_ui",
        "action_type": "ADJUST_FLOAT",
        "idempotency_key": f"alert-{alert['id']}-remediation",
        "params": {"agent_id": "agent-123", "adjustment": "top_up", "amount": 1},
    }


async def enabled(db: Database) -> None:
    async with db.transaction("tests.enable") as tx:
        await tx.connection.execute(
            "update alerts.remediation_policies set enabled = true, share_of_targets = 1"
            " where alert_type = 'float_low'"
        )


async def test_nobody_takes_the_key_of_an_alerts_action_before_it(
    api: Api, watch: Watch, db: Database, worker_db: Database
) -> None:
    await enabled(db)
    alert = await measured(api, worker_db, watch)
    asked = squatted(alert)

    answers = [
        await api.post("/api/ops/actions", {**asked, "idempotency_key": key}, who="ops-admin-2")
        for key in (
            asked["idempotency_key"],
            f"alert-{alert['id']}-manual-remediation",
            f"alert-{alert['id']}-sira-rec",
            f"sira-rec-{alert['id']}-apply",
        )
    ]
    header = await api.call(
        "POST",
        "/api/ops/actions",
        {**asked, "idempotency_key": None},
        who="ops-admin-2",
        key=asked["idempotency_key"],
    )
    action = await commands.remediate(worker_db, watch, UUID(alert["id"]))

    assert {each.json()["code"] for each in [*answers, header]} == {"idempotency-key-reserved"}
    assert action is not None
    assert action.idempotency_key == asked["idempotency_key"]


async def test_without_the_reserve_the_alert_would_have_no_action(
    api: Api, watch: Watch, db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RESERVED_KEYS", re.compile("nothing"))
    await enabled(db)
    alert = await measured(api, worker_db, watch)
    taken = await api.post("/api/ops/actions", squatted(alert), who="ops-admin-2")

    assert taken.status_code == 201, taken.text
    assert await commands.remediate(worker_db, watch, UUID(alert["id"])) is None


async def test_a_service_asks_under_the_key_of_an_alert(api: Api) -> None:
    asked = {
        "origin": "alert",
        "action_type": "ADJUST_FLOAT",
        "params": {"agent_id": "agent-123", "adjustment": "top_up", "amount": 1_000_000},
    }
    keys = ("alert-1-remediation", "alert-0199d1b0-0000-7000-8000-000000000001-sira-rec")
    first, second = [
        await api.post("/api/ops/actions", {**asked, "idempotency_key": key}, who="sira-system")
        for key in keys
    ]

    assert first.status_code == 201, first.text
    assert second.json()["code"] == "action-twin-open"


async def test_a_policy_outside_of_its_bounds_is_refused_in_words(api: Api) -> None:
    asked = {"auto_action": {"action_type": "FREEZE_MERCHANT", "params": {"duration": "25h"}}}

    refused = await api.call(
        "PUT", "/api/remediation-policies/refund_spike", asked, who="ops-admin-1"
    )

    said = refused.json()
    assert refused.status_code == 422
    assert (said["code"], said["bound"]) == ("remediation-policy-out-of-bounds", "duration_max")
    assert said["detail"] == "FREEZE_MERCHANT: duration is at most 24h, and not 25h."
