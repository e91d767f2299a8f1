"""Compressing answers for those who ask for it, at no cost to those who do not."""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_BYTES_MIN = 1024
_LEVEL = 5


class Compression:
    """
    Starlette's gzip, which leaves event streams and images alone.

    It is stepped over when gzip is not accepted, as it would buffer the answer
    all the same. No answer of ours may be kept by shared caches, so none needs
    the Vary header that stepping over it leaves out; assets set their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._gzip = GZipMiddleware(app, minimum_size=_BYTES_MIN, compresslevel=_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = scope["type"] == "http" and any(
            name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"]
        )
        await (self._gzip if accepted else self._app)(scope, receive, send)
