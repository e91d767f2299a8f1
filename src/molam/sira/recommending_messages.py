"""Recommendations on the wire: what is asked, what is answered, and what the signature covers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from molam.kernel.clock import Instant
from molam.platform.settings import Secret
from molam.sira import content
from molam.sira.recommending import Evidence, Explanation, Recommendation, Situation

TTL_S = 3600


class RecommendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An alert, and what is known beside it."""

    alert: Situation
    evidence: Evidence = Evidence()


class Recommended(Recommendation, frozen=True, kw_only=True):
    """A recommendation with SIRA's signature under all of it, and under the alert."""

    signature: str


def covered(asked: Situation, made: Recommendation) -> dict[str, object]:
    """Write all that is signed: the recommendation, and which alert it is about."""
    said = {name: getattr(made, name) for name in Recommendation.__struct_fields__}
    return {"alert": _plain(asked), **{name: _plain(each) for name, each in said.items()}}


def signed(asked: Situation, made: Recommendation, *, key: Secret, now: Instant) -> Recommended:
    token = content.sign_content(
        "recommendation", covered(asked, made), key=key, now=now, ttl_s=TTL_S
    )
    said = {name: getattr(made, name) for name in Recommendation.__struct_fields__}
    return Recommended(**said, signature=token.token)


def verify(asked: Situation, said: Recommended, *, key: Secret, now: Instant) -> Recommendation:
    """
    Return what SIRA vouches for.

    Raises:
        AdviceRefused: unsigned, altered, expired, or about another alert.
    """
    made = Recommendation(
        **{name: getattr(said, name) for name in Recommendation.__struct_fields__}
    )
    content.verify_content(said.signature, "recommendation", covered(asked, made), key=key, now=now)
    return made


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    return _object(explanation)


def recommendation_json(made: Recommendation) -> dict[str, Any]:
    """Write a recommendation for people and for the record."""
    return _object(made)


def _object(value: object) -> dict[str, Any]:
    written = _plain(value)
    assert isinstance(written, Mapping)
    return dict(written)


_encode = msgspec.json.Encoder(decimal_format="number").encode


def _plain(value: object) -> object:
    return msgspec.json.decode(_encode(value))
