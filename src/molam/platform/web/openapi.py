"""The OpenAPI document, written from the structs that the routes parse and answer with."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec

from molam.kernel.refusals import Kind, Refusal
from molam.platform.web import uploads
from molam.platform.web.caller import PUBLIC
from molam.platform.web.problems import BASE, MEDIA_TYPE, STATUS
from molam.platform.web.routes import WEBSOCKET, Operation

_REF = "#/components/schemas/{name}"

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. `code` is stable; members beyond these depend on it.",
    "required": ["type", "title", "status", "detail", "instance", "code", "message"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": [BASE + "body-malformed"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri"},
        "code": {"type": "string"},
        "message": {"type": "string", "description": "One sentence in the caller's language."},
    },
}

_MEANING = {
    400: "Malformed",
    401: "Not signed in, or a stronger sign-in is needed",
    403: "Not allowed",
    404: "Absent, or another merchant's",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported content type",
    422: "A rule forbids it",
    429: "Too many requests",
    500: "Our fault",
    503: "Temporarily unavailable",
}


def write(*, title: str, version: str, server: str, operations: Sequence[Operation]) -> bytes:
    """Describe every operation that is not an HTML page."""
    shown = [each for each in operations if not each.page and each.method != WEBSOCKET]
    types = [kind for each in shown for kind in (each.body, each.query, each.answers) if kind]
    schemas, components = _as_others_read(msgspec.json.schema_components(types, ref_template=_REF))
    by_type = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    queries = {each.query.__name__ for each in shown if each.query is not None}
    paths: dict[str, dict[str, Any]] = {}
    for each in shown:
        paths.setdefault(each.template, {})[each.method.lower()] = _operation(
            each, by_type, components
        )
    document = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": server or "/"}],
        "paths": paths,
        "components": {
            "schemas": {
                **{name: held for name, held in components.items() if name not in queries},
                "Problem": _PROBLEM,
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }
    return msgspec.json.encode(document)


def _as_others_read(schema: Any) -> Any:
    """
    Describe decimals as the numbers we write; msgspec supposes strings.

    The end of a pattern is a dollar in JSON Schema; Python has another name for it.
    """
    if isinstance(schema, dict):
        found = {key: _as_others_read(held) for key, held in schema.items()}
        if found.get("format") == "decimal":
            del found["format"]
            found["type"] = "number"
        if isinstance(pattern := found.get("pattern"), str) and pattern.endswith(r"\Z"):
            found["pattern"] = pattern.removesuffix(r"\Z") + "$"
        return found
    if isinstance(schema, list | tuple):
        return [_as_others_read(held) for held in schema]
    return schema


def _operation(
    each: Operation, by_type: dict[str, Any], components: dict[str, Any]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": each.endpoint.__name__,
        "summary": (inspect.getdoc(each.endpoint) or each.endpoint.__name__).split("\n")[0],
        "parameters": [
            *(_path_parameter(name, each.path) for name in each.path_parameters),
            *_query_parameters(each, components),
        ],
        "responses": _responses(each, by_type),
        "security": [] if each.needs is PUBLIC else [{"bearer": []}],
    }
    if each.body is not None:
        media = ("application/x-www-form-urlencoded",) if each.form else each.media
        schema = by_type[repr(each.body)]
        if each.upload:
            media, schema = (uploads.MEDIA_TYPE,), _with_file(components[each.body.__name__])
        described["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": schema} for kind in media},
        }
    return described


def _with_file(fields: dict[str, Any]) -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    return {**fields, "properties": {**fields["properties"], uploads.FILE_FIELD: file}}


def _path_parameter(name: str, path: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 255}
    if f"{{{name}:uuid}}" in path:
        schema = {"type": "string", "format": "uuid"}
    elif f"{{{name}:int}}" in path:
        schema = {"type": "integer", "minimum": 0}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(each: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    if each.query is None:
        return []
    schema = components[each.query.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(held)}
        for name, held in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Drop the null of an optional parameter: a query string leaves it out instead."""
    choices = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    rest = {key: held for key, held in schema.items() if key not in {"anyOf", "default"}}
    if schema.get("default") is not None:
        rest["default"] = schema["default"]
    return (
        {**rest, **choices[0]}
        if len(choices) == 1
        else {**rest, **({"anyOf": choices} if choices else {})}
    )


def _responses(each: Operation, by_type: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "Done"}
    if each.answers is not None:
        answer["content"] = {"application/json": {"schema": by_type[repr(each.answers)]}}
    responses: dict[str, Any] = {str(each.status): answer}
    for status in sorted(_problem_statuses(each)):
        responses[str(status)] = {
            "description": _MEANING[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
        }
    for other in map(str, each.also):
        problem = responses.get(other, {})
        content = {**answer.get("content", {}), **problem.get("content", {})}
        responses[other] = {**answer, **problem, "content": content}
    return responses


def _problem_statuses(each: Operation) -> set[int]:
    kinds: set[Kind] = {_kind(refusal) for refusal in each.refuses}
    kinds.add(Kind.MALFORMED)  # Any address refuses a parameter it does not know.
    if each.needs is not PUBLIC:
        kinds |= {Kind.UNAUTHENTICATED, Kind.FORBIDDEN}
    if each.path_parameters:
        kinds.add(Kind.ABSENT)
    if each.body is not None:
        kinds |= {Kind.TOO_LARGE, Kind.UNSUPPORTED_MEDIA}
    return {STATUS[kind].value for kind in kinds} | {500, 503}


def _kind(refusal: type[Refusal]) -> Kind:
    return refusal.kind
