"""What a set of votes comes to: approved, rejected, still pending, or blocked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from molam.approvals.policy.matching import Crowd, Shape, Way, is_filled, lacking, opens, shape_of
from molam.approvals.policy.quorum_tree import people_of, roles_of
from molam.approvals.policy.ruleset import Rules

Vote = Literal["approve", "reject", "abstain"]

COMPLETIONS_TRIED_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Elector:
    """
    Somebody who may decide now.

    The list of them is the electorate: active, with roles old enough, and nobody
    who is excluded from the action.
    """

    id: str
    name: str
    email: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ballot:
    """
    The vote somebody stands by.

    *seat* is whose vote it is: the voter's own, or that of whom they stand in for.
    A stand-in's ballot counts for *roles* only, and only as far as the owner of
    the seat holds them; a person's own counts for the roles held now.
    """

    voter: str
    seat: str
    roles: frozenset[str]
    vote: Vote


@dataclass(frozen=True, slots=True)
class Missing:
    """
    Approvals that are lacking, and from whom.

    *stage* counts from 1. An entry for which every role and person is named is
    lacking for the ratio.
    """

    roles: frozenset[str]
    users: tuple[str, ...]
    count: int
    stage: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What the votes come to, and why.

    *reason* is ``veto``, ``threshold`` or ``unreachable`` of a rejection, and
    ``abstentions`` or ``electorate`` of a block. *missing* says what a pending
    action lacks now, and a blocked one even if all who remain approved.
    """

    state: Literal["pending", "approved", "rejected", "blocked"]
    reason: str | None = None
    missing: tuple[Missing, ...] = ()


def decide(rules: Rules, electors: Sequence[Elector], ballots: Iterable[Ballot]) -> Verdict:
    """
    Count *ballots* under *rules*.

    A seat that is not in the electorate now counts nowhere. Only rejections can
    reject: what abstentions or a small electorate make impossible is blocked, and
    waits for more people or for somebody to change their mind.
    """
    count = _count(rules, electors, ballots)
    if count.is_vetoed:
        return Verdict("rejected", "veto")
    if rules.reject_threshold is not None and len(count.no) >= rules.reject_threshold:
        return Verdict("rejected", "threshold")
    yes, no = Counter(count.yes.values()), Counter(count.no.values())
    if count.is_enough(yes, no):
        return Verdict("approved")
    hoped = yes + Counter(count.remaining.values())
    if count.is_enough(hoped, no):
        return Verdict("pending", None, count.missing(yes, no, hoped))
    return _out_of_reach(count, hoped, no)


def _out_of_reach(count: _Count, hoped: Crowd, no: Crowd) -> Verdict:
    """Tell what makes it impossible: only rejections may reject."""
    others = Counter(fit for id_, fit in count.members.items() if id_ not in count.no)
    missing = count.missing(hoped, no, hoped)
    if count.is_enough(others, no):
        return Verdict("blocked", "abstentions" if count.abstained else "electorate", missing)
    if no and count.is_enough(Counter(count.members.values()), Counter()):
        return Verdict("rejected", "unreachable")
    return Verdict("blocked", "electorate", missing)


def can_vote(
    rules: Rules, electors: Sequence[Elector], ballots: Iterable[Ballot], voter_id: str
) -> str | None:
    """
    Return why *voter_id* is not asked, or None if they are.

    ``not-in-electorate`` or ``not-your-stage``. Whoever has voted may change it,
    and whoever may veto need not wait for their turn.
    """
    count = _count(rules, electors, ballots)
    if any(each.id == voter_id and each.roles & rules.veto_roles for each in electors):
        return None
    fit = count.members.get(voter_id)
    if fit is None:
        return "not-in-electorate"
    if voter_id not in count.remaining:
        return None
    crowd = count.filling(Counter(count.yes.values()), Counter(count.no.values()))
    for ways in count.shape.quorums:
        leaves = {place.leaf for way in ways for place in way}
        fits = any(fit >> leaf & 1 for leaf in leaves)
        # Once a quorum is filled, any of its members can still make up the ratio.
        if fits and is_filled(ways, count.needs, crowd):
            return None
        if any(opens(way, count.needs, crowd, fit) for way in ways):
            return None
    return "not-your-stage"


def completions(
    rules: Rules, electors: Sequence[Elector], ballots: Iterable[Ballot], limit: int = 20
) -> list[tuple[str, ...]]:
    """
    List sets of people whose approval would approve, smallest first.

    None of them can be left out of a set. Not every set is listed where there are
    many; there is at least one if the action is pending, and none otherwise.
    """
    given = list(ballots)
    if limit < 1 or decide(rules, electors, given).state != "pending":
        return []
    count = _count(rules, electors, given)
    alike: dict[int, list[str]] = {}
    for id_, fit in sorted(count.remaining.items()):
        alike.setdefault(fit, []).append(id_)
    fits = sorted(alike)
    found = sorted(_Completing(count, fits, [len(alike[fit]) for fit in fits]).vectors(), key=sum)
    groups = [alike[fit] for fit in fits]
    spread = [_people(groups, vector) for vector in found[:limit]]
    return sorted(_in_turn(spread, limit), key=lambda each: (len(each), each))


def _people(groups: Sequence[Sequence[str]], vector: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """Yield each choice of so many people of each group; `product` would make all at once."""
    if not groups:
        yield ()
        return
    for those in combinations(groups[0], vector[0]):
        for others in _people(groups[1:], vector[1:]):
            yield tuple(sorted(those + others))


def _in_turn(given: Sequence[Iterator[tuple[str, ...]]], limit: int) -> list[tuple[str, ...]]:
    """Take one from each source, and again, so that different kinds of sets are seen."""
    sources = list(given)
    taken: list[tuple[str, ...]] = []
    while sources:
        for source in list(sources):
            item = next(source, None)
            if item is None:
                sources.remove(source)
                continue
            taken.append(item)
            if len(taken) == limit:
                return taken
    return taken


@dataclass(frozen=True, slots=True)
class _Count:
    """Members and what they said, by the leaves they fit."""

    rules: Rules
    shape: Shape
    needs: Sequence[int]
    members: Mapping[str, int]
    yes: Mapping[str, int]
    no: Mapping[str, int]
    abstained: Mapping[str, int]
    remaining: Mapping[str, int]
    is_vetoed: bool

    def filling(self, yes: Crowd, no: Crowd) -> Crowd:
        """Return whose ballots fill slots."""
        return Counter(yes) + Counter(no) if self.rules.counting == "participation" else yes

    def is_enough(self, yes: Crowd, no: Crowd) -> bool:
        """Tell whether these approvals against these rejections approve."""
        approvals, ratio = sum(yes.values()), self.rules.ratio
        cast = approvals + sum(no.values())
        if not approvals or approvals * ratio.denominator < ratio.numerator * cast:
            return False
        crowd = self.filling(yes, no)
        return all(is_filled(ways, self.needs, crowd) for ways in self.shape.quorums)

    def missing(self, yes: Crowd, no: Crowd, hoped: Crowd) -> tuple[Missing, ...]:
        """Say what *yes* lacks, in the ways that *hoped* can fill if it can fill any."""
        crowd, best = self.filling(yes, no), self.filling(hoped, no)
        found: dict[Missing, None] = {}
        slots = 0
        for ways in self.shape.quorums:
            open_ways = [way for way in ways if not any(lacking(way, self.needs, best))] or ways
            way = min(open_ways, key=lambda way: sum(lacking(way, self.needs, crowd)))
            counts = lacking(way, self.needs, crowd)
            slots = max(slots, sum(counts))
            found |= dict.fromkeys(self._entries(way, counts))
        more = self._for_ratio(sum(yes.values()), sum(no.values())) - slots
        if more > 0:
            leaves = range(len(self.shape.leaves))
            found[self._entry(leaves, more, None)] = None
        return tuple(found)

    def _entries(self, way: Way, counts: Sequence[int]) -> Iterator[Missing]:
        for place, count in zip(way, counts, strict=True):
            if count:
                stage = place.stages[0][1] + 1 if place.stages else None
                yield self._entry([place.leaf], count, stage)

    def _entry(self, leaves: Iterable[int], count: int, stage: int | None) -> Missing:
        those = [self.shape.leaves[leaf] for leaf in leaves]
        named = {id_ for leaf in those for id_ in people_of(leaf)}
        return Missing(
            frozenset().union(*map(roles_of, those)),
            tuple(sorted(named - self.yes.keys())),
            count,
            stage,
        )

    def _for_ratio(self, approvals: int, rejections: int) -> int:
        """Return how many more approvals the ratio wants; 0 if no number would do."""
        ratio = self.rules.ratio
        lacks = ratio.numerator * (approvals + rejections) - approvals * ratio.denominator
        each = ratio.denominator - ratio.numerator
        wanted = -(-lacks // each) if each else 0
        return max(wanted, 0 if approvals else 1)


def _count(rules: Rules, electors: Sequence[Elector], ballots: Iterable[Ballot]) -> _Count:
    shape = shape_of((rules.quorum, *rules.also))
    fits = {each.id: shape.fit(each.id, each.roles) for each in electors}
    members = {id_: fit for id_, fit in fits.items() if fit}
    said: dict[str, dict[str, int]] = {"approve": {}, "reject": {}, "abstain": {}}
    remaining = dict(members)
    is_vetoed = False
    by_id = {each.id: each for each in electors}
    for ballot in _one_a_seat(ballots, by_id):
        roles = by_id[ballot.seat].roles
        fit = fits[ballot.seat]
        if ballot.voter != ballot.seat:
            roles &= ballot.roles
            fit = shape.fit(ballot.seat, roles)
        if ballot.vote == "reject" and roles & rules.veto_roles:
            is_vetoed = True
        if fit:
            said[ballot.vote][ballot.seat] = fit
            remaining.pop(ballot.seat, None)
            # One person has one vote: a stand-in has given it for somebody else.
            remaining.pop(ballot.voter, None)
    return _Count(
        rules,
        shape,
        shape.needs(electors),
        members,
        said["approve"],
        said["reject"],
        said["abstain"],
        remaining,
        is_vetoed,
    )


_STRICTNESS = {"approve": 0, "abstain": 1, "reject": 2}


def _one_a_seat(ballots: Iterable[Ballot], seats: Mapping[str, Elector]) -> Iterable[Ballot]:
    """
    Keep one ballot of each voter, and of those one for each seat.

    The owner's own ballot wins over a stand-in's; of two stand-ins, the stricter.
    """
    by_voter: dict[str, Ballot] = {}
    for ballot in ballots:
        if ballot.seat in seats:
            _keep(by_voter, ballot.voter, ballot)
    by_seat: dict[str, Ballot] = {}
    for ballot in by_voter.values():
        _keep(by_seat, ballot.seat, ballot)
    return by_seat.values()


def _keep(kept: dict[str, Ballot], key: str, ballot: Ballot) -> None:
    other = kept.get(key)
    if other is None or _rank(ballot) > _rank(other):
        kept[key] = ballot


def _rank(ballot: Ballot) -> tuple[bool, int, str, str]:
    return ballot.voter == ballot.seat, _STRICTNESS[ballot.vote], ballot.seat, ballot.voter


class _Completing:
    """The minimal numbers of people of each kind that approve, found within a budget."""

    def __init__(self, count: _Count, fits: Sequence[int], sizes: Sequence[int]) -> None:
        self._count, self._fits, self._sizes = count, fits, sizes
        self._yes, self._no = Counter(count.yes.values()), Counter(count.no.values())
        self._tries = 0

    def vectors(self) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        self._search((), found)
        return found

    def _search(self, chosen: tuple[int, ...], found: list[tuple[int, ...]]) -> None:
        at = len(chosen)
        if self._is_enough(chosen):
            vector = chosen + (0,) * (len(self._sizes) - at)
            if self._is_minimal(vector):
                found.append(vector)
            return
        for n in range(self._sizes[at] + 1):
            # The first descent always ends in a minimal set, so the budget never leaves none.
            if found and self._tries > COMPLETIONS_TRIED_MAX:
                return
            if self._is_enough((*chosen, n, *self._sizes[at + 1 :])):
                self._search((*chosen, n), found)
                if self._is_enough((*chosen, n)):
                    return

    def _is_minimal(self, vector: tuple[int, ...]) -> bool:
        return not any(
            n and self._is_enough((*vector[:i], n - 1, *vector[i + 1 :]))
            for i, n in enumerate(vector)
        )

    def _is_enough(self, vector: Sequence[int]) -> bool:
        self._tries += 1
        chosen = Counter({fit: n for fit, n in zip(self._fits, vector, strict=False) if n})
        return self._count.is_enough(self._yes + chosen, self._no)
