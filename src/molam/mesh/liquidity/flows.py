"""What each day took from each account, and what the days to come may take."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec
import structlog

from molam.kernel.currency import currency as known_currency
from molam.kernel.money import MINOR_MAX
from molam.mesh.liquidity import flow_store, forecasting, model, pool_store, position_store
from molam.mesh.liquidity.flow_store import FlowRow
from molam.platform.db import Database, Tx

log = structlog.get_logger()

HISTORY_DAYS = 800
ROLLED_UP_DAYS = 8
"""Days back that are added up again each night, for what banks tell late."""
KEPT_DAYS = 400
LINES_MAX = 5_000
QUANTILES = (0.5, 0.9, 0.975)
MEASURES = ("net_outflow", "peak_outflow")
_WITHOUT_PEAK, _WITH_PEAK = 2, 3
_DIGITS_MAX = 16
_TO_HOLD = float(model.critical_quantile())


@dataclass(frozen=True, slots=True)
class Day:
    day: date
    net_outflow: int
    peak_outflow: int


async def roll_up(db: Database, *, days: int = ROLLED_UP_DAYS) -> int:
    """Add the last days' movements up, account by account; return how many days changed."""
    async with db.transaction("liquidity.roll_up") as tx:
        found = await tx.one(flow_store.ROLL_UP, days=days)
    assert found is not None
    return found.count


async def import_history(tx: Tx, bank_profile_id: str, currency: str, content: str) -> int:
    """
    Take in days from before the ledger's: CSV with ``day,net_outflow[,peak_outflow]``.

    What the ledger knows stays. Returns how many days were written.

    Raises:
        BankAccountAbsent: we have no such account.
        HistoryRefused: a line cannot be read; says which and why.
    """
    found = await tx.all(
        position_store.HAS_ACCOUNT, bank_profile_id=bank_profile_id, currency=currency
    )
    if not found:
        raise model.BankAccountAbsent("Accounts are listed by GET /api/mesh/liquidity/positions.")
    days = read_history(content)
    if any(each.day > datetime.now(UTC).date() for each in days):
        raise model.HistoryRefused("A day that has not come yet is no history.")
    return await tx.run(
        flow_store.IMPORT,
        bank_profile_id=bank_profile_id,
        currency=known_currency(currency).code,
        days=[each.day for each in days],
        nets=[each.net_outflow for each in days],
        peaks=[each.peak_outflow for each in days],
    )


def read_history(content: str) -> list[Day]:
    """
    Read days of an account from CSV, amounts in whole minor units.

    Raises:
        HistoryRefused: says the line and what is wrong with it.
    """
    rows = list(csv.reader(io.StringIO(content.removeprefix("\ufeff"))))
    if not rows or [each.strip() for each in rows[0]][:2] != ["day", "net_outflow"]:
        raise model.HistoryRefused("The first line is day,net_outflow,peak_outflow.")
    if len(rows) > LINES_MAX + 1:
        raise model.HistoryRefused(f"One file has at most {LINES_MAX:,} days.")
    found: dict[date, Day] = {}
    for number, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            read = _day(cells)
        except ValueError as error:
            raise model.HistoryRefused(f"Line {number}: {error}.") from None
        if read.day in found:
            raise model.HistoryRefused(f"Line {number}: {read.day} is there twice.")
        found[read.day] = read
    return sorted(found.values(), key=lambda each: each.day)


async def forecast(db: Database, *, days: int = model.FORECAST_DAYS_MAX) -> int:
    """
    Forecast every account that has a past, and keep it; return how many rows were written.

    Days that are missing between two that are there were days of nothing.
    """
    rows = await db.read(
        flow_store.LIST_FLOWS, bank_profile_id=None, currency=None, days=HISTORY_DAYS
    )
    series: dict[tuple[str, str], list[FlowRow]] = defaultdict(list)
    for row in rows:
        series[row.bank_profile_id, row.currency].append(row)
    written = 0
    for account, flows in series.items():
        made = _forecasts(account, flows, days)
        async with db.transaction("liquidity.forecast") as tx:
            await tx.run(flow_store.PUT_FORECASTS, rows=made)
        written += len(made)
        # So many numbers hold nobody else up.
        await asyncio.sleep(0)
    async with db.transaction("liquidity.forecast_told") as tx:
        await tx.run(pool_store.NOTIFY_PAGES)
    log.info("liquidity.forecast.made", accounts=len(series), rows=written)
    return written


def filled(flows: Sequence[FlowRow], measure: str) -> tuple[list[int], date]:
    """Write an account's days without gaps, and say which day comes after them."""
    by_day = {each.day: each for each in flows}
    first, last = min(by_day), max(by_day)
    values = []
    for back in range((last - first).days + 1):
        row = by_day.get(first + timedelta(days=back))
        values.append(0 if row is None else getattr(row, measure))
    return values, last + timedelta(days=1)


def _forecasts(
    account: tuple[str, str], flows: Sequence[FlowRow], days: int
) -> list[dict[str, object]]:
    made = []
    for measure in MEASURES:
        values, following = filled(flows, measure)
        foreseen = forecasting.foresee(values, (*QUANTILES, _TO_HOLD), days=days)
        for each in foreseen.days:
            q50, q90, q975 = (each.quantiles[quantile] for quantile in QUANTILES)
            made.append(
                {
                    "bank_profile_id": account[0],
                    "currency": account[1],
                    "measure": measure,
                    "made_on": following,
                    "for_day": following + timedelta(days=each.horizon - 1),
                    "q50": q50,
                    "q90": q90,
                    "q975": q975,
                    # Nobody can hold less than nothing against what comes in.
                    "to_hold": max(0, each.quantiles[_TO_HOLD]),
                    "stands_on_days": foreseen.stands_on,
                    "weights": dict(foreseen.weights),
                }
            )
    return [msgspec.to_builtins(each) for each in made]


def _day(cells: Sequence[str]) -> Day:
    if len(cells) not in {_WITHOUT_PEAK, _WITH_PEAK}:
        raise ValueError("write a day, what left less what came, and if known the peak")
    day = date.fromisoformat(cells[0].strip())
    if not date(2000, 1, 1) <= day < date(2100, 1, 1):
        raise ValueError("the day is too far away")
    net = _minor(cells[1])
    told = len(cells) == _WITH_PEAK and cells[2].strip()
    peak = _minor(cells[2]) if told else max(net, 0)
    if peak < max(net, 0):
        raise ValueError("the peak is at least what left in the end")
    return Day(day, net, peak)


def _minor(cell: str) -> int:
    text = cell.strip()
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
        raise ValueError(f"{text[:30]!r} is no whole number of minor units")
    value = int(text)
    if abs(value) > MINOR_MAX:
        raise ValueError("the amount is too large")
    return value
