"""Deciding whether a bearer token is genuine, for us, and of now."""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from molam.kernel.clock import Clock
from molam.kernel.refusals import Kind, Refusal
from molam.platform.auth.jwks import Jwks

AAL1 = "urn:molam:aal1"
AAL2 = "urn:molam:aal2"

_LEEWAY_S = 10
_REMEMBERED_MAX = 5000
_REMEMBERED_S = 60.0
_TOKEN_LENGTH_MAX = 8192
_ACCESS_TYPES = frozenset({None, "jwt", "at+jwt", "application/at+jwt"})
_ID_TYPES = frozenset({None, "jwt"})

# Issuers add header members of their own; `crit` still refuses what we do not know.
_REGISTRY = JWSRegistry(algorithms=["RS256"], strict_check_header=False)


class TokenRefused(Refusal):
    code = "token-refused"
    kind = Kind.UNAUTHENTICATED
    title = "The access token is not valid"


class Identity(msgspec.Struct, frozen=True):
    """What a verified token says about its holder."""

    sub: str
    exp: float
    name: str = ""
    email: str = ""
    merchant_id: str | None = None
    roles: tuple[str, ...] = ()
    acr: str = AAL1
    amr: tuple[str, ...] = ()
    auth_time: float | None = None
    lang: str = "fr"
    nonce: str | None = None


class _Header(msgspec.Struct):
    alg: str
    kid: str
    typ: str | None = None


class Tokens:
    """Verifies the RS256 tokens of one issuer."""

    def __init__(self, jwks: Jwks, *, issuer: str, audience: str, clock: Clock) -> None:
        self._jwks = jwks
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[Identity, float]] = OrderedDict()
        self._version = jwks.version

    async def verify(self, token: str) -> Identity:
        """
        Verify an access token; genuine ones are remembered for up to a minute.

        Raises:
            TokenRefused: forged, expired, or meant for somebody else.
            Outage: the issuer's keys cannot be had.
        """
        now = self._clock.now().timestamp()
        digest = hashlib.sha256(token.encode()).digest()
        self._forget_if_keys_changed()
        held = self._remembered.get(digest)
        if held is not None and now < held[1]:
            self._remembered.move_to_end(digest)
            return held[0]
        identity = await self._verified(token, audience=self._audience, types=_ACCESS_TYPES)
        self._forget_if_keys_changed()
        self._remembered[digest] = (identity, min(identity.exp + _LEEWAY_S, now + _REMEMBERED_S))
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return identity

    def _forget_if_keys_changed(self) -> None:
        if self._version != self._jwks.version:
            self._remembered.clear()
            self._version = self._jwks.version

    async def verify_id_token(self, token: str, *, client_id: str, nonce: str) -> Identity:
        """
        Verify the ID token of a sign-in that we began with *nonce*.

        Raises:
            TokenRefused: forged, expired, or of another sign-in.
            Outage: the issuer's keys cannot be had.
        """
        identity = await self._verified(token, audience=client_id, types=_ID_TYPES)
        if identity.nonce != nonce:
            raise TokenRefused("It belongs to another sign-in.")
        return identity

    async def _verified(
        self, token: str, *, audience: str, types: frozenset[str | None]
    ) -> Identity:
        header = _header(token)
        if header.alg != "RS256" or (header.typ and header.typ.lower()) not in types:
            raise TokenRefused("Its algorithm or type is not accepted.")
        key = await self._jwks.key(header.kid)
        if key is None:
            raise TokenRefused("It is signed with a key that the issuer does not publish.")
        try:
            claims = jwt.decode(token, key, algorithms=["RS256"], registry=_REGISTRY).claims
        except (JoseError, ValueError):
            raise TokenRefused("Its signature is wrong.") from None
        self._check_claims(claims, audience=audience)
        try:
            identity = msgspec.convert(claims, Identity)
        except msgspec.ValidationError as error:
            raise TokenRefused(f"A claim is malformed: {error}.") from None
        if not identity.sub or len(identity.sub) > 255:  # noqa: PLR2004 - as the database has it.
            raise TokenRefused("It names nobody.")
        return identity

    def _check_claims(self, claims: dict[str, Any], *, audience: str) -> None:
        now = self._clock.now().timestamp()
        if claims.get("iss") != self._issuer:
            raise TokenRefused("It comes from another issuer.")
        given = claims.get("aud")
        if audience not in (given if isinstance(given, list) else [given]):
            raise TokenRefused("It is meant for another audience.")
        if not _is_number(claims.get("exp")) or claims["exp"] + _LEEWAY_S <= now:
            raise TokenRefused("It has expired.")
        for name in ("nbf", "iat"):
            if name in claims and not (
                _is_number(claims[name]) and claims[name] - _LEEWAY_S <= now
            ):
                raise TokenRefused("It is not valid yet.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e11  # noqa: PLR2004


def _header(token: str) -> _Header:
    if len(token) > _TOKEN_LENGTH_MAX or token.count(".") != 2:  # noqa: PLR2004 - a JWS has 3 parts.
        raise TokenRefused("It is not a signed token.")
    encoded = token.partition(".")[0]
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=_Header)
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise TokenRefused("It is not a signed token.") from None
