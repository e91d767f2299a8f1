"""The dashboard's hours come to what a full recount says, however facts arrive."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner

import builders
import facts
from molam.entrypoints import dashboard
from molam.ops.dashboard import aggregate_store, aggregates, reported
from molam.ops.dashboard.model import TenantRefused
from molam.ops.dashboard.reported import Counted, Event
from molam.platform.db import Database, Query
from molam.platform.db.transaction import Nothing

MERCHANTS = (("m-sn", "SN", "XOF"), ("m-ci", "CI", "XOF"), ("m-gh", "GH", "GHS"))
BEGINS, ENDS = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)

PLACES = {"m-sn": ("SN", "WAEMU"), "m-ci": ("CI", "WAEMU"), "m-gh": ("GH", "ECOWAS")}
COUNTRIES = dict(PLACES.values())

ORACLE = """
select date_trunc('hour', occurred_at, 'UTC') as hour, {who} as who, currency,
       coalesce(sum(amount) filter (where type = 'payment' and w.state = 'succeeded'), 0)::bigint as gmv,
       count(*) filter (where type = 'payment' and w.state = 'succeeded') as sales,
       coalesce(sum(amount) filter (where type = 'refund' and w.state = 'succeeded'), 0)::bigint as refunded,
       count(distinct customer ->> 'phone') filter (where type = 'payment' and w.state = 'succeeded') as customers
  from payments.wallet_transactions w join tenancy.merchants m on m.id = w.merchant_id group by 1, 2, 3
"""
KEPT = """
select bucket_ts as hour, {who} as who, currency, gmv, transaction_count as sales,
       refunds_amount as refunded, unique_customers as customers
  from ops.dash_aggregates_hourly where {where}
"""
LEVELS = {
    "merchant": ("m.id", "tenant_id", "tenant_type = 'merchant'"),
    "platform": ("'all'", "'all'", "scope = 'platform'"),
    "country": ("m.country", "country", "scope like 'country:%'"),
    "region": ("ops.region_of(m.country)", "tenant_id", "tenant_type = 'region'"),
}


async def rows(db: Database, query: str) -> set[tuple[Any, ...]]:
    async with db.transaction("tests.read") as tx:
        return {tuple(row) for row in await tx.connection.fetch(query)}


def counts_for(event: Event, level: str) -> str | None:
    """Name whom of a level what another module told counts for, if anybody."""
    merchant = event.tenant_id if event.tenant_type == "merchant" else None
    country = PLACES[merchant][0] if merchant else {"UNK": None}.get(event.country, event.country)
    if level == "country":
        return country
    if level == "region":
        named = event.tenant_id if event.tenant_type == "region" else event.region
        return COUNTRIES.get(country or "", named)
    return merchant if level == "merchant" else "all"


async def assert_exact(db: Database, told: Sequence[Event] = ()) -> None:
    """Compare with a full recount, and what other modules told added to that by hand."""
    for level, (who, kept_who, where) in LEVELS.items():
        counted = {row[:3]: row[3:] for row in await rows(db, ORACLE.format(who=who))}
        for event in told:
            whom = counts_for(event, level)
            if whom is not None:
                key = (event.occurred_at.replace(minute=0), whom, event.currency)
                gmv, sales, refunded, customers = counted.get(key, (0, 0, 0, 0))
                more = event.metrics
                gmv, sales = gmv + more.gmv, sales + more.transaction_count
                counted[key] = (gmv, sales, refunded + more.refunds_amount, customers)
        kept = await rows(db, KEPT.format(who=kept_who, where=where))
        assert kept == {key + value for key, value in counted.items()}, level


def some_events(seed: int) -> list[Event]:
    """What other modules told: of merchants, of a region, of the platform, here or anywhere."""
    chance = random.Random(seed)
    whom: list[dict[str, Any]] = [
        *({"tenant_type": "merchant", "tenant_id": each} for each in PLACES),
        {"tenant_type": "platform"},
        {"tenant_type": "platform", "country": "CI", "region": "WAEMU"},
        {"tenant_type": "region", "tenant_id": "WAEMU"},
    ]
    return [
        Event(
            occurred_at=datetime(2026, 11, 11, chance.randint(8, 12), 30, tzinfo=UTC),
            currency=chance.choice(("XOF", "GHS")),
            metrics=Counted(
                gmv=chance.randint(1, 900),
                transaction_count=chance.randint(1, 9),
                refunds_amount=chance.randint(0, 90),
            ),
            **chance.choice(whom),
        )
        for _ in range(20)
    ]


async def tell(db: Database, events: Sequence[Event]) -> None:
    async with db.transaction("tests.tell") as tx:
        await reported.aggregate_events(tx, events)


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
    told, events = some_facts(seed), some_events(seed)
    chance = random.Random(seed)
    await tell(worker_db, events[:10])
    for at in range(10, 20):
        size = chance.randint(1, 20)
        batch, told = told[:size], told[size:]
        await facts.take_in(worker_db, batch)
        await tell(worker_db, [events[at]])
        if chance.random() < 0.5:
            await aggregates.refresh(worker_db)
    await facts.take_in(worker_db, told)
    await aggregates.refresh(worker_db)
    await assert_exact(db, events)


@pytest.mark.usefixtures("merchants")
async def test_what_others_counted_survives_a_rebuild(db: Database, worker_db: Database) -> None:
    await facts.take_in(worker_db, some_facts(7))
    await tell(worker_db, some_events(7))
    for _ in range(2):
        await aggregates.rebuild(worker_db, begins=BEGINS, ends=ENDS)
    await assert_exact(db, some_events(7))


@pytest.mark.usefixtures("merchants")
async def test_counted_only_where_it_is_shown_it_is_gone_with_the_next_fact(
    db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: without what is kept apart, adding an hour up again loses it."""
    nothing = Query("/* t */ delete from jobs.pgqueuer where :touched::text = ''", row=Nothing)
    await tell(worker_db, some_events(7))
    await aggregates.refresh(worker_db)
    await assert_exact(db, some_events(7))
    await facts.take_in(worker_db, some_facts(7))
    monkeypatch.setattr("molam.ops.dashboard.reported_store.ADD_REPORTED", nothing)
    await aggregates.refresh(worker_db)
    with pytest.raises(AssertionError, match="merchant"):
        await assert_exact(db, some_events(7))


async def test_rates_that_others_told_weigh_as_much_as_their_sales(worker_db: Database) -> None:
    now = datetime.now(UTC)
    for rate, float_ in ((0.5, 100), (0.9, 300)):
        metrics = Counted(
            transaction_count=45, conversion_rate=rate, fraud_rate=0.2, float_available=float_
        )
        await tell(worker_db, [Event(occurred_at=now, tenant_type="platform", metrics=metrics)])
    await aggregates.refresh(worker_db)
    kept = "select transaction_count, conversion_rate, fraud_rate, float_available from ops.dash_aggregates_hourly"
    told = (90, Decimal("0.9"), Decimal("0.2"), 300)
    assert await rows(worker_db, kept + " where scope = 'platform'") == {told}
    with pytest.raises(TenantRefused):
        Event(occurred_at=now, tenant_type="merchant", metrics=metrics)


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
