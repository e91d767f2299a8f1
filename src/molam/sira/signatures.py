"""Advice that can be believed: signed by SIRA, about one request, for an hour."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.kernel.digests import digest, hashable
from molam.kernel.refusals import Kind, Refusal
from molam.platform.settings import Secret
from molam.sira.scoring import SCORE_MAX, Advice, ScoreRequest

ISSUER = "molam-sira"
TTL_S = 3600
KEY_LENGTH_MIN = 32

_ALGORITHM = "HS256"
_LEEWAY_S = 30
_LENGTH_MAX = 4096


class AdviceRefused(Refusal):
    """A score without a signature of ours about this very request is no score."""

    code = "advice-refused"
    kind = Kind.FORBIDDEN
    title = "SIRA's advice cannot be trusted"


class Claims(msgspec.Struct, frozen=True):
    """What SIRA vouches for."""

    iss: str
    model_version: str
    score: Annotated[int, Meta(ge=0, le=SCORE_MAX)]
    request: str
    iat: int
    exp: int


def request_hash(request: ScoreRequest) -> str:
    """Name *request* by its content, the same in every process."""
    written = msgspec.to_builtins(request, builtin_types=(Decimal,))
    return digest("molam.sira.request/1", hashable(written)).hex()


def sign(advice: Advice, request: ScoreRequest, *, key: Secret, now: Instant) -> str:
    """Sign what *advice* says about *request*, valid for an hour from *now*."""
    issued = int(now.timestamp())
    claims = {
        "iss": ISSUER,
        "model_version": advice.model_version,
        "score": advice.score,
        "request": request_hash(request),
        "iat": issued,
        "exp": issued + TTL_S,
    }
    return jwt.encode({"alg": _ALGORITHM, "typ": "JWT"}, claims, _key(key), algorithms=[_ALGORITHM])


def verify(token: str, request: ScoreRequest, *, key: Secret, now: Instant) -> Claims:
    """
    Return what SIRA vouched for about *request*.

    Raises:
        AdviceRefused: unsigned, altered, expired, or about another request.
    """
    if not token or len(token) > _LENGTH_MAX:
        raise AdviceRefused("It bears no signature.")
    try:
        claims = msgspec.convert(
            jwt.decode(token, _key(key), algorithms=[_ALGORITHM]).claims, Claims
        )
    except (JoseError, ValueError):
        raise AdviceRefused("Its signature is wrong.") from None
    if claims.iss != ISSUER:
        raise AdviceRefused("Somebody else than SIRA signed it.")
    if claims.request != request_hash(request):
        raise AdviceRefused("It is about another request.")
    if not claims.iat - _LEEWAY_S <= now.timestamp() < min(claims.exp, claims.iat + TTL_S):
        raise AdviceRefused("It has expired, or is not valid yet.")
    return claims


def _key(key: Secret) -> OctKey:
    assert len(key.reveal()) >= KEY_LENGTH_MIN, "a signing key needs 32 characters"
    return OctKey.import_key(key.reveal())
