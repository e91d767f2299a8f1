"""The key under which SIRA signs, and the one algorithm that goes with it."""

from __future__ import annotations

import functools
import hashlib
import hmac
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey

from molam.kernel.refusals import Kind, Refusal
from molam.platform.settings import Secret

ISSUER = "molam-sira"
LEEWAY_S = 30
KEY_LENGTH_MIN = 32

_LENGTH_MAX = 4096
_ID_LENGTH = 16


class AdviceRefused(Refusal):
    """What SIRA is said to have said bears no signature of its own under this very content."""

    code = "advice-refused"
    kind = Kind.FORBIDDEN
    title = "SIRA's advice cannot be trusted"


# Note [One key, one algorithm]
#
# SIRA_SIGNING_KEY is a shared secret, and then tokens are HS256; or an Ed25519 key in
# PEM, and then they are Ed25519: the private key signs and verifies, the public one only
# verifies. Which it is follows from the key alone. What a token says of its algorithm
# is held against that and never followed, so that neither "none" nor a public key taken
# for a secret opens anything.


@dataclass(frozen=True, slots=True)
class _Key:
    algorithm: str
    key: OctKey | OKPKey
    id: str


def sign(claims: dict[str, object], *, key: Secret) -> str:
    """Return *claims* as a signed token."""
    known = _read(key)
    assert known.key.is_private, "a public key verifies, and signs nothing"
    header = {"alg": known.algorithm, "typ": "JWT", "kid": known.id}
    return jwt.encode(header, claims, known.key, algorithms=[known.algorithm])


def verify(token: str, *, key: Secret) -> dict[str, object]:
    """
    Return the claims of *token*, whose times and meaning are not looked at yet.

    Raises:
        AdviceRefused: there is no signature of this key under it.
    """
    if not token or len(token) > _LENGTH_MAX:
        raise AdviceRefused("It bears no signature.")
    known = _read(key)
    try:
        found = jwt.decode(token, known.key, algorithms=[known.algorithm])
    except (JoseError, ValueError, TypeError):
        raise AdviceRefused("Its signature is wrong.") from None
    return found.claims


def check(key: Secret) -> None:
    """
    Make sure that *key* is one: a secret, or either half of an Ed25519 pair.

    Raises:
        ValueError: it is too short, or PEM of something else.
    """
    try:
        _read(key)
    except (AssertionError, JoseError, ValueError, TypeError):
        raise ValueError("neither 32 characters nor an Ed25519 key in PEM") from None


def can_sign(key: Secret) -> bool:
    """Tell whether *key* is more than the public half of a pair."""
    return bool(_read(key).key.is_private)


def key_id(key: Secret) -> str:
    """Name *key* without saying anything of it."""
    return _read(key).id


@functools.lru_cache(maxsize=16)
def _read(key: Secret) -> _Key:
    text = key.reveal()
    if "-----BEGIN" in text:
        # A .env file has no room for line ends.
        pem = text.replace("\\n", "\n").strip()
        pair = OKPKey.import_key(pem)
        assert pair.curve_name == "Ed25519", "a signing key in PEM is an Ed25519 key"
        name = str(pair.thumbprint())
        return _Key("Ed25519", pair, name[:_ID_LENGTH])
    assert len(text) >= KEY_LENGTH_MIN, "a signing key needs 32 characters"
    name = hmac.new(text.encode(), b"molam.sira.key-id/1", hashlib.sha256).hexdigest()
    return _Key("HS256", OctKey.import_key(text), name[:_ID_LENGTH])
