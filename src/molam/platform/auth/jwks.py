"""The issuer's public keys, fetched seldom and remembered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx2
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from molam.kernel.refusals import Outage
from molam.platform.db import assert_no_transaction
from molam.platform.telemetry import log

_TTL_S = 300.0
_REFETCH_MIN_S = 10.0
_FIRST_RETRY_S = 1.0
# An issuer that is down must not sign everybody out, yet a key it withdrew must
# not live for ever.
_STALE_MAX_S = 3600.0
_KEYS_MAX = 20
_BYTES_MAX = 64 * 1024
_RSA_BITS_MIN = 2048


class _Jwk(msgspec.Struct):
    kty: str
    kid: str = ""
    use: str = "sig"
    alg: str = "RS256"
    n: str = ""
    e: str = ""


class _KeySet(msgspec.Struct):
    keys: list[_Jwk]


class Jwks:
    """
    A cache of one issuer's signing keys.

    A key is looked up by the `kid` of a token. An unknown one makes us ask the
    issuer again, at most every ten seconds, so strangers cannot make us flood it.
    """

    def __init__(
        self,
        url: str,
        client: httpx2.AsyncClient,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client = client
        self._monotonic = monotonic
        self._keys: dict[str, RSAKey] = {}
        self._fetched = self._tried = float("-inf")
        self._flight = asyncio.Lock()
        self.version = 0
        """Grows when the set of keys changes; verdicts reached before are void."""

    async def key(self, kid: str) -> RSAKey | None:
        """
        Find the RS256 key called *kid*.

        Raises:
            Outage: the issuer has never answered, or not for an hour.
        """
        if self._is_missing(kid):
            # Whoever comes while an answer is under way waits for it, rather than
            # being told that there is none.
            async with self._flight:
                if self._is_missing(kid) and self._may_ask():
                    await self._fetch()
        if self._monotonic() - self._fetched > _STALE_MAX_S:
            raise Outage("identity issuer")
        return self._keys.get(kid)

    def _is_missing(self, kid: str) -> bool:
        return kid not in self._keys or self._monotonic() - self._fetched > _TTL_S

    def _may_ask(self) -> bool:
        pause_s = _REFETCH_MIN_S if self._keys else _FIRST_RETRY_S
        return self._monotonic() - self._tried >= pause_s

    async def _fetch(self) -> None:
        assert_no_transaction("fetching keys")
        self._tried = self._monotonic()
        try:
            answer = await self._client.get(self._url)
            answer.raise_for_status()
            if len(answer.content) > _BYTES_MAX:
                raise msgspec.ValidationError("too long")
            offered = msgspec.json.decode(answer.content, type=_KeySet).keys
        except (httpx2.HTTPError, msgspec.DecodeError) as error:
            log.warning("keys not fetched", reason=type(error).__name__)
            return
        found = dict(filter(None, map(_imported, offered[:_KEYS_MAX])))
        if _thumbprints(found) != _thumbprints(self._keys):
            self.version += 1
        self._keys = found
        self._fetched = self._monotonic()


def _thumbprints(keys: dict[str, RSAKey]) -> dict[str, str]:
    return {kid: key.thumbprint() for kid, key in keys.items()}


def _imported(offered: _Jwk) -> tuple[str, RSAKey] | None:
    """Import one key, or None where it is not meant for RS256 signatures."""
    fit = offered.kty == "RSA" and offered.use == "sig" and offered.alg == "RS256"
    if not fit or not offered.kid:
        return None
    try:
        key = RSAKey.import_key({"kty": "RSA", "n": offered.n, "e": offered.e})
    except (JoseError, ValueError):
        return None
    return (offered.kid, key) if key.public_key.key_size >= _RSA_BITS_MIN else None
