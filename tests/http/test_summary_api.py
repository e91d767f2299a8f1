"""GET /api/merchant/summary: the specification's figures for every period, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from callers import bearer
from fastapi import FastAPI

from builders import NOW, a_merchant
from facts import an_event, count, created, refund, succeeded
from molam.kernel.clock import ManualClock, SystemClock
from molam.merchant.cache import Bodies
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

# One payment on each side of every boundary; each amount is a power of two, so that
# a sum says which of them it holds.
PLACED = {
    1: "2026-11-16T08:15:00Z",  # today
    2: "2026-11-16T00:00:00Z",  # its first instant
    4: "2026-11-15T23:59:59.999999Z",  # yesterday's last
    8: "2026-11-15T00:00:00Z",
    16: "2026-11-14T23:59:59.999999Z",
    32: "2026-11-10T00:00:00Z",  # the first of seven days
    64: "2026-11-09T23:59:59.999999Z",
    128: "2026-11-01T00:00:00Z",  # the month
    256: "2026-10-31T23:59:59.999999Z",
    512: "2026-01-01T00:00:00Z",  # the year
    1024: "2025-12-31T23:59:59.999999Z",
}

REFUSED = {
    "period=MTD": "period-malformed",
    "period=week": "period-malformed",
    "period=today ": "period-malformed",
    "period=custom:": "period-malformed",
    "period=custom:2026-02-30:2026-03-01": "period-malformed",
    "period=custom:2026-03-02:2026-03-01": "period-malformed",
    "period=custom:2024-01-01:2026-01-01": "period-malformed",
    "period=custom:0001-01-01:0001-01-02": "period-malformed",
    "period=custom:2026-3-1:2026-3-2": "period-malformed",
    "period=custom:\u0662\u0660\u0662\u0666-01-01:2026-01-02": "period-malformed",
    "period=custom:2026-01-01:2026-01-02:2026-01-03": "period-malformed",
    "currency=ZZZ": "unknown-currency",
    "currency=xof": "unknown-currency",
    "reporting=JPY": "unknown-currency",
    "currency=XO": "query-malformed",
    "currency=XOFF": "query-malformed",
    "period=mtd&period=ytd": "query-malformed",
    "perod=mtd": "query-malformed",
    f"period={'x' * 65}": "query-malformed",
}


@pytest.fixture
async def ask(app: FastAPI, client: httpx2.AsyncClient, db: Database, keys: IssuerKeys) -> Any:
    """Ask for the summary of a shop in Dakar where it is noon."""
    app.state.clock = ManualClock(NOW)
    await a_merchant(db)

    async def ask(**query: str) -> Any:
        answer = await client.get(
            "/api/merchant/summary", params=query, headers=bearer(keys, sub="somebody")
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


@pytest.fixture
async def refused(app: FastAPI, client: httpx2.AsyncClient, db: Database, keys: IssuerKeys) -> Any:
    """Ask what cannot be answered, and return the code."""
    await a_merchant(db)

    async def refused(query: str) -> str:
        answer = await client.get(
            f"/api/merchant/summary?{query}", headers=bearer(keys, sub="somebody")
        )
        assert answer.status_code == 400
        return str(answer.json()["code"])

    return refused


async def placed(db: Database) -> None:
    await count(db, [succeeded(f"tx_{n}", amount=n, occurred_at=at) for n, at in PLACED.items()])


async def test_the_fields_are_those_of_the_specification(ask: Any, worker_db: Database):
    await count(
        worker_db,
        [
            succeeded("tx_1", amount=1000, fee_molam=10),
            succeeded("tx_2", amount=501, fee_molam=5),
            created("tx_3", status="failed"),
            created("tx_4"),
            refund("rf_1", "tx_1", amount=200),
            an_event("dispute_created", id="dp_1", transaction_id="tx_2", amount=501),
        ],
    )

    answer = await ask(period="mtd", currency="XOF")

    assert (answer["ok"], answer["period"], answer["currency"]) == (True, "mtd", "XOF")
    assert (answer["from"], answer["to"]) == ("2026-11-01", "2026-11-16")
    assert answer["summary"]["sales"] == {
        "value": 1501,
        "currency": "XOF",
        "unit": "minor",
        "txn_count": 2,
        "previous": 0,
        "change": None,
        # 1,501 francs at the specification's 0.0017 are 2.5517 dollars, in cents.
        "usd_equivalent": 255,
    }
    values = {key: each["value"] for key, each in answer["summary"].items()}
    assert values == {
        "sales": 1501,
        "refunds": 200,
        "fees": 15,
        "net_revenue": 1286,
        "avg_ticket": 750,
        "chargeback_rate": 50.0,
        "conversion_rate": 50.0,
        "transactions": 4,
        "payments": 2,
        "failed": 1,
        "abandoned": 0,
        "disputes": 501,
    }
    assert answer["summary"]["chargeback_rate"]["currency"] == "%"
    assert "usd_equivalent" not in answer["summary"]["conversion_rate"]


@pytest.mark.parametrize(
    ("period", "days", "sales", "before"),
    [
        ("today", ("2026-11-16", "2026-11-16"), 1 + 2, 4 + 8),
        ("yesterday", ("2026-11-15", "2026-11-15"), 4 + 8, 16),
        ("last_7d", ("2026-11-10", "2026-11-16"), 1 + 2 + 4 + 8 + 16 + 32, 64),
        ("mtd", ("2026-11-01", "2026-11-16"), 255, 256),
        ("ytd", ("2026-01-01", "2026-11-16"), 1023, 1024),
        ("custom:2026-11-09:2026-11-14", ("2026-11-09", "2026-11-14"), 16 + 32 + 64, 0),
        ("custom:2026-11-15:2026-11-15", ("2026-11-15", "2026-11-15"), 4 + 8, 16),
        ("custom:2027-01-01:2027-01-31", ("2027-01-01", "2027-01-31"), 0, 0),
    ],
)
async def test_a_period_holds_its_days_to_the_microsecond(
    ask: Any, worker_db: Database, period: str, days: tuple[str, str], sales: int, before: int
):
    await placed(worker_db)

    answer = await ask(period=period)

    assert (answer["period"], answer["from"], answer["to"]) == (period, *days)
    assert (answer["summary"]["sales"]["value"], answer["summary"]["sales"]["previous"]) == (
        sales,
        before,
    )


async def test_month_to_date_and_the_merchants_currency_are_the_default(
    ask: Any, worker_db: Database
):
    await placed(worker_db)

    default, explicit = await ask(), await ask(period="mtd", currency="XOF")

    assert default | {"computed_at": None} == explicit | {"computed_at": None}


async def test_a_change_is_the_fraction_of_the_period_before(ask: Any, worker_db: Database):
    await placed(worker_db)

    answer = await ask(period="today")

    assert answer["summary"]["sales"]["change"] == -0.75


async def test_a_day_is_drawn_in_local_hours_and_longer_periods_in_days(
    ask: Any, worker_db: Database
):
    await placed(worker_db)

    hours, days = (await ask(period="today"))["series"], (await ask(period="last_7d"))["series"]

    assert hours == {
        "step": "hour",
        "columns": ["at", "sales", "refunds", "fees", "payments", "transactions"],
        "rows": [["2026-11-16T00:00", 2, 0, 0, 1, 1], ["2026-11-16T08:00", 1, 0, 0, 1, 1]],
    }
    assert days["step"] == "day"
    assert [(row[0], row[1]) for row in days["rows"]] == [
        ("2026-11-10", 32),
        ("2026-11-14", 16),
        ("2026-11-15", 12),
        ("2026-11-16", 3),
    ]


async def test_computed_cached_and_kept_answers_are_the_same(
    ask: Any, app: FastAPI, worker_db: Database
):
    # The cache goes by the database's clock, so this shop is open now.
    app.state.clock = SystemClock()
    now = datetime.now(UTC)
    await count(
        worker_db,
        [
            succeeded("tx_1", occurred_at=now.isoformat()),
            refund("rf_1", "tx_1", amount=9, occurred_at=(now - timedelta(days=3)).isoformat()),
        ],
    )

    computed = await ask(period="last_7d")
    kept = await ask(period="last_7d")
    app.state.bodies = Bodies()
    cached = await ask(period="last_7d")

    assert computed == kept == cached
    assert computed["summary"]["net_revenue"]["value"] == 991


async def test_a_committed_event_is_in_the_very_next_answer(ask: Any, worker_db: Database):
    await placed(worker_db)
    before = await ask(period="today")

    await count(worker_db, [succeeded("tx_new", amount=5000, occurred_at=NOW.isoformat())])
    after = await ask(period="today")

    assert before["summary"]["sales"]["value"] + 5000 == after["summary"]["sales"]["value"]
    assert after["series"]["rows"][-1] == ["2026-11-16T12:00", 5000, 0, 0, 1, 1]


async def test_at_local_midnight_today_becomes_yesterday(
    ask: Any, app: FastAPI, worker_db: Database
):
    midnight = datetime(2026, 11, 17, tzinfo=UTC)
    await placed(worker_db)
    app.state.clock.set(midnight - timedelta(microseconds=1))
    before = await ask(period="today")

    app.state.clock.set(midnight)

    assert (await ask(period="today"))["summary"]["sales"]["value"] == 0
    assert (await ask(period="yesterday"))["summary"]["sales"]["value"] == 3
    assert before["summary"]["sales"]["value"] == 3


async def test_what_is_no_period_currency_or_parameter_is_refused(refused: Any):
    assert {query: await refused(query) for query in REFUSED} == REFUSED


async def test_currencies_are_never_added_up_unasked(ask: Any, worker_db: Database):
    await count(
        worker_db,
        [succeeded("tx_1", amount=1000), succeeded("tx_2", amount=900, currency="GHS")],
    )

    francs, cedis = await ask(currency="XOF"), await ask(currency="GHS")

    assert francs["summary"]["sales"]["value"] == 1000
    assert cedis["summary"]["sales"]["value"] == 900
    assert "reporting" not in francs


async def test_reporting_adds_up_at_dated_rates_that_it_names(ask: Any, worker_db: Database):
    await count(
        worker_db,
        [succeeded("tx_1", amount=655_957), succeeded("tx_2", amount=100, currency="EUR")],
    )

    reporting = (await ask(currency="XOF", reporting="EUR"))["reporting"]

    assert reporting["totals"]["sales"] == 100_000 + 100
    assert {(rate["base"], rate["quote"]) for rate in reporting["rates"]} == {
        ("XOF", "EUR"),
        ("EUR", "EUR"),
    }
    francs = next(rate for rate in reporting["rates"] if rate["base"] == "XOF")
    assert (francs["as_of"], francs["indicative"]) == ("1999-01-01", False)
    assert francs["rate"] == pytest.approx(1 / 655.957, rel=1e-6)


async def test_an_unknown_rate_is_null_and_never_one(ask: Any, worker_db: Database):
    await count(
        worker_db,
        [succeeded("tx_1", amount=1000), succeeded("tx_2", amount=7, currency="GNF")],
    )

    guinea = await ask(currency="GNF")
    reporting = (await ask(currency="XOF", reporting="USD"))["reporting"]

    assert guinea["fx"] == {
        "base": "GNF",
        "quote": "USD",
        "rate": None,
        "as_of": None,
        "source": None,
        "indicative": False,
    }
    assert "usd_equivalent" not in guinea["summary"]["sales"]
    assert reporting["totals"]["sales"] is None
    assert {rate["base"]: rate["rate"] for rate in reporting["rates"]} == {
        "GNF": None,
        "XOF": 0.0017,
    }


async def test_a_merchant_nobody_registered_is_absent(client: httpx2.AsyncClient, keys: IssuerKeys):
    answer = await client.get(
        "/api/merchant/summary", headers=bearer(keys, sub="x", merchant_id="merchant-gone")
    )

    assert (answer.status_code, answer.json()["code"]) == (404, "merchant-absent")


@pytest.mark.parametrize(
    ("asked", "lang", "said"),
    [
        ({"Accept-Language": "en"}, "fr", "No such merchant"),
        ({"Accept-Language": "fr"}, "en", "Ce marchand n'existe pas."),
        ({}, "en", "No such merchant"),
    ],
)
async def test_a_program_says_in_which_language_it_is_refused(
    client: httpx2.AsyncClient, keys: IssuerKeys, asked: dict[str, str], lang: str, said: str
):
    headers = bearer(keys, merchant_id="merchant-404", lang=lang) | asked
    answer = await client.get("/api/merchant/summary", headers=headers)
    assert answer.json()["message"].startswith(said)
