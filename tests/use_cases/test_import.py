"""A merchant's history loads exactly, once, and is never taken for live money."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from builders import NOW, a_merchant
from molam.merchant import commands, imports, queries
from molam.merchant.import_lines import FileMalformed
from molam.merchant.import_rows import MappingMalformed
from molam.merchant.imports import ImportElsewhere, Watch, load, rehearse
from molam.merchant.model import KPIS, DayRange, Sums, kpi_value
from molam.payments import commands as payments
from molam.tenancy.queries import MerchantAbsent

RETAIL = Path(__file__).parents[3] / "shared" / "data" / "online-retail"
GOOD = "id,type,amount,currency,occurred_at,status\n" + "".join(
    f"h-{n},payment,{1000 + n},XOF,2025-03-{n % 28 + 1:02}T12:00:00Z,succeeded\n" for n in range(40)
)


def a_file(tmp_path, text, name="history.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


async def rows(db, sql, *values):
    async with db.transaction("tests.rows") as tx:
        return [tuple(row) for row in await tx.connection.fetch(sql, *values)]


async def state(db):
    """Everything an import could have written."""
    return [
        await rows(db, f"select * from {table} order by 1, 2, 3, 4")
        for table in (
            "payments.wallet_transactions",
            "merchant.kpi_days",
            "merchant.kpi_hours",
            "merchant.imports",
        )
    ]


@pytest.fixture
async def shop(db):
    return await a_merchant(db)


async def test_good_rows_load_and_are_marked(db, shop, tmp_path):
    report = await load(db, path=a_file(tmp_path, GOOD), merchant_id=shop, mapping=None, now=NOW)

    assert (report.lines, report.loaded, report.refused) == (40, 40, 0)
    assert report.sums == {("payment", "XOF"): sum(1000 + n for n in range(40))}
    assert await rows(
        db, "select count(*), sum(amount), bool_and(imported) from payments.wallet_transactions"
    ) == [(40, report.sums["payment", "XOF"], True)]
    assert await rows(db, "select sum(sales), sum(payment_count) from merchant.kpi_days") == [
        (report.sums["payment", "XOF"], 40)
    ]


async def test_imported_history_moves_no_money_and_tells_nobody(db, shop, tmp_path):
    await load(db, path=a_file(tmp_path, GOOD), merchant_id=shop, mapping=None, now=NOW)

    assert await rows(db, "select count(*) from ledger.transfers") == [(0,)]
    assert await rows(db, "select count(*) from platform.events") == [(0,)]
    assert await rows(db, "select count(*) from merchant.merchant_alerts") == [(0,)]


async def test_importing_twice_changes_nothing(db, shop, tmp_path):
    path = a_file(tmp_path, GOOD)
    await load(db, path=path, merchant_id=shop, mapping=None, now=NOW)
    before = await state(db)

    again = await load(db, path=path, merchant_id=shop, mapping=None, now=NOW)

    assert again.finished_before
    assert before == await state(db)


async def test_same_facts_in_another_file_are_known(db, shop, tmp_path):
    await load(db, path=a_file(tmp_path, GOOD), merchant_id=shop, mapping=None, now=NOW)
    sums = await rows(db, "select sum(sales) from merchant.kpi_days")

    again = await load(
        db, path=a_file(tmp_path, GOOD + "\n", "b.csv"), merchant_id=shop, mapping=None, now=NOW
    )

    assert (again.facts, again.loaded) == (40, 0)
    assert sums == await rows(db, "select sum(sales) from merchant.kpi_days")


async def test_dry_run_lists_bad_rows_and_loads_nothing(db, shop, tmp_path):
    before = await state(db)
    told = []

    report = await rehearse(
        db,
        path=a_file(tmp_path, GOOD + "bad,payment,-5,XOF,2025-01-01T00:00:00Z,succeeded\n"),
        merchant_id=shop,
        mapping=None,
        now=NOW,
        watch=Watch(refused=lambda line, reason: told.append((line, reason))),
    )

    assert (report.facts, report.loaded, report.refused) == (40, 0, 1)
    assert told == [(42, "The amount of a payment is not negative.")]
    assert before == await state(db)


class Killed(BaseException):
    """As abrupt as a process may end."""


@pytest.mark.parametrize("chunks", [1, 3, 7])
async def test_killed_import_goes_on_where_it_stopped(db, shop, tmp_path, monkeypatch, chunks):
    monkeypatch.setattr(imports, "CHUNK_FACTS", 5)
    path = a_file(tmp_path, GOOD)
    done = []

    def kill(position, _end):
        done.append(position)
        if len(done) == chunks:
            raise Killed

    with pytest.raises(Killed):
        await load(
            db, path=path, merchant_id=shop, mapping=None, now=NOW, watch=Watch(progress=kill)
        )
    assert await rows(db, "select rows_loaded from merchant.imports") == [(5 * chunks,)]
    report = await load(db, path=path, merchant_id=shop, mapping=None, now=NOW)

    assert (report.lines, report.loaded) == (40, 40)
    assert await rows(db, "select sum(sales), sum(payment_count) from merchant.kpi_days") == [
        (sum(1000 + n for n in range(40)), 40)
    ]


async def test_chunk_that_fails_half_way_leaves_nothing_behind(db, shop, tmp_path, monkeypatch):
    async def killed(_tx, _rows):
        raise Killed

    monkeypatch.setattr(commands, "count_imported", killed)
    with pytest.raises(Killed):
        await load(db, path=a_file(tmp_path, GOOD), merchant_id=shop, mapping=None, now=NOW)

    assert await rows(db, "select count(*) from payments.wallet_transactions") == [(0,)]
    assert await rows(db, "select lines_done, rows_loaded from merchant.imports") == [(0, 0)]


async def test_position_outside_the_transaction_would_lose_the_chunk(
    db, shop, tmp_path, monkeypatch
):
    """The twin of the test above: with the position moved first, the rest never loads."""
    real = payments.store_imported

    async def position_first(tx, facts):
        async with db._pool.acquire() as other:
            await other.execute("update merchant.imports set lines_done = 41")
        raise Killed

    monkeypatch.setattr(payments, "store_imported", position_first)
    with pytest.raises(Killed):
        await load(db, path=a_file(tmp_path, GOOD), merchant_id=shop, mapping=None, now=NOW)
    monkeypatch.setattr(payments, "store_imported", real)

    report = await load(db, path=a_file(tmp_path, GOOD), merchant_id=shop, mapping=None, now=NOW)

    assert report.loaded == 0


async def test_two_imports_of_one_file_do_not_both_load_a_chunk(db, shop, tmp_path, monkeypatch):
    monkeypatch.setattr(imports, "CHUNK_FACTS", 5)
    path = a_file(tmp_path, GOOD)
    real = payments.store_imported

    async def overtaken(tx, facts):
        monkeypatch.setattr(payments, "store_imported", real)
        async with db._pool.acquire() as other:
            await other.execute("update merchant.imports set lines_done = lines_done + 1")
        return await real(tx, facts)

    monkeypatch.setattr(payments, "store_imported", overtaken)

    with pytest.raises(ImportElsewhere):
        await load(db, path=path, merchant_id=shop, mapping=None, now=NOW)
    assert await rows(db, "select count(*) from payments.wallet_transactions") == [(0,)]


async def test_import_never_replaces_what_a_wallet_reported(db, shop, tmp_path):
    async with db.transaction("tests.live") as tx:
        event = (
            '{"type": "wallet_txn_succeeded", "data": {"id": "h-1", "merchant_id": "merchant-123",'
            ' "amount": 7, "currency": "XOF", "status": "succeeded", "occurred_at": "2025-03-02T12:00:00Z"}}'
        )
        await payments.store_events(tx, [event])
        await commands.count_facts(tx, f"[{event}]", imported=False)

    report = await load(db, path=a_file(tmp_path, GOOD), merchant_id=shop, mapping=None, now=NOW)

    assert report.loaded == 39
    assert await rows(
        db, "select amount, imported from payments.wallet_transactions where id = 'h-1'"
    ) == [(7, False)]
    assert await rows(db, "select sum(sales) from merchant.kpi_days") == [
        (7 + report.sums["payment", "XOF"] - 1001,)
    ]


async def test_refund_lowers_what_is_left_of_its_payment(db, shop, tmp_path):
    text = (
        "id,type,amount,occurred_at,original_id\n"
        "p,payment,500,2025-03-01T10:00:00Z,\n"
        "r,refund,200,2025-03-02T10:00:00Z,p\n"
    )

    await load(db, path=a_file(tmp_path, text), merchant_id=shop, mapping=None, now=NOW)

    assert await rows(
        db, "select id, refunded_amount, original_id from payments.wallet_transactions order by id"
    ) == [("p", 200, None), ("r", 0, "p")]


async def test_unknown_merchant_mapping_and_file_are_refused(db, shop, tmp_path):
    path = a_file(tmp_path, GOOD)

    with pytest.raises(MerchantAbsent):
        await load(db, path=path, merchant_id="nobody", mapping=None, now=NOW)
    with pytest.raises(MappingMalformed, match="online-retail"):
        await load(db, path=path, merchant_id=shop, mapping="no-such", now=NOW)
    with pytest.raises(FileMalformed):
        await load(db, path=tmp_path / "absent.csv", merchant_id=shop, mapping=None, now=NOW)
    assert await rows(db, "select count(*) from merchant.imports") == [(0,)]


@pytest.fixture(scope="module")
def retail():
    if not RETAIL.is_dir():
        pytest.skip(f"{RETAIL} is not here")
    path = next(RETAIL.glob("*.csv"))
    with path.open(newline="", encoding="utf-8") as file:
        return path, list(csv.DictReader(file))


@pytest.fixture
async def retailer(db):
    return await a_merchant(
        db, id_="retail", currency="GBP", country="GB", timezone="Europe/London", locale="en"
    )


def independent_sums(invoices):
    """Each London day's sums, by nothing but the file and Python's decimals."""
    days = defaultdict(Counter)
    for row in invoices:
        day = (
            datetime.fromisoformat(row["occurred_at"]).astimezone(ZoneInfo("Europe/London")).date()
        )
        pence = abs(int(Decimal(row["amount_gbp"]) * 100))
        if row["kind"] == "sale" and pence:
            days[day].update(created_count=1, payment_count=1, sales=pence)
        elif row["kind"] == "cancellation" and pence:
            days[day].update(refund_count=1, refunds=pence)
    return {day: Sums(**counts) for day, counts in days.items()}


async def test_online_retail_loads_to_the_penny(db, retailer, retail):
    path, invoices = retail
    expected = independent_sums(invoices)
    told = []

    report = await load(
        db, path=path, merchant_id=retailer, mapping="online-retail", now=NOW,
        watch=Watch(refused=lambda line, reason: told.append((line, reason))),
    )  # fmt: skip

    assert told == []
    assert report.sums == {("payment", "GBP"): 4_826_466_49, ("refund", "GBP"): 428_515_73}
    assert report.facts + sum(report.skipped.values()) == report.lines == len(invoices)
    assert report.skipped["payment of zero"] == 1_130
    found = await rows(
        db,
        "select day, created_count, payment_count, sales, refund_count, refunds, fees from merchant.kpi_days",
    )
    assert {row[0]: row[1:] for row in found} == {
        day: (s.created_count, s.payment_count, s.sales, s.refund_count, s.refunds, 0)
        for day, s in expected.items()
    }
    for kind, total in (("payment", 4_826_466_49), ("refund", 428_515_73)):
        assert await rows(
            db, "select sum(amount) from payments.wallet_transactions where type = $1", kind
        ) == [(total,)]


PERIODS = (
    ("custom:2010-12-01:2011-06-30", DayRange(date(2010, 12, 1), date(2011, 6, 30))),
    (
        "custom:2011-03-27:2011-03-27",
        DayRange(date(2011, 3, 27), date(2011, 3, 27)),
    ),  # Clocks change.
    ("mtd", DayRange(date(2011, 5, 1), date(2011, 5, 31))),
    ("ytd", DayRange(date(2011, 1, 1), date(2011, 5, 31))),
    ("last_7d", DayRange(date(2011, 5, 25), date(2011, 5, 31))),
    ("yesterday", DayRange(date(2011, 5, 30), date(2011, 5, 30))),
)


async def test_every_kpi_of_online_retail_is_an_independent_sum(db, retailer, retail):
    path, invoices = retail
    expected = independent_sums(invoices)
    now = datetime(2011, 5, 31, 18, tzinfo=UTC)
    await load(db, path=path, merchant_id=retailer, mapping="online-retail", now=NOW)

    for period, days in PERIODS:
        found = await queries.summary(
            db, merchant_id=retailer, period=period, currency="GBP", now=now
        )
        sums = sum((s for day, s in expected.items() if days.first <= day <= days.last), Sums())
        assert DayRange(found.from_day, found.to_day) == days
        assert {key: kpi.value for key, kpi in found.kpis.items()} == {
            key: kpi_value(kpi, sums) for key, kpi in KPIS.items()
        }
