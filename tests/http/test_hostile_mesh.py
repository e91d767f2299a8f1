"""Hostile requests at the mesh: no server error, no silent default, and nothing taken on trust."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import html
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mesh_site import EU_PEER, PEER_KEY, Site, opened
from test_hostile_money import BODIES_OF_STRANGERS, CURSORS, IDS, NOT_AMOUNTS

from facts import look
from mesh_room import APPLIED_PROPOSAL, BETTER, FAILING, OPEN_PROPOSAL, REGION
from molam.kernel.refusals import Refusal
from molam.mesh.federation.commands import signed_message
from molam.mesh.federation.model import MessageKind
from molam.mesh.federation.peers import read_peers
from molam.mesh.signals import messages
from molam.platform.auth import sessions
from molam.platform.auth.tokens import Identity
from molam.platform.settings import Secret, SettingsRefused
from molam.platform.web import Operation
from molam.simulator.issuer_keys import IssuerKeys
from molam.sira import signing

SLOW = frozenset(
    {"/api/mesh/liquidity/forecasts/generate", "/api/mesh/liquidity/plans", "/treasury/plan"}
)
"""What works for seconds before it answers; none of these reads a body of any interest."""
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PEER_MESSAGES = "/api/mesh/federation/messages"


@pytest.fixture(scope="module")
async def site(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Site]:
    async with opened(postgres, _admin, keys, jwks_url, issuer_home) as site:
        yield site


def writing(site: Site) -> list[Operation]:
    return [
        each
        for each in site.operations
        if each.method != "GET" and each.path not in SLOW and not each.path.startswith("/auth")
    ]


def media_of(operation: Operation) -> dict[str, str]:
    if operation.upload:
        return {"Content-Type": "multipart/form-data; boundary=x"}
    return FORM if operation.form else JSON


async def test_no_body_makes_a_server_error(site: Site):
    failed, asked = [], 0
    for operation in writing(site):
        bodies = BODIES_OF_STRANGERS if not operation.form else BODIES_OF_STRANGERS[::5]
        if operation.body is None:
            bodies = ()
        for body in bodies:
            answer = await site.client.request(
                operation.method,
                site.path(operation, "absent"),
                content=body,
                headers=site.headers() | media_of(operation),
            )
            asked += 1
            if answer.status_code >= 500 or answer.status_code == 200:
                failed.append((operation.method, operation.path, body[:40], answer.status_code))

    assert failed == []
    assert asked > 300


async def test_a_body_of_another_kind_is_refused(site: Site):
    taken = []
    for operation in writing(site):
        if operation.body is None:
            continue
        for media in ("text/plain", "application/xml", "application/json; charset=utf-16"):
            answer = await site.client.request(
                operation.method,
                site.path(operation, "absent"),
                content=b"{}",
                headers=site.headers() | {"Content-Type": media},
            )
            if answer.status_code != 415:
                taken.append((operation.path, media, answer.status_code))

    assert taken == []


async def test_ten_megabytes_are_refused_everywhere(site: Site):
    body = b'{"reason": "' + b"x" * (11 << 20) + b'"}'
    taken = []
    for operation in writing(site):
        if operation.body is None or operation.upload:
            continue
        answer = await site.client.request(
            operation.method,
            site.path(operation),
            content=body,
            headers=site.headers() | media_of(operation),
        )
        if answer.status_code not in {403, 413}:
            taken.append((operation.method, operation.path, answer.status_code))

    assert taken == []


async def test_no_id_finds_anything_or_makes_a_server_error(site: Site):
    failed = []
    for operation in site.operations:
        if "{" not in operation.template or operation.path in SLOW or operation.path[:3] == "/s/":
            continue
        for id_ in IDS[::2]:
            body = {"data": {"reason": "x"}} if operation.form else {}
            if operation.upload:
                continue
            answer = await site.client.request(
                operation.method, site.path(operation, id_), headers=site.headers(), **body
            )
            # 405: what is left of the address is another route's.
            if answer.status_code not in {400, 404, 405, 422}:
                failed.append((operation.method, operation.path, id_, answer.status_code))

    assert failed == []


async def test_lists_are_bounded_and_their_cursors_cannot_be_made_up(site: Site):
    failed, asked = [], 0
    odd = {
        "limit": ("0", "-1", "101", "1000000000", "1e1", "1.0", "NaN", "%D9%A1", "9" * 30),
        "cursor": CURSORS,
        "days": ("0", "-1", "15", "NaN", "1e1"),
        "hours": ("0", "-1", "NaN", "7"),
        "status": ("x", "PROPOSED", "%00"),
    }
    for operation in site.operations:
        if operation.query is None or operation.method != "GET":
            continue
        for name in odd.keys() & {*operation.query.__struct_encode_fields__}:
            for value in odd[name]:
                path = f"{site.path(operation)}?{name}={value}"
                answer = await site.client.get(path, headers=site.headers())
                asked += 1
                if answer.status_code != 400:
                    failed.append((path[:80], answer.status_code))

    assert failed == []
    assert asked > 150


async def test_a_cursor_of_one_list_is_none_of_another(site: Site):
    head = site.headers()
    first = await site.client.get("/api/mesh/proposals?limit=1", headers=head)
    cursor = first.json()["next_cursor"]
    assert cursor
    again = await site.client.get(f"/api/mesh/proposals?limit=1&cursor={cursor}", headers=head)
    assert again.status_code == 200
    others = ("/api/mesh/actions?", "/api/mesh/reconciliations?", "/api/mesh/proposals?")
    for path in others:
        filtered = "status=applied&" if "proposals" in path else ""
        answer = await site.client.get(f"{path}{filtered}cursor={cursor}", headers=head)
        assert answer.status_code == 400, path
    tampered = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    answer = await site.client.get(f"/api/mesh/proposals?limit=1&cursor={tampered}", headers=head)
    assert answer.status_code == 400


MEMBER = {"mesh_region_id": "region_us", "bank_profile_id": FAILING}
POOL = {
    "mesh_region_id": REGION,
    "name": "Hostile",
    "currency": "XOF",
    "participant_bank_profiles": [FAILING],
}
MOVEMENT = {"bank_profile_id": FAILING, "reason": "why"}
AMOUNTS: dict[str, tuple[str, str, dict[str, Any], set[str]]] = {
    "pool.amount": ("POST", "/api/mesh/pools/pool_own/contributions", MOVEMENT, {"null"}),
    "draw.amount": ("POST", "/api/mesh/pools/pool_own/draws", MOVEMENT, {"null"}),
    "new.max_single_draw": ("POST", "/api/mesh/pools", POOL, set()),
    "new.daily_draw_limit": ("POST", "/api/mesh/pools", POOL, set()),
    "floor.minimum_float": (
        "POST",
        "/api/mesh/liquidity/floors",
        {"bank_profile_id": FAILING, "currency": "XOF"},
        set(),
    ),
    "corridor.cover": (
        "POST",
        "/api/mesh/corridors",
        {"path": ["CEDEAO", "US"], "currency": "XOF", "net_debit_cap": 1},
        set(),
    ),
    "proposal.max_amount": (
        "POST",
        "/api/mesh/proposals/generate",
        {"mesh_region_id": REGION, "currency": "XOF"},
        set(),
    ),
    "region.approval_threshold": ("PUT", f"/api/mesh/regions/{REGION}", {}, set()),
    "report.volume_last_hour": (
        "POST",
        "/api/mesh/health",
        {
            "bank_profile_id": FAILING,
            "health_score": 1,
            "success_rate": 1,
            "timestamp": datetime.now(UTC).isoformat(),
        },
        set(),
    ),
}
# Zero is something there, or null says nothing.
ALLOWED = {
    "new.max_single_draw": {"null"},
    "new.daily_draw_limit": {"null"},
    "floor.minimum_float": {"0", "-0"},
    "corridor.cover": {"0", "-0"},
    "proposal.max_amount": {"0", "-0", "null"},
    "region.approval_threshold": {"0", "-0", "null"},
    "report.volume_last_hour": {"0", "-0"},
}


@pytest.mark.parametrize("which", AMOUNTS)
async def test_what_is_no_amount_of_minor_units_is_refused(site: Site, which: str):
    method, path, body, _ = AMOUNTS[which]
    field = which.partition(".")[2]
    taken = []
    for amount in NOT_AMOUNTS:
        if amount in ALLOWED.get(which, ()):
            continue
        content = json.dumps(body | {field: "@"}).replace('"@"', amount)
        answer = await site.client.request(
            method, path, content=content.encode(), headers=site.headers() | JSON
        )
        if answer.status_code != 400:
            taken.append((amount, answer.status_code, answer.text[:80]))

    assert taken == []


WRONG_CAPABILITIES: Sequence[Any] = (
    [], "x", 7, True, {"unknown": 1},
    {"max_amount_per_txn": 0}, {"max_amount_per_txn": -1}, {"max_amount_per_txn": 1.5},
    {"max_amount_per_txn": "5"}, {"max_amount_per_txn": True}, {"max_amount_per_txn": {}},
    {"max_amount_per_txn": {"XOF": 0}}, {"max_amount_per_txn": {"xof": 5}},
    {"max_amount_per_txn": {"XOF": {"XOF": 5}}}, {"max_amount_per_txn": 2**53},
    {"daily_volume_limit": None}, {"daily_volume_limit": [1]},
    {"supported_currencies": []}, {"supported_currencies": "XOF"},
    {"supported_currencies": ["XOF\n"]}, {"supported_currencies": [None]},
    {"supported_currencies": ["CHF"]},
    {"cross_border_enabled": "yes"}, {"cross_border_enabled": 1},
    {"settlement_time_hours": -1}, {"settlement_time_hours": 721},
    {"sla_uptime_pct": 101}, {"sla_uptime_pct": -0.1}, {"sla_uptime_pct": "NaN"},
    {"sla_uptime_pct": "Infinity"}, {"sla_uptime_pct": {}},
)  # fmt: skip
WRONG_RULES: Sequence[Any] = (
    [], "x", 7, {"unknown": 1}, {"mode": "always"}, {"mode": None},
    {"auto_failover_enabled": "true"}, {"auto_confidence_threshold": 0.4},
    {"auto_confidence_threshold": 1.1}, {"auto_confidence_threshold": "NaN"},
    {"auto_confidence_threshold": True}, {"auto_confidence_threshold": 0.12345678},
    {"min_confidence_for_auto": 0.9, "auto_confidence_threshold": 0.8},
    {"approval_required_threshold": -1}, {"approval_required_threshold": "1"},
    {"approval_required_threshold": 1.5}, {"max_cascading_depth": 0}, {"max_cascading_depth": 21},
    {"rollback_window_hours": 25}, {"rollback_window_hours": 0},
    {"max_cost_increase_pct": 1001}, {"max_cost_increase_pct": -1},
    {"max_cost_increase_pct": {}}, {"compliance_checks": ["kyc_verified", "kyc_verified"]},
    {"compliance_checks": ["none"]}, {"compliance_checks": "kyc_verified"},
    {"gradual_steps": []}, {"gradual_steps": [100, 5]}, {"gradual_steps": [5, 5, 100]},
    {"gradual_steps": [5, 25]}, {"gradual_steps": "5 100"}, {"gradual_steps": [5.5, 100]},
    {"return_p_down": 0.9}, {"direct_p_down": 0.1}, {"flap_reuse": 6000}, {"enforcing_pct": 101},
    {"leave_evaluations": 1e2}, {"cooldown_minutes": 10**12},
)  # fmt: skip


async def test_capabilities_and_rules_of_a_wrong_shape_are_refused(site: Site):
    taken = []
    for capabilities in WRONG_CAPABILITIES:
        body = {**MEMBER, "capabilities": capabilities}
        answer = await site.client.post("/api/mesh/members", json=body, headers=site.headers())
        if answer.status_code not in {400, 422}:
            taken.append((capabilities, answer.status_code))
    policy = site.objects["policies"]
    for rules in WRONG_RULES:
        for method, path, body in (
            ("PUT", f"/api/mesh/policies/{policy}", {}),
            ("POST", "/api/mesh/policies", {"mesh_region_id": "region_us", "name": "Hostile"}),
        ):
            answer = await site.client.request(
                method, path, json={**body, "rules": rules}, headers=site.headers()
            )
            if answer.status_code not in {400, 422}:
                taken.append((method, rules, answer.status_code))

    assert taken == []


async def test_what_waits_for_others_cannot_be_asked_for_twice(site: Site):
    head = site.headers()
    asked: list[tuple[str, str, Any]] = [
        ("PUT", f"/api/mesh/policies/{site.objects['policies']}", {"rules": {"mode": "auto"}}),
        ("PUT", "/api/mesh/regions/region_eu", {"auto_failover_enabled": True}),
        ("POST", f"/api/mesh/members/{site.objects['members']}/suspend", {"reason": "r"}),
        ("POST", "/api/mesh/switches", {"scope": "region:EU", "engaged": False, "reason": "r"}),
    ]
    stop = {"scope": "region:EU", "engaged": True, "reason": "A test."}
    await site.client.post("/api/mesh/switches", json=stop, headers=head)
    for method, path, body in asked:
        first = await site.client.request(method, path, json=body, headers=head)
        assert first.status_code == 202, (path, first.text)
        again = await site.client.request(method, path, json=body, headers=head)
        assert (again.status_code, again.json()["code"]) == (409, "action-twin-open"), path


async def test_a_policy_that_changes_meanwhile_is_not_overwritten(site: Site):
    waiting = (
        "select count(*) from pg_locks"
        " where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))"
    )
    path = f"/api/mesh/policies/{site.objects['policies']}"
    async with site.db.transaction("tests.meanwhile") as tx:
        await tx.connection.execute("select 1 from mesh.mesh_regions for update")
        asked = asyncio.create_task(
            site.client.put(path, json={"rules": {"value_cap_pct": 1}}, headers=site.headers()),
            # Somebody else's request, and none of this transaction's.
            context=contextvars.Context(),
        )
        async with asyncio.timeout(10):
            while not await tx.connection.fetchval(waiting):
                await asyncio.sleep(0.01)
        await tx.connection.execute("update mesh.mesh_policies set version = version + 1")
    answer = await asked

    assert (answer.status_code, answer.json()["code"]) == (409, "mesh-policy-stale")


async def test_no_reason_is_no_reason(site: Site):
    head = site.headers()
    for path, body in (
        (f"/api/mesh/members/{site.objects['members']}/reinstate", {}),
        ("/api/mesh/switches", {"engaged": True}),
        ("/api/mesh/pools/pool_own/contributions", {"bank_profile_id": FAILING, "amount": 1}),
        (f"/api/mesh/proposals/{APPLIED_PROPOSAL}/rollback", {}),
    ):
        for reason in ("", " ", "\t\n", None, 7):
            answer = await site.client.post(path, json={**body, "reason": reason}, headers=head)
            assert answer.status_code == 400, (path, reason, answer.text)


async def test_health_of_the_future_or_the_distant_past_is_not_taken(site: Site):
    now = datetime.now(UTC)
    good = {"bank_profile_id": FAILING, "health_score": 50, "success_rate": 0.5}
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"timestamp": (now + timedelta(hours=1)).isoformat()}, 400),
        ({"timestamp": (now - timedelta(days=9)).isoformat()}, 400),
        ({"timestamp": "9999-12-31T23:59:59-14:00"}, 400),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, 400),
        ({"timestamp": now.replace(tzinfo=None).isoformat()}, 400),
        ({"timestamp": 1_700_000_000}, 400),
        ({"success_rate": 1.01}, 400),
        ({"success_rate": -0.01}, 400),
        ({"success_rate": "0.5"}, 400),
        ({"success_rate": True}, 400),
        ({"health_score": 100.5}, 400),
        ({"latency_ms": -1}, 400),
        ({"latency_ms": 10**12}, 400),
        ({"bank_profile_id": "bp_nobody"}, 404),
        ({"p_down": 1}, 400),
    ]
    for change, status in wrong:
        body = {**good, "timestamp": now.isoformat(), **change}
        answer = await site.client.post("/api/mesh/health", json=body, headers=site.headers())
        assert answer.status_code == status, (change, answer.text)
    for literal in ("NaN", "Infinity", "1e400", "-1e400"):
        text = json.dumps({**good, "timestamp": now.isoformat()}).replace("0.5", literal)
        answer = await site.client.post(
            "/api/mesh/health", content=text.encode(), headers=site.headers() | JSON
        )
        assert answer.status_code == 400, (literal, answer.text)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{", "7", '"x"', "{}", "[" * 5000, '{"data":' * 3000, '{"id": "\ud800"}',
        '{"specversion": "1.0", "data": null}', '{"specversion": "1.0", "data": "x"}',
        '{"type": "molam.bank_signal", "id": "no uuid", "data": {}}',
        '{"bank_profile_id": "b", "health_score": 1, "success_rate": 1, "timestamp":'
        ' "0001-01-01T00:00:00+14:00"}',
        '{"bank_profile_id": "b", "health_score": 1, "success_rate": 1, "timestamp":'
        ' "9999-12-31T23:59:59-14:00"}',
        '{"bank_profile_id": "b", "health_score": 1e400, "success_rate": 1, "timestamp":'
        ' "2026-01-01T00:00:00Z"}',
    ],
)  # fmt: skip
def test_what_arrives_on_a_topic_is_refused_or_left_and_never_breaks_the_reader(text: str):
    try:
        read = messages.read(text, now=datetime.now(UTC))
    except Refusal:
        read = None

    assert read is None


async def test_outages_begin_and_end_in_that_order_and_on_our_calendar(site: Site):
    now = datetime.now(UTC)
    for change in (
        {"begins_at": now.isoformat(), "ends_at": (now - timedelta(hours=1)).isoformat()},
        {"begins_at": "9999-12-31T23:59:59-14:00"},
        {"ends_at": "0001-01-01T00:00:00+14:00"},
        {"begins_at": "2026-11-22"},
        {"begins_at": 0},
        {"source": "rumour"},
        {"rail": "wallet:"},
        {"rail": "bank\n"},
        {"currency": "xof"},
        {"note": "x" * 501},
    ):
        body = {"bank_profile_id": "bp_tresor", **change}
        answer = await site.client.post("/api/mesh/outages", json=body, headers=site.headers())
        assert answer.status_code in {400, 422}, (change, answer.text)


@pytest.mark.parametrize("key", ["", " ", "x" * 256, b"\xff", b"a\x01b", "'; drop table x"])
async def test_an_odd_idempotency_key_is_refused_or_harmless(site: Site, key: str | bytes):
    raw = key if isinstance(key, bytes) else key.encode()
    headers = [(name.encode(), value.encode()) for name, value in site.headers().items()]
    body = {**MOVEMENT, "amount": 1}

    answers = [
        await site.client.post(
            "/api/mesh/pools/pool_own/contributions",
            headers=[*headers, (b"idempotency-key", raw)],
            json=body,
        )
        for _ in range(2)
    ]

    assert {each.status_code for each in answers} <= {201, 400}
    if answers[0].headers.get("idempotency") != "absent" and answers[0].status_code == 201:
        assert answers[0].json()["movement"] == answers[1].json()["movement"]


# What only signatures protect.


def _quote(**changed: Any) -> dict[str, Any]:
    return {
        "mesh_region_id": "region_eu",
        "to_region_id": REGION,
        "currency": "XOF",
        "available": 100,
        "cost_bps": 1.25,
        "path": ["region_eu", REGION],
    } | changed


def _signed(
    content: dict[str, Any], *, kind: MessageKind = "quote", at: datetime | None = None
) -> dict[str, Any]:
    now = datetime.now(UTC) if at is None else at
    message = signed_message(kind, content, peers=EU_PEER, to="region_eu", now=now)
    return {
        "mesh_region_id": "region_eu",
        "kind": kind,
        "content": content,
        "token": message.token,
    }


def _retold(token: str, **changed: Any) -> str:
    """Change a token's head and leave its signature."""
    head, body, signature = token.split(".")
    told = json.loads(base64.urlsafe_b64decode(head + "=="))
    new = base64.urlsafe_b64encode(json.dumps({**told, **changed}).encode()).decode().rstrip("=")
    return f"{new}.{body}.{signature}"


async def _tell(site: Site, message: dict[str, Any]) -> tuple[int, str]:
    answer = await site.client.post(PEER_MESSAGES, json=message)
    return answer.status_code, answer.json().get("code", "")


async def test_peers_are_believed_by_their_signature_alone(site: Site):
    good = _signed(_quote())
    old = datetime.now(UTC) - timedelta(hours=2)
    other = signing.sign({"iss": signing.ISSUER}, key=Secret("another-key-" + "x" * 32))
    unsigned = _retold(good["token"], alg="none").rpartition(".")[0] + "."
    refused: list[dict[str, Any]] = [
        good | {"token": unsigned},
        good | {"token": _retold(good["token"], alg="EdDSA")},
        good | {"token": _retold(good["token"], alg="HS512")},
        good | {"token": _retold(good["token"], alg="RS256", jwk={"kty": "oct", "k": "AA"})},
        good | {"token": other},
        good | {"token": good["token"][:-4] + "AAAA"},
        good | {"token": "x.y.z"},
        good | {"token": ""},
        good | {"token": "x" * 5000},
        good | {"kind": "prediction"},
        good | {"content": _quote(available=10**6)},
        good | {"content": {}},
        good | {"content": json.loads('{"a":' * 30 + "1" + "}" * 30)},
        _signed(_quote(), at=old),
        _signed(_quote(), at=datetime.now(UTC) + timedelta(hours=1)),
    ]
    for message in refused:
        assert await _tell(site, message) == (403, "advice-refused"), message
    deep = good | {"content": json.loads('{"a":' * 90 + "1" + "}" * 90)}
    assert (await _tell(site, deep))[0] == 400
    assert await _tell(site, good | {"mesh_region_id": REGION}) == (403, "advice-refused")
    assert await _tell(site, good | {"mesh_region_id": "x" * 256}) == (400, "body-malformed")
    assert (await _tell(site, good))[0] == 202
    assert await _tell(site, good) == (409, "peer-message-used")


async def test_a_peer_that_may_speak_still_says_nothing_out_of_shape(site: Site):
    wrong: list[tuple[MessageKind, dict[str, Any]]] = [
        ("quote", _quote(path=["region_eu", REGION, "region_eu"], to_region_id="region_eu")),
        ("quote", _quote(path=["region_eu", "a", "b", "c", REGION])),
        ("quote", _quote(path=[])),
        ("quote", _quote(available=-1)),
        ("quote", _quote(available=1.5)),
        ("quote", _quote(cost_bps="1")),
        ("quote", _quote(mesh_region_id="region_us")),
        ("quote", _quote(extra=1)),
        ("quote", {"mesh_region_id": "region_eu"}),
        ("proposal", {"mesh_region_id": "region_eu", "currency": "xof"}),
        ("proposal", {"mesh_region_id": "region_eu", "currency": "XOF", "reason": "x" * 501}),
    ]
    for kind, content in wrong:
        status, code = await _tell(site, _signed(content, kind=kind))
        assert status == 422, (content, code)
    absent = {"mesh_region_id": "region_eu", "currency": "XOF", "corridor_id": "cor_absent"}
    assert await _tell(site, _signed(absent, kind="proposal")) == (404, "corridor-absent")
    large = await site.client.post(
        PEER_MESSAGES, content=b'{"token": "' + b"x" * 40_000 + b'"}', headers=JSON
    )
    assert large.status_code == 413


async def test_proposals_that_nobody_signed_do_nothing(site: Site):
    """The demo's proposals bear no signature; whoever writes rows by hand makes such ones."""
    head = site.headers()
    tried = await site.client.post(f"/api/mesh/proposals/{OPEN_PROPOSAL}/simulate", headers=head)
    votes = [
        await site.client.post(
            f"/api/mesh/proposals/{OPEN_PROPOSAL}/approve", json={}, headers=site.headers(role)
        )
        for role in ("treasury_ops", "ops_admin")
    ]

    assert (tried.status_code, tried.json()["code"]) == (403, "advice-refused")
    assert {each.json()["code"] for each in votes} == {"advice-refused"}
    shown = await site.client.get(f"/api/mesh/proposals/{OPEN_PROPOSAL}", headers=head)
    assert shown.json()["proposal"]["status"] == "simulated"


async def test_a_proposal_that_was_altered_is_not_tried_out(site: Site):
    head = site.headers()
    wanted = {"mesh_region_id": REGION, "currency": "XOF", "max_amount": 900_000}
    made = await site.client.post("/api/mesh/proposals/generate", json=wanted, headers=head)
    id_ = made.json()["proposal"]["id"]
    other = await site.client.post("/api/mesh/proposals/generate", json=wanted, headers=head)
    taken = []
    for change in (
        "max_amount = 900001",
        "min_amount = 1",
        "expires_at = expires_at + interval '1 hour'",
        f"proposal = jsonb_set(proposal, '{{sequence,0,bank_profile_id}}', '\"{FAILING}\"')",
        "sira_signature = ''",
        f"sira_signature = (select sira_signature from mesh.mesh_routing_proposals"
        f" where id = '{other.json()['proposal']['id']}')",
        "sira_signature = coalesce((select sira_signature from mesh.bank_health_predictions"
        " order by created_at desc limit 1), '')",
    ):
        async with site.db.transaction("tests.before") as tx:
            # What was proposed never changes; whoever owns the database could make it.
            await tx.connection.execute("set local session_replication_role = replica")
            await tx.connection.execute(
                "create table public.was as select * from mesh.mesh_routing_proposals"
                f" where id = '{id_}'"
            )
            await tx.connection.execute(
                f"update mesh.mesh_routing_proposals set {change} where id = '{id_}'"
            )
        answer = await site.client.post(f"/api/mesh/proposals/{id_}/simulate", headers=head)
        async with site.db.transaction("tests.after") as tx:
            await tx.connection.execute("set local session_replication_role = replica")
            await tx.connection.execute(
                "update mesh.mesh_routing_proposals p set (min_amount, max_amount, expires_at,"
                " proposal, sira_signature) = (select min_amount, max_amount, expires_at, proposal,"
                f" sira_signature from public.was) where p.id = '{id_}'"
            )
            await tx.connection.execute("drop table public.was")
        if answer.status_code != 403:
            taken.append((change, answer.status_code, answer.text[:120]))

    assert taken == []
    answer = await site.client.post(f"/api/mesh/proposals/{id_}/simulate", headers=head)
    assert answer.status_code == 200, answer.text


# Pages.

KEEPS: Sequence[tuple[str, dict[str, str], str]] = (
    ("/proposals", {"region": REGION, "lane": "XOF/bank", "most": "12x", "reason": "Kept 42"}, ""),
    ("/proposals", {"region": "nowhere", "lane": "XOF/bank", "reason": "Kept 42"}, ""),
    (
        "/proposals",
        {"region": REGION, "lane": "XOF/bank", "away": "nobody", "reason": "Kept 42"},
        "",
    ),
    ("/members", {"region": REGION, "bank": "nobody", "domains": "kept:42"}, "kept:42"),
    (
        "/members",
        {"region": "region_us", "bank": BETTER, "largest": "0", "domains": "kept:42"},
        "kept:42",
    ),
    ("/members", {"region": "region_us", "bank": BETTER, "domains": "Kept 42"}, ""),
    (
        "/switches/stop",
        {"scope": "region:nowhere", "reason": "Kept 42", "confirmation": "STOP"},
        "",
    ),
    ("/switches/stop", {"reason": "Kept 42", "confirmation": "GO"}, ""),
    (f"/proposals/{OPEN_PROPOSAL}/reject", {"reason": "Kept 42"}, ""),
    (
        f"/proposals/{APPLIED_PROPOSAL}/rollback",
        {"reason": "Kept 42, yes", "confirmation": "x"},
        "",
    ),
    ("/policies/policy_cedeao", {"name": "Kept 42", "leave_evaluations": "²"}, ""),
    ("/policies/policy_cedeao", {"name": "Kept 42", "gradual_steps": "5 ² 100"}, ""),
)


@pytest.mark.parametrize(("path", "form", "kept"), KEEPS)
async def test_a_form_that_is_refused_keeps_what_was_written_in_both_languages(
    site: Site, path: str, form: dict[str, str], kept: str
):
    said = set()
    for language in ("en", "fr"):
        answer = await site.client.post(path, data=form, headers=site.headers(lang=language))
        assert answer.status_code in {409, 422}, answer.text[:300]
        page = html.unescape(answer.text)
        assert (kept or "kept 42") in page.lower()
        found = re.search(r'id="said"[^>]*>(.*?)</p>', page, re.DOTALL)
        assert found is not None, page
        said.add(re.sub(r"<[^>]+>|\s+", " ", found[1]).strip())
    assert len(said) == 2, said


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/liquidity/pool_own/empty", {"draw": "x"}),
        ("/liquidity/pool_own/return", {}),
        ("/banks/bp_123/predict", {"rail": "moon", "currency": "XOF"}),
        ("/banks/bp_123/predict", {"rail": "bank", "currency": "???"}),
    ],
)
async def test_a_form_that_asks_for_nothing_we_do_is_not_said_to_be_done(
    site: Site, path: str, form: dict[str, str]
):
    usual = {"bank": FAILING, "amount": "1", "idempotency_key": "hostile-1"}
    fields = form if "predict" in path else usual | form
    answer = await site.client.post(path, data=fields, headers=site.headers())

    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize(
    "form",
    [
        {"severity": "0"},
        {"severity": "1.5"},
        {"severity": "-1"},
        {"severity": "NaN"},
        {"minutes": "0"},
        {"minutes": "61"},
        {"minutes": "1e1"},
        {"payouts": "0"},
        {"payouts": "100000"},
        {"bank": "x" * 65},
        {"bank": "nobody"},
    ],
)
async def test_a_drill_breaks_one_simulated_bank_so_far_and_no_further(
    site: Site, form: dict[str, str]
):
    answer = await site.client.post("/drill", data={"bank": FAILING} | form, headers=site.headers())

    assert answer.status_code in {400, 404, 409, 422}, answer.text


@pytest.mark.parametrize("limit", ["0", "00", "-1", "1,5", "NaN", "²"])
async def test_a_limit_of_nothing_is_not_taken_for_no_limit(site: Site, limit: str):
    form = {"region": REGION, "name": "Zero", "currency": "XOF", "bank_1": FAILING}
    answer = await site.client.post(
        "/liquidity", data=form | {"max_single_draw": limit}, headers=site.headers()
    )

    assert answer.status_code == 422
    assert 'id="said"' in answer.text


async def test_a_session_changes_nothing_without_the_pages_token_from_our_own_page(site: Site):
    who = Identity(
        sub="treasury_ops",
        exp=time.time() + 300,
        name="Treasury",
        merchant_id=None,
        roles=("treasury_ops",),
    )
    database = site.app.state.db
    cookie = await sessions.start_session(database, app="mesh", identity=who, replaces=None)
    ((csrf,),) = await look(site.db, "select csrf from platform.sessions")
    signed_in = {"Cookie": f"molam_mesh_3138={cookie}"}
    own, token = {"Sec-Fetch-Site": "same-origin"}, {"X-CSRF-Token": csrf}
    tries = (
        own,
        own | {"X-CSRF-Token": "x"},
        token | {"Sec-Fetch-Site": "cross-site"},
        token | {"Origin": "http://localhost:3136"},
    )
    taken, asked = [], 0
    for operation in writing(site):
        if "treasury_ops" not in operation.needs.roles or operation.upload:
            continue
        for tried in tries:
            answer = await site.client.request(
                operation.method,
                site.path(operation),
                headers=signed_in | media_of(operation) | {"Accept": "application/json"} | tried,
            )
            asked += 1
            if answer.status_code != 403:
                taken.append((operation.method, operation.path, tried, answer.status_code))
    stop = {"scope": "region:US", "reason": "A test.", "confirmation": "STOP"}
    accepted = await site.client.post("/switches/stop", data=stop, headers=signed_in | own | token)

    assert taken == []
    assert asked > 150
    assert (accepted.status_code, accepted.headers["location"]) == (303, "/switches?said=stopped")


MARKUP = "<script>alert(4242)</script>\"'"


async def test_every_form_carries_a_token_and_no_page_runs_what_was_written(site: Site):
    head = site.headers()
    written: list[tuple[str, dict[str, Any]]] = [
        ("/api/mesh/switches", {"scope": "region:GLOBAL", "engaged": True, "reason": MARKUP}),
        ("/api/mesh/pools", {**POOL, "id": "pool_markup", "name": MARKUP}),
        ("/api/mesh/outages", {"bank_profile_id": FAILING, "note": MARKUP}),
        (
            "/api/mesh/pools/pool_own/contributions",
            {"bank_profile_id": FAILING, "amount": 1, "reason": MARKUP},
        ),
        (
            "/api/mesh/proposals/generate",
            {"mesh_region_id": REGION, "currency": "XOF", "reason": MARKUP},
        ),
        (
            f"/api/mesh/proposals/{APPLIED_PROPOSAL}/rollback",
            {"reason": MARKUP},
        ),
    ]
    answers = [await site.client.post(path, json=body, headers=head) for path, body in written]
    assert all(each.status_code < 300 for each in answers), [each.text for each in answers]
    pages = [site.path(each) for each in site.pages if each.method == "GET"]
    pages += [f"/proposals/{answers[4].json()['proposal']['id']}", f"/proposals/{APPLIED_PROPOSAL}"]
    forms, shown = 0, 0
    for page in pages:
        answer = await site.client.get(page, headers=head)
        assert "<script>alert" not in answer.text, page
        shown += "alert(4242)" in answer.text
        if page == "/sign-in":
            continue
        for form in re.findall(r"<form[^>]*>.*?</form>", answer.text, re.DOTALL):
            if 'method="post"' in form.lower():
                forms += 1
                assert 'name="csrf_token"' in form, (page, form[:200])
    assert forms > 20
    assert shown >= 4


@pytest.mark.parametrize(
    "languages", ["*", "fr;q=2", "x" * 5000, ",,,", "\u00e9", "en;q=nan", "../../etc/passwd"]
)
async def test_any_accept_language_gets_a_page(site: Site, languages: str):
    headers = {**site.headers(), "Accept": "text/html"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    answer = await site.client.get(
        "/switches", headers=[*raw, (b"accept-language", languages.encode())]
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "setting",
    [
        "[]",
        "{",
        '{"region_eu": "key"}',
        '{"region_eu": {"key": "SHORT"}}',
        '{"region_eu": {"key": "LONG", "url": "ftp://x"}}',
        '{"region_eu": {"key": "LONG", "url": "https://u:LONG@eu.example"}}',
        '{"region_eu": {"key": "LONG", "more": 1}}',
    ],
)
def test_peers_are_read_strictly_and_nothing_secret_is_repeated(setting: str):
    with pytest.raises(SettingsRefused) as refused:
        read_peers(Secret(setting.replace("LONG", PEER_KEY).replace("SHORT", PEER_KEY[:20])))

    assert PEER_KEY[:20] not in str(refused.value)


async def test_the_key_shared_with_a_peer_is_shown_nowhere(site: Site):
    for path in ("/api/mesh/peers", "/federation", "/api/mesh/federation/table"):
        answer = await site.client.get(path, headers=site.headers())
        assert answer.status_code == 200
        assert PEER_KEY not in answer.text
