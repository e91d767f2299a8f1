"""What another policy would have achieved, against a world whose truth is known."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping

import pytest

from molam.mesh.routing.off_policy import Attempt, Policy, off_policy

TRUTH = {
    ("small", "a"): 0.97,
    ("small", "b"): 0.90,
    ("large", "a"): 0.55,
    ("large", "b"): 0.92,
    ("large", "c"): 0.70,
    ("small", "c"): 0.60,
}
LOGGING: Mapping[str, Mapping[str, float]] = {
    "small": {"a": 0.8, "b": 0.15, "c": 0.05},
    "large": {"a": 0.7, "b": 0.2, "c": 0.1},
}


def the_best(context: str) -> Mapping[str, float]:
    return {"a": 1.0} if context == "small" else {"b": 1.0}


def as_logged(context: str) -> Mapping[str, float]:
    return LOGGING[context]


def true_value(policy: Policy) -> float:
    return statistics.mean(
        sum(share * TRUTH[context, action] for action, share in policy(context).items())
        for context in LOGGING
    )


def logs(seed: int, count: int) -> list[Attempt]:
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        context = rng.choice(["small", "large"])
        shares = LOGGING[context]
        (action,) = rng.choices(list(shares), weights=list(shares.values()))
        reward = float(rng.random() < TRUTH[context, action])
        made.append(Attempt(context, action, shares[action], reward))
    return made


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(60):
        found = off_policy(logs(seed, 800), the_best)
        covered += found.low <= true_value(the_best) <= found.high

    assert covered >= 52


def test_the_mean_of_those_who_did_so_anyway_is_another_number():
    # Without weights, contexts in which the old policy hardly ever did so are left out.
    attempts = logs(1, 20_000)
    alike = [each.reward for each in attempts if each.action in the_best(each.context)]

    found = off_policy(attempts, the_best)

    assert found.low <= true_value(the_best) <= found.high
    assert not found.low <= statistics.mean(alike) <= found.high


def test_the_policy_that_was_logged_is_worth_what_was_logged():
    attempts = logs(2, 4_000)

    found = off_policy(attempts, as_logged)

    assert found.value == pytest.approx(statistics.mean(each.reward for each in attempts), abs=0.01)
    assert found.samples == pytest.approx(4_000)
    assert found.is_enough


def test_what_was_hardly_ever_tried_is_not_known_enough():
    found = off_policy(logs(3, 1_000), lambda _context: {"c": 1.0})

    assert found.samples < 200
    assert not found.is_enough


def test_what_was_never_tried_is_worth_no_attempts():
    found = off_policy(logs(4, 500), lambda _context: {"d": 1.0})

    assert found.samples == 0
    assert not found.is_enough


@pytest.mark.parametrize("count", [0, 1])
def test_without_logs_nothing_is_known(count: int):
    found = off_policy(logs(5, count), the_best)

    assert not found.is_enough
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_a_wrong_propensity_of_nothing_does_not_explode():
    attempts = [Attempt("small", "a", 0.0, 1.0), *logs(6, 400)]

    assert 0 < off_policy(attempts, the_best).value < 1.5
