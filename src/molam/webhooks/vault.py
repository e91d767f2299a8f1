"""Endpoint secrets at rest: encrypted under a key that the database does not have."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from molam.platform.settings import Secret

_PURPOSE = "molam.webhooks.secrets/1"
_NONCE_BYTES = 12
_REMEMBERED_MAX = 4096


class SecretUnreadable(Exception):
    """It was written under another key: MOLAM_SECRET_KEY has changed, or was another's."""


class Vault:
    """Encrypts with AES-256-GCM, bound to the endpoint: moved to another, it does not open."""

    def __init__(self, key: Secret) -> None:
        self._cipher = AESGCM(hashlib.sha256(f"{_PURPOSE}\0{key.reveal()}".encode()).digest())
        self._remembered: OrderedDict[bytes, Secret] = OrderedDict()

    def seal(self, secret: Secret, *, endpoint_id: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        text = secret.reveal().encode()
        return nonce + self._cipher.encrypt(nonce, text, endpoint_id.encode())

    def open(self, sealed: bytes, *, endpoint_id: str) -> Secret:
        """
        Raises:
            SecretUnreadable: not ours, or not this endpoint's.
        """
        found = self._remembered.get(sealed)
        if found is not None:
            return found
        try:
            text = self._cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], endpoint_id.encode()
            )
        except InvalidTag as error:
            raise SecretUnreadable(endpoint_id) from error
        opened = self._remembered[sealed] = Secret(text.decode())
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return opened
