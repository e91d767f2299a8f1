"""Refusals, outages and bugs as RFC 9457 problem documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import asyncpg
import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from molam.kernel.refusals import Kind, Outage, Refusal
from molam.platform.web import catalogue

BASE = "https://docs.molam.example/problems/"
MEDIA_TYPE = "application/problem+json"
REALM = "molam"

STATUS: dict[Kind, HTTPStatus] = {
    Kind.MALFORMED: HTTPStatus.BAD_REQUEST,
    Kind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Kind.STEP_UP: HTTPStatus.UNAUTHORIZED,
    Kind.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Kind.ABSENT: HTTPStatus.NOT_FOUND,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Kind.UNSUPPORTED_MEDIA: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Kind.BROKEN_RULE: HTTPStatus.UNPROCESSABLE_ENTITY,
    Kind.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
}
assert STATUS.keys() == set(Kind)

# Reasons the database gives that pass by themselves.
_TEMPORARY = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)

_RETRY_AFTER_S = 5


class RouteAbsent(Refusal):
    code = "not-found"
    kind = Kind.ABSENT
    title = "There is nothing at this address"


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, in words fit for the caller."""

    status: HTTPStatus
    code: str
    title: str
    detail: str
    message: str
    """One sentence in the caller's language."""
    facts: Mapping[str, str | int]
    headers: Mapping[str, str]
    request_id: str
    locale: str


def describe(error: Exception, *, request_id: str, locale: str) -> Problem:
    """
    Describe *error* to the caller.

    Only a `Refusal` explains itself. Anything unforeseen becomes a bare 500 that
    carries the request id and not one word of the exception.
    """
    facts: Mapping[str, str | int] = {}
    headers: dict[str, str] = {}
    match error:
        case Refusal():
            status, code, title, detail = (
                STATUS[error.kind],
                error.code,
                error.title,
                error.detail,
            )
            facts = error.facts
            headers = _headers(error)
        case Outage():
            status, code = HTTPStatus.SERVICE_UNAVAILABLE, "try-again"
            title, detail = "A dependency is unavailable", "Try again shortly."
            headers = {"Retry-After": str(error.retry_after_s)}
        case HTTPException() if error.status_code in _ROUTER:
            status = HTTPStatus(error.status_code)
            code, title, detail = _ROUTER[error.status_code]
            headers = dict(error.headers or {})
        case _ if is_temporary(error):
            status, code = HTTPStatus.SERVICE_UNAVAILABLE, "try-again"
            title, detail = "A dependency is unavailable", "Try again shortly."
            headers = {"Retry-After": str(_RETRY_AFTER_S)}
        case _:
            status, code = HTTPStatus.INTERNAL_SERVER_ERROR, "unforeseen"
            title, detail = status.phrase, "Quote the request id when you report this."
    return Problem(
        status=status,
        code=code,
        title=title,
        detail=detail,
        message=catalogue.sentence(code, fallback=title, locale=locale),
        facts=facts,
        headers=headers,
        request_id=request_id,
        locale=locale,
    )


def is_temporary(error: Exception) -> bool:
    """Tell whether the database gave up for a reason that passes by itself."""
    return isinstance(error, _TEMPORARY)


_ROUTER = {
    404: (RouteAbsent.code, RouteAbsent.title, "Check the path."),
    405: ("method-not-allowed", "This address does not take that method", "See the Allow header."),
}


def _headers(refusal: Refusal) -> dict[str, str]:
    match refusal.kind:
        case Kind.UNAUTHENTICATED:
            error = "" if refusal.code == "unauthenticated" else ', error="invalid_token"'
            return {"WWW-Authenticate": f'Bearer realm="{REALM}"{error}'}
        case Kind.STEP_UP:
            # RFC 9470. Both facts come from our own code, never from a request.
            return {
                "WWW-Authenticate": (
                    f'Bearer realm="{REALM}", error="insufficient_user_authentication", '
                    f'error_description="{refusal.title}", '
                    f'acr_values="{refusal.facts["acr_values"]}", '
                    f"max_age={refusal.facts['max_age']}"
                )
            }
        case Kind.TOO_MANY:
            return _limit_headers(refusal.facts)
        case _ if "retry_after_s" in refusal.facts:
            return {"Retry-After": str(refusal.facts["retry_after_s"])}
        case _:
            return {}


def _limit_headers(facts: Mapping[str, str | int]) -> dict[str, str]:
    headers = {"Retry-After": str(facts.get("retry_after_s", _RETRY_AFTER_S))}
    if "reset_at" in facts:
        headers["X-RateLimit-Limit"] = str(facts["limit"])
        headers["X-RateLimit-Remaining"] = "0"
        headers["X-RateLimit-Reset"] = str(facts["reset_at"])
    return headers


def document(problem: Problem) -> dict[str, str | int]:
    return {
        **problem.facts,
        "type": BASE + problem.code,
        "title": problem.title,
        "status": problem.status.value,
        "detail": problem.detail,
        "instance": f"urn:request:{problem.request_id}",
        "code": problem.code,
        "message": problem.message,
    }


def response(problem: Problem) -> Response:
    return Response(
        msgspec.json.encode(document(problem)),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=dict(problem.headers),
    )
