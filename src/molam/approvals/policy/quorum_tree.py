"""Who must agree, as a tree of pools and of how many of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol


class Holder(Protocol):
    """Somebody who may decide, seen as a member of pools."""

    @property
    def id(self) -> str: ...

    @property
    def roles(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Role:
    """So many people who hold one of the roles."""

    roles: frozenset[str]
    min_votes: int


@dataclass(frozen=True, slots=True)
class Percentage:
    """
    A share of a pool: those who hold one of *roles*, and those named in *pool*.

    *base* is how many they were when the action was created, so that a pool which
    shrinks does not lower the bar. Holders of *reserves* may fill the slots, but
    do not make the pool larger.
    """

    roles: frozenset[str]
    pool: tuple[str, ...]
    share: Fraction
    base: int = 0
    reserves: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool", tuple(sorted(self.pool)))

    def need(self, now: int) -> int:
        """Return how many must agree while the pool has *now* members; never none."""
        return max(1, -(-self.share.numerator * max(self.base, now) // self.share.denominator))


@dataclass(frozen=True, slots=True)
class Users:
    """So many of these people, or holders of *reserves* in their place."""

    users: tuple[str, ...]
    min_votes: int
    reserves: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", tuple(sorted(self.users)))


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part, by distinct people."""

    parts: tuple[Quorum, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One part, whichever is filled."""

    parts: tuple[Quorum, ...]


@dataclass(frozen=True, slots=True)
class Stages:
    """Every part, one after the other, by distinct people."""

    parts: tuple[Quorum, ...]


Leaf = Role | Percentage | Users
Quorum = Leaf | AllOf | AnyOf | Stages


def leaves(quorum: Quorum) -> tuple[Leaf, ...]:
    """List the leaves in the order in which they are written."""
    match quorum:
        case Role() | Percentage() | Users():
            return (quorum,)
        case AllOf() | AnyOf() | Stages():
            return tuple(leaf for part in quorum.parts for leaf in leaves(part))


def roles_in(quorum: Quorum) -> frozenset[str]:
    """Return every role whose holders may fill a slot."""
    return frozenset().union(*(roles_of(leaf) for leaf in leaves(quorum)))


def users_in(quorum: Quorum) -> frozenset[str]:
    """Return everybody who may fill a slot because they are named."""
    return frozenset().union(*(people_of(leaf) for leaf in leaves(quorum)))


def roles_of(leaf: Leaf) -> frozenset[str]:
    match leaf:
        case Role():
            return leaf.roles
        case Percentage():
            return leaf.roles | leaf.reserves
        case Users():
            return leaf.reserves


def people_of(leaf: Leaf) -> tuple[str, ...]:
    match leaf:
        case Role():
            return ()
        case Percentage():
            return leaf.pool
        case Users():
            return leaf.users


def pool_size(leaf: Percentage, electors: Iterable[Holder]) -> int:
    """Count those of *electors* the share is a share of."""
    return sum(1 for each in electors if each.roles & leaf.roles or each.id in leaf.pool)


def pin(quorum: Quorum, electors: Sequence[Holder]) -> Quorum:
    """Note in each percentage how large its pool is, at creation."""

    def pinned(leaf: Leaf) -> Leaf:
        if isinstance(leaf, Percentage):
            return replace(leaf, base=max(leaf.base, pool_size(leaf, electors)))
        return leaf

    return _mapped(quorum, pinned)


def widened(quorum: Quorum, extra_roles: frozenset[str]) -> Quorum:
    """Let holders of *extra_roles* fill every slot; no slot is added for it."""

    def wide(leaf: Leaf) -> Leaf:
        if isinstance(leaf, Role):
            return replace(leaf, roles=leaf.roles | extra_roles)
        return replace(leaf, reserves=leaf.reserves | extra_roles)

    return _mapped(quorum, wide)


def _mapped(quorum: Quorum, change: Callable[[Leaf], Leaf]) -> Quorum:
    match quorum:
        case Role() | Percentage() | Users():
            return change(quorum)
        case AllOf() | AnyOf() | Stages():
            return replace(quorum, parts=tuple(_mapped(part, change) for part in quorum.parts))


def choices(quorum: Quorum) -> int:
    """Count the ways through the alternatives of *quorum*."""
    match quorum:
        case Role() | Percentage() | Users():
            return 1
        case AnyOf():
            return sum(map(choices, quorum.parts))
        case AllOf() | Stages():
            product = 1
            for part in quorum.parts:
                product *= choices(part)
            return product
