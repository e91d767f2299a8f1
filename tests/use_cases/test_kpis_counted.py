"""The KPI worker: buckets, cache and view count each fact once and agree with the raw rows."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Coroutine
from datetime import UTC, date, datetime
from typing import Any

import pytest

from builders import NOW, a_merchant
from facts import MERCHANT, an_event, both, count, created, look, refund, succeeded, take_in
from molam.kernel.clock import ManualClock
from molam.merchant import cache_store, commands, kpi_store, model, queries, upkeep
from molam.merchant import store as merchant_store
from molam.merchant.settings_model import TimezoneUnknown
from molam.platform.db import Database, ProcessRole, Query, open_database

DAYS = "select day, sales, refunds, fees, payment_count, created_count from merchant.kpi_days order by currency, day"


async def _figures(db: Database, now: datetime = NOW) -> dict[str, object]:
    found = await queries.summary(db, merchant_id=MERCHANT, period="mtd", currency="XOF", now=now)
    return {key: kpi.value for key, kpi in found.kpis.items()}


async def test_each_figure_is_what_its_definition_says(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    await count(
        worker_db,
        [
            succeeded("tx_1", amount=1000, fee_molam=10),
            succeeded("tx_2", amount=501, fee_molam=5),
            created("tx_3", status="failed"),
            created("tx_4"),
            refund("rf_1", "tx_1", amount=200),
            refund("rf_2", "tx_1", amount=100, status="pending"),
            an_event("dispute_created", id="dp_1", transaction_id="tx_2", amount=501),
            an_event("payout_created", id="po_1", amount=400),
        ],
    )

    figures = await _figures(web_db)

    assert figures == {
        "sales": 1501,
        "refunds": 200,
        "fees": 15,
        "net_revenue": 1286,
        "avg_ticket": 750,
        "chargeback_rate": 50,
        "conversion_rate": 50,
        "transactions": 4,
        "payments": 2,
        "failed": 1,
        "abandoned": 0,
        "disputes": 501,
    }


async def test_the_cache_follows_each_batch_exactly(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0).isoformat()
    await count(worker_db, [succeeded("tx_1", amount=1000, occurred_at=today)])
    before = await _figures(web_db, now)

    await count(worker_db, [succeeded("tx_2", amount=300, occurred_at=today)])
    cached = await web_db.read(
        cache_store.READ_SUMMARY, merchant_id=MERCHANT, period="mtd", currency="XOF"
    )
    after = await _figures(web_db, now)

    assert cached, "the worker brings the cached row along"
    assert (before["sales"], after["sales"], after["avg_ticket"]) == (1000, 1300, 650)


async def test_a_reader_that_computes_while_the_worker_commits_cannot_leave_a_stale_figure(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    await count(worker_db, [succeeded("tx_1", amount=1000)])
    async with web_db.transaction("reader", merchant_id=MERCHANT) as reader:
        # The reader has read the buckets, and is about to commit what it computed ...
        await reader.all(cache_store.COMPUTE_CACHE, **_october_to_now())
        # ... when a batch of the worker commits that never saw the reader's rows.
        await _elsewhere(count(worker_db, [succeeded("tx_2", amount=300)]))

    assert (await _figures(web_db))["sales"] == 1300


async def test_without_the_head_the_same_race_leaves_a_stale_figure(
    db: Database, worker_db: Database, web_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = cache_store.READ_SUMMARY.sql.replace(" and c.as_of = h.version", "")
    monkeypatch.setattr(cache_store, "READ_SUMMARY", Query(trusting, row=cache_store.SummaryRow))
    await a_merchant(db)
    await count(worker_db, [succeeded("tx_1", amount=1000)])
    async with web_db.transaction("reader", merchant_id=MERCHANT) as reader:
        await reader.all(cache_store.COMPUTE_CACHE, **_october_to_now())
        await _elsewhere(count(worker_db, [succeeded("tx_2", amount=300)]))

    assert (await _figures(web_db))["sales"] == 1000


async def _elsewhere(work: Coroutine[Any, Any, object]) -> None:
    """Do *work* as another process would, beside the transaction that is open here."""
    await asyncio.create_task(work, context=contextvars.Context())


def _october_to_now() -> dict[str, object]:
    return {
        "merchant_id": MERCHANT,
        "period": "mtd",
        "currency": "XOF",
        "from_day": date(2026, 11, 1),
        "to_day": date(2026, 11, 16),
        "previous_from_day": date(2026, 10, 16),
        "previous_to_day": date(2026, 10, 31),
        "valid_until": datetime(2099, 1, 1, tzinfo=UTC),
        "usd_rate": None,
    }


async def test_any_order_any_batching_and_repeats_end_in_the_same_buckets(
    db: Database, worker_db: Database
) -> None:
    rng = random.Random(7)
    story = [
        created("tx_1", occurred_at="2026-10-31T23:59:59Z", provider="wave"),
        succeeded("tx_1", fee_molam=10, occurred_at="2026-11-01T00:00:04Z", provider="wave"),
        succeeded("tx_1", amount=900, fee_molam=9, version=4),
        created("tx_2"),
        created("tx_2", status="failed"),
        created("tx_3", currency="EUR", status="succeeded"),
        refund("rf_1", "tx_1", amount=300, status="pending"),
        refund("rf_1", "tx_1", amount=300),
        an_event("dispute_created", id="dp_1", amount=10),
        an_event("dispute_created", id="dp_1", amount=10, status="won"),
    ]
    endings = set()
    for trial in range(15):
        merchant = f"merchant-{trial}"
        await a_merchant(db, id_=merchant)
        told = [event.replace("merchant-123", merchant) for event in story]
        told += rng.sample(told, 5)
        rng.shuffle(told)
        while told:
            size = rng.randint(1, 6)
            batch, told = told[:size], told[size:]
            await count(worker_db, batch)
        for table in ("kpi_hours", "kpi_days", "kpi_methods"):
            columns = await look(
                db,
                "select string_agg(attname, ', ' order by attnum) from pg_attribute"
                " where attrelid = ('merchant.' || $1)::regclass and attnum > 1"
                " and not attisdropped and attname <> 'changed_at'",
                table,
            )
            found = await look(
                db,
                f"select {columns[0][0]} from merchant.{table} where merchant_id = $1 order by 1, 2, 3",
                merchant,
            )
            # A bucket that a fact has left behind again may stay, with nothing in it.
            kept = [row for row in found if any(isinstance(x, int) and x for x in row[-12:])]
            endings.add((table, str(kept)))

    assert len(endings) == 3


@pytest.mark.parametrize(
    ("timezone", "instant", "day", "hour"),
    [
        ("Africa/Dakar", "2026-10-31T23:59:59.999999Z", date(2026, 10, 31), 23),
        ("Africa/Dakar", "2026-11-01T00:00:00Z", date(2026, 11, 1), 0),
        ("Africa/Lagos", "2026-10-31T23:00:00Z", date(2026, 11, 1), 0),
        ("Europe/London", "2026-06-30T23:30:00Z", date(2026, 7, 1), 0),
        ("Asia/Kolkata", "2026-12-31T18:30:00Z", date(2027, 1, 1), 0),
    ],
)
async def test_a_fact_counts_in_the_local_hour_of_its_merchant(
    db: Database, worker_db: Database, timezone: str, instant: str, day: date, hour: int
) -> None:
    await a_merchant(db, timezone=timezone)

    await count(worker_db, [succeeded("tx_1", occurred_at=instant)])

    assert await look(db, "select day, hour from merchant.kpi_hours") == [(day, hour)]


async def test_periods_turn_over_at_local_midnight(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    await count(worker_db, [succeeded("tx_1", occurred_at="2026-11-30T23:59:59Z", amount=70)])
    before = datetime(2026, 11, 30, 23, 59, 59, 999999, tzinfo=UTC)
    after = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)

    async def sales(period: str, now: datetime) -> object:
        found = await queries.figures(
            web_db,
            merchant_id=MERCHANT,
            period=model.parse_period(period),
            currency="XOF",
            now=now,
        )
        # A cached row outlives its day only by the wall clock; here the clock is ours.
        await look_and_forget(db)
        return found.sums["sales"][0]

    seen = {
        (period, moment): await sales(period, now)
        for period in ("today", "yesterday", "mtd")
        for moment, now in (("before", before), ("after", after))
    }

    assert seen == {
        ("today", "before"): 70,
        ("today", "after"): 0,
        ("yesterday", "before"): 0,
        ("yesterday", "after"): 70,
        ("mtd", "before"): 70,
        ("mtd", "after"): 0,
    }


async def look_and_forget(db: Database) -> None:
    async with db.transaction("tests.forget") as tx:
        await tx.connection.execute("delete from merchant.merchant_kpis_cache")


async def test_the_previous_period_has_equal_length_and_its_own_figures(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    await count(
        worker_db,
        [
            succeeded("tx_1", amount=300, occurred_at="2026-11-02T10:00:00Z"),
            succeeded("tx_2", amount=200, occurred_at="2026-10-16T00:00:00Z"),
            succeeded("tx_3", amount=999, occurred_at="2026-10-15T23:59:59Z"),
        ],
    )

    found = await queries.summary(
        web_db, merchant_id=MERCHANT, period="mtd", currency="XOF", now=NOW
    )

    sales = found.kpis["sales"]
    assert (sales.value, sales.previous, str(sales.change)) == (300, 200, "0.5000")
    assert len(found.series) == len(found.previous_series) == 16


async def test_changing_the_time_zone_moves_every_fact_to_its_new_day(
    db: Database, worker_db: Database, dsn: str
) -> None:
    await a_merchant(db)
    await count(
        worker_db,
        [
            succeeded("tx_1", amount=10, occurred_at="2026-11-15T23:30:00Z"),
            succeeded("tx_2", amount=20, occurred_at="2026-11-16T12:00:00Z"),
        ],
    )
    refresh_db = await open_database(dsn, ProcessRole.REFRESH, application="t")

    await upkeep.change_timezone(
        worker_db, refresh_db, merchant_id=MERCHANT, timezone="Africa/Lagos"
    )

    await refresh_db.close()
    assert [row[:2] for row in await look(db, DAYS)] == [(date(2026, 11, 16), 30)]
    await count(worker_db, [succeeded("tx_1", amount=15, version=3)])
    assert [row[:2] for row in await look(db, DAYS)] == [(date(2026, 11, 16), 35)]


async def test_an_unknown_time_zone_is_refused(db: Database) -> None:
    with pytest.raises(TimezoneUnknown):
        await upkeep.change_timezone(db, db, merchant_id=MERCHANT, timezone="Africa/../etc")


async def test_sales_above_three_times_yesterdays_raise_one_alert_an_episode(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    worker = commands.KpiWorker(ManualClock(NOW))
    today, yesterday = await look(
        db, "select to_char(d, 'YYYY-MM-DD') from unnest(array[now(), now() - interval '1 day']) d"
    )
    await count(worker_db, [succeeded("tx_0", amount=100, occurred_at=f"{yesterday[0]}T00:00:00Z")])

    for number, amount in enumerate((300, 1, 50)):
        async with worker_db.transaction("t") as tx:
            event = succeeded(
                f"tx_{number + 1}", amount=amount, occurred_at=f"{today[0]}T00:00:00Z"
            )
            await worker.handle(tx, [event])

    alerts = await look(
        db, "select alert_type, severity, facts ->> 'observed' from merchant.merchant_alerts"
    )
    assert alerts == [("unusual_sales_volume", "warning", "301")]


async def test_exactly_three_times_is_not_more_than_three_times(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    days = await look(
        db, "select to_char(d, 'YYYY-MM-DD') from unnest(array[now(), now() - interval '1 day']) d"
    )
    await count(worker_db, [succeeded("tx_0", amount=100, occurred_at=f"{days[1][0]}T00:00:00Z")])
    await count(worker_db, [succeeded("tx_1", amount=300, occurred_at=f"{days[0][0]}T00:00:00Z")])

    async with worker_db.transaction("t") as tx:
        assert await tx.all(kpi_store.FIND_SURGES, merchants=[MERCHANT]) == []


async def test_imported_facts_count_but_never_replace_live_ones(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await count(worker_db, [succeeded("tx_1", amount=1000)])

    new = await count(
        worker_db,
        [succeeded("tx_1", amount=5, version=9), succeeded("tx_2", amount=7)],
        imported=True,
    )

    assert new == 1
    assert (await look(db, DAYS))[0][1] == 1007


async def test_the_sql_that_splits_sums_into_figures_is_the_models(db: Database) -> None:
    sums = model.Sums(*range(11, 23))
    columns = ", ".join(
        f"{value} as {name}"
        for name, value in zip(model.Sums.__slots__, range(11, 23), strict=True)
    )
    from molam.merchant import kpi_sql

    found = await look(
        db,
        f"select k.kpi_key, k.numerator, k.denominator, k.txn_count from (select {columns}) s"
        f" cross join lateral {kpi_sql.KPI_ROWS}",
    )

    assert {row[0]: row[1:] for row in found} == {
        kpi.key: (
            kpi.numerator(sums),
            None if kpi.denominator is None else kpi.denominator(sums),
            kpi.txn_count(sums),
        )
        for kpi in model.KPIS.values()
    }


@pytest.fixture
async def refresh_db(dsn: str):
    opened = await open_database(dsn, ProcessRole.REFRESH, application="tests")
    yield opened
    await opened.close()


async def test_a_clean_database_shows_no_drift(
    db: Database, worker_db: Database, web_db: Database, refresh_db: Database
) -> None:
    await a_merchant(db)
    await both(worker_db, [succeeded("tx_1", fee_molam=3), refund("rf_1", "tx_1", amount=10)])
    await _figures(web_db)

    assert await upkeep.check_drift(worker_db, refresh_db, rest_s=-5.0) == []


@pytest.mark.parametrize(
    "sabotage",
    [
        "update merchant.kpi_days set sales = sales + 1",
        "update merchant.merchant_kpis_cache set value = value + 1 where kpi_key = 'fees'",
        "delete from merchant.kpi_facts; delete from merchant.kpi_hours;"
        " update merchant.kpi_days set sales = 0",
    ],
)
async def test_drift_is_found_and_repaired(
    db: Database, worker_db: Database, web_db: Database, refresh_db: Database, sabotage: str
) -> None:
    await a_merchant(db)
    await both(worker_db, [succeeded("tx_1", amount=1000, fee_molam=3)])
    await _figures(web_db)
    async with db.transaction("tests.sabotage") as tx:
        await tx.connection.execute(sabotage)

    found = await upkeep.check_drift(worker_db, refresh_db, rest_s=-5.0)

    assert found
    assert await upkeep.check_drift(worker_db, refresh_db, rest_s=-5.0) == []
    assert (await _figures(web_db))["sales"] == 1000
    assert (await _figures(web_db))["fees"] == 3


async def test_the_view_shows_the_buckets_and_keeps_their_own_changed_at(
    db: Database, worker_db: Database, refresh_db: Database
) -> None:
    await a_merchant(db)
    await count(worker_db, [succeeded("tx_1", amount=1000, fee_molam=3)])
    await upkeep.refresh_view(refresh_db)
    first = await look(db, "select xmin::text, total_sales from merchant.mv_merchant_tx_agg")

    await upkeep.refresh_view(refresh_db)
    again = await look(db, "select xmin::text, total_sales from merchant.mv_merchant_tx_agg")

    assert first[0][1] == 1000
    assert again == first, "a refresh of nothing new writes nothing"


async def test_the_owner_may_refresh_the_view_by_hand(db: Database) -> None:
    async with db.transaction("t") as tx:
        said = await tx.connection.execute("REFRESH MATERIALIZED VIEW mv_merchant_tx_agg")

    assert said == "REFRESH MATERIALIZED VIEW"


async def test_abandoned_payments_leave_pending_and_a_late_success_brings_them_back(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    await count(worker_db, [created("tx_1", occurred_at="2026-11-01T00:00:00Z")])
    async with worker_db.transaction("t") as tx:
        await commands.abandon_undecided(tx)
    abandoned = await _figures(web_db)

    await count(worker_db, [succeeded("tx_1", occurred_at="2026-11-01T00:00:00Z")])
    decided = await _figures(web_db)

    assert (abandoned["abandoned"], abandoned["sales"]) == (1, 0)
    assert (decided["abandoned"], decided["sales"]) == (0, 1000)


async def test_amounts_of_unknown_rate_have_no_equivalent_and_no_total(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    await count(
        worker_db,
        [succeeded("tx_1", amount=655957), succeeded("tx_2", amount=500, currency="GBP")],
    )

    in_euro, _ = await queries.converted_totals(
        web_db, merchant_id=MERCHANT, period=model.parse_period("mtd"), into="EUR", now=NOW
    )
    gbp = await queries.summary(web_db, merchant_id=MERCHANT, period="mtd", currency="GBP", now=NOW)

    assert in_euro["sales"] is None
    assert gbp.kpis["sales"].usd_equivalent is None


async def test_the_franc_converts_at_its_fixed_parity(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    await count(worker_db, [succeeded("tx_1", amount=655957)])

    in_euro, _ = await queries.converted_totals(
        web_db, merchant_id=MERCHANT, period=model.parse_period("mtd"), into="EUR", now=NOW
    )

    assert in_euro["sales"] == 100_000


async def test_the_cache_keeps_dollar_equivalents_in_step(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0).isoformat()
    await count(worker_db, [succeeded("tx_1", amount=1000, occurred_at=today)])
    await _figures(web_db, now)

    await count(worker_db, [succeeded("tx_2", amount=1000, occurred_at=today)])

    # XOF 2,000 at 0.0017 are 340 US cents; a rate in percent has no equivalent.
    cached = (
        "select kpi_key, usd_equivalent from merchant.merchant_kpis_cache"
        " where kpi_key in ('sales', 'conversion_rate') order by kpi_key"
    )
    assert await look(db, cached) == [("conversion_rate", None), ("sales", 340)]


async def test_methods_share_out_the_sales(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    await count(
        worker_db,
        [
            succeeded("tx_1", amount=70, provider="wave"),
            succeeded("tx_2", amount=20, provider="orange_money"),
            succeeded("tx_3", amount=10, channel="card"),
            created("tx_4", provider="wave"),
        ],
    )

    shares = await queries.methods(
        web_db, merchant_id=MERCHANT, period="mtd", currency="XOF", now=NOW
    )

    assert shares == [
        merchant_store.MethodRow("wave", 1, 70),
        merchant_store.MethodRow("orange_money", 1, 20),
        merchant_store.MethodRow("card", 1, 10),
    ]


async def test_intake_and_counting_agree_on_every_day(db: Database, worker_db: Database) -> None:
    await a_merchant(db)
    batch = [
        succeeded(f"tx_{n}", amount=n, occurred_at=f"2026-11-{1 + n % 15:02}T0{n % 9}:00:00Z")
        for n in range(60)
    ]
    await take_in(worker_db, batch)
    await count(worker_db, batch)

    raw = await look(
        db,
        "select (occurred_at at time zone 'Africa/Dakar')::date as d, sum(amount) from payments.wallet_transactions group by 1 order by 1",
    )

    assert [(row[0], row[1]) for row in await look(db, DAYS)] == raw
