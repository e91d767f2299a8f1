"""Which rules are stricter: their join, and whether one is provably tighter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from molam.approvals.policy import durations
from molam.approvals.policy.durations import Duration, DurationMalformed
from molam.approvals.policy.quorum import (
    AllOf,
    AnyOf,
    Percentage,
    PolicyMalformed,
    Quorum,
    Role,
    Stages,
    Users,
    quorum_json,
    read_quorum,
    widened,
)
from molam.approvals.policy.ruleset import Demand, Escalation, Ladder, Rules, read_ratio

TIMEOUT_MIN_S = 60


def normalised(rules: Rules) -> Rules:
    """Write the demands of *rules* in the one order and number that says the same."""
    return _with_demands(rules, rules.demands)


def strictest(first: Rules, second: Rules) -> Rules:
    """
    Join two sets of rules: whatever satisfies the result satisfies both.

    The order, the grouping and repetition make no difference.
    """
    joined = replace(
        first,
        ratio=max(first.ratio, second.ratio),
        timeout=_shorter(first.timeout, second.timeout),
        auto_execute=first.auto_execute and second.auto_execute,
        execution_window=_shorter(first.execution_window, second.execution_window),
        not_before_delay_s=max(first.not_before_delay_s, second.not_before_delay_s),
        counting="participation"
        if first.counting == second.counting == "participation"
        else "approvals",
        veto_roles=first.veto_roles | second.veto_roles,
        reject_threshold=_least(first.reject_threshold, second.reject_threshold),
        objection_window_s=max(first.objection_window_s, second.objection_window_s),
        min_role_age_s=max(first.min_role_age_s, second.min_role_age_s),
        step_up_max_age_s=_least(first.step_up_max_age_s, second.step_up_max_age_s),
        typed_confirmation=first.typed_confirmation or second.typed_confirmation,
        voters_may_execute=first.voters_may_execute and second.voters_may_execute,
        calendar=min(first.calendar, second.calendar, key=repr),
    )
    return _with_demands(joined, (*first.demands, *second.demands))


def is_tighter(new: Rules, old: Rules) -> bool:
    """
    Tell whether *new* provably lets nothing through that *old* stops; equal rules are.

    False says only that there is no proof: such a change is treated as a loosening.
    """
    return (
        new.ratio >= old.ratio
        and _is_no_longer(new, old, "timeout")
        and _is_no_longer(new, old, "execution_window")
        and new.auto_execute <= old.auto_execute
        and new.voters_may_execute <= old.voters_may_execute
        and new.not_before_delay_s >= old.not_before_delay_s
        and (new.counting == "approvals" or old.counting == "participation")
        and new.veto_roles >= old.veto_roles
        and _is_at_most(new.reject_threshold, old.reject_threshold)
        and new.objection_window_s >= old.objection_window_s
        and new.min_role_age_s >= old.min_role_age_s
        and _is_at_most(new.step_up_max_age_s, old.step_up_max_age_s)
        and new.typed_confirmation >= old.typed_confirmation
        and (new.calendar == old.calendar or not (_uses_calendar(new) or _uses_calendar(old)))
        and all(any(_covers(demand, each) for demand in new.demands) for each in old.demands)
    )


def tightened(rules: Rules, request: Mapping[str, object]) -> Rules:
    """
    Apply what a requester asks for, so far as it tightens.

    A quorum is demanded besides the policy's, a higher ratio and a shorter time
    replace it, and ``auto_execute`` holds only where the policy allows it too.
    Everything else in *request* is left alone: ``escalation_role`` would let
    more people decide.

    Raises:
        PolicyMalformed: a value that cannot be read.
    """
    result = rules
    if (quorum := request.get("required_quorum")) is not None:
        ladder = rules.demands[0].ladder
        result = _with_demands(result, (*rules.demands, Demand(read_quorum(quorum), ladder)))
    if (ratio := request.get("required_ratio")) is not None:
        result = replace(result, ratio=max(result.ratio, read_ratio(ratio)))
    if (timeout := request.get("timeout_seconds")) is not None:
        asked = _timeout(timeout)
        result = replace(result, timeout=_shorter(result.timeout, asked))
    if (wish := request.get("auto_execute")) is not None:
        if not isinstance(wish, bool):
            raise PolicyMalformed("auto_execute is true or false.")
        result = replace(result, auto_execute=result.auto_execute and wish)
    return result


def levels(rules: Rules) -> tuple[Escalation, ...]:
    """
    Return the levels an action climbs under *rules*: who joins, when, who is told.

    The escalation role comes last, when the time for approval is over, and
    opens it once more.
    """
    steps = [step for demand in rules.demands for step in demand.ladder.steps]
    timed = [_level(steps, after) for after in _afters(rules)]
    roles = frozenset(each.ladder.role for each in rules.demands if each.ladder.role)
    if roles:
        timed.append(Escalation(after=rules.timeout, add_roles=roles, notify=tuple(sorted(roles))))
    return tuple(timed)


def at_level(rules: Rules, level: int) -> Rules:
    """Open each quorum to those who have joined it by *level*; 0 changes nothing."""
    if level == 0:
        return rules
    afters = _afters(rules)
    widen = [_widened(each, afters, level) for each in rules.demands]
    return replace(rules, quorum=widen[0], also=tuple(widen[1:]))


def _widened(demand: Demand, afters: list[Duration], level: int) -> Quorum:
    quorum, ladder = demand.quorum, demand.ladder
    joining: frozenset[str] = frozenset()
    for step in ladder.steps:
        if afters.index(step.after) >= level:
            break
        if step.replace:
            quorum, joining = _held_by(quorum, step.add_roles), frozenset()
        else:
            joining |= step.add_roles
    if ladder.role is not None and level > len(afters):
        joining |= {ladder.role}
    return widened(quorum, joining) if joining else quorum


def _held_by(quorum: Quorum, roles: frozenset[str]) -> Quorum:
    """Ask as many people as before, of *roles* instead."""
    match quorum:
        case Role():
            return replace(quorum, roles=roles)
        case Users():
            return Role(roles, quorum.min_votes)
        case Percentage():
            return Percentage(roles, (), quorum.share)
        case AllOf() | AnyOf() | Stages():
            return replace(quorum, parts=tuple(_held_by(part, roles) for part in quorum.parts))


def _afters(rules: Rules) -> list[Duration]:
    """List the moments at which steps come; those of several quorums are one scale."""
    found = {step.after for demand in rules.demands for step in demand.ladder.steps}
    return sorted(found, key=_length)


def _level(steps: Iterable[Escalation], after: Duration) -> Escalation:
    now = [step for step in steps if step.after == after]
    return Escalation(
        after=after,
        add_roles=frozenset().union(*(step.add_roles for step in now)),
        notify=tuple(sorted({name for step in now for name in step.notify})),
        replace=all(step.replace for step in now),
    )


def _with_demands(rules: Rules, demands: Iterable[Demand]) -> Rules:
    """Merge demands that differ in strength alone, and put them in order."""
    merged: list[Demand] = []
    distinct = set(demands)
    # Nearly always there is one, which is in order.
    for demand in sorted(distinct, key=_order) if len(distinct) > 1 else distinct:
        for index, other in enumerate(merged):
            if other.ladder == demand.ladder and _mergeable(other.quorum, demand.quorum):
                merged[index] = replace(other, quorum=_stronger(other.quorum, demand.quorum))
                break
        else:
            merged.append(demand)
    first, *rest = sorted(merged, key=_order) if len(merged) > 1 else merged
    return replace(
        rules,
        quorum=first.quorum,
        escalation_role=first.ladder.role,
        escalation=first.ladder.steps,
        also=tuple(each.quorum for each in rest),
        also_ladders=tuple(each.ladder for each in rest),
    )


def _order(demand: Demand) -> tuple[bool, str, str]:
    # Whoever reads only the first ladder should find one if there is one.
    ladder = demand.ladder
    return (
        ladder == Ladder(),
        json.dumps(quorum_json(demand.quorum), sort_keys=True),
        repr(
            (
                ladder.role,
                [(s.after, sorted(s.add_roles), s.notify, s.replace) for s in ladder.steps],
            )
        ),
    )


def _mergeable(first: Quorum, second: Quorum) -> bool:
    match first, second:
        case (Role(), Role()):
            return first.roles == second.roles
        case (Users(), Users()):
            return (first.users, first.reserves) == (second.users, second.reserves)
        case (Percentage(), Percentage()):
            return _pool(first) == _pool(second) and first.reserves == second.reserves
    return False


def _pool(quorum: Percentage) -> tuple[frozenset[str], tuple[str, ...]]:
    return quorum.roles, quorum.pool


def _stronger(first: Quorum, second: Quorum) -> Quorum:
    match first, second:
        case (Role(), Role()):
            return replace(first, min_votes=max(first.min_votes, second.min_votes))
        case (Users(), Users()):
            return replace(first, min_votes=max(first.min_votes, second.min_votes))
        case (Percentage(), Percentage()):
            share, base = max(first.share, second.share), max(first.base, second.base)
            return replace(first, share=share, base=base)
    raise AssertionError("only mergeable quorums are merged")


def _covers(new: Demand, old: Demand) -> bool:
    """Whether what fills *new*, at any level, fills *old* at that level."""
    if new.ladder == old.ladder:
        return implies(new.quorum, old.quorum)
    # Someone whom a level replaced could still fill a quorum that does not escalate.
    replaces = any(step.replace for step in old.ladder.steps)
    return new.ladder == Ladder() and not replaces and implies(new.quorum, old.quorum)


def implies(new: Quorum, old: Quorum) -> bool:
    """Tell whether every set of approvals that fills *new* provably fills *old*."""
    proven = new == old
    match new, old:
        case (AnyOf(), _):
            proven = proven or all(implies(part, old) for part in new.parts)
        case (_, AnyOf()):
            proven = any(implies(new, part) for part in old.parts)
        case (Role(), Role()):
            proven = new.roles <= old.roles and new.min_votes >= old.min_votes
        case (Users(), Users()):
            others = len(set(new.users) - set(old.users))
            proven = new.reserves <= old.reserves and new.min_votes - others >= old.min_votes
        case (Percentage(), Percentage()):
            same = _pool(new) == _pool(old) and new.reserves <= old.reserves
            proven = same and new.share >= old.share and new.base >= old.base
        case (Stages(), Stages()) if len(new.parts) == len(old.parts):
            proven = all(map(implies, new.parts, old.parts))
        case (AllOf() | Stages(), AllOf()):
            proven = _matches(list(new.parts), list(old.parts))
        case (AllOf() | Stages(), _):
            proven = any(implies(part, old) for part in new.parts)
    return proven


def _matches(new: list[Quorum], old: list[Quorum]) -> bool:
    """Whether each of *old* is implied by a part of *new* of its own."""
    if not old:
        return True
    first, rest = old[0], old[1:]
    return any(
        implies(part, first) and _matches(new[:i] + new[i + 1 :], rest)
        for i, part in enumerate(new)
    )


def _is_no_longer(new: Rules, old: Rules, name: str) -> bool:
    ours: Duration = getattr(new, name)
    theirs: Duration = getattr(old, name)
    if ours.seconds is not None and theirs.business_hours is not None:
        # Business hours take at least as long as the clock.
        return ours.seconds <= theirs.business_hours * 3600
    return durations.seconds_of(ours) <= durations.seconds_of(theirs)


def _uses_calendar(rules: Rules) -> bool:
    used = [rules.timeout, rules.execution_window, *_afters(rules)]
    return any(each.business_hours is not None for each in used)


def _timeout(value: object) -> Duration:
    try:
        asked = durations.read_duration(value)
    except DurationMalformed as error:
        raise PolicyMalformed(f"timeout_seconds: {error.detail}") from None
    if durations.seconds_of(asked) < TIMEOUT_MIN_S:
        raise PolicyMalformed(f"timeout_seconds is {TIMEOUT_MIN_S} or more.")
    return asked


def _shorter(first: Duration, second: Duration) -> Duration:
    return min(first, second, key=_length)


def _length(duration: Duration) -> tuple[int, str]:
    # Two kinds may come to the same number; the order must be total all the same.
    return durations.seconds_of(duration), str(durations.written(duration))


def _least(first: int | None, second: int | None) -> int | None:
    return min((each for each in (first, second) if each is not None), default=None)


def _is_at_most(new: int | None, old: int | None) -> bool:
    return old is None or (new is not None and new <= old)
