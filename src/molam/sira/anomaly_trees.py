"""Half-space trees: how empty the place is where a point lies (Tan, Ting and Liu, 2011)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

TREES = 25
DEPTH = 10
WINDOW = 250

_SIZE_MIN_SHARE = 0.1
"""Where fewer than this share of a window are, nothing is told apart any further."""
_SLOPE = 8.0
_FAR = 300.0

Point = Sequence[float]
"""Coordinates in units of their ordinary spread, around 0."""


class HalfSpaceTrees:
    """
    Trees that halve space at random, and count what of *window* fell into each part.

    They are the same for every window, so leaving one of its points out is exact and cheap.
    """

    def __init__(self, window: Sequence[Point]) -> None:
        self._window = len(window)
        self._paths = [_paths(point) for point in window]
        self._masses: list[dict[int, int]] = [{} for _ in range(TREES)]
        for paths in self._paths:
            for masses, path in zip(self._masses, paths, strict=True):
                for node in path:
                    masses[node] = masses.get(node, 0) + 1

    def score(self, point: Point) -> float:
        """Return in powers of ten how empty it is there: the more, the emptier."""
        return self._score(_paths(point), left_out=0)

    def scores(self) -> list[float]:
        """Return the score of each point of the window, were it not part of it."""
        return [self._score(paths, left_out=1) for paths in self._paths]

    def _score(self, paths: Sequence[Sequence[int]], *, left_out: int) -> float:
        size_min = _SIZE_MIN_SHARE * self._window
        total = 0.0
        for masses, path in zip(self._masses, paths, strict=True):
            mass, weight = 0, 0.5
            for node in path:
                mass, weight = masses.get(node, left_out) - left_out, weight * 2
                if mass < size_min:
                    break
            # Where nobody was, half of one might have been: a logarithm has to stay finite.
            total += max(mass, 0.5) * weight
        return -math.log10(total / TREES / self._window)


def _paths(point: Point) -> list[list[int]]:
    """Return the nodes that it passes in each tree: the root is 1, below n are 2n and 2n + 1."""
    place = [1 / (1 + math.exp(-max(-_FAR, min(_FAR, each)) / _SLOPE)) for each in point]
    found = []
    for axes, cuts in _trees(len(place)):
        node, path = 1, [1]
        for _ in range(DEPTH):
            node = 2 * node + (place[axes[node]] >= cuts[node])
            path.append(node)
        found.append(path)
    return found


@lru_cache(maxsize=8)
def _trees(dimensions: int) -> list[tuple[bytes, list[float]]]:
    """Return for each tree which axis each node halves, and where."""
    return [_tree(tree, dimensions) for tree in range(TREES)]


def _tree(tree: int, dimensions: int) -> tuple[bytes, list[float]]:
    axes, cuts = bytearray(2**DEPTH), [0.0] * 2**DEPTH
    middles = [_drawn(tree, 0, axis) for axis in range(dimensions)]
    reach = [2 * max(middle, 1 - middle) for middle in middles]
    bounds = {1: [(at - by, at + by) for at, by in zip(middles, reach, strict=True)]}
    for node in range(1, 2**DEPTH):
        here = bounds.pop(node)
        axis = int(_drawn(tree, node) * dimensions)
        low, high = here[axis]
        middle = (low + high) / 2
        axes[node], cuts[node] = axis, middle
        bounds[2 * node] = [*here[:axis], (low, middle), *here[axis + 1 :]]
        bounds[2 * node + 1] = [*here[:axis], (middle, high), *here[axis + 1 :]]
    return bytes(axes), cuts


def _drawn(*of: int) -> float:
    """Draw from 0 to 1, the same everywhere and always: scores must not depend on who asks."""
    digest = blake2b(repr(of).encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48
