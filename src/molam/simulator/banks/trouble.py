"""The ways in which a simulated bank does not give the answer that was asked for."""

from __future__ import annotations

from http import HTTPStatus
from typing import NoReturn

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from molam.platform.telemetry import loses_answer
from molam.simulator.banks.temper import happens

HANGS_UP = 0.5
BOOKED_ALL_THE_SAME = 0.3
"""Of orders that fail: the bank has carried them out, and does not say so."""


class Cut(Response):
    """An answer that begins and never ends: the server closes the connection on it."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"512"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"', "more_body": True})
        loses_answer.set(True)


class Refused(Exception):
    def __init__(self, status: int, body: dict[str, object]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Silent(Exception):
    """The bank hangs up instead of answering."""


def fail() -> NoReturn:
    """Hang up, or say that there is trouble; nothing was done."""
    if happens(HANGS_UP):
        raise Silent
    raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, {"code": "out-of-order"})


async def refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return Response(msgspec.json.encode(error.body), error.status, media_type="application/json")


async def silent(_request: Request, _error: Exception) -> Response:
    return Cut()


async def gone(_request: Request, _error: Exception) -> Response:
    """Whoever asked has hung up before saying what."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)
