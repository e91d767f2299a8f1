"""Bands of amounts: exactly where another order of banks becomes the best."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations

from molam.mesh.routing.scoring import (
    Candidate,
    Line,
    Terms,
    cost_line,
    crossings,
    scaled,
    value_line,
)

# Note [Exact bands]
#
# Fees are piecewise linear, so the value of a payout through each bank is too. Between two
# neighbouring kinks and limits all are straight lines, and whatever compares them (which is
# higher, which is within a basis point of the highest, which breaks the cost rule) changes
# only where two lines cross. So it is enough to look once between each two crossings: no
# grid, and no amount that is decided differently from its neighbours by accident.

_PER_BP = 10_000


@dataclass(frozen=True, slots=True)
class Band:
    """Amounts from *low* to *high*, both included (None: without end), and who carries them."""

    low: int
    high: int | None
    order: tuple[str, ...]
    """Bank ids, the first choice first; empty where the mesh says no route."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How candidates compare at one amount."""

    winner: str
    values: dict[str, int]
    """Expected values, all scaled alike: only their order means anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Everything that decides who carries which amount."""

    candidates: Sequence[Candidate]
    terms: Terms = field(default_factory=Terms)
    low: int = 0
    high: int | None = None
    left: Candidate | None = None
    """The bank that payouts would leave; None: the cost rule does not bind."""
    cost_increase_max_pct: Fraction = Fraction(10)
    order: Callable[[Sequence[Candidate], Standing], tuple[str, ...]] = field(
        default=lambda _able, standing: (standing.winner,)
    )
    """Puts those who may carry an amount in order; see `sequence`."""


def bands_of(contest: Contest) -> tuple[Band, ...]:
    """Divide the amounts of *contest* into the fewest bands with one order each."""
    found: list[Band] = []
    for first, last in _cells(contest):
        cell = _Cell(contest, first)
        starts = [first, *sorted(cell.cuts(last))]
        for start, following in zip(starts, [*starts[1:], None], strict=True):
            high = last if following is None else following - 1
            order = cell.order_at(start)
            if found and found[-1].order == order:
                found[-1] = Band(found[-1].low, high, order)
            else:
                found.append(Band(start, high, order))
    return tuple(found)


def band_at(bands: Sequence[Band], amount: int) -> Band:
    """Find the band of *amount*, which must be within them."""
    at = bisect_right([band.low for band in bands], amount) - 1
    return bands[max(at, 0)]


def order_at(contest: Contest, amount: int) -> tuple[str, ...]:
    """Decide one amount by itself; `bands_of` says the same of all at once."""
    return _Cell(contest, amount).order_at(amount)


def _cells(contest: Contest) -> list[tuple[int, int | None]]:
    """Divide the amounts where some fee goes on differently, or some bank's limit is."""
    tariffs = [each.tariff for each in contest.candidates]
    if contest.left is not None:
        tariffs.append(contest.left.tariff)
    starts = {contest.low}
    for kink in (kink for tariff in tariffs for kink in tariff.kinks()):
        starts |= {-(-kink.numerator // kink.denominator), kink.numerator // kink.denominator + 1}
    starts |= {each.amount_max + 1 for each in contest.candidates if each.amount_max is not None}
    for low, high in (part for each in contest.candidates for part in each.shut):
        starts |= {low} if high is None else {low, high + 1}
    inside = sorted(
        start
        for start in starts
        if start >= contest.low and (contest.high is None or start <= contest.high)
    )
    ends: list[int | None] = [start - 1 for start in inside[1:]]
    return list(zip(inside, [*ends, contest.high], strict=True))


class _Cell:
    """A range of amounts in which all is straight."""

    def __init__(self, contest: Contest, first: int) -> None:
        self._contest = contest
        self._first = first
        self._able = [each for each in contest.candidates if each.takes(first)]
        values = [value_line(each, contest.terms, first) for each in self._able]
        lines, self._slack = scaled(values, also=contest.terms.indifference_bp / _PER_BP)
        self._lines = {
            each.bank_profile_id: line for each, line in zip(self._able, lines, strict=True)
        }
        self._over_cost = self._cost_lines()

    def _cost_lines(self) -> dict[str, Line]:
        """By how much each bank costs more than the cost rule allows."""
        left, terms = self._contest.left, self._contest.terms
        if left is None:
            return {}
        allowed = 1 + self._contest.cost_increase_max_pct / 100
        left_a, left_b = cost_line(left, terms, self._first)
        over = []
        for each in self._able:
            a, b = cost_line(each, terms, self._first)
            over.append((a - allowed * left_a, b - allowed * left_b))
        lines, _ = scaled(over, also=Fraction(1))
        return {each.bank_profile_id: line for each, line in zip(self._able, lines, strict=True)}

    def cuts(self, last: int | None) -> set[int]:
        """List the amounts, after the first, at which a comparison may turn out otherwise."""
        found: set[int] = set()
        lines = list(self._lines.values())
        for one, other in combinations(lines, 2):
            for slack in (-self._slack, 0, self._slack):
                moved = Line(other.a, other.b + slack)
                found.update(crossings(one, moved, first=self._first, last=last))
        for line in self._over_cost.values():
            found.update(crossings(line, Line(0, 0), first=self._first, last=last))
        return found

    def order_at(self, amount: int) -> tuple[str, ...]:
        able = [each for each in self._able if self._is_cheap_enough(each, amount)]
        if not able:
            return ()
        values = {
            each.bank_profile_id: self._lines[each.bank_profile_id].at(amount) for each in able
        }
        enough = max(values.values()) - self._slack * amount
        near = [each for each in able if values[each.bank_profile_id] >= enough]
        winner = min(
            near,
            key=lambda each: (
                each.preference,
                -values[each.bank_profile_id],
                each.bank_profile_id,
            ),
        )
        standing = Standing(winner.bank_profile_id, values)
        return self._contest.order(able, standing)

    def _is_cheap_enough(self, candidate: Candidate, amount: int) -> bool:
        over = self._over_cost.get(candidate.bank_profile_id)
        return over is None or over.at(amount) <= 0
