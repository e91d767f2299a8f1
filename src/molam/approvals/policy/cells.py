"""Every case that criteria tell apart, so that overlaps and gaps are found by looking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, product

from molam.approvals.policy.durations import Duration, written
from molam.approvals.policy.fields import RISKS, Kind
from molam.approvals.policy.literals import literal_json
from molam.approvals.policy.predicates import (
    All,
    Leaf,
    Literal,
    Money,
    Node,
    Not,
    Some,
    Test,
    Truth,
    leaves,
    truth_of,
)

CELLS_MAX = 4096
# Each case is looked at under each criterion, while others wait.
LOOKS_MAX = 40_000
# Stands for every text that no criterion names; nobody can write it in one.
_ANOTHER = "\x00"
_COMPARED = frozenset({"$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$exists"})
_SAME = {"tenant.type": "target_tenant_type", "tenant.id": "target_tenant_id"}
_ABSENT = object()


class TooManyCells(Exception):
    """The criteria tell apart more cases than it is worth looking at."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing the cases differ in: a path and its cases, or the truth of an opaque test."""

    name: str | Leaf
    points: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One case: facts for the paths, and what the opaque tests come to."""

    point: Mapping[str, object]
    facts: Mapping[str, object]
    opaque: Mapping[Leaf, Truth]

    def holds(self, node: Node) -> bool:
        return self.truth(node) is Truth.TRUE

    def truth(self, node: Node) -> Truth:
        """Evaluate *node* in this case."""
        match node:
            case All():
                truth = min((self.truth(part) for part in node.parts), key=_ORDER.index)
            case Some():
                truth = max((self.truth(part) for part in node.parts), key=_ORDER.index)
            case Not():
                truth = _ORDER[2 - _ORDER.index(self.truth(node.part))]
            case _:
                truth = self.opaque.get(node) or truth_of(node, self.facts, note=[])
        return truth


_ORDER = (Truth.FALSE, Truth.UNKNOWN, Truth.TRUE)


def is_opaque(leaf: Leaf) -> bool:
    """Whether the cases of *leaf* cannot be listed: a pattern, a list, a sum over time."""
    return not (isinstance(leaf, Test) and leaf.operator in _COMPARED)


def cells(nodes: Iterable[Node], action_types: Iterable[str]) -> Iterator[Cell]:
    """
    List the cases that *nodes* tell apart, for each of *action_types*.

    Raises:
        TooManyCells: there are more than `CELLS_MAX`, or too many *nodes* besides.
    """
    nodes = list(nodes)
    found = [leaf for node in nodes for leaf in leaves(node)]
    axes = _axes(found, action_types)
    count = 1
    for axis in axes:
        count *= len(axis.points)
    if count > CELLS_MAX or count * len(nodes) > LOOKS_MAX:
        raise TooManyCells
    for points in product(*(axis.points for axis in axes)):
        yield _cell(axes, points)


def _axes(found: Sequence[Leaf], action_types: Iterable[str]) -> list[Axis]:
    opaque = dict.fromkeys(leaf for leaf in found if is_opaque(leaf))
    tests: dict[str, list[Test]] = {}
    for leaf in found:
        if isinstance(leaf, Test) and leaf not in opaque and leaf.path != "action_type":
            tests.setdefault(_variable(leaf.path), []).append(leaf)
    axes = [Axis("action_type", tuple(sorted(action_types)))]
    axes += [Axis(name, tuple(_points(tests[name]))) for name in sorted(tests)]
    return axes + [Axis(leaf, (Truth.FALSE, Truth.UNKNOWN, Truth.TRUE)) for leaf in opaque]


def _variable(path: str) -> str:
    """Name what *path* varies with: the parts of an amount vary together."""
    path = _SAME.get(path, path)
    return path.removesuffix(".currency").removesuffix(".minor")


def _points(tests: Sequence[Test]) -> Iterator[object]:
    yield _ABSENT
    literals = [each for test in tests for each in _literals(test)]
    minors = [test for test in tests if test.path.endswith(".minor")]
    currencies = [test for test in tests if test.path.endswith(".currency")]
    if tests[0].kind is Kind.MONEY or minors or currencies:
        yield from _amounts(literals)
    elif any(isinstance(each, Duration) for each in literals):
        yield from _between([each for each in literals if isinstance(each, Duration)])
    else:
        yield from _plain(tests[0].kind, literals)


def _literals(test: Test) -> tuple[Literal, ...]:
    if test.operator == "$exists":
        return ()
    return test.value if isinstance(test.value, tuple) else (test.value,)


def _amounts(literals: Iterable[Literal]) -> Iterator[object]:
    held = list(literals)
    codes = {each.currency for each in held if isinstance(each, Money) and each.currency}
    codes |= {each for each in held if isinstance(each, str)}
    minors = {each.minor for each in held if isinstance(each, Money)}
    minors |= {each for each in held if isinstance(each, int)}
    for code in (*sorted(codes), _ANOTHER):
        for minor in _whole(minors):
            yield {"currency": code, "minor": minor}


def _plain(kind: Kind, literals: Sequence[Literal]) -> Iterator[object]:
    if kind is Kind.FLAG:
        yield from (False, True)
    elif kind is Kind.RISK:
        yield from RISKS
    elif kind is Kind.INTEGER:
        yield from _whole({each for each in literals if isinstance(each, int)})
    elif kind is Kind.DECIMAL:
        yield from map(literal_json, _decimals({d for d in literals if isinstance(d, Decimal)}))
    elif kind in {Kind.INSTANT, Kind.DAY}:
        yield from _times([each for each in literals if isinstance(each, date)])
    else:
        yield from (*sorted({str(each) for each in literals}), _ANOTHER)


def _whole(values: set[int]) -> list[int]:
    """List the values, and one number in each gap beside them, where there is one."""
    points = {each + step for each in values or {0} for step in (-1, 0, 1)}
    return sorted(points)


def _decimals(values: set[Decimal]) -> list[Decimal]:
    known = sorted(values) or [Decimal(0)]
    middles = [(a + b) / 2 for a, b in pairwise(known)]
    return sorted({known[0] - 1, *known, *middles, known[-1] + 1})


def _times(values: Sequence[date | datetime]) -> list[object]:
    steps = (timedelta(days=-1), timedelta(0), timedelta(days=1))
    return [literal_json(each) for each in sorted({v + step for v in values for step in steps})]


def _between(values: Sequence[Duration]) -> list[str]:
    seconds = [each.seconds for each in values if each.seconds is not None]
    points = _whole(set(seconds))
    return [f"{point}s" for point in points if point >= 0] + [
        str(written(each)) for each in values if each.seconds is None
    ]


def _cell(axes: Sequence[Axis], points: Sequence[object]) -> Cell:
    facts: dict[str, object] = {}
    point: dict[str, object] = {}
    opaque: dict[Leaf, Truth] = {}
    for axis, value in zip(axes, points, strict=True):
        if not isinstance(axis.name, str):
            assert isinstance(value, Truth)
            opaque[axis.name] = value
        elif value is not _ABSENT:
            point[axis.name] = value
            for path in (axis.name, *(old for old, new in _SAME.items() if new == axis.name)):
                _put(facts, path.split("."), value)
    return Cell(point, facts, opaque)


def _put(facts: dict[str, object], names: list[str], value: object) -> None:
    *above, last = names
    for name in above:
        inner = facts.setdefault(name, {})
        assert isinstance(inner, dict)
        facts = inner
    facts[last] = value
