"""Doing the same to many targets at once, once enough people agree."""

from __future__ import annotations

from uuid import UUID

from molam.alerts.remediation import group_store
from molam.alerts.remediation.group_model import (
    REMEDIATE_GROUP,
    TYPES,
    Member,
    RemediateGroup,
)
from molam.alerts.remediation.group_store import ResultRow
from molam.approvals import attempt_store
from molam.approvals.intents import read_params
from molam.approvals.policy.criteria_words import TYPES as TYPE_WORDS
from molam.kernel.refusals import Refusal
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    Plan,
    Target,
    TransientFailure,
)
from molam.platform.db import Database, Tx

# Note [Each target once]
#
# A group is carried out target by target, each in a transaction of its own: the row that
# says that a target had its turn is written first, and with the effect or not at all. So
# a worker that dies in between leaves some done and some not, and the next attempt does
# the rest; two attempts at once wait for each other at that row. Whoever's alert is over
# by then, or who was acted on otherwise, is left out, and the result says why.


async def _plan(tx: Tx, params: RemediateGroup) -> Plan:
    plans = {each.alert_id: await plan_of(tx, params, each) for each in params.members}
    amount = _total(list(plans.values()))
    return Plan(
        target_name=params.target_id,
        changes=(
            Change("remedied_targets", 0, len(params.members)),
            *(
                Change("remedied_target", _named(each, plans[each.alert_id]), _said(each))
                for each in params.members
            ),
        ),
        reversible=all(plan.reversible for plan in plans.values()),
        expect={"members": {id_: dict(plan.expect) for id_, plan in plans.items()}},
        effects=("each_target_by_itself", "targets_that_are_over_are_left_out"),
        amount=amount,
        beneficiaries=tuple(
            sorted({plan.beneficiary for plan in plans.values() if plan.beneficiary is not None})
        ),
    )


async def plan_of(tx: Tx, params: RemediateGroup, member: Member) -> Plan:
    """
    Rehearse what is done to one of them.

    Raises:
        Refusal: it cannot be done.
    """
    type_ = TYPES.find(params.action_type)
    return await type_.plan(tx, read_params(type_, member.params))


def _total(plans: list[Plan]) -> Amount | None:
    """Add up what moves; of several currencies there is no sum."""
    amounts = [plan.amount for plan in plans if plan.amount is not None]
    if not amounts or len({each.currency for each in amounts}) > 1:
        return None
    return Amount(amounts[0].currency, sum(each.minor for each in amounts))


def _named(member: Member, plan: Plan) -> str:
    if plan.target_name == member.target_id:
        return member.target_id
    return f"{plan.target_name} ({member.target_id})"


def _said(member: Member) -> object:
    """Say what is done to one target, beside who it is and why."""
    if isinstance(member.params.get("amount"), dict):
        return member.params["amount"]
    for name in ("duration", "minutes"):
        if member.params.get(name) is not None:
            return f"{member.params[name]} min" if name == "minutes" else member.params[name]
    return None


async def _carry_out(db: Database, execution: Execution[RemediateGroup]) -> Outcome:
    params, id_ = execution.params, UUID(execution.action_id)
    frozen = await db.read(attempt_store.FIND_FREEZE, action_type=params.action_type)
    if frozen:
        raise TransientFailure(f"Execution of {params.action_type} is frozen.")
    for member in sorted(params.members, key=lambda each: each.target_id):
        async with db.transaction("remediation.group_member") as tx:
            await _one(tx, execution, member)
    found = {each.alert_id: each for each in await db.read(group_store.LIST_RESULTS, action_id=id_)}
    results = [(each, found[UUID(each.alert_id)]) for each in params.members]
    done = sum(result.is_done for _, result in results)
    return Outcome(
        {
            "remediated": done,
            "left_out": len(results) - done,
            "targets": [
                {
                    "alert_id": member.alert_id,
                    "target_type": member.target_type,
                    "target_id": member.target_id,
                    "done": result.is_done,
                    **result.said,
                }
                for member, result in results
            ],
        },
        tuple(
            Change("remedied_target", member.target_id, _became(result))
            for member, result in results
        ),
    )


def _became(result: ResultRow) -> str:
    """Say in a word, which the console translates, what became of one target."""
    if result.is_done:
        return "remedied"
    reason = result.said.get("reason")
    return f"left_out_{reason}" if reason in {"over", "acted_on"} else "left_out"


async def _one(tx: Tx, execution: Execution[RemediateGroup], member: Member) -> None:
    """Do it to one target, unless it had its turn; with the row that says so."""
    row = {"action_id": UUID(execution.action_id), "alert_id": UUID(member.alert_id)}
    if not await tx.run(group_store.BEGIN_RESULT, **row):
        return
    params = execution.params
    found = await tx.one(
        group_store.WHY_NOT,
        **row,
        action_type=params.action_type,
        target_type=member.target_type,
        target_id=member.target_id,
        twin=f"{params.action_type}|{member.target_type}/{member.target_id}",
    )
    assert found is not None
    if found.why is not None:
        await tx.run(group_store.END_RESULT, **row, is_done=False, said={"reason": found.why})
        return
    try:
        async with tx.savepoint():
            done = await _apply(tx, execution, member)
    except Refusal as refusal:
        said = {"reason": refusal.code, "detail": refusal.detail}
        await tx.run(group_store.END_RESULT, **row, is_done=False, said=said)
        return
    await tx.run(group_store.END_RESULT, **row, is_done=True, said={"result": dict(done.result)})


async def _apply(tx: Tx, execution: Execution[RemediateGroup], member: Member) -> Outcome:
    type_ = TYPES.find(execution.params.action_type)
    assert type_.apply is not None
    members = execution.expect["members"]
    assert isinstance(members, dict)
    return await type_.apply(
        tx,
        Execution(
            action_id=execution.action_id,
            key=f"{execution.key}/{member.alert_id}",
            params=read_params(type_, member.params),
            expect=members[member.alert_id],
            executed_by=execution.executed_by,
            at=execution.at,
        ),
    )


def _title(params: RemediateGroup, locale: str) -> str:
    count = len(params.members)
    english, french = TYPE_WORDS[params.action_type]
    if locale == "fr":
        return f"{french} : {count} cibles à la fois"
    return f"{english}: {count} targets at once"


ACTIONS = (
    ActionType(
        name=REMEDIATE_GROUP,
        params=RemediateGroup,
        risk="critical",
        moves_money=True,
        is_asked_by_code=True,
        title=_title,
        target=lambda params: Target("alert_group", params.target_id),
        plan=_plan,
        call=_carry_out,
        idempotency="native",
    ),
)
