"""POST /banks/{id}/callbacks on the merchant app, which anybody may call."""

from __future__ import annotations

import time

import pytest

import bank_desk
from molam.entrypoints.bank_desk import secrets_of
from molam.payments.banks.callbacks import BYTES_MAX
from molam.simulator.banks import dialects

URL = "/banks/bp_http/callbacks"
BODY = b'{"event_id": "EV_1"}'


@pytest.fixture
async def bank(db, settings) -> str:
    """One bank; returns what it signs with."""
    await bank_desk.a_bank(db, "bp_http", connector="http_bank", url="http://127.0.0.1:9")
    return secrets_of(settings).of("bp_http").callback_secret.reveal()


def signed(secret: str, body: bytes = BODY) -> dict[str, str]:
    stamp = int(time.time())
    return {"Bank-Signature": dialects.signature(body, secret, stamp, separator=b".")}


async def kept(db) -> int:
    async with db.transaction("tests.kept") as tx:
        return await tx.connection.fetchval("select count(*) from payments.bank_callbacks")


async def test_signed_callback_is_kept_and_answered_at_once(client, bank, db):
    answer = await client.post(URL, content=BODY, headers=signed(bank))

    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert await kept(db) == 1


async def test_repeated_callback_is_answered_the_same_and_kept_once(client, bank, db):
    answers = [await client.post(URL, content=BODY, headers=signed(bank)) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert await kept(db) == 1


@pytest.mark.parametrize(
    "header", ["", "t=1,v1=", "v1=00", "t=abc,v1=00", "t=1767600000,v1=" + "0" * 64, "é"]
)
async def test_callback_without_a_right_signature_is_refused(client, bank, db, header):
    headers = {"Bank-Signature": header.encode("latin-1")}

    answer = await client.post(URL, content=BODY, headers=headers)

    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (
        401,
        "callback-refused",
    )
    assert await kept(db) == 0


async def test_unknown_bank_is_absent(client, bank):
    answer = await client.post("/banks/nowhere/callbacks", content=BODY, headers=signed(bank))

    assert answer.status_code == 404


async def test_callback_that_is_too_long_is_refused(client, bank, db):
    body = b" " * (BYTES_MAX + 1)

    answer = await client.post(URL, content=body, headers=signed(bank, body))

    assert answer.status_code == 413
    assert await kept(db) == 0
