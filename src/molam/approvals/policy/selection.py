"""Which policy decides an action: one pure function for creation, simulation and backtest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from typing import Any
from uuid import UUID

from molam.approvals.policy.criteria import Criteria, Truth, aggregates, explained
from molam.approvals.policy.durations import Duration
from molam.approvals.policy.rules import DEFAULT, Rules, normalised, rules_json, strictest
from molam.kernel.clock import Instant
from molam.kernel.digests import digest

DEFAULT_NAME = "__default__"
DEFAULT_VERSION = 1
META_NAME = "__meta__"
META_VERSION = 1
META_TYPES = frozenset({"CHANGE_APPROVAL_POLICY"})

META = replace(DEFAULT, timeout=Duration(seconds=3 * 86400))
"""
Who may loosen a policy: two people, unanimous, in three days.

No stored policy adds to it either: one that could not be fulfilled would keep
its own repair from being approved.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy:
    """One version of a policy, compiled."""

    id: UUID | None
    name: str
    version: int
    criteria: Criteria
    rules: Rules
    priority: int
    enabled: bool
    baseline: bool
    valid_from: Instant | None
    valid_until: Instant | None
    created_at: Instant

    def is_in_force(self, at: Instant) -> bool:
        begun = self.valid_from is None or self.valid_from <= at
        over = self.valid_until is not None and self.valid_until <= at
        return self.enabled and begun and not over

    def timeless(self) -> StoredPolicy:
        """Return it as if it had always been in force, and always would be."""
        return replace(self, valid_from=None, valid_until=None)


@dataclass(frozen=True, slots=True)
class Winner:
    """The policy an action is named after; without an id, the built-in one."""

    id: UUID | None
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Selection:
    """
    What decides an action, and why.

    *rules* may be stricter than those of *policy*: floors, policies that could
    not be evaluated and ties are merged into them. *trace* says which.
    """

    policy: Winner
    rules: Rules
    trace: dict[str, Any]


_BUILT_IN = Winner(None, DEFAULT_NAME, DEFAULT_VERSION)


def select(policies: Iterable[StoredPolicy], facts: Mapping[str, object], at: Instant) -> Selection:
    """
    Choose the rules for an intent at *at*.

    The first fitting policy wins, by priority, then by how specific it is, then
    by age. One that ranks above it and cannot be evaluated tightens the result,
    as does every floor that fits or may fit, and every policy tied with it.
    Changes of the policies themselves have rules that no policy can touch.
    """
    in_force = ranked(policies, at)
    if facts.get("action_type") in META_TYPES:
        return _META
    judged = [(each, *explained(each.criteria, facts)) for each in in_force]
    chosen = choose([(each, truth) for each, truth, _ in judged])
    policy = _BUILT_IN
    if (winner := chosen.winner) is not None:
        policy = Winner(winner.id, winner.name, winner.version)
    trace = _trace(chosen, [_judgement(*each) for each in judged], _history(in_force, facts))
    return Selection(policy, chosen.rules, trace)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The policy that won, None for the built-in one, and those that only tighten it."""

    winner: StoredPolicy | None
    merged: tuple[StoredPolicy, ...] = ()
    tied: tuple[StoredPolicy, ...] = ()

    @property
    def rules(self) -> Rules:
        base = DEFAULT if self.winner is None else self.winner.rules
        return reduce(strictest, (each.rules for each in self.merged), normalised(base))


def ranked(policies: Iterable[StoredPolicy], at: Instant) -> list[StoredPolicy]:
    """List those in force at *at*, the first to be asked first."""
    return sorted((each for each in policies if each.is_in_force(at)), key=_rank)


def choose(judged: Sequence[tuple[StoredPolicy, Truth]]) -> Chosen:
    """Choose among policies that stand in order, each with whether it fits."""
    ordinary = [(each, truth) for each, truth in judged if not each.baseline]
    floors = [each for each, truth in judged if each.baseline and truth is not Truth.FALSE]
    winner = next((each for each, truth in ordinary if truth is Truth.TRUE), None)
    tied = [
        each
        for each, truth in ordinary
        if winner is not None and each is not winner
        if truth is not Truth.FALSE and each.priority == winner.priority
    ]
    merged = _distinct([*_before(ordinary, winner), *tied, *floors])
    return Chosen(winner, tuple(merged), tuple(tied))


def _trace(
    chosen: Chosen, judgements: list[dict[str, Any]], history: dict[str, object]
) -> dict[str, Any]:
    winner = _BUILT_IN if chosen.winner is None else chosen.winner
    return {
        "winner": {"name": winner.name, "version": winner.version},
        "merged": [{"name": each.name, "version": each.version} for each in chosen.merged],
        "tie": [each.name for each in chosen.tied],
        "policies": judgements,
        "history": history,
        "rules_hash": _hash(chosen.rules),
    }


@lru_cache(maxsize=1024)
def _hash(rules: Rules) -> str:
    return digest("molam.policy/1", rules_json(rules)).hex()


def replay(trace: dict[str, Any], rules_of: Mapping[tuple[str, int], Rules]) -> Rules:
    """Come to the rules of a selection again from its trace and the rules it names."""
    named = [trace["winner"], *trace["merged"]]
    found = [_rules_named(each, rules_of) for each in named]
    return reduce(strictest, found[1:], normalised(found[0]))


def replayed(
    trace: dict[str, Any],
    facts: Mapping[str, object],
    policies: Iterable[StoredPolicy],
    at: Instant,
) -> Selection:
    """Select again as it was selected then, with the sums and counts that the trace holds."""
    return select(policies, {**facts, "history": trace["history"]}, at)


_META = Selection(
    Winner(None, META_NAME, META_VERSION),
    META,
    {
        "winner": {"name": META_NAME, "version": META_VERSION},
        "merged": [],
        "tie": [],
        "policies": [],
        "history": {},
        "rules_hash": digest("molam.policy/1", rules_json(META)).hex(),
    },
)


def _rules_named(named: dict[str, Any], rules_of: Mapping[tuple[str, int], Rules]) -> Rules:
    built_in = {DEFAULT_NAME: DEFAULT, META_NAME: META}.get(named["name"])
    return built_in or rules_of[named["name"], named["version"]]


def _rank(policy: StoredPolicy) -> tuple[int, int, Instant, str]:
    return -policy.priority, -policy.criteria.leaves, policy.created_at, str(policy.id)


def _before(
    ordinary: Sequence[tuple[StoredPolicy, Truth]], winner: StoredPolicy | None
) -> list[StoredPolicy]:
    """List the policies above *winner* of which nobody knows whether they fit."""
    found = []
    for each, truth in ordinary:
        if each is winner:
            break
        if truth is Truth.UNKNOWN:
            found.append(each)
    return found


def _distinct(policies: Iterable[StoredPolicy]) -> list[StoredPolicy]:
    return list({(each.id, each.name, each.version): each for each in policies}.values())


def _judgement(
    policy: StoredPolicy, truth: Truth, leaves: list[dict[str, object]]
) -> dict[str, Any]:
    return {
        "id": None if policy.id is None else str(policy.id),
        "name": policy.name,
        "version": policy.version,
        "priority": policy.priority,
        "baseline": policy.baseline,
        "truth": truth.value,
        "tests": leaves,
    }


def _history(policies: Iterable[StoredPolicy], facts: Mapping[str, object]) -> dict[str, object]:
    """Keep the aggregates that were looked at, which no later day gives back."""
    known = facts.get("history")
    held = known if isinstance(known, Mapping) else {}
    asked = {each.key for policy in policies for each in aggregates(policy.criteria)}
    return {key: held[key] for key in sorted(asked) if key in held}
