"""What the product measures of itself: true, soon told, and not told again for nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

import builders
from measuring import Followed, a_watch, drain, settle
from molam.alerts.sources import commands, measuring, store, unusual
from molam.alerts.sources import jobs as source_jobs
from molam.alerts.sources.model import Measured
from molam.kernel.clock import ManualClock
from molam.merchant import measuring as merchant_measuring
from molam.merchant import watch as seasonal
from molam.platform.db import Database

AGENT, MERCHANT, BANK = "agent-123", "merchant-123", "bank-source"
ACCOUNT = "agent:agent-123:float:XOF"


async def rows(db: Database, sql: str, *values: object) -> list[Any]:
    async with db.transaction("tests.rows") as tx:
        return list(await tx.connection.fetch(sql, *values))


async def told(db: Database) -> list[dict[str, Any]]:
    """What went into the log, in order."""
    found = await rows(
        db, "select payload from platform.events where topic = 'metric_events' order by id"
    )
    return [json.loads(row["payload"])["data"] for row in found]


async def values_of(db: Database, metric: str) -> list[Any]:
    return [each["value"] for each in await told(db) if each["metric"] == metric]


async def move_float(db: Database, balance: int) -> None:
    await rows(db, "update ledger.accounts set balance = $2 where id = $1", ACCOUNT, balance)


async def take_jobs(db: Database, worker_db: Database) -> int:
    """Do what movements have asked for, as a worker would."""
    asked = await rows(
        db,
        "delete from jobs.pgqueuer where entrypoint = $1 returning payload",
        source_jobs.MEASURE_FLOAT,
    )
    for row in asked:
        account_id = json.loads(row["payload"])["account_id"]
        async with worker_db.transaction("tests.job") as tx:
            await measuring.measure_float(tx, account_id)
    return len(asked)


class TestFloats:
    async def test_a_float_that_is_drained_is_an_alert_seconds_later(self, db, worker_db):
        await builders.an_agent(db, balance=2_000_000)
        await measuring.measure(worker_db)
        await move_float(db, 400_000)

        assert await take_jobs(db, worker_db) == 1

        clock, followed = ManualClock(datetime.now(UTC)), Followed()
        clock.set(clock.now() + timedelta(seconds=6))
        watch = a_watch(clock)
        await drain(worker_db, watch, followed)
        await settle(worker_db, watch, followed)
        (opened,) = followed.transitions
        assert (opened.moved, opened.severity) == ("opened", "critical")
        assert opened.value == Decimal(400_000)
        assert opened.tenant_id == AGENT

    async def test_without_the_trigger_it_waits_for_the_minute(self, db, worker_db):
        await builders.an_agent(db, balance=2_000_000)
        await rows(db, "drop trigger float_is_measured on ledger.accounts")
        await move_float(db, 400_000)

        assert await take_jobs(db, worker_db) == 0

    async def test_who_may_not_write_jobs_moves_floats_all_the_same(self, db, ops_db, worker_db):
        await builders.an_agent(db, balance=2_000_000)
        await move_float(ops_db, 400_000)

        assert await take_jobs(db, worker_db) == 1
        assert await values_of(db, "float_available") == [400_000]

    async def test_other_accounts_ask_for_nothing(self, db, worker_db):
        await builders.an_agent(db, balance=2_000_000)
        await rows(
            db, "update ledger.accounts set balance = -1 where id = 'treasury:float:XOF'"
        )
        assert await take_jobs(db, worker_db) == 0

    async def _crossing(
        self, db: Database, worker_db: Database, *, late: bool
    ) -> list[dict[str, Any]]:
        """Let the minute's round read, then the float move and be measured, then the round tell."""
        await builders.an_agent(db, balance=2_000_000)
        async with worker_db.transaction("tests.round") as tx:
            read = [measuring._float(row) for row in await tx.all(store.MEASURE_FLOATS)]
            await tx.connection.fetch("select 1")
            await _elsewhere(db, "update ledger.accounts set balance = 1 where id = $1", ACCOUNT)
            at = await _measured_elsewhere(worker_db)
            if late:
                read = [replace(each, at=at + timedelta(milliseconds=1)) for each in read]
            await commands.tell(tx, read)
        return sorted(await told(db), key=lambda each: each["timestamp"])

    async def test_a_round_that_missed_a_movement_does_not_hide_it(self, db, worker_db):
        assert (await self._crossing(db, worker_db, late=False))[-1]["value"] == 1

    async def test_told_by_the_time_of_telling_it_would(self, db, worker_db):
        assert (await self._crossing(db, worker_db, late=True))[-1]["value"] == 2_000_000

    async def test_agents_that_are_closed_or_never_had_a_float_are_left_alone(self, db, worker_db):
        await builders.an_agent(db, id_="closed", status="closed", balance=5)
        await builders.an_agent(db, id_="new")
        await measuring.measure(worker_db)
        assert await values_of(db, "float_available") == []


async def _elsewhere(db: Database, sql: str, *values: object) -> None:
    async with db._connection() as connection:
        await connection.execute(sql, *values)


async def _measured_elsewhere(db: Database) -> datetime:
    """Measure the float on a connection of its own, as the job does; return when."""
    async with db._connection() as connection, connection.transaction():
        tx = _Open(connection)
        await measuring.measure_float(tx, ACCOUNT)  # type: ignore[arg-type]
        at: datetime = await connection.fetchval("select now()")
        return at


class TestTelling:
    async def tell(self, db: Database, value: int, at: datetime, **also: Any) -> int:
        async with db.transaction("tests.tell") as tx:
            held = Measured("dlq_held", "platform", None, Decimal(value), at)
            return await commands.tell(tx, [held], **also)

    async def test_what_stays_is_told_again_after_five_minutes_only(self, db, worker_db):
        at = builders.NOW
        assert await self.tell(worker_db, 3, at) == 1
        assert await self.tell(worker_db, 3, at + timedelta(seconds=60)) == 0
        assert await self.tell(worker_db, 4, at + timedelta(seconds=120)) == 1
        assert await self.tell(worker_db, 4, at + timedelta(seconds=419)) == 0
        assert await self.tell(worker_db, 4, at + timedelta(seconds=420)) == 1
        assert await values_of(db, "dlq_held") == [3, 4, 4]

    async def test_what_is_told_only_when_it_changes_begins_with_something(self, db, worker_db):
        at = builders.NOW
        told = [
            await self.tell(worker_db, value, at + timedelta(hours=hour), heartbeat_s=None)
            for hour, value in enumerate([0, 0, 6, 6, 0, 0])
        ]
        assert told == [0, 0, 1, 0, 1, 0]

    async def test_nothing_is_told_if_the_transaction_is_undone(self, db, worker_db):
        with pytest.raises(RuntimeError):
            async with worker_db.transaction("tests.undone") as tx:
                held = Measured("dlq_held", "platform", None, Decimal(7), builders.NOW)
                await commands.tell(tx, [held])
                raise RuntimeError
        assert await self.tell(worker_db, 7, builders.NOW) == 1


async def a_bank(db: Database) -> None:
    await rows(
        db,
        "insert into payments.bank_profiles (id, name, country, connector, rails, currencies)"
        " select $1, 'Banque', country, connector, rails, currencies"
        " from payments.bank_profiles limit 1",
        BANK,
    )


async def minutes(db: Database, ago_min: int, attempts: int, failures: int) -> None:
    await rows(
        db,
        "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at, attempts,"
        " failures) select id, 'wallet', 'XOF', date_trunc('minute', now()) - make_interval(mins => $1),"
        " $2, $3 from payments.bank_profiles order by id limit 1",
        *(ago_min, attempts, failures),
    )


async def hours(
    db: Database, ago_h: int, *, created: int = 0, paid: int = 0, refunds: int = 0, disputes: int = 0
) -> None:
    await rows(
        db,
        "insert into merchant.kpi_hours (merchant_id, currency, day, hour, created_count,"
        " payment_count, refund_count, dispute_count)"
        " select $1, 'XOF', at::date, extract(hour from at), $3, $4, $5, $6"
        " from (select (now() at time zone 'Africa/Dakar') - make_interval(hours => $2) as at) as t",
        *(MERCHANT, ago_h, created, paid, refunds, disputes),
    )
    await rows(
        db,
        "insert into merchant.kpi_heads (merchant_id) values ($1) on conflict do nothing",
        MERCHANT,
    )


class TestRates:
    async def test_rates_are_of_the_last_hours(self, db, worker_db):
        await builders.a_merchant(db)
        await hours(db, 0, created=50, paid=40, refunds=3)
        await hours(db, 8, created=100, paid=10, refunds=2)
        await hours(db, 30, created=100, paid=10, refunds=2)
        await merchant_measuring.measure(worker_db)
        assert await values_of(db, "conversion_rate") == [0.8]
        assert await values_of(db, "refund_rate") == [0.1]
        assert (await told(db))[0]["context"] == {"hits": 40, "trials": 50, "window_s": 21_600}

    async def test_of_fewer_than_thirty_nothing_is_said(self, db, worker_db):
        await builders.a_merchant(db)
        await hours(db, 0, created=29, paid=2, refunds=2)
        assert await merchant_measuring.measure(worker_db) == 0

    async def test_a_share_is_never_more_than_one(self, db, worker_db):
        await builders.a_merchant(db)
        await hours(db, 0, created=40, paid=40, refunds=90)
        await merchant_measuring.measure(worker_db)
        assert await values_of(db, "refund_rate") == [1]

    async def test_imported_history_is_left_out(self, db, worker_db):
        await builders.a_merchant(db)
        await hours(db, 3, created=100, paid=10, refunds=9)
        await rows(
            db,
            "insert into merchant.imports (merchant_id, file_sha256, mapping)"
            " values ($1, 'file', 'mapping')",
            MERCHANT,
        )
        assert await merchant_measuring.measure(worker_db) == 0

    async def test_disputes_are_counted_over_weeks(self, db, worker_db):
        await builders.a_merchant(db)
        await hours(db, 0)
        for ago, payments, disputes in ((0, 100, 1), (20, 100, 5), (40, 900, 0)):
            await rows(
                db,
                "insert into merchant.kpi_days (merchant_id, currency, day, payment_count,"
                " dispute_count) values ($1, 'XOF', (now() at time zone 'Africa/Dakar')::date - $2::int,"
                " $3, $4)",
                *(MERCHANT, ago, payments, disputes),
            )
        await merchant_measuring.measure(worker_db)
        assert await values_of(db, "chargeback_rate") == [0.03]


class TestOperations:
    async def test_held_events_and_jobs_count_together(self, db, worker_db):
        await rows(
            db,
            "insert into platform.dead_letters (\"group\", topic, part, pos, payload, reason)"
            " values ('kpi', 't', 0, 1, '{}', 'x'), ('kpi', 't', 0, 2, '{}', 'x')",
        )
        await rows(
            db,
            "insert into jobs.pgqueuer (priority, entrypoint, status) values (0, 'x', 'failed')",
        )
        await measuring.measure(worker_db)
        assert await values_of(db, "dlq_held") == [3]

    async def test_the_latest_scores_of_a_merchant_are_its_fraud_score(self, db, worker_db):
        await builders.a_merchant(db)
        for score in (90, 80, 70):
            await rows(
                db,
                "insert into approvals.approvals_action (id, action_type, origin_module, payload,"
                " payload_hash, created_by, request_hash, status, sira_score, created_at, updated_at,"
                " expires_at) values ($1, 'refund', 'pay', $2, $3, 'x', $3, 'held', $4, now(), now(),"
                " now() + interval '1 day')",
                *(uuid4(), {"merchant_id": MERCHANT}, b"x" * 32, score),
            )
        await measuring.measure(worker_db)
        assert await values_of(db, "fraud_score") == [0.8]


class Test_Open:
    """Placeholder removed below."""


class _Open:
    """A transaction beside the test's own, which `Database` would not open."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
