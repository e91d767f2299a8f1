"""Puts together what the controller decides by: one scope of one region, as it is now."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from molam.mesh.control import hysteresis, world_store
from molam.mesh.control.hysteresis import Limits, Place
from molam.mesh.control.judging import limits_of, surely_better
from molam.mesh.control.world import HEALTHY_BELOW, Bank, Shift, World
from molam.mesh.members import policies, queries, switches
from molam.mesh.members.model import MemberRow
from molam.mesh.members.policies import Policy
from molam.mesh.routing import outcomes, reach
from molam.mesh.runtime import Mesh
from molam.mesh.signals import queries as signals
from molam.mesh.signals.model import HealthRow
from molam.payments.banks import gates
from molam.payments.banks.gate_store import GateRow
from molam.platform.db import Tx
from molam.sira import health_filter
from molam.sira.health import confidence_of_move
from molam.sira.health_model import Calibration

_HOUR_S = 3600.0
_WORSE_BY = 0.03
"""What a shift must not cost its target: three points more failures."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What one decision is about."""

    region_id: str
    currency: str
    rail: str

    @property
    def columns(self) -> dict[str, str]:
        return {"region": self.region_id, "currency": self.currency, "rail": self.rail}

    @property
    def lane(self) -> dict[str, str]:
        return {"currency": self.currency, "rail": self.rail}


@dataclass(frozen=True, slots=True)
class _Seen:
    members: Sequence[MemberRow]
    health: dict[str, HealthRow]
    places: dict[str, world_store.PlaceRow]
    waiting: dict[str | None, int]
    first: frozenset[str]
    gates: dict[str, GateRow]
    stopped: frozenset[str]
    """Members by id, not by bank."""
    currency: str
    learnt: Calibration | None
    """How often SIRA's confidence in moves has been right."""


async def look(tx: Tx, mesh: Mesh, scope: Scope, *, writes: bool = True) -> tuple[World, Policy]:
    """Read everything that `judging.judge` needs, and write down where banks stand now."""
    policy = await policies.effective(tx, scope.region_id, mesh)
    return await look_at(tx, policy, scope, at=mesh.clock.now(), writes=writes), policy


async def look_at(
    tx: Tx, policy: Policy, scope: Scope, *, at: datetime, writes: bool = False
) -> World:
    """Read the same under a policy that is known already, writing nothing down unless asked."""
    members = await queries.eligible(tx, region_id=scope.region_id, **scope.lane)
    ids = [each.bank_profile_id for each in members]
    stopped = await switches.engaged(tx, scope.region_id, policy_id=policy.id)
    health = {
        row.bank_profile_id: row for row in await signals.health_of(tx, bank_ids=ids, **scope.lane)
    }
    places = {
        row.bank_profile_id: row
        for row in await tx.all(world_store.LIST_PLACES, banks=ids, **scope.lane)
    }
    at = next((row.read_at for row in places.values()), at)
    shut = {row.bank_profile_id: row for row in await gates.gates_of(tx, ids, **scope.lane)}
    # Whom another beats is no emergency.
    learnt = (await outcomes.tables_in_use(tx)).get("ordinary")
    rows = await tx.all(world_store.LIST_WAITING, **scope.columns, min_amount=0, max_amount=None)
    seen = _Seen(
        members,
        health,
        places,
        {row.bank_profile_id: row.value for row in rows},
        await _first(tx, scope, shut),
        shut,
        await _stopped(tx),
        scope.currency,
        None if learnt is None else learnt.calibration,
    )
    limits = limits_of(policy.rules)
    banks = _watched(seen, at, limits, policy)
    spares = await _spares(tx, scope, policy, at=at, limits=limits)
    if writes:
        await _write_places(tx, scope, banks)
    world = await _world(tx, scope, policy, banks=tuple(banks), at=at)
    return replace(world, spares=spares, stopped=None if stopped is None else stopped.scope)


async def _spares(
    tx: Tx, scope: Scope, policy: Policy, *, at: datetime, limits: Limits
) -> tuple[Bank, ...]:
    """
    List the banks of other regions that corridors lead to and that are open.

    They only stand in where no bank of ours can: who they are is for the proposal to say,
    and nothing else that is decided here is about them.
    """
    ways = await reach.ways_from(tx, scope.region_id, scope.currency)
    if not policy.rules.allowed_crossborder or not any(way.is_usable for way in ways.values()):
        return ()
    members = [
        each
        for each in await reach.eligible(tx, region_id=scope.region_id, ways=ways, **scope.lane)
        if each.region_id != scope.region_id
    ]
    ids = [each.bank_profile_id for each in members]
    health = await signals.health_of(tx, bank_ids=ids, **scope.lane)
    seen = _Seen(
        members=members,
        health={row.bank_profile_id: row for row in health},
        places={},
        waiting={},
        first=frozenset(),
        gates={row.bank_profile_id: row for row in await gates.gates_of(tx, ids, **scope.lane)},
        stopped=await _stopped(tx),
        currency=scope.currency,
        learnt=None,
    )
    return tuple(_bank(each, seen, at, limits) for each in members)


async def _stopped(tx: Tx) -> frozenset[str]:
    return frozenset(
        row.scope.removeprefix("member:")
        for row in await switches.listed(tx)
        if row.is_engaged and row.scope.startswith("member:")
    )


async def _first(tx: Tx, scope: Scope, shut: dict[str, GateRow]) -> frozenset[str]:
    """Name the banks that a payout made now would be given to, one for each range."""
    found = set()
    for route in await tx.all(world_store.LIST_ROUTES, **scope.lane):
        low = max(route.min_amount, 1)
        usable = (each for each in route.bank_profile_ids if each in shut)
        found.add(next((each for each in usable if not shut[each].is_shut(low, low)), ""))
    return frozenset(found - {""})


def _watched(seen: _Seen, at: datetime, limits: Limits, policy: Policy) -> list[Bank]:
    banks = [_bank(member, seen, at, limits) for member in seen.members]
    watched = []
    for bank in banks:
        row = seen.health.get(bank.id)
        # A bank whose heartbeats stopped is doubted, and left only for what payments say.
        is_silent = row is not None and row.silent_since is not None
        is_beaten = not is_silent and surely_better(bank, banks, policy.rules)
        strikes = bank.strikes + 1 if is_beaten else 0
        since = bank.degraded_since
        if bank.p_down < HEALTHY_BELOW:
            since = None
        elif since is None:
            since = at.timestamp()
        watched.append(replace(bank, strikes=min(strikes, 100), degraded_since=since))
    return watched


def _bank(member: MemberRow, seen: _Seen, at: datetime, limits: Limits) -> Bank:
    id_ = member.bank_profile_id
    row, place = seen.health.get(id_), seen.places.get(id_)
    known = Place() if row is None else _place(row, place)
    p_down = 0.0 if row is None else _p_down(row, at)
    belief = None if row is None else health_filter.advance(row.belief, at.timestamp())
    others = [other for key, other in seen.health.items() if key != id_]
    return Bank(
        id=id_,
        p_down=p_down,
        place=hysteresis.watched(known, p_down, at.timestamp(), limits),
        failure=0.01 if belief is None else health_filter.expected_failure(belief, _HOUR_S),
        baseline=0.01 if belief is None else health_filter.baseline(belief),
        prefer_order=member.prefer_order,
        probes_ok=0 if row is None else row.probes_ok_in_row,
        strikes=0 if row is None else row.strikes,
        degraded_since=_unix(None if place is None else place.degraded_since),
        domains=frozenset(member.failure_domains),
        is_open=_is_open(seen.gates.get(id_), known),
        is_first=id_ in seen.first,
        waiting=seen.waiting.get(id_, 0),
        capacity=member.capabilities.daily_limit(seen.currency) or 0,
        is_stopped=member.id in seen.stopped,
        left_by_hand=place is not None and place.left_by_hand,
        better={
            other.bank_profile_id: confidence_of_move(
                belief, health_filter.advance(other.belief, at.timestamp()), table=seen.learnt
            )
            for other in others
            if belief is not None
        },
    )


def _is_open(gate: GateRow | None, place: Place) -> bool:
    """
    Tell whether a bank serves at all.

    One that was left for what others carry is left, though it keeps what they do not;
    one that people led some amounts away from serves the others.
    """
    if gate is None:
        return True
    return gate.is_open or (place.mode == "serving" and not gate.is_whole)


def _p_down(row: HealthRow, at: datetime) -> float:
    """Return what is believed now: silence lets a belief return to what is usual."""
    heard = health_filter.p_down(health_filter.advance(row.belief, at.timestamp()))
    return max(heard, row.p_down) if row.is_announced_down else heard


def _place(row: HealthRow, place: world_store.PlaceRow | None) -> Place:
    return Place(
        mode="left" if row.mode == "left" else "serving",
        left_at=_unix(row.left_at),
        better_since=_unix(row.better_since),
        penalty=row.penalty,
        penalty_at=row.penalty_at.timestamp(),
        suppressed_since=_unix(None if place is None else place.suppressed_since),
    )


async def _write_places(tx: Tx, scope: Scope, banks: Sequence[Bank]) -> None:
    await tx.run(
        world_store.SET_PLACES,
        banks=[each.id for each in banks],
        degraded=[_instant(each.degraded_since) for each in banks],
        better=[_instant(each.place.better_since) for each in banks],
        suppressed=[_instant(each.place.suppressed_since) for each in banks],
        strikes=[each.strikes for each in banks],
        **scope.lane,
    )


async def _world(
    tx: Tx, scope: Scope, policy: Policy, *, banks: tuple[Bank, ...], at: datetime
) -> World:
    history = await tx.one(world_store.FIND_HISTORY, **scope.columns)
    assert history is not None
    recent = policy.rules.cooldown_minutes
    asked = await tx.all(world_store.LIST_ASKED, **scope.columns, recent_min=recent)
    return World(
        at=at.timestamp(),
        rules=policy.rules,
        banks=banks,
        may_act_alone=policy.may_act_alone,
        is_enforced=secrets.randbelow(100) < policy.rules.enforcing_pct,
        last_apply_at=_unix(history.last_apply_at),
        last_reorder_at=_unix(history.last_reorder_at),
        applies_last_hour=history.applies_last_hour,
        asked=frozenset(
            (each.from_bank_id if each.kind == "failover" else None, each.kind)
            for each in asked
            if each.waits_for_people
        ),
        shift=await _shift(tx, scope, banks),
    )


async def _shift(tx: Tx, scope: Scope, banks: Sequence[Bank]) -> Shift | None:
    row = await tx.one(world_store.FIND_SHIFT, **scope.columns)
    if row is None or row.to_bank_id is None:
        return None
    usual = next((each.baseline for each in banks if each.id == row.to_bank_id), 0.01)
    return Shift(
        proposal_id=row.proposal_id,
        from_bank_id=row.from_bank_id,
        to_bank_id=row.to_bank_id,
        share=row.share,
        is_due=row.is_due,
        outcomes=row.outcomes,
        failures=row.failures,
        log_ratio=log_ratio(row.outcomes, row.failures, usual),
    )


def log_ratio(outcomes: int, failures: int, usual: float) -> float:
    """Weigh that a bank fails three points more often than *usual* against that it does not."""
    usual = min(max(usual, 1e-4), 0.9)
    worse = min(usual + _WORSE_BY, 0.99)
    oks = max(outcomes - failures, 0)
    return failures * math.log(worse / usual) + oks * math.log((1 - worse) / (1 - usual))


def _unix(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _instant(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
