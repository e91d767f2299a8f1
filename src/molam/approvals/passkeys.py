"""Passkeys (WebAuthn): registering them, listing them, and checking what they signed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import webauthn
from cryptography.exceptions import InvalidSignature
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import (
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json_dict,
    parse_client_data_json,
)
from webauthn.helpers.base64url_to_bytes import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from molam.approvals import passkey_store
from molam.approvals.model import Actor
from molam.approvals.passkey_store import ChallengeRow, KeyRow, PasskeyRow
from molam.approvals.passkey_wire import LABEL_LENGTH_MAX, Assertion, Attestation, as_document
from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database, Tx

CHALLENGE_S = 120
PASSKEYS_MAX = 10

_OUTSTANDING_MAX = 8
_CREDENTIAL_BYTES_MAX = 1023
# What the library raises on bytes that are no passkey's, beside its own exceptions.
_MALFORMED = (WebAuthnException, InvalidSignature, ValueError, LookupError, TypeError)


class PasskeyRefused(Refusal):
    code = "passkey-refused"
    kind = Kind.FORBIDDEN
    title = "The passkey does not confirm this"


class PasskeyAbsent(Refusal):
    code = "passkey-absent"
    kind = Kind.ABSENT
    title = "You have no such passkey"


class PasskeyMalformed(Refusal):
    code = "passkey-malformed"
    kind = Kind.BROKEN_RULE
    title = "This passkey cannot be registered"


@dataclass(frozen=True, slots=True)
class Party:
    """Who asks for passkeys: the console, by the address that browsers see."""

    id: str
    origin: str
    name: str = "Molam Connect"

    @classmethod
    def at(cls, url: str) -> Party:
        parts = urlsplit(url)
        return cls(id=parts.hostname or "localhost", origin=f"{parts.scheme}://{parts.netloc}")


async def begin_registration(
    db: Database, party: Party, *, person: str, name: str
) -> dict[str, Any]:
    """Make the options with which a browser creates a passkey, for two minutes and once."""
    known = await listed(db, person)
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        # A handle of our own, so that the authenticator keeps no name it could give away.
        user_id=hashlib.sha256(person.encode()).digest(),
        user_name=person,
        user_display_name=name,
        timeout=CHALLENGE_S * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=row.credential_id) for row in known],
    )
    await put_challenge(db, person=person, challenge=options.challenge, binding={})
    return options_to_json_dict(options)


async def register(
    db: Database, party: Party, actor: Actor, *, given: Attestation, label: str
) -> PasskeyRow:
    """
    Keep the passkey that a browser has made.

    Raises:
        PasskeyMalformed: it is no answer to a challenge of ours, or no usable passkey.
    """
    label = label.strip()
    if not 1 <= len(label) <= LABEL_LENGTH_MAX or not label.isprintable():
        raise PasskeyMalformed(f"Its name has 1 to {LABEL_LENGTH_MAX} printable characters.")
    challenge = challenge_in(given.response.client_data)
    taken = None if challenge is None else await take_challenge(db, actor.id, challenge)
    if challenge is None or taken is None or taken.binding:
        raise PasskeyMalformed("It answers no open challenge; begin again.")
    verified = verified_registration(party, given, challenge)
    async with db.transaction("approvals.register_passkey") as tx:
        await tx.one(passkey_store.LOCK_PERSON, person=actor.id)
        known = await tx.all(passkey_store.LIST_PASSKEYS, person=actor.id, limit=PASSKEYS_MAX)
        if len(known) >= PASSKEYS_MAX:
            raise PasskeyMalformed(f"You have {PASSKEYS_MAX} already; remove one first.")
        row = await tx.one(
            passkey_store.INSERT_PASSKEY,
            credential_id=verified.credential_id,
            person=actor.id,
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            label=label,
        )
        if row is None:
            raise PasskeyMalformed("This passkey is registered already.")
        await _record(tx, row, "passkey.added", actor=actor, at=row.created_at)
    return row


async def listed(db: Database, person: str) -> list[PasskeyRow]:
    return await db.read(passkey_store.LIST_PASSKEYS, person=person, limit=PASSKEYS_MAX)


async def remove(db: Database, actor: Actor, credential_id: str, *, now: Instant) -> None:
    """
    Forget one of the caller's passkeys.

    Raises:
        PasskeyAbsent: it is not theirs.
    """
    async with db.transaction("approvals.remove_passkey") as tx:
        row = await tx.one(
            passkey_store.DELETE_PASSKEY,
            credential_id=id_bytes(credential_id),
            person=actor.id,
        )
        if row is None:
            raise PasskeyAbsent("Reload the list.")
        await _record(tx, row, "passkey.removed", actor=actor, at=now)


async def put_challenge(
    db: Database, *, person: str, challenge: bytes, binding: Mapping[str, object]
) -> None:
    async with db.transaction("approvals.put_challenge") as tx:
        await tx.run(
            passkey_store.PUT_CHALLENGE,
            person=person,
            challenge=challenge,
            binding=dict(binding),
            lasts_s=float(CHALLENGE_S),
            kept=_OUTSTANDING_MAX - 1,
        )


async def take_challenge(db: Database, person: str, challenge: bytes) -> ChallengeRow | None:
    """Use up a challenge; None if there is none that is fresh. However it ends, it is gone."""
    async with db.transaction("approvals.take_challenge") as tx:
        taken = await tx.one(passkey_store.TAKE_CHALLENGE, person=person, challenge=challenge)
    return taken if taken is not None and taken.is_fresh else None


def challenge_in(client_data: str) -> bytes | None:
    """Read which challenge is answered; None if that cannot be told, or in a frame of others."""
    try:
        said = parse_client_data_json(base64url_to_bytes(client_data))
    except _MALFORMED:
        return None
    return None if said.cross_origin else said.challenge


def id_bytes(credential_id: str) -> bytes:
    """
    Read a credential's id.

    Raises:
        PasskeyAbsent: it cannot be one.
    """
    try:
        found = base64url_to_bytes(credential_id)
    except _MALFORMED:
        raise PasskeyAbsent("Reload the list.") from None
    return found


def verified_answer(
    party: Party, given: Assertion, key: KeyRow, challenge: bytes
) -> VerifiedAuthentication:
    """
    Check a signed answer: challenge, address, user verification, count and signature.

    Raises:
        PasskeyRefused: one of them is not as it must be.
    """
    try:
        return webauthn.verify_authentication_response(
            credential=as_document(given),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=key.public_key,
            credential_current_sign_count=key.sign_count,
            require_user_verification=True,
        )
    except _MALFORMED:
        raise PasskeyRefused("What it signed is not what was asked, or not by you.") from None


def verified_registration(
    party: Party, given: Attestation, challenge: bytes
) -> VerifiedRegistration:
    try:
        verified = webauthn.verify_registration_response(
            credential=as_document(given),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
        # A key that cannot be read now could not be checked later either.
        key = decode_credential_public_key(verified.credential_public_key)
        decoded_public_key_to_cryptography(key)
    except _MALFORMED:
        raise PasskeyMalformed("What the browser sent is not a passkey for this address.") from None
    if not 1 <= len(verified.credential_id) <= _CREDENTIAL_BYTES_MAX:
        raise PasskeyMalformed("Its id is too long.")
    return verified


async def _record(tx: Tx, row: PasskeyRow, event: str, *, actor: Actor, at: Instant) -> None:
    fact = Fact(
        event=event,
        actor_kind=actor.kind,
        actor_id=actor.id,
        data={"credential": hashlib.sha256(row.credential_id).hexdigest()},
    )
    await append_to(tx, "ops", [fact], at=at)


def passkey_json(row: PasskeyRow) -> dict[str, Any]:
    return {
        "id": bytes_to_base64url(row.credential_id),
        "label": row.label,
        "created_at": row.created_at.isoformat(),
        "last_used_at": None if row.last_used_at is None else row.last_used_at.isoformat(),
    }
