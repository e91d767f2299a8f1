"""Whether the slots of a quorum can be filled by distinct people, and what is lacking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from molam.approvals.policy.quorum_tree import (
    AllOf,
    AnyOf,
    Holder,
    Leaf,
    Percentage,
    Quorum,
    Role,
    Stages,
    Users,
    people_of,
    pool_size,
    roles_of,
)

SHAPES_REMEMBERED_MAX = 1024


@dataclass(frozen=True, slots=True)
class Place:
    """
    One leaf within one way to fill a quorum.

    *stages* are the `Stages` around it from the outside in: which, and which part of it.
    """

    leaf: int
    stages: tuple[tuple[int, int], ...] = ()


Way = tuple[Place, ...]

# People who fit the same leaves are the same to a quorum. A fit has a bit for each
# leaf of the shape; a crowd says how many there are of each fit.
Crowd = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Shape:
    """
    Several quorums, taken apart: all their leaves, and the ways to fill each quorum.

    Alternatives are written out, so that within a way every place must be filled.
    """

    leaves: tuple[Leaf, ...]
    quorums: tuple[tuple[Way, ...], ...]
    tests: tuple[tuple[int, frozenset[str], frozenset[str]], ...]

    def fit(self, person: str, roles: frozenset[str]) -> int:
        """Return which leaves somebody may fill; 0: none, they are no member."""
        found = 0
        for bit, holders, named in self.tests:
            if person in named or not holders.isdisjoint(roles):
                found |= bit
        return found

    def needs(self, electors: Sequence[Holder]) -> list[int]:
        """Return how many people each leaf asks for while these are the electorate."""
        return [
            leaf.need(pool_size(leaf, electors)) if isinstance(leaf, Percentage) else leaf.min_votes
            for leaf in self.leaves
        ]


@lru_cache(maxsize=SHAPES_REMEMBERED_MAX)
def shape_of(quorums: tuple[Quorum, ...]) -> Shape:
    """Take *quorums* apart."""
    leaves: list[Leaf] = []
    stages_seen: list[Stages] = []

    def ways(quorum: Quorum) -> list[Way]:
        match quorum:
            case Role() | Percentage() | Users():
                leaves.append(quorum)
                return [(Place(len(leaves) - 1),)]
            case AnyOf():
                return [way for part in quorum.parts for way in ways(part)]
            case AllOf():
                return _joined([ways(part) for part in quorum.parts])
            case Stages():
                stages_seen.append(quorum)
                which = len(stages_seen) - 1
                return _joined(
                    [_staged(ways(part), (which, i)) for i, part in enumerate(quorum.parts)]
                )

    found = tuple(tuple(ways(quorum)) for quorum in quorums)
    tests = tuple(
        (1 << i, roles_of(leaf), frozenset(people_of(leaf))) for i, leaf in enumerate(leaves)
    )
    return Shape(tuple(leaves), found, tests)


def _joined(parts: list[list[Way]]) -> list[Way]:
    whole: list[Way] = [()]
    for part in parts:
        whole = [(*way, *more) for way in whole for more in part]
    return whole


def _staged(ways: list[Way], stage: tuple[int, int]) -> list[Way]:
    return [tuple(replace(place, stages=(stage, *place.stages)) for place in way) for way in ways]


def lacking(way: Iterable[Place], needs: Sequence[int], crowd: Crowd) -> list[int]:
    """
    Return how many people each place of *way* still lacks, with everybody in one place.

    The people are placed so that as few as possible are lacking in all, and the
    earlier places are filled first.
    """
    places = [place.leaf for place in way]
    if len(places) == 1:
        (leaf,) = places
        have = sum(count for fit, count in crowd.items() if fit >> leaf & 1)
        return [max(0, needs[leaf] - have)]
    seating = _Seating(crowd)
    # A place that is filled stays filled: whoever moves away is replaced.
    return [sum(not seating.seat(leaf, set()) for _ in range(needs[leaf])) for leaf in places]


class _Seating:
    """People in places, moved along augmenting paths (Berge, 1957)."""

    def __init__(self, crowd: Crowd) -> None:
        self._free = dict(crowd)
        self._seated: dict[int, dict[int, int]] = {fit: {} for fit in crowd}

    def seat(self, leaf: int, asked: set[int]) -> bool:
        """Find one more person for *leaf*, moving others if need be."""
        able = [fit for fit in self._free if fit >> leaf & 1]
        for fit in able:
            if self._free[fit]:
                self._free[fit] -= 1
                self._add(fit, leaf)
                return True
        for fit in able:
            if fit in asked:
                continue
            asked.add(fit)
            for other, count in self._seated[fit].items():
                if count and other != leaf and self.seat(other, asked):
                    self._seated[fit][other] -= 1
                    self._add(fit, leaf)
                    return True
        return False

    def _add(self, fit: int, leaf: int) -> None:
        seats = self._seated[fit]
        seats[leaf] = seats.get(leaf, 0) + 1


def is_filled(ways: Iterable[Way], needs: Sequence[int], crowd: Crowd) -> bool:
    """Tell whether *crowd* fills one of *ways*."""
    return any(not any(lacking(way, needs, crowd)) for way in ways)


def opens(way: Way, needs: Sequence[int], crowd: Crowd, fit: int) -> bool:
    """
    Tell whether somebody of *fit* is asked now: in each `Stages`, only the first
    unfinished part is.

    Somebody who fits only a finished part is asked if that sets another free for
    the unfinished one; without this a stage could wait for a person who was
    spent on an earlier stage.
    """
    current = _unfinished(way, needs, crowd)

    def is_now(place: Place) -> bool:
        return all(current.get(which, part) == part for which, part in place.stages)

    def is_due(place: Place) -> bool:
        return all(part <= current.get(which, part) for which, part in place.stages)

    if any(fit >> place.leaf & 1 and is_now(place) for place in way):
        return True
    due = [place for place in way if is_due(place)]
    joined = {**crowd, fit: crowd.get(fit, 0) + 1}
    return sum(lacking(due, needs, joined)) < sum(lacking(due, needs, crowd))


def _unfinished(way: Way, needs: Sequence[int], crowd: Crowd) -> dict[int, int]:
    """Return the first unfinished part of each `Stages`; those all filled are left out."""
    parts: dict[int, set[int]] = {}
    for place in way:
        for which, part in place.stages:
            parts.setdefault(which, set()).add(part)
    found: dict[int, int] = {}
    for which, those in parts.items():
        for upto in sorted(those):
            until = [p for p in way if any(w == which and i <= upto for w, i in p.stages)]
            if any(lacking(until, needs, crowd)):
                found[which] = upto
                break
    return found
