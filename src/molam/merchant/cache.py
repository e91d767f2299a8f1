"""A period's figures: from the cache while it is exact, from the buckets otherwise."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.currency import CURRENCIES
from molam.ledger import queries as ledger
from molam.ledger.model import Rates
from molam.merchant import cache_store, model, store
from molam.merchant.dashboards import settings_of
from molam.platform import telemetry
from molam.platform.db import Database

RATES_TTL_S = 60.0
BODY_TTL = timedelta(seconds=60)
BODIES_MAX = 2_000

BodyKey = tuple[str, str, str | None]
"""Merchant, period and currency of a summary."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the cache, or a computation in its place, answers: the raw sums of each figure."""

    sums: dict[str, tuple[int, int | None, int, int, int | None]]
    from_day: date
    to_day: date
    computed_at: datetime
    valid_until: datetime
    version: int
    series: str | None


@dataclass(slots=True)
class RateBook:
    """Exchange rates, read again at most once a minute."""

    _rates: Rates | None = None
    _read_at: float = field(default=float("-inf"))

    async def on(self, db: Database, day: date) -> Rates:
        now = time.monotonic()
        if self._rates is None or now - self._read_at > RATES_TTL_S:
            self._rates = await ledger.rates_on(db, day)
            self._read_at = now
        return self._rates


@dataclass(slots=True)
class Bodies:
    """
    Answers already written, for as long as they are still true.

    An answer belongs to a head: each time it is used, the merchant's present head
    is read first, so nobody ever gets an answer that a committed event has made
    wrong. It also ends with the local day, and with the exchange rates' minute.
    """

    _kept: OrderedDict[BodyKey, tuple[int, Instant, bytes]] = field(default_factory=OrderedDict)

    async def find(self, db: Database, key: BodyKey, *, now: Instant) -> bytes | None:
        """Return the answer to *key* if it may be given again, after one primary-key read."""
        kept = self._kept.get(key)
        if kept is None or now >= kept[1]:
            return None
        heads = await db.read(cache_store.READ_HEAD, merchant_id=key[0])
        if not heads or heads[0].version != kept[0]:
            return None
        telemetry.cache_lookups_total.labels(result="hit").inc()
        return kept[2]

    def keep(self, key: BodyKey, body: bytes, *, version: int, until: Instant) -> None:
        self._kept[key] = (version, until, body)
        self._kept.move_to_end(key)
        if len(self._kept) > BODIES_MAX:
            self._kept.popitem(last=False)


_FIGURES = msgspec.json.Decoder(list[tuple[str, int, int | None, int, int, int | None]])


async def figures(
    db: Database, *, merchant_id: str, period: model.Period, currency: str, now: Instant
) -> Figures:
    """
    Read a period's figures from the cache, or compute them from the buckets and keep them.

    Raises:
        MerchantAbsent: nobody registered this merchant.
    """
    found = await _cached(db, merchant_id=merchant_id, period=period, currency=currency)
    if found is not None:
        telemetry.cache_lookups_total.labels(result="hit").inc()
        return found
    telemetry.cache_lookups_total.labels(result="miss").inc()

    settings = await settings_of(db, merchant_id=merchant_id)
    today = model.local_day(now, settings.timezone)
    days = model.range_of(period, today)
    before = days.previous()
    valid_until = model.day_ends_at(today, settings.timezone)
    usd_rate = (await ledger.rates_on(db, today)).per_minor(CURRENCIES[currency], CURRENCIES["USD"])
    with telemetry.kpi_compute_seconds.time():
        async with db.transaction("merchant.compute_cache", merchant_id=merchant_id) as tx:
            rows = await tx.all(
                cache_store.COMPUTE_CACHE,
                merchant_id=merchant_id,
                period=str(period),
                currency=currency,
                from_day=days.first,
                to_day=days.last,
                previous_from_day=before.first,
                previous_to_day=before.last,
                valid_until=valid_until,
                usd_rate=usd_rate,
            )
            points = await tx.all(
                store.LIST_HOURS if model.step_of(days) == "hour" else store.LIST_DAYS,
                merchant_id=merchant_id,
                currency=currency,
                from_day=days.first,
                to_day=days.last,
            )
    return Figures(
        sums={
            row.kpi_key: (
                row.numerator,
                row.denominator,
                row.txn_count,
                row.previous_numerator,
                row.previous_denominator,
            )
            for row in rows
        },
        from_day=days.first,
        to_day=days.last,
        computed_at=rows[0].computed_at,
        valid_until=valid_until,
        version=rows[0].as_of,
        series=_series(points, model.step_of(days)),
    )


async def _cached(
    db: Database, *, merchant_id: str, period: model.Period, currency: str
) -> Figures | None:
    rows = await db.read(
        cache_store.READ_SUMMARY, merchant_id=merchant_id, period=str(period), currency=currency
    )
    if not rows:
        return None
    row = rows[0]
    return Figures(
        sums={each[0]: each[1:] for each in _FIGURES.decode(row.figures)},
        from_day=row.from_day,
        to_day=row.to_day,
        computed_at=row.computed_at,
        valid_until=row.valid_until,
        version=row.as_of,
        series=row.series,
    )


def _series(rows: list[store.PointRow], step: model.Step) -> str:
    """Write points as READ_SUMMARY does: ``[at, sales, refunds, fees, payments, created]``."""
    return msgspec.json.encode(
        [
            (
                f"{row.day.isoformat()}T{row.hour:02}:00" if step == "hour" else row.day,
                row.sales,
                row.refunds,
                row.fees,
                row.payment_count,
                row.created_count,
            )
            for row in rows
        ]
    ).decode()
