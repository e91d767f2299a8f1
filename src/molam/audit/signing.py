"""Checkpoints as signed notes (C2SP tlog-checkpoint), and the Ed25519 key that signs them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from molam.platform.settings import Secret, Settings, SettingsRefused

ORIGIN = "molam-connect/audit"
"""The first line of every checkpoint, and the name of the key."""

_ED25519 = b"\x01"
_SEED_BYTES = 32


class Signer:
    """The private key of the log."""

    def __init__(self, key: Ed25519PrivateKey, *, name: str = ORIGIN) -> None:
        self._key = key
        self._name = name
        public = _ED25519 + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
        self.public_key = f"{name}+{self._id.hex()}+{base64.b64encode(public).decode()}"
        """What others verify with, in the form ``name+hash+key`` of signed notes."""

    @property
    def key_id(self) -> str:
        return self._id.hex()

    def sign(self, text: str) -> str:
        """Return *text* as a signed note."""
        assert text.endswith("\n")
        signature = base64.b64encode(self._id + self._key.sign(text.encode())).decode()
        return f"{text}\n\N{EM DASH} {self._name} {signature}\n"


def checkpoint_text(size: int, root: bytes) -> str:
    """Write what is signed: the origin, the size of the tree, and its root."""
    return f"{ORIGIN}\n{size}\n{base64.b64encode(root).decode()}\n"


def read_key(text: str) -> Ed25519PrivateKey:
    """
    Read a private key: PEM, or the 32 bytes of its seed in base64.

    Raises:
        ValueError: it is neither.
    """
    if "-----BEGIN" in text:
        try:
            # A .env file has no room for line ends.
            found = load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            found = None
        if not isinstance(found, Ed25519PrivateKey):
            raise ValueError("no Ed25519 key in PEM")
        return found
    try:
        seed = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        raise ValueError("neither PEM nor base64") from None
    if len(seed) != _SEED_BYTES:
        raise ValueError(f"a seed has {_SEED_BYTES} bytes, not {len(seed)}")
    return Ed25519PrivateKey.from_private_bytes(seed)


def load_signer(settings: Settings) -> Signer:
    """
    Read the key the settings name, or make one under MOLAM_HOME for all processes.

    Raises:
        SettingsRefused: the key is none, or production has none.
    """
    given = settings.molam_audit_key or _kept(settings)
    try:
        return Signer(read_key(given.reveal()))
    except ValueError as error:
        raise SettingsRefused(
            f"MOLAM_AUDIT_KEY is an Ed25519 private key, PEM or its seed in base64 ({error})"
        ) from None


def _kept(settings: Settings) -> Secret:
    if settings.is_production:
        raise SettingsRefused("MOLAM_AUDIT_KEY is required when MOLAM_ENV=production")
    path = settings.molam_home / "audit.key"
    if not path.exists():
        _make(path)
    return Secret(path.read_text(encoding="ascii"))


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        made = Ed25519PrivateKey.generate()
        file.write(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        # Linking fails if another process made a key meanwhile; then that one counts.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
