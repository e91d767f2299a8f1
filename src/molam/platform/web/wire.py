"""What strangers send, read into structs with one meaning or refused."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from molam.kernel import canonical
from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal

# Types for wire structs. Bounded, because PostgreSQL's are.
Identifier = Annotated[str, Meta(min_length=1, max_length=255)]
ShortText = Annotated[str, Meta(max_length=255)]
LongText = Annotated[str, Meta(max_length=4000)]
Minor = Annotated[int, Meta(ge=0, le=MINOR_MAX, description="Minor units of the currency")]
# In Python a "$" also matches before a final line break; "\Z" does not.
CurrencyCode = Annotated[
    str, Meta(pattern=r"^[A-Z]{3}\Z", max_length=3, description="ISO 4217 code")
]
PageLimit = Annotated[int, Meta(ge=1, le=200)]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339, with an offset")]

_YEARS = range(1900, 2200)
_QUERY_FIELDS_MAX = 64
_QUERY_BYTES_MAX = 8192
_QUERY_REMEMBERED_BYTES_MAX = 128
_INTEGER_DIGITS_MAX = 18

StructT = TypeVar("StructT", bound=msgspec.Struct)
ShapeT = TypeVar("ShapeT")


class BodyMalformed(Refusal):
    code = "body-malformed"
    kind = Kind.MALFORMED
    title = "The body does not have the expected shape"


class QueryMalformed(Refusal):
    code = "query-malformed"
    kind = Kind.MALFORMED
    title = "The query string does not have the expected shape"


class BodyTooLarge(Refusal):
    code = "body-too-large"
    kind = Kind.TOO_LARGE
    title = "The body is too large"


class MediaTypeRefused(Refusal):
    code = "unsupported-media-type"
    kind = Kind.UNSUPPORTED_MEDIA
    title = "This content type is not accepted here"


def limited(receive: Receive, *, bytes_max: int) -> Receive:
    """Count what arrives, chunked or not, and refuse more than *bytes_max*."""
    seen = 0

    async def receive_counted() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > bytes_max:
                raise _too_large(bytes_max)
        return message

    return receive_counted


def check_declared_length(request: Request, *, bytes_max: int) -> None:
    """
    Refuse a body by its Content-Length before reading any of it.

    Raises:
        BodyTooLarge: it says more than *bytes_max*.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared[:_INTEGER_DIGITS_MAX]) > bytes_max:
        raise _too_large(bytes_max)


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"Send at most {bytes_max} bytes.", limit_bytes=bytes_max)


async def read_json(request: Request, shape: type[ShapeT], *, media: tuple[str, ...]) -> ShapeT:
    """
    Read a JSON body as *shape*.

    Raises:
        MediaTypeRefused: the content type is none of *media*.
        BodyTooLarge: more bytes than the route allows.
        JsonMalformed: not JSON, or JSON that could be read in two ways.
        BodyMalformed: JSON of another shape.
    """
    raw = await _body(request)
    is_typed = "content-type" in request.headers
    if raw or is_typed:
        _check_media(request, media)
    # Nothing at all says nothing: an object without fields. Where one is due, a type without
    # a body is a body that was lost on the way.
    if not raw and (not is_typed or _asks_nothing(shape)):
        return convert({}, shape)
    return convert(canonical.parse(raw), shape)


def _asks_nothing(shape: type) -> bool:
    is_struct = isinstance(shape, type) and issubclass(shape, msgspec.Struct)
    return is_struct and not any(each.required for each in msgspec.structs.fields(shape))


async def read_form(request: Request) -> dict[str, str]:
    """
    Read a urlencoded form. A blank field counts as absent.

    Raises:
        MediaTypeRefused: not a urlencoded form.
        BodyTooLarge: more bytes than the route allows.
        BodyMalformed: a field given twice, or too many of them.
    """
    _check_media(request, ("application/x-www-form-urlencoded",))
    raw = await _body(request)
    try:
        return _pairs(raw.decode("ascii"))
    except ValueError as error:
        raise BodyMalformed(_sentence(error)) from None


def convert_form(fields: Mapping[str, str], shape: type[StructT]) -> StructT:
    """
    Turn the fields of a form into *shape*.

    Raises:
        BodyMalformed: an unknown field, a missing one, or one of another type.
    """
    try:
        return _convert_text(fields, shape)
    except (msgspec.ValidationError, ValueError) as error:
        raise BodyMalformed(_sentence(error)) from None


def convert(document: canonical.Json, shape: type[ShapeT]) -> ShapeT:
    """
    Turn a parsed JSON *document* into *shape*.

    Raises:
        BodyMalformed: it says which field, and what was expected.
    """
    try:
        converted = msgspec.convert(document, shape)
        _check_moments(converted, shape)
    except (msgspec.ValidationError, ValueError) as error:
        raise BodyMalformed(_sentence(error)) from None
    return converted


def read_query(raw: bytes, shape: type[StructT] | None, *, strict: bool) -> StructT | None:
    """
    Read the query string as *shape*; blank parameters count as absent.

    Raises:
        QueryMalformed: an unknown, repeated or malformed parameter.
    """
    if not raw:
        return None if shape is None else _query(shape, {})
    if shape is None:
        if strict:
            raise QueryMalformed("This address takes no parameters.")
        return None
    if len(raw) > _QUERY_BYTES_MAX:
        raise QueryMalformed(f"Write at most {_QUERY_BYTES_MAX} bytes of parameters.")
    if len(raw) <= _QUERY_REMEMBERED_BYTES_MAX:
        remembered: StructT = _remembered_query(raw, shape)
        return remembered
    return _parsed_query(raw, shape)


def _parsed_query(raw: bytes, shape: type[StructT]) -> StructT:
    try:
        fields = _pairs(raw.decode("latin-1"))
    except ValueError as error:
        raise QueryMalformed(_sentence(error)) from None
    return _query(shape, fields)


@functools.lru_cache(maxsize=2048)
def _remembered_query(raw: bytes, shape: type[StructT]) -> StructT:
    """Dashboards ask the same few questions again and again; endpoints only read the answer."""
    return _parsed_query(raw, shape)


def _query(shape: type[StructT], fields: Mapping[str, str]) -> StructT:
    try:
        return _convert_text(fields, shape)
    except (msgspec.ValidationError, ValueError) as error:
        raise QueryMalformed(_sentence(error)) from None


def _pairs(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, max_num_fields=_QUERY_FIELDS_MAX)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("A parameter is given twice.")
    if any("\0" in value or "\0" in key for key, value in pairs):
        raise ValueError("A parameter holds a NUL character.")
    return fields


def _convert_text(fields: Mapping[str, str], shape: type[StructT]) -> StructT:
    # msgspec reads "1e3" as the integer 1000 and "1700000000" as a time; people
    # who write that made a mistake, so plain digits and real dates are demanded.
    for name, kind in _plain_fields(shape).items():
        value = fields.get(name)
        if value is None:
            continue
        digits = value.removeprefix("-")
        plain = digits.isascii() and digits.isdigit()
        if kind is int and not (plain and len(digits) <= _INTEGER_DIGITS_MAX):
            raise ValueError(f"Expected a whole number - at `$.{name}`.")
        if kind is date and (plain or not digits):
            raise ValueError(f"Expected an ISO 8601 date - at `$.{name}`.")
    converted = msgspec.convert(fields, shape, strict=False)
    _check_moments(converted, shape)
    return converted


@functools.cache
def _plain_fields(shape: type[msgspec.Struct]) -> dict[str, type]:
    return {
        field.encode_name: kind
        for field in msgspec.structs.fields(shape)
        if (kind := _plain_kind(msgspec.inspect.type_info(field.type))) is not None
    }


def _plain_kind(info: msgspec.inspect.Type) -> type | None:
    kinds = [_bare(each) for each in (_bare(info).types if _is_union(info) else (info,))]
    if any(isinstance(kind, msgspec.inspect.StrType) for kind in kinds):
        return None
    if any(isinstance(kind, msgspec.inspect.IntType) for kind in kinds):
        return int
    if any(
        isinstance(kind, msgspec.inspect.DateTimeType | msgspec.inspect.DateType) for kind in kinds
    ):
        return date
    return None


def _bare(info: msgspec.inspect.Type) -> Any:
    """Look through a description, which msgspec wraps around the type it describes."""
    return info.type if isinstance(info, msgspec.inspect.Metadata) else info


def _is_union(info: msgspec.inspect.Type) -> bool:
    return isinstance(_bare(info), msgspec.inspect.UnionType)


@functools.cache
def _holds_moments(shape: Any) -> bool:
    return "datetime" in repr(msgspec.inspect.type_info(shape)).lower()


def _check_moments(value: object, shape: Any) -> None:
    """Refuse years that a time zone or PostgreSQL would push out of range."""
    if _holds_moments(shape):
        _walk_moments(value)


def _walk_moments(value: object) -> None:
    if isinstance(value, datetime):
        if value.year not in _YEARS:
            raise ValueError("A time is outside the years 1900 to 2199.")
        value.astimezone(UTC)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _walk_moments(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            _walk_moments(item)


def _check_media(request: Request, media: tuple[str, ...]) -> None:
    given, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if given.strip().lower() not in media or charset not in {"", "charset=utf-8"}:
        raise MediaTypeRefused(f"Send {' or '.join(media)}.", accepted=", ".join(media))


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise BodyMalformed("The body ended early.") from None


def _sentence(error: Exception) -> str:
    said = str(error)
    if "`int" in said and ("got `decimal`" in said or "$.amount" in said):
        said += "; amounts are whole numbers of minor units, without point or exponent"
    return said[:300] if said.endswith(".") else f"{said[:300]}."
