"""Confirming one vote with a passkey, which signs what is voted on and nothing else."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import webauthn
from webauthn.helpers import options_to_json_dict
from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

from molam.approvals import ballot_checks, passkey_store, passkeys, queries, vote_store
from molam.approvals.locked import view_hash_of
from molam.approvals.model import Actor, Auth, VoteRequest
from molam.approvals.passkey_wire import Assertion
from molam.approvals.passkeys import CHALLENGE_S, Party, PasskeyAbsent, PasskeyRefused
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database

PURPOSE = b"molam.passkey/1"
_NONCE_BYTES = 32

# Note [What a passkey signs]
#
# The challenge is a hash over the action, the decision, the intent, what was shown, and
# a nonce. It is computed again from the vote that arrives, so a signature is worth
# nothing for another action, for another decision, or after the page has changed. The
# nonce is kept for two minutes and deleted by the first answer, right or wrong.


@dataclass(frozen=True, slots=True)
class Asked:
    """Options for ``navigator.credentials.get()``, and the hashes that the vote must carry."""

    options: dict[str, Any]
    intent_hash: str
    view_hash: str


def challenge_of(action_id: UUID, vote: str, *, intent: bytes, view: bytes, nonce: bytes) -> bytes:
    """Hash what a passkey is to confirm; the three last have 32 bytes each."""
    parts = (PURPOSE, str(action_id).encode(), vote.encode(), intent, view, nonce)
    return hashlib.sha256(b"\x00".join(parts)).digest()


async def begin_vote(
    db: Database, party: Party, actor: Actor, action_id: UUID, *, asked: VoteRequest, locale: str
) -> Asked:
    """
    Make the challenge for one vote.

    Without hashes in *asked* it is about the present view in *locale*.

    Raises:
        ActionAbsent: there is no such action.
        StaleView: it has changed since the caller saw it.
        PasskeyAbsent: the caller has registered none.
    """
    ballot_checks.check_request(asked)
    row = await queries.find(db, action_id)
    ballot_checks.check_shown(row, asked)
    known = await passkeys.listed(db, actor.id)
    if not known:
        raise PasskeyAbsent("Register one first, or confirm with your one-time code.")
    view = ballot_checks.hash_bytes(asked.view_hash) or view_hash_of(row, locale)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    challenge = challenge_of(action_id, asked.vote, intent=row.intent_hash, view=view, nonce=nonce)
    await passkeys.put_challenge(
        db, person=actor.id, challenge=challenge, binding={"nonce": nonce.hex()}
    )
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=challenge,
        timeout=CHALLENGE_S * 1000,
        allow_credentials=[PublicKeyCredentialDescriptor(id=each.credential_id) for each in known],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return Asked(options_to_json_dict(options), row.intent_hash.hex(), view.hex())


async def proved_actor(
    db: Database,
    party: Party,
    actor: Actor,
    action_id: UUID,
    *,
    asked: VoteRequest,
    passkey: Assertion | None,
) -> Actor:
    """
    Return *actor* with a fresh second factor, if *passkey* confirms the vote *asked*.

    Without a passkey *actor* is returned as they are. A vote that was recorded before,
    under the same client_vote_id, needs no second confirmation.

    Raises:
        PasskeyRefused: it confirms something else, or was used before.
    """
    if passkey is None or await _is_recorded(db, actor, action_id, asked):
        return actor
    intent = ballot_checks.hash_bytes(asked.intent_hash)
    view = ballot_checks.hash_bytes(asked.view_hash)
    if intent is None or view is None:
        raise PasskeyRefused("Send the intent_hash and the view_hash that it was asked about.")
    answered = passkeys.challenge_in(passkey.response.client_data)
    taken = None if answered is None else await passkeys.take_challenge(db, actor.id, answered)
    if taken is None or "nonce" not in taken.binding:
        raise PasskeyRefused("It was used before, or two minutes have passed; confirm again.")
    nonce = bytes.fromhex(taken.binding["nonce"])
    expected = challenge_of(action_id, asked.vote, intent=intent, view=view, nonce=nonce)
    await _use(db, party, actor, passkey=passkey, expected=expected)
    evidence = {
        "credential_id": passkey.id,
        "nonce": nonce.hex(),
        "client_data": passkey.response.client_data,
        "authenticator_data": passkey.response.authenticator_data,
        "signature": passkey.response.signature,
    }
    auth = Auth(acr=AAL2, auth_time=taken.now, amr=("hwk", "user"), evidence=evidence)
    return replace(actor, auth=auth)


async def _is_recorded(db: Database, actor: Actor, action_id: UUID, asked: VoteRequest) -> bool:
    if asked.client_vote_id is None:
        return False
    rows = await db.read(
        vote_store.FIND_CLIENT_VOTE,
        ops_action_id=action_id,
        voter_id=actor.id,
        client_vote_id=asked.client_vote_id,
    )
    return bool(rows)


async def _use(
    db: Database, party: Party, actor: Actor, *, passkey: Assertion, expected: bytes
) -> None:
    """
    Check the signature, and count its use.

    Raises:
        PasskeyRefused: it is not the caller's, not over *expected*, or a copy's.
    """
    credential_id = passkeys.id_bytes(passkey.id)
    keys = await db.read(passkey_store.FIND_PASSKEY, credential_id=credential_id, person=actor.id)
    if not keys:
        raise PasskeyRefused("It is not registered as yours.")
    verified = passkeys.verified_answer(party, passkey, keys[0], expected)
    async with db.transaction("approvals.use_passkey") as tx:
        counted = await tx.run(
            passkey_store.SET_USED,
            credential_id=credential_id,
            person=actor.id,
            old_count=keys[0].sign_count,
            new_count=verified.new_sign_count,
        )
    if not counted:
        raise PasskeyRefused("It was used elsewhere in this moment; confirm again.")
