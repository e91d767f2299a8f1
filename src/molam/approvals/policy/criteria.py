"""Which actions a policy speaks of: criteria compiled against the action types there are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from molam.approvals.policy import criteria_words
from molam.approvals.policy.criteria_json import node_json, ordered
from molam.approvals.policy.durations import SECONDS_MAX
from molam.approvals.policy.fields import (
    ALIASES,
    CONFIDENCE,
    CriteriaMalformed,
    Field,
    Kind,
    field_of,
    schema_of,
)
from molam.approvals.policy.literals import read_duration, read_literal
from molam.approvals.policy.operands import LISTS, OPERANDS, ORDER, list_test
from molam.approvals.policy.predicates import (
    Aggregate,
    All,
    Elem,
    History,
    Leaf,
    Money,
    Node,
    Not,
    Some,
    Test,
    Truth,
    leaves,
    truth_of,
)
from molam.platform.actions import Registry
from molam.platform.web.l10n import Language

__all__ = [
    "Aggregate",
    "Criteria",
    "CriteriaMalformed",
    "Truth",
    "aggregates",
    "compile_criteria",
    "criteria_json",
    "evaluate",
    "explained",
    "only_test_failed",
    "sentence",
    "types_of",
]

DEPTH_MAX = 8
OPERATORS_MAX = 64

_GROUPS = ("target_tenant_type", "target_tenant_id", "origin", "country")


@dataclass(frozen=True, slots=True)
class Criteria:
    """Compiled criteria; *leaves* is how specific they are."""

    node: Node
    leaves: int
    types: frozenset[str] | None
    """The action types they can fit, None for any."""


def compile_criteria(
    value: object, registry: Registry, *, baseline: bool = False, stored: bool = False
) -> Criteria:
    """
    Read criteria, in the specification's words or as `criteria_json` writes them.

    With *stored*, criteria that action types have since moved away from become
    unknown rather than refused, so that the rules beside them still tighten.

    Raises:
        CriteriaMalformed: says which path, and why. Criteria that name no action
            type must say ``{"action_type": {"$exists": true}}`` and something
            else, or be a *baseline*: nothing may match everything by accident.
    """
    schemas = {each.name: schema_of(each.params) for each in registry}
    compiler = _Compiler(schemas, baseline=baseline)
    try:
        node = compiler.node(value, "criteria", frozenset(schemas))
    except CriteriaMalformed:
        if not stored:
            raise
        node = _unreadable(value)
    found = Criteria(node, len(list(leaves(node))), types_of(node))
    if not stored:
        _refuse_everything(found, baseline=baseline)
    return found


def criteria_json(criteria: Criteria) -> dict[str, Any]:
    """Write *criteria* in their one form, which compiles to the same."""
    return node_json(criteria.node)


def evaluate(criteria: Criteria, facts: Mapping[str, object]) -> Truth:
    """Tell whether *criteria* fit; UNKNOWN when a fact is missing or not of its kind."""
    return truth_of(criteria.node, facts, note=[])


def explained(
    criteria: Criteria, facts: Mapping[str, object]
) -> tuple[Truth, list[dict[str, object]]]:
    """Evaluate as `evaluate` does, and list each comparison with what it came to."""
    note: list[tuple[Leaf, Truth]] = []
    truth = truth_of(criteria.node, facts, note=note)
    return truth, [{"test": node_json(leaf), "truth": each.value} for leaf, each in note]


def aggregates(criteria: Criteria) -> tuple[Aggregate, ...]:
    """List what must be summed or counted before *criteria* can be evaluated."""
    found = (leaf.aggregate for leaf in leaves(criteria.node) if isinstance(leaf, History))
    return tuple(dict.fromkeys(found))


def sentence(criteria: Criteria, language: Language) -> str:
    """Say *criteria* in words."""
    return criteria_words.sentence(criteria.node, language)


def only_test_failed(
    criteria: Criteria, judged: Sequence[Mapping[str, object]], language: Language
) -> str | None:
    """
    Say in words the one comparison of a trace for want of which *criteria* did not fit.

    None if it was another, or more than one, or if they are not all to be met: where one
    of several suffices, or one must not hold, no single one is what was wanting.
    """
    parts = criteria.node.parts if isinstance(criteria.node, All) else (criteria.node,)
    if not all(isinstance(part, Test | History) for part in parts):
        return None
    failed = [each["test"] for each in judged if each.get("truth") != Truth.TRUE.value]
    if len(failed) != 1 or len(judged) != len(parts):
        return None
    wanting = next((part for part in parts if node_json(part) == failed[0]), None)
    if wanting is None or (isinstance(wanting, Test) and wanting.path == "action_type"):
        return None
    return criteria_words.comparison(wanting, language)


def types_of(node: Node) -> frozenset[str] | None:
    """Return the action types *node* can be true for, None for any."""
    match node:
        case Test(path="action_type", operator="$eq" | "$in"):
            values = node.value if isinstance(node.value, tuple) else (node.value,)
            return frozenset(map(str, values))
        case All():
            named = [types for part in node.parts if (types := types_of(part)) is not None]
            return frozenset.intersection(*named) if named else None
        case Some():
            each = [types_of(part) for part in node.parts]
            if None not in each:
                return frozenset().union(*(types for types in each if types is not None))
    return None


def _refuse_everything(criteria: Criteria, *, baseline: bool) -> None:
    if criteria.types is not None:
        return
    parts = criteria.node.parts if isinstance(criteria.node, All) else (criteria.node,)
    purpose = Test("action_type", "$exists", value=True, kind=Kind.TEXT)
    if purpose not in parts or (len(parts) == 1 and not baseline):
        raise CriteriaMalformed(
            "criteria.action_type: a policy that matches everything by accident cannot be saved. "
            'Name the action types, or write {"$exists": true} and something else.'
        )


def _unreadable(value: object) -> Node:
    """Stand for criteria that no longer compile: unknown, for the types they name."""
    unknown = Test("unreadable", "$eq", "", Kind.OTHER)
    named = value.get("action_type") if isinstance(value, Mapping) else None
    names = named.get("$in", []) if isinstance(named, Mapping) else [named]
    known = tuple(sorted(name for name in names if isinstance(name, str)))
    if not known:
        return unknown
    return ordered([Test("action_type", "$in", known, Kind.TEXT), unknown], All)


@dataclass(slots=True)
class _Compiler:
    schemas: dict[str, dict[str, Field]]
    baseline: bool = field(kw_only=True)
    depth: int = 0
    operators: int = 0

    def node(self, value: object, where: str, types: frozenset[str]) -> Node:
        if not isinstance(value, Mapping) or not value:
            raise CriteriaMalformed(f"{where}: write an object that says something.")
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise CriteriaMalformed(f"{where}: nest at most {DEPTH_MAX} levels.")
        types = self._narrowed(value, types)
        plain = _modern(value, where)
        # Action types first: that one is unknown explains why its parameters are.
        keys = sorted(plain, key=lambda key: key != "action_type")
        parts = [part for key in keys for part in self._part(key, plain[key], where, types)]
        self.depth -= 1
        return ordered(parts, All)

    def _narrowed(self, value: Mapping[str, object], types: frozenset[str]) -> frozenset[str]:
        """Take the action types named beside a path as those it must be known to."""
        beside = value.get("$and")
        siblings = beside if isinstance(beside, list) else []
        for each in (value, *(s for s in siblings if isinstance(s, Mapping))):
            named = each.get("action_type")
            if isinstance(named, Mapping):
                named = named.get("$in", named.get("$eq"))
            names = named if isinstance(named, list) else [named]
            if all(isinstance(name, str) for name in names):
                types &= frozenset(names)
        return types

    def _part(self, key: str, value: object, where: str, types: frozenset[str]) -> Sequence[Node]:
        inside = f"{where}.{str(key)[:80]}"
        self._count(inside)
        match key:
            case "$and" | "$or" | "$nor":
                if not isinstance(value, list) or not 1 <= len(value) <= OPERATORS_MAX:
                    raise CriteriaMalformed(f"{inside}: write a list that is not empty.")
                each = [self.node(v, f"{inside}[{i}]", types) for i, v in enumerate(value)]
                joined = ordered(each, All if key == "$and" else Some)
                return (Not(joined) if key == "$nor" else joined,)
            case "$not":
                return (Not(self.node(value, inside, types)),)
            case "$sum_over" | "$count_over":
                return (self._history(key, value, inside, types),)
        if key.startswith("$"):
            raise CriteriaMalformed(f"{inside}: no such operator.")
        return self._tests(key, value, inside, types)

    def _tests(self, key: str, value: object, where: str, types: frozenset[str]) -> Sequence[Node]:
        path = ALIASES.get(key, key)
        about = self._field(path, where, types)
        if not isinstance(value, Mapping):
            value = {"$eq": value}
        if not value:
            raise CriteriaMalformed(f"{where}: write an operator.")
        parts: list[Node] = []
        for operator, literal in value.items():
            inside = f"{where}.{str(operator)[:40]}"
            self._count(inside)
            if operator == "$not":
                parts.append(Not(ordered(list(self._tests(path, literal, inside, types)), All)))
            elif operator == "$elem":
                parts.append(self._elem(path, about, literal, inside))
            else:
                parts.append(self._test(path, about, (str(operator), literal), inside))
        return parts

    def _field(self, path: str, where: str, types: frozenset[str]) -> Field:
        if path == "action_type":
            return Field(Kind.TEXT, frozenset(self.schemas))
        if path == CONFIDENCE:
            if not self.baseline:
                raise CriteriaMalformed(
                    f"{where}: confidence may only tighten; ask for it in a baseline policy."
                )
            return Field(Kind.DECIMAL, optional=True)
        try:
            return field_of(path, types, self.schemas)
        except CriteriaMalformed as error:
            raise CriteriaMalformed(f"{where}: {error.detail}") from None

    def _test(self, path: str, about: Field, asked: tuple[str, object], where: str) -> Test:
        operator, literal = asked
        if path == "action_type" and operator not in {"$eq", "$in", "$exists"}:
            raise CriteriaMalformed(f"{where}: name action types with $eq or $in.")
        if operator in LISTS:
            return list_test(path, about, asked, where)
        reader = OPERANDS.get(operator)
        if reader is None:
            raise CriteriaMalformed(f"{where}: no such operator.")
        if operator == "$exists" and path == "action_type" and literal is not True:
            raise CriteriaMalformed(f"{where}: every action has a type.")
        return Test(path, operator, reader(literal, about, where), about.kind)

    def _elem(self, path: str, about: Field, value: object, where: str) -> Elem:
        if about.kind is not Kind.LIST or about.element is None:
            raise CriteriaMalformed(f"{where}: it is not a list.")
        if not isinstance(value, Mapping) or not value:
            raise CriteriaMalformed(f"{where}: write operators for one element.")
        element = Field(about.element)
        tests = []
        for operator, literal in value.items():
            self._count(where)
            if operator in {"$exists", *LISTS}:
                raise CriteriaMalformed(f"{where}.{operator}: not of an element.")
            inside = f"{where}.{str(operator)[:40]}"
            tests.append(self._test(path, element, (str(operator), literal), inside))
        return Elem(path, tuple(sorted(set(tests), key=lambda t: json.dumps(node_json(t)))))

    def _history(self, function: str, value: object, where: str, types: frozenset[str]) -> History:
        known = {"field", "window", "group_by", "where", *ORDER}
        if not isinstance(value, Mapping) or not value.keys() <= known:
            raise CriteriaMalformed(f"{where}: it has field, window, group_by, where, an operator.")
        operators = [key for key in ORDER if key in value]
        if len(operators) != 1:
            raise CriteriaMalformed(f"{where}: compare with one of {', '.join(ORDER)}.")
        counts = function == "$count_over"
        summed = value.get("field")
        if counts != (summed is None):
            raise CriteriaMalformed(f"{where}.field: $sum_over sums one, $count_over none.")
        about = Field(Kind.INTEGER)
        if not counts:
            about = self._field(str(summed), f"{where}.field", types)
        if about.kind not in {Kind.MONEY, Kind.INTEGER}:
            raise CriteriaMalformed(f"{where}.field: only amounts and whole numbers add up.")
        window = read_duration(value.get("window"), f"{where}.window")
        if window.seconds is None or not 1 <= window.seconds <= SECONDS_MAX:
            raise CriteriaMalformed(f"{where}.window: write wall time, such as 24h.")
        literal = read_literal(value[operators[0]], about, f"{where}.{operators[0]}")
        bound = literal if isinstance(literal, Money) else Money(int(str(literal)))
        aggregate = Aggregate(
            function=function.removeprefix("$"),
            field=None if counts else str(summed),
            window=window,
            group_by=_groups(value.get("group_by", ["target_tenant_id"]), where),
            action_types=self._counted(value.get("where"), where, types),
        )
        return History(aggregate, operators[0], bound)

    def _counted(self, value: object, where: str, types: frozenset[str]) -> tuple[str, ...]:
        if value is None:
            return tuple(sorted(types))
        if not isinstance(value, Mapping) or value.keys() != {"action_type"}:
            raise CriteriaMalformed(f"{where}.where: name action types.")
        node = self.node(value, f"{where}.where", frozenset(self.schemas))
        return tuple(sorted(types_of(node) or self.schemas))

    def _count(self, where: str) -> None:
        self.operators += 1
        # A path and its operator are counted both, so that either alone has a limit too.
        if self.operators > 2 * OPERATORS_MAX:
            raise CriteriaMalformed(f"{where}: there are more than {OPERATORS_MAX} operators.")


def _modern(value: Mapping[str, object], where: str) -> dict[str, object]:
    """Put ``min_amount`` and ``max_amount``, the older words, into today's."""
    plain = {key: each for key, each in value.items() if key not in {"min_amount", "max_amount"}}
    bounds: dict[str, object] = {}
    for key, operator in (("min_amount", "$gte"), ("max_amount", "$lte")):
        if key in value:
            bound, code = value[key], value.get("currency")
            if isinstance(code, str) and not isinstance(bound, Mapping):
                bound = {"currency": code, "minor": bound}
            bounds[operator] = bound
    if bounds and "amount" in plain:
        raise CriteriaMalformed(f"{where}.amount: write amount or min_amount, not both.")
    return plain | ({"amount": bounds} if bounds else {})


def _groups(value: object, where: str) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [None]
    if not all(name in _GROUPS for name in names):
        raise CriteriaMalformed(f"{where}.group_by: write some of {', '.join(_GROUPS)}.")
    return tuple(sorted(set(map(str, names))))
