"""What the product measures of itself: true, soon told, and not told again for nothing."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

import builders
from hours_of_trade import trade
from measuring import Followed, a_watch, drain, settle
from molam.alerts.episodes import opening, sentences
from molam.alerts.sources import commands, measuring, unusual
from molam.alerts.sources import jobs as source_jobs
from molam.alerts.sources.model import Measured
from molam.kernel.clock import ManualClock
from molam.merchant import measuring as merchant_measuring
from molam.merchant import watch as seasonal
from molam.platform.db import Database
from molam.sira.sentences import explain_stored

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
        await rows(db, "update ledger.accounts set balance = -1 where id = 'treasury:float:XOF'")
        assert await take_jobs(db, worker_db) == 0

    async def _crossing(
        self, db: Database, worker_db: Database, *, late: bool
    ) -> list[dict[str, Any]]:
        """Let the minute's round read, then the float move and be measured, then the round tell."""
        await builders.an_agent(db, balance=2_000_000)

        async def move() -> datetime:
            await move_float(db, 1)
            async with worker_db.transaction("tests.job") as tx:
                await measuring.measure_float(tx, ACCOUNT)
            return datetime.now(UTC)

        async with worker_db.transaction("tests.round") as tx:
            read = await measuring.floats(tx)
            # On its own, as another worker's: this transaction is none of its business.
            at = await asyncio.create_task(move(), context=contextvars.Context())
            if late:
                read = [replace(each, at=at) for each in read]
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

    async def test_what_is_told_only_when_it_changes_begins_with_something(self, worker_db):
        at = builders.NOW
        told = [
            await self.tell(worker_db, value, at + timedelta(hours=hour), heartbeat_s=None)
            for hour, value in enumerate([0, 0, 6, 6, 0, 0])
        ]
        assert told == [0, 0, 1, 0, 1, 0]

    async def test_nothing_is_told_if_the_transaction_is_undone(self, db, worker_db):
        async with worker_db.transaction("tests.undone") as tx:
            held = Measured("dlq_held", "platform", None, Decimal(7), builders.NOW)
            with contextlib.suppress(ZeroDivisionError):
                async with tx.savepoint():
                    await commands.tell(tx, [held])
                    raise ZeroDivisionError
        assert await told(db) == []
        assert await self.tell(worker_db, 7, builders.NOW) == 1


async def a_bank(db: Database) -> None:
    await rows(
        db,
        "insert into payments.bank_profiles (id, name, country, currency_codes, rails, provider_type,"
        " connector) values ($1, 'Banque', 'SN', '{XOF}', '{bank}', 'bank', 'http_bank')",
        BANK,
    )


async def minutes(db: Database, ago_min: int, attempts: int, failures: int) -> None:
    await rows(
        db,
        "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at, attempts,"
        " failures) values ($1, 'bank', 'XOF', date_trunc('minute', now()) - make_interval(mins => $2),"
        " $3, $4)",
        *(BANK, ago_min, attempts, failures),
    )


async def hours(
    db: Database,
    ago_h: int,
    *,
    created: int = 0,
    paid: int = 0,
    refunds: int = 0,
    disputes: int = 0,
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
        await merchant_measuring.measure(worker_db, now=builders.NOW)
        assert await values_of(db, "conversion_rate") == [0.8]
        assert await values_of(db, "refund_rate") == [0.1]
        assert (await told(db))[0]["context"] == {"hits": 40, "trials": 50, "window_s": 21_600}

    async def test_of_fewer_than_thirty_nothing_is_said(self, db, worker_db):
        await builders.a_merchant(db)
        await hours(db, 0, created=29, paid=2, refunds=2)
        assert await merchant_measuring.measure(worker_db, now=builders.NOW) == 0

    async def test_a_share_is_never_more_than_one(self, db, worker_db):
        await builders.a_merchant(db)
        await hours(db, 0, created=40, paid=40, refunds=90)
        await merchant_measuring.measure(worker_db, now=builders.NOW)
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
        assert await merchant_measuring.measure(worker_db, now=builders.NOW) == 0

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
        await merchant_measuring.measure(worker_db, now=builders.NOW)
        assert await values_of(db, "chargeback_rate") == [0.03]

    async def test_between_full_rounds_only_those_that_moved_are_measured(self, db, worker_db):
        await builders.a_merchant(db)
        await hours(db, 0, created=50, paid=40)
        await rows(db, "update merchant.kpi_heads set changed_at = now() - interval '1 hour'")
        after = builders.NOW + timedelta(minutes=1)
        assert await merchant_measuring.measure(worker_db, now=after) == 0
        assert await merchant_measuring.measure(worker_db, now=builders.NOW) == 2


class TestOperations:
    async def test_held_events_and_jobs_count_together(self, db, worker_db):
        await rows(
            db,
            'insert into platform.dead_letters ("group", topic, part, pos, payload, reason)'
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


class TestBanks:
    async def test_failures_are_those_of_the_last_hour(self, db, worker_db):
        await a_bank(db)
        await minutes(db, 5, 30, 3)
        await minutes(db, 20, 10, 1)
        await minutes(db, 70, 60, 60)
        await measuring.measure(worker_db)
        assert await values_of(db, "payout_fail_rate") == [0.1]

    async def test_of_few_attempts_nothing_is_said(self, db, worker_db):
        await a_bank(db)
        await minutes(db, 5, 19, 19)
        await measuring.measure(worker_db)
        assert await values_of(db, "payout_fail_rate") == []

    async def test_a_bank_that_fails_as_never_before_is_told_and_says_why(self, db, worker_db):
        await a_bank(db)
        await minutes(db, 300, 4000, 40)
        await minutes(db, 5, 60, 30)
        await unusual.watch_banks(worker_db)
        (said,) = await told(db)
        assert said["metric"] == "payout_fail_rate.unusual"
        assert said["value"] > 5
        assert explain_stored(said["context"], "en") == (
            "50.0% of the 60 payouts sent to this bank in the last hour failed, against 1.0% usually."
        )

    def test_its_alert_says_why_in_either_language(self):
        context = {"finding": "payout_failures_high", "observed": 0.5, "expected": 0.01}
        facts = {"name": "Banque", "unusual": {**context, "score": 9.0, "hours": 1, "trials": 60}}
        said = [
            sentences.sentence("payout_fail_rate", facts, language, now=builders.NOW)
            for language in ("en", "fr")
        ]
        assert said == [
            "Banque: 50.0% of the 60 payouts sent to this bank in the last hour failed, against"
            " 1.0% usually",
            "Banque\u00a0: 50,0 % des 60 envois à cette banque dans la dernière heure ont échoué,"
            " contre 1,0 % d'ordinaire",
        ]

    @pytest.mark.parametrize(
        "changed",
        [
            {"finding": "sales_surge"},
            {"finding": ["x"]},
            {"observed": -1},
            {"score": "9"},
            {"hours": None},
        ],
    )
    def test_what_others_tell_beside_breaks_no_sentence(self, changed):
        context = {
            "finding": "payout_failures_high",
            "observed": 0.5,
            "expected": 0.01,
            "score": 9.0,
        }
        facts = {
            "name": "Banque",
            "value": 9,
            "fire_at": 5,
            "unit": "score",
            "unusual": {**context, **changed},
        }
        said = sentences.sentence("payout_fail_rate", facts, "en", now=builders.NOW)
        assert said.startswith("Payouts fail: Banque has been out of the ordinary")

    async def test_an_ordinary_bank_is_not_mentioned(self, db, worker_db):
        await a_bank(db)
        await minutes(db, 300, 4000, 40)
        await minutes(db, 5, 60, 1)
        assert await unusual.watch_banks(worker_db) == 0

    async def test_matched_lines_of_the_newest_statement_are_the_match_rate(self, db, worker_db):
        await a_bank(db)
        await rows(
            db,
            "insert into payments.books (bank_profile_id, currency, begins_on, opening)"
            " values ($1, 'XOF', now()::date - 9, 0)",
            BANK,
        )
        statement = uuid4()
        await rows(
            db,
            "insert into payments.statements (id, bank_profile_id, currency, format, sha256, part,"
            " file_name, first_day, last_day, lines, money_in, money_out, fees, imported_by, matched_at)"
            " values ($1, $2, 'XOF', 'csv', $3, 1, 'a.csv', now()::date, now()::date, 40, 40, 0, 0,"
            " 'x', now())",
            *(statement, BANK, b"x" * 32),
        )
        await rows(
            db,
            "insert into payments.statement_lines (statement_id, line_no, bank_profile_id, currency,"
            " booked_on, value_on, amount, state) select $1, n, $2, 'XOF', now()::date, now()::date, 1,"
            " case when n <= 36 then 'matched' else 'posted' end from generate_series(1, 40) as n",
            *(statement, BANK),
        )
        await measuring.measure(worker_db)
        assert await values_of(db, "recon_match_rate") == [0.9]


class TestSeasons:
    async def a_shop(self, db: Database, *, last_paid: int) -> datetime:
        """Eight weeks of a hundred payments an hour, and a last hour that is told."""
        await builders.a_merchant(db)
        await rows(
            db,
            "insert into merchant.kpi_hours (merchant_id, currency, day, hour, created_count,"
            " payment_count, sales) select $1, 'XOF', at::date, extract(hour from at), 100,"
            " case when n = 1 then $2 else 95 + n % 5 end, 95000"
            " from (select n, date_trunc('hour', now() at time zone 'Africa/Dakar')"
            " - make_interval(hours => n) as at from generate_series(1, 1344) as n) as t",
            *(MERCHANT, last_paid),
        )
        await rows(
            db,
            "insert into merchant.kpi_days (merchant_id, currency, day, created_count) values"
            " ($1, 'XOF', (now() at time zone 'Africa/Dakar')::date - 1, 2400)",
            MERCHANT,
        )
        return datetime.now(UTC)

    async def test_what_is_unusual_is_told_of_the_merchant_and_of_all(self, db, worker_db):
        now = await self.a_shop(db, last_paid=0)
        assert await seasonal.watch_seasons(worker_db, now=now) > 0
        said = {(each["metric"], each["tenant_type"]): each for each in await told(db)}
        silence = said["payments.unusual", "platform"]
        assert silence["value"] > 10
        assert "Only 0 payments in the last hour" in str(explain_stored(silence["context"], "en"))

    async def a_turn(self, db: Database) -> datetime:
        """Let the last half day bring more payments, smaller and dearer ones, of few each hour."""
        now = await self.a_shop(db, last_paid=97)
        await rows(db, "delete from merchant.kpi_hours")
        made = trade(14, a_turn=1.5)
        await rows(
            db,
            "insert into merchant.kpi_hours (merchant_id, currency, day, hour, created_count,"
            " payment_count, sales, refund_count, fees) select $1, 'XOF', at::date,"
            " extract(hour from at), created, paid, sales, refunds, fees"
            " from (select date_trunc('hour', now() at time zone 'Africa/Dakar')"
            "   - make_interval(hours => n) as at, created, paid, sales, refunds, fees"
            "   from unnest($2::int[], $3::int[], $4::int[], $5::bigint[], $6::int[], $7::bigint[])"
            "   as t (n, created, paid, sales, refunds, fees)) as t",
            MERCHANT,
            list(range(len(made), 0, -1)),
            [hour.created for hour in made],
            [hour.payments for hour in made],
            [hour.sales for hour in made],
            [hour.refunds for hour in made],
            [hour.fees for hour in made],
        )
        return now

    async def test_figures_unusual_together_are_one_alert_that_names_them(self, db, worker_db):
        now = await self.a_turn(db)
        assert await seasonal.watch_seasons(worker_db, now=now) == 1
        # The next looks find the same incident still going on.
        assert await seasonal.watch_seasons(worker_db, now=now) == 0

        (said,) = [each for each in await told(db) if each["metric"] == "merchant.joint.unusual"]
        assert said["value"] > 5
        ((title, facts),) = await rows(
            db, "select description, facts from merchant.merchant_alerts"
        )
        assert title == explain_stored(said["context"], "en") == explain_stored(facts, "en")
        assert "Taken together" in title
        assert facts["from_day"] <= facts["to_day"]
        clock, followed = ManualClock(now + timedelta(seconds=6)), Followed()
        watch = a_watch(clock)
        await drain(worker_db, watch, followed)
        await settle(worker_db, watch, followed)
        assert [(each.alert_type, each.moved) for each in followed.transitions] == [
            ("fraud_score_high", "opened")
        ]
        facts = opening.facts_of(followed.transitions[0], "Boutique")
        assert "surtout" in sentences.sentence("fraud_score_high", facts, "fr", now=now)

    @pytest.mark.parametrize(("ago_h", "is_known"), [(10, True), (100, False)])
    async def test_they_are_no_alert_while_a_known_incident_explains_them(
        self, db, worker_db, ago_h, is_known
    ):
        now = await self.a_turn(db)
        await rows(
            db,
            "insert into merchant.merchant_alerts (id, merchant_id, alert_type, severity, title,"
            " description, episode, facts, created_at) values ($1, $2, 'sira_anomaly', 'warning', 'x',"
            " 'x', 'x', $3, now() - make_interval(hours => $4))",
            *(uuid4(), MERCHANT),
            {"rule": "seasonal", "finding": "payments_low", "currency": "XOF"},
            ago_h,
        )
        assert await seasonal.watch_seasons(worker_db, now=now) == (0 if is_known else 1)
        values = await values_of(db, "merchant.joint.unusual")
        assert (max(values) <= unusual.CHANCE_MAX) == is_known

    async def test_an_ordinary_hour_is_not_told(self, db, worker_db):
        now = await self.a_shop(db, last_paid=97)
        assert await seasonal.watch_seasons(worker_db, now=now) == 0
        assert await told(db) == []

    async def test_what_may_be_chance_among_so_many_raises_nothing(
        self, db, worker_db, monkeypatch
    ):
        now = await self.a_shop(db, last_paid=0)
        monkeypatch.setattr(seasonal.anomaly, "confident", lambda _: [])
        assert await seasonal.watch_seasons(worker_db, now=now) == 0
        assert all(each["value"] <= unusual.CHANCE_MAX for each in await told(db))
