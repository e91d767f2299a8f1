"""Advice is believed when SIRA signed it, about this request, within the hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from molam.platform.settings import Secret
from molam.sira import scoring, signatures
from molam.sira.scoring import ScoreRequest, advise
from molam.sira.signatures import AdviceRefused, sign, verify

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
KEY = Secret("k" * 32)
REQUEST = ScoreRequest(
    action="refund.large",
    amount=250_000,
    currency="XOF",
    historical_risk=Decimal("0.50"),
    metadata={"description": "Été", "ratio": Decimal("1.0")},
)
ADVICE = advise(REQUEST, amount_xof=250_000)


def signed(**changed: object) -> str:
    claims = {
        "iss": "molam-sira",
        "model_version": "fallback-heuristic-v1",
        "score": 40,
        "request": signatures.request_hash(REQUEST),
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
    } | changed
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(KEY.reveal()))


def refused(token: str, request: ScoreRequest = REQUEST, now: datetime = NOW) -> str:
    with pytest.raises(AdviceRefused) as info:
        verify(token, request, key=KEY, now=now)
    return info.value.detail


def test_own_signature_is_accepted_with_what_it_vouches_for():
    claims = verify(sign(ADVICE, REQUEST, key=KEY, now=NOW), REQUEST, key=KEY, now=NOW)

    assert (claims.score, claims.model_version) == (40, scoring.FALLBACK)


def test_equal_requests_have_one_hash_however_their_numbers_are_written():
    same = ScoreRequest(
        action="refund.large",
        amount=250_000,
        currency="XOF",
        historical_risk=Decimal("0.5"),
        metadata={"ratio": Decimal(1), "description": "Été"},
    )

    assert signatures.request_hash(same) == signatures.request_hash(REQUEST)


def test_advice_about_another_request_is_refused():
    other = ScoreRequest(action="refund.large", amount=25, currency="XOF")

    assert refused(sign(ADVICE, REQUEST, key=KEY, now=NOW), other) == "It is about another request."


def test_signature_of_another_key_is_refused():
    token = sign(ADVICE, REQUEST, key=Secret("x" * 32), now=NOW)

    assert refused(token) == "Its signature is wrong."


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 5000])
def test_what_is_no_signature_is_refused(token):
    assert refused(token)


def test_signature_that_says_it_needs_no_key_is_refused():
    head = "eyJhbGciOiJub25lIn0"
    body = signed().split(".")[1]

    assert refused(f"{head}.{body}.") == "Its signature is wrong."


def test_advice_lives_for_an_hour():
    token = sign(ADVICE, REQUEST, key=KEY, now=NOW)

    assert verify(token, REQUEST, key=KEY, now=NOW + timedelta(minutes=59, seconds=59))
    assert refused(token, now=NOW + timedelta(hours=1)).startswith("It has expired")
    assert refused(token, now=NOW - timedelta(minutes=1)).startswith("It has expired")


def test_advice_cannot_grant_itself_more_than_an_hour():
    token = signed(exp=int(NOW.timestamp()) + 10 * 86_400)

    assert refused(token, now=NOW + timedelta(hours=2)).startswith("It has expired")


@pytest.mark.parametrize("score", [-1, 101, "40", 40.5, None])
def test_score_that_is_no_score_is_refused(score):
    assert refused(signed(score=score)) == "Its signature is wrong."


def test_advice_of_somebody_else_is_refused():
    assert refused(signed(iss="mesh")) == "Somebody else than SIRA signed it."
