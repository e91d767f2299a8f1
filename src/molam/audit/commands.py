"""Adding to the record, and forgetting what the law lets people forget."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from molam.audit import store
from molam.audit.chain import Entry, Fact, entry_of
from molam.kernel.clock import Instant
from molam.platform.db import Tx

_SALT_BYTES = 16


async def append(tx: Tx, entries: Sequence[Entry]) -> None:
    """
    Add *entries* to chains whose ends the caller holds locked.

    Of two entries that claim the same place of a chain, the second fails.
    """
    if not entries:
        return
    await tx.run(
        store.APPEND,
        bodies=[entry.body for entry in entries],
        prevs=[entry.prev for entry in entries],
        hashes=[entry.hash for entry in entries],
        actions=[entry.action for entry in entries],
        emails=[entry.email for entry in entries],
    )


async def append_to(tx: Tx, chain: str, facts: Sequence[Fact], *, at: Instant) -> list[Entry]:
    """
    Add *facts* to a chain that has no row of its own: ``ops``, ``policy:<id>``.

    The chain's end stays locked until *tx* ends, so call this last.
    """
    end = await tx.one(store.LOCK_HEAD, chain=chain)
    assert end is not None
    seq, last = end.seq, end.hash
    entries = []
    for fact in facts:
        entry = entry_of(
            chain=chain,
            seq=seq + 1,
            prev=last,
            ts=at,
            event=fact.event,
            action_id=fact.action_id,
            actor_kind=fact.actor_kind,
            actor_id=fact.actor_id,
            intent_hash=fact.intent_hash,
            data=fact.data,
            actor_email=fact.actor_email,
        )
        seq, last = entry.seq, entry.hash
        entries.append(entry)
    await append(tx, entries)
    await tx.run(store.SET_HEAD, chain=chain, seq=seq, hash=last)
    return entries


@dataclass(frozen=True, slots=True)
class Concealed:
    """A personal value, and the digest that stands for it in the record."""

    digest: bytes
    salt: bytes
    value: str
    person: str

    @property
    def shown(self) -> str:
        return self.digest.hex()


def conceal(value: str, *, person: str) -> Concealed:
    """Hash *value* under a salt of its own, so that without the salt nobody can guess it."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return Concealed(hashlib.sha256(salt + value.encode()).digest(), salt, value, person)


async def keep_personal_values(tx: Tx, concealed: Sequence[Concealed]) -> None:
    """Keep what was concealed until its person is forgotten; in the entry's transaction."""
    await tx.run(
        store.APPEND_PERSONAL_VALUES,
        digests=[each.digest for each in concealed],
        salts=[each.salt for each in concealed],
        texts=[each.value for each in concealed],
        people=[each.person for each in concealed],
    )


async def forget(tx: Tx, person: str, *, by: str, at: Instant) -> int:
    """
    Forget the personal values of *person*, and record that; return how many there were.

    Every chain stays valid: it holds digests, whose salts are gone.
    """
    forgotten = await tx.one(store.FORGET, person=person)
    assert forgotten is not None
    fact = Fact(
        event="person.forgotten",
        actor_kind="user",
        actor_id=by,
        data={"person": person, "values": forgotten.count},
    )
    await append_to(tx, "ops", [fact], at=at)
    return forgotten.count
