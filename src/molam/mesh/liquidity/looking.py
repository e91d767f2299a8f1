"""What a plan is made from: positions, forecasts, ways between accounts, and pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

import msgspec

from molam.kernel.currency import CURRENCIES
from molam.ledger import queries as ledger
from molam.ledger.model import Rates
from molam.mesh.liquidity import flow_store, plan_store, pool_store, pools, queries
from molam.mesh.liquidity.flow_store import ForecastRow
from molam.mesh.liquidity.model import FAIR_USE
from molam.mesh.liquidity.plan_store import ArcRow, ComingRow
from molam.mesh.liquidity.pool_store import PoolRow
from molam.mesh.liquidity.problem import Account, Arc, Pool, Problem
from molam.mesh.liquidity.queries import Position
from molam.platform.db import Tx

HOME_BPS, ABROAD_BPS, EXCHANGE_BPS = 2.0, 10.0, 50.0
"""What a transfer costs within a country, across a border, and into another currency."""
ABROAD_LAG, EXCHANGE_LAG = 1, 1
_NUMERAIRE = "EUR"


@dataclass(frozen=True, slots=True)
class Known:
    """All that a plan is made from, as one transaction saw it."""

    first_day: date
    positions: list[Position]
    forecasts: list[ForecastRow]
    arcs: list[ArcRow]
    coming: list[ComingRow]
    pools: list[tuple[PoolRow, Mapping[str, int]]]
    rates: Rates
    allows_crossborder: bool = True


async def look(tx: Tx, region_id: str | None) -> Known:
    """Read everything a plan needs, in the caller's one snapshot."""
    positions = await queries.positions_in(tx, region=region_id)
    first = min((each.row.as_of.date() for each in positions), default=date.min)
    crossborder = True
    if region_id is not None:
        found = await tx.one(plan_store.FIND_REGION, region=region_id)
        crossborder = found is None or found.allowed_crossborder
    rows = await tx.all(pool_store.LIST_POOLS, region=region_id, limit=100)
    return Known(
        first_day=first,
        positions=positions,
        forecasts=await tx.all(
            flow_store.LIST_FORECASTS,
            bank_profile_id=None,
            currency=None,
            measure=None,
            days=15,
            limit=queries.FORECASTS_MAX,
        ),
        arcs=await tx.all(plan_store.LIST_ARCS),
        coming=await tx.all(plan_store.LIST_COMING),
        pools=[(row, await _rooms(tx, row.id)) for row in rows if row.total_available],
        rates=await ledger.rates_in(tx, first if positions else date(2000, 1, 1)),
        allows_crossborder=crossborder,
    )


def problem_of(known: Known, days: int) -> Problem:
    """
    Write what is known as a question for the solver.

    Demand is each day's median. What goes beyond it, up to the quantile to hold or the
    day's own peak, must lie there on top of the floor: so much is kept once, and not anew
    for every day of the plan.
    """
    accounts = [_account(known, each, days) for each in known.positions]
    places = {(each.bank, each.currency): at for at, each in enumerate(accounts)}
    arcs = _arcs(known, places, days)
    return Problem(days, accounts, arcs, _pools(known, places))


def _account(known: Known, position: Position, days: int) -> Account:
    row = position.row
    mine = (row.bank_profile_id, row.currency)
    net: dict[date, ForecastRow] = {}
    peak: dict[date, ForecastRow] = {}
    for each in known.forecasts:
        if (each.bank_profile_id, each.currency) == mine:
            (net if each.measure == "net_outflow" else peak)[each.for_day] = each
    demand, needed = [], []
    for ahead in range(days):
        day = known.first_day + timedelta(days=ahead)
        median = net[day].q50 if day in net else 0
        # What waits to be sent is no guess.
        expected = max(median, row.waiting) if ahead == 0 else median
        reach = reach_of(net.get(day), peak.get(day))
        demand.append(expected)
        needed.append(row.minimum_float + max(0, reach - expected))
    if not net and not peak and not row.minimum_float:
        # Nobody has said what it needs, so nothing there is known to be spare.
        needed = [max(0, position.available - row.waiting)] * days
    return Account(
        bank=row.bank_profile_id,
        currency=row.currency,
        balance=position.available,
        demand=demand,
        coming=_coming(known, mine, days),
        needed=needed,
        worth=_worth(known.rates, row.currency),
    )


def reach_of(net: ForecastRow | None, peak: ForecastRow | None) -> int:
    """Say how much a day may take: by its end, or at its worst moment."""
    return max([each.to_hold for each in (net, peak) if each is not None], default=0)


def _coming(known: Known, account: tuple[str, str], days: int) -> list[int]:
    """Sum what is on its way by day; what is late is expected today."""
    found = [0] * days
    for row in known.coming:
        ahead = max(0, (row.day - known.first_day).days)
        if (row.bank_profile_id, row.currency) == account and ahead < days:
            found[ahead] += row.amount
    return found


def _worth(rates: Rates, code: str) -> float:
    """Value a minor unit in one currency; where no rate is known, by the size of its unit."""
    unit = CURRENCIES[code]
    rate = rates.find(code, _NUMERAIRE)
    value = Fraction(1) if rate is None else rate.value
    return float(value / Fraction(10) ** unit.exponent)


def _arcs(known: Known, places: Mapping[tuple[str, str], int], days: int) -> list[Arc]:
    overrides = {
        ((row.from_bank_id, row.from_currency), (row.to_bank_id, row.to_currency)): row
        for row in known.arcs
    }
    rows = {(each.row.bank_profile_id, each.row.currency): each for each in known.positions}
    found = []
    for source, at in places.items():
        for target, to in places.items():
            if at == to:
                continue
            way = _way(known, rows[source], rows[target], overrides.get((source, target)))
            if way is not None and way.lag < days:
                found.append(msgspec.structs.replace(way, source=at, target=to))
    return found


def _way(known: Known, source: Position, target: Position, row: ArcRow | None) -> Arc | None:
    """Describe the way between two accounts; None where there is none."""
    one, other = source.row, target.row
    abroad = one.country != other.country
    exchanges = one.currency != other.currency
    if row is None and exchanges and one.bank_profile_id != other.bank_profile_id:
        return None  # A bank exchanges between our own two accounts there.
    if (row is not None and not row.is_open) or (abroad and not known.allows_crossborder):
        return None
    if not (one.is_usable and other.is_usable):
        return None
    rate = _rate(known.rates, one.currency, other.currency)
    if rate is None:
        return None
    cost = EXCHANGE_BPS if exchanges else ABROAD_BPS if abroad else HOME_BPS
    lag = EXCHANGE_LAG if exchanges else ABROAD_LAG if abroad else 0
    if row is not None:
        cost, lag = float(row.cost_bps), row.lag_days
    return Arc(
        source=0,
        target=0,
        cost_bps=cost,
        lag=lag,
        fixed=0 if row is None else row.fixed_cost,
        limit=None if row is None else row.amount_max,
        opens=1 if source.is_cut_off_past else 0,
        rate=rate,
    )


def _rate(rates: Rates, source: str, target: str) -> tuple[int, int] | None:
    """Return minor units for a minor unit; None where only a guess is known, or nothing."""
    if source == target:
        return (1, 1)
    rate = rates.find(source, target)
    if rate is None or rate.indicative:
        return None
    exact = rate.value * Fraction(10) ** (CURRENCIES[target].exponent - CURRENCIES[source].exponent)
    return exact.numerator, exact.denominator


async def _rooms(tx: Tx, pool_id: str) -> dict[str, int]:
    rows = await tx.all(pool_store.LIST_SHARES, pool_id=pool_id)
    shares = {row.bank_profile_id: pools.share_of(row) for row in rows}
    return {
        bank: max(0, FAIR_USE * share.contributed - share.owed) for bank, share in shares.items()
    }


def _pools(known: Known, places: Mapping[tuple[str, str], int]) -> list[Pool]:
    found = []
    for row, rooms in known.pools:
        mine = {
            places[bank, row.currency]: room
            for bank, room in rooms.items()
            if room and (bank, row.currency) in places and bank in row.participants
        }
        found.append(
            Pool(
                id=row.id,
                free=row.total_available - row.reserved,
                rooms=mine,
                max_single_draw=row.max_single_draw,
                daily_limit=row.daily_draw_limit,
            )
        )
    return [each for each in found if each.rooms and each.free > 0]
