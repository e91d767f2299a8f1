"""Reading JSON from strangers: one meaning per document, or none."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from molam.kernel.refusals import Kind, Refusal

Json = None | bool | int | Decimal | str | list["Json"] | dict[str, "Json"]

DEPTH_MAX = 32


class JsonMalformed(Refusal):
    code = "json-malformed"
    kind = Kind.MALFORMED
    title = "The body is not acceptable JSON"


def parse(body: bytes) -> Json:
    """
    Parse JSON strictly.

    Numbers with a point or an exponent become `Decimal`, never float. A key
    given twice, NaN, Infinity, lone surrogates, a NUL character and nesting
    beyond `DEPTH_MAX` are refused, because two readers could understand them
    differently (RFC 8259, sections 4, 6 and 8).

    Raises:
        JsonMalformed: says where and why.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonMalformed(f"The body is not UTF-8 at byte {error.start}.") from None
    if _depth(text) > DEPTH_MAX:
        raise JsonMalformed(f"Nest at most {DEPTH_MAX} levels.")
    try:
        parsed: Json = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=_decimal,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise JsonMalformed(f"{error.msg} at character {error.pos}.") from None
    except ValueError:
        # Python refuses integers of more than 4,300 digits with a bare ValueError.
        raise JsonMalformed("A number is too long.") from None
    # Neither can come but by an escape: the text itself is UTF-8, and a bare NUL no JSON.
    if "\\u" in text and not _is_storable(parsed):
        raise JsonMalformed("A string holds a character that cannot be stored.")
    return parsed


def _depth(text: str) -> int:
    """Count the deepest nesting without recursion, before anything recursive runs."""
    deepest = level = 0
    in_string = escaped = False
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return 0
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "[{":
            level += 1
            deepest = max(deepest, level)
        elif char in "]}":
            level -= 1
    return deepest


def _is_storable(value: Json) -> bool:
    """Tell whether every string of *value* is text in UTF-8 without a NUL, as PostgreSQL's is."""
    match value:
        case str():
            return "\x00" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
        case list():
            return all(map(_is_storable, value))
        case dict():
            return all(map(_is_storable, value)) and all(map(_is_storable, value.values()))
    return True


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonMalformed(f"The key {twice[:64]!r} is given twice.")
    return result


def _decimal(digits: str) -> Decimal:
    if len(digits) > 64:  # noqa: PLR2004 - far beyond any amount, and cheap to refuse.
        raise JsonMalformed("A number is too long.")
    try:
        return Decimal(digits)
    except InvalidOperation:
        raise JsonMalformed("The exponent of a number is too long.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise JsonMalformed(f"{name} is not a JSON number.")
