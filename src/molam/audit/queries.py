"""Questions to the record: the latest checkpoint, proofs from it, and all it holds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from molam.audit import merkle, store
from molam.audit.sealer import hashes_of
from molam.audit.store import Checkpoint, Recorded, Sealed
from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database, Tx

ENTRIES_OF_ACTION_MAX = 500
_PAGE = 5000


class NothingSealed(Refusal):
    code = "audit-not-sealed"
    kind = Kind.ABSENT
    title = "The audit record has not sealed this yet"


class CheckpointAhead(Refusal):
    code = "checkpoint-ahead"
    kind = Kind.BROKEN_RULE
    title = "That checkpoint is larger than the tree"


@dataclass(frozen=True, slots=True)
class Included:
    """An entry, and the hashes that prove it is in the tree, leaf to root."""

    entry: Sealed
    proof: list[bytes]


async def latest_checkpoint(db: Database) -> tuple[Checkpoint, list[str]]:
    """
    Return the latest checkpoint, and every public key ever used.

    Raises:
        NothingSealed: nothing was ever recorded.
    """
    async with db.transaction("audit.latest_checkpoint", readonly=True) as tx:
        checkpoint = await _latest(tx)
        keys = await tx.all(store.LIST_KEYS)
    return checkpoint, [key.public_key for key in keys]


async def checkpoint_of(db: Database, *, size: int | None) -> Checkpoint:
    """
    Return the checkpoint of *size* entries, or the latest.

    Raises:
        NothingSealed: there is none.
    """
    if size is None:
        return (await latest_checkpoint(db))[0]
    found = await db.read(store.FIND_CHECKPOINT, size=size)
    if not found:
        raise NothingSealed("No checkpoint has this size.")
    return found[0]


async def entries_of_action(db: Database, action_id: UUID) -> list[Recorded]:
    """List the entries of an action's own chain, oldest first, sealed or not."""
    return await db.read(
        store.LIST_RECORDED,
        action_id=action_id,
        chain=str(action_id),
        limit=ENTRIES_OF_ACTION_MAX,
    )


async def prove_consistent(db: Database, *, old: int) -> tuple[Checkpoint, list[bytes]]:
    """
    Prove that the tree of the latest checkpoint began as the one of *old* entries.

    Raises:
        NothingSealed: nothing was ever recorded.
        CheckpointAhead: the tree is smaller than *old*, which should alarm its holder.
    """
    async with db.transaction("audit.prove_consistent", readonly=True) as tx:
        checkpoint = await _latest(tx)
        if old > checkpoint.size:
            raise CheckpointAhead(f"The tree has {checkpoint.size} entries.", size=checkpoint.size)
        ranges = merkle.consistency(old, checkpoint.size)
        return checkpoint, await _hashes(tx, ranges)


async def prove_included(db: Database, *, action_id: UUID) -> tuple[Checkpoint, list[Included]]:
    """
    Prove each entry of an action to be in the tree of the latest checkpoint.

    Raises:
        NothingSealed: the tree holds none of it.
    """
    async with db.transaction(
        "audit.prove_included", isolation="repeatable_read", readonly=True
    ) as tx:
        checkpoint = await _latest(tx)
        entries = await tx.all(
            store.LIST_OF_ACTION,
            action_id=action_id,
            size=checkpoint.size,
            limit=ENTRIES_OF_ACTION_MAX,
        )
        if not entries:
            raise NothingSealed("Check the id, or wait a minute for the next checkpoint.")
        paths = [merkle.inclusion(entry.position, checkpoint.size) for entry in entries]
        places = merkle.places_of(each for path in paths for each in path)
        hashes = await hashes_of(tx, sorted(set(places)))
    return checkpoint, [
        Included(entry, [merkle.range_hash(each, hashes) for each in path])
        for entry, path in zip(entries, paths, strict=True)
    ]


async def export(db: Database, checkpoint: Checkpoint) -> AsyncIterator[str]:
    """Write every entry under *checkpoint*, one line each; always the same bytes."""
    for start in range(0, checkpoint.size, _PAGE):
        entries = await db.read(
            store.LIST_SEALED,
            from_position=start,
            to_position=min(start + _PAGE, checkpoint.size),
        )
        for entry in entries:
            yield export_line(entry)


def export_line(entry: Sealed) -> str:
    """Write one line of an export, in the only form that `molam audit verify` accepts."""
    written = {
        "body": entry.body,
        "hash": entry.hash.hex(),
        "position": entry.position,
        "prev": entry.prev.hex(),
    }
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")) + "\n"


async def _latest(tx: Tx) -> Checkpoint:
    found = await tx.one(store.LATEST_CHECKPOINT)
    if found is None:
        raise NothingSealed("Nothing was recorded yet.")
    return found


async def _hashes(tx: Tx, ranges: list[merkle.Range]) -> list[bytes]:
    hashes = await hashes_of(tx, merkle.places_of(ranges))
    return [merkle.range_hash(each, hashes) for each in ranges]
