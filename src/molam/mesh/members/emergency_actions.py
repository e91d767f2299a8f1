"""Emergencies: keeping payouts away from one bank now, and stopping the whole mesh."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.approvals.model import Actor
from molam.kernel.refusals import Kind, Refusal
from molam.mesh.members import policy_store, queries, regions, switches, trail
from molam.mesh.members.trail import By
from molam.payments.banks import gates
from molam.payments.banks.gate_store import GateRow
from molam.payments.banks.queries import get_bank
from molam.platform.actions import (
    ActionType,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx
from molam.tenancy.freeze_actions import check_text

BREAK = "EMERGENCY_CIRCUIT_BREAK"
RESTORE = "RESTORE_CIRCUIT"
SHUTDOWN = "EMERGENCY_SHUTDOWN"

Id = Annotated[str, Meta(min_length=1, max_length=255)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]
Minutes = Annotated[int, Meta(ge=1, le=10_080)]
_LISTED_MAX = 50


# Note [Switches before gates]
#
# The controller looks at the switches before it takes a gate, and holds both until it is
# done. So whoever takes gates in an emergency takes the switches' lock first, alone: what
# the controller is just doing ends before, and neither can wait for the other in a circle.


@dataclass(frozen=True, slots=True)
class Done:
    """What a step did, and what the record says of it."""

    outcome: Outcome
    event: str
    data: Mapping[str, object]


Deed = Callable[[Tx, Execution[Any]], Awaitable[Done]]


class NothingToHold(Refusal):
    code = "bank-gates-unchanged"
    kind = Kind.CONFLICT
    title = "The bank's gates stand like that already"


class CircuitBreak(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Hold the gates of one bank shut: of one rail or currency, or of all.

    *minutes* None: until people let go. ``service`` is the specification's name for the bank.
    """

    bank_profile_id: Id
    rail: Id | None = None
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")] | None = None
    minutes: Minutes | None = None
    reason: Reason | None = None

    def __post_init__(self) -> None:
        if self.reason is not None:
            check_text("reason", self.reason)


class RestoreCircuit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank_profile_id: Id
    rail: Id | None = None
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")] | None = None
    reason: Reason | None = None


class EmergencyShutdown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Stop the controller everywhere or in one region, and let no payout go to its banks.

    *scope* is ``global`` or ``region:<id>``; with *hold_payouts* false only the controller
    stops, and payouts go on by the routes in force.
    """

    scope: Annotated[str, Meta(min_length=1, max_length=265)] = switches.GLOBAL
    hold_payouts: bool = True
    minutes: Minutes | None = None
    """How long payouts are held; None: until people let go. The switch stays until released."""
    reason: Reason = "Emergency shutdown"

    def __post_init__(self) -> None:
        check_text("reason", self.reason)
        if self.scope != switches.GLOBAL and not self.scope.startswith("region:"):
            raise ValueError("scope is global or region:<id>")


async def _complete_break(_tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    if "service" not in raw:
        return raw
    named = raw.get("bank_profile_id", raw["service"])
    if named != raw["service"]:
        raise ParamsRefused("service and bank_profile_id name two banks.")
    return {"bank_profile_id": named, **{key: raw[key] for key in raw if key != "service"}}


async def _complete_shutdown(tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    """Write a region that was given by its name by its id."""
    scope = raw.get("scope")
    if not isinstance(scope, str) or not scope.startswith("region:"):
        return raw
    return {**raw, "scope": await switches.canonical(tx, scope)}


async def _plan_break(tx: Tx, params: CircuitBreak) -> Plan:
    bank = await get_bank(tx, params.bank_profile_id)
    rows = await _gates(tx, params)
    shut = [row for row in rows if not row.is_held]
    if not shut:
        raise NothingToHold("None of these gates could be held that is not held already.")
    waiting = await queries.waiting_at(tx, [bank.id])
    return Plan(
        target_name=bank.name,
        changes=(
            *(Change("bank_gate", _open(row), "held") for row in shut[:_LISTED_MAX]),
            Change("held_for_minutes", None, params.minutes),
            Change("payouts_that_wait", 0, waiting),
        ),
        reversible=True,
        effects=("payouts_wait", "new_payouts_take_other_banks"),
        country=bank.country,
    )


async def _break(tx: Tx, execution: Execution[CircuitBreak]) -> Done:
    params = execution.params
    await tx.one(policy_store.LOCK_SWITCHES)
    rows = await _gates(tx, params)
    wanted = [gates.gate_of(row) for row in rows if not row.is_held]
    if not wanted:
        raise PreconditionChanged("The bank's gates are held already.")
    why = params.reason or "emergency circuit break"
    held = await gates.hold(tx, wanted, cause=why, hold_s=_seconds(params.minutes))
    written = [_written(each) for each in held]
    return Done(
        Outcome(
            {
                "circuit_broken": True,
                "service": params.bank_profile_id,
                "bank_profile_id": params.bank_profile_id,
                "gates": written,
            },
            tuple(Change("bank_gate", each, "held") for each in written[:_LISTED_MAX]),
        ),
        "bank.circuit_broken",
        {"bank": params.bank_profile_id, "gates": written},
    )


async def _plan_restore(tx: Tx, params: RestoreCircuit) -> Plan:
    bank = await get_bank(tx, params.bank_profile_id)
    held = [row for row in await _gates(tx, params) if row.is_held]
    if not held:
        raise NothingToHold("None of these gates is held.")
    return Plan(
        target_name=bank.name,
        changes=tuple(
            Change("bank_gate", "held", "left" if row.is_left else "open")
            for row in held[:_LISTED_MAX]
        ),
        reversible=True,
        effects=("payouts_go_again",),
        country=bank.country,
    )


async def _restore(tx: Tx, execution: Execution[RestoreCircuit]) -> Done:
    params = execution.params
    await tx.one(policy_store.LOCK_SWITCHES)
    wanted = [gates.gate_of(row) for row in await _gates(tx, params) if row.is_held]
    freed = await gates.let_go(tx, wanted, cause=params.reason or "restored")
    if not freed:
        raise PreconditionChanged("None of these gates is held any more.")
    written = [_written(each) for each in freed]
    return Done(
        Outcome({"restored": True, "bank_profile_id": params.bank_profile_id, "gates": written}),
        "bank.circuit_restored",
        {"bank": params.bank_profile_id, "gates": written},
    )


async def _plan_shutdown(tx: Tx, params: EmergencyShutdown) -> Plan:
    await switches.region_of(tx, params.scope)
    row = await switches.find(tx, params.scope)
    banks = await _banks(tx, params)
    was = "engaged" if row is not None and row.is_engaged else "released"
    waiting = await queries.waiting_at(tx, banks) if params.hold_payouts else 0
    return Plan(
        target_name=await switches.name_of(tx, params.scope),
        changes=(
            Change("mesh_switch", was, "engaged"),
            Change("banks_held", 0, len(banks) if params.hold_payouts else 0),
            Change("payouts_that_wait", 0, waiting),
            Change("held_for_minutes", None, params.minutes),
        ),
        reversible=True,
        effects=("controller_stops", "payouts_wait")
        if params.hold_payouts
        else ("controller_stops",),
    )


async def _shutdown(tx: Tx, execution: Execution[EmergencyShutdown]) -> Done:
    params = execution.params
    held: list[str] = []
    await tx.one(policy_store.LOCK_SWITCHES)
    if params.hold_payouts:
        rows = await gates.gates_of(tx, await _banks(tx, params))
        wanted = [gates.gate_of(row) for row in rows if not row.is_held]
        shut = await gates.hold(tx, wanted, cause=params.reason, hold_s=_seconds(params.minutes))
        held = [_written(each) for each in shut]
    await switches.turn(
        tx, params.scope, is_engaged=True, reason=params.reason, by=execution.executed_by
    )
    return Done(
        Outcome(
            {"shut_down": True, "scope": params.scope, "gates": held},
            (
                Change("mesh_switch", None, "engaged"),
                Change("gates_held", 0, len(held)),
            ),
        ),
        "mesh_switch.engaged",
        {"scope": params.scope, "reason": params.reason, "gates": held},
    )


async def _banks(tx: Tx, params: EmergencyShutdown) -> list[str]:
    if params.scope == switches.GLOBAL:
        return sorted({row.bank_profile_id for row in await gates.gates_of(tx)})
    region = await regions.get(tx, params.scope.partition(":")[2])
    members = await queries.members_of(tx, region=region.id, limit=queries.MEMBERS_MAX)
    return sorted({row.bank_profile_id for row in members if row.status == "active"})


async def _gates(tx: Tx, params: CircuitBreak | RestoreCircuit) -> list[GateRow]:
    return await gates.gates_of(
        tx, [params.bank_profile_id], rail=params.rail, currency=params.currency
    )


def _open(row: GateRow) -> str:
    state = "left" if row.is_left else "open"
    return f"{row.rail} {row.currency}: {state}"


def _written(gate: gates.Gate) -> str:
    return f"{gate.bank_profile_id} {gate.rail} {gate.currency}"


def _seconds(minutes: int | None) -> float | None:
    return None if minutes is None else minutes * 60.0


def by_of(execution: Execution[Any]) -> By:
    return By(Actor(execution.executed_by), execution.at, execution.action_id)


async def record(tx: Tx, done: Done, by: By) -> None:
    """Put what was done on the record, after the last lock of its transaction."""
    await trail.record(tx, None, done.event, done.data, by=by)


def _recorded(deed: Deed) -> Callable[[Tx, Execution[Any]], Awaitable[Outcome]]:
    async def apply(tx: Tx, execution: Execution[Any]) -> Outcome:
        done = await deed(tx, execution)
        await record(tx, done, by_of(execution))
        return done.outcome

    return apply


def _undo_break(
    params: CircuitBreak, _result: Mapping[str, object]
) -> tuple[str, dict[str, object]]:
    return RESTORE, {
        "bank_profile_id": params.bank_profile_id,
        "rail": params.rail,
        "currency": params.currency,
    }


def _break_title(params: CircuitBreak, locale: str) -> str:
    if locale == "fr":
        return f"Ne plus rien confier à la banque {params.bank_profile_id}"
    return f"Hand bank {params.bank_profile_id} nothing more"


def _restore_title(params: RestoreCircuit, locale: str) -> str:
    if locale == "fr":
        return f"Confier de nouveau des versements à la banque {params.bank_profile_id}"
    return f"Hand payouts to bank {params.bank_profile_id} again"


def _shutdown_title(params: EmergencyShutdown, locale: str) -> str:
    verb = "Arrêter le réseau" if locale == "fr" else "Shut the mesh down"
    return f"{verb}: {params.scope}"


ACTIONS = (
    ActionType(
        name=BREAK,
        params=CircuitBreak,
        risk="high",
        title=_break_title,
        target=lambda params: Target("bank", params.bank_profile_id),
        complete=_complete_break,
        plan=_plan_break,
        apply=_recorded(_break),
        compensate=_undo_break,
    ),
    ActionType(
        name=RESTORE,
        params=RestoreCircuit,
        risk="high",
        title=_restore_title,
        target=lambda params: Target("bank", params.bank_profile_id),
        plan=_plan_restore,
        apply=_recorded(_restore),
    ),
    ActionType(
        name=SHUTDOWN,
        params=EmergencyShutdown,
        risk="critical",
        title=_shutdown_title,
        target=lambda params: Target("mesh_switch", params.scope),
        complete=_complete_shutdown,
        plan=_plan_shutdown,
        apply=_recorded(_shutdown),
    ),
)

DEEDS: Mapping[str, Deed] = MappingProxyType(
    {BREAK: _break, RESTORE: _restore, SHUTDOWN: _shutdown}
)
"""What each does, for whoever does several at once and records them together."""
