"""How long the dashboard's hours are kept, what floats come to, and what is checked of fraud."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

import builders
from measuring import Followed, a_watch, drain, settle
from molam.approvals.engine import Engine
from molam.entrypoints.registry import registry
from molam.kernel.clock import ManualClock
from molam.ops.dashboard import aggregate_store, aggregates, checking, queries, reported
from molam.ops.dashboard.model import PLATFORM, Tenant
from molam.ops.dashboard.reported import Counted, Event
from molam.platform.db import Database, Query
from molam.platform.db.transaction import Nothing

HOUR = timedelta(hours=1)
ACCOUNT = "agent:agent-123:float:XOF"


async def sql(db: Database, text: str, *values: object) -> list[tuple[Any, ...]]:
    async with db.transaction("tests.sql") as tx:
        return [tuple(row) for row in await tx.connection.fetch(text, *values)]


async def hours_of(db: Database) -> list[tuple[Any, ...]]:
    return await sql(
        db,
        "select scope, gmv, payout_pending_count from ops.dash_aggregates_hourly"
        " where scope in ('platform', 'merchant:merchant-123') order by bucket_ts, scope",
    )


async def an_old_and_a_new_hour(db: Database, worker_db: Database) -> None:
    """A sale of today, and of 500 days ago one sale and a payout that is still on its way."""
    now = datetime.now(UTC)
    old = now - timedelta(days=500)
    await builders.a_merchant(db)
    await builders.a_transaction(db, id_="tx_new", amount=10, occurred_at=now - HOUR)
    await builders.a_transaction(db, id_="tx_old", amount=20, occurred_at=old)
    await builders.a_transaction(db, id_="tx_older", amount=30, occurred_at=old - 9 * HOUR)
    await sql(
        db,
        "insert into payments.payouts (merchant_id, id, state, amount, currency, occurred_at, version)"
        " values ('merchant-123', 'po_old', 'pending', 5, 'XOF', $1, 1)",
        old,
    )
    await aggregates.refresh(worker_db)


NEW = [("merchant:merchant-123", 10, 0), ("platform", 10, 0)]
OLD = [("merchant:merchant-123", 20, 1), ("platform", 20, 1)]


async def test_what_cannot_be_shown_is_forgotten_and_what_waits_is_not(
    db: Database, worker_db: Database
) -> None:
    await an_old_and_a_new_hour(db, worker_db)
    assert await aggregates.forget(worker_db) > 0
    assert await hours_of(db) == [*OLD, *NEW]
    async with worker_db.transaction("tests.read") as tx:
        found = await queries.overview(tx, PLATFORM)
        assert found.snapshot["payouts_pending_amount"] == 5
    # Once it is paid the old hour is added up from what is stored, and goes with the next night.
    await sql(db, "update payments.payouts set state = 'paid', version = 2 where id = 'po_old'")
    await aggregates.refresh(worker_db)
    assert [row[2] for row in await hours_of(db)] == [0, 0, 0, 0]
    await aggregates.forget(worker_db)
    assert await hours_of(db) == NEW
    assert await aggregates.forget(worker_db) == 0
    # A rebuild of what is shown finds what was there; one of the past brings it back whole.
    await aggregates.rebuild(worker_db, begins=datetime.now(UTC) - 9 * HOUR, ends=datetime.now(UTC))
    assert await hours_of(db) == NEW
    long_ago = datetime.now(UTC) - timedelta(days=600)
    await aggregates.rebuild(worker_db, begins=long_ago, ends=datetime.now(UTC))
    assert [row[1] for row in await hours_of(db)] == [30, 30, 20, 20, 10, 10]


async def test_forgetting_whatever_is_old_loses_what_waits(
    db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: if age alone decided, a payout on its way would not be counted any more."""
    careless = tuple(
        Query(each.sql.replace("and payout_pending_count = 0", ""), row=Nothing)
        for each in aggregate_store.FORGET
    )
    monkeypatch.setattr(aggregate_store, "FORGET", careless)
    await an_old_and_a_new_hour(db, worker_db)
    await aggregates.forget(worker_db)
    assert await hours_of(db) == NEW


async def given(db: Database, amount: int, at: datetime) -> None:
    await sql(
        db,
        "insert into ledger.transfers (id, source, target, amount, currency, agent_id, cause, cause_id,"
        " occurred_at, posted_at) values ($1, 'treasury:float:XOF', $2, $3, 'XOF', 'agent-123',"
        " 'float.adjusted', 'tests', $4, $4)",
        *(uuid4(), ACCOUNT, amount, at),
    )


async def test_floats_tell_what_was_given_and_what_is_promised(
    db: Database, ops_db: Database, worker_db: Database
) -> None:
    await builders.operations(db)
    await builders.a_policy(db)
    await builders.an_agent(db, balance=900_000)
    engine = Engine.of(ops_db, registry())
    await engine.create_ops_action(
        origin="ops_ui",
        action_type="ADJUST_FLOAT",
        params={"agent_id": "agent-123", "adjustment": "sweep", "amount": 200_000},
        created_by="finance-user-1",
    )
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    # After the last look of the hour before, and in this one.
    await given(db, 300, this_hour - timedelta(seconds=1))
    await given(db, 70, this_hour)
    event = Event(
        occurred_at=this_hour,
        tenant_type="agent",
        tenant_id="agent-123",
        metrics=Counted(gmv=11, float_available=1),
    )
    async with ops_db.transaction("tests.tell") as tx:
        await reported.aggregate_event(tx, event)
    await aggregates.refresh(worker_db)
    await aggregates.rebuild(worker_db, begins=this_hour - HOUR, ends=this_hour + HOUR)
    columns = "gmv, float_available, float_reserved, float_distributed"
    for scope in ("agent:agent-123", "platform", "country:SN"):
        found = await sql(
            db,
            f"select {columns} from ops.dash_aggregates_hourly where scope = $1 order by bucket_ts",
            scope,
        )
        assert found == [(0, None, None, 300), (11, 900_000, 200_000, 70)], scope


@pytest.mark.parametrize(("sales", "severities"), [(50, ["critical", "critical"]), (19, [])])
async def test_a_tenth_of_fraud_is_critical_unless_little_was_sold(
    db: Database, worker_db: Database, sales: int, severities: list[str]
) -> None:
    await builders.a_merchant(db)
    metrics = Counted(transaction_count=sales, fraud_rate=0.12)
    event = Event(
        occurred_at=datetime.now(UTC),
        tenant_type="merchant",
        tenant_id="merchant-123",
        metrics=metrics,
    )
    async with worker_db.transaction("tests.tell") as tx:
        await reported.aggregate_event(tx, event)
    await aggregates.refresh(worker_db)
    await checking.check(worker_db)
    clock, followed = ManualClock(datetime.now(UTC)), Followed()
    clock.set(clock.now() + timedelta(seconds=6))
    watch = a_watch(clock)
    await drain(worker_db, watch, followed)
    await settle(worker_db, watch, followed)
    opened = [each for each in followed.transitions if each.moved == "opened"]
    assert [each.severity for each in opened] == severities
    assert {each.rule.alert_type for each in opened} <= {"fraud_score_high"}


async def test_a_place_shows_nothing_of_another(db: Database, worker_db: Database) -> None:
    await builders.an_agent(db, id_="dakar", balance=100_000)
    await builders.an_agent(db, id_="accra", currency="GHS", country="GH", balance=900_000)
    await aggregates.refresh(worker_db)
    async with worker_db.transaction("tests.read") as tx:
        places = (
            ("country", "SN", "dakar"),
            ("region", "ECOWAS", "accra"),
            ("agent", "accra", "accra"),
        )
        for type_, id_, only in places:
            found = await queries.agents(tx, Tenant(type_, id_))  # type: ignore[arg-type]
            assert [agent.id for agent in found] == [only]
        for type_ in ("merchant", "bank"):
            assert await queries.agents(tx, Tenant(type_, "m")) == []  # type: ignore[arg-type]
    inside = "select ops.lies_in($1, $2, $3, $4)"
    for asked, whether in (
        (("country", "GH", "agent", "accra"), True),
        (("region", "WAEMU", "agent", "dakar"), True),
        (("region", "WAEMU", "region", "WAEMU"), True),
        (("country", "SN", "agent", "accra"), False),
        (("region", "GLOBAL", "platform", None), False),
        (("merchant", "m", "agent", "accra"), False),
    ):
        assert await sql(worker_db, inside, *asked) == [(whether,)], asked
