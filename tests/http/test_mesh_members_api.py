"""Regions, members, policies and switches as programs and the control room meet them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from callers import in_process
from room_console import URL, Room

from molam.entrypoints.wiring_mesh import mesh_app
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.banks_demo import seed_banks
from molam.simulator.issuer_keys import IssuerKeys
from molam.simulator.mesh_demo import MEMBERS, seed_mesh
from molam.simulator.seed import seed_demo

TREASURER, ADMIN, COMPLIANCE, VIEWER = (
    "selorm.agbeko",
    "ibrahima.ba",
    "mariama.cisse",
    "lamine.diouf",
)
POLICY = "/api/mesh/policies/policy_cedeao"
FIELDS = {
    "name": "CEDEAO default",
    "priority": "100",
    "compliance_checks": "kyc_verified contract_signed",
}


@pytest.fixture
async def room(settings: Settings, keys: IssuerKeys, db: Database) -> AsyncIterator[Room]:
    now = datetime.now(UTC)
    await seed_demo(db, now)
    await seed_banks(db, now)
    await seed_mesh(db, now)
    app = mesh_app(settings)
    async with app.router.lifespan_context(app), in_process(app, URL) as client:
        yield Room(client, keys, app)


async def send(
    room: Room, method: str, path: str, body: Any, who: str = TREASURER, **headers: str
) -> httpx2.Response:
    return await room._client.request(method, path, json=body, headers=room._as(who) | headers)


async def test_the_mesh_is_read_by_id_and_by_name(room: Room):
    regions = (await room.get("/api/mesh/regions", VIEWER)).json()
    assert regions["ok"] is True
    assert [each["id"] for each in regions["regions"]] == [
        "region_cedeao",
        "region_eu",
        "region_global",
        "region_us",
    ]
    cedeao = regions["regions"][0]
    assert (cedeao["approval_threshold"], cedeao["approval_currency"]) == (10_000_000, "XOF")
    assert "SN" in cedeao["countries"]

    by_name = (await room.get("/api/mesh/members?region=CEDEAO&limit=3", VIEWER)).json()
    by_id = (await room.get("/api/mesh/regions/region_cedeao/members?limit=3")).json()
    assert by_name == by_id
    assert by_id["members"][0]["bank_profile_id"] == "bp_123"
    every = (await room.get("/api/mesh/members")).json()["members"]
    assert len(every) == len(MEMBERS)

    assert (await room.get("/api/mesh/members?region=Atlantis")).status_code == 404
    assert (await room.get("/api/mesh/members?limit=NaN")).status_code == 400
    assert (await room.get("/api/mesh/members?limit=101")).status_code == 400


async def test_a_member_waits_for_others(room: Room, db: Database):
    async with db.transaction("tests.out") as tx:
        await tx.connection.execute(
            "delete from mesh.mesh_members where bank_profile_id = 'bp_lagune'"
        )
    body = {"mesh_region_id": "CEDEAO", "bank_profile_id": "bp_lagune", "role": "tertiary"}

    asked = await send(room, "POST", "/api/mesh/members", body)

    assert asked.status_code == 202, asked.text
    member, action = asked.json()["member"], asked.json()["action"]
    assert (member["status"], action["action_type"]) == ("pending_approval", "ADD_MESH_MEMBER")
    assert member["ops_action_id"] == action["id"]
    assert member["capabilities"] == {
        "max_amount_per_txn": 10_000_000,
        "daily_volume_limit": 100_000_000,
        "supported_currencies": ["XOF", "EUR", "USD"],
        "cross_border_enabled": True,
        "settlement_time_hours": 24,
        "sla_uptime_pct": "99.9",
    }
    again = await send(room, "POST", "/api/mesh/members", body)
    assert (again.status_code, again.json()["code"]) == (409, "mesh-member-exists")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"bank_profile_id": "bp_123"}, 400, "missing-required-fields"),
        ({"mesh_region_id": "X", "bank_profile_id": "bp_123"}, 404, "region-absent"),
        ({"mesh_region_id": "EU", "bank_profile_id": "bp_none"}, 404, "bank-absent"),
        (
            {
                "mesh_region_id": "EU",
                "bank_profile_id": "bp_123",
                "capabilities": {"max_amount_per_txn": 1.5},
            },
            422,
            "capabilities-refused",
        ),
        (
            {"mesh_region_id": "EU", "bank_profile_id": "bp_123", "status": "active"},
            400,
            "body-malformed",
        ),
    ],
)
async def test_what_is_no_member_is_refused(
    room: Room, body: dict[str, Any], status: int, code: str
):
    refused = await send(room, "POST", "/api/mesh/members", body)

    assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_a_policy_is_changed_as_it_was_seen(room: Room):
    seen = await room.get(POLICY)
    assert seen.headers["etag"] == '"1"'
    assert seen.json()["policy"]["rules"]["min_confidence_for_auto"] == "0.85"
    assert seen.json()["policy"]["auto_confidence_threshold"] == 0.85

    tighter = await send(
        room, "PUT", POLICY, {"rules": {"cooldown_minutes": 30}}, **{"If-Match": '"1"'}
    )
    assert (tighter.status_code, tighter.json()["policy"]["version"]) == (200, 2)
    stale = await send(
        room, "PUT", POLICY, {"rules": {"cooldown_minutes": 31}}, **{"If-Match": '"1"'}
    )
    assert (stale.status_code, stale.json()["code"]) == (409, "mesh-policy-stale")
    looser = await send(room, "PUT", POLICY, {"rules": {}, "mode": "auto"}, ADMIN)
    assert looser.status_code == 202
    assert looser.json()["loosened"] == ["mode"]
    assert looser.json()["policy"]["mode"] == "approval_required"

    for body, code in (
        ({}, "missing-rules"),
        ({"rules": {"nonsense": 1}}, "mesh-rules-refused"),
        ({"rules": {"mode": "auto"}, "mode": "approval_required"}, "mesh-rules-refused"),
    ):
        refused = await send(room, "PUT", POLICY, body)
        assert refused.json()["code"] == code
    past = (await room.get(f"{POLICY}/history")).json()["versions"]
    assert [(each["version"], each["document"]["rules"]["cooldown_minutes"]) for each in past] == [
        (1, 15)
    ]


async def test_a_policy_is_written(room: Room):
    body = {
        "mesh_region_id": "EU",
        "name": "Careful",
        "priority": 1,
        "rules": {"applies_per_hour": 1},
    }

    made = await send(room, "POST", "/api/mesh/policies", body)

    assert made.status_code == 201, made.text
    listed = (await room.get("/api/mesh/policies?mesh_region_id=EU", VIEWER)).json()["policies"]
    assert [each["name"] for each in listed] == ["Careful", "EU default"]


async def test_a_policy_without_rules_is_none(room: Room):
    body = {"mesh_region_id": "EU", "name": "Careful"}

    refused = await send(room, "POST", "/api/mesh/policies", body)
    assert (refused.status_code, refused.json()["code"]) == (400, "missing-rules")

    made = await send(room, "POST", "/api/mesh/policies", {**body, "rules": {}})
    assert made.status_code in {201, 202}


async def test_one_new_policy_is_asked_for_once(room: Room):
    body = {"mesh_region_id": "EU", "name": "Bold", "priority": 1, "rules": {"mode": "auto"}}

    first = await send(room, "POST", "/api/mesh/policies", body)
    again = await send(room, "POST", "/api/mesh/policies", {**body, "rules": {"mode": "auto"}})
    other = await send(room, "POST", "/api/mesh/policies", {**body, "name": "Bolder"})
    taken = await send(room, "POST", "/api/mesh/policies", {**body, "name": "EU default"})

    assert first.status_code == 202
    assert (again.status_code, again.json()["code"]) == (409, "action-twin-open")
    assert other.status_code == 202
    assert (taken.status_code, taken.json()["code"]) == (409, "mesh-policy-name-taken")


async def test_stopping_is_immediate_and_releasing_is_not(room: Room):
    stop = {"scope": "region:CEDEAO", "engaged": True, "reason": "Odd routes"}
    stopped = await send(room, "POST", "/api/mesh/switches", stop, COMPLIANCE)
    assert (stopped.status_code, stopped.json()["switch"]["scope"]) == (200, "region:region_cedeao")

    released = await send(
        room, "POST", "/api/mesh/switches", stop | {"engaged": False, "reason": "Found"}, COMPLIANCE
    )
    assert released.status_code == 202
    assert released.json()["switch"]["engaged"] is True
    nothing = await send(room, "POST", "/api/mesh/switches", {"engaged": False, "reason": "x"})
    assert nothing.json()["code"] == "mesh-switch-not-engaged"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/mesh/members", {"mesh_region_id": "EU", "bank_profile_id": "bp_123"}),
        ("PUT", POLICY, {"rules": {}}),
        ("POST", "/api/mesh/switches", {"engaged": True, "reason": "x"}),
        ("PUT", "/api/mesh/regions/EU", {"auto_failover_enabled": True}),
    ],
)
async def test_who_only_looks_changes_nothing(
    room: Room, method: str, path: str, body: dict[str, Any]
):
    assert (await send(room, method, path, body, VIEWER)).status_code == 403
    assert (await room._client.request(method, path, json=body)).status_code == 401


async def test_pages_show_and_change_the_same(room: Room):
    page = await room.page("/members")
    assert "Banque Teranga" in page
    assert "core:host-dakar-a" in page
    assert "Suspend" not in await room.page("/members", VIEWER)

    assert "cooldown" in await room.page("/policies/policy_cedeao")
    saved = await room.post("/policies/policy_cedeao", cooldown_minutes="45", **FIELDS)
    assert saved.headers["location"] == "/policies/policy_cedeao?said=policy-saved"
    assert (await room.get(POLICY)).json()["policy"]["rules"]["cooldown_minutes"] == 45
    asked = await room.post("/policies/policy_cedeao", cooldown_minutes="1", **FIELDS)
    assert asked.headers["location"].endswith("policy-asked")
    wrong = await room.post("/policies/policy_cedeao", cooldown_minutes="soon", **FIELDS)
    assert wrong.status_code == 422
    assert "decides" in await room.page("/policies")

    untyped = await room.post("/switches/stop", scope="global", reason="Odd", confirmation="yes")
    assert untyped.status_code == 422
    await room.post("/switches/stop", scope="global", reason="Odd routes", confirmation="stop")
    assert "Odd routes" in await room.page("/switches")
    release = await room.post("/switches/release", scope="global", reason="Found out why")
    assert release.headers["location"].endswith("release-asked")

    suspended = await room.post("/members/mm_volta/suspend", reason="Their network is down")
    assert suspended.headers["location"].endswith("suspension-asked")
    assert "/members/new" in await room.page("/members")
    await room.page("/members/new")
    again = await room.post("/members", region="CEDEAO", bank="bp_volta", largest="1,5x")
    assert again.status_code == 422


async def test_the_demo_is_seeded_once(room: Room, db: Database):
    assert await seed_mesh(db, datetime.now(UTC)) == 0
    async with db.transaction("tests.funds") as tx:
        balance = await tx.connection.fetchval(
            "select balance from payments.treasury_balances where bank_profile_id = 'bp_123'"
        )
    assert balance == 180_000_000
