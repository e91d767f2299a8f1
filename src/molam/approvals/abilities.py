"""What somebody may do with an action, and why not: asked by the page and by the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from molam.approvals import ballot_checks
from molam.approvals.aftermath import check_finder
from molam.approvals.attempt_store import FreezeRow
from molam.approvals.claims import refusal_to_execute
from molam.approvals.commands import check_owner
from molam.approvals.locked import LockedAction
from molam.approvals.model import Actor
from molam.approvals.store import StandingRow
from molam.approvals.voting import check_open
from molam.kernel.refusals import Refusal
from molam.platform.actions import Registry

EXECUTORS = frozenset({"ops_admin", "finance_ops"})
BREAKERS = frozenset({"super_admin"})
RECONCILERS = frozenset({"ops_admin", "finance_ops"})


def abilities(
    action: LockedAction,
    actor: Actor,
    standing: StandingRow,
    *,
    registry: Registry,
    frozen: FreezeRow | None,
) -> Mapping[str, str | None]:
    """
    Say for each verb why *actor* may not use it now; None where they may.

    The values are refusal codes, or ``role`` where only the role is lacking.
    """
    kind = registry.find(action.row.action_type) if action.row.action_type in registry else None
    return {
        "approve": _code(lambda: _vote(action, standing, "approve")),
        "reject": _code(lambda: _vote(action, standing, "reject")),
        "abstain": _code(lambda: _vote(action, standing, "abstain")),
        "withdraw": _withdraw(action, standing),
        "execute": _executing(action, actor, standing, registry=registry, frozen=frozen),
        "cancel": _code(lambda: _cancel(action, actor)),
        "break_glass": _role(actor, BREAKERS) or _code(lambda: action.check("break_glass")),
        "reconcile": _role(actor, RECONCILERS) or _code(lambda: _reconcile(action, standing)),
        "compensate": "action-not-undoable"
        if kind is None or kind.compensate is None or action.row.result is None
        else _code(lambda: action.check("compensate_begin")),
    }


def _vote(action: LockedAction, standing: StandingRow, vote: str) -> None:
    ballot_checks.seat(action, standing)
    check_open(action, vote)


def _withdraw(action: LockedAction, standing: StandingRow) -> str | None:
    has_voted = any(
        each["voter"] == standing.voter and each["vote"] != "withdrawn" for each in standing.ballots
    )
    if not has_voted:
        return "no-vote"
    return _code(lambda: _vote(action, standing, "withdrawn"))


def _executing(
    action: LockedAction,
    actor: Actor,
    standing: StandingRow,
    *,
    registry: Registry,
    frozen: FreezeRow | None,
) -> str | None:
    lacking = _role(actor, EXECUTORS)
    if lacking is not None:
        return lacking
    # On a copy: looking must not change what is looked at.
    copy = replace(action, entries=[])
    refusal = refusal_to_execute(copy, actor, standing, registry=registry, frozen=frozen)
    return None if refusal is None else refusal.code


def _reconcile(action: LockedAction, standing: StandingRow) -> None:
    action.check("reconcile_executed")
    check_finder(action.row, standing)


def _cancel(action: LockedAction, actor: Actor) -> None:
    check_owner(action, actor)
    action.check("cancel")


def _role(actor: Actor, roles: frozenset[str]) -> str | None:
    return None if actor.roles & roles else "role"


def _code(attempt: Callable[[], None]) -> str | None:
    try:
        attempt()
    except Refusal as refusal:
        return refusal.code
    return None
