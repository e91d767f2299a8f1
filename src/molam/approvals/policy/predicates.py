"""Criteria as a tree, and what it says of an intent: true, false or unknown."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum

import re2

from molam.approvals.policy import durations
from molam.approvals.policy.durations import Duration, DurationMalformed
from molam.approvals.policy.fields import RISKS, Kind


class Truth(Enum):
    """Kleene's three values."""

    FALSE = "false"
    UNKNOWN = "unknown"
    TRUE = "true"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount to compare with; without a currency, minor units of whichever it is."""

    minor: int
    currency: str | None = None


Literal = str | int | bool | Decimal | Money | Duration | datetime | date
Value = Literal | tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison: the value at *path*, of *kind*, against *value*."""

    path: str
    operator: str
    value: Value
    kind: Kind


@dataclass(frozen=True, slots=True)
class Elem:
    """Some element of the list at *path* fulfils all of *tests*."""

    path: str
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """
    What was asked for lately, this action included.

    Counted are the actions of *action_types* created within *window* that are
    waiting, approved, running or done, and agree with this one in every path of
    *group_by*; sums also in the currency. *field* is ``amount`` or a parameter.
    """

    function: str
    field: str | None
    window: Duration
    group_by: tuple[str, ...]
    action_types: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name it in the facts' ``history``."""
        return "|".join(
            (
                self.function,
                self.field or "",
                str(durations.written(self.window)),
                ",".join(self.group_by),
                ",".join(self.action_types),
            )
        )


@dataclass(frozen=True, slots=True)
class History:
    """A comparison with an aggregate."""

    aggregate: Aggregate
    operator: str
    value: Money


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


Leaf = Test | Elem | History
Node = Leaf | All | Some | Not

_RANK = {Truth.FALSE: 0, Truth.UNKNOWN: 1, Truth.TRUE: 2}
_INVERSE = {Truth.FALSE: Truth.TRUE, Truth.TRUE: Truth.FALSE, Truth.UNKNOWN: Truth.UNKNOWN}

_SIGNS: Mapping[str, Callable[[int], bool]] = {
    "$eq": lambda sign: sign == 0,
    "$ne": lambda sign: sign != 0,
    "$gt": lambda sign: sign > 0,
    "$gte": lambda sign: sign >= 0,
    "$lt": lambda sign: sign < 0,
    "$lte": lambda sign: sign <= 0,
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MISSING = object()


class Incomparable(Exception):
    """The value is not of the kind the criterion speaks of."""


def truth_of(node: Node, facts: Mapping[str, object], *, note: list[tuple[Leaf, Truth]]) -> Truth:
    """Evaluate *node*, appending every leaf with its truth to *note*."""
    match node:
        case All():
            return min((truth_of(each, facts, note=note) for each in node.parts), key=_rank)
        case Some():
            return max((truth_of(each, facts, note=note) for each in node.parts), key=_rank)
        case Not():
            return _INVERSE[truth_of(node.part, facts, note=note)]
    truth = truth_of_leaf(node, facts)
    note.append((node, truth))
    return truth


def _rank(truth: Truth) -> int:
    return _RANK[truth]


def truth_of_leaf(leaf: Leaf, facts: Mapping[str, object]) -> Truth:
    try:
        match leaf:
            case History():
                return _as_truth(_history(leaf, facts))
            case Elem():
                return _element(leaf, found(facts, leaf.path))
        value = found(facts, leaf.path)
        if leaf.operator == "$exists":
            return _as_truth((value is not _MISSING) == leaf.value)
        return _as_truth(_holds(leaf, value))
    except Incomparable:
        return Truth.UNKNOWN


def _as_truth(answer: bool) -> Truth:  # noqa: FBT001 - this is what it converts.
    return Truth.TRUE if answer else Truth.FALSE


def found(facts: Mapping[str, object], path: str) -> object:
    """Return what stands at *path*; null is the same as nothing."""
    value: object = facts
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return _MISSING
        value = value.get(name)
        if value is None:
            return _MISSING
    return value


def _element(leaf: Elem, value: object) -> Truth:
    if not isinstance(value, list | tuple):
        return Truth.UNKNOWN
    best = Truth.FALSE
    for each in value:
        try:
            if all(_holds(test, each) for test in leaf.tests):
                return Truth.TRUE
        except Incomparable:
            best = Truth.UNKNOWN
    return best


def _history(leaf: History, facts: Mapping[str, object]) -> bool:
    history = facts.get("history")
    value = history.get(leaf.aggregate.key) if isinstance(history, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Incomparable
    if leaf.value.currency not in {None, found(facts, "amount.currency")}:
        raise Incomparable
    return _SIGNS[leaf.operator](_sign(value, leaf.value.minor))


def _holds(test: Test, value: object) -> bool:
    if value is _MISSING:
        raise Incomparable
    literal = test.value
    match test.operator:
        case "$in":
            answer = _is_among(test.kind, value, literal)
        case "$nin":
            answer = not _is_among(test.kind, value, literal)
        case "$size":
            answer = len(_list(value)) == literal
        case "$all":
            assert isinstance(literal, tuple)
            items = _list(value)
            answer = all(_is_in(test.kind, items, each) for each in literal)
        case "$regex" | "$prefix" | "$cidr":
            answer = _text_holds(test.operator, _text(value), str(literal))
        case _:
            answer = _SIGNS[test.operator](_compared(test.kind, value, literal))
    return answer


def _is_in(kind: Kind, items: Iterable[object], literal: Literal) -> bool:
    return 0 in [_compared(kind, item, literal) for item in items]


def _is_among(kind: Kind, value: object, literals: Value) -> bool:
    assert isinstance(literals, tuple)
    # Every one is compared: that one fits does not make another comparable.
    return 0 in [_compared(kind, value, each) for each in literals]


def _text_holds(operator: str, value: str, literal: str) -> bool:
    if operator == "$prefix":
        return value.startswith(literal)
    if operator == "$regex":
        return compiled(literal).fullmatch(value) is not None
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(literal)
    except ValueError:
        raise Incomparable from None


@functools.lru_cache(maxsize=512)
def compiled(pattern: str) -> re2._Regexp[str]:
    """Compile a pattern whose time is linear in what it is matched against."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(pattern, options)


def _compared(kind: Kind, value: object, literal: Value) -> int:
    """Return the sign of *value* minus *literal*, or of any difference where there is no order."""
    if isinstance(literal, Duration):
        return _sign(durations.seconds_of(_duration(value)), durations.seconds_of(literal))
    if kind is Kind.MONEY:
        assert isinstance(literal, Money)
        return _money(value, literal)
    if kind is Kind.FLAG:
        if not isinstance(value, bool):
            raise Incomparable
        return int(value != literal)
    reader = _READERS.get(kind)
    if reader is None:
        return int(_text(value) != literal)
    ours, theirs = reader(value), reader(literal)
    return (ours > theirs) - (ours < theirs)


def _sign(value: int, literal: int) -> int:
    return (value > literal) - (value < literal)


def _money(value: object, literal: Money) -> int:
    if not isinstance(value, Mapping):
        raise Incomparable
    if literal.currency not in {None, value.get("currency")}:
        raise Incomparable
    return _sign(_integer(value.get("minor")), literal.minor)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Incomparable
    return value


def _decimal(value: object) -> Decimal:
    """Read a decimal, which stands in an intent as text."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise Incomparable
    try:
        read = Decimal(value)
    except InvalidOperation:
        raise Incomparable from None
    if not read.is_finite():
        raise Incomparable
    return read


def _risk(value: object) -> int:
    if value not in RISKS:
        raise Incomparable
    return RISKS.index(str(value))


def _duration(value: object) -> Duration:
    try:
        return durations.read_duration(value)
    except DurationMalformed:
        raise Incomparable from None


def _instant(value: object) -> int:
    """Read an instant as microseconds."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise Incomparable from None
    if not isinstance(read, datetime) or read.tzinfo is None:
        raise Incomparable
    return (read - _EPOCH) // timedelta(microseconds=1)


def _day(value: object) -> int:
    try:
        read = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise Incomparable from None
    if not isinstance(read, date) or isinstance(read, datetime):
        raise Incomparable
    return read.toordinal()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Incomparable
    return value


def _list(value: object) -> list[object] | tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise Incomparable
    return value


_READERS: Mapping[Kind, Callable[[object], int | Decimal]] = {
    Kind.RISK: _risk,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.INSTANT: _instant,
    Kind.DAY: _day,
}


def leaves(node: Node) -> Iterable[Leaf]:
    """List the comparisons of *node*, left to right."""
    match node:
        case All() | Some():
            for part in node.parts:
                yield from leaves(part)
        case Not():
            yield from leaves(node.part)
        case _:
            yield node
