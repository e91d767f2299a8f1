"""The outermost layer of every app: ids, headers, problems, metrics, one log line."""

from __future__ import annotations

import re
import secrets
import time
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from molam.kernel.refusals import Kind, Outage, Refusal
from molam.platform import telemetry
from molam.platform.telemetry import log
from molam.platform.web import languages, problem_page, problems
from molam.platform.web.caller import Caller
from molam.platform.web.headers import NO_STORE, security_headers
from molam.platform.web.preferences import chosen_language
from molam.platform.web.routes import Operation
from molam.platform.web.site import Site

OPERATION = "molam.operation"
CALLER = "molam.caller"
REQUEST_ID = "molam.request_id"

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_CLIENT_CLOSED = 499


class Edge:
    """Whatever happens inside, what leaves is an answer fit for a stranger."""

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        self._app = app
        self._site = site
        self._headers = security_headers(
            form_action=site.form_action, https=site.public_origin.startswith("https://")
        )
        self._metrics = telemetry.request_metrics(site.metrics_prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        id_ = _request_id(scope)
        scope[REQUEST_ID] = id_
        telemetry.request_id.set(id_)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        status = 0

        async def send_dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                self._dress(message, scope[REQUEST_ID])
            await send(message)

        try:
            await self._app(scope, receive, send_dressed)
        except ClientDisconnect:
            status = status or _CLIENT_CLOSED
        except Exception as error:
            _report(error)
            if status:
                raise  # Part of the answer has left; only closing the connection is honest.
            response = self._answer(Request(scope), error)
            await response(scope, receive, send_dressed)
        finally:
            self._record(scope, status, time.perf_counter() - began)

    def _dress(self, message: Message, id_: str) -> None:
        headers = message.setdefault("headers", [])
        present = {name.lower() for name, _ in headers}
        headers.extend(pair for pair in self._headers if pair[0] not in present)
        if b"cache-control" not in present:
            headers.append(NO_STORE)
        headers.append((b"x-request-id", id_.encode()))

    def _answer(self, request: Request, error: Exception) -> Response:
        operation: Operation | None = request.scope.get(OPERATION)
        if operation is not None and operation.page and isinstance(error, Refusal):
            sign_in = self._sign_in(request, error)
            if sign_in is not None:
                return sign_in
        caller: Caller | None = request.scope.get(CALLER)
        known = caller.locale if caller else languages.preferred(request.headers)
        problem = problems.describe(
            error,
            request_id=request.scope[REQUEST_ID],
            # What was picked on a page holds for what the page's scripts ask as well.
            locale=chosen_language(request) or known,
        )
        if not _wants_page(request, operation):
            return problems.response(problem)
        render = self._site.problem_page or problem_page.render
        return HTMLResponse(
            render(request, problem), status_code=problem.status, headers=problem.headers
        )

    def _sign_in(self, request: Request, refusal: Refusal) -> Response | None:
        """Send a visitor who must sign in, or prove it is still them, to do so."""
        if refusal.kind not in {Kind.UNAUTHENTICATED, Kind.STEP_UP}:
            return None
        query = {"next": _return_path(request)}
        if refusal.kind is Kind.STEP_UP:
            query["acr_values"] = str(refusal.facts["acr_values"])
            query["max_age"] = str(refusal.facts["max_age"])
        target = f"{self._site.sign_in_path}?{urlencode(query)}"
        if "hx-request" in request.headers:
            # htmx would follow a redirect inside the page; this moves the window.
            return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": target})
        return RedirectResponse(target, status_code=HTTPStatus.SEE_OTHER)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        operation: Operation | None = scope.get(OPERATION)
        route = operation.template if operation is not None else "other"
        method = operation.method if operation is not None else "other"
        self._metrics.record(method, route, status, seconds)
        if telemetry.is_debugging():
            ms = round(seconds * 1000, 1)
            log.debug("request", method=method, route=route, status=status, ms=ms)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return secrets.token_hex(12)


def _report(error: Exception) -> None:
    match error:
        case Refusal():
            log.info("refused", code=error.code)
        case Outage():
            log.warning("outage", dependency=error.dependency)
        case HTTPException():
            log.info("refused", status=error.status_code)
        case _ if problems.is_temporary(error):
            log.warning("outage", dependency="database", reason=type(error).__name__)
        case _:
            log.error("unforeseen", exc_info=error)


def _wants_page(request: Request, operation: Operation | None) -> bool:
    if operation is not None:
        return operation.page
    path = request.url.path
    return not path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def _return_path(request: Request) -> str:
    """Where to go after signing in: this page, or the one whose form was sent."""
    url = request.url
    if request.method != "GET" or "hx-request" in request.headers:
        referer = urlsplit(
            request.headers.get("hx-current-url") or request.headers.get("referer", "")
        )
        return (f"{referer.path}?{referer.query}" if referer.query else referer.path) or "/"
    return f"{url.path}?{url.query}" if url.query else url.path
