"""What other regions hold of a bank, and how far it makes us doubt the bank; without I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HALF_LIFE_S = 600.0
OBSERVERS_MIN = 3
"""Ours is one of them."""
DOUBT_MAX = 0.9
"""What others say is believed, not proved: what we saw ourselves alone takes a bank beyond."""
OURS_HOLDS_S = 120.0
"""A bank is asked each minute: until two are missed, what we saw of it last is of now."""
TRUST_UNKNOWN = 0.5
TRUST_MIN = 0.05
_JUDGED_FOR_HALF = 20
_ODDS_MAX = 12.0

# Note [Doubt, and never trust]
#
# Other regions can make us doubt a bank, and cannot make us trust one: what we see
# ourselves is the least that is believed. A bank is doubted as far as half of the
# observers doubt it, and no further than half of their weight does. By heads alone, whoever
# is wrong every day would count like whoever never is; by weight alone, one that was right
# for long could mislead us alone. Of n observers, ours being honest, (n - 1) / 2 may lie,
# whatever they weigh: what comes out lies within what honest ones say.
#
# What we tell others is what we saw ourselves. Otherwise a rumour would come back as its
# own confirmation.


@dataclass(frozen=True, slots=True)
class Observation:
    """What one region thinks of a bank, how old that is, and how far the region is trusted."""

    observer: str
    p_down: float
    age_s: float
    trust: float = 1.0

    @property
    def weight(self) -> float:
        return weight(self.age_s, self.trust)


@dataclass(frozen=True, slots=True)
class Opinion:
    """How far observers together hold a bank to be down, and who holds it further than we do."""

    p_down: float
    doubted_by: tuple[str, ...]


def our_age(unheard_s: float) -> float:
    """Say how old our own word is when a bank was last heard of so long ago."""
    return max(0.0, unheard_s - OURS_HOLDS_S)


def weight(age_s: float, trust: float) -> float:
    """Weigh a prediction: it loses half of its weight every ten minutes."""
    return 2 ** (-max(0.0, age_s) / HALF_LIFE_S) * trust


def opinion(ours: Observation, others: Iterable[Observation]) -> Opinion | None:
    """
    Say how far *others* make us doubt a bank; None when they do not, or are too few.

    Of each observer the newest counts, so that nobody is heard twice.
    See Note [Doubt, and never trust].
    """
    newest = _newest([ours, *(each for each in others if each.observer != ours.observer)])
    if len(newest) < OBSERVERS_MIN:
        return None
    odds = [log_odds(each.p_down) for each in newest]
    by_weight = weighted_median([(x, each.weight) for x, each in zip(odds, newest, strict=True)])
    by_heads = weighted_median([(x, 1.0) for x in odds])
    held = min(by_weight, by_heads)
    found = min(1 / (1 + math.exp(-held)), DOUBT_MAX)
    if held <= log_odds(ours.p_down) or found <= ours.p_down:
        return None
    return Opinion(found, tuple(sorted(e.observer for e in newest if e.p_down > ours.p_down)))


def _newest(observations: Iterable[Observation]) -> list[Observation]:
    newest: dict[str, Observation] = {}
    for each in observations:
        known = newest.get(each.observer)
        if known is None or each.age_s < known.age_s:
            newest[each.observer] = each
    return [each for each in newest.values() if each.weight > 0]


def weighted_median(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the value at which half of the weight is reached; between two, their mean."""
    ordered = sorted(pairs)
    half = sum(share for _, share in ordered) / 2
    reached = 0.0
    for at, (value, share) in enumerate(ordered):
        reached += share
        if math.isclose(reached, half) and at + 1 < len(ordered):
            return (value + ordered[at + 1][0]) / 2
        if reached > half:
            return value
    return ordered[-1][0]


def log_odds(probability: float) -> float:
    """Return log-odds, bounded: nobody is surer than one in a hundred and sixty thousand."""
    inside = min(max(probability, 1e-9), 1 - 1e-9)
    return max(-_ODDS_MAX, min(_ODDS_MAX, math.log(inside / (1 - inside))))


def trust(squared_error: float, squared_error_climatology: float, judged: int) -> float:
    """
    Trust a region by its Brier skill over always saying what is usual.

    One that was never judged is trusted by half, and one that is worse than saying what is
    usual hardly at all.
    """
    if judged <= 0 or squared_error_climatology <= 0:
        return TRUST_UNKNOWN
    skill = 1 - squared_error / squared_error_climatology
    found = max(TRUST_MIN, min(1.0, (1 + skill) / 2))
    share = judged / (judged + _JUDGED_FOR_HALF)
    return share * found + (1 - share) * TRUST_UNKNOWN
