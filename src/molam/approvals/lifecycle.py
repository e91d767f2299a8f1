"""What may become of an action, and how the specification calls it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from molam.kernel.refusals import Kind, Refusal


class State(StrEnum):
    PENDING = "pending"
    BLOCKED = "blocked"
    APPROVED = "approved"
    SCHEDULED = "scheduled"
    EXECUTING = "executing"
    EXECUTED = "executed"
    VERIFIED = "verified"
    INEFFECTIVE = "ineffective"
    FAILED = "failed"
    EXECUTION_UNKNOWN = "execution_unknown"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    STALE = "stale"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"


class TransitionRefused(Refusal):
    code = "action-not-in-state"
    kind = Kind.CONFLICT
    title = "The action is no longer in a state that allows this"


OPEN = frozenset({State.PENDING, State.BLOCKED})
"""Votes are taken. A blocked action waits for more people, or for a changed vote."""

_GRANTED = frozenset({State.APPROVED, State.SCHEDULED})
_DONE = frozenset({State.EXECUTED, State.VERIFIED, State.INEFFECTIVE})

EVENTS: Mapping[str, tuple[frozenset[State], State]] = {
    "approve": (OPEN, State.APPROVED),
    # From scheduled while objections are awaited.
    "reject": (OPEN | {State.SCHEDULED}, State.REJECTED),
    "block": (frozenset({State.PENDING}), State.BLOCKED),
    "unblock": (frozenset({State.BLOCKED}), State.PENDING),
    "break_glass": (OPEN, State.APPROVED),
    "expire": (OPEN, State.EXPIRED),
    "cancel": (OPEN | _GRANTED | {State.FAILED}, State.CANCELLED),
    "supersede": (OPEN | _GRANTED, State.SUPERSEDED),
    # A handler may find only while it runs that the target is not what was approved.
    "go_stale": (OPEN | _GRANTED | {State.EXECUTING, State.FAILED}, State.STALE),
    "schedule": (frozenset({State.APPROVED}), State.SCHEDULED),
    "send_back": (_GRANTED | {State.FAILED}, State.PENDING),
    # A failure had no effect, so it may be tried again until the window closes on it.
    "expire_execution": (_GRANTED | {State.FAILED}, State.EXPIRED),
    "begin": (_GRANTED | {State.FAILED}, State.EXECUTING),
    "succeed": (frozenset({State.EXECUTING}), State.EXECUTED),
    "fail": (frozenset({State.EXECUTING}), State.FAILED),
    "lose": (frozenset({State.EXECUTING}), State.EXECUTION_UNKNOWN),
    "reconcile_executed": (frozenset({State.EXECUTION_UNKNOWN}), State.EXECUTED),
    "reconcile_failed": (frozenset({State.EXECUTION_UNKNOWN}), State.FAILED),
    "verify_ok": (frozenset({State.EXECUTED}), State.VERIFIED),
    "verify_bad": (frozenset({State.EXECUTED}), State.INEFFECTIVE),
    "compensate_begin": (_DONE | {State.COMPENSATION_FAILED}, State.COMPENSATING),
    "compensate_ok": (frozenset({State.COMPENSATING}), State.COMPENSATED),
    "compensate_failed": (frozenset({State.COMPENSATING}), State.COMPENSATION_FAILED),
}
"""Each event, the states in which it may happen, and the state it leads to."""

TERMINAL = frozenset(State) - frozenset().union(*(sources for sources, _ in EVENTS.values()))
"""Nothing can happen any more; an executed action is not here, it may be compensated."""


def transition(state: State, event: str) -> State:
    """
    Return the state that *event* leads to.

    Raises:
        TransitionRefused: the event cannot happen in *state*.
    """
    sources, target = EVENTS[event]
    if state not in sources:
        allowed = ", ".join(sorted(sources))
        raise TransitionRefused(
            f"The action is {state.value}; this takes one that is: {allowed}.",
            state=state.value,
            event=event,
        )
    return target


_STATUS = {
    State.PENDING: "pending_approval",
    State.BLOCKED: "pending_approval",
    State.SCHEDULED: "approved",
    State.EXECUTION_UNKNOWN: "executing",
    State.VERIFIED: "executed",
    State.INEFFECTIVE: "executed",
    State.COMPENSATING: "executed",
    State.COMPENSATION_FAILED: "executed",
    State.COMPENSATED: "rolled_back",
    State.SUPERSEDED: "cancelled",
    State.STALE: "cancelled",
}


def status_of(state: State, level: int, votes_cast: int) -> str:
    """Say *state* in the specification's words, as the column `status` does."""
    if state in OPEN and level > 0:
        return "escalated"
    if state is State.PENDING and votes_cast == 0:
        return "requested"
    return _STATUS.get(state, state.value)
