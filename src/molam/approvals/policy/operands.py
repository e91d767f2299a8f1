"""What an operator takes, read for the path it stands at."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping

import re2

from molam.approvals.policy.fields import CriteriaMalformed, Field, Kind
from molam.approvals.policy.literals import literal_json, read_duration, read_literal
from molam.approvals.policy.predicates import Literal, Test, Value, compiled

VALUES_MAX = 1000
PATTERN_LENGTH_MAX = 200

ORDER = ("$gt", "$gte", "$lt", "$lte")
LISTS = ("$all", "$size", "$elem")
_ORDERED_KINDS = (Kind.INTEGER, Kind.DECIMAL, Kind.MONEY, Kind.INSTANT, Kind.DAY, Kind.RISK)


def list_test(path: str, about: Field, asked: tuple[str, object], where: str) -> Test:
    operator, literal = asked
    if about.kind is not Kind.LIST or about.element is None:
        raise CriteriaMalformed(f"{where}: it is not a list.")
    if operator == "$size":
        size = read_literal(literal, Field(Kind.INTEGER), where)
        return Test(path, operator, size, Kind.LIST)
    return Test(path, operator, _values(literal, Field(about.element), where), about.element)


def _values(value: object, about: Field, where: str) -> tuple[Literal, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= VALUES_MAX:
        raise CriteriaMalformed(f"{where}: write a list of 1 to {VALUES_MAX} values.")
    read = {read_literal(each, about, f"{where}[{i}]") for i, each in enumerate(value)}
    return tuple(sorted(read, key=lambda each: json.dumps(literal_json(each))))


def _presence(value: object, _about: Field, where: str) -> bool:
    if not isinstance(value, bool):
        raise CriteriaMalformed(f"{where}: write true or false.")
    return value


def _bound(value: object, about: Field, where: str) -> Literal:
    if about.kind is Kind.TEXT:
        return read_duration(value, where)
    if about.kind not in _ORDERED_KINDS:
        raise CriteriaMalformed(f"{where}: its values have no order.")
    return read_literal(value, about, where)


def _written(value: object, about: Field, where: str) -> str:
    if about.kind is not Kind.TEXT:
        raise CriteriaMalformed(f"{where}: it is not text.")
    if not isinstance(value, str) or not 1 <= len(value) <= PATTERN_LENGTH_MAX:
        raise CriteriaMalformed(f"{where}: write 1 to {PATTERN_LENGTH_MAX} characters.")
    return value


def _network(value: object, about: Field, where: str) -> str:
    try:
        return str(ipaddress.ip_network(_written(value, about, where)))
    except ValueError:
        raise CriteriaMalformed(f"{where}: write a network, 10.0.0.0/8.") from None


def _pattern(value: object, about: Field, where: str) -> str:
    pattern = _written(value, about, where)
    try:
        compiled(pattern)
    except re2.error:
        raise CriteriaMalformed(f"{where}: not a pattern that RE2 understands.") from None
    return pattern


OPERANDS: Mapping[str, Callable[[object, Field, str], Value]] = {
    "$exists": _presence,
    "$eq": read_literal,
    "$ne": read_literal,
    "$in": _values,
    "$nin": _values,
    "$gt": _bound,
    "$gte": _bound,
    "$lt": _bound,
    "$lte": _bound,
    "$prefix": _written,
    "$regex": _pattern,
    "$cidr": _network,
}
