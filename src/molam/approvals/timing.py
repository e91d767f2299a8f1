"""What time does to an action: it opens to more people, and it ends."""

from __future__ import annotations

import structlog
from prometheus_client import Counter

from molam.approvals.lifecycle import State
from molam.approvals.locked import LockedAction
from molam.approvals.model import Actor
from molam.approvals.policy import durations
from molam.approvals.policy.rules import Escalation, Rules, levels
from molam.approvals.store import StandingRow
from molam.kernel.clock import Instant

log = structlog.get_logger()

SYSTEM = Actor("system", kind="system")

_WAITING = frozenset({State.APPROVED, State.SCHEDULED, State.FAILED})

_empty_levels = Counter(
    "molam_approvals_empty_escalations_total", "Escalations to a role that nobody holds."
)

# Note [Deadlines without a scheduler]
#
# Whatever is decided about an action begins with `settle` under its row lock: the
# escalations and the expiry that were due by the database's clock happen then, at the
# instants they were due. The jobs only do the same for actions that nobody touches, so
# a job that is late, or runs twice, changes nothing.


def deadline(rules: Rules, created_at: Instant) -> Instant:
    return durations.add(created_at, rules.timeout, rules.calendar)


def next_escalation(rules: Rules, *, created_at: Instant, level: int) -> Instant | None:
    """Return when the action opens to more people than at *level*; None is never."""
    steps = levels(rules)
    if level >= len(steps):
        return None
    return durations.add(created_at, steps[level].after, rules.calendar)


def settle(action: LockedAction, standing: StandingRow) -> bool:
    """Let everything happen to a locked action that was due by now; tell if anything did."""
    version = action.row.chain_seq
    now = standing.now
    while action.is_open:
        row = action.row
        if row.escalates_at is not None and now >= row.escalates_at:
            escalate(action, standing, why="time")
        elif now >= row.expires_at:
            action.move("expire", reason="approval")
            action.record("action.expired", SYSTEM, row.expires_at, window="approval")
        else:
            break
    row = action.row
    overdue = row.execution_deadline is not None and now >= row.execution_deadline
    if overdue and State(row.state) in _WAITING:
        assert row.execution_deadline is not None
        action.move("expire_execution", reason="execution")
        action.record("action.expired", SYSTEM, row.execution_deadline, window="execution")
    return action.row.chain_seq != version


def escalate(action: LockedAction, standing: StandingRow, *, why: str) -> bool:
    """
    Open an action to the people of its next level; False when there is none.

    It stays votable, and votes already cast keep counting. A level whose roles
    nobody holds is passed at once.
    """
    row, steps = action.row, levels(action.rules)
    if row.level >= len(steps):
        action.change(escalates_at=None)
        return False
    step = steps[row.level]
    level = row.level + 1
    at = standing.now if row.escalates_at is None or why != "time" else row.escalates_at
    expires_at = row.expires_at
    if level == len(steps) and _is_last_resort(action.rules, step):
        expires_at = durations.add(
            max(row.expires_at, at), action.rules.timeout, action.rules.calendar
        )
    following = next_escalation(action.rules, created_at=row.created_at, level=level)
    action.change(
        level=level,
        escalated_at=at,
        expires_at=expires_at,
        escalates_at=following if following is None else max(following, at),
    )
    action.record(
        "action.escalated",
        SYSTEM,
        at,
        level=level,
        roles=sorted(step.add_roles),
        why=why,
        expires_at=expires_at.isoformat(),
    )
    if not any(held["role"] in step.add_roles for held in standing.holders):
        _empty_levels.inc()
        log.warning("approvals.escalation.empty", action=str(row.id), roles=sorted(step.add_roles))
        if level < len(steps):
            return escalate(action, standing, why="empty")
    return True


def _is_last_resort(rules: Rules, step: Escalation) -> bool:
    """Whether *step* is the escalation role's, which opens the action once more."""
    return any(each.ladder.role in step.add_roles for each in rules.demands if each.ladder.role)
