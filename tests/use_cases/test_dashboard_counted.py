"""The dashboard's hours come to what a full recount says, however facts arrive."""

from __future__ import annotations

import asyncio
import contextvars
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

import builders
import facts
from molam.entrypoints import dashboard
from molam.ops.dashboard import aggregate_store, aggregates
from molam.platform.db import Database

MERCHANTS = (("m-sn", "SN", "XOF"), ("m-ci", "CI", "XOF"), ("m-gh", "GH", "GHS"))
BEGINS, ENDS = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)

ORACLE = """
select date_trunc('hour', occurred_at, 'UTC') as hour, {who} as who, currency,
       coalesce(sum(amount) filter (where type = 'payment' and state = 'succeeded'), 0)::bigint as gmv,
       count(*) filter (where type = 'payment' and state = 'succeeded') as sales,
       coalesce(sum(amount) filter (where type = 'refund' and state = 'succeeded'), 0)::bigint as refunded,
       count(distinct customer ->> 'phone') filter (where type = 'payment' and state = 'succeeded') as customers
  from payments.wallet_transactions group by 1, 2, 3
"""
KEPT = """
select bucket_ts as hour, {who} as who, currency, gmv, transaction_count as sales,
       refunds_amount as refunded, unique_customers as customers
  from ops.dash_aggregates_hourly where {where}
"""


async def rows(db: Database, query: str) -> set[tuple[Any, ...]]:
    async with db.transaction("tests.read") as tx:
        return {tuple(row) for row in await tx.connection.fetch(query)}


async def assert_exact(db: Database) -> None:
    told = await rows(db, ORACLE.format(who="merchant_id"))
    kept = KEPT.format(who="tenant_id", where="tenant_type = 'merchant'")
    assert await rows(db, kept) == told
    told = await rows(db, ORACLE.format(who="'all'"))
    kept = KEPT.format(who="'all'", where="scope = 'platform'")
    assert await rows(db, kept) == told


def some_facts(seed: int) -> list[str]:
    chance = random.Random(seed)
    told = []
    for number in range(40):
        merchant, _, currency = chance.choice(MERCHANTS)
        data: dict[str, Any] = {
            "merchant_id": merchant,
            "currency": currency,
            "amount": chance.randint(1, 90_000),
            "occurred_at": f"2026-11-{chance.randint(10, 12)}T{chance.randint(9, 12):02}:10:00Z",
            "customer": {"phone": f"+22177000000{chance.randint(1, 4)}"},
        }
        told.append(facts.created(f"tx-{number}", version=1, **data))
        if chance.random() < 0.8:
            later = {**data, "occurred_at": data["occurred_at"].replace(":10:", ":05:")}
            told.append(facts.succeeded(f"tx-{number}", version=2, **later))
        if chance.random() < 0.3:
            told.append(facts.refund(f"re-{number}", f"tx-{number}", version=2, **data))
        if chance.random() < 0.2:
            # The same fact with another hour: it is counted where it ends up.
            early = data["occurred_at"].replace("T09", "T07").replace("T10", "T08")
            told.append(
                facts.succeeded(f"tx-{number}", version=3, **{**data, "occurred_at": early})
            )
    chance.shuffle(told)
    return told + chance.sample(told, 10)


@pytest.fixture
async def merchants(db: Database) -> None:
    for merchant, country, currency in MERCHANTS:
        await builders.a_merchant(db, id_=merchant, country=country, currency=currency)


@pytest.mark.usefixtures("merchants")
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_late_and_repeated_facts_leave_what_a_full_recount_says(
    db: Database, worker_db: Database, seed: int
) -> None:
    told = some_facts(seed)
    chance = random.Random(seed)
    while told:
        size = chance.randint(1, 20)
        batch, told = told[:size], told[size:]
        await facts.take_in(worker_db, batch)
        if chance.random() < 0.5:
            await aggregates.refresh(worker_db)
    await aggregates.refresh(worker_db)
    await assert_exact(db)


@pytest.mark.usefixtures("merchants")
async def test_nothing_changes_when_nothing_happened(db: Database, worker_db: Database) -> None:
    await facts.take_in(worker_db, some_facts(4))
    await aggregates.refresh(worker_db)
    before = await rows(db, KEPT.format(who="scope", where="true"))
    assert await aggregates.refresh(worker_db) == 0
    assert await rows(db, KEPT.format(who="scope", where="true")) == before


@pytest.mark.usefixtures("merchants")
async def test_a_rebuilt_range_mends_what_was_wrong(db: Database, worker_db: Database) -> None:
    await facts.take_in(worker_db, some_facts(5))
    await aggregates.refresh(worker_db)
    async with db.transaction("tests.spoil") as tx:
        await tx.connection.execute("update ops.dash_aggregates_hourly set gmv = gmv + 7")
    await aggregates.rebuild(worker_db, begins=BEGINS, ends=ENDS)
    await assert_exact(db)


@pytest.mark.usefixtures("merchants")
async def test_the_command_rebuilds_the_days_it_is_given(
    db: Database, worker_db: Database, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    await facts.take_in(worker_db, some_facts(5))
    async with db.transaction("tests.spoil") as tx:
        await tx.connection.execute("truncate payments.touched_hours")
    for days, code in (("2026-11-01 2026-12-01", 0), ("2026-12-01 2026-11-01", 2)):
        begins, ends = days.split()
        asked = ["rebuild", "--from", begins, "--to", ends]
        done = await asyncio.to_thread(CliRunner().invoke, dashboard.command, asked)
        assert done.exit_code == code, done.output
    await assert_exact(db)


async def write_and_refresh_at_once(worker_db: Database) -> None:
    told = some_facts(6)
    batches = [told[at : at + 4] for at in range(0, len(told), 4)]

    async def write(mine: list[list[str]]) -> None:
        for batch in mine:
            await facts.take_in(worker_db, batch)

    async def refresh() -> None:
        for _ in range(6):
            await aggregates.refresh(worker_db)

    await asyncio.gather(write(batches[::2]), write(batches[1::2]), refresh(), refresh())
    await aggregates.refresh(worker_db)


@pytest.mark.usefixtures("merchants")
async def test_writers_and_refreshers_at_once_lose_nothing(
    db: Database, worker_db: Database
) -> None:
    await write_and_refresh_at_once(worker_db)
    await assert_exact(db)


@pytest.mark.usefixtures("merchants")
async def test_hours_that_nobody_marks_are_missed(db: Database, worker_db: Database) -> None:
    """The twin: without the marks of updates, what changes later is never added up again."""
    async with db.transaction("tests.remove_the_safety") as tx:
        await tx.connection.execute(
            "drop trigger wallet_transactions_touch_updated on payments.wallet_transactions"
        )
    told = facts.created("tx-1", merchant_id="m-sn", version=1)
    await facts.take_in(worker_db, [told])
    await aggregates.refresh(worker_db)
    await facts.take_in(worker_db, [facts.succeeded("tx-1", merchant_id="m-sn", version=2)])
    await aggregates.refresh(worker_db)
    with pytest.raises(AssertionError):
        await assert_exact(db)


async def a_fact_between_the_steps(worker_db: Database, *, marks_first: bool) -> None:
    """Let a fact commit while its hour, which was marked before, is being added up."""
    await facts.take_in(worker_db, [facts.succeeded("tx-1", merchant_id="m-sn", version=2)])
    async with worker_db.transaction("tests.refresh") as tx:
        steps = (
            aggregate_store.CLEAR,
            aggregate_store.COUNT_CUSTOMERS,
            aggregate_store.ADD_UP_MERCHANTS,
            aggregate_store.ROLL_UP,
        )
        touched = (
            '[{"tenant_type": "merchant", "tenant_id": "m-sn", "currency": "XOF",'
            ' "hour": "2026-11-16T12:00:00Z"}]'
        )
        if marks_first:
            await tx.one(aggregate_store.TAKE_MARKS, marks_max=100)
        for step in steps:
            await tx.run(step, touched=touched)
        other = facts.succeeded("tx-2", merchant_id="m-sn", version=2)
        # In a context of its own: this one has a transaction open.
        task = facts.take_in(worker_db, [other])
        await asyncio.create_task(task, context=contextvars.Context())
        if not marks_first:
            await tx.one(aggregate_store.TAKE_MARKS, marks_max=100)
    await aggregates.refresh(worker_db)


@pytest.mark.usefixtures("merchants")
@pytest.mark.parametrize("marks_first", [True, False])
async def test_marks_are_taken_before_what_they_mark_is_read(
    db: Database, marks_first: bool
) -> None:
    """The other order is the twin: it takes a mark whose fact it has not seen."""
    await a_fact_between_the_steps(db, marks_first=marks_first)
    if marks_first:
        await assert_exact(db)
    else:
        with pytest.raises(AssertionError):
            await assert_exact(db)
