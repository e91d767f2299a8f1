"""The way out: HTTP to addresses that others chose, bounded and never inside a transaction."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urlsplit, urlunsplit

import httpx2

from molam.kernel.refusals import Kind, Outage, Refusal
from molam.platform.db import assert_no_transaction

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 64 * 1024

_PORTS = {"http": 80, "https": 443}
# Addresses that carry an IPv4 address inside, and so could name a private one.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(Refusal):
    code = "address-refused"
    kind = Kind.BROKEN_RULE
    title = "Nothing is sent to this address"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, cut off after `ANSWER_BYTES_MAX`."""

    status: int
    body: bytes


class Egress:
    """
    Sends requests to public addresses.

    A name is looked up once, what it stands for is checked, and the connection goes
    to the address that was checked: a name that changes its mind in between gains
    nothing. Redirects are not followed and the environment's proxies are not asked.
    With *allow_private*, which is for development, anything may be reached.
    """

    def __init__(self, *, allow_private: bool = False, timeout_s: float = TIMEOUT_S) -> None:
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._client = httpx2.AsyncClient(
            timeout=timeout_s,
            trust_env=False,
            follow_redirects=False,
            # Kept connections are found by address, and one address may be two hosts.
            limits=httpx2.Limits(max_connections=20, max_keepalive_connections=0),
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

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> Answer:
        """
        Send *body* and return the answer, whatever its status.

        Raises:
            AddressRefused: not an address that may be reached from here.
            Outage: no answer, or none in time.
        """
        assert_no_transaction("an HTTP request")
        parts = self._checked(url)
        assert parts.hostname is not None
        # Nothing of the URL itself: its path may be the secret, as Slack's is.
        dependency = parts.hostname
        try:
            async with asyncio.timeout(self._timeout_s):
                address = await self._resolved(parts)
                request = self._client.build_request(
                    "POST",
                    _at(parts, address),
                    content=body,
                    headers={**headers, "Host": parts.netloc.rpartition("@")[2]},
                    extensions={"sni_hostname": parts.hostname},
                )
                response = await self._client.send(request, stream=True)
                try:
                    return Answer(response.status_code, await _bounded(response))
                finally:
                    await response.aclose()
        except (OSError, TimeoutError, httpx2.HTTPError) as error:
            raise Outage(dependency) from error

    def _checked(self, url: str) -> SplitResult:
        try:
            parts = urlsplit(url)
            is_one = bool(parts.hostname) and parts.scheme in _PORTS and parts.port != 0
        except ValueError:
            is_one = False
        if not is_one:
            raise AddressRefused("It is no http or https address.")
        if parts.username or parts.password:
            raise AddressRefused("Leave user names and passwords out of the address.")
        if parts.scheme != "https" and not self._allow_private:
            raise AddressRefused("Only https is used outside development.")
        return parts

    async def _resolved(self, parts: SplitResult) -> _Address:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, parts.port or _PORTS[parts.scheme], type=socket.SOCK_STREAM
        )
        addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
        if not self._allow_private and not all(map(is_public, addresses)):
            raise AddressRefused("It leads into a private network.")
        return addresses[0]


def is_public(address: _Address) -> bool:
    """Tell whether *address* is one that anybody on the Internet could have."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def _at(parts: SplitResult, address: _Address) -> str:
    host = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
    netloc = f"{host}:{parts.port or _PORTS[parts.scheme]}"
    return urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))


async def _bounded(response: httpx2.Response) -> bytes:
    """Read as much of an answer as anybody needs; as sent, since unpacking has no bound."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= ANSWER_BYTES_MAX:
            break
    return bytes(body[:ANSWER_BYTES_MAX])
