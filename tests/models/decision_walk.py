"""
An action's electorate and votes in random motion, judged at every step by two independent counts.

Bugs that approval systems have had can be planted, to see that the comparison finds them.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from unittest.mock import patch

import decision_oracle as oracle

from molam.approvals.policy import decision, matching
from molam.approvals.policy.decision import Ballot, Elector, Verdict
from molam.approvals.policy.quorum_tree import Percentage, widened

PEOPLE = tuple(f"p{i}" for i in range(6))
OUTSIDERS = ("yan", "zoe")
STEPS_OF_AN_ACTION = 25


class Found(AssertionError):
    """The two counts differ."""


class Walk:
    """Steps of voting, taking back, role changes and escalation, over one action after another."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.seen: Counter[str] = Counter()
        self._rnd = random.Random(seed)
        self._begin()

    def run(self, steps: int) -> None:
        """
        Raises:
            Found: says which seed and step, and what was judged.
        """
        for step in range(steps):
            if step % STEPS_OF_AN_ACTION == 0:
                self._begin()
            self._rnd.choices(
                (
                    self._vote,
                    self._stand_in,
                    self._withdraw,
                    self._grant,
                    self._leave,
                    self._escalate,
                ),
                weights=(12, 3, 3, 4, 2, 1),
            )[0]()
            self._compare(step)

    def _begin(self) -> None:
        rnd = self._rnd
        self._people = PEOPLE[: rnd.randint(2, len(PEOPLE))]
        self._roles = {
            id_: set(rnd.sample(oracle.ROLES, rnd.choice((1, 1, 2)))) for id_ in self._people
        }
        self._away: set[str] = set()
        self._ballots: dict[str, Ballot] = {}
        self._rules = oracle.rules_of(rnd, self._people)

    def _vote(self) -> None:
        voter = self._rnd.choice(self._people)
        self._cast(voter, voter)

    def _stand_in(self) -> None:
        self._cast(self._rnd.choice((*self._people, *OUTSIDERS)), self._rnd.choice(self._people))

    def _cast(self, voter: str, seat: str) -> None:
        vote = self._rnd.choice(("approve", "approve", "approve", "reject", "abstain"))
        roles = self._roles[seat] if voter == seat else self._rnd.sample(oracle.ROLES, 1)
        self._ballots[voter] = Ballot(voter, seat, frozenset(roles), vote)

    def _withdraw(self) -> None:
        self._ballots.pop(self._rnd.choice(self._people), None)

    def _grant(self) -> None:
        roles = self._roles[self._rnd.choice(self._people)]
        roles ^= {self._rnd.choice(oracle.ROLES)}

    def _leave(self) -> None:
        self._away ^= {self._rnd.choice(self._people)}

    def _escalate(self) -> None:
        extra = frozenset({self._rnd.choice(oracle.ROLES)})
        self._rules.quorum = widened(self._rules.quorum, extra)
        self._rules.also = tuple(widened(each, extra) for each in self._rules.also)

    def _compare(self, step: int) -> None:
        electors = [
            Elector(id_, id_, "", frozenset(roles))
            for id_, roles in self._roles.items()
            if id_ not in self._away
        ]
        ballots = list(self._ballots.values())
        self._rnd.shuffle(ballots)
        verdict = decision.decide(self._rules, electors, ballots)
        expected = oracle.judged(self._rules, electors, ballots)
        if (verdict.state, verdict.reason) != expected:
            raise Found(
                f"seed {self.seed}, step {step}: {verdict.state}/{verdict.reason}, but trying"
                f" everything gives {expected} for {self._rules}, {electors}, {ballots}"
            )
        self.seen[
            verdict.state if verdict.reason is None else f"{verdict.state}:{verdict.reason}"
        ] += 1


def _greedy(self: matching._Seating, leaf: int, asked: set[int]) -> bool:
    """Take the first who fits, and never move anybody."""
    for fit, free in self._free.items():
        if free and fit >> leaf & 1:
            self._free[fit] -= 1
            return True
    return False


def _each_alone(way, needs, crowd) -> list[int]:
    """Count each role by itself, so that one person serves in several."""
    return [
        max(0, needs[place.leaf] - sum(n for fit, n in crowd.items() if fit >> place.leaf & 1))
        for place in way
    ]


def _four_decimals(was: Callable[..., bool]) -> Callable[..., bool]:
    def is_enough(self, yes, no) -> bool:
        approvals, ratio = sum(yes.values()), float(self.rules.ratio)
        cast = approvals + sum(no.values())
        if not approvals or round(approvals / cast, 4) < round(ratio, 4):
            return False
        crowd = self.filling(yes, no)
        return all(matching.is_filled(ways, self.needs, crowd) for ways in self.shape.quorums)

    return is_enough


def _abstentions_fill(self, yes, no) -> Counter[int]:
    return Counter(yes) + Counter(self.abstained.values())


def _rejections_fill(self, yes, no) -> Counter[int]:
    return Counter(yes) + Counter(no)


def _deaf_to_vetoes(was: Callable[..., decision._Count]) -> Callable[..., decision._Count]:
    return lambda *given: replace(was(*given), is_vetoed=False)


def _stand_in_first(ballot: Ballot) -> tuple[bool, int, str, str]:
    return ballot.voter != ballot.seat, 0, ballot.seat, ballot.voter


def _of_those_left(self: Percentage, now: int) -> int:
    return max(1, -(-self.share.numerator * now // self.share.denominator))


def _abstentions_reject(count, hoped, no) -> Verdict:
    return Verdict("rejected", "unreachable")


@contextlib.contextmanager
def _distinctness_lost() -> Iterator[None]:
    with (
        patch.object(matching, "lacking", _each_alone),
        patch.object(decision, "lacking", _each_alone),
    ):
        yield


BUGS: dict[str, Callable[[], contextlib.AbstractContextManager[object]]] = {
    "greedy matching": lambda: patch.object(matching._Seating, "seat", _greedy),
    "one person in several slots": _distinctness_lost,
    "ratio rounded to four decimals": lambda: patch.object(
        decision._Count, "is_enough", _four_decimals(decision._Count.is_enough)
    ),
    "abstentions fill slots": lambda: patch.object(decision._Count, "filling", _abstentions_fill),
    "rejections fill slots": lambda: patch.object(decision._Count, "filling", _rejections_fill),
    "veto ignored": lambda: patch.object(decision, "_count", _deaf_to_vetoes(decision._count)),
    "stand-in before owner": lambda: patch.object(decision, "_rank", _stand_in_first),
    "share of those who are left": lambda: patch.object(Percentage, "need", _of_those_left),
    "abstentions reject": lambda: patch.object(decision, "_out_of_reach", _abstentions_reject),
}
