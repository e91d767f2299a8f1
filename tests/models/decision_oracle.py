"""
What votes come to, by trying everything: slow, and as plain as the sentences it follows.

Nothing of the code that it judges is used, but for the values that are passed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations, product
from types import SimpleNamespace

from molam.approvals.policy.quorum_tree import AllOf, AnyOf, Percentage, Quorum, Role, Stages, Users

ROLES = ("fin", "ops", "cfo", "pay")
RATIOS = tuple(
    Fraction(each) for each in ("0", "1/3", "1/2", "3/5", "0.6667", "2/3", "3/4", "9/10", "1")
)
SHARES = tuple(Fraction(each) for each in ("1/10", "1/3", "1/2", "2/3", "1"))


def judged(rules, electors, ballots) -> tuple[str, str | None]:  # noqa: PLR0911 - one for each sentence.
    """Return state and reason."""
    people = {each.id: frozenset(each.roles) for each in electors}
    all_quorums = (rules.quorum, *rules.also)
    needs = _needs(all_quorums, people)
    seats = _seats(people, ballots)
    members = {id_ for id_ in people if _belongs(all_quorums, id_, people[id_])}
    for ballot in seats.values():
        if ballot.vote == "reject" and _acting(people, ballot) & rules.veto_roles:
            return "rejected", "veto"
    counted = {
        seat: ballot
        for seat, ballot in seats.items()
        if _belongs(all_quorums, seat, _acting(people, ballot))
    }
    no = {seat for seat, ballot in counted.items() if ballot.vote == "reject"}
    if rules.reject_threshold is not None and len(no) >= rules.reject_threshold:
        return "rejected", "threshold"
    world = {seat: (ballot.vote, _acting(people, ballot)) for seat, ballot in counted.items()}
    if _passes(rules, needs, world):
        return "approved", None
    spent = {ballot.voter for ballot in counted.values()}
    waiting = sorted(members - counted.keys() - spent)
    if _some_future(rules, needs, world, {id_: people[id_] for id_ in waiting}):
        return "pending", None
    fixed = {seat: each for seat, each in world.items() if seat in no}
    if _some_future(rules, needs, fixed, {id_: people[id_] for id_ in sorted(members - no)}):
        abstained = any(ballot.vote == "abstain" for ballot in counted.values())
        return "blocked", "abstentions" if abstained else "electorate"
    if no and _some_future(rules, needs, {}, {id_: people[id_] for id_ in sorted(members)}):
        return "rejected", "unreachable"
    return "blocked", "electorate"


def _seats(people, ballots) -> dict[str, SimpleNamespace]:
    """One ballot a voter, then one a seat: the owner's, else the strictest."""

    def best(those):
        own = [each for each in those if each.voter == each.seat]
        for vote in ("reject", "abstain", "approve"):
            same = [each for each in own or those if each.vote == vote]
            if same:
                return max(same, key=lambda each: (each.seat, each.voter))
        raise AssertionError(those)

    inside = [each for each in ballots if each.seat in people]
    voters = {each.voter for each in inside}
    once = [best([each for each in inside if each.voter == voter]) for voter in voters]
    return {
        seat: best([each for each in once if each.seat == seat])
        for seat in {each.seat for each in once}
    }


def _acting(people, ballot) -> frozenset[str]:
    held = people[ballot.seat]
    return held if ballot.voter == ballot.seat else held & ballot.roles


def _some_future(rules, needs, said, waiting) -> bool:
    """Let everybody who waits say anything, in every combination."""
    for votes in product(("approve", "abstain", "reject"), repeat=len(waiting)):
        told = {
            id_: (vote, roles) for (id_, roles), vote in zip(waiting.items(), votes, strict=True)
        }
        if _passes(rules, needs, {**said, **told}):
            return True
    return False


def _passes(rules, needs, world) -> bool:
    yes = {id_: roles for id_, (vote, roles) in world.items() if vote == "approve"}
    no = {id_: roles for id_, (vote, roles) in world.items() if vote == "reject"}
    if not yes or Fraction(len(yes), len(yes) + len(no)) < rules.ratio:
        return False
    filling = {**yes, **no} if rules.counting == "participation" else yes
    return all(
        next(_fillings(quorum, needs, filling), None) is not None
        for quorum in (rules.quorum, *rules.also)
    )


def _fillings(quorum: Quorum, needs, people) -> Iterator[frozenset[str]]:
    """Yield each set of people that fills the quorum, one slot a person."""
    if isinstance(quorum, AnyOf):
        for part in quorum.parts:
            yield from _fillings(part, needs, people)
    elif isinstance(quorum, AllOf | Stages):
        yield from _disjoint(quorum.parts, needs, people, frozenset())
    else:
        able = sorted(id_ for id_, roles in people.items() if _fits(quorum, id_, roles))
        for those in combinations(able, needs[quorum]):
            yield frozenset(those)


def _disjoint(parts, needs, people, used) -> Iterator[frozenset[str]]:
    if not parts:
        yield used
        return
    free = {id_: roles for id_, roles in people.items() if id_ not in used}
    for those in _fillings(parts[0], needs, free):
        yield from _disjoint(parts[1:], needs, people, used | those)


def _leaves(quorum) -> Iterator[Role | Percentage | Users]:
    if isinstance(quorum, AllOf | AnyOf | Stages):
        for part in quorum.parts:
            yield from _leaves(part)
    else:
        yield quorum


def _fits(leaf, id_, roles) -> bool:
    if isinstance(leaf, Role):
        return any(role in leaf.roles for role in roles)
    if any(role in leaf.reserves for role in roles):
        return True
    return _is_of_pool(leaf, id_, roles)


def _is_of_pool(leaf, id_, roles) -> bool:
    if isinstance(leaf, Percentage):
        return id_ in leaf.pool or any(role in leaf.roles for role in roles)
    return id_ in leaf.users


def _belongs(quorums, id_, roles) -> bool:
    return any(_fits(leaf, id_, roles) for quorum in quorums for leaf in _leaves(quorum))


def _needs(quorums, people) -> dict[object, int]:
    found: dict[object, int] = {}
    for quorum in quorums:
        for leaf in _leaves(quorum):
            if isinstance(leaf, Percentage):
                now = sum(_is_of_pool(leaf, id_, roles) for id_, roles in people.items())
                size, need = max(now, leaf.base), 1
                while need < leaf.share * size:
                    need += 1
                found[leaf] = need
            else:
                found[leaf] = leaf.min_votes
    return found


def a_leaf(rnd: random.Random, people: Sequence[str]) -> Role | Percentage | Users:
    roles = frozenset(rnd.sample(ROLES, rnd.choice((1, 1, 2))))
    match rnd.choice("rrrpu"):
        case "r":
            return Role(roles, rnd.choice((1, 1, 2, 2, 3)))
        case "p":
            pool = tuple(rnd.sample(people, min(len(people), rnd.choice((0, 0, 1, 3)))))
            return Percentage(
                frozenset() if pool and rnd.random() < 0.5 else roles,
                pool,
                rnd.choice(SHARES),
                base=rnd.choice((0, 0, 2, 4)),
                reserves=frozenset(rnd.sample(ROLES, rnd.choice((0, 0, 1)))),
            )
        case _:
            named = tuple(rnd.sample(people, rnd.randint(1, min(3, len(people)))))
            return Users(
                named,
                rnd.randint(1, len(named)),
                reserves=frozenset(rnd.sample(ROLES, rnd.choice((0, 0, 1)))),
            )


def a_quorum(rnd: random.Random, people: Sequence[str], depth: int = 2) -> Quorum:
    if depth == 0 or rnd.random() < 0.4:
        return a_leaf(rnd, people)
    node = rnd.choice((AllOf, AllOf, AnyOf, Stages))
    return node(tuple(a_quorum(rnd, people, depth - 1) for _ in range(rnd.randint(1, 3))))


def rules_of(rnd: random.Random, people: Sequence[str]) -> SimpleNamespace:
    """Rules as far as they are counted by."""
    return SimpleNamespace(
        quorum=a_quorum(rnd, people),
        also=tuple(a_quorum(rnd, people, 1) for _ in range(rnd.choice((0, 0, 0, 1, 2)))),
        ratio=rnd.choice(RATIOS),
        counting=rnd.choice(("approvals", "approvals", "participation")),
        veto_roles=frozenset(rnd.sample(ROLES, rnd.choice((0, 0, 0, 1)))),
        reject_threshold=rnd.choice((None, None, None, 1, 2, 3)),
    )
