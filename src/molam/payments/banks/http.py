"""HTTP to banks, whose addresses operators wrote down: bounded in time and in size."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import httpx2

from molam.kernel.refusals import Outage
from molam.platform.db import assert_no_transaction

TIMEOUT_S = 15.0
ANSWER_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 400
"""More than all banks' `at_once_max` in a demo; a slow bank fills its own share only."""


class NotReached(Outage):
    """The request never left: the bank cannot have acted, and may not be to blame."""


# By the time of anything else, something of the request may have arrived.
_BEFORE_SENDING = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. A body that was cut off is no answer to rely on."""

    status: int
    body: bytes
    is_whole: bool


class BankHttp:
    """Sends requests to banks. Redirects are not followed, proxies are not asked."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._client = httpx2.AsyncClient(
            timeout=timeout_s,
            trust_env=False,
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=40),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: Literal["GET", "POST"],
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
    ) -> Answer:
        """
        Send a request and return the answer, whatever its status.

        Raises:
            NotReached: nothing of it was sent.
            Outage: no whole answer in time. The bank may have acted all the same.
        """
        assert_no_transaction("a request to a bank")
        try:
            async with asyncio.timeout(self._timeout_s):
                request = self._client.build_request(
                    method,
                    url,
                    content=body or None,
                    # Unpacking has no bound; what is not packed needs none.
                    headers={**headers, "Accept-Encoding": "identity"},
                )
                response = await self._client.send(request, stream=True)
                try:
                    return await _bounded(response)
                finally:
                    await response.aclose()
        except _BEFORE_SENDING as error:
            raise NotReached(f"bank ({type(error).__name__})") from error
        except (OSError, TimeoutError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Outage(f"bank ({type(error).__name__})") from error


async def _bounded(response: httpx2.Response) -> Answer:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            return Answer(response.status_code, bytes(body[:ANSWER_BYTES_MAX]), is_whole=False)
    return Answer(response.status_code, bytes(body), is_whole=True)
