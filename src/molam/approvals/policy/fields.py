"""What a criterion may speak of: paths, and the kind of value each has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec import inspect

from molam.kernel.refusals import Kind as RefusalKind
from molam.kernel.refusals import Refusal
from molam.platform.actions import Amount

RISKS = ("low", "medium", "high", "critical")
ORIGINS = ("sira", "system", "ops_ui", "module", "alert")


class CriteriaMalformed(Refusal):
    code = "criteria-malformed"
    kind = RefusalKind.BROKEN_RULE
    title = "The criteria cannot be understood"


class Kind(StrEnum):
    """How values of a path compare."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLAG = "flag"
    MONEY = "money"
    INSTANT = "instant"
    DAY = "day"
    RISK = "risk"
    LIST = "list"
    OTHER = "other"
    """Can be there or not, and that is all that is known of it."""


@dataclass(frozen=True, slots=True)
class Field:
    """One path: its kind, the values it may have if they are few, what its elements are."""

    kind: Kind
    choices: frozenset[str] | None = None
    element: Kind | None = None
    optional: bool = False


_TEXT = Field(Kind.TEXT)

COMMON: dict[str, Field] = {
    "action_type": _TEXT,
    "origin": Field(Kind.TEXT, frozenset(ORIGINS)),
    "risk_level": Field(Kind.RISK, frozenset(RISKS)),
    "target_tenant_type": _TEXT,
    "target_tenant_id": _TEXT,
    "tenant.type": _TEXT,
    "tenant.id": _TEXT,
    "amount": Field(Kind.MONEY, optional=True),
    "amount.minor": Field(Kind.INTEGER, optional=True),
    "amount.currency": Field(Kind.TEXT, optional=True),
    "country": Field(Kind.TEXT, optional=True),
}

CONFIDENCE = "context.confidence"

ALIASES = {
    "currency": "amount.currency",
    "risk.level": "risk_level",
}


def field_of(path: str, types: frozenset[str], schemas: dict[str, dict[str, Field]]) -> Field:
    """
    Find what *path* is for every one of *types*.

    Raises:
        CriteriaMalformed: some type has no such path, or two mean different things by it.
    """
    common = COMMON.get(path)
    if common is not None:
        return common
    if not path.startswith("params."):
        raise CriteriaMalformed(f"{path[:80]}: nothing is called that.")
    name = path.removeprefix("params.")
    found: Field | None = None
    for each in sorted(types):
        field = schemas[each].get(name)
        if field is None:
            raise CriteriaMalformed(f"{path[:80]}: {each} has no such parameter.")
        if found is not None and (found.kind, found.element) != (field.kind, field.element):
            raise CriteriaMalformed(f"{path[:80]}: not the same kind in every action type.")
        found = field
    if found is None:
        raise CriteriaMalformed(
            f"{path[:80]}: no action type has both this and what stands beside."
        )
    return found


def schema_of(params: type[msgspec.Struct]) -> dict[str, Field]:
    """List the paths into *params*, without ``params.``."""
    described = inspect.type_info(params)
    assert isinstance(described, inspect.StructType)
    return dict(_fields(described, ""))


def _fields(struct: inspect.StructType, prefix: str) -> Iterator[tuple[str, Field]]:
    for each in struct.fields:
        name = prefix + each.encode_name
        inner, nullable = _unwrapped(each.type)
        optional = nullable or not each.required
        if isinstance(inner, inspect.StructType) and inner.cls is not Amount:
            yield name, Field(Kind.OTHER, optional=optional)
            yield from _fields(inner, name + ".")
            continue
        kind, choices = _kind(inner)
        element = None
        if isinstance(inner, inspect.ListType | inspect.VarTupleType):
            element = _kind(_unwrapped(inner.item_type)[0])[0]
        yield name, Field(kind, choices, element, optional)
        if kind is Kind.MONEY:
            yield name + ".minor", Field(Kind.INTEGER, optional=optional)
            yield name + ".currency", Field(Kind.TEXT, optional=optional)


def _unwrapped(type_: inspect.Type) -> tuple[inspect.Type, bool]:
    while isinstance(type_, inspect.Metadata):
        type_ = type_.type
    if not isinstance(type_, inspect.UnionType):
        return type_, False
    kept = [each for each in type_.types if not isinstance(each, inspect.NoneType)]
    nullable = len(kept) < len(type_.types)
    return (kept[0] if len(kept) == 1 else type_), nullable


_KINDS: tuple[tuple[type[inspect.Type], Kind], ...] = (
    (inspect.BoolType, Kind.FLAG),
    (inspect.IntType, Kind.INTEGER),
    (inspect.DecimalType, Kind.DECIMAL),
    (inspect.StrType, Kind.TEXT),
    (inspect.UUIDType, Kind.TEXT),
    (inspect.DateType, Kind.DAY),
    (inspect.DateTimeType, Kind.INSTANT),
    (inspect.ListType, Kind.LIST),
    (inspect.VarTupleType, Kind.LIST),
)


def _kind(type_: inspect.Type) -> tuple[Kind, frozenset[str] | None]:
    match type_:
        case inspect.StructType():
            return Kind.MONEY, None
        case inspect.LiteralType():
            words = [value for value in type_.values if isinstance(value, str)]
            if len(words) == len(type_.values):
                return Kind.TEXT, frozenset(words)
            return Kind.INTEGER, None
        case inspect.EnumType():
            values = [member.value for member in type_.cls]
            if all(isinstance(value, str) for value in values):
                return Kind.TEXT, frozenset(values)
            return Kind.INTEGER, None
    return next((kind for shape, kind in _KINDS if isinstance(type_, shape)), Kind.OTHER), None
