"""Taking committed entries into the tree, and signing what the tree then is."""

from __future__ import annotations

from dataclasses import dataclass

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import ObjectStore
from prometheus_client import Counter, Gauge

from molam.audit import merkle, store
from molam.audit.signing import Signer, checkpoint_text
from molam.kernel.refusals import Outage
from molam.platform.db import Database, Tx, assert_no_transaction

log = structlog.get_logger()

SEALED = Counter("molam_audit_sealed", "Entries taken into the tree")
TREE_SIZE = Gauge("molam_audit_tree_size", "Entries in the tree as last signed")
FORKED = Gauge("molam_audit_forked", "1 while a checkpoint kept elsewhere contradicts the record")

BATCH_MAX = 20_000
_BATCHES_MAX = 1000
_SEAL_LOCK = 0x6175_6469_74  # The letters "audit".
_FIRST_XID = 0
_FOLDER = "audit/checkpoints"

# Note [What the sealer takes]
#
# A transaction may append entry 7, wait, and commit after entry 8 was taken into the
# tree. Whoever remembers "up to 8" never sees 7. Reading in the order of
# transaction ids, and only below the oldest unfinished one, loses nothing; but a chain's
# entries then come out of order, since a transaction that was begun first may write the
# later entry, and one long transaction holds everything back.
#
# So an entry is taken when it is visible and has no leaf. What is visible together with
# an entry includes all that was committed before it was written, hence the entries before
# it in its chain; and those have lower ids. So the order of ids is right within a batch,
# and the order of batches is right between them.
#
# Looking through the whole record each minute would be slow. When everything visible has
# been taken, whatever is still to come belongs to a transaction that had not ended: its
# id is at least that of the oldest one unfinished just before. That id is kept with the
# checkpoint, and the next search begins there. It has to be asked for before the search,
# or a transaction that ends in between would be passed.


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree as last signed."""

    size: int = 0
    sealed_xid: int = _FIRST_XID


async def seal(db: Database, signer: Signer) -> store.Checkpoint | None:
    """
    Take every committed entry into the tree, sign it if it grew, and return the latest.

    Only one caller seals at a time; another returns what there is.
    """
    for _ in range(_BATCHES_MAX):
        async with db.transaction("audit.seal") as tx:
            if await _seal_batch(tx, signer) < BATCH_MAX:
                break
    latest = await db.read(store.LATEST_CHECKPOINT)
    if not latest:
        return None
    TREE_SIZE.set(latest[0].size)
    return latest[0]


async def _seal_batch(tx: Tx, signer: Signer) -> int:
    taken = await tx.one(store.TAKE_SEAL, key=_SEAL_LOCK)
    assert taken is not None
    if not taken.granted:
        return 0
    latest = await tx.one(store.LATEST_CHECKPOINT)
    tree = Tree(latest.size, latest.sealed_xid) if latest else Tree()
    seen = await tx.one(store.SEEN)
    assert seen is not None
    # Restored from a dump, the record is in a server that counts its transactions anew.
    searched_from = tree.sealed_xid if tree.sealed_xid <= seen.xid else _FIRST_XID
    unsealed = await tx.all(store.LIST_UNSEALED, sealed_xid=searched_from, limit=BATCH_MAX)
    if not unsealed:
        return 0
    size = tree.size + len(unsealed)
    root = await _grow(tx, tree, unsealed)
    await tx.run(
        store.APPEND_CHECKPOINT,
        size=size,
        root=root,
        key_id=signer.key_id,
        public_key=signer.public_key,
        note=signer.sign(checkpoint_text(size, root)),
        sealed_xid=seen.xid if len(unsealed) < BATCH_MAX else searched_from,
    )
    SEALED.inc(len(unsealed))
    return len(unsealed)


async def _grow(tx: Tx, tree: Tree, unsealed: list[store.Unsealed]) -> bytes:
    """Append the leaves, and every subtree they complete; return the new root."""
    hashes = await hashes_of(tx, merkle.frontier(tree.size))
    leaves = (merkle.leaf_hash(entry.hash) for entry in unsealed)
    grown = dict(merkle.grow(tree.size, hashes, leaves))
    await tx.run(store.APPEND_LEAVES, size=tree.size, ids=[entry.id for entry in unsealed])
    await tx.run(
        store.APPEND_NODES,
        levels=[level for level, _ in grown],
        indexes=[index for _, index in grown],
        hashes=list(grown.values()),
    )
    return merkle.root(tree.size + len(unsealed), {**hashes, **grown})


async def hashes_of(tx: Tx, places: list[merkle.Place]) -> dict[merkle.Place, bytes]:
    """Read the hashes of perfect subtrees."""
    nodes = await tx.all(
        store.LIST_NODES,
        levels=[level for level, _ in places],
        indexes=[index for _, index in places],
    )
    return {(node.level, node.index): node.hash for node in nodes}


async def keep_elsewhere(files: ObjectStore, checkpoint: store.Checkpoint) -> bool:
    """
    Write *checkpoint* to the file store, where the database's owner cannot take it back.

    Each holds all before it, so that one missed is no loss. What is kept there already
    must agree; if it does not, entries were taken away or changed since, and somebody has
    to look. Returns whether it agrees.

    Raises:
        Outage: the file store does not answer.
    """
    assert_no_transaction("audit.keep_elsewhere")
    path = f"{_FOLDER}/{checkpoint.size:012}.txt"
    try:
        larger = await obstore.list(files, _FOLDER, offset=path).collect_async()
        kept = await _read(files, path)
        if kept is None and not larger:
            await obstore.put_async(files, path, checkpoint.note.encode())
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error
    if larger or (kept is not None and _signed_text(kept) != _signed_text(checkpoint.note)):
        FORKED.set(1)
        log.critical("audit.forked", size=checkpoint.size, larger=len(larger))
        return False
    FORKED.set(0)
    if kept is None:
        # The log of the process is a third place, and often leaves the machine.
        log.info("audit.checkpoint", size=checkpoint.size, note=checkpoint.note)
    return True


async def _read(files: ObjectStore, path: str) -> str | None:
    try:
        found = await obstore.get_async(files, path)
    except FileNotFoundError:
        return None
    return bytes(await found.bytes_async()).decode()


def _signed_text(note: str) -> str:
    """Return a note without its signatures; the key may have been changed since."""
    return note.partition("\n\n")[0]
