"""The audit record over HTTP: checkpoints and proofs that a stranger can check."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx2
import pytest
from callers import in_process
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from audit_records import SIGNER
from molam.audit import endpoints, merkle, proofs, sealer, verify
from molam.audit.chain import GENESIS, Entry, entry_of
from molam.audit.commands import append
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.platform.web import Caller, Site, build_app

ACTION = UUID("019b8c5a-0000-7000-8000-000000000001")
Reader = Callable[[str], AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def reader(ops_db: Database) -> Reader:
    """A client whose caller holds one role."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield

    def of(role: str) -> httpx2.AsyncClient:
        async def caller(_connection: HTTPConnection) -> Caller | None:
            return Caller(
                subject="awa.diop", name="Awa Diop", merchant_id=None, roles=frozenset({role}),
                locale="fr", acr="", auth_time=None, csrf=None, via="bearer", request_id="r",
                ip="127.0.0.1", user_agent="",
            )  # fmt: skip

        app = build_app(
            name="ops", routes=[endpoints.routes], authenticator=caller, settings=Settings(),
            lifespan=lifespan, site=Site(metrics_prefix="ops"),
        )  # fmt: skip
        app.state.db = ops_db
        return in_process(app)

    return of


async def _recorded(db: Database, count: int, action: UUID = ACTION) -> None:
    entries: list[Entry] = []
    for seq in range(count):
        entries.append(
            entry_of(
                chain=str(action), seq=seq, prev=entries[-1].hash if entries else GENESIS,
                ts=datetime(2026, 1, 5, tzinfo=UTC), event="vote.cast", action_id=str(action),
                actor_kind="user", actor_id="awa", intent_hash=None, data={},
            )
        )  # fmt: skip
    async with db.transaction("tests.record") as tx:
        await append(tx, entries)
    await sealer.seal(db, SIGNER)


async def test_the_checkpoint_is_one_that_the_offline_verifier_accepts(
    reader: Reader, ops_db: Database
):
    await _recorded(ops_db, 3)
    async with reader("auditor") as client:
        body = (await client.get("/api/ops/audit/checkpoint")).json()

    signed = verify.read_checkpoint(body["note"], verify.read_keys("\n".join(body["keys"])))
    assert (signed.size, signed.root.hex()) == (body["size"], body["root"])
    assert body["keys"] == [SIGNER.public_key]
    assert base64.b64encode(signed.root).decode() in body["note"]
    assert "consistency" not in body


async def test_the_holder_of_an_old_checkpoint_gets_a_proof_of_consistency(
    reader: Reader, ops_db: Database
):
    await _recorded(ops_db, 3)
    async with reader("auditor") as client:
        old = (await client.get("/api/ops/audit/checkpoint")).json()
        await _recorded(ops_db, 5, uuid4())
        new = (await client.get(f"/api/ops/audit/checkpoint?old={old['size']}")).json()
        ahead = await client.get("/api/ops/audit/checkpoint?old=9")
        malformed = await client.get("/api/ops/audit/checkpoint?old=0")

    roots = bytes.fromhex(old["root"]), bytes.fromhex(new["root"])
    proof = [bytes.fromhex(each) for each in new["consistency"]]
    assert merkle.is_consistent(3, roots[0], 8, roots[1], proof=proof)
    assert (ahead.status_code, ahead.json()["code"]) == (422, "checkpoint-ahead")
    assert malformed.status_code == 400


async def test_a_proof_is_one_that_the_command_accepts(reader: Reader, ops_db: Database):
    await _recorded(ops_db, 4, uuid4())
    await _recorded(ops_db, 3)
    async with reader("compliance") as client:
        answer = await client.get(f"/api/ops/audit/proof?action={ACTION}")
        absent = await client.get(f"/api/ops/audit/proof?action={uuid4()}")

    signed = verify.read_checkpoint(answer.json()["note"], verify.read_keys(SIGNER.public_key))
    assert proofs.check_proof(answer.text, signed) == 3
    assert (absent.status_code, absent.json()["code"]) == (404, "audit-not-sealed")


async def test_what_is_downloaded_is_all_that_verifying_takes(reader: Reader, ops_db: Database):
    await _recorded(ops_db, 4)
    async with reader("auditor") as client:
        note = await client.get("/api/ops/audit/checkpoint.txt?size=4")
        await _recorded(ops_db, 3, uuid4())
        export = await client.get("/api/ops/audit/export?size=4")
        keys = await client.get("/api/ops/audit/keys.txt")
        latest = await client.get("/api/ops/audit/export")
        absent = await client.get("/api/ops/audit/export?size=5")

    signed = verify.read_checkpoint(note.text, verify.read_keys(keys.text))
    assert verify.verify(export.content.splitlines(keepends=True), signed).entries == 4
    assert verify.verify(latest.content.splitlines(keepends=True), signed).entries == 7
    assert export.headers["content-disposition"] == 'attachment; filename="export.jsonl"'
    assert absent.status_code == 404


@pytest.mark.parametrize(
    "path", ["checkpoint", "checkpoint.txt", "keys.txt", "export", f"proof?action={ACTION}"]
)
async def test_the_record_is_for_those_who_may_read_it(reader: Reader, ops_db: Database, path: str):
    await _recorded(ops_db, 1)
    codes = {}
    for role in (
        "ops_admin",
        "auditor",
        "compliance",
        "cfo",
        "finance_ops",
        "pay_admin",
        "merchant_admin",
        "ops",
    ):
        async with reader(role) as client:
            codes[role] = (await client.get(f"/api/ops/audit/{path}")).status_code

    assert codes.pop("merchant_admin") == codes.pop("ops") == 403
    assert set(codes.values()) == {200}
