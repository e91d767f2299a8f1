"""Taking exchange rates in from outside: believed, doubted, and never silently wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import structlog
from prometheus_client import Counter, Gauge

from molam.kernel.clock import Instant
from molam.kernel.refusals import Outage, Refusal
from molam.ledger import rates_model as model
from molam.ledger import rates_schedule as schedule
from molam.ledger import rates_store as store
from molam.ledger.rates_model import Quoted, Sifted
from molam.ledger.rates_providers import Provider
from molam.platform.db import Database, Tx

log = structlog.get_logger()

_age = Gauge("molam_fx_age_seconds", "Seconds since exchange rates were last had from outside.")
_doubts = Gauge("molam_fx_doubts", "Exchange rates that wait for somebody to believe them.")
_refreshes = Counter("molam_fx_refreshes", "Times rates were asked for.", ["outcome"])


@dataclass(frozen=True, slots=True)
class Freshness:
    """Where rates come from, and since when that has been silent."""

    provider: str
    succeeded_at: Instant | None
    newest_on: date | None
    stale_since: Instant | None
    problem: str | None


async def take_in(tx: Tx, quoted: Sequence[Quoted], *, today: date) -> Sifted:
    """
    Store what can be believed of *quoted*, and set aside what cannot.

    Raises:
        RatesMalformed: a rate or a day that cannot be; nothing is stored then.
    """
    useful = model.useful(quoted, today=today)
    if not useful:
        return Sifted((), (), 0, 0)
    rows = await tx.all(
        store.LIST_DAYS,
        pairs=sorted({f"{each.base}/{each.quote}" for each in useful}),
        first=min(each.as_of for each in useful),
        last=max(each.as_of for each in useful),
        days=model.COMPARED_DAYS,
    )
    stored: dict[model.Pair, dict[date, Decimal]] = {}
    for row in rows:
        stored.setdefault((row.base_currency, row.quote_currency), {})[row.as_of_date] = row.rate
    sifted = model.sift(useful, stored, today=today)
    if sifted.taken:
        await tx.run(store.PUT_RATES, rates=json.dumps([_row(each) for each in sifted.taken]))
    if sifted.doubted:
        await tx.run(
            store.PUT_DOUBTS,
            doubts=json.dumps(
                [
                    {
                        **_row(each.quoted),
                        "previous": str(each.previous),
                        "previous_on": each.previous_on.isoformat(),
                    }
                    for each in sifted.doubted
                ]
            ),
        )
    for each in sifted.doubted:
        log.warning(
            "ledger.rate.doubted",
            pair=f"{each.quoted.base}/{each.quoted.quote}",
            on=each.quoted.as_of.isoformat(),
            rate=str(each.quoted.rate),
            previous=str(each.previous),
            source=each.quoted.source,
        )
    return sifted


def _row(each: Quoted) -> dict[str, str]:
    return {
        "base": each.base,
        "quote": each.quote,
        "as_of": each.as_of.isoformat(),
        "rate": str(each.rate),
        "source": each.source,
    }


async def refresh(
    db: Database, provider: Provider, *, now: Instant, on: date | None = None
) -> Sifted:
    """
    Ask *provider*, take in what it says, and note how that went.

    Raises:
        RatesMalformed, RatesRefused: it answered, and that is of no use.
        Outage: it did not answer.
    """
    try:
        quoted = await provider.fetch(provider.base, on)
        async with db.transaction("ledger.refresh_rates") as tx:
            sifted = await take_in(tx, quoted, today=now.date())
            newest = max((each.as_of for each in quoted), default=None)
            await _note(tx, provider, newest=newest, problem=None)
    except (Refusal, Outage) as error:
        problem = error.code if isinstance(error, Refusal) else "outage"
        _refreshes.labels(problem).inc()
        log.warning("ledger.rates.not_refreshed", provider=provider.name, reason=str(error))
        async with db.transaction("ledger.note_refresh") as tx:
            await _note(tx, provider, newest=None, problem=problem)
        raise
    _refreshes.labels("ok").inc()
    log.info(
        "ledger.rates.refreshed",
        provider=provider.name,
        taken=len(sifted.taken),
        doubted=len(sifted.doubted),
        known=sifted.known,
    )
    return sifted


async def _note(tx: Tx, provider: Provider, *, newest: date | None, problem: str | None) -> None:
    await tx.run(store.PUT_REFRESH, provider=provider.name, newest_on=newest, problem=problem)


async def refresh_if_due(
    db: Database, provider: Provider, *, now: Instant, jitter: timedelta
) -> Sifted | None:
    """Ask *provider* if it is time to; None when it is not. What goes wrong is noted."""
    past = await _past(db, provider.name)
    sifted = None
    if schedule.is_due(provider.name, past, now, jitter=jitter):
        missed = _missed_since(provider.name, past, now)
        try:
            sifted = await refresh(db, provider, now=now, on=missed)
        except (Refusal, Outage):
            # It is noted, and asked again in a while.
            sifted = None
    await measure(db, provider.name, now=now)
    return sifted


def _missed_since(provider: str, past: schedule.Refreshes | None, now: Instant) -> date | None:
    """Tell from which day on the ECB's history is wanted, rather than its last day alone."""
    if provider != "ecb" or past is None or past.newest_on is None:
        return None
    newest = schedule.newest_published(now)
    return past.newest_on if schedule.has_gap(past.newest_on, newest) else None


async def measure(db: Database, provider: str, *, now: Instant) -> None:
    """Set the metrics that say how old the rates are and how many are doubted."""
    past = await _past(db, provider)
    if past is not None and past.succeeded_at is not None:
        _age.set((now - past.succeeded_at).total_seconds())
    counted = await db.read(store.COUNT_DOUBTS)
    _doubts.set(counted[0].count)


async def freshness(db: Database) -> Freshness | None:
    """Tell where rates come from and whether they are late; None: nobody is asked for them."""
    rows = await db.read(store.FIND_REFRESH, provider=None)
    if not rows:
        return None
    row = rows[0]
    past = schedule.Refreshes(row.attempted_at, row.succeeded_at, row.newest_on)
    return Freshness(
        provider=row.provider,
        succeeded_at=row.succeeded_at,
        newest_on=row.newest_on,
        stale_since=schedule.stale_since(row.provider, past, row.asked_at),
        problem=row.problem,
    )


async def doubts(db: Database, *, limit: int = 100) -> list[store.DoubtRow]:
    """List the rates nobody has believed yet, newest first."""
    return await db.read(store.LIST_DOUBTS, limit=limit)


async def accept(tx: Tx, *, base: str, quote: str, on: date, by: str) -> None:
    """
    Believe a rate that was doubted; from then on it is used, and what follows compared with it.

    Raises:
        DoubtAbsent: no such rate is doubted.
    """
    if not await tx.run(store.ACCEPT_DOUBT, base=base, quote=quote, on=on, by=by):
        raise model.DoubtAbsent("See `molam rates list` for those that are.")


async def _past(db: Database, provider: str) -> schedule.Refreshes | None:
    rows = await db.read(store.FIND_REFRESH, provider=provider)
    if not rows:
        return None
    return schedule.Refreshes(rows[0].attempted_at, rows[0].succeeded_at, rows[0].newest_on)
