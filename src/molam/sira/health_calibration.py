"""Making probabilities mean what they say, and intervals hold as often as they promise."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from molam.sira.health_model import Calibration

GAMMA = 0.005
COVERAGE = 0.8
_MISS_MIN, _MISS_MAX = 0.001, 0.999
_NORMAL = statistics.NormalDist()


def fit(outcomes: Iterable[tuple[float, bool]]) -> Calibration | None:
    """
    Learn from what was said and what came of it: (confidence, was it right).

    The shares of right ones by pools of neighbours, never falling (isotonic regression).
    Each pool counts as if one more had been right and one more wrong, as in Platt's
    scaling (1999), so that three right ones of three are 0.8 and not certainty; pools that
    this puts out of order become one. None where there is nothing to learn from.
    """
    said = sorted(outcomes)
    if not said:
        return None
    each = [_Pool(float(was_right), 1, confidence) for confidence, was_right in said]
    pools = _rising(_rising(each, _share), _shrunk)
    margins = [pool.highest for pool in pools]
    shares = [_shrunk(pool) for pool in pools]
    lowest = said[0][0]
    if lowest < margins[0]:
        margins.insert(0, lowest)
        shares.insert(0, shares[0])
    return Calibration(
        kind="isotonic",
        margins=tuple(margins),
        shares=tuple(shares),
        positives=sum(pool.right for pool in pools),
    )


def calibrated(table: Calibration, confidence: float) -> float:
    """
    Return how often what was said with *confidence* has come true.

    Below all that was ever tried, nothing makes it surer than it says.
    """
    learned = table.probability(confidence)
    return min(learned, confidence) if confidence < table.margins[0] else learned


@dataclass(frozen=True, slots=True)
class _Pool:
    """Neighbours that count as one, up to the *highest* of what was said."""

    right: float
    count: int
    highest: float


def _share(pool: _Pool) -> float:
    return pool.right / pool.count


def _shrunk(pool: _Pool) -> float:
    return (pool.right + 1) / (pool.count + 2)


def _rising(pools: Iterable[_Pool], share: Callable[[_Pool], float]) -> list[_Pool]:
    """Join neighbours until each pool's share is above that of the one before."""
    made: list[_Pool] = []
    for pool in pools:
        made.append(pool)
        while len(made) > 1 and (
            share(made[-1]) <= share(made[-2]) or made[-1].highest == made[-2].highest
        ):
            last, before = made.pop(), made.pop()
            made.append(_Pool(before.right + last.right, before.count + last.count, last.highest))
    return made


class Adaptive(msgspec.Struct, frozen=True):
    """
    How often an interval may miss so that it misses *target* of the time, whatever drifts.

    Adaptive conformal inference: a miss makes the next intervals a little wider, a hit
    a very little narrower.
    """

    alpha: float = 1 - COVERAGE
    target: float = 1 - COVERAGE


def learn(state: Adaptive, *, missed: bool) -> Adaptive:
    """Move *state* by one interval whose outcome is known."""
    alpha = state.alpha + GAMMA * (state.target - float(missed))
    return Adaptive(min(1.0, max(0.0, alpha)), state.target)


def widening(state: Adaptive) -> float:
    """Return how much wider than made an interval has to be."""
    alpha = min(_MISS_MAX, max(_MISS_MIN, state.alpha))
    return _NORMAL.inv_cdf(1 - alpha / 2) / _NORMAL.inv_cdf(1 - state.target / 2)
