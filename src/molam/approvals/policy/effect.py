"""What a change of policies comes to: whether it provably lets nothing more through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from molam.approvals.policy.cells import Cell, TooManyCells, cells
from molam.approvals.policy.rules import Rules, is_tighter
from molam.approvals.policy.selection import Chosen, StoredPolicy, choose, ranked
from molam.kernel.clock import Instant
from molam.platform.actions import Registry


def is_tightening(
    before: Sequence[StoredPolicy],
    after: Sequence[StoredPolicy],
    registry: Registry,
    at: Instant,
) -> bool:
    """
    Tell whether *after* decides every action at least as strictly as *before*, from *at* on.

    Every case that the criteria tell apart is decided under both, at every
    instant from which another set of them is in force. False says only that
    there is no proof.
    """
    changed = set(before) ^ set(after)
    if all(each.baseline for each in changed) and changed <= set(after):
        return True  # A floor is only ever added to what decides.
    instants = _instants(at, before, after)
    try:
        return all(
            _is_tightening_for(each, (before, after), instants)
            for each in sorted(_types(changed, registry))
        )
    except TooManyCells:
        return False


def _is_tightening_for(
    action_type: str,
    sets: tuple[Sequence[StoredPolicy], Sequence[StoredPolicy]],
    instants: Sequence[Instant],
) -> bool:
    before, after = (_concerning(each, frozenset({action_type})) for each in sets)
    nodes = dict.fromkeys(each.criteria.node for each in (*before, *after))
    tighter = lru_cache(maxsize=4096)(is_tighter)
    rules = lru_cache(maxsize=4096)(_rules)
    found = list(cells(nodes, {action_type}))
    for instant in instants:
        old, new = ranked(before, instant), ranked(after, instant)
        for cell in found:
            if not tighter(rules(_chosen(new, cell)), rules(_chosen(old, cell))):
                return False
    return True


def only_built_in_decided(
    before: Sequence[StoredPolicy], draft: StoredPolicy, registry: Registry
) -> bool:
    """Whether no policy speaks of any action that *draft* could fit, but for floors."""
    types = _types({draft}, registry)
    return not any(not each.baseline for each in _concerning(before, types))


def _chosen(held: Sequence[StoredPolicy], cell: Cell) -> Chosen:
    return choose([(each, cell.truth(each.criteria.node)) for each in held])


def _rules(chosen: Chosen) -> Rules:
    return chosen.rules


def _concerning(held: Iterable[StoredPolicy], types: frozenset[str]) -> list[StoredPolicy]:
    return [each for each in held if each.criteria.types is None or each.criteria.types & types]


def _types(changed: Iterable[StoredPolicy], registry: Registry) -> frozenset[str]:
    every = frozenset(each.name for each in registry)
    found = [every if each.criteria.types is None else each.criteria.types for each in changed]
    return frozenset().union(*found)


def _instants(at: Instant, *sets: Sequence[StoredPolicy]) -> list[Instant]:
    """List *at*, and every later instant at which a policy begins or ends."""
    edges = {edge for held in sets for each in held for edge in (each.valid_from, each.valid_until)}
    return sorted({at, *(edge for edge in edges if edge is not None and edge > at)})
