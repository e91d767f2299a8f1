"""Declaring routes: each names the permission it needs, or it cannot be declared."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict, Unpack

import msgspec
from starlette.requests import HTTPConnection
from starlette.responses import Response

from molam.kernel.refusals import Refusal
from molam.platform.web.caller import Caller, Permission

BODY_BYTES_MAX = 64 * 1024
TIME_LIMIT_S = 15.0
WEBSOCKET = "WEBSOCKET"

Endpoint = Callable[..., Awaitable[Response | msgspec.Struct | None]]

_PATH_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")


class Authenticator(Protocol):
    """Says who is asking: nobody is None, and a bad credential is a refusal."""

    async def __call__(self, connection: HTTPConnection, /) -> Caller | None: ...


class Wants(TypedDict, total=False):
    """What a route may say about itself beside its path and permission."""

    query: type[msgspec.Struct] | None
    body: Any
    """A Struct, or a list of them."""
    answers: Any
    """The Struct of a successful answer, for the OpenAPI document."""
    page: bool
    """An HTML page: visitors are sent to sign in, problems are shown as pages."""
    form: bool
    """The body is an HTML form (application/x-www-form-urlencoded)."""
    upload: bool
    """The form may carry a file (multipart/form-data), which the endpoint takes last."""
    status: int
    also: tuple[int, ...]
    """Other statuses with a body of the same shape: 200 for what existed already."""
    refuses: tuple[type[Refusal], ...]
    media: tuple[str, ...]
    """Accepted content types of the body."""
    body_bytes_max: int
    time_limit_s: float


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path, and everything that is true of it."""

    method: str
    path: str
    needs: Permission
    endpoint: Endpoint
    query: type[msgspec.Struct] | None = None
    body: Any = None
    answers: Any = None
    page: bool = False
    form: bool = False
    upload: bool = False
    status: int = 200
    also: tuple[int, ...] = ()
    refuses: tuple[type[Refusal], ...] = ()
    media: tuple[str, ...] = ("application/json",)
    body_bytes_max: int = BODY_BYTES_MAX
    time_limit_s: float = TIME_LIMIT_S
    template: str = field(init=False)
    """The path as OpenAPI and metrics write it, without converters."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", _PATH_PARAMETER.sub(r"{\1}", self.path))
        assert isinstance(self.needs, Permission), f"{self.method} {self.path} needs a permission"
        assert self.form or not self.upload, f"{self.path}: only a form carries a file"
        assert inspect.iscoroutinefunction(self.endpoint), f"{self.path}: write async def"
        for struct in (self.query, self.body):
            # A list body is `list[Struct]`; its items are what must be strict.
            if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
                strict = struct.__struct_config__.forbid_unknown_fields
                assert strict, f"{struct.__name__} must forbid unknown fields"

    @property
    def path_parameters(self) -> tuple[str, ...]:
        return tuple(_PATH_PARAMETER.findall(self.path))


class Routes:
    """
    The routes of one module.

    An endpoint is ``async (request, caller[, query][, body]) -> Response | Struct``:
    the query and the body are passed only when the route declares them, in that
    order; a route with an upload takes ``Upload | None`` last. A Struct becomes JSON
    with the route's status.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def get(self, path: str, *, needs: Permission, **wants: Unpack[Wants]) -> _Declare:
        return self._declare("GET", path, needs, wants)

    def post(self, path: str, *, needs: Permission, **wants: Unpack[Wants]) -> _Declare:
        return self._declare("POST", path, needs, wants)

    def put(self, path: str, *, needs: Permission, **wants: Unpack[Wants]) -> _Declare:
        return self._declare("PUT", path, needs, wants)

    def delete(self, path: str, *, needs: Permission, **wants: Unpack[Wants]) -> _Declare:
        return self._declare("DELETE", path, needs, wants)

    def websocket(
        self, path: str, *, needs: Permission, query: type[msgspec.Struct] | None = None
    ) -> _Declare:
        """Declare ``async (websocket, caller[, query]) -> None``; it accepts the socket itself."""
        return self._declare(WEBSOCKET, path, needs, {"query": query})

    def _declare(self, method: str, path: str, needs: Permission, wants: Wants) -> _Declare:
        def declare(endpoint: Endpoint) -> Endpoint:
            self.operations.append(Operation(method, path, needs, endpoint, **wants))
            return endpoint

        return declare


_Declare = Callable[[Endpoint], Endpoint]
