"""Forms made from what an action type says its parameters are."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from molam.kernel.currency import Currency
from molam.kernel.money import AmountMalformed
from molam.platform.actions import Amount
from molam.platform.web.l10n import parse_amount

Kind = Literal["text", "long", "choice", "integer", "decimal", "amount", "date", "duration", "flag"]

_LONG = frozenset({"reason", "note"})
_WHOLE_DIGITS_MAX = 15


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: Kind
    required: bool
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filled:
    """What somebody typed, as the raw parameters of an action; *errors* by field."""

    params: dict[str, Any]
    errors: dict[str, str]


def free_texts(params: Mapping[str, object]) -> dict[str, str]:
    """Return what people wrote in sentences among the parameters of an action."""
    return {
        name: text
        for name, text in params.items()
        if name in _LONG and isinstance(text, str) and text.strip()
    }


def fields_of(params: type[msgspec.Struct]) -> tuple[Field, ...]:
    """List what a form for *params* asks, in the order the type declares it."""
    hints = typing.get_type_hints(params, include_extras=True)
    return tuple(
        _field(each.encode_name, hints[each.name], required=each.required)
        for each in msgspec.structs.fields(params)
    )


def fill(fields: tuple[Field, ...], typed: Mapping[str, str], unit: Currency | None) -> Filled:
    """
    Read what was typed into raw parameters.

    An amount is typed as people write it, in *unit*; without one it is left to the
    action type to say whose currency a bare amount has.
    """
    params: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in fields:
        text = typed.get(field.name, "").strip()
        if not text:
            if field.required:
                errors[field.name] = "missing"
            continue
        try:
            params[field.name] = _read(field, text, unit)
        except _Mistyped as error:
            errors[field.name] = error.code
    return Filled(params, errors)


class _Mistyped(ValueError):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def _read(field: Field, text: str, unit: Currency | None) -> object:
    match field.kind:
        case "integer":
            return _whole(text)
        case "decimal":
            return str(_decimal(text))
        case "amount":
            return _amount(text, unit)
        case "date":
            return _day(text)
        case "flag":
            return text == "yes"
        case _:
            return text


def _whole(text: str) -> int:
    digits = "".join(text.split())
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _WHOLE_DIGITS_MAX):
        raise _Mistyped("number")
    return int(digits)


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text.replace(",", ".").removesuffix("%").strip())
    except InvalidOperation:
        raise _Mistyped("decimal") from None
    if not value.is_finite() or abs(value.adjusted()) > _WHOLE_DIGITS_MAX:
        raise _Mistyped("decimal")
    return value


def _amount(text: str, unit: Currency | None) -> object:
    if unit is None:
        return _whole(text)
    try:
        minor = parse_amount(text, unit).minor
    except AmountMalformed:
        raise _Mistyped("amount") from None
    return {"currency": unit.code, "minor": minor}


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise _Mistyped("date") from None


def _field(name: str, hint: Any, *, required: bool) -> Field:
    bare = _bare(hint)
    if get_origin(bare) is Literal:
        return Field(name, "choice", required, tuple(map(str, get_args(bare))))
    return Field(name, _kind(name, bare), required)


def _kind(name: str, bare: Any) -> Kind:
    plain: dict[Any, Kind] = {
        bool: "flag",
        int: "integer",
        Decimal: "decimal",
        date: "date",
        Amount: "amount",
    }
    if bare in plain:
        return plain[bare]
    if name == "duration":
        return "duration"
    return "long" if name in _LONG else "text"


def _bare(hint: Any) -> Any:
    """Look through ``Annotated`` and ``| None`` at what is really asked for."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in {typing.Union, types.UnionType}:
        given = [each for each in get_args(hint) if each is not type(None)]
        return _bare(given[0])
    return hint
