"""Executing a plan: today's moves of money between banks, or several emergency steps at once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.kernel.digests import digest
from molam.kernel.refusals import Refusal
from molam.mesh.control import override_actions
from molam.mesh.liquidity import plans
from molam.mesh.members import emergency_actions, policy_store
from molam.mesh.members.emergency_actions import Done
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    PreconditionChanged,
    Target,
    as_json,
)
from molam.platform.db import Tx

EXECUTE = "EXECUTE_PLAN"

Id = Annotated[str, Meta(min_length=1, max_length=255)]
_STEPS_MAX = 20

# Only what works in this database alone, so that all steps happen or none.
_KNOWN: Mapping[str, ActionType[Any]] = MappingProxyType(
    {each.name: each for each in (*emergency_actions.ACTIONS, *override_actions.ACTIONS)}
)


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step: an action type and its params, as if it were asked for alone."""

    action_type: Id
    params: dict[str, Any]


class ExecutePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either *plan_id*, a rebalancing plan, or *steps*, which are carried out in their order."""

    plan_id: Id | None = None
    steps: Annotated[tuple[Step, ...], Meta(max_length=_STEPS_MAX)] = ()
    reason: Annotated[str, Meta(min_length=1, max_length=500)] | None = None

    def __post_init__(self) -> None:
        if (self.plan_id is None) == (not self.steps):
            raise ValueError("give either plan_id or steps")


async def _complete(tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    """Complete each step as its own type completes it."""
    steps = raw.get("steps")
    if not isinstance(steps, list) or not all(isinstance(each, dict) for each in steps):
        return raw
    completed = []
    for step in steps:
        type_ = _type(str(step.get("action_type")))
        params = step.get("params")
        if isinstance(params, dict) and type_.complete is not None:
            params = await type_.complete(tx, params)
        completed.append({**step, "params": params})
    return {**raw, "steps": completed}


async def _plan(tx: Tx, params: ExecutePlan) -> Plan:
    if params.plan_id is not None:
        return await _plan_money(tx, params.plan_id)
    found = [(step, await _rehearsed(tx, step)) for step in params.steps]
    return Plan(
        target_name=" + ".join(plan.target_name for _, plan in found)[:200],
        changes=tuple(change for _, plan in found for change in plan.changes),
        reversible=all(plan.reversible for _, plan in found),
        effects=tuple(dict.fromkeys(effect for _, plan in found for effect in plan.effects)),
    )


async def _plan_money(tx: Tx, plan_id: str) -> Plan:
    found = await plans.summary(tx, plan_id)
    largest = found.largest
    return Plan(
        target_name=f"{plan_id}",
        changes=(
            Change("transfers", None, len(found.steps)),
            *(
                Change("moved_between_banks", None, {"currency": currency, "minor": amount})
                for currency, amount in sorted(found.moves.items())
            ),
        ),
        reversible=False,
        expect={"steps": _digest(found.steps)},
        effects=("money_moves_between_our_accounts",),
        amount=None if largest is None else Amount(*largest),
    )


async def _apply(tx: Tx, execution: Execution[ExecutePlan]) -> Outcome:
    params = execution.params
    if params.plan_id is not None:
        return await _carry_out_money(tx, execution, params.plan_id)
    results: list[object] = []
    changes: list[Change] = []
    # Gates are taken by several steps, and all of them after the switches.
    await tx.one(policy_store.LOCK_SWITCHES)
    to_record: list[Done] = []
    for number, step in enumerate(params.steps):
        type_ = _type(step.action_type)
        inner = Execution(
            action_id=execution.action_id,
            key=f"{execution.key}/{number}",
            params=_params(type_, step),
            expect={},
            executed_by=execution.executed_by,
            at=execution.at,
        )
        outcome = await _step(tx, step.action_type, inner, to_record)
        results.append({"action_type": step.action_type, **outcome.result})
        changes.extend(outcome.changes)
    for done in to_record:
        await emergency_actions.record(tx, done, emergency_actions.by_of(execution))
    return Outcome({"executed": True, "steps": results}, tuple(changes))


async def _step(tx: Tx, name: str, execution: Execution[Any], to_record: list[Done]) -> Outcome:
    deed = emergency_actions.DEEDS.get(name)
    if deed is None:
        assert name == override_actions.OVERRIDE
        return await override_actions.let_override(tx, execution)
    done = await deed(tx, execution)
    to_record.append(done)
    return done.outcome


async def _carry_out_money(tx: Tx, execution: Execution[ExecutePlan], plan_id: str) -> Outcome:
    found = await plans.summary(tx, plan_id)
    if _digest(found.steps) != execution.expect.get("steps"):
        raise PreconditionChanged("The plan's steps are not those that were agreed to.")
    try:
        done = await plans.execute(tx, plan_id, by=execution.executed_by, at=execution.at)
    except Refusal as refusal:
        raise PreconditionChanged(refusal.detail) from refusal
    return Outcome(
        {
            "executed": True,
            "plan_id": plan_id,
            "transfers": done.transfer_ids,
            "draws": done.draw_ids,
        },
        (Change("plan", "waiting", "executed"),),
    )


async def _ended(tx: Tx, params: ExecutePlan, _state: str) -> None:
    if params.plan_id is not None:
        await plans.release(tx, params.plan_id)


async def _rehearsed(tx: Tx, step: Step) -> Plan:
    type_ = _type(step.action_type)
    found: Plan = await type_.plan(tx, _params(type_, step))
    return found


def _type(name: str) -> ActionType[Any]:
    found = _KNOWN.get(name)
    if found is None:
        raise ParamsRefused(f"A step of a plan is one of {', '.join(sorted(_KNOWN))}.")
    return found


def _params(type_: ActionType[Any], step: Step) -> msgspec.Struct:
    try:
        params = msgspec.convert(step.params, type_.params)
    except msgspec.ValidationError as error:
        raise ParamsRefused(f"{step.action_type}: {error}.") from None
    assert isinstance(params, msgspec.Struct)
    return params


def _digest(steps: object) -> str:
    return digest("molam.plan_steps/1", msgspec.json.decode(msgspec.json.encode(steps))).hex()


def _target(params: ExecutePlan) -> Target:
    if params.plan_id is not None:
        return Target("mesh_plan", params.plan_id)
    steps = [as_json(each) for each in params.steps]
    return Target("mesh_plan", f"steps-{_digest(steps)[:16]}")


def _title(params: ExecutePlan, locale: str) -> str:
    if params.plan_id is not None:
        return "Exécuter un plan de trésorerie" if locale == "fr" else "Carry out a treasury plan"
    names = ", ".join(each.action_type for each in params.steps)
    verb = "Exécuter à la fois" if locale == "fr" else "Execute together"
    return f"{verb}: {names}"


ACTIONS = (
    ActionType(
        name=EXECUTE,
        params=ExecutePlan,
        risk="critical",
        moves_money=True,
        title=_title,
        target=_target,
        complete=_complete,
        plan=_plan,
        apply=_apply,
        ended=_ended,
    ),
)
