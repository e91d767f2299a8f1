"""A bank in trouble is asked and sent little, whoever does it, and nothing is lost by that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

import bank_desk
from bank_desk import UNRESTRAINED, BankDesk, a_bank_desk
from molam.payments.banks import attempt_store, budget_store, budgets, commands, inquiries, jobs
from molam.payments.banks.budgets import Budget, Restraint
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.jobs import Job

BANK = "bp_http"
NARROW = Budget(per_s=0.5, floor_max=5.0, most=20.0)
PATIENT = replace(bank_desk.HASTE, failures_max=100)
TIGHT = Restraint(inquiry=NARROW, retry=NARROW, requests_min=10**6)


@pytest.fixture
async def bank(db: Database) -> str:
    await bank_desk.a_bank(db, BANK, connector="http_bank", url="http://localhost:1")
    return BANK


@pytest.fixture
async def desk(worker_db, db, tmp_path) -> AsyncIterator[BankDesk]:
    async with a_bank_desk(worker_db, db, tmp_path, patience=PATIENT, restraint=TIGHT) as opened:
        yield opened


async def sql(db: Database, statement: str, *args: object) -> Any:
    async with db.transaction("tests.sql") as tx:
        return await tx.connection.fetchval(statement, *args)


async def spend(db: Database, restraint: Restraint = TIGHT) -> bool:
    async with db.transaction("tests.spend") as tx:
        return await budgets.may_spend(tx, restraint, BANK, "inquiry")


async def send_live(db: Database, count: int) -> None:
    for _ in range(count):
        async with db.transaction("tests.count") as tx:
            await budgets.count_request(tx, BANK, accepted=True, is_live=True)


async def pass_time(db: Database, seconds: int) -> None:
    """Move all that is written back by whole slots, as if the clock had gone on."""
    await sql(
        db,
        "with t as (update payments.bank_traffic set slot = slot - make_interval(secs => $1))"
        " update payments.bank_budgets set filled_at = filled_at - make_interval(secs => $1),"
        " counted_until = counted_until - make_interval(secs => $1)",
        float(seconds),
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([10, 20, 60])),
        st.tuples(st.just("send"), st.integers(1, 30)),
        st.tuples(st.just("ask"), st.integers(1, 12)),
    ),
    min_size=3,
    max_size=10,
)


async def never_more_than_allowed(db: Database, steps: Sequence[tuple[str, int]]) -> None:
    """Check, after each step, that what was asked is covered by time, the floor and live traffic."""
    await sql(db, "delete from payments.bank_traffic")
    await sql(db, "delete from payments.bank_budgets")
    asked, live, waited = 0, 0, 0
    for what, amount in steps:
        if what == "wait":
            await pass_time(db, amount)
            waited += amount
        elif what == "send":
            await send_live(db, amount)
            live += amount
        else:
            asked += sum([await spend(db) for _ in range(amount)])
        # A second of slack for the real time that the test takes.
        allowed = NARROW.floor_max + NARROW.per_s * (waited + 1) + NARROW.share * live
        assert asked <= allowed, f"{asked} asked, {allowed} allowed"


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
async def test_questions_never_exceed_their_floor_and_a_tenth_of_live_traffic(
    db: Database, bank: str, steps: list[tuple[str, int]]
):
    await never_more_than_allowed(db, steps)


async def test_questions_exceed_it_where_nobody_looks_at_what_is_left(
    db: Database, bank: str, monkeypatch: pytest.MonkeyPatch
):
    async def takes(*_args: object, **_more: object) -> bool:
        return True

    monkeypatch.setattr(budgets, "may_spend", takes)

    with pytest.raises(AssertionError, match="allowed"):
        await never_more_than_allowed(db, [("send", 3), ("ask", 12)])


async def test_live_traffic_pays_for_more_questions(db: Database, bank: str):
    while await spend(db):
        pass
    await send_live(db, 40)
    assert not await spend(db), "the slot is not over"

    await pass_time(db, 10)

    # 5 are from the floor, as 10 seconds passed; 4 from what was sent.
    assert sum([await spend(db) for _ in range(20)]) in {9, 10}


async def test_quiet_bank_is_asked_on_schedule(db: Database, bank: str):
    default = Restraint()

    assert all([await spend(db, default) for _ in range(60)])


async def contended(dsn: str) -> int:
    """Let two processes' pools take tokens all at once; return how many they got."""
    pools = [await open_database(dsn, ProcessRole.WORKER, application="t") for _ in range(2)]
    try:
        takers = [spend(pools[number % 2]) for number in range(24)]
        return sum(await asyncio.gather(*takers))
    finally:
        for pool in pools:
            await pool.close()


async def test_workers_share_one_budget(db: Database, bank: str, dsn: str):
    assert await contended(dsn) in {5, 6}


async def test_workers_overspend_where_each_reads_before_it_writes(
    db: Database, bank: str, dsn: str, monkeypatch: pytest.MonkeyPatch
):
    async def reads_first(tx: Any, *_args: object) -> bool:
        await tx.run(budget_store.BEGIN_BUDGET, id=BANK, purpose="inquiry", floor_max=5.0)
        left = await tx.connection.fetchval("select tokens from payments.bank_budgets")
        await asyncio.sleep(0.05)
        if left < 1:
            return False
        await tx.connection.execute("update payments.bank_budgets set tokens = $1", left - 1)
        return True

    monkeypatch.setattr(budgets, "may_spend", reads_first)

    assert await contended(dsn) > 6


async def taken_at_once(dsn: str, count: int) -> int:
    """Let *count* connections take the first tokens of a bank all at once."""
    pools = [await open_database(dsn, ProcessRole.WORKER, application="t") for _ in range(count)]
    together = asyncio.Barrier(count)

    async def take(pool: Database) -> bool:
        async with pool.transaction("tests.spend") as tx:
            await tx.connection.fetchval("select 1")
            await together.wait()
            return await budgets.may_spend(tx, TIGHT, BANK, "retry")

    try:
        return sum(await asyncio.gather(*(take(pool) for pool in pools)))
    finally:
        for pool in pools:
            await pool.close()


async def test_first_to_ask_at_once_all_get_what_there_is(db: Database, bank: str, dsn: str):
    assert await taken_at_once(dsn, 4) == 4


async def test_all_but_one_get_nothing_where_only_who_began_a_budget_takes(
    db: Database, bank: str, dsn: str, monkeypatch: pytest.MonkeyPatch
):
    async def only_who_began(tx: Any, restraint: Restraint, bank_id: str, purpose: str) -> bool:
        taken = {"id": bank_id, "purpose": purpose, **restraint.retry.columns}
        if await tx.run(budget_store.TAKE_TOKEN, **taken):
            return True
        begun = await tx.run(budget_store.BEGIN_BUDGET, id=bank_id, purpose=purpose, floor_max=5.0)
        return bool(begun) and bool(await tx.run(budget_store.TAKE_TOKEN, **taken))

    monkeypatch.setattr(budgets, "may_spend", only_who_began)

    assert await taken_at_once(dsn, 4) < 4


async def doubts(desk: BankDesk, count: int) -> list[str]:
    """Payments that a bank booked and did not answer for."""
    desk.temper(die="after", callbacks="lost")
    ids = [f"po_{number}" for number in range(count)]
    for id_ in ids:
        await desk.owned(id_, 75_000)
        await desk.send(id_)
    desk.temper(callbacks="lost")
    return ids


async def test_question_beyond_the_budget_waits_and_the_doubt_stays_one(desk: BankDesk):
    ids = await doubts(desk, 8)
    booked = [desk.booked(id_) for id_ in ids]

    for id_ in ids:
        await desk.inquire(id_)

    found = [(await desk.attempts(id_))[0] for id_ in ids]
    waiting = [each for each in found if each.state == "unknown"]
    assert {each.state for each in found} == {"settled", "unknown"}
    assert len(waiting) in {2, 3}
    assert [(each.inquiries, each.sends) for each in waiting] == [(0, 1)] * len(waiting)
    assert [desk.booked(id_) for id_ in ids] == booked, "nothing was sent again"

    await pass_time(desk.db, 60)
    for each in waiting:
        await desk.inquire(each.object_id)

    assert {(await desk.attempts(id_))[0].state for id_ in ids} == {"settled"}
    assert [desk.booked(id_) for id_ in ids] == [1] * 8


async def test_what_waited_longest_is_taken_first_and_no_more_than_may_be_asked(desk: BankDesk):
    ids = await doubts(desk, 8)
    for place, id_ in enumerate(reversed(ids)):
        await desk.rows(
            "update payments.bank_attempts set next_inquiry_at = now() - make_interval(secs => $2)"
            " where object_id = $1 returning id",
            id_,
            float(100 - place),
        )

    assert await inquiries.enqueue_due(desk.teller, desk.db) == 5

    rows = await desk.rows(
        "select object_id from payments.bank_attempts where next_inquiry_at <= now()"
    )
    assert {row["object_id"] for row in rows} == set(ids[:3])


async def test_end_that_a_bank_only_hints_at_costs_nothing(desk: BankDesk):
    desk.temper("bp_orange", callbacks="lost")
    await desk.owned("po_1", 75_000, bank="bp_orange")
    await desk.send("po_1")
    (attempt,) = await desk.attempts("po_1")
    async with desk.db.transaction("tests.spend_all") as tx:
        while await budgets.may_spend(tx, TIGHT, "bp_orange", "inquiry"):
            pass

    await inquiries.inquire(desk.teller, desk.db, attempt.id)
    assert await desk.state("po_1") != "paid"
    await inquiries.inquire(desk.teller, desk.db, attempt.id, hinted=True)

    assert await desk.state("po_1") == "paid"


async def test_repetition_beyond_its_budget_waits_and_is_sent_later(desk: BankDesk):
    desk.temper(die="before")
    ids = [f"po_{number}" for number in range(8)]
    for id_ in ids:
        await desk.owned(id_, 75_000)
        await desk.send(id_)
    desk.temper()
    generous = Restraint(inquiry=bank_desk.AMPLE, retry=NARROW, requests_min=10**6)
    slow = replace(desk.teller.patience, asks_s=(3000.0,))
    teller = replace(desk.teller, restraint=generous, patience=slow)

    async def ask_all() -> None:
        for id_ in ids:
            (attempt,) = await desk.attempts(id_)
            await inquiries.inquire(teller, desk.db, attempt.id)

    await ask_all()

    assert sum(desk.booked(id_) for id_ in ids) in {5, 6}
    states = [(await desk.attempts(id_))[0].state for id_ in ids]
    assert states.count("unknown") in {2, 3}
    (soon,) = await desk.rows(
        "select bool_and(next_inquiry_at < now() + interval '2 minutes') as soon"
        " from payments.bank_attempts where state = 'unknown'"
    )
    assert soon["soon"], "known to be sent again, they do not wait for the schedule's next hour"

    await pass_time(desk.db, 60)
    await ask_all()

    assert [desk.booked(id_) for id_ in ids] == [1] * 8


async def refuse_much(db: Database, requests: int = 1000) -> None:
    await sql(
        db,
        "insert into payments.bank_traffic values ($1, date_bin('10 seconds', now(), 'epoch'), 0,"
        " $2, 0, $2)",
        BANK,
        requests,
    )


async def held_back_is_not_tried(desk: BankDesk, restraint: Restraint) -> None:
    """Check that what is held back is not claimed, waits, and goes once the bank is well."""
    await refuse_much(desk.db)
    await desk.owned("po_1", 75_000)
    teller = replace(desk.teller, restraint=restraint)
    before = REGISTRY.get_sample_value("molam_payments_held_back_total", {"bank": BANK}) or 0

    with pytest.raises(commands.NotNow) as later:
        await commands.send(teller, desk.db, kind="payout", object_id="po_1")

    assert 5 <= later.value.wait_s <= 10
    assert await desk.attempts("po_1") == [], "it was not tried"
    assert await desk.state("po_1") == "queued", "it waits"
    assert desk.booked("po_1") == 0
    after = REGISTRY.get_sample_value("molam_payments_held_back_total", {"bank": BANK})
    assert after == before + 1

    await pass_time(desk.db, 130)
    await commands.send(teller, desk.db, kind="payout", object_id="po_1")
    await desk.until_paid("po_1")
    assert desk.booked("po_1") == 1


async def test_request_that_is_held_back_is_no_attempt_and_goes_later(desk: BankDesk):
    await held_back_is_not_tried(desk, Restraint(draw=lambda: 0.9))


async def test_bank_that_refuses_all_is_sent_all_where_nothing_holds_it_back(desk: BankDesk):
    with pytest.raises(pytest.fail.Exception):
        await held_back_is_not_tried(desk, UNRESTRAINED)


async def test_held_back_payment_stays_in_the_queue(desk: BankDesk):
    await refuse_much(desk.db)
    await desk.owned("po_1", 75_000)
    payload = msgspec.json.encode(commands.Send("payout", "po_1"))
    job = Job(7, commands.SEND, payload, 1, desk.db)
    teller = replace(desk.teller, restraint=Restraint(draw=lambda: 0.5))
    (send, *_) = jobs.handlers(teller)

    await send.run(job)

    (row,) = await desk.rows(
        "select execute_after > now() + interval '3 seconds' as later from jobs.pgqueuer"
        " where entrypoint = 'payments.send'"
    )
    assert row["later"]


async def test_only_requests_that_were_made_are_counted(desk: BankDesk):
    desk.temper(reject_rate=1.0, reject_code="E-17")
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    desk.temper()
    await desk.owned("po_2", 75_000)
    await desk.send("po_2")

    (row,) = await desk.rows(
        "select sum(requests)::int, sum(accepts)::int, sum(live)::int from payments.bank_traffic"
    )
    assert tuple(row) == (2, 1, 2)


async def test_old_traffic_is_forgotten(db: Database, worker_db: Database, bank: str):
    await send_live(db, 3)
    await pass_time(db, 3 * 3600)
    await send_live(db, 1)

    await budgets.purge(worker_db)

    assert await sql(db, "select sum(requests)::int from payments.bank_traffic") == 1


async def test_traffic_and_budgets_take_no_place_in_attempts(desk: BankDesk):
    """A question that is put off moves nothing but its time."""
    (id_,) = await doubts(desk, 1)
    (before,) = await desk.attempts(id_)
    async with desk.db.transaction("tests.put_off") as tx:
        await tx.run(attempt_store.PUT_OFF, id=before.id, wait_s=20.0)

    (after,) = await desk.attempts(id_)
    assert (after.state, after.inquiries, after.sends) == ("unknown", 0, 1)
