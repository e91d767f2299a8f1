"""Runs of payouts: who is due is paid once, and the books agree whatever happens in what order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from types import ModuleType
from typing import Any

import asyncpg
import pytest

import paying_out as pay
from molam.ledger import commands as ledger
from molam.payments.payouts import model, run, run_store, store
from molam.payments.payouts.run_store import DueRow
from molam.payments.payouts.sending import send_due
from molam.platform.db import Database, Query, Tx
from molam.platform.jobs import list_held


@pytest.fixture
async def bank(db: Database) -> str:
    return await pay.a_bank(db)


async def test_who_is_due_is_paid_and_due_again_at_the_next_payday(
    db: Database, worker_db: Database, bank: str
):
    await pay.a_payee(db, interval="weekly", due=True)
    await pay.a_payee(db, id_="merchant-2", interval="weekly")
    for merchant in (pay.MERCHANT, "merchant-2"):
        await pay.an_entry(db, 1_000, merchant_id=merchant)

    assert await pay.run_due(worker_db) == 1
    assert await pay.run_due(worker_db) == 0

    made = await pay.sql(db, "select merchant_id, asked_as from payments.payouts")
    assert made == [(pay.MERCHANT, "schedule")]
    next_at, result = (
        await pay.sql(
            db,
            "select next_at, last_result from payments.payout_schedules where merchant_id = $1",
            pay.MERCHANT,
        )
    )[0]
    assert next_at > datetime.now(UTC)
    assert result == "made"
    await pay.agree(db)


@pytest.mark.parametrize(
    ("amount", "minimum", "result"),
    [(1_000, 5_000, "below_minimum"), (-200, 0, "nothing"), (5_000, 5_000, "made")],
)
async def test_a_run_says_what_came_of_it(
    db: Database, bank: str, amount: int, minimum: int, result: str
):
    await pay.a_payee(db, interval="daily", minimum=minimum, due=True)
    await pay.an_entry(db, amount)

    await pay.run_due(db)

    assert await pay.one(db, "select last_result from payments.payout_schedules") == result
    await pay.agree(db)


async def test_a_schedule_that_nobody_wrote_down_is_the_dashboards(
    db: Database, worker_db: Database, bank: str
):
    from builders import a_merchant

    await a_merchant(db)
    await pay.sql(db, "update merchant.merchant_dashboards set payout_schedule = 'monthly'")
    await pay.an_entry(db, 1_000)

    await pay.run_due(worker_db)

    found = await pay.sql(
        db,
        "select interval, delay_days, next_at > now(), updated_by from payments.payout_schedules",
    )
    assert found == [("monthly", 1, True, "molam")]


async def test_money_is_paid_at_once_where_that_is_wanted(
    db: Database, worker_db: Database, bank: str
):
    await pay.a_payee(db, interval="instant", due=True)
    await pay.an_entry(db, 1_000, age=timedelta(seconds=1))

    await pay.run_due(worker_db)

    assert await pay.sql(db, "select state, asked_as from payments.payouts") == [
        ("pending", "instant")
    ]
    jobs = await pay.sql(db, "select entrypoint from jobs.pgqueuer")
    assert jobs == [("payments.send",)]
    assert await list_held(db, limit=10) == []


async def test_what_is_scheduled_is_sent_when_its_hour_comes(
    db: Database, worker_db: Database, bank: str
):
    await pay.a_payee(db, interval="daily", due=True)
    await pay.an_entry(db, 1_000)
    await pay.run_due(worker_db)
    await pay.sql(
        db,
        "update payments.payouts set state = 'scheduled', scheduled_for = now() + interval '1 h'",
    )
    assert await send_due(worker_db) == 0

    await pay.sql(db, "update payments.payouts set scheduled_for = now() - interval '1 s'")

    assert await send_due(worker_db) == 1
    assert await pay.one(db, "select state from payments.payouts") == "pending"


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (
            "update tenancy.merchants set status = 'frozen'",
            "update tenancy.merchants set status = 'active'",
        ),
        (
            "update payments.payout_destinations set refused_code = 'AC04'",
            "update payments.payout_destinations set refused_code = null",
        ),
        (
            "update payments.payout_destinations set hold_until = now() + interval '1 h'",
            "update payments.payouts set held_until = now();"
            "update payments.payout_destinations set hold_until = now()",
        ),
    ],
)
async def test_what_was_held_is_sent_once_nothing_keeps_it(
    db: Database, worker_db: Database, bank: str, begins: str, ends: str
):
    await pay.a_payee(db, interval="daily", due=True)
    await pay.an_entry(db, 1_000)
    await pay.sql(db, begins)
    await pay.run_due(worker_db)
    assert await pay.one(db, "select state from payments.payouts") == "held"
    await pay.sql(db, "update payments.payouts set scheduled_for = now()")
    assert await send_due(worker_db) == 0

    for statement in ends.split(";"):
        await pay.sql(db, statement)

    assert await send_due(worker_db) == 1
    await pay.agree(db)


async def test_two_runs_at_once_pay_each_entry_once(db: Database, bank: str):
    for number in range(12):
        merchant = f"merchant-{number}"
        await pay.a_payee(db, id_=merchant, interval="daily", due=True)
        await pay.an_entry(db, 1_000, merchant_id=merchant)

    made = await asyncio.gather(*(pay.run_due(db) for _ in range(4)))

    assert sum(made) == 12
    assert await pay.one(db, "select count(*) from payments.payouts") == 12
    await pay.agree(db, merchant_id="merchant-0")


async def test_a_request_by_hand_waits_for_the_run_and_finds_nothing_left(db: Database, bank: str):
    await pay.a_payee(db, interval="daily", due=True)
    await pay.an_entry(db, 1_000)

    found = await asyncio.gather(
        pay.run_due(db), *(pay.ask(db) for _ in range(4)), return_exceptions=True
    )

    assert await pay.one(db, "select count(*) from payments.payouts") == 1
    refused = [each for each in found if isinstance(each, BaseException)]
    assert all(isinstance(each, model.NothingToPay) for each in refused)
    await pay.agree(db)


async def test_a_cancellation_and_a_claim_at_once_leave_one_of_the_two(db: Database, bank: str):
    await pay.a_payee(db)
    for _ in range(8):
        await pay.an_entry(db, 1_000)
        made = await pay.ask(db)

        sent, cancelled = await asyncio.gather(
            pay.claim(db, made.id), pay.cancel(db, made.id), return_exceptions=True
        )

        assert (sent is None) != isinstance(cancelled, model.PayoutNotInState)
        await pay.agree(db)
        if sent is not None:
            await pay.settle(db, made.id, "settled")


async def _promise_and_ask(db: Database) -> None:
    """Ask for a payout while a refund is being promised, which commits only then."""
    await pay.a_payee(db)
    await pay.an_entry(db, 1_000)
    promised, asked = asyncio.Event(), asyncio.Event()

    async def promise() -> None:
        async with db.transaction("tests.promise") as tx:
            await ledger.lock_available(tx, merchant_id=pay.MERCHANT, currency="XOF")
            promised.set()
            await asked.wait()
            await ledger.post(
                tx,
                [
                    ledger.Transfer(
                        id=pay.an_id(),
                        source=ledger.available(pay.MERCHANT),
                        target=ledger.reserved(pay.MERCHANT),
                        amount=400,
                        currency="XOF",
                        merchant_id=pay.MERCHANT,
                        cause="refund_reserved",
                        cause_id="re_1",
                        occurred_at=datetime.now(UTC),
                    )
                ],
            )

    promising = asyncio.create_task(promise())
    await promised.wait()
    asking = asyncio.create_task(pay.ask(db))
    for _ in range(1_000):
        if await pay.one(db, "select count(*) from pg_locks where not granted") or asking.done():
            break
    asked.set()
    await promising

    assert (await asking).amount == 600
    await pay.agree(db)


async def test_a_run_does_not_pay_what_is_being_promised_to_a_customer(db: Database, bank: str):
    await _promise_and_ask(db)


async def _walk(db: Database, chance: Random, steps: int) -> None:
    """Do what may happen to a merchant's money, in an order that nobody would choose."""
    payouts: list[str] = []
    for _ in range(steps):
        done = chance.random()
        try:
            if done < 0.35 or not payouts:
                sign = 1 if chance.random() < 0.7 else -1
                age = timedelta(hours=chance.randrange(1, 100))
                await pay.an_entry(db, sign * chance.randrange(1, 5_000), age=age)
            if done < 0.55:
                payouts.append((await pay.ask(db)).id)
                continue
            payout = chance.choice(payouts)
            if done < 0.65:
                await pay.claim(db, payout)
            elif done < 0.9:
                word = chance.choice(
                    ["accepted", "settled", "rejected", "unknown", "returned", "needs_details"]
                )
                await pay.settle(db, payout, word)  # type: ignore[arg-type]
            elif done < 0.95:
                await pay.cancel(db, payout)
            else:
                await pay.try_again(db, payout)
        except (model.NothingToPay, model.PayoutNotInState, model.EntriesTaken, IndexError):
            pass
        await pay.agree(db)


@pytest.mark.parametrize("seed", range(6))
async def test_the_books_agree_whatever_happens_to_payouts_in_any_order(
    db: Database, bank: str, seed: int
):
    await pay.a_payee(db, delay_days=1)

    await _walk(db, Random(seed), 70)

    assert await pay.one(db, "select count(*) from payments.payout_events") > 0


def _without(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, old: str, new: str
) -> None:
    """Take one safety out of a statement."""
    original: Query[Any] = getattr(module, name)
    sql: Any = original.sql
    assert old in sql
    monkeypatch.setattr(module, name, Query(sql.replace(old, new), row=original.row))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # A payout that asks no longer whether an entry has an owner.
        ("where e.transfer_id = x.id) is null", "where e.transfer_id = x.id and false) is null"),
        # One that takes what payouts themselves moved for what they should pay.
        ("'payout_reserved', 'payout_released', 'payout_returned'", "'none'"),
    ],
)
async def test_without_each_safety_of_a_run_the_books_do_not_agree(
    db: Database, bank: str, monkeypatch: pytest.MonkeyPatch, old: str, new: str
):
    # The balance itself is a wall behind these: no payout is more than there is.
    _without(monkeypatch, run_store, "MAKE", " and a.balance >= s.payable", "")
    _without(monkeypatch, run_store, "MAKE", old, new)
    await pay.a_payee(db, delay_days=1)

    with pytest.raises((AssertionError, asyncpg.UniqueViolationError, asyncpg.CheckViolationError)):
        await _walk(db, Random(0), 70)


async def _posted_long_ago(db: Database) -> None:
    await pay.sql(db, "alter table ledger.transfers disable trigger transfers_append_only")
    await pay.sql(db, "update ledger.transfers set posted_at = now() - interval '3 hours'")
    await pay.sql(db, "alter table ledger.transfers enable trigger transfers_append_only")


async def _what_waited_is_paid(db: Database) -> None:
    await pay.a_payee(db, delay_days=2)
    await pay.an_entry(db, 1_000, age=timedelta(days=4))
    await pay.an_entry(db, 500, age=timedelta(hours=1))
    await _posted_long_ago(db)
    assert (await pay.ask(db)).amount == 1_000
    await pay.sql(db, "update payments.payout_schedules set delay_days = 0")

    assert (await pay.ask(db)).amount == 500


async def _what_failed_is_paid(db: Database) -> None:
    await pay.a_payee(db)
    await pay.an_entry(db, 1_000)
    await _posted_long_ago(db)
    made = await pay.ask(db)
    await pay.claim(db, made.id)
    await pay.settle(db, made.id, "rejected")

    assert (await pay.ask(db)).amount == 1_000


async def test_what_waited_for_its_day_is_found_behind_the_mark(db: Database, bank: str):
    await _what_waited_is_paid(db)


async def test_a_mark_put_over_what_waits_would_lose_it(
    db: Database, bank: str, monkeypatch: pytest.MonkeyPatch
):
    _without(
        monkeypatch,
        run_store,
        "MAKE",
        "min(e.posted_at) filter (where m.id is null or not e.counts)",
        "'infinity'::timestamptz",
    )

    with pytest.raises(model.NothingToPay):
        await _what_waited_is_paid(db)


async def test_what_failed_is_found_behind_the_mark(db: Database, bank: str):
    await _what_failed_is_paid(db)


async def test_a_mark_that_does_not_go_back_would_lose_what_failed(
    db: Database, bank: str, monkeypatch: pytest.MonkeyPatch
):
    _without(
        monkeypatch,
        store,
        "RELEASE_ENTRIES",
        "least(k.posted_before, excluded.posted_before)",
        "k.posted_before",
    )

    with pytest.raises(model.NothingToPay):
        await _what_failed_is_paid(db)


async def test_without_the_lock_on_the_balance_promised_money_is_paid_out(
    db: Database, bank: str, monkeypatch: pytest.MonkeyPatch
):
    _without(monkeypatch, run_store, "LOCK_BALANCES", "for update", "")

    with pytest.raises(AssertionError):
        await _promise_and_ask(db)


async def test_without_the_lock_on_the_schedule_two_runs_pay_twice_or_clash(
    db: Database, bank: str, monkeypatch: pytest.MonkeyPatch
):
    _without(monkeypatch, run_store, "LOCK_DUE", "for update of s skip locked", "")
    _without(monkeypatch, run_store, "LOCK_BALANCES", "for update", "")
    both_have_read = asyncio.Barrier(2)

    async def run_batch_together(tx: Tx, due: Sequence[DueRow]) -> int:
        await both_have_read.wait()
        return await run_batch(tx, due)

    run_batch = run._run_batch
    monkeypatch.setattr(run, "_run_batch", run_batch_together)
    for number in range(12):
        await pay.a_payee(db, id_=f"merchant-{number}", interval="daily", due=True)
        await pay.an_entry(db, 1_000, merchant_id=f"merchant-{number}")

    found = await asyncio.gather(*(run.run_due(db) for _ in range(2)), return_exceptions=True)

    # The key of an entry's owner is the last wall: it breaks the second run.
    assert any(isinstance(each, asyncpg.UniqueViolationError) for each in found)


async def test_a_run_takes_no_more_statements_for_many_than_for_one(
    db: Database, bank: str, monkeypatch: pytest.MonkeyPatch
):
    counted = 0
    original = Tx._check_rank
    ours = asyncio.current_task()

    def count(self: Tx, query: Query[object]) -> None:
        nonlocal counted
        counted += asyncio.current_task() is ours
        original(self, query)

    monkeypatch.setattr(Tx, "_check_rank", count)
    counts = []
    for batch in ("a", "b"):
        for number in range(1 if batch == "a" else 10):
            merchant = f"merchant-{batch}{number}"
            await pay.a_payee(db, id_=merchant, interval="instant", due=True)
            await pay.an_entry(db, 1_000, merchant_id=merchant)
        counted = 0
        await run.run_due(db)
        counts.append(counted)

    assert counts[0] == counts[1]
