"""Making probabilities mean what they say, and intervals hold as often as they promise."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import msgspec

from molam.sira.health_model import Calibration

GAMMA = 0.005
COVERAGE = 0.8
_MISS_MIN, _MISS_MAX = 0.001, 0.999
_NORMAL = statistics.NormalDist()


def fit(outcomes: Iterable[tuple[float, bool]]) -> Calibration | None:
    """
    Learn from what was said and what came of it: (confidence, was it right).

    The shares of right ones by pools of neighbours, never falling (isotonic regression);
    None where there is nothing to learn from.
    """
    pools: list[list[float]] = []
    for said, was_right in sorted(outcomes):
        pools.append([float(was_right), 1.0, said])
        while len(pools) > 1 and (
            pools[-1][0] / pools[-1][1] <= pools[-2][0] / pools[-2][1]
            or pools[-1][2] == pools[-2][2]
        ):
            right, count, highest = pools.pop()
            pools[-1] = [pools[-1][0] + right, pools[-1][1] + count, highest]
    if not pools:
        return None
    return Calibration(
        kind="isotonic",
        margins=tuple(highest for _, _, highest in pools),
        shares=tuple(right / count for right, count, _ in pools),
        positives=sum(right for right, _, _ in pools),
    )


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
