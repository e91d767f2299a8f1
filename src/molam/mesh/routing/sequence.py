"""In which order banks are tried, so that the next one does not fail for the same reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from molam.mesh.routing.bands import Standing
from molam.mesh.routing.scoring import Candidate

SAME_HOST = Fraction(8, 10)
SAME_NETWORK = Fraction(3, 10)
PRIOR_HOURS = 20
"""How many hours of failing alone or together weigh as much as what is known beforehand."""

_HOST = "core:"
_SURVIVAL_STEPS = 10_000

Pair = frozenset[str]


@dataclass(frozen=True, slots=True)
class CoFailures:
    """In how many hours one of two banks was down, and in how many of them the other was too."""

    alone_or_together: int
    together: int


def kinship(one: Iterable[str], other: Iterable[str], seen: CoFailures | None = None) -> Fraction:
    """
    Say how far the failure of one bank takes another with it, from 0 to 1.

    Two that share a core-banking host begin at 0.8, two that share anything else (a
    country's switch, a telecom) at 0.3, others at 0; what was *seen* moves it from there.
    """
    shared = set(one) & set(other)
    known = Fraction(0)
    if shared:
        known = SAME_HOST if any(name.startswith(_HOST) for name in shared) else SAME_NETWORK
    if seen is None:
        return known
    assert 0 <= seen.together <= seen.alone_or_together
    return (known * PRIOR_HOURS + seen.together) / (PRIOR_HOURS + seen.alone_or_together)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequencer:
    """Puts banks in order: the best first, then whoever is most likely to work when it does not."""

    depth: int = 3
    first: Sequence[str] = ()
    """Banks that come first wherever they can, in this order."""
    seen: Mapping[Pair, CoFailures] = field(default_factory=dict)
    _known: dict[tuple[str, ...], int] = field(default_factory=dict, repr=False, compare=False)
    """How likely chains of banks all fail: amounts differ, banks and their failures do not."""

    def __call__(self, able: Sequence[Candidate], standing: Standing) -> tuple[str, ...]:
        left = {each.bank_profile_id: each for each in able}
        ahead = [each for each in dict.fromkeys(self.first) if each in left][: self.depth]
        order = [left.pop(each) for each in ahead or [standing.winner]]
        while left and len(order) < self.depth:
            order.append(left.pop(self._next(order, left.values(), standing)))
        return tuple(each.bank_profile_id for each in order)

    def failure_after(self, candidate: Candidate, failed: Sequence[Candidate]) -> Fraction:
        """Return how likely *candidate* fails once all of *failed* have: f + rho·(1 - f)."""
        rho = max((self._kinship(candidate, each) for each in failed), default=Fraction(0))
        return candidate.failure + rho * (1 - candidate.failure)

    def _all_fail(self, chain: Sequence[Candidate]) -> int:
        """Count the payouts in ten thousand that all of *chain* fail; less makes no difference."""
        chance = Fraction(_SURVIVAL_STEPS)
        for at, each in enumerate(chain):
            chance *= self.failure_after(each, chain[:at])
        return round(chance)

    def _kinship(self, one: Candidate, other: Candidate) -> Fraction:
        seen = self.seen.get(frozenset((one.bank_profile_id, other.bank_profile_id)))
        return kinship(one.domains, other.domains, seen)

    def _next(
        self, order: Sequence[Candidate], left: Iterable[Candidate], standing: Standing
    ) -> str:
        before = tuple(each.bank_profile_id for each in order)

        def rank(each: Candidate) -> tuple[int, tuple[int, int], int, str]:
            chain = (*before, each.bank_profile_id)
            if chain not in self._known:
                self._known[chain] = self._all_fail([*order, each])
            return (
                self._known[chain],
                each.preference,
                -standing.values[each.bank_profile_id],
                each.bank_profile_id,
            )

        return min(left, key=rank).bank_profile_id


def unrelated(domains: Iterable[frozenset[str]]) -> int:
    """Count the groups of banks, each with its *domains*, that share nothing with each other."""
    groups: list[frozenset[str]] = []
    for each in domains:
        names = each
        for group in [group for group in groups if group & names]:
            groups.remove(group)
            names |= group
        groups.append(names)
    return len(groups)
