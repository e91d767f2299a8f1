"""What SIRA signed is believed as it stands, for as long as it holds, and nothing else."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from molam.platform.settings import Secret
from molam.sira import signing
from molam.sira.content import digest_of, sign_content, verify_content
from molam.sira.signing import AdviceRefused

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
KEY = Secret("k" * 32)
TTL_S = 600
CONTENT = {
    "bank_profile_id": "bp_123",
    "mesh_region_id": None,
    "predicted_score": "97.90",
    "p_down": 0.00023,
    "sequence": [{"bank_profile_id": "bp_123", "cost": 250, "ok": True}],
}

_ED25519 = Ed25519PrivateKey.generate()
PRIVATE_PEM = Secret(
    _ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
)
PUBLIC_PEM = Secret(
    _ED25519.public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
    .replace("\n", "\\n")
)

numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=8)
documents = st.dictionaries(
    st.text(max_size=6),
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)


def signed(content: Any = None, *, kind: Any = "prediction", key: Secret = KEY) -> str:
    made = sign_content(
        kind, CONTENT if content is None else content, key=key, now=NOW, ttl_s=TTL_S
    )
    return made.token


def refused(token: str, content: Any = None, *, key: Secret = KEY, now: datetime = NOW) -> str:
    with pytest.raises(AdviceRefused) as info:
        verify_content(
            token, "prediction", CONTENT if content is None else content, key=key, now=now
        )
    return info.value.detail


def forged(algorithm: str = "HS256", *, key: Secret = KEY, **changed: object) -> str:
    claims = {
        "iss": "molam-sira",
        "typ": "prediction",
        "digest": digest_of("prediction", CONTENT),
        "jti": "1",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + TTL_S,
        "kid": "any",
    } | changed
    return jwt.encode({"alg": algorithm}, claims, OctKey.import_key(key.reveal()))


def test_own_signature_vouches_for_what_it_was_put_under():
    made = sign_content("prediction", CONTENT, key=KEY, now=NOW, ttl_s=TTL_S)

    claims = verify_content(made.token, "prediction", CONTENT, key=KEY, now=NOW)

    assert (claims.jti, claims.typ, claims.iss) == (made.token_id, "prediction", "molam-sira")
    assert (made.issued, made.expires) == (NOW, NOW + timedelta(seconds=TTL_S))
    assert (claims.iat, claims.exp) == (made.issued.timestamp(), made.expires.timestamp())
    assert claims.kid == signing.key_id(KEY)


def test_two_signatures_under_the_same_content_are_two_to_be_used():
    ids = {
        sign_content("quote", CONTENT, key=KEY, now=NOW, ttl_s=TTL_S).token_id for _ in range(50)
    }

    assert len(ids) == 50


def test_content_of_another_kind_is_refused():
    assert (
        refused(signed(kind="proposal")) == "It was signed as a proposal, and not as a prediction."
    )


def test_digest_of_one_kind_does_not_stand_for_another():
    assert digest_of("proposal", CONTENT) != digest_of("prediction", CONTENT)
    moved = forged(digest=digest_of("proposal", CONTENT))
    assert refused(moved) == "It says something else than what was signed."


def test_signature_is_refused_from_its_end_on():
    token = signed()
    last = NOW + timedelta(seconds=TTL_S - 1)

    assert verify_content(token, "prediction", CONTENT, key=KEY, now=last)
    assert refused(token, now=NOW + timedelta(seconds=TTL_S)).startswith("It has expired")


def test_signature_of_the_future_is_refused():
    early = NOW - timedelta(seconds=signing.LEEWAY_S + 1)

    assert refused(signed(), now=early).startswith("It has expired, or is not valid yet")


def test_signature_cannot_grant_itself_more_than_a_day():
    token = forged(exp=int(NOW.timestamp()) + 10 * 86_400)

    assert verify_content(token, "prediction", CONTENT, key=KEY, now=NOW)
    assert refused(token, now=NOW + timedelta(days=2)).startswith("It has expired")


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 5000, "..", "\x00", "é.é.é"])
def test_what_is_no_signature_is_refused(token):
    assert refused(token)


def test_signature_of_another_key_is_refused():
    assert refused(signed(key=Secret("x" * 32))) == "Its signature is wrong."


def test_signature_that_says_it_needs_no_key_is_refused():
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    body = signed().split(".")[1]

    assert refused(f"{head}.{body}.") == "Its signature is wrong."
    assert refused(f"{head}.{body}.{signed().split('.')[2]}") == "Its signature is wrong."


@pytest.mark.parametrize("part", [0, 1, 2])
def test_signature_altered_in_any_part_is_refused(part):
    parts = signed().split(".")
    place = len(parts[part]) // 2
    other = "A" if parts[part][place] != "A" else "B"
    parts[part] = parts[part][:place] + other + parts[part][place + 1 :]

    assert refused(".".join(parts))


def test_claims_of_one_token_under_the_signature_of_another_are_refused():
    one, other = signed().split("."), signed({**CONTENT, "p_down": 0.9}).split(".")

    assert refused(".".join([one[0], other[1], one[2]])) == "Its signature is wrong."


def test_signature_of_somebody_else_is_refused():
    assert refused(forged(iss="mesh")) == "Somebody else than SIRA signed it."


@pytest.mark.parametrize(
    "changed",
    [{"digest": None}, {"exp": "soon"}, {"iat": 1.5}, {"jti": 7}, {"typ": ["prediction"]}],
)
def test_claims_of_another_shape_are_refused(changed):
    assert refused(forged(**changed)) == "Its signature is of something else."


def test_signature_under_a_score_is_none_under_a_prediction():
    token = signing.sign({"iss": "molam-sira", "score": 40}, key=KEY)

    assert refused(token) == "Its signature is of something else."


def test_algorithm_follows_from_the_key():
    token = signed(key=PRIVATE_PEM)
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))

    assert header["alg"] == "Ed25519"
    for key in (PRIVATE_PEM, PUBLIC_PEM):
        assert verify_content(token, "prediction", CONTENT, key=key, now=NOW)
    assert refused(token, key=KEY) == "Its signature is wrong."
    assert refused(signed(), key=PUBLIC_PEM) == "Its signature is wrong."


def test_public_key_taken_for_a_secret_opens_nothing():
    pem = PUBLIC_PEM.reveal().replace("\\n", "\n")
    claims = signed().split(".")[1]
    for secret in (pem, pem.strip(), PUBLIC_PEM.reveal()):
        head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
        # joserfc refuses to sign so itself; whoever attacks does not ask it.
        mac = _hmac(secret.encode(), f"{head}.{claims}".encode())
        assert refused(f"{head}.{claims}.{mac}", key=PUBLIC_PEM) == "Its signature is wrong."


def _hmac(key: bytes, text: bytes) -> str:
    made = hmac.new(key, text, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def test_public_key_signs_nothing():
    with pytest.raises(AssertionError):
        signed(key=PUBLIC_PEM)


@settings(max_examples=60)
@given(documents)
def test_content_is_believed_after_it_was_written_and_read(content):
    token = signed(content)

    read = msgspec.json.decode(msgspec.json.encode(content))
    assert verify_content(token, "prediction", read, key=KEY, now=NOW)


def test_decimals_and_instants_are_believed_as_our_json_writes_them():
    content = {"score": Decimal("97.90"), "at": NOW, "parts": (1, 2.0)}
    read = {"score": "97.90", "at": "2026-11-16T12:00:00Z", "parts": [1.0, 2]}

    assert verify_content(signed(content), "prediction", read, key=KEY, now=NOW)
    assert refused(signed(content), {**read, "score": "97.9"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        (0, None),
        (0.5, "0.5"),
        (0.5, "#0.5"),
        (1, "1"),
        ("", None),
        ([], {}),
        (2**53, float(2**53) + 2),
        (10**30, 10**30 + 1),
        (0.1, 0.1 + 2**-55),
        ("'a", "a"),
        ("#1.5", 1.5),
    ],
)
def test_values_that_only_look_alike_are_told_apart(one, other):
    assert digest_of("quote", {"x": one}) != digest_of("quote", {"x": other})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_content_that_is_no_json_is_neither_signed_nor_believed(value):
    with pytest.raises((TypeError, ValueError)):
        signed({"x": value})
    assert refused(signed({"x": 1}), {"x": value}).startswith("It says something else")


@settings(max_examples=100)
@given(st.data(), documents)
def test_changing_any_one_thing_anywhere_is_refused(data, content):
    token = signed(content)
    changed = copy.deepcopy(content)
    places = list(_places(changed))
    holder, key = data.draw(st.sampled_from(places))
    how = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if how == "replace":
        new = data.draw(leaves)
        assume(_written(new) != _written(holder[key]))
        holder[key] = new
    elif how == "remove":
        del holder[key]
    elif isinstance(holder, list):
        holder.append(data.draw(leaves))
    else:
        name = data.draw(st.text(min_size=7, max_size=9))
        assume(name not in holder)
        holder[name] = data.draw(leaves)

    assert refused(token, changed) == "It says something else than what was signed."


def _places(value: Any):
    """Every place of a document that something may be put in."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _written(value: Any) -> Any:
    """A value as its worth: 1 and 1.0 are the same number, and True is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return (type(value).__name__, repr(value))
    exact = Decimal(repr(value))
    return ("number", exact.normalize() + 0)


@pytest.mark.parametrize(
    "text", ["short", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_what_is_no_key_is_said_to_be_none(text):
    with pytest.raises(ValueError, match="neither 32 characters nor an Ed25519 key"):
        signing.check(Secret(text))


def test_keys_of_every_kind_are_accepted_and_only_private_ones_sign():
    for key in (KEY, PRIVATE_PEM, PUBLIC_PEM):
        signing.check(key)

    assert [signing.can_sign(key) for key in (KEY, PRIVATE_PEM, PUBLIC_PEM)] == [True, True, False]
