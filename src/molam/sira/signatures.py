"""Advice that can be believed: signed by SIRA, about one request, for an hour."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.kernel.digests import digest, hashable
from molam.platform.settings import Secret
from molam.sira import signing
from molam.sira.scoring import SCORE_MAX, Advice, ScoreRequest
from molam.sira.signing import ISSUER, LEEWAY_S, AdviceRefused

TTL_S = 3600


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
    claims: dict[str, object] = {
        "iss": ISSUER,
        "model_version": advice.model_version,
        "score": advice.score,
        "request": request_hash(request),
        "iat": issued,
        "exp": issued + TTL_S,
    }
    return signing.sign(claims, key=key)


def verify(token: str, request: ScoreRequest, *, key: Secret, now: Instant) -> Claims:
    """
    Return what SIRA vouched for about *request*.

    Raises:
        AdviceRefused: unsigned, altered, expired, or about another request.
    """
    try:
        claims = msgspec.convert(signing.verify(token, key=key), Claims)
    except msgspec.ValidationError:
        raise AdviceRefused("Its signature is wrong.") from None
    if claims.iss != ISSUER:
        raise AdviceRefused("Somebody else than SIRA signed it.")
    if claims.request != request_hash(request):
        raise AdviceRefused("It is about another request.")
    if not claims.iat - LEEWAY_S <= now.timestamp() < min(claims.exp, claims.iat + TTL_S):
        raise AdviceRefused("It has expired, or is not valid yet.")
    return claims
