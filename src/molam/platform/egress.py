"""The way out: HTTP to addresses that others chose, bounded and never inside a transaction."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urlsplit, urlunsplit

import httpx2

from molam.kernel.refusals import Kind, Outage, Refusal
from molam.platform.db import assert_no_transaction

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 64 * 1024
# Answers are read to a bound in bytes, and nothing is unpacked.
_PLAIN = {"Accept-Encoding": "identity"}

_PORTS = {"http": 80, "https": 443}
# `is_global` alone is not enough: in Python 3.11 it accepts all of these, and the
# IPv6 ones carry an IPv4 address inside, which may be a private one.
_ALSO_FORBIDDEN = tuple(
    ipaddress.ip_network(block)
    for block in (
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # 6to4 relay
        "2002::/16",  # 6to4
        "fec0::/10",  # site-local, deprecated yet still routed by some
    )
)
_NAMES_KEPT_S = 5.0
_NAMES_KEPT_MAX = 1000
_NAMES_AT_ONCE_MAX = 32
_CLIENTS_MAX = 200
"""Hosts whose connections are kept; the one used longest ago makes room."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(Refusal):
    code = "address-refused"
    kind = Kind.BROKEN_RULE
    title = "Nothing is sent to this address"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, cut off after as many bytes as anybody asked for."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """By names in lower case."""


class Egress:
    """
    Sends requests to public addresses.

    A name is looked up, every address it stands for is checked, and the connection goes
    to the address that was checked: a name that changes its mind in between gains
    nothing. Redirects are not followed and the environment's proxies are not asked.
    With *allow_private*, which is for development, anything may be reached but link-local
    addresses; without it, only *ports*, when they are given.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        timeout_s: float = TIMEOUT_S,
        ports: frozenset[int] | None = None,
        at_once_max: int = 20,
        keep_alive_s: float = 0.0,
    ) -> None:
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._ports = ports
        self._keep_alive_s = keep_alive_s
        self._limits = httpx2.Limits(
            max_connections=at_once_max,
            max_keepalive_connections=at_once_max if keep_alive_s else 0,
            keepalive_expiry=keep_alive_s,
        )
        # Made once: reading the certificate authorities takes longer than a request.
        self._tls = httpx2.create_ssl_context(trust_env=False)
        self._clients: OrderedDict[tuple[str, str, int, _Address], httpx2.AsyncClient]
        self._clients = OrderedDict()
        # Of its own: a name server that hangs must not take the threads of all others.
        self._lookups = ThreadPoolExecutor(_NAMES_AT_ONCE_MAX, thread_name_prefix="egress")
        self._names: OrderedDict[tuple[str, int], tuple[float, list[_Address]]] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Answer:
        """
        Send *body* and return the answer, whatever its status.

        Raises:
            AddressRefused: not an address that may be reached from here.
            Outage: no answer, or none in time.
        """
        return await self._send("POST", url, headers, body, bytes_max=bytes_max)

    async def get(
        self, url: str, *, headers: Mapping[str, str], bytes_max: int = ANSWER_BYTES_MAX
    ) -> Answer:
        """
        Ask for what is at *url*.

        Raises:
            AddressRefused: not an address that may be reached from here.
            Outage: no answer, or none in time.
        """
        return await self._send("GET", url, headers, None, bytes_max=bytes_max)

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        bytes_max: int,
    ) -> Answer:
        assert_no_transaction("an HTTP request")
        parts = self._checked(url)
        assert parts.hostname is not None
        # Nothing of the URL itself: its path may be the secret, as Slack's is.
        dependency = parts.hostname
        try:
            async with asyncio.timeout(self._timeout_s):
                address = await self._resolved(parts)
                client = self._client_of(parts, address)
                request = client.build_request(
                    method,
                    _at(parts, address),
                    content=body,
                    headers={**_PLAIN, **headers, "Host": parts.netloc.rpartition("@")[2]},
                    extensions={"sni_hostname": parts.hostname},
                )
                response = await client.send(request, stream=True)
                try:
                    received = await _bounded(response, bytes_max)
                finally:
                    await response.aclose()
                return Answer(response.status_code, received, dict(response.headers))
        except httpx2.InvalidURL:
            raise AddressRefused("It is no http or https address.") from None
        except (OSError, TimeoutError, httpx2.HTTPError) as error:
            raise Outage(dependency) from error

    def _checked(self, url: str) -> SplitResult:
        return check_url(url, allow_private=self._allow_private, ports=self._ports)

    async def _resolved(self, parts: SplitResult) -> _Address:
        assert parts.hostname is not None
        port = parts.port or _PORTS[parts.scheme]
        addresses = await self._addresses(parts.hostname, port)
        if any(each.is_link_local for each in addresses):
            # Where clouds keep what they tell their machines alone; nobody's test needs it.
            raise AddressRefused("It leads to this machine's own network link.")
        if not self._allow_private and not all(map(is_public, addresses)):
            raise AddressRefused("It leads into a private network.")
        return addresses[0]

    async def _addresses(self, host: str, port: int) -> list[_Address]:
        now = time.monotonic()
        kept = self._names.get((host, port))
        if kept is not None and now - kept[0] < _NAMES_KEPT_S:
            return kept[1]
        found = await asyncio.get_running_loop().run_in_executor(
            self._lookups, self._look_up, host, port
        )
        self._names[host, port] = now, found
        self._names.move_to_end((host, port))
        if len(self._names) > _NAMES_KEPT_MAX:
            self._names.popitem(last=False)
        return found

    def _look_up(self, host: str, port: int) -> list[_Address]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]

    def _client_of(self, parts: SplitResult, address: _Address) -> httpx2.AsyncClient:
        """
        Return the connections to one host at one address.

        A client keeps connections by address, and one address may be two hosts: what
        was proved to one certificate is not used for another.
        """
        assert parts.hostname is not None
        key = (parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], address)
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = httpx2.AsyncClient(
                verify=self._tls,
                timeout=self._timeout_s,
                trust_env=False,
                follow_redirects=False,
                limits=self._limits,
            )
        self._clients.move_to_end(key)
        return client

    async def tidy(self) -> None:
        """Close the connections to hosts that nothing was sent to for longest."""
        while len(self._clients) > _CLIENTS_MAX:
            _, client = self._clients.popitem(last=False)
            await client.aclose()


def check_url(
    url: str, *, allow_private: bool = False, ports: frozenset[int] | None = None
) -> SplitResult:
    """
    Look at an address without asking any name server.

    Raises:
        AddressRefused: no web address, or one that nothing is sent to.
    """
    try:
        parts = urlsplit(url)
        is_one = bool(parts.hostname) and parts.scheme in _PORTS and parts.port != 0
        # Names that no name server could be asked about, such as "a..b".
        (parts.hostname or "").encode("idna")
    except ValueError:
        is_one = False
    if not is_one or not url.isascii() or any(char <= " " or char == "\x7f" for char in url):
        raise AddressRefused("It is no http or https address.")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("Leave user names and passwords out of the address.")
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(parts.hostname or "").is_link_local:
            raise AddressRefused("It leads to this machine's own network link.")
    if allow_private:
        return parts
    if parts.scheme != "https":
        raise AddressRefused("Only https is used outside development.")
    if ports is not None and (parts.port or _PORTS[parts.scheme]) not in ports:
        listed = " or ".join(map(str, sorted(ports)))
        raise AddressRefused(f"Only the port {listed} is used outside development.")
    with contextlib.suppress(ValueError):
        if not is_public(ipaddress.ip_address(parts.hostname or "")):
            raise AddressRefused("It leads into a private network.")
    return parts


def is_public(address: _Address) -> bool:
    """Tell whether *address* belongs to the public unicast Internet."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(
        address.version == block.version and address in block for block in _ALSO_FORBIDDEN
    )


def _at(parts: SplitResult, address: _Address) -> str:
    host = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
    netloc = f"{host}:{parts.port or _PORTS[parts.scheme]}"
    return urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))


async def _bounded(response: httpx2.Response, bytes_max: int) -> bytes:
    """Read as much of an answer as anybody needs; as sent, since unpacking has no bound."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= bytes_max:
            break
    return bytes(body[:bytes_max])
