"""Questions about pools, positions, forecasts and plans."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from molam.kernel.clock import Instant
from molam.mesh.liquidity import flow_store, plan_store, pool_store, position_store
from molam.mesh.liquidity.flow_store import FlowRow, ForecastRow
from molam.mesh.liquidity.plan_store import PlanRow, StepRow, TransferRow
from molam.mesh.liquidity.pool_store import BankRow, MovementRow, PoolRow, ShareRow
from molam.mesh.liquidity.position_store import PositionRow
from molam.platform.db import Database, Tx

MOVEMENTS_MAX = 100
FORECASTS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Position:
    """Our money at one bank in one currency, in minor units."""

    row: PositionRow
    available: int
    """What could be sent now: without what is in flight."""
    after_waiting: int
    """What would be left once everything that waits has been sent."""
    cut_off_at: Instant | None
    """Today's, by the bank's clock; None where orders are taken at any hour."""
    is_cut_off_past: bool

    @property
    def above_floor(self) -> int:
        return self.after_waiting - self.row.minimum_float

    @property
    def limit_used(self) -> Decimal | None:
        """The share of the daily limit that today's sending has used."""
        if not self.row.daily_limit:
            return None
        return Decimal(self.row.sent_today) / self.row.daily_limit


async def positions(db: Database, *, region: str | None = None) -> list[Position]:
    """List what we have at each bank in each currency, as of now."""
    return [position_of(row) for row in await db.read(position_store.LIST_POSITIONS, region=region)]


async def positions_in(tx: Tx, *, region: str | None = None) -> list[Position]:
    """Do what `positions` does, as part of the caller's transaction."""
    rows = await tx.all(position_store.LIST_POSITIONS, region=region)
    return [position_of(row) for row in rows]


async def dual_prices(tx: Tx, currency: str) -> dict[str, Decimal]:
    """
    Say what one more unit at each bank would be worth, as a share of it: 0.02 is 200 bp.

    Banks that no plan of the last day and a half has priced are left out.
    """
    rows = await tx.all(position_store.LIST_DUALS, currency=currency)
    return {row.bank_profile_id: row.price for row in rows}


async def pools(db: Database, *, region: str | None = None, limit: int = 100) -> list[PoolRow]:
    return await db.read(pool_store.LIST_POOLS, region=region, limit=limit)


async def shares(db: Database, pool_id: str) -> list[ShareRow]:
    return await db.read(pool_store.LIST_SHARES, pool_id=pool_id)


async def movements(db: Database, pool_id: str, *, limit: int = 50) -> list[MovementRow]:
    """List what moved in and out of a pool, newest first."""
    return await db.read(pool_store.LIST_MOVEMENTS, pool_id=pool_id, limit=limit)


async def banks(db: Database) -> list[BankRow]:
    return await db.read(pool_store.LIST_ALL_BANKS)


async def forecasts(
    db: Database,
    *,
    bank_profile_id: str | None = None,
    currency: str | None = None,
    measure: str | None = None,
    days: int = 14,
) -> list[ForecastRow]:
    """List the newest forecast of each day to come, by bank and currency."""
    return await db.read(
        flow_store.LIST_FORECASTS,
        bank_profile_id=bank_profile_id,
        currency=currency,
        measure=measure,
        days=days,
        limit=FORECASTS_MAX,
    )


async def flows(db: Database, bank_profile_id: str, currency: str, *, days: int) -> list[FlowRow]:
    """List what each of the last days took from an account, oldest first."""
    return await db.read(
        flow_store.LIST_FLOWS, bank_profile_id=bank_profile_id, currency=currency, days=days
    )


async def plans(db: Database, *, limit: int = 20) -> list[PlanRow]:
    """List plans, newest first."""
    return await db.read(plan_store.LIST_PLANS, limit=limit)


async def newest_plan(db: Database) -> PlanRow | None:
    rows = await plans(db, limit=1)
    return rows[0] if rows else None


async def steps(db: Database, plan_id: str) -> list[StepRow]:
    return await db.read(plan_store.LIST_STEPS, plan_id=plan_id)


async def transfers(db: Database, *, limit: int = 50) -> list[TransferRow]:
    """List transfers between banks, those on their way first."""
    return await db.read(plan_store.LIST_TRANSFERS, limit=limit)


def position_of(row: PositionRow) -> Position:
    """Work out what follows from what is stored."""
    at = cut_off_at(row.cut_off, row.timezone, row.as_of)
    available = row.balance - row.in_flight
    return Position(
        row,
        available=available,
        after_waiting=available - row.waiting,
        cut_off_at=at,
        is_cut_off_past=at is not None and at <= row.as_of,
    )


def cut_off_at(cut_off: str | None, timezone: str, now: Instant) -> Instant | None:
    """Return the moment of a bank's cut-off on its own today."""
    if cut_off is None:
        return None
    zone = ZoneInfo(timezone)
    return datetime.combine(now.astimezone(zone).date(), time.fromisoformat(cut_off), tzinfo=zone)


def next_cut_off(position: Position) -> Instant | None:
    """Return the cut-off that orders given now would make: today's, or tomorrow's."""
    at = position.cut_off_at
    if at is None or not position.is_cut_off_past:
        return at
    return at + timedelta(days=1)
