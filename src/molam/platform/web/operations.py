"""From a matched path to an answer: who, may they, what do they say, then the endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import TypedDict

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from molam.kernel.refusals import Outage, Refusal
from molam.platform.telemetry import log
from molam.platform.web import csrf, languages, problems, uploads, wire
from molam.platform.web.caller import PUBLIC, Caller, authorise
from molam.platform.web.edge import CALLER, OPERATION, REQUEST_ID
from molam.platform.web.problems import RouteAbsent
from molam.platform.web.routes import Authenticator, Operation
from molam.platform.web.site import Site

# Decimals are JSON numbers here; we read them back as decimals, never as floats.
encode = msgspec.json.Encoder(decimal_format="number").encode

_PATH_PARAMETER_LENGTH_MAX = 255
_USER_AGENT_LENGTH_MAX = 256
_TRY_AGAIN_LATER = 1013


class Path:
    """All methods of one path, as an ASGI app."""

    def __init__(
        self, operations: Sequence[Operation], *, authenticator: Authenticator, site: Site
    ) -> None:
        self._operations = {operation.method: operation for operation in operations}
        assert len(self._operations) == len(operations), f"{operations[0].path} is declared twice"
        self._authenticator = authenticator
        self._site = site
        methods = {*self._operations, "OPTIONS"} | (
            {"HEAD"} if "GET" in self._operations else set()
        )
        self._allow = ", ".join(sorted(methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        operation = self._operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            if method != "OPTIONS":
                raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": self._allow})
            answer = Response(status_code=HTTPStatus.NO_CONTENT, headers={"Allow": self._allow})
            await answer(scope, receive, send)
            return
        scope[OPERATION] = operation
        answer = await self._answer(operation, scope, receive)
        if method == "HEAD":
            await _send_head(answer, send)
        else:
            await answer(scope, receive, send)

    async def _answer(self, operation: Operation, scope: Scope, receive: Receive) -> Response:
        request = Request(scope, wire.limited(receive, bytes_max=operation.body_bytes_max))
        check_path(request)
        caller = await _admit(operation, request, self._authenticator)
        unsafe = request.method not in csrf.SAFE_METHODS
        by_cookie = unsafe and caller.via == "session"
        if by_cookie:
            csrf.check_origin(request, public_origin=self._site.public_origin)
            if not operation.form:
                csrf.check_token(caller, request.headers.get(csrf.HEADER))
        if unsafe:
            wire.check_declared_length(request, bytes_max=operation.body_bytes_max)
        arguments: list[object] = []
        query = wire.read_query(scope["query_string"], operation.query, strict=not operation.page)
        if operation.query is not None:
            arguments.append(query)
        try:
            async with asyncio.timeout(operation.time_limit_s) as limit:
                if operation.form:
                    arguments.extend(await _form(operation, request, caller, check=by_cookie))
                elif operation.body is not None:
                    arguments.append(
                        await wire.read_json(request, operation.body, media=operation.media)
                    )
                result = await operation.endpoint(request, caller, *arguments)
        except TimeoutError as error:
            if limit.expired():
                raise Outage("time limit") from error
            raise
        return _response(result, operation.status)


async def _admit(
    operation: Operation, connection: HTTPConnection, authenticator: Authenticator
) -> Caller:
    caller = None if operation.needs is PUBLIC else await authenticator(connection)
    if caller is None:
        caller = anonymous(connection)
    connection.scope[CALLER] = caller
    authorise(caller, operation.needs)
    return caller


async def still_admitted(connection: HTTPConnection) -> bool:
    """Tell whether whoever opened a long-lived *connection* could open it again now."""
    before: Caller = connection.scope[CALLER]
    operation: Operation = connection.scope[OPERATION]
    try:
        now = await connection.app.state.authenticator(connection)
        if now is None or now.merchant_id != before.merchant_id:
            return False
        authorise(now, operation.needs)
    except Refusal:
        return False
    except Outage:
        # The roles cannot be read at this moment; the next check will tell.
        return True
    return True


async def _form(
    operation: Operation, request: Request, caller: Caller, *, check: bool
) -> list[object]:
    if operation.upload:
        fields, upload = await uploads.read_upload(request)
    else:
        fields, upload = await wire.read_form(request), None
    given = fields.pop(csrf.FIELD, None)
    if check:
        csrf.check_token(caller, request.headers.get(csrf.HEADER) or given)
    found: list[object] = []
    if operation.body is not None:
        found.append(wire.convert_form(fields, operation.body))
    return [*found, upload] if operation.upload else found


def anonymous(connection: HTTPConnection) -> Caller:
    return Caller(
        subject="",
        name="",
        merchant_id=None,
        roles=frozenset(),
        locale=languages.preferred(connection.headers),
        acr="",
        auth_time=None,
        csrf=None,
        via="none",
        **origin_of(connection),
    )


class Origin(TypedDict):
    """Where a request came from, as the audit trail keeps it."""

    request_id: str
    ip: str
    user_agent: str


def origin_of(connection: HTTPConnection) -> Origin:
    client = connection.client
    return {
        "request_id": connection.scope.get(REQUEST_ID, ""),
        "ip": client.host if client else "",
        "user_agent": connection.headers.get("user-agent", "")[:_USER_AGENT_LENGTH_MAX],
    }


def check_path(connection: HTTPConnection) -> None:
    """
    Refuse path parameters that no row could be named by.

    Raises:
        RouteAbsent: one is too long, or holds a control character.
    """
    for value in connection.path_params.values():
        text = str(value)
        if len(text) > _PATH_PARAMETER_LENGTH_MAX or not text.isprintable():
            raise RouteAbsent("No object has such an id.")


def _response(result: Response | msgspec.Struct | None, status: int) -> Response:
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return Response(encode(result), status_code=status, media_type="application/json")


async def _send_head(answer: Response, send: Send) -> None:
    # Sent by hand: a streaming answer would otherwise produce its whole body.
    await send(
        {
            "type": "http.response.start",
            "status": answer.status_code,
            "headers": list(answer.raw_headers),
        }
    )
    await send({"type": "http.response.body", "body": b""})


class Socket:
    """One WebSocket operation, as an ASGI app. A refusal answers the handshake itself."""

    def __init__(self, operation: Operation, *, authenticator: Authenticator, site: Site) -> None:
        self._operation = operation
        self._authenticator = authenticator
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        scope[OPERATION] = self._operation
        try:
            await self._answer(websocket)
        except (Refusal, Outage) as error:
            problem = problems.describe(
                error,
                request_id=scope.get(REQUEST_ID, ""),
                locale=languages.preferred(websocket.headers),
            )
            log.info("refused", code=problem.code)
            if websocket.application_state is WebSocketState.CONNECTING:
                await websocket.send_denial_response(problems.response(problem))
            else:
                await websocket.close(_TRY_AGAIN_LATER)

    async def _answer(self, websocket: WebSocket) -> None:
        check_path(websocket)
        caller = await _admit(self._operation, websocket, self._authenticator)
        if caller.via == "session":
            # Cookies travel with any site's handshake, and CORS does not apply.
            csrf.check_origin(websocket, public_origin=self._site.public_origin)
        arguments: list[object] = []
        if self._operation.query is not None:
            raw = websocket.scope["query_string"]
            arguments.append(wire.read_query(raw, self._operation.query, strict=True))
        await self._operation.endpoint(websocket, caller, *arguments)
