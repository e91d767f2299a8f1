"""The Merkle tree of RFC 9162, section 2.1: roots, growth, proofs and their checks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()

Place = tuple[int, int]
"""A perfect subtree: (level, index). It covers leaves ``index << level`` and 2**level on."""

Range = tuple[int, int]
"""Leaves from, up to and without; one subtree of the tree, perhaps not perfect."""


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def frontier(size: int) -> list[Place]:
    """List the perfect subtrees that make up a tree of *size* leaves, largest first."""
    return _perfect((0, size))


def grow(
    size: int, hashes: Mapping[Place, bytes], leaves: Iterable[bytes]
) -> Iterator[tuple[Place, bytes]]:
    """
    Append leaf hashes to a tree of *size*, and give each perfect subtree that this completes.

    *hashes* holds those of `frontier(size)`.
    """
    stack = [hashes[place] for place in frontier(size)]
    for index, leaf in enumerate(leaves, start=size):
        made, level = leaf, 0
        yield (level, index), made
        while index >> level & 1:
            made = node_hash(stack.pop(), made)
            level += 1
            yield (level, index >> level), made
        stack.append(made)


def root(size: int, hashes: Mapping[Place, bytes]) -> bytes:
    """Fold the hashes of `frontier(size)` into the root."""
    return range_hash((0, size), hashes) if size else EMPTY_ROOT


def range_hash(leaves: Range, hashes: Mapping[Place, bytes]) -> bytes:
    places = _perfect(leaves)
    made = hashes[places[-1]]
    for place in reversed(places[:-1]):
        made = node_hash(hashes[place], made)
    return made


def places_of(ranges: Iterable[Range]) -> list[Place]:
    """List the perfect subtrees whose hashes `range_hash` needs for *ranges*."""
    return [place for each in ranges for place in _perfect(each)]


def inclusion(position: int, size: int) -> list[Range]:
    """List the subtrees whose hashes prove that the leaf at *position* is in a tree of *size*."""
    assert 0 <= position < size
    start, end = 0, size
    path: list[Range] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if position < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return path[::-1]


def consistency(old: int, new: int) -> list[Range]:
    """List the subtrees whose hashes prove that a tree of *new* began with the one of *old*."""
    assert 0 < old <= new
    start, end = 0, new
    path: list[Range] = []
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    if start:
        path.append((start, end))
    return path[::-1]


def is_included(
    leaf: bytes, position: int, *, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Check an inclusion proof (RFC 9162, section 2.1.3.2)."""
    if not 0 <= position < size:
        return False
    node, last, made = position, size - 1, leaf
    for each in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            made = node_hash(each, made)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            made = node_hash(made, each)
        node, last = node >> 1, last >> 1
    return last == 0 and made == root


def is_consistent(
    old: int, old_root: bytes, new: int, new_root: bytes, *, proof: Sequence[bytes]
) -> bool:
    """Check a consistency proof (RFC 9162, section 2.1.4.2)."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    # An old tree that is perfect is its own first element.
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    before = after = path[0]
    for each in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            before, after = node_hash(each, before), node_hash(each, after)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, each)
        node, last = node >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


def _split(size: int) -> int:
    """Return the largest power of two below *size*."""
    return 1 << (size - 1).bit_length() - 1


def _perfect(leaves: Range) -> list[Place]:
    start, end = leaves
    places = []
    while start < end:
        level = (end - start).bit_length() - 1
        places.append((level, start >> level))
        start += 1 << level
    return places
