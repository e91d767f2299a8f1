"""The demo end to end: every figure and balance against plain Python sums over the raw events."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from facts import MERCHANT, an_event, created, drain, look, refund, succeeded
from molam.ledger import queries as ledger
from molam.merchant import model, queries
from molam.platform.db import Database
from molam.platform.events import Event, publish
from molam.simulator.profiles import PROFILES
from molam.simulator.seed import SEED, backfill, seed_demo, send
from molam.simulator.traffic import transactions

DAYS = 3
PERIODS = ("today", "yesterday", "last_7d", "mtd", "ytd")
LATEST = datetime.max.replace(tzinfo=UTC)
DECIDED = {"pending": 0, "processing": 0, "open": 0, "abandoned": 1}
KINDS = {"refund_created": "refund", "payout_created": "payout", "dispute_created": "dispute"}


@dataclass
class Fact:
    """A payment, refund, payout or dispute as the newest event of it says."""

    kind: str
    merchant_id: str
    newest: tuple[int, int] = (0, 0)
    data: dict[str, Any] = field(default_factory=dict)
    occurred_at: datetime = LATEST

    @property
    def status(self) -> str:
        return str(self.data["status"])


def facts_of(payloads: list[dict[str, Any]]) -> list[Fact]:
    """Read events the slow way, one by one; the greatest version of a fact wins."""
    found: dict[tuple[str, str, str], Fact] = {}
    for event in payloads:
        data, topic = event["data"], event["type"]
        kind = KINDS.get(topic, "payment")
        id_ = data.get("transaction_id", data.get("id")) if kind == "payment" else data["id"]
        fact = found.setdefault((kind, data["merchant_id"], id_), Fact(kind, data["merchant_id"]))
        is_open = DECIDED.get(data["status"], 2) == 0
        rank = (data.get("version", 1 if is_open else 2), DECIDED.get(data["status"], 2))
        if rank > fact.newest:
            fact.newest, fact.data = rank, data
        fact.occurred_at = min(fact.occurred_at, datetime.fromisoformat(data["occurred_at"]))
    return list(found.values())


def days_of(period: str, today: date) -> tuple[date, date]:
    yesterday = today - timedelta(days=1)
    return {
        "today": (today, today),
        "yesterday": (yesterday, yesterday),
        "last_7d": (today - timedelta(days=6), today),
        "mtd": (today.replace(day=1), today),
        "ytd": (today.replace(month=1, day=1), today),
    }[period]


def reckoned(facts: list[Fact], zone: ZoneInfo, first: date, last: date) -> dict[str, Any]:
    """Add up one merchant's facts of one currency over some local days."""
    here = [fact for fact in facts if first <= fact.occurred_at.astimezone(zone).date() <= last]
    payments = [fact for fact in here if fact.kind == "payment"]
    sold = [fact for fact in payments if fact.status == "succeeded"]
    back = [f for f in here if f.kind == "refund" and f.status in {"succeeded", "completed"}]
    disputes = [fact for fact in here if fact.kind == "dispute"]
    sales = sum(fact.data["amount"] for fact in sold)
    fees = sum(fact.data.get("fee_molam", 0) for fact in sold)
    refunds = sum(fact.data["amount"] for fact in back)
    return {
        "sales": sales,
        "refunds": refunds,
        "fees": fees,
        "net_revenue": sales - refunds - fees,
        "avg_ticket": _rounded(sales, len(sold), "1"),
        "chargeback_rate": _rounded(100 * len(disputes), len(sold), "0.01"),
        "conversion_rate": _rounded(100 * len(sold), len(payments), "0.01"),
        "transactions": len(payments),
        "payments": len(sold),
        "failed": sum(fact.status in {"failed", "cancelled"} for fact in payments),
        "abandoned": 0,
        "disputes": sum(fact.data["amount"] for fact in disputes),
    }


def _rounded(numerator: int, denominator: int, unit: str) -> Decimal | None:
    if denominator == 0:
        return None
    exact = Decimal(numerator) / Decimal(denominator)
    return exact.quantize(Decimal(unit), rounding=ROUND_HALF_EVEN)


def balances_of(facts: list[Fact]) -> dict[str, int]:
    """Say what each account must hold: who gave what to whom."""
    held: Counter[str] = Counter()

    def move(source: str, target: str, amount: int) -> None:
        held[source] -= amount
        held[target] += amount

    for fact in facts:
        code, amount = fact.data["currency"], fact.data["amount"]
        own = f"merchant:{fact.merchant_id}:available:{code}"
        if fact.kind == "payment" and fact.status == "succeeded":
            move(f"customers:wallet:{code}", own, amount)
            move(own, f"molam:fees:{code}", fact.data.get("fee_molam", 0))
        elif fact.kind == "refund" and fact.status in {"succeeded", "completed"}:
            move(own, f"customers:wallet:{code}", amount)
        elif fact.kind == "payout" and fact.status not in {"failed", "cancelled", "returned"}:
            move(own, f"payouts:sent:{code}", amount)
        elif fact.kind == "dispute" and fact.status != "won":
            move(own, f"disputes:held:{code}", amount)
    return {account: amount for account, amount in held.items() if amount}


async def figures(web_db: Database, now: datetime) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Ask the product for every merchant, period and currency, and the period before."""
    asked = {}
    for profile in PROFILES:
        for code in await queries.currencies(web_db, merchant_id=profile.merchant_id):
            for period in PERIODS:
                found = await queries.summary(
                    web_db, merchant_id=profile.merchant_id, period=period, currency=code, now=now
                )
                key = (profile.merchant_id, period, code)
                asked[key] = {name: kpi.value for name, kpi in found.kpis.items()}
                asked[key]["before"] = found.kpis["sales"].previous
                assert sum(each.sales for each in found.series) == found.kpis["sales"].value
    return asked


def expected(facts: list[Fact], now: datetime) -> Iterator[tuple[tuple[str, str, str], Any]]:
    of: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        of[fact.merchant_id, fact.data["currency"]].append(fact)
    zones = {profile.merchant_id: ZoneInfo(profile.timezone) for profile in PROFILES}
    for (merchant_id, code), theirs in of.items():
        zone = zones[merchant_id]
        for period in PERIODS:
            first, last = days_of(period, now.astimezone(zone).date())
            length = last - first + timedelta(days=1)
            before = reckoned(theirs, zone, first - length, first - timedelta(days=1))
            sums = reckoned(theirs, zone, first, last)
            yield (merchant_id, period, code), sums | {"before": before["sales"]}


async def test_every_figure_and_balance_of_the_demo_is_a_plain_sum(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    # The cache goes by the database's clock, so the demo has to be of now.
    now = datetime.now(UTC)
    await seed_demo(db, now)
    await backfill(db, now - timedelta(hours=30), days=DAYS - 1)
    await drain(worker_db)
    early = await figures(web_db, now)
    cached = await look(db, "select count(*) from merchant_kpis_cache")

    await _rest_of_history(db, now)
    await drain(worker_db, batch_max=173)

    payloads = [json.loads(row[0]) for row in await look(db, "select payload::text from events")]
    facts = facts_of(payloads)
    truth = dict(expected(facts, now))
    carried = await figures(web_db, now)
    async with db.transaction("tests.forget") as tx:
        await tx.connection.execute("delete from merchant.merchant_kpis_cache")
    computed = await figures(web_db, now)
    # Agents' floats are stocked by the seed itself, not by what wallets tell.
    balances = await look(
        db,
        "select id, balance from ledger.accounts where balance <> 0 and id not like '%:float:%'",
    )

    assert len(payloads) > 1000
    assert cached[0][0] == len(early) * len(model.KPI_KEYS) > 0
    assert {profile.merchant_id for profile in PROFILES} == {key[0] for key in truth}
    assert carried == truth
    assert computed == truth
    assert early != truth
    assert dict(expected(facts[1:], now)) != truth, "a fact left out is noticed"
    assert dict(balances) == balances_of(facts)
    assert await ledger.imbalances(db) == []
    assert await look(db, "select * from dead_letters") == []


async def _rest_of_history(db: Database, now: datetime) -> None:
    """Publish the last 30 hours in no order at all, some of it twice, and a few rarer facts."""
    begin = now - timedelta(hours=30)
    rest = list(transactions(SEED, PROFILES, begin, now, since=now - timedelta(days=DAYS)))
    random.Random(SEED).shuffle(rest)
    rest += rest[:500]
    for first in range(0, len(rest), 400):
        await send(db, rest[first : first + 400])
    at = {"occurred_at": (now - timedelta(minutes=1)).isoformat()}
    rare = [
        an_event("payout_created", id="po_1", amount=70_000, status="paid", **at),
        an_event("payout_created", id="po_2", amount=80_000, status="in_transit", **at),
        an_event("payout_created", id="po_2", amount=80_000, status="returned", version=3, **at),
        an_event("dispute_created", id="dp_1", amount=900, status="won", **at),
        an_event("dispute_created", id="dp_2", amount=901, status="under_review", **at),
        succeeded("tx_cedi", amount=4321, fee_molam=43, currency="GHS", status="succeeded", **at),
        refund("rf_cedi", "tx_cedi", amount=21, currency="GHS", status="completed", **at),
        refund("rf_not", "tx_cedi", amount=22, currency="GHS", status="failed", **at),
        created("tx_gone", currency="EUR", status="cancelled", **at),
    ]
    async with db.transaction("tests.publish") as tx:
        await publish(tx, [Event(json.loads(each)["type"], MERCHANT, each) for each in rare])
