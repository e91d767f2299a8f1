"""Rates from outside, stored by date, doubted when they leap, and never in place of a parity."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import asyncpg
import pytest

import fx_answers
from facts import look
from molam.kernel.refusals import Outage
from molam.ledger import queries, rates
from molam.ledger.rates_formats import read_file
from molam.ledger.rates_model import DoubtAbsent, Quoted, RatesMalformed, RatesRefused
from molam.ledger.rates_providers import Provider, provider_of
from molam.platform.db import Database
from molam.platform.egress import Egress
from molam.platform.settings import Secret

TODAY = datetime.now(UTC).date()
KEY = Secret("0123456789abcdef")


def quoted(rate: str, *, days_ago: int = 0, base: str = "EUR", quote: str = "USD") -> Quoted:
    return Quoted(base, quote, TODAY - timedelta(days=days_ago), Decimal(rate), "ECB")


async def take_in(db: Database, *given: Quoted) -> None:
    async with db.transaction("tests.take_in") as tx:
        await rates.take_in(tx, given, today=TODAY)


async def stored(db: Database) -> list[tuple[object, ...]]:
    return [
        tuple(row)
        for row in await look(
            db,
            "select base_currency, quote_currency, as_of_date, rate::text from ledger.fx_rates"
            " where source not in ('fixed parity', 'specification') order by 1, 2, 3",
        )
    ]


async def test_a_rate_is_in_force_from_its_day_until_the_next(worker_db: Database):
    await take_in(worker_db, quoted("1.10", days_ago=9), quoted("1.12", days_ago=7))

    found = [
        (await queries.rates_on(worker_db, TODAY - timedelta(days=days))).find("EUR", "USD")
        for days in (8, 7, 0)
    ]

    assert [each and each.value for each in found] == [
        Fraction("1.10"),
        Fraction("1.12"),
        Fraction("1.12"),
    ]


async def test_the_franc_follows_the_euro_and_no_longer_the_indication(worker_db: Database):
    before = (await queries.rates_on(worker_db, TODAY)).find("XOF", "USD")
    await take_in(worker_db, quoted("1.1628"))

    after = (await queries.rates_on(worker_db, TODAY)).find("XOF", "USD")

    assert before is not None
    assert after is not None
    assert (before.indicative, after.indicative) == (True, False)
    assert after.value == Fraction("1.1628") / Fraction("655.957")
    assert (after.as_of, after.source) == (TODAY, "fixed parity, ECB")


async def test_the_parity_is_the_same_after_whatever_a_provider_says(worker_db: Database):
    async with worker_db.transaction("tests.take_in") as tx:
        fixer = [Quoted("EUR", "XOF", TODAY, Decimal("655.613"), "Fixer.io")]
        await rates.take_in(tx, fixer, today=TODAY)

    found = (await queries.rates_on(worker_db, TODAY)).find("EUR", "XOF")

    assert found is not None
    assert found.value == Fraction("655.957")


@pytest.mark.parametrize(
    "statement",
    [
        "insert into ledger.fx_rates values ('EUR', 'XOF', '2026-01-01', 700, 'me')",
        "insert into ledger.fx_rates values ('XAF', 'XOF', '2026-01-01', 2, 'me')",
        "update ledger.fx_rates set rate = 700 where source = 'fixed parity'",
        "delete from ledger.fx_rates where source = 'fixed parity'",
    ],
)
async def test_not_even_by_hand_does_a_parity_change(db: Database, statement: str):
    with pytest.raises(asyncpg.RestrictViolationError):
        async with db.transaction("tests.by_hand") as tx:
            await tx.connection.execute(statement)


async def test_a_leap_is_set_aside_and_reported_and_not_used(worker_db: Database):
    await take_in(worker_db, quoted("1.10", days_ago=1))
    await take_in(worker_db, quoted("1.40"))

    found = (await queries.rates_on(worker_db, TODAY)).find("EUR", "USD")
    (doubt,) = await rates.doubts(worker_db)

    assert found is not None
    assert found.value == Fraction("1.10")
    assert (doubt.rate, doubt.previous_rate, doubt.as_of_date) == (
        Decimal("1.40"),
        Decimal("1.10"),
        TODAY,
    )


async def test_without_the_comparison_the_leap_would_be_used(
    worker_db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("molam.ledger.rates_model.JUMP_MAX", Decimal(10))
    await take_in(worker_db, quoted("1.10", days_ago=1))
    await take_in(worker_db, quoted("1.40"))

    found = (await queries.rates_on(worker_db, TODAY)).find("EUR", "USD")

    assert found is not None
    assert found.value == Fraction("1.40")


async def test_an_accepted_leap_is_used_and_what_follows_is_compared_with_it(worker_db: Database):
    await take_in(worker_db, quoted("1.10", days_ago=2))
    await take_in(worker_db, quoted("1.40", days_ago=1))
    async with worker_db.transaction("tests.accept") as tx:
        day = TODAY - timedelta(days=1)
        await rates.accept(tx, base="EUR", quote="USD", on=day, by="aya")

    await take_in(worker_db, quoted("1.40", days_ago=1), quoted("1.41"))

    assert await rates.doubts(worker_db) == []
    assert [row[3] for row in await stored(worker_db)][-2:] == ["1.400000000000", "1.410000000000"]
    async with worker_db.transaction("tests.accept") as tx:
        with pytest.raises(DoubtAbsent):
            await rates.accept(tx, base="EUR", quote="USD", on=day, by="aya")


async def test_one_bad_rate_stores_nothing_of_its_file(worker_db: Database):
    with pytest.raises(RatesMalformed):
        await take_in(worker_db, quoted("1.1"), quoted("0", quote="GBP"))

    assert await stored(worker_db) == []


async def test_the_same_file_twice_changes_nothing(worker_db: Database):
    given = read_file(fx_answers.ECB_HISTORY.encode())
    async with worker_db.transaction("tests.import") as tx:
        first = await rates.take_in(tx, given, today=date(2026, 11, 16))
    async with worker_db.transaction("tests.import") as tx:
        second = await rates.take_in(tx, given, today=date(2026, 11, 16))

    assert (len(first.taken), first.doubted) == (8, ())
    assert (second.known, second.taken) == (8, ())


@dataclass
class Source:
    """A provider's server: what each path answers, and what it was asked."""

    answers: Mapping[str, tuple[int, bytes]]
    url: str = ""
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        path = head.split(" ")[1].partition("?")[0]
        status, body = self.answers.get(path, (404, b"nothing"))
        writer.write(
            f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def served(
    name: str, answers: Mapping[str, bytes], *, status: int = 200
) -> AsyncIterator[tuple[Source, Provider]]:
    source = Source({path: (status, body) for path, body in answers.items()})
    server = await asyncio.start_server(source.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}" + ("/rates.csv" if name == "csv" else "")
    async with server, Egress(allow_private=True, timeout_s=2) as egress:
        provider = provider_of(name, key=KEY, url=url, egress=egress)
        assert provider is not None
        yield source, provider


RECORDED = {
    "ecb": ("/eurofxref-daily.xml", fx_answers.ECB_DAILY, ("EUR", "USD"), "1.1628"),
    "fixer": ("/latest", fx_answers.FIXER_LATEST, ("EUR", "NGN"), "1674.553"),
    "openexchangerates": ("/latest.json", fx_answers.OXR_LATEST, ("USD", "KES"), "129.25"),
    "csv": ("/rates.csv", fx_answers.OURS, ("EUR", "GHS"), "12.75"),
}
RECORDED_AT = datetime(2026, 11, 16, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize("name", RECORDED)
async def test_each_provider_is_asked_and_its_rates_are_in_force(worker_db: Database, name: str):
    path, body, (base, quote), rate = RECORDED[name]
    async with served(name, {path: body}) as (_, provider):
        sifted = await rates.refresh(worker_db, provider, now=RECORDED_AT)

    found = (await queries.rates_on(worker_db, date(2026, 11, 16))).find(base, quote)

    assert sifted.taken
    assert found is not None
    assert (found.value, found.as_of) == (Fraction(rate), date(2026, 11, 16))


async def test_keys_go_where_each_provider_takes_them(worker_db: Database):
    async with served("fixer", {"/latest": fx_answers.FIXER_LATEST}) as (fixer, provider):
        await rates.refresh(worker_db, provider, now=RECORDED_AT)
    answers = {"/latest.json": fx_answers.OXR_LATEST}
    async with served("openexchangerates", answers) as (oxr, provider):
        await rates.refresh(worker_db, provider, now=RECORDED_AT)

    assert f"access_key={KEY.reveal()}" in fixer.asked[0].splitlines()[0]
    assert KEY.reveal() not in oxr.asked[0].splitlines()[0]
    assert f"authorization: token {KEY.reveal()}" in oxr.asked[0].lower()


async def test_a_day_of_the_past_comes_from_each_providers_history(worker_db: Database):
    archive = fx_answers.zipped(fx_answers.ECB_HISTORY)
    async with served("ecb", {"/eurofxref-hist.zip": archive}) as (_, ecb):
        await rates.refresh(worker_db, ecb, now=RECORDED_AT, on=date(2026, 11, 13))
    async with served("fixer", {"/2026-11-13": fx_answers.FIXER_DAY}) as (_, fixer):
        await rates.refresh(worker_db, fixer, now=RECORDED_AT, on=date(2026, 11, 13))

    days = {(row[1], row[2]) for row in await stored(worker_db)}
    assert ("USD", date(2026, 11, 13)) in days
    assert ("GHS", date(2026, 11, 13)) in days
    assert ("USD", date(2026, 11, 12)) not in days


@pytest.mark.parametrize(
    ("name", "path", "status", "body", "refused", "problem"),
    [
        ("fixer", "/latest", 200, fx_answers.FIXER_BAD_KEY, RatesRefused, "rates-refused"),
        (
            "openexchangerates",
            "/latest.json",
            401,
            fx_answers.OXR_BAD_KEY,
            RatesRefused,
            "rates-refused",
        ),
        ("ecb", "/eurofxref-daily.xml", 200, b"<html/>", RatesMalformed, "rates-malformed"),
        ("ecb", "/moved", 200, b"", RatesRefused, "rates-refused"),
        ("ecb", "/eurofxref-daily.xml", 503, b"busy", Outage, "outage"),
        ("fixer", "/latest", 429, b"{}", Outage, "outage"),
    ],
)
async def test_what_goes_wrong_is_noted_and_nothing_is_stored(
    worker_db: Database,
    name: str,
    path: str,
    status: int,
    body: bytes,
    refused: type[Exception],
    problem: str,
):
    async with served(name, {path: body}, status=status) as (_, provider):
        with pytest.raises(refused):
            await rates.refresh(worker_db, provider, now=RECORDED_AT)

    noted = await rates.freshness(worker_db)
    assert noted is not None
    assert (noted.problem, noted.succeeded_at, noted.provider) == (problem, None, name)
    assert await stored(worker_db) == []


async def test_a_provider_that_answers_nothing_leaves_the_rates_in_force_and_says_since_when(
    worker_db: Database,
):
    path, body, _, _ = RECORDED["fixer"]
    async with served("fixer", {path: body}) as (_, provider):
        await rates.refresh(worker_db, provider, now=RECORDED_AT)
    async with served("fixer", {path: b"busy"}, status=503) as (source, provider):
        later = datetime.now(UTC) + timedelta(hours=2)
        sifted = await rates.refresh_if_due(worker_db, provider, now=later, jitter=timedelta(0))
        again = await rates.refresh_if_due(
            worker_db, provider, now=datetime.now(UTC), jitter=timedelta(0)
        )

    noted = await rates.freshness(worker_db)
    assert (sifted, again, len(source.asked)) == (None, None, 1)
    assert noted is not None
    assert (noted.problem, noted.newest_on) == ("outage", date(2026, 11, 16))
    assert noted.succeeded_at is not None
    assert await stored(worker_db) != []


async def test_pages_may_read_what_only_workers_write(
    web_db: Database, worker_db: Database, db: Database
):
    await take_in(worker_db, quoted("1.1"))

    assert await rates.freshness(web_db) is None
    assert (await queries.rates_on(web_db, TODAY)).find("EUR", "USD") is not None
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await take_in(web_db, quoted("1.11"))
    assert len(await stored(db)) == 1
