"""The secrets of endpoints, and the signatures by which receivers know who is speaking."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from molam.kernel.clock import Instant
from molam.platform.settings import Secret

_PREFIX = "whsec_"
_SECRET_BYTES = 32

# Note [Two signatures]
#
# `webhook-signature` is Standard Webhooks': HMAC-SHA256 over "id.timestamp.body" under
# the bytes behind "whsec_", one for each secret that is valid, so that a receiver may
# change secrets at any moment of the overlap.
#
# `X-Molam-Signature` is the specification's: HMAC-SHA256 over the body alone, in hex,
# under the text of the secret, "whsec_" included. It has room for one; while two are
# valid it is the older one's, so that a receiver that knows only that one is not cut
# off before the overlap ends.


def new_secret() -> Secret:
    """Make a secret that nobody can guess, in the form of Standard Webhooks."""
    return Secret(_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode())


def sign(body: bytes, *, id_: str, at: Instant, keys: Sequence[Secret]) -> dict[str, str]:
    """Return the headers that prove *body*; *keys* are all that are valid, newest first."""
    assert keys, "an endpoint without a secret cannot be spoken to"
    timestamp = str(int(at.timestamp()))
    signed = f"{id_}.{timestamp}.".encode() + body
    signatures = [
        base64.b64encode(hmac.digest(_key(each), signed, hashlib.sha256)).decode() for each in keys
    ]
    oldest = keys[-1].reveal().encode()
    return {
        "webhook-id": id_,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
        "X-Molam-Signature": hmac.digest(oldest, body, hashlib.sha256).hex(),
    }


def _key(secret: Secret) -> bytes:
    return base64.b64decode(secret.reveal().removeprefix(_PREFIX))
