"""Callbacks of a chat: genuine, fresh, heard once, and of somebody we know; or refused."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from builders import NOW, a_person
from molam.notices.chat import ChatCallbackRefused, Press, verify_chat_callback
from molam.platform.db import Database
from molam.platform.settings import Secret

SECRET = "slack-signing-secret"


def a_body(**changed: Any) -> bytes:
    payload = {
        "type": "block_actions",
        "user": {"id": "U1", "name": "somebody", "email": "boss@example.com"},
        "team": {"id": "T1"},
        "roles": ["cfo"],
        "actions": [{"action_id": "open", "value": "action-1"}],
    }
    return urlencode({"payload": json.dumps({**payload, **changed})}).encode()


def signed(
    body: bytes, *, secret: str = SECRET, age_s: int = 0, version: str = "v0"
) -> dict[str, str]:
    stamp = str(int(NOW.timestamp()) - age_s)
    mac = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"{version}={mac}"}


@pytest.fixture(autouse=True)
async def _awa(db: Database) -> None:
    await a_person(db, id_="awa", roles=("ops_admin",))
    async with db.transaction("tests.alias") as tx:
        await tx.connection.execute(
            "insert into tenancy.person_aliases (alias, person_id) values ('slack:T1:U1', 'awa')"
        )


async def press(
    ops_db: Database,
    body: bytes,
    headers: dict[str, str],
    *,
    secret: str = SECRET,
    later_s: int = 0,
) -> Press:
    async with ops_db.transaction("tests.press") as tx:
        return await verify_chat_callback(
            tx,
            headers=headers,
            body=body,
            secret=Secret(secret),
            now=NOW + timedelta(seconds=later_s),
        )


async def test_a_genuine_press_names_its_person_by_the_directory_alone(ops_db: Database):
    body = a_body()

    assert await press(ops_db, body, signed(body)) == Press("awa", "open", "action-1")


@pytest.mark.parametrize("later_s", [0, 299, 300, -300])
async def test_five_minutes_are_let_pass(ops_db: Database, later_s: int):
    body = a_body()

    assert (await press(ops_db, body, signed(body), later_s=later_s)).person_id == "awa"


BODY = a_body()
GOOD = signed(BODY)


@pytest.mark.parametrize(
    ("headers", "body", "later_s"),
    [
        pytest.param(GOOD, BODY, 301, id="too old"),
        pytest.param(GOOD, BODY, -301, id="from the future"),
        pytest.param(GOOD, BODY + b"&", 0, id="body changed"),
        pytest.param(signed(BODY, secret="other"), BODY, 0, id="another secret"),
        pytest.param(signed(BODY, version="v1"), BODY, 0, id="another scheme"),
        pytest.param({}, BODY, 0, id="no headers"),
        pytest.param({**GOOD, "X-Slack-Signature": ""}, BODY, 0, id="no signature"),
        pytest.param({**GOOD, "X-Slack-Signature": "v0=é"}, BODY, 0, id="odd signature"),
        pytest.param({**GOOD, "X-Slack-Request-Timestamp": "-1"}, BODY, 0, id="odd time"),
        pytest.param({**GOOD, "X-Slack-Request-Timestamp": "٣" * 9}, BODY, 0, id="odd digits"),
        pytest.param({**GOOD, "X-Slack-Request-Timestamp": "9" * 40}, BODY, 0, id="long time"),
    ],
)
async def test_what_is_not_from_our_chat_now_is_refused(
    ops_db: Database, headers: dict[str, str], body: bytes, later_s: int
):
    with pytest.raises(ChatCallbackRefused):
        await press(ops_db, body, headers, later_s=later_s)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload",
        b"payload=",
        b"payload=[]",
        b"payload={}&payload={}",
        b"payload={",
        "payload=é".encode(),
        a_body(user={"id": "U2"}),
        a_body(team={"id": "T2"}),
        a_body(user="U1"),
        a_body(user={}),
        a_body(actions=[]),
        a_body(actions=[{"action_id": "a"}, {"action_id": "b"}]),
        a_body(user={"id": "U1' or '1'='1"}),
        b"x" * 70_000,
    ],
)
async def test_a_genuine_signature_under_nonsense_or_a_stranger_is_refused(
    ops_db: Database, body: bytes
):
    with pytest.raises(ChatCallbackRefused):
        await press(ops_db, body, signed(body))


async def test_without_a_secret_nothing_is_accepted(ops_db: Database):
    body = a_body()

    with pytest.raises(ChatCallbackRefused):
        await press(ops_db, body, signed(body, secret=""), secret="")


async def test_a_press_is_heard_once_even_by_many_at_once(ops_db: Database):
    body = a_body()

    results = await asyncio.gather(
        *(press(ops_db, body, signed(body)) for _ in range(8)), return_exceptions=True
    )

    assert sum(isinstance(each, Press) for each in results) == 1
    assert sum(isinstance(each, ChatCallbackRefused) for each in results) == 7


async def test_the_control_a_second_press_of_the_same_button_is_another_one(ops_db: Database):
    first, second = a_body(trigger_id="1"), a_body(trigger_id="2")

    await press(ops_db, first, signed(first))

    assert (await press(ops_db, second, signed(second))).person_id == "awa"


@pytest.mark.parametrize("column", ["deactivated_at = now()", "is_service = true"])
async def test_who_left_and_programs_press_nothing(db: Database, ops_db: Database, column: str):
    async with db.transaction("tests.leave") as tx:
        await tx.connection.execute(f"update tenancy.people set {column}")
    body = a_body()

    with pytest.raises(ChatCallbackRefused):
        await press(ops_db, body, signed(body))
