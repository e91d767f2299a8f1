"""Pools, positions, forecasts and plans as the API shows them; amounts in minor units."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import msgspec

from molam.mesh.liquidity import pools
from molam.mesh.liquidity.flow_store import ForecastRow
from molam.mesh.liquidity.plan_store import PlanRow, StepRow, TransferRow
from molam.mesh.liquidity.pool_store import MovementRow, PoolRow, ShareRow
from molam.mesh.liquidity.queries import Position
from molam.mesh.liquidity.reasons import why


class PoolView(msgspec.Struct):
    id: str
    mesh_region_id: str
    region: str
    name: str
    currency: str
    participant_bank_profiles: list[str]
    total_available: int
    reserved: int
    available: int
    max_single_draw: int | None
    daily_draw_limit: int | None
    drawn_today: int
    auto_rebalance_enabled: bool
    rebalance_threshold_pct: int
    created_at: datetime
    updated_at: datetime


class ShareView(msgspec.Struct):
    """*net_contribution* above zero: the bank has given more than it uses."""

    bank_profile_id: str
    bank_name: str
    contributed: int
    owed: int
    net_contribution: int


class MovementView(msgspec.Struct):
    id: str
    pool_id: str
    bank_profile_id: str
    bank_name: str
    kind: str
    amount: int
    currency: str
    reason: str
    status: str
    returned: int
    draw_id: str | None
    ops_action_id: str | None
    created_by: str
    created_at: datetime
    booked_at: datetime | None


class PoolsAnswer(msgspec.Struct):
    ok: bool
    pools: list[PoolView]


class PoolAnswer(msgspec.Struct):
    ok: bool
    pool: PoolView
    shares: list[ShareView]


class MovementsAnswer(msgspec.Struct):
    ok: bool
    movements: list[MovementView]


class MovementAnswer(msgspec.Struct):
    ok: bool
    movement: MovementView
    pool: PoolView


class PositionView(msgspec.Struct):
    bank_profile_id: str
    bank_name: str
    country: str
    currency: str
    is_usable: bool
    balance: int
    in_flight: int
    waiting: int
    arriving: int
    available: int
    after_waiting: int
    minimum_float: int
    in_today: int
    out_today: int
    sent_today: int
    daily_limit: int | None
    cut_off_at: datetime | None
    is_cut_off_past: bool
    timezone: str
    as_of: datetime


class PositionsAnswer(msgspec.Struct):
    ok: bool
    positions: list[PositionView]


class ForecastView(msgspec.Struct):
    bank_profile_id: str
    bank_name: str
    currency: str
    measure: str
    day: date
    made_on: date
    q50: int
    q90: int
    q975: int
    to_hold: int
    stands_on_days: int


class ForecastsAnswer(msgspec.Struct):
    ok: bool
    forecasts: list[ForecastView]


class MadeAnswer(msgspec.Struct):
    ok: bool
    days: int


class StepView(msgspec.Struct):
    step: int
    day: date
    kind: str
    from_bank_id: str | None
    pool_id: str | None
    to_bank_id: str
    amount: int
    currency: str
    arrives: int
    to_currency: str
    arrives_on: date
    cost: int
    why: str


class PlanView(msgspec.Struct):
    id: str
    mesh_region_id: str | None
    first_day: date
    days: int
    status: str
    steps: int
    cost_bps: str
    shortages: list[dict[str, Any]]
    notes: list[str]
    took_ms: int
    ops_action_id: str | None
    created_by: str
    created_at: datetime
    executed_at: datetime | None


class PlansAnswer(msgspec.Struct):
    ok: bool
    plans: list[PlanView]


class PlanAnswer(msgspec.Struct):
    ok: bool
    plan: PlanView
    steps: list[StepView]
    effects: list[dict[str, Any]]


class AskedAnswer(msgspec.Struct):
    """The plan waits for approval under this action."""

    ok: bool
    plan_id: str
    ops_action_id: str
    status: str


class TransferView(msgspec.Struct):
    id: str
    reference: str
    plan_id: str | None
    from_bank_id: str
    to_bank_id: str
    amount: int
    currency: str
    arrives: int
    to_currency: str
    expected_on: date
    status: str
    sent_at: datetime
    received_at: datetime | None


class TransfersAnswer(msgspec.Struct):
    ok: bool
    transfers: list[TransferView]


class TransferAnswer(msgspec.Struct):
    ok: bool
    transfer: TransferView


def pool(row: PoolRow) -> PoolView:
    return PoolView(
        id=row.id,
        mesh_region_id=row.mesh_region_id,
        region=row.region,
        name=row.name,
        currency=row.currency,
        participant_bank_profiles=row.participants,
        total_available=row.total_available,
        reserved=row.reserved,
        available=row.total_available - row.reserved,
        max_single_draw=row.max_single_draw,
        daily_draw_limit=row.daily_draw_limit,
        drawn_today=row.drawn_today,
        auto_rebalance_enabled=row.auto_rebalance_enabled,
        rebalance_threshold_pct=row.rebalance_threshold_pct,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def share(row: ShareRow) -> ShareView:
    found = pools.share_of(row)
    return ShareView(row.bank_profile_id, row.bank, found.contributed, found.owed, found.net)


def movement(row: MovementRow) -> MovementView:
    return MovementView(
        id=row.id,
        pool_id=row.pool_id,
        bank_profile_id=row.bank_profile_id,
        bank_name=row.bank,
        kind=row.kind,
        amount=row.amount,
        currency=row.currency,
        reason=row.reason,
        status="pending_approval" if row.state == "waiting" else row.state,
        returned=row.returned,
        draw_id=row.draw_id,
        ops_action_id=row.ops_action_id,
        created_by=row.created_by,
        created_at=row.created_at,
        booked_at=row.booked_at,
    )


def position(found: Position) -> PositionView:
    row = found.row
    return PositionView(
        bank_profile_id=row.bank_profile_id,
        bank_name=row.bank,
        country=row.country,
        currency=row.currency,
        is_usable=row.is_usable,
        balance=row.balance,
        in_flight=row.in_flight,
        waiting=row.waiting,
        arriving=row.arriving,
        available=found.available,
        after_waiting=found.after_waiting,
        minimum_float=row.minimum_float,
        in_today=row.in_today,
        out_today=row.out_today,
        sent_today=row.sent_today,
        daily_limit=row.daily_limit,
        cut_off_at=found.cut_off_at,
        is_cut_off_past=found.is_cut_off_past,
        timezone=row.timezone,
        as_of=row.as_of,
    )


def forecast(row: ForecastRow) -> ForecastView:
    return ForecastView(
        bank_profile_id=row.bank_profile_id,
        bank_name=row.bank,
        currency=row.currency,
        measure=row.measure,
        day=row.for_day,
        made_on=row.made_on,
        q50=row.q50,
        q90=row.q90,
        q975=row.q975,
        to_hold=row.to_hold,
        stands_on_days=row.stands_on_days,
    )


def plan(row: PlanRow) -> PlanView:
    return PlanView(
        id=row.id,
        mesh_region_id=row.mesh_region_id,
        first_day=row.first_day,
        days=row.days,
        status=row.state,
        steps=row.steps,
        cost_bps=str(row.cost_bps),
        shortages=row.shortages,
        notes=row.notes,
        took_ms=row.took_ms,
        ops_action_id=row.ops_action_id,
        created_by=row.created_by,
        created_at=row.created_at,
        executed_at=row.executed_at,
    )


def steps(rows: Iterable[StepRow]) -> list[StepView]:
    return [
        StepView(
            step=row.step_no,
            day=row.day,
            kind=row.kind,
            from_bank_id=row.from_bank_id,
            pool_id=row.pool_id,
            to_bank_id=row.to_bank_id,
            amount=row.amount,
            currency=row.currency,
            arrives=row.arrives,
            to_currency=row.to_currency,
            arrives_on=row.arrives_on,
            cost=row.cost,
            why=why(row, "en"),
        )
        for row in rows
    ]


def transfer(row: TransferRow) -> TransferView:
    return TransferView(
        id=row.id,
        reference=row.reference,
        plan_id=row.plan_id,
        from_bank_id=row.from_bank_id,
        to_bank_id=row.to_bank_id,
        amount=row.amount,
        currency=row.currency,
        arrives=row.arrives,
        to_currency=row.to_currency,
        expected_on=row.expected_on,
        status=row.state,
        sent_at=row.sent_at,
        received_at=row.received_at,
    )
