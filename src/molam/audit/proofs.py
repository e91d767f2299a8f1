"""Proofs that an action's entries are in a signed tree, made from an export and checked alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from molam.audit.verify import (
    Checkpoint,
    Entry,
    Failed,
    Unreadable,
    hash_of,
    leaf_of,
    named,
    node_of,
    strictly,
    verify,
)


def prove(file: Iterable[bytes], checkpoint: Checkpoint, action_id: str) -> dict[str, Any]:
    """
    Verify an export, and prove for each entry of an action that it is in the signed tree.

    Raises:
        Unreadable, Failed: the export is wrong, or holds nothing of the action.
    """
    leaves: list[bytes] = []
    found: list[Entry] = []

    def watch(entry: Entry) -> None:
        # What comes after the checkpoint nobody has signed.
        if entry.position < checkpoint.size:
            leaves.append(leaf_of(entry.hash))
            if entry.body["action_id"] == action_id:
                found.append(entry)

    verify(file, checkpoint, watch=watch)
    if not found:
        raise Unreadable(f"no checkpoint covers action {action_id} yet: export again in a minute")
    return {
        "size": checkpoint.size,
        "entries": [
            {
                "position": entry.position,
                "body": entry.text,
                "prev": entry.prev.hex(),
                "path": [each.hex() for each in path_of(leaves, entry.position)],
            }
            for entry in found
        ],
    }


def check_proof(text: str, checkpoint: Checkpoint) -> int:
    """
    Check a proof as `prove` or the API gives it; return how many entries it proves.

    Raises:
        Unreadable, Failed: it proves nothing.
    """
    try:
        entries = strictly(text)["entries"]
        given = [
            (int(each["position"]), str(each["body"]), bytes.fromhex(each["prev"]),
             [bytes.fromhex(step) for step in each["path"]])
            for each in entries
        ]  # fmt: skip
    except (ValueError, KeyError, TypeError):
        raise Unreadable("this is no proof") from None
    if not given:
        raise Unreadable("this is no proof")
    for position, body, prev, path in given:
        leaf = leaf_of(hash_of(prev, body))
        if climb(leaf, position, checkpoint.size, path) != checkpoint.root:
            raise Failed(f"{named(body)} is not in the signed tree at position {position}")
    return len(given)


def path_of(leaves: Sequence[bytes], position: int) -> list[bytes]:
    """Return the inclusion proof of the leaf at *position* among hashes of leaves."""
    path: list[bytes] = []
    level, index = list(leaves), position
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        pairs = range(0, len(level) - 1, 2)
        last = level[len(level) & ~1 :]
        level = [node_of(level[each], level[each + 1]) for each in pairs] + last
        index >>= 1
    return path


def climb(leaf: bytes, position: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that *path* leads to, or None if it is no path in a tree of *size*."""
    node, last, made, left = position, size - 1, leaf, list(path)
    while last:
        if node & 1 or node < last:
            if not left:
                return None
            other = left.pop(0)
            made = node_of(other, made) if node & 1 else node_of(made, other)
        node, last = node >> 1, last >> 1
    return None if left else made
