"""Who must agree to what makes the mesh looser; stored policies may only ask for more."""

from __future__ import annotations

from fractions import Fraction

from molam.approvals import commands as engine
from molam.approvals.drafts import Ruling
from molam.approvals.intents import facts_of, intent_of, plan_json, rehearse
from molam.approvals.model import Actor, NewAction
from molam.approvals.policy.durations import Duration
from molam.approvals.policy.quorum import AllOf, Role
from molam.approvals.policy.rules import Rules, strictest
from molam.approvals.runtime import Runtime
from molam.approvals.store import ActionRow
from molam.approvals.tightening import RULED
from molam.platform.db import Tx

_DAY_S = 86_400

# Note [A floor]
#
# Without a stored policy any action needs two ops_admins. That is not enough here: who
# lets a bank in must not be the only kind of people who look at it. So these actions
# bring the least they need, and policies that operations write are joined with it.


def floor(*roles: str, hours: int = 24) -> Rules:
    """Ask for one person of each role, all different, who all agree."""
    return Rules(
        quorum=AllOf(tuple(Role(frozenset({role}), 1) for role in roles)),
        ratio=Fraction(1),
        timeout=Duration(seconds=hours * 3600),
        auto_execute=True,
        execution_window=Duration(seconds=_DAY_S),
        reject_threshold=1,
    )


def any_of(roles: frozenset[str], least: int, *, hours: int = 24) -> Rules:
    """Ask for so many people who have any of *roles*."""
    return Rules(
        quorum=Role(roles, least),
        ratio=Fraction(1),
        timeout=Duration(seconds=hours * 3600),
        auto_execute=True,
        execution_window=Duration(seconds=_DAY_S),
        reject_threshold=1,
    )


async def ask(
    tx: Tx, runtime: Runtime, request: NewAction, actor: Actor, *, least: Rules, name: str
) -> ActionRow:
    """
    Ask for an action in the caller's transaction, decided by at least the rules *least*.

    Raises: as `molam.approvals.commands.create`.
    """
    ruling = await _ruling(tx, runtime, request, least=least, name=name)
    created = await engine.create_in(tx, runtime, request, actor, ruling=ruling)
    return created.row


async def _ruling(
    tx: Tx, runtime: Runtime, request: NewAction, *, least: Rules, name: str
) -> Ruling:
    intent = await intent_of(tx, runtime.registry, request)
    plan = plan_json(intent, await rehearse(tx, intent))
    facts = facts_of(
        origin=request.origin,
        risk=intent.type.risk,
        intent=intent.document,
        plan=plan,
        context=intent.context,
    )
    selection = await runtime.book.select(tx, facts)
    chosen, merged = selection.policy, selection.trace["merged"]
    if chosen.id is None and not merged:
        # Nobody wrote anything about it: later policies do not change what was asked.
        return Ruling(name, 1, least, {RULED: True, "floor": name})
    trace = {**selection.trace, "floor": name}
    rules = strictest(least, selection.rules)
    return Ruling(chosen.name, chosen.version, rules, trace, chosen.id)
