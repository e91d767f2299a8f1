"""Predictions, proposals and quotes that can be believed: signed over all they say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.digests import decimal_text, digest
from molam.kernel.ids import uuid7
from molam.platform.settings import Secret
from molam.sira import signing
from molam.sira.signing import ISSUER, LEEWAY_S, AdviceRefused

ContentKind = Literal["prediction", "proposal", "quote", "recommendation"]

TTL_MAX_S = 24 * 3600

_SAFE_INTEGER = 2**53 - 1


class Claims(msgspec.Struct, frozen=True):
    """What a token vouches for: which content, of what kind, and for how long."""

    iss: str
    typ: str
    digest: str
    jti: str
    iat: int
    exp: int
    kid: str


@dataclass(frozen=True, slots=True)
class SignedContent:
    """A signature, the name by which it is used once, and when it holds."""

    token: str
    token_id: str
    issued: Instant
    expires: Instant


# Note [What a signature covers]
#
# Content is signed as it was made, and verified after PostgreSQL, JSON and another
# process have had it in their hands. These keep what a number is worth and lose how it
# was written: 1.0 may come back as 1. So each number is hashed as its worth and marked as
# a number, and everything else as our JSON writes it, decimals and instants as text:
# "0.5" is not 0.5, true is not 1, a field that is null is not one that is missing.


def sign_content(
    kind: ContentKind, content: Mapping[str, object], *, key: Secret, now: Instant, ttl_s: int
) -> SignedContent:
    """Sign *content* as a *kind*, valid for *ttl_s* seconds from *now*."""
    assert 0 < ttl_s <= TTL_MAX_S, "a signature holds for a day at most"
    issued = int(now.timestamp())
    token_id = str(uuid7(now))
    claims: dict[str, object] = {
        "iss": ISSUER,
        "typ": kind,
        "digest": digest_of(kind, content),
        "jti": token_id,
        "iat": issued,
        "exp": issued + ttl_s,
        "kid": signing.key_id(key),
    }
    return SignedContent(
        token=signing.sign(claims, key=key),
        token_id=token_id,
        issued=datetime.fromtimestamp(issued, UTC),
        expires=datetime.fromtimestamp(issued + ttl_s, UTC),
    )


def verify_content(
    token: str,
    kind: ContentKind,
    content: Mapping[str, object],
    *,
    key: Secret,
    now: Instant,
) -> Claims:
    """
    Return what SIRA vouches for about *content*.

    That a token is used once is for the caller to see to: its *jti* goes into the
    table of used tokens in the transaction of the effect.

    Raises:
        AdviceRefused: unsigned, altered, of another kind, expired, or not valid yet.
    """
    try:
        claims = msgspec.convert(signing.verify(token, key=key), Claims)
    except msgspec.ValidationError:
        raise AdviceRefused("Its signature is of something else.") from None
    if claims.iss != ISSUER:
        raise AdviceRefused("Somebody else than SIRA signed it.")
    if claims.typ != kind:
        raise AdviceRefused(f"It was signed as a {claims.typ[:32]}, and not as a {kind}.")
    if claims.digest != _digest_or_none(kind, content):
        raise AdviceRefused("It says something else than what was signed.")
    if not claims.iat - LEEWAY_S <= now.timestamp() < min(claims.exp, claims.iat + TTL_MAX_S):
        raise AdviceRefused("It has expired, or is not valid yet.")
    return claims


def digest_of(kind: ContentKind, content: Mapping[str, object]) -> str:
    """Name *content* of a *kind* by all it says, in hexadecimal."""
    written = _plain(msgspec.to_builtins(content, str_keys=True))
    return digest("molam.sira.content/1", {"kind": kind, "content": written}).hex()


def _digest_or_none(kind: ContentKind, content: Mapping[str, object]) -> str | None:
    """Digest *content*, which may be anything by now."""
    try:
        return digest_of(kind, content)
    except (TypeError, ValueError, RecursionError):
        return None


def _plain(value: object) -> object:
    if isinstance(value, str):
        # Nobody's text may pass for a number of ours.
        return f"'{value}" if value.startswith(("#", "'")) else value
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None:
        return None
    raise TypeError(f"{type(value).__name__} is not JSON")


def _number(value: float) -> int | str:
    if not math.isfinite(value):
        raise ValueError("a number must be finite")
    if value == int(value) and abs(value) <= _SAFE_INTEGER:
        return int(value)
    # Through text, so that a float is what is written of it.
    return f"#{decimal_text(Decimal(repr(value)))}"
