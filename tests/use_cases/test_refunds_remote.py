"""Refunds that another service decides about: asked once, heard once, and ended by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from approval_services import TOKEN, FakeApprovals, deciding
from builders import balance_of
from facts import an_event, take_in
from molam.approvals.model import NotEligible, SameHands
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.payments.refunds import commands, jobs, queries, remote, remote_store
from molam.payments.refunds.refusals import RefundNotInState
from molam.payments.refunds.remote import is_business_hours
from molam.payments.refunds.store import RefundRow
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.db import Database, Query
from molam.platform.jobs import run_jobs
from refunding import AWA, MERCHANT, MOUSSA, REGISTRY, Till, a_sale, a_shop

AVAILABLE = "merchant:merchant-123:available:XOF"
RESERVED = "merchant:merchant-123:reserved:XOF"


@pytest.fixture
async def till(db: Database, money_db: Database) -> Till:
    await a_shop(db)
    await a_sale(db, "tx_big", 300_000)
    return Till(money_db, is_remote=True)


@pytest.fixture
async def waiting(till: Till) -> RefundRow:
    return await till.ask(150_000, transaction_id="tx_big")


@pytest.fixture
def fake() -> Iterator[FakeApprovals]:
    with deciding() as served:
        yield served


class Following:
    """What the worker does about one refund, without waiting between looks."""

    def __init__(self, owner: Database, worker: Database, fake: FakeApprovals, id_: str) -> None:
        self.owner, self.worker, self.fake, self.id = owner, worker, fake, id_

    async def look(self) -> RefundRow:
        await self.run("update payments.remote_approvals set next_look_at = now()")
        await remote.follow(self.fake.service(), self.worker, MERCHANT, self.id)
        return await self.row()

    async def row(self) -> RefundRow:
        async with self.owner.transaction("tests.row") as tx:
            return await commands.find(tx, MERCHANT, self.id)

    async def run(self, sql: str) -> None:
        async with self.owner.transaction("tests.run") as tx:
            await tx.connection.execute(sql)

    async def let_expire(self) -> None:
        await self.run("update payments.refunds set expires_at = now() - interval '1 second'")

    async def sweep(self) -> int:
        return await commands.end_overdue(
            Runtime(self.worker, REGISTRY, PolicyBook(REGISTRY), "tests")
        )

    async def codes(self) -> list[str | None]:
        async with self.owner.transaction("tests.detail") as tx:
            found = await queries.detail(tx, merchant_id=MERCHANT, id_=self.id)
        return [each.code for each in found.events]


@pytest.fixture
def refund(db: Database, worker_db: Database, fake: FakeApprovals, waiting: RefundRow) -> Following:
    return Following(db, worker_db, fake, waiting.id)


async def test_question_is_the_specifications(refund: Following, fake: FakeApprovals):
    row = await refund.look()

    [(key, body)] = fake.asked
    assert key == row.id
    assert fake.tokens == {f"Bearer {TOKEN}"}
    assert isinstance(body["payload"].pop("business_hours"), bool)
    assert body == {
        "action_type": "refund.merchant_initiated",
        "origin_module": "merchant_dashboard",
        "origin_entity_id": "tx_big",
        "created_by": "awa.diop",
        "expires_in_minutes": 60,
        "payload": {
            "amount": 150_000,
            "currency": "XOF",
            "origin_country": "SN",
            "account_country": "SN",
            "description": "duplicate_charge",
            "merchant_id": MERCHANT,
            "transaction_id": "tx_big",
            "refund_id": row.id,
        },
    }


async def test_country_is_that_of_the_payment_where_it_is_known(till: Till, db: Database):
    await a_sale(db, "tx_far", 200_000, metadata={"country": "ml"})
    row = await till.ask(150_000, transaction_id="tx_far")
    async with db.transaction("tests.request") as tx:
        found = await tx.one(remote_store.FIND_REMOTE, merchant_id=MERCHANT, refund_id=row.id)

    assert found is not None
    assert found.request["payload"]["origin_country"] == "ML"


@pytest.mark.parametrize(
    ("at", "expected"),
    [("16T08:00", True), ("16T17:59", True), ("16T07:59", False), ("16T18:00", False),
     ("21T12:00", False)],
)  # fmt: skip
def test_business_hours_are_those_of_the_merchant(at: str, expected: bool):
    local = datetime.fromisoformat(f"2026-11-{at}+03:00").astimezone(UTC)

    assert is_business_hours(local, "Africa/Nairobi") is expected


async def test_nobody_is_asked_before_the_money_is_set_aside(
    refund: Following, waiting: RefundRow, fake: FakeApprovals, db: Database
):
    assert (waiting.state, waiting.approval_via) == ("awaiting_approval", "remote")
    assert (waiting.approval_id, fake.asked) == (None, [])
    assert await balance_of(db, RESERVED) == 150_000


async def test_asking_takes_a_fresh_second_factor(till: Till):
    with pytest.raises(StepUpRequired):
        await till.ask(150_000, transaction_id="tx_big", proved=False)


async def test_small_refund_asks_nobody(till: Till):
    assert (await till.ask(50_000, transaction_id="tx_big")).state == "queued"


async def test_service_is_asked_once_however_often_the_job_runs(
    refund: Following, fake: FakeApprovals
):
    await refund.look()
    await refund.look()

    assert len(fake.asked) == 1
    assert (await refund.row()).approval_id == "approval-1"


async def test_jobs_that_run_at_once_ask_once(refund: Following, fake: FakeApprovals):
    await asyncio.gather(
        *(remote.follow(fake.service(), refund.worker, MERCHANT, refund.id) for _ in range(4))
    )

    assert len(fake.asked) == 1


async def test_job_that_dies_after_asking_asks_for_the_same_approval(
    refund: Following, fake: FakeApprovals, monkeypatch: pytest.MonkeyPatch
):
    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as broken:
        broken.setattr(remote, "_keep", die)
        with pytest.raises(asyncio.CancelledError):
            await refund.look()
    await refund.look()

    assert len(fake.asked) == 2
    assert fake.asked[0] == fake.asked[1]
    assert list(fake.approvals) == [refund.id]
    assert (await refund.row()).approval_id == "approval-1"


async def test_lost_job_is_picked_up(refund: Following):
    await refund.run("delete from jobs.pgqueuer")
    assert await remote.pick_up(refund.worker) == 0

    await refund.run("update payments.remote_approvals set next_look_at = now() - interval '1 min'")

    assert await remote.pick_up(refund.worker) == 1


async def test_approval_lets_the_refund_go(refund: Following, fake: FakeApprovals, db: Database):
    await refund.look()
    fake.decide("approved", votes=[{"approver_id": "compliance-1", "decision": "approve"}])

    row = await refund.look()

    assert (row.state, row.approved_by) == ("queued", "compliance-1")
    assert await balance_of(db, RESERVED) == 150_000
    again = await refund.look()
    assert again.version == row.version


async def test_approval_at_once_lets_the_refund_go_at_once(refund: Following, fake: FakeApprovals):
    fake.first_status = "auto_approved"

    row = await refund.look()

    assert (row.state, row.approved_by) == ("queued", "approval-service")


async def test_whoever_asked_is_never_named_as_who_agreed(refund: Following, fake: FakeApprovals):
    await refund.look()
    fake.decide("approved", votes=[{"approver_id": AWA.id, "decision": "approve"}])

    assert (await refund.look()).approved_by == "approval-service"


@pytest.mark.parametrize(
    ("status", "more", "state"),
    [
        ("rejected", {}, "rejected"),
        ("expired", {}, "expired"),
        ("overridden", {"override_decision": "reject"}, "rejected"),
        ("overridden", {"override_decision": None}, "rejected"),
    ],
)
async def test_refusal_gives_the_money_back(
    refund: Following, fake: FakeApprovals, db: Database, status: str, more: Any, state: str
):
    await refund.look()
    fake.decide(status, **more)

    assert (await refund.look()).state == state
    assert (await balance_of(db, RESERVED), await balance_of(db, AVAILABLE)) == (0, 800_000)


async def test_approval_over_everybodys_head_counts(refund: Following, fake: FakeApprovals):
    await refund.look()
    fake.decide("overridden", override_decision="approve")

    assert (await refund.look()).state == "queued"


GARBAGE = [
    b"", b"ok", b"[]", b"{}", b'{"approval_id": 1, "status": "pending"}',
    b'{"approval_id": "../../etc", "status": "pending"}',
    b'{"approval_id": "a", "status": "certainly"}', b'{"a": NaN}', b"\xff\xfe",
]  # fmt: skip


@pytest.mark.parametrize("body", GARBAGE)
async def test_garbage_changes_nothing_and_is_said(
    refund: Following, fake: FakeApprovals, body: bytes
):
    fake.failing = (200, body)

    row = await refund.look()

    assert (row.state, row.approval_id) == ("awaiting_approval", None)
    assert await refund.codes() == [None, "approval-service-garbled"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "approval-service-unreachable"),
        (503, "approval-service-unreachable"),
        (429, "approval-service-unreachable"),
        (401, "approval-service-refused"),
        (403, "approval-service-refused"),
        (409, "approval-service-refused"),
        (302, "approval-service-refused"),
    ],
)
async def test_refusing_service_is_asked_again(
    refund: Following, fake: FakeApprovals, status: int, code: str
):
    fake.failing = (status, b"{}")
    assert (await refund.look()).state == "awaiting_approval"
    assert await refund.codes() == [None, code]

    fake.failing = None
    await refund.look()

    assert await refund.codes() == [None, "approval-service-asked"]


async def test_silent_service_keeps_the_refund_waiting_until_its_end(
    refund: Following, fake: FakeApprovals, db: Database
):
    fake.port = 9  # Nobody listens there.
    row = await refund.look()
    assert row.state == "awaiting_approval"
    assert await refund.codes() == [None, "approval-service-unreachable"]

    await refund.let_expire()
    await refund.sweep()

    assert (await refund.row()).state == "expired"
    assert await balance_of(db, AVAILABLE) == 800_000


async def test_late_approval_sends_nothing(refund: Following, fake: FakeApprovals):
    await refund.look()
    await refund.let_expire()
    await refund.sweep()
    fake.decide("approved")

    assert (await refund.look()).state == "expired"


async def _approved_while_time_ran_out(refund: Following, fake: FakeApprovals) -> RefundRow:
    """The approval is read in time, and the refund's end comes before it is heard."""
    await refund.look()
    fake.decide("approved")
    seen = await fake.service().look("approval-1")
    assert isinstance(seen, remote.Seen)
    async with refund.owner.transaction("tests.due") as tx:
        found = await tx.one(remote_store.FIND_REMOTE, merchant_id=MERCHANT, refund_id=refund.id)
    assert found is not None
    due = remote.DueRow(MERCHANT, refund.id, found.request, found.payload_hash, 0, seen.approval.id)
    await refund.let_expire()
    await remote.hear(refund.worker, due, seen)
    return await refund.row()


async def test_approval_that_time_overtook_sends_nothing(
    refund: Following, fake: FakeApprovals, db: Database
):
    row = await _approved_while_time_ran_out(refund, fake)

    assert row.state == "expired"
    assert await balance_of(db, RESERVED) == 0


async def test_without_looking_at_the_clock_again_it_would_be_sent(
    refund: Following, fake: FakeApprovals, monkeypatch: pytest.MonkeyPatch
):
    looked = remote_store.IS_OVERDUE
    blind: Any = looked.sql.replace("expires_at <= clock_timestamp()", "false")
    monkeypatch.setattr(remote_store, "IS_OVERDUE", Query(blind, row=looked.row))

    assert (await _approved_while_time_ran_out(refund, fake)).state == "queued"


OTHERS: list[dict[str, Any]] = [
    {"payload_hash": "00" * 32},
    {"payload": {"amount": 150_001, "currency": "XOF"}},
    {"payload": {}},
    {"action_type": "payout.large"},
    {"id": "approval-9"},
]


@pytest.mark.parametrize("more", OTHERS, ids=lambda each: next(iter(each)))
async def test_approval_of_something_else_does_not_count(
    refund: Following, fake: FakeApprovals, more: dict[str, Any]
):
    await refund.look()
    fake.decide("approved")
    fake.more = more

    assert (await refund.look()).state == "awaiting_approval"
    assert "approval-service-mismatch" in await refund.codes()


async def test_without_comparing_it_would_count(
    refund: Following, fake: FakeApprovals, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remote, "_mismatch", lambda *_: None)
    await refund.look()
    fake.decide("approved")
    fake.more = {"payload_hash": "00" * 32}

    assert (await refund.look()).state == "queued"


async def test_dispute_that_opens_meanwhile_stops_an_approved_refund(
    refund: Following, fake: FakeApprovals, db: Database
):
    await refund.look()
    await take_in(db, [an_event("dispute_created", id="dp_1", transaction_id="tx_big", amount=9)])
    fake.decide("approved")

    row = await refund.look()

    assert (row.state, row.failed_code) == ("failed", "no-longer-possible")
    assert await balance_of(db, RESERVED) == 0


async def test_merchant_that_is_frozen_meanwhile_refunds_nothing(
    refund: Following, fake: FakeApprovals
):
    await refund.look()
    await refund.run("update tenancy.merchants set status = 'frozen' where id = 'merchant-123'")
    fake.decide("approved")

    assert (await refund.look()).state == "failed"


async def test_nobody_of_the_merchant_decides(till: Till, refund: Following):
    with pytest.raises(NotEligible):
        await till.vote(refund.id, MOUSSA)


async def test_requester_takes_it_back_and_a_later_approval_sends_nothing(
    till: Till, refund: Following, fake: FakeApprovals, db: Database
):
    await refund.look()
    async with till.db.transaction("tests.cancel", merchant_id=MERCHANT) as tx:
        await remote.cancel(tx, MERCHANT, refund.id, AWA)
    fake.decide("approved")

    assert (await refund.look()).state == "cancelled"
    assert await balance_of(db, RESERVED) == 0


async def test_nobody_else_takes_it_back_nor_twice(till: Till, refund: Following):
    async def cancel(by: Any) -> None:
        async with till.db.transaction("tests.cancel", merchant_id=MERCHANT) as tx:
            await remote.cancel(tx, MERCHANT, refund.id, by)

    with pytest.raises(SameHands):
        await cancel(MOUSSA)
    await cancel(AWA)
    with pytest.raises(RefundNotInState):
        await cancel(AWA)


async def test_without_a_service_it_waits_until_its_end(refund: Following):
    [handler] = jobs.handlers(None)
    assert handler.name == remote.FOLLOW

    await refund.let_expire()
    assert await refund.sweep() == 1

    assert (await refund.row()).state == "expired"


async def test_worker_asks_after_the_commit_and_looks_until_it_is_decided(
    refund: Following, fake: FakeApprovals, dsn: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remote, "LOOK_EVERY_S", 0.2)
    stop = asyncio.Event()
    work = asyncio.create_task(
        run_jobs(refund.worker, dsn=dsn, handlers=jobs.handlers(fake.service()), stop=stop)
    )
    async with asyncio.timeout(30):
        while (await refund.row()).approval_id is None:
            await asyncio.sleep(0.05)
        fake.decide("approved")
        while (await refund.row()).state != "queued":
            await asyncio.sleep(0.05)
    stop.set()
    await work

    assert len(fake.asked) == 1
