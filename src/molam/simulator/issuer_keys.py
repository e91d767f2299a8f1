"""The development issuer's two signing keys, kept between starts."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

_RSA_BITS = 2048


class IssuerKeys:
    """Two RS256 keys, so that rotation is ordinary: the first signs, both verify."""

    def __init__(self, keys: list[RSAKey]) -> None:
        assert len(keys) == 2, "one signs, one is next"  # noqa: PLR2004
        self._keys = keys

    def public(self) -> dict[str, Any]:
        """Return the JWKS document."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}

    def sign(self, claims: dict[str, Any], *, type_: str) -> str:
        key = self._keys[0]
        assert key.kid is not None
        header = {"alg": "RS256", "kid": key.kid, "typ": type_}
        return jwt.encode(header, claims, key, algorithms=["RS256"])


def load_keys(home: Path) -> IssuerKeys:
    """Read the keys under *home*, making them the first time; only their owner may read them."""
    path = home / "identity" / "keys.json"
    if not path.exists():
        _make(path)
    held = json.loads(path.read_text(encoding="utf-8"))
    return IssuerKeys([RSAKey.import_key(key) for key in held["keys"]])


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = [
        RSAKey.generate_key(
            _RSA_BITS, {"kid": secrets.token_hex(6), "use": "sig", "alg": "RS256"}
        ).as_dict(private=True)
        for _ in range(2)
    ]
    draft = path.with_suffix(f".{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"keys": keys}, file)
    try:
        # Linking fails if another process made keys meanwhile; then theirs count.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
