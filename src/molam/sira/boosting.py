"""Reads a boosted forest from JSON: what it predicts, and what each feature adds to that."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Literal

import msgspec

ZERO_WIDTH = 1e-35
"""What LightGBM takes for zero where zero stands for a missing value."""

Missing = Literal["none", "zero", "nan"]


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One tree as parallel lists, one entry for each split; a child below zero is leaf ``~child``.

    A cover is how many training rows came by; explanations weigh the ways not taken by it.
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    missing: tuple[Missing, ...]
    default_left: tuple[bool, ...]
    cover: tuple[float, ...]
    leaf: tuple[float, ...]
    leaf_cover: tuple[float, ...]

    def __post_init__(self) -> None:
        splits = {len(each) for each in (self.feature, self.threshold, self.left, self.right,
                                         self.missing, self.default_left, self.cover)}  # fmt: skip
        if len(splits) != 1 or len(self.leaf) != len(self.feature) + 1:
            raise ValueError("a tree's lists do not have the same length")
        if len(self.leaf_cover) != len(self.leaf):
            raise ValueError("a tree's leaves do not have one cover each")
        self._refuse_loops()

    def _refuse_loops(self) -> None:
        """Each node is reached once, so that a tampered file cannot make a reader run for ever."""
        children = [*self.left, *self.right]
        wanted = [*range(1, len(self.feature)), *(~n for n in range(len(self.leaf)))]
        if self.feature and sorted(children) != sorted(wanted):
            raise ValueError("a tree's children are not each of its nodes once")
        nodes = zip(self.left, self.right, strict=True)
        if any(0 <= child <= at for at, pair in enumerate(nodes) for child in pair):
            raise ValueError("a tree's child stands before its parent")

    def goes_left(self, split: int, row: Sequence[float]) -> bool:
        value = row[self.feature[split]]
        missing = self.missing[split]
        if math.isnan(value):
            if missing == "nan":
                return self.default_left[split]
            value = 0.0
        if missing == "zero" and -ZERO_WIDTH <= value <= ZERO_WIDTH:
            return self.default_left[split]
        return value <= self.threshold[split]

    def value(self, row: Sequence[float]) -> float:
        node = 0 if self.feature else -1
        while node >= 0:
            node = self.left[node] if self.goes_left(node, row) else self.right[node]
        return self.leaf[~node]

    def expected(self) -> float:
        """Return the mean over the training rows: where an explanation begins."""
        total = sum(self.leaf_cover)
        if total <= 0:
            return self.leaf[0]
        return sum(v * n for v, n in zip(self.leaf, self.leaf_cover, strict=True)) / total

    def covered(self, node: int) -> float:
        return self.cover[node] if node >= 0 else self.leaf_cover[~node]


class Forest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Trees that add up to log-odds."""

    features: int
    trees: tuple[Tree, ...]

    def __post_init__(self) -> None:
        if any(not 0 <= each < self.features for tree in self.trees for each in tree.feature):
            raise ValueError("a tree asks for a feature that there is not")

    def margin(self, row: Sequence[float]) -> float:
        """Return the log-odds of *row*."""
        return math.fsum(tree.value(row) for tree in self.trees)

    def explain(self, row: Sequence[float]) -> list[float]:
        """
        Return what each feature adds to the log-odds (Shapley values), and the mean as the last.

        They add up to `margin`, and are those of LightGBM's ``pred_contrib``: where a feature
        is not known, a row goes both ways, as often as training rows did.
        """
        added = [0.0] * (self.features + 1)
        for tree in self.trees:
            added[-1] += tree.expected()
            if tree.feature:
                _explain(tree, row, added)
        return added


# Note [Shapley values of a leaf]
#
# A leaf's value is reached with all features in a set S known by the product, over the
# features on its way, of 1 or 0 (does the row pass there?) for those in S and of the share
# z of training rows that pass for the others. A feature i where the row does not pass
# brings a factor z or 0, one where it passes z or 1: the product over all others is a
# polynomial in t, prod (z_j + t), whose coefficient k sums up all sets of k known features.
# Shapley weighs sets of k out of m - 1 others by k! (m - 1 - k)! / m!. Leaving one feature
# out divides the polynomial by (z_i + t). A feature that is asked twice counts once, with
# the product of its shares: trees that ask it again narrow the same question.

_Way = dict[int, tuple[float, bool]]


def _explain(tree: Tree, row: Sequence[float], added: list[float]) -> None:
    """Walk every way down, and give each leaf's value to the features on its way."""
    open_: list[tuple[int, _Way]] = [(0, {})]
    while open_:
        node, way = open_.pop()
        if node < 0:
            _share_out(tree.leaf[~node], way, added)
            continue
        feature, left = tree.feature[node], tree.goes_left(node, row)
        share, passes = way.get(feature, (1.0, True))
        for child, taken in ((tree.left[node], left), (tree.right[node], not left)):
            part = tree.covered(child) / tree.cover[node]
            open_.append((child, {**way, feature: (share * part, passes and taken)}))


def _share_out(value: float, way: _Way, added: list[float]) -> None:
    """See Note [Shapley values of a leaf]."""
    product, blocked = [1.0], value
    for share, passes in way.values():
        if passes:
            product = [
                share * low + high
                for low, high in zip((*product, 0.0), (0.0, *product), strict=True)
            ]
        else:
            blocked *= share
    weights = _weights(len(way))
    without = blocked * sum(map(operator.mul, product, weights))
    for feature, (share, passes) in way.items():
        if not passes:
            added[feature] -= without
            continue
        left_out, total = 0.0, 0.0
        for place in range(len(product) - 1, 0, -1):
            left_out = product[place] - share * left_out
            total += left_out * weights[place - 1]
        added[feature] += blocked * (1.0 - share) * total


@functools.cache
def _weights(count: int) -> tuple[float, ...]:
    """Return Shapley's weight of a set of k out of *count* - 1 others, for each k."""
    whole = math.factorial(count)
    return tuple(math.factorial(k) * math.factorial(count - 1 - k) / whole for k in range(count))
