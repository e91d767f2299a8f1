"""Votes, role changes and escalations in any order: counted as trying everything would."""

from __future__ import annotations

import pytest
from decision_walk import BUGS, Found, Walk


def test_a_walk_is_judged_the_same_at_every_step():
    walk = Walk(seed=78)

    walk.run(600)

    assert sum(walk.seen.values()) == 600
    assert {each.partition(":")[0] for each in walk.seen} == {
        "approved",
        "blocked",
        "pending",
        "rejected",
    }


@pytest.mark.parametrize("bug", BUGS)
def test_a_walk_finds_the_bug(bug: str):
    with BUGS[bug](), pytest.raises(Found, match="seed 78"):
        Walk(seed=78).run(20_000)
