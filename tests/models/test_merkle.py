"""The Merkle tree, against a tree built as the RFC defines it, and against a second verifier."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.audit import merkle, proofs, verify

FIRST = "594d24d3926999f69d6a79872a46e89ee3d85f493dd3b28cd3ad85a7c74e3208"
SECOND = "3ced03d4ed4e9d2098d2795a1b2c16655a44eaa340a4a99f49dd90d29629e1d2"

SIZES = st.integers(1, 130)


def _data(size: int) -> list[bytes]:
    return [sha256(b"%d" % each).digest() for each in range(size)]


def _naive(data: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word for word."""
    if len(data) == 0:
        return sha256(b"").digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return sha256(b"\x01" + _naive(data[:k]) + _naive(data[k:])).digest()


def _grown(data: list[bytes], *steps: int) -> dict[merkle.Place, bytes]:
    """Grow the tree in several steps; each sees only what the last left."""
    hashes: dict[merkle.Place, bytes] = {}
    size = 0
    for end in (*sorted(steps), len(data)):
        known = {place: hashes[place] for place in merkle.frontier(size)}
        hashes |= dict(merkle.grow(size, known, map(merkle.leaf_hash, data[size:end])))
        size = end
    return hashes


def _hashes(ranges, hashes):
    return [merkle.range_hash(each, hashes) for each in ranges]


def test_roots_are_those_of_the_golden_vectors():
    data = [bytes.fromhex(FIRST), bytes.fromhex(SECOND)]

    one, two = (merkle.root(size, _grown(data[:size])) for size in (1, 2))

    assert one.hex() == "d786199135c02312c9f39d390a9a5f45ff01dbcb621fdf7024bc6cde67e9eb96"
    assert two.hex() == "49aa87ee256048a688c571252e71e456571b7974ea0268918f0ddcfef3b9e6a2"


def test_the_empty_tree_has_the_root_of_nothing():
    assert merkle.root(0, {}) == _naive([]) == verify.Tree().root()


@given(SIZES, st.data())
def test_the_root_is_that_of_the_definition_however_the_tree_grew(size, draw):
    steps = draw.draw(st.lists(st.integers(0, size), max_size=4))
    data = _data(size)

    tree = verify.Tree()
    for each in data:
        tree.add(each)

    assert merkle.root(size, _grown(data, *steps)) == _naive(data) == tree.root()


@given(SIZES, st.data())
def test_every_leaf_can_be_proved_and_no_other(size, draw):
    position = draw.draw(st.integers(0, size - 1))
    data = _data(size)
    hashes = _grown(data)
    proof = _hashes(merkle.inclusion(position, size), hashes)
    leaf = merkle.leaf_hash(data[position])
    about = {"size": size, "proof": proof, "root": _naive(data)}

    assert merkle.is_included(leaf, position, **about)
    assert proofs.climb(leaf, position, size, proof) == _naive(data)
    assert proofs.path_of([merkle.leaf_hash(each) for each in data], position) == proof
    assert not merkle.is_included(merkle.leaf_hash(b"another"), position, **about)
    assert not merkle.is_included(leaf, size, **about)
    assert not merkle.is_included(
        leaf, position, **{**about, "proof": [*proof, proof[0] if proof else leaf]}
    )
    for other in range(size):
        if other != position:
            assert not merkle.is_included(leaf, other, **about)
    if proof:
        assert not merkle.is_included(leaf, position, **{**about, "proof": proof[:-1]})
        assert proofs.climb(leaf, position, size, proof[:-1]) is None


@given(SIZES, st.data())
def test_a_tree_that_only_grew_can_be_proved_so(new, draw):
    old = draw.draw(st.integers(1, new))
    data = _data(new)
    proof = _hashes(merkle.consistency(old, new), _grown(data))

    assert merkle.is_consistent(old, _naive(data[:old]), new, _naive(data), proof=proof)


@given(st.integers(2, 130), st.data())
def test_a_tree_that_lost_or_changed_an_entry_cannot(new, draw):
    old = draw.draw(st.integers(1, new - 1))
    changed = draw.draw(st.integers(0, old - 1))
    data = _data(new)
    other = [*data[:changed], b"forged", *data[changed + 1 :]]
    proof = _hashes(merkle.consistency(old, new), _grown(other))

    assert not merkle.is_consistent(old, _naive(data[:old]), new, _naive(other), proof=proof)
    assert not merkle.is_consistent(old, _naive(data[:old]), new, _naive(data), proof=proof[:-1])
    assert not merkle.is_consistent(new, _naive(data), old, _naive(data[:old]), proof=proof)


def test_a_tree_is_consistent_with_itself_without_proof():
    root = _naive(_data(5))

    assert merkle.is_consistent(5, root, 5, root, proof=[])
    assert not merkle.is_consistent(5, root, 5, root, proof=[root])
    assert not merkle.is_consistent(0, root, 5, root, proof=[])


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 2**40 - 1])
def test_a_proof_is_short(size: int):
    assert len(merkle.places_of(merkle.inclusion(size - 1, size))) <= 2 * size.bit_length() ** 2
    assert len(merkle.inclusion(0, size)) <= size.bit_length()
