"""Requests under one key: one effect, one answer, whatever the interleaving."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response

from builders import a_merchant
from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database, Tx
from molam.platform.web import Caller, idempotency

OPERATION = "POST /api/merchant/things"


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    amount: int
    idempotency_key: str = ""


class Made(msgspec.Struct):
    ok: bool
    number: int


class NotToday(Refusal):
    code = "not-today"
    kind = Kind.BROKEN_RULE
    title = "Not today"


def caller(merchant_id: str = "merchant-123", subject: str = "awa.diop") -> Caller:
    return Caller(
        subject=subject,
        name="Awa",
        merchant_id=merchant_id,
        roles=frozenset({"merchant_admin"}),
        locale="fr",
        acr="",
        auth_time=None,
        csrf=None,
        via="bearer",
        request_id="",
        ip="",
        user_agent="",
    )


class Till:
    """Counts its effects in the database, in the transaction it is given."""

    def __init__(self, db: Database, *, slow_s: float = 0.0, refuses: bool = False) -> None:
        self._db = db
        self.slow_s = slow_s
        self.refuses = refuses

    async def work(self, tx: Tx) -> Made:
        number = await tx.connection.fetchval(
            "insert into tests_things (merchant_id) values"
            " (current_setting('molam.merchant_id')) returning id"
        )
        await asyncio.sleep(self.slow_s)
        if self.refuses:
            raise NotToday("Come back tomorrow.")
        return Made(ok=True, number=number)

    async def post(
        self,
        key: str | None,
        *,
        amount: int = 500,
        path: dict[str, Any] | None = None,
        by: Caller | None = None,
    ) -> Response:
        headers = [] if key is None else [(b"idempotency-key", key.encode())]
        scope = {"type": "http", "headers": headers, "path_params": path or {}}
        scope["app"] = SimpleNamespace(state=SimpleNamespace(money=self._db))
        return await idempotency.once(
            Request(scope),
            by or caller(),
            operation=OPERATION,
            asked=Asked(amount),
            work=self.work,
            status=201,
        )

    async def effects(self, db: Database) -> int:
        async with db.transaction("tests.count") as tx:
            return await tx.connection.fetchval("select count(*) from tests_things")


@pytest.fixture
async def till(db: Database, money_db: Database) -> Till:
    await a_merchant(db)
    await a_merchant(db, id_="merchant-456")
    async with db.transaction("tests.things") as tx:
        await tx.connection.execute(
            "create table tests_things (id bigint generated always as identity, merchant_id text)"
        )
        await tx.connection.execute("grant select, insert on tests_things to molam_money")
    return Till(money_db)


async def test_fifty_equal_requests_at_once_have_one_effect_and_one_answer(till, db):
    till.slow_s = 0.05

    answers = await asyncio.gather(*(till.post("key-1") for _ in range(50)))

    assert await till.effects(db) == 1
    assert {(each.status_code, bytes(each.body)) for each in answers} == {
        (201, bytes(answers[0].body))
    }
    replayed = [each.headers.get(idempotency.REPLAYED) for each in answers]
    assert sorted(replayed, key=str) == [None, *["true"] * 49]


async def test_requests_at_once_without_their_key_would_each_have_an_effect(till, db):
    """The twin of the test above."""
    answers = await asyncio.gather(*(till.post(None) for _ in range(5)))

    assert await till.effects(db) == 5
    assert {each.headers[idempotency.WEAKER] for each in answers} == {"absent"}


async def test_another_body_under_the_same_key_is_refused_and_does_nothing(till, db):
    await till.post("key-1")

    with pytest.raises(idempotency.IdempotencyKeyReused):
        await till.post("key-1", amount=501)
    with pytest.raises(idempotency.IdempotencyKeyReused):
        await till.post("key-1", path={"id": "other"})

    assert await till.effects(db) == 1


async def test_a_colleague_repeating_the_request_gets_its_answer(till, db):
    first = await till.post("key-1")
    second = await till.post("key-1", by=caller(subject="moussa.ndiaye"))

    assert first.body == second.body
    assert await till.effects(db) == 1


async def test_two_merchants_may_use_the_same_key(till, db):
    await till.post("key-1")
    await till.post("key-1", by=caller("merchant-456"))

    assert await till.effects(db) == 2


async def test_a_refusal_undoes_everything_and_leaves_the_key_free(till, db):
    till.refuses = True
    with pytest.raises(NotToday):
        await till.post("key-1")
    till.refuses = False

    answer = await till.post("key-1")

    assert answer.status_code == 201
    assert idempotency.REPLAYED not in answer.headers
    assert await till.effects(db) == 1


async def test_who_waits_for_a_refused_request_goes_on_in_its_place(till, db):
    till.slow_s, till.refuses = 0.2, True
    first = asyncio.create_task(till.post("key-1"))
    await asyncio.sleep(0.1)
    till.refuses = False
    second = asyncio.create_task(till.post("key-1"))
    await asyncio.sleep(0.01)
    till.refuses = True
    await asyncio.sleep(0.12)
    till.refuses = False

    with pytest.raises(NotToday):
        await first
    assert (await second).status_code == 201
    assert await till.effects(db) == 1


async def test_a_request_that_takes_too_long_to_wait_for_says_when_to_repeat(till, money_db):
    till.slow_s = 3.6
    first = asyncio.create_task(till.post("key-1"))
    await asyncio.sleep(0.1)

    with pytest.raises(idempotency.IdempotencyInProgress) as refused:
        await till.post("key-1")

    assert refused.value.facts["retry_after_s"] > 0
    assert (await first).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "clé", "tab\there", "\x00"])
async def test_keys_that_could_not_be_told_apart_are_refused(till, db, key):
    with pytest.raises(idempotency.IdempotencyKeyMalformed):
        idempotency.check_key(key)

    assert await till.effects(db) == 0


async def test_keys_are_forgotten_after_three_days(till, db, worker_db):
    await till.post("key-1")
    async with db.transaction("tests.age") as tx:
        await tx.connection.execute(
            "update platform.idempotency_keys set created_at = now() - interval '73 hours'"
        )

    await idempotency.CRONS[0].run(worker_db)
    await till.post("key-1")

    assert await till.effects(db) == 2
