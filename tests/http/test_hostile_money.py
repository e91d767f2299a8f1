"""Hostile requests at every route that moves money or changes a shop: no server error, no effect."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from shops import BODIES, OWN, World, objects_of

from carrying_out import do
from molam.platform.actions import Registry
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.platform.web import Operation
from molam.tenancy.actions import ACTIONS
from molam.tenancy.standing import MerchantFrozen
from paying_out import WALLET

NOT_AMOUNTS = (
    "1.5", "100.0", "1e2", "1E2", '"100"', "true", "null", "-1", "0", "-0", "9007199254740992",
    "1" + "0" * 40, "1e400", "NaN", "Infinity", "[1]", "{}", '"1_000"', "0x10", "007",
)  # fmt: skip
REFUND = (
    '{"txn_id": "tx_sold_own", "amount": %s, "currency": "XOF", "reason": "duplicate_charge"%s}'
)
AMOUNTS = {
    "refund": ("POST", "/api/merchant/refund", REFUND % ("%s", "")),
    "expected refundable": (
        "POST",
        "/api/merchant/refund",
        REFUND % ("1", ', "expected_refundable": %s'),
    ),
    "payout": ("POST", "/api/merchant/payouts", '{"currency": "XOF", "expected_amount": %s}'),
    "schedule": (
        "PUT",
        "/api/merchant/settings/payout-schedule",
        '{"schedule": "daily", "currency": "XOF", "minimum": %s}',
    ),
    "threshold": (
        "PUT",
        "/api/merchant/settings",
        '{"refund_threshold_requiring_approval": %s}',
    ),
    "daily limit": ("PUT", "/api/merchant/settings", '{"daily_refund_limit": %s}'),
}
# Zero is none of these, or no limit at all; null is not to say, or to take away.
ALLOWED = {"expected refundable": {"null", "0", "-0"}, "payout": {"null"}} | {
    name: {"0", "-0", "null"} for name in ("schedule", "threshold", "daily limit")
}
BODIES_OF_STRANGERS = (
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b'{"unknown_field": 1}',
    b'{"a": 1, "a": 2}',
    b'{"reason": "\\u0000"}',
    b'{"reason": "\\ud800"}',
    b'{"statement": "\\udfff\\u0000"}',
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b"[" * 50_000,
    b'{"a":' * 5_000,
    b'{"amount": ' + b"9" * 5_000 + b"}",
)
IDS = (
    "a%2Fb",
    "..%2F..%2Fetc%2Fpasswd",
    "%00",
    "a%0Ab",
    "%E2%80%AE",
    "%ff%fe",
    "%ED%A0%80",
    "x" * 255,
    "x" * 256,
    "%F0%9F%92%A3" * 64,
    "9" * 40,
    "-1",
    "' or 1=1 --",
    "{}",
    "*",
)
CURSORS = ("x", "====", "AAAA", "e30", "bnVsbA", "W10", "%00", "%ff", "9" * 1000, "eyJhIjoxfQ")
DAYS = (
    "0001-01-01",
    "9999-12-31",
    "2026-02-30",
    "10000-01-01",
    "-1",
    "1700000000",
    "2026-11-16T25:00:00Z",
    "0001-01-01T00:00:00%2B14:00",
    "9999-12-31T23:59:59-14:00",
    "now()",
    "%00",
)


# Whole where the matrix leaves it at a question of who may ask.
WHOLE = {
    **BODIES,
    ("PUT", "/api/merchant/settings/payout-destination"): {"destination": WALLET},
    ("PUT", "/api/merchant/settings/accounting"): {"accounts": {}},
    ("POST", "/api/merchant/team"): {
        "role": "merchant_support",
        "email": "new@example.com",
        "name": "New",
    },
    ("POST", "/api/merchant/webhooks"): {
        "url": "https://203.0.113.9/hook",
        "events": ["payout.paid"],
    },
}
# Its link could not be had: that is refused, and so nothing was left there.
NEVER_REACHED = frozenset({"/api/merchant/disputes/{id:path}/evidence/confirm"})


def tell(world: World) -> dict[str, str]:
    return world.headers("merchant_admin", acr=AAL2)


def of_the_api(app: FastAPI) -> list[Operation]:
    return [
        each
        for each in app.state.operations
        if each.path.startswith("/api/merchant") and each.path != "/api/merchant/stream"
    ]


@pytest.mark.parametrize("which", AMOUNTS)
async def test_what_is_no_amount_of_minor_units_is_refused_and_moves_nothing(
    client: httpx2.AsyncClient, world: World, db: Database, which: str
):
    method, path, body = AMOUNTS[which]
    headers = {**tell(world), "Content-Type": "application/json"}
    before = await ledgers(db)
    taken = []
    for amount in NOT_AMOUNTS:
        if amount in ALLOWED.get(which, ()):
            continue
        content = (body % amount).encode()
        answer = await client.request(method, path, content=content, headers=headers)
        if answer.status_code != 400:
            taken.append((amount, answer.status_code, answer.text[:80]))

    assert taken == []
    assert await ledgers(db) == before


async def ledgers(db: Database) -> list[Any]:
    async with db.transaction("tests.ledgers") as tx:
        return list(
            await tx.connection.fetch(
                "select (select count(*) from ledger.transfers),"
                " (select count(*) from payments.refunds), (select count(*) from payments.payouts),"
                " (select count(*) from merchant.merchant_actions_audit)"
            )
        )


async def test_no_body_makes_a_server_error(app: FastAPI, client: httpx2.AsyncClient, world: World):
    failed, asked = [], 0
    for operation in of_the_api(app):
        if operation.method not in {"POST", "PUT", "DELETE"}:
            continue
        for body in BODIES_OF_STRANGERS:
            for media in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
                answer = await client.request(
                    operation.method,
                    world.path(operation, "absent"),
                    content=body,
                    headers={**tell(world), "Content-Type": media},
                )
                asked += 1
                if answer.status_code >= 500:
                    failed.append((operation.method, operation.path, body[:40], media))

    assert failed == []
    assert asked > 900


async def test_ten_megabytes_are_refused_everywhere(
    app: FastAPI, client: httpx2.AsyncClient, world: World
):
    body = b'{"reason": "' + b"x" * (11 << 20) + b'"}'
    taken = []
    for operation in of_the_api(app):
        if operation.body is None or operation.method == "GET":
            continue
        media = "multipart/form-data; boundary=x" if operation.upload else "application/json"
        answer = await client.request(
            operation.method,
            world.path(operation, "own"),
            content=body,
            headers={**tell(world), "Content-Type": media},
        )
        if answer.status_code not in {403, 413}:
            taken.append((operation.method, operation.path, answer.status_code))

    assert taken == []


async def test_no_id_makes_a_server_error(app: FastAPI, client: httpx2.AsyncClient, world: World):
    failed, asked = [], 0
    for operation in app.state.operations:
        if objects_of(operation) == ("-",) or operation.method != "GET" or "live" in operation.path:
            continue
        for id_ in IDS:
            path = operation.template.replace("{id}", id_).replace("{file_id}", id_)
            answer = await client.get(path.replace("{person_id}", id_), headers=tell(world))
            asked += 1
            if answer.status_code not in {400, 404}:
                failed.append((operation.path, id_, answer.status_code))

    assert failed == []
    assert asked > 200


async def test_changing_what_has_a_hostile_id_finds_nothing(
    app: FastAPI, client: httpx2.AsyncClient, world: World
):
    failed = []
    for operation in of_the_api(app):
        if objects_of(operation) == ("-",) or operation.method == "GET" or operation.upload:
            continue
        for id_ in IDS:
            path = operation.template.replace("{id}", id_).replace("{file_id}", id_)
            answer = await client.request(
                operation.method,
                path.replace("{person_id}", id_),
                headers=tell(world),
                json=BODIES.get((operation.method, operation.path)),
            )
            # 405: what is left of the address is another route's.
            if answer.status_code not in {400, 404, 405, 422}:
                failed.append((operation.method, operation.path, id_, answer.status_code))

    assert failed == []


@pytest.mark.parametrize("name", ["cursor", "from", "to"])
async def test_no_cursor_or_date_makes_a_server_error(
    app: FastAPI, client: httpx2.AsyncClient, world: World, name: str
):
    failed, asked = [], 0
    for operation in app.state.operations:
        if operation.query is None or operation.method != "GET":
            continue
        if name not in {*operation.query.__struct_encode_fields__}:
            continue
        for value in CURSORS if name == "cursor" else DAYS:
            path = f"{world.path(operation, 'own')}?{name}={value}"
            answer = await client.get(path, headers=tell(world))
            asked += 1
            if answer.status_code >= 500:
                failed.append(path)

    assert failed == []
    assert asked


async def test_a_cursor_of_one_list_is_none_of_another(
    app: FastAPI, client: httpx2.AsyncClient, world: World
):
    first = await client.get("/api/merchant/transactions?limit=1", headers=tell(world))
    cursor = first.json()["next_cursor"]
    assert cursor
    for operation in of_the_api(app):
        if operation.query is None or "cursor" not in operation.query.__struct_encode_fields__:
            continue
        if operation.path == "/api/merchant/transactions":
            continue
        answer = await client.get(
            f"{world.path(operation, 'own')}?cursor={cursor}", headers=tell(world)
        )
        assert answer.status_code == 400, operation.path


@pytest.mark.parametrize(
    "key",
    ["", " ", "x" * 256, "a b", "\u00e9".encode(), b"\xff", b"a\x01b", b"a\tb", "'; drop table x"],
)
async def test_an_odd_idempotency_key_is_refused_or_harmless(
    client: httpx2.AsyncClient, world: World, key: str | bytes
):
    raw = key if isinstance(key, bytes) else key.encode()
    headers = [
        *((name.encode(), value.encode()) for name, value in tell(world).items()),
        (b"idempotency-key", raw),
    ]
    body = json.loads(REFUND % (1, ""))

    answers = [
        await client.post("/api/merchant/refund", headers=headers, json=body) for _ in range(2)
    ]

    assert {each.status_code for each in answers} <= {201, 202, 400}
    if answers[0].headers.get("idempotency") != "absent" and answers[0].status_code == 201:
        assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    "languages",
    ["*", "fr;q=2", "x" * 5000, "fr-FR-x-private", ",,,", "\u00e9", "en;q=nan", "../../etc/passwd"],
)
async def test_any_accept_language_gets_a_page(
    client: httpx2.AsyncClient, world: World, languages: str
):
    headers = {**tell(world), "Accept": "text/html"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    answer = await client.get("/refunds", headers=[*raw, (b"accept-language", languages.encode())])

    assert answer.status_code == 200


@pytest.mark.usefixtures("world")
async def test_a_frozen_merchant_changes_nothing_by_any_route(
    app: FastAPI, client: httpx2.AsyncClient, world: World, db: Database, ops_db: Database
):
    params = {"merchant_id": OWN, "reason": "Fraude probable"}
    await do(ops_db, Registry(ACTIONS).find("FREEZE_MERCHANT"), params, at=datetime.now(UTC))
    before = await ledgers(db)
    passed = []
    for operation in of_the_api(app):
        if (
            MerchantFrozen not in operation.refuses
            or operation.upload
            or operation.path in NEVER_REACHED
        ):
            continue
        answer = await client.request(
            operation.method,
            world.path(operation, "own"),
            headers=tell(world),
            json=WHOLE.get((operation.method, operation.path)),
        )
        if answer.status_code < 400 or answer.json()["code"] != "merchant-frozen":
            passed.append((operation.method, operation.path, answer.json().get("code")))

    assert not passed, "\n".join(map(str, passed))
    assert await ledgers(db) == before
