"""Talking to the OpenID Connect issuer: where its doors are, and codes for tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import httpx2
import msgspec

from molam.kernel.refusals import Kind, Outage, Refusal
from molam.platform.db import assert_no_transaction

_TTL_S = 300.0
_TIMEOUT_S = 5.0


class SignInRefused(Refusal):
    code = "sign-in-refused"
    kind = Kind.MALFORMED
    title = "Signing in did not succeed"


class Discovery(msgspec.Struct):
    """The part of OpenID Connect Discovery 1.0 that we use."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool = False


class TokenAnswer(msgspec.Struct):
    access_token: str
    id_token: str


def open_client(transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
    """Open the client for the issuer; a *transport* reaches one in this process."""
    return httpx2.AsyncClient(
        timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False, transport=transport
    )


class Issuer:
    """One issuer, asked over HTTP."""

    def __init__(
        self,
        url: str,
        client: httpx2.AsyncClient,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._client = client
        self._monotonic = monotonic
        self._discovery: Discovery | None = None
        self._until = 0.0

    async def discovery(self) -> Discovery:
        """
        Return where the issuer's endpoints are, at most five minutes old.

        Raises:
            Outage: the issuer does not answer, or answers nonsense.
        """
        if self._discovery is not None and self._monotonic() < self._until:
            return self._discovery
        assert_no_transaction("discovering the issuer")
        try:
            answer = await self._client.get(f"{self.url}/.well-known/openid-configuration")
            answer.raise_for_status()
            found = msgspec.json.decode(answer.content, type=Discovery)
        except (httpx2.HTTPError, msgspec.DecodeError) as error:
            raise Outage("identity issuer") from error
        if found.issuer != self.url:
            raise Outage("identity issuer")
        self._discovery, self._until = found, self._monotonic() + _TTL_S
        return found

    async def redeem(self, form: Mapping[str, str]) -> TokenAnswer:
        """
        Exchange an authorization code for tokens.

        Raises:
            SignInRefused: the code is spent, old, or another client's.
            Outage: the issuer does not answer.
        """
        endpoint = (await self.discovery()).token_endpoint
        assert_no_transaction("redeeming a code")
        try:
            answer = await self._client.post(endpoint, data=dict(form))
        except httpx2.HTTPError as error:
            raise Outage("identity issuer") from error
        if answer.status_code >= 500:  # noqa: PLR2004 - HTTP's own classes.
            raise Outage("identity issuer")
        if answer.status_code != 200:  # noqa: PLR2004
            raise SignInRefused("The issuer did not accept the code. Start again.")
        try:
            return msgspec.json.decode(answer.content, type=TokenAnswer)
        except msgspec.DecodeError as error:
            raise Outage("identity issuer") from error
