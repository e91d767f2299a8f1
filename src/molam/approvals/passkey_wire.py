"""What browsers send of a passkey, as WebAuthn's toJSON writes it. Bounded in every part."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from molam.kernel import canonical
from molam.platform.web import wire

LABEL_LENGTH_MAX = 60

# A credential's id has at most 1023 bytes; in base64url a third more.
CredentialId = Annotated[str, Meta(min_length=1, max_length=1400, pattern=r"^[A-Za-z0-9_-]+\Z")]
_Part = Annotated[str, Meta(max_length=8192)]
_Attested = Annotated[str, Meta(max_length=32_768)]


class AssertionResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    client_data: _Part = field(name="clientDataJSON")
    authenticator_data: _Part = field(name="authenticatorData")
    signature: _Part
    user_handle: _Part | None = field(name="userHandle", default=None)


class Assertion(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An answer to ``navigator.credentials.get()``. What else a browser adds is not read."""

    id: CredentialId
    raw_id: CredentialId = field(name="rawId")
    type: Literal["public-key"]
    response: AssertionResponse


class AttestationResponse(msgspec.Struct, kw_only=True):
    client_data: _Part = field(name="clientDataJSON")
    attestation_object: _Attested = field(name="attestationObject")


class Attestation(msgspec.Struct, kw_only=True):
    """An answer to ``navigator.credentials.create()``."""

    id: CredentialId
    raw_id: CredentialId = field(name="rawId")
    type: Literal["public-key"]
    response: AttestationResponse


def as_document(given: Assertion | Attestation) -> dict[str, Any]:
    """Write it as the WebAuthn library reads it."""
    document: dict[str, Any] = msgspec.to_builtins(given)
    return document


def read_assertion(text: str) -> Assertion:
    """
    Read what a page's form carries of a confirmation.

    Raises:
        JsonMalformed, BodyMalformed: it is not one.
    """
    return wire.convert(canonical.parse(text.encode()), Assertion)


def read_attestation(text: str) -> Attestation:
    """
    Read what a page's form carries of a new passkey.

    Raises:
        JsonMalformed, BodyMalformed: it is not one.
    """
    return wire.convert(canonical.parse(text.encode()), Attestation)
