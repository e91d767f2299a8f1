"""Passkeys: registered by their owner alone, and good for exactly the vote they signed."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

import builders
from authenticators import USER_PRESENT, Authenticator
from molam.approvals import passkey_store, passkey_votes, passkeys
from molam.approvals.engine import Engine
from molam.approvals.model import Actor, Auth, StaleView, VoteRequest
from molam.approvals.passkey_wire import Assertion, Attestation
from molam.approvals.passkeys import (
    PASSKEYS_MAX,
    Party,
    PasskeyAbsent,
    PasskeyMalformed,
    PasskeyRefused,
)
from molam.approvals.voting import vote
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.db import Database

PARTY = Party.at("http://localhost:3136")
VOTER = Actor("finance-user-1", auth=Auth(acr="1", auth_time=None))
OTHER = Actor("finance-user-2", auth=Auth(acr="1", auth_time=None))


@pytest.fixture
async def engine(db: Database, ops_db: Database) -> Engine:
    await builders.operations(db)
    await builders.a_policy(db)
    await builders.an_agent(db, balance=500_000)
    return Engine.of(ops_db, registry())


@pytest.fixture
async def key(engine: Engine) -> Authenticator:
    """A passkey of VOTER."""
    return await registered(engine)


async def registered(engine: Engine, actor: Actor = VOTER, **made: Any) -> Authenticator:
    key = Authenticator(**made)
    db = engine.runtime.db
    options = await passkeys.begin_registration(db, PARTY, person=actor.id, name="x")
    given = msgspec.convert(key.create(options), Attestation)
    await passkeys.register(db, PARTY, actor, given=given, label="Phone")
    return key


async def ask(engine: Engine, amount: int = 1_000_000, **fields: Any) -> UUID:
    action = await engine.create_ops_action(
        origin="ops_ui",
        action_type="ADJUST_FLOAT",
        params={"agent_id": "agent-123", "adjustment": "top_up", "amount": amount},
        created_by="pay-admin-1",
        **fields,
    )
    return UUID(action["id"])


async def challenge(
    engine: Engine, action: UUID, *, word: str = "approve", actor: Actor = VOTER, **hashes: str
) -> passkey_votes.Asked:
    return await passkey_votes.begin_vote(
        engine.runtime.db,
        PARTY,
        actor,
        action,
        asked=VoteRequest(vote=word, **hashes),
        locale="fr",
    )


async def prove(
    engine: Engine,
    action: UUID,
    answer: dict[str, Any],
    asked: passkey_votes.Asked,
    *,
    word: str = "approve",
    actor: Actor = VOTER,
    **changed: Any,
) -> Actor:
    fields = {"intent_hash": asked.intent_hash, "view_hash": asked.view_hash, **changed}
    return await passkey_votes.proved_actor(
        engine.runtime.db,
        PARTY,
        actor,
        action,
        asked=VoteRequest(vote=word, **fields),
        passkey=msgspec.convert(answer, Assertion),
    )


async def test_a_vote_on_money_is_confirmed_by_a_passkey(engine: Engine, key: Authenticator):
    action = await ask(engine)
    asked = await challenge(engine, action)
    request = VoteRequest(vote="approve", intent_hash=asked.intent_hash, view_hash=asked.view_hash)
    runtime = engine.runtime
    with pytest.raises(StepUpRequired):
        await vote(runtime, action, request, VOTER)

    actor = await prove(engine, action, key.get(asked.options), asked)
    cast = await vote(runtime, action, request, actor)

    assert cast.row.votes_approve == 1
    [stored] = (await engine.get_action_with_votes(str(action)))["votes"]
    assert (stored["auth"]["acr"], stored["auth"]["amr"]) == ("urn:molam:aal2", ["hwk", "user"])
    # Whoever has the public key can check the signature again, years later.
    evidence = stored["auth"]["passkey"]
    again = passkey_votes.challenge_of(
        action,
        "approve",
        intent=bytes.fromhex(asked.intent_hash),
        view=bytes.fromhex(asked.view_hash),
        nonce=bytes.fromhex(evidence["nonce"]),
    )
    assert bytes_to_base64url(again).encode() in base64url_to_bytes(evidence["client_data"])


async def test_an_answer_is_good_once(engine: Engine):
    key = await registered(engine, count=None)
    action = await ask(engine)
    asked = await challenge(engine, action)
    answer = key.get(asked.options)
    await prove(engine, action, answer, asked)

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, answer, asked)


async def test_without_using_up_the_challenge_an_answer_would_be_good_twice(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    kept = passkey_store.TAKE_CHALLENGE.sql.replace(
        "delete from approvals.passkey_challenges",
        "select binding, true as is_fresh, clock_timestamp() as now"
        " from approvals.passkey_challenges",
    ).partition("returning")[0]
    monkeypatch.setattr(
        passkey_store,
        "TAKE_CHALLENGE",
        type(passkey_store.TAKE_CHALLENGE)(kept, row=passkey_store.ChallengeRow),
    )
    key = await registered(engine, count=None)
    action = await ask(engine)
    asked = await challenge(engine, action)
    answer = key.get(asked.options)
    await prove(engine, action, answer, asked)

    assert (await prove(engine, action, answer, asked)).auth is not None


async def test_a_wrong_answer_uses_the_challenge_up_too(engine: Engine, key: Authenticator):
    action = await ask(engine)
    asked = await challenge(engine, action)
    wrong = Authenticator(credential=key.credential)
    with pytest.raises(PasskeyRefused):
        await prove(engine, action, wrong.get(asked.options), asked)

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, key.get(asked.options), asked)


async def test_an_answer_confirms_no_other_action(engine: Engine, key: Authenticator):
    first = await ask(engine)
    asked = await challenge(engine, first)
    answer = key.get(asked.options)
    second = await ask(engine, amount=2_000_000, supersedes=str(first))

    with pytest.raises(PasskeyRefused):
        await prove(engine, second, answer, asked)


async def test_an_answer_confirms_no_other_decision(engine: Engine, key: Authenticator):
    action = await ask(engine)
    asked = await challenge(engine, action, word="reject")

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, key.get(asked.options), asked, word="approve")


async def test_without_the_decision_in_the_challenge_an_answer_would_confirm_another(
    engine: Engine, key: Authenticator, monkeypatch: pytest.MonkeyPatch
):
    whole = passkey_votes.challenge_of
    monkeypatch.setattr(
        passkey_votes, "challenge_of", lambda action, _vote, **parts: whole(action, "any", **parts)
    )
    action = await ask(engine)
    asked = await challenge(engine, action, word="reject")

    actor = await prove(engine, action, key.get(asked.options), asked, word="approve")

    assert actor.auth != VOTER.auth


async def test_an_answer_confirms_no_other_view(engine: Engine, key: Authenticator):
    action = await ask(engine)
    french = await challenge(engine, action)
    counted = await engine.get_action_with_votes(str(action))
    english = counted["view_hash"]["en"]

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, key.get(french.options), french, view_hash=english)


@pytest.mark.parametrize("missing", ["intent_hash", "view_hash"])
async def test_an_answer_without_what_was_shown_confirms_nothing(
    engine: Engine, key: Authenticator, missing: str
):
    action = await ask(engine)
    asked = await challenge(engine, action)

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, key.get(asked.options), asked, **{missing: None})


async def test_a_view_that_changed_is_refused_before_and_after_signing(
    engine: Engine, key: Authenticator, db: Database
):
    action = await ask(engine)
    asked = await challenge(engine, action)
    actor = await prove(engine, action, key.get(asked.options), asked)
    async with db.transaction("tests.change") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set expires_at = expires_at + interval '1 hour'"
        )
    seen = {"intent_hash": asked.intent_hash, "view_hash": asked.view_hash}

    with pytest.raises(StaleView):
        await vote(
            engine.runtime,
            action,
            VoteRequest(vote="approve", **seen),
            actor,
        )
    with pytest.raises(StaleView):
        await challenge(engine, action, **seen)


async def test_an_answer_confirms_nobody_elses_vote(engine: Engine, key: Authenticator):
    await registered(engine, OTHER)
    action = await ask(engine)
    asked = await challenge(engine, action)

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, key.get(asked.options), asked, actor=OTHER)


async def test_anothers_passkey_does_not_answer_ones_own_challenge(
    engine: Engine, key: Authenticator
):
    others = await registered(engine, OTHER)
    action = await ask(engine)
    asked = await challenge(engine, action)

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, others.get(asked.options), asked)


@pytest.mark.parametrize(
    "changed", [{"origin": "https://molam.example"}, {"rp_id": "molam.example"}]
)
async def test_an_answer_given_to_another_address_is_refused(
    engine: Engine, key: Authenticator, changed: dict[str, str]
):
    action = await ask(engine)
    asked = await challenge(engine, action)
    for name, value in changed.items():
        setattr(key, name, value)

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, key.get(asked.options), asked)


async def test_presence_without_verification_is_refused(engine: Engine, key: Authenticator):
    action = await ask(engine)
    asked = await challenge(engine, action)

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, key.get(asked.options, flags=USER_PRESENT), asked)


async def test_a_copy_that_counts_behind_is_refused(engine: Engine, key: Authenticator):
    action = await ask(engine)
    for _ in range(2):
        asked = await challenge(engine, action)
        await prove(engine, action, key.get(asked.options), asked)
    key.count = 1  # The copy was made before.
    asked = await challenge(engine, action)

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, key.get(asked.options), asked)


async def test_of_an_original_and_its_copy_at_once_only_one_counts(
    engine: Engine, key: Authenticator
):
    action = await ask(engine)
    asked = [await challenge(engine, action) for _ in range(2)]
    answers = []
    for each in asked:
        key.count = 5
        answers.append(key.get(each.options))

    ended = await asyncio.gather(
        *(prove(engine, action, answer, each) for answer, each in zip(answers, asked, strict=True)),
        return_exceptions=True,
    )

    assert sorted(type(each).__name__ for each in ended) == ["Actor", "PasskeyRefused"]


async def test_a_challenge_ends_after_two_minutes(engine: Engine, key: Authenticator, db: Database):
    action = await ask(engine)
    asked = await challenge(engine, action)
    async with db.transaction("tests.age") as tx:
        await tx.connection.execute(
            "update approvals.passkey_challenges set expires_at = expires_at - interval '120 s'"
        )

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, key.get(asked.options), asked)


async def test_a_double_click_is_one_vote_and_no_refusal(engine: Engine, key: Authenticator):
    action = await ask(engine)
    asked = await challenge(engine, action)
    answer = key.get(asked.options)
    runtime = engine.runtime
    ids = []
    for _ in range(2):
        actor = await prove(engine, action, answer, asked, client_vote_id="click")
        request = VoteRequest(
            vote="approve",
            client_vote_id="click",
            intent_hash=asked.intent_hash,
            view_hash=asked.view_hash,
        )
        ids.append((await vote(runtime, action, request, actor)).vote_id)

    assert ids[0] == ids[1]


async def test_unanswered_challenges_are_few_and_swept(engine: Engine, key: Authenticator):
    action = await ask(engine)
    for _ in range(20):
        await challenge(engine, action)

    async with engine.runtime.db.transaction("tests.count") as tx:
        count = await tx.connection.fetchval("select count(*) from approvals.passkey_challenges")
    assert count <= 8


async def test_without_a_passkey_there_is_no_challenge(engine: Engine):
    action = await ask(engine)

    with pytest.raises(PasskeyAbsent):
        await challenge(engine, action)


async def test_registering_needs_a_challenge_of_ones_own_for_that(
    engine: Engine, key: Authenticator
):
    db = engine.runtime.db
    action = await ask(engine)
    of_other = await passkeys.begin_registration(db, PARTY, person=OTHER.id, name="x")
    of_vote = (await challenge(engine, action)).options

    for options in (of_other, of_vote, {"challenge": "AAAA"}):
        given = msgspec.convert(Authenticator().create(options), Attestation)
        with pytest.raises(PasskeyMalformed):
            await passkeys.register(db, PARTY, VOTER, given=given, label="Mine")

    assert len(await passkeys.listed(db, VOTER.id)) == 1


async def test_a_passkey_registered_for_one_is_not_registered_for_another(
    engine: Engine, key: Authenticator
):
    db = engine.runtime.db
    options = await passkeys.begin_registration(db, PARTY, person=OTHER.id, name="x")
    given = msgspec.convert(key.create(options), Attestation)

    with pytest.raises(PasskeyMalformed):
        await passkeys.register(db, PARTY, OTHER, given=given, label="Stolen")


@pytest.mark.parametrize("made", [{"origin": "https://evil.example"}, {"rp_id": "evil.example"}])
async def test_a_passkey_made_for_another_address_is_refused(engine: Engine, made: dict[str, str]):
    with pytest.raises(PasskeyMalformed):
        await registered(engine, **made)


async def test_nobody_has_more_passkeys_than_the_limit(engine: Engine):
    for _ in range(PASSKEYS_MAX):
        await registered(engine)

    with pytest.raises(PasskeyMalformed):
        await registered(engine)


async def test_a_removed_passkey_confirms_nothing(engine: Engine, key: Authenticator):
    db = engine.runtime.db
    spare = await registered(engine)
    action = await ask(engine)
    asked = await challenge(engine, action)
    now = SystemClock().now()
    id_ = bytes_to_base64url(key.credential)
    with pytest.raises(PasskeyAbsent):
        await passkeys.remove(db, OTHER, id_, now=now)

    await passkeys.remove(db, VOTER, id_, now=now)

    with pytest.raises(PasskeyRefused):
        await prove(engine, action, key.get(asked.options), asked)
    assert [each.credential_id for each in await passkeys.listed(db, VOTER.id)] == [
        spare.credential
    ]


async def test_no_flipped_byte_is_anything_but_a_refusal(engine: Engine, key: Authenticator):
    """Registration and confirmation read bytes of strangers through a library."""
    rng = random.Random(20261122)
    answer = key.get({"challenge": bytes_to_base64url(bytes(32))})
    made = Authenticator().create({"challenge": bytes_to_base64url(bytes(32))})
    row = passkey_store.KeyRow(b"", 0)
    async with engine.runtime.db.transaction("tests.read") as tx:
        row = passkey_store.KeyRow(
            *await tx.connection.fetchrow("select public_key, 0 from approvals.passkeys")
        )
    refused = 0
    for _ in range(600):
        for document, part in (
            (answer, "authenticatorData"),
            (answer, "signature"),
            (made, "attestationObject"),
        ):
            whole = bytearray(base64url_to_bytes(document["response"][part]))
            whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            cut = bytes(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
            response = {**document["response"], part: bytes_to_base64url(cut)}
            changed = {**document, "response": response}
            try:
                if part == "attestationObject":
                    given = msgspec.convert(changed, Attestation)
                    passkeys.verified_registration(PARTY, given, bytes(32))
                else:
                    passkeys.verified_answer(
                        PARTY, msgspec.convert(changed, Assertion), row, bytes(32)
                    )
            except (PasskeyMalformed, PasskeyRefused):
                refused += 1

    # A passkey of no attestation may differ in its id or AAGUID and still be one.
    assert refused > 1200
