"""What another way of routing would have achieved, estimated from attempts that were logged."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

PROPENSITY_MIN = 0.02
"""A rarer choice counts as if it had been made this often, so that one attempt is not a crowd."""
SAMPLES_MIN = 200
"""Effective attempts below which the logs say too little to act on."""

_NORMAL_95 = 1.959964
_PRIOR_WEIGHT = 5.0
_FOLDS = 2

# Note [Doubly robust]
#
# Logs show only what was tried. A model of the outcome fills in what was not, and where
# something was tried, the error of the model there, weighted by how much more often the new
# policy would try it, puts it right. The estimate is right if either the model is, or what
# is known of how choices were made. The model of one half is learnt from the other half, so
# that it does not praise itself and the interval means what it says.


@dataclass(frozen=True, slots=True)
class Attempt:
    """One logged attempt: in which kind of case, through which bank, and how it went."""

    context: str
    """What both policies look at, such as a rail and a band of amounts."""
    action: str
    propensity: float
    """How likely the policy of that time was to choose *action* there."""
    reward: float
    """What it was worth: 1 for paid on time and 0 for not, or any number."""


Policy = Callable[[str], Mapping[str, float]]
"""From a context to the probability of each action; they add up to 1."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean reward that a policy would have had, with its 95 % interval."""

    value: float
    low: float
    high: float
    samples: float
    """How many attempts of its own this is worth: (sum of weights)² / sum of squares."""
    attempts: int

    @property
    def is_enough(self) -> bool:
        """Whether the logs say enough to act on it without people."""
        return self.samples >= SAMPLES_MIN


def off_policy(attempts: Sequence[Attempt], policy: Policy) -> Estimate:
    """Estimate what *policy* would have achieved in the cases of *attempts*."""
    count = len(attempts)
    if count < _FOLDS:
        return Estimate(0.0, -math.inf, math.inf, 0.0, count)
    models = [
        _Model([each for at, each in enumerate(attempts) if at % _FOLDS != fold])
        for fold in range(_FOLDS)
    ]
    terms, weights = [], []
    for at, each in enumerate(attempts):
        model, chosen = models[at % _FOLDS], policy(each.context)
        weight = chosen.get(each.action, 0.0) / max(each.propensity, PROPENSITY_MIN)
        would = sum(share * model.expects(each.context, act) for act, share in chosen.items())
        terms.append(would + weight * (each.reward - model.expects(each.context, each.action)))
        weights.append(weight)
    value = math.fsum(terms) / count
    spread = math.sqrt(math.fsum((term - value) ** 2 for term in terms) / (count - 1) / count)
    squares = math.fsum(weight * weight for weight in weights)
    samples = math.fsum(weights) ** 2 / squares if squares else 0.0
    margin = _NORMAL_95 * spread
    return Estimate(value, value - margin, value + margin, samples, count)


class _Model:
    """Mean rewards of each action in each context, drawn towards those of the action alone."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self._all = _mean([each.reward for each in attempts], towards=0.0)
        by_action: dict[str, list[float]] = defaultdict(list)
        by_case: dict[tuple[str, str], list[float]] = defaultdict(list)
        for each in attempts:
            by_action[each.action].append(each.reward)
            by_case[each.context, each.action].append(each.reward)
        self._by_action = {
            action: _mean(rewards, towards=self._all) for action, rewards in by_action.items()
        }
        self._by_case = {
            case: _mean(rewards, towards=self._by_action[case[1]])
            for case, rewards in by_case.items()
        }

    def expects(self, context: str, action: str) -> float:
        known = self._by_case.get((context, action))
        return self._by_action.get(action, self._all) if known is None else known


def _mean(rewards: Sequence[float], *, towards: float) -> float:
    return (math.fsum(rewards) + _PRIOR_WEIGHT * towards) / (len(rewards) + _PRIOR_WEIGHT)
