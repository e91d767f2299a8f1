"""Audit records made without a database: entries, the lines of an export, and its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from builders import NOW
from molam.audit import merkle
from molam.audit.chain import GENESIS, Entry, entry_of
from molam.audit.explain import replay
from molam.audit.queries import entries_of_action, export_line
from molam.audit.signing import Signer, checkpoint_text
from molam.audit.store import Sealed
from molam.audit.verify import hash_of
from molam.platform.db import Database

SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
ANOTHER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))


@dataclass(frozen=True)
class Record:
    """An export as bytes, the checkpoint over all of it, and the public key."""

    lines: list[bytes]
    note: str
    pubkey: str = SIGNER.public_key

    @property
    def bytes(self) -> bytes:
        return b"".join(self.lines)


def entries(count: int, *, chains: int = 7) -> list[Entry]:
    """Entries of several chains, taking turns."""
    ends: dict[str, tuple[int, bytes]] = {}
    made = []
    for each in range(count):
        chain = f"a{each % chains}"
        seq, last = ends.get(chain, (-1, GENESIS))
        entry = entry_of(
            chain=chain, seq=seq + 1, prev=last, ts=NOW + timedelta(seconds=each),
            event="vote.cast" if seq >= 0 else "action.created", action_id=chain,
            actor_kind="user", actor_id="awa", intent_hash=None, data={"n": each, "é": "ça"},
        )  # fmt: skip
        ends[chain] = (entry.seq, entry.hash)
        made.append(entry)
    return made


def sign(of: Sequence[Entry], signer: Signer = SIGNER) -> str:
    leaves = [merkle.leaf_hash(entry.hash) for entry in of]
    grown = dict(merkle.grow(0, {}, leaves))
    return signer.sign(checkpoint_text(len(leaves), merkle.root(len(leaves), grown)))


def line(entry: Entry, position: int) -> bytes:
    sealed = Sealed(position, entry.seq, entry.body, entry.prev, entry.hash)
    return export_line(sealed).encode()


def record(of: Sequence[Entry]) -> Record:
    return Record([line(entry, position) for position, entry in enumerate(of)], sign(of))


async def assert_audited(db: Database, *only: UUID) -> int:
    """
    Every action's entries make an unbroken chain that comes to what its row says.

    Call it at the end of any test that changed actions; it returns how many there are.
    Given ids, it looks at those alone.
    """
    async with db.transaction("tests.audited", readonly=True) as tx:
        rows = await tx.connection.fetch(
            "select id, state, level, votes_approve, votes_reject, votes_abstain, chain_seq,"
            " chain_hash from approvals.ops_actions where $1::uuid[] = '{}' or id = any($1)",
            list(only),
        )
    for row in rows:
        entries = await entries_of_action(db, row["id"])
        last = GENESIS
        for seq, entry in enumerate(entries):
            assert entry.seq == seq
            assert entry.prev == last
            assert entry.hash == hash_of(last, entry.body)
            last = entry.hash
        assert entries, f"{row['id']} was never recorded"
        assert (row["chain_seq"], row["chain_hash"]) == (len(entries) - 1, last)
        told = replay([json.loads(entry.body) for entry in entries]).as_row()
        assert told == {name: row[name] for name in told}, [json.loads(e.body) for e in entries]
    return len(rows)
