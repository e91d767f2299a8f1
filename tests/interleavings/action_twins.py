"""Each lock and each second look of the engine, taken away: then some order must go wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest.mock import patch

import action_scenarios as scenarios
from action_scenarios import Scenario

from molam.approvals import claims, lifecycle, locked, store, sweep_store, voting
from molam.approvals.lifecycle import EVENTS, State
from molam.approvals.locked import LockedAction
from molam.platform.db import Query

Removal = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Twin:
    """A scenario without one of its safeties, and the failure that this must lead to."""

    name: str
    scenario: Scenario
    without: tuple[Removal, ...]
    says: str

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for remove in self.without:
                stack.enter_context(remove())
            yield


def _statement(module: ModuleType, name: str, old: str, new: str = "") -> Removal:
    original: Query[Any] = getattr(module, name)
    sql: Any = original.sql
    assert old in sql, f"{name}: {old}"
    replaced = Query(sql.replace(old, new), row=original.row, locks=original.locks)
    return lambda: patch.object(module, name, replaced)


def _no_settling() -> AbstractContextManager[object]:
    return patch.object(voting, "settle", lambda *_: False)


@contextlib.contextmanager
def _standing_before_the_lock() -> Iterator[None]:
    """Look at the votes first, and lock the action after that."""
    seen: dict[int, Any] = {}

    async def lock(tx, action_id, *also):
        row = await tx.one(store.FIND_ACTION, id=action_id)
        action = LockedAction(row, locked.rules_of(row))
        seen[id(tx)] = await locked.standing_of(tx, action, "")
        return await locked.lock(tx, action_id, *also)

    async def standing_of(tx, action, voter):
        found = await locked.standing_of(tx, action, voter)
        early = seen.pop(id(tx))
        found.ballots[:] = early.ballots
        return found

    with patch.object(voting, "lock", lock), patch.object(voting, "standing_of", standing_of):
        yield


def _deaf(*events: str) -> Removal:
    """Let *events* happen in any state."""
    anywhere = {event: (frozenset(State), EVENTS[event][1]) for event in events}
    return lambda: patch.object(lifecycle, "EVENTS", {**EVENTS, **anywhere})


def _no_second_count() -> AbstractContextManager[object]:
    was = claims.refusal_to_execute

    def refusal_to_execute(*given, **named):
        refusal = was(*given, **named)
        return None if isinstance(refusal, claims.NoLongerApproved) else refusal

    return patch.object(claims, "refusal_to_execute", refusal_to_execute)


UNLOCKED = _statement(store, "LOCK_ACTIONS", "for update")
_TAKEN = "UniqueViolation"
"""What the record says to the second who writes the same place in an action's chain."""

TWINS = (
    Twin("voters do not lock", scenarios.last_vote, (UNLOCKED,), says=_TAKEN),
    Twin(
        "votes are read before the lock",
        scenarios.last_vote,
        (_standing_before_the_lock,),
        says="not as in turn",
    ),
    Twin("executors do not lock", scenarios.double_execute, (UNLOCKED,), says=_TAKEN),
    Twin(
        "a claim does not look at the state",
        scenarios.double_execute,
        (_deaf("begin"),),
        says=r"paid 2 times|\['ok', 'ok'\]|lease-lost",
    ),
    Twin(
        "a cancellation does not lock", scenarios.cancel_against_execute, (UNLOCKED,), says=_TAKEN
    ),
    Twin(
        "a cancellation does not look at the state",
        scenarios.cancel_against_execute,
        (_deaf("cancel"),),
        says="only_executing_is_leased|and it is cancelled",
    ),
    Twin("the sweeper does not lock", scenarios.expiry_against_vote, (UNLOCKED,), says=_TAKEN),
    Twin(
        "a vote does not look at the time",
        scenarios.expiry_against_vote,
        (_no_settling,),
        says="approved after its deadline",
    ),
    Twin(
        "a claim does not count again",
        scenarios.role_revoked,
        (_no_second_count,),
        says="of who had left",
    ),
    Twin(
        "a key is not looked for at the end",
        scenarios.one_key,
        (_statement(store, "INSERT_ACTION", "on conflict do nothing"),),
        says=_TAKEN,
    ),
    Twin("askers do not lock", scenarios.two_twins, (UNLOCKED,), says=_TAKEN),
    Twin(
        "sweepers do not lock",
        scenarios.two_sweepers,
        (UNLOCKED, _statement(sweep_store, "NEXT_DUE", "for update skip locked")),
        says=_TAKEN,
    ),
)
