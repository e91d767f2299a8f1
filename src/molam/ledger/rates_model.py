"""Rates that others quote, believed or doubted without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from molam.kernel.currency import CURRENCIES
from molam.kernel.refusals import Kind, Refusal

FIRST_DAY = date(1999, 1, 4)
"""The first day the ECB quoted anything."""
JUMP_MAX = Decimal("0.20")
COMPARED_DAYS = 30
"""A rate older than this says nothing about what today's may be."""
RATE_MIN, RATE_MAX = Decimal("0.000001"), Decimal(1_000_000)
DECIMALS = 12
SOURCE_LENGTH_MAX = 60

# Their rates with each other are law (655.957 francs a euro), and with all others
# follow from the euro's, so that what a provider says of them could only disagree.
FOLLOW_THE_EURO = frozenset({"XOF", "XAF"})

Pair = tuple[str, str]


class RatesMalformed(Refusal):
    code = "rates-malformed"
    kind = Kind.MALFORMED
    title = "These are not exchange rates"


class RatesRefused(Refusal):
    code = "rates-refused"
    kind = Kind.BROKEN_RULE
    title = "The provider of rates refuses"


class DoubtAbsent(Refusal):
    code = "rate-doubt-absent"
    kind = Kind.ABSENT
    title = "No such doubted rate"


@dataclass(frozen=True, slots=True)
class Quoted:
    """One unit of *base* was worth *rate* units of *quote* on *as_of*, says *source*."""

    base: str
    quote: str
    as_of: date
    rate: Decimal
    source: str

    @property
    def pair(self) -> Pair:
        return (self.base, self.quote)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A rate that moved too far from the one before it to be used unseen."""

    quoted: Quoted
    previous: Decimal
    previous_on: date


@dataclass(frozen=True, slots=True)
class Sifted:
    """What becomes of what was quoted: *taken* is stored, *doubted* waits for a person."""

    taken: tuple[Quoted, ...]
    doubted: tuple[Doubt, ...]
    known: int
    """Stored already, with the same rate."""
    kept: int
    """Of days gone by, whose stored rate is another and stays."""


def useful(quoted: Iterable[Quoted], *, today: date) -> list[Quoted]:
    """
    Leave out currencies nobody here keeps money in, and the francs; check the rest.

    Raises:
        RatesMalformed: a rate or a day that cannot be.
    """
    found = []
    for each in quoted:
        if {each.base, each.quote} - CURRENCIES.keys() or {each.base, each.quote} & FOLLOW_THE_EURO:
            continue
        if each.base == each.quote:
            continue
        if not each.rate.is_finite() or not RATE_MIN <= each.rate <= RATE_MAX:
            raise RatesMalformed(f"{each.base}/{each.quote} is {each.rate:.6g}, which cannot be.")
        # Somewhere it is tomorrow already.
        if not FIRST_DAY <= each.as_of <= today + timedelta(days=1):
            raise RatesMalformed(f"{each.base}/{each.quote} is dated {each.as_of.isoformat()}.")
        rounded = round(each.rate, DECIMALS)
        found.append(Quoted(each.base, each.quote, each.as_of, rounded, each.source))
    return found


def sift(
    quoted: Iterable[Quoted], stored: Mapping[Pair, Mapping[date, Decimal]], *, today: date
) -> Sifted:
    """
    Decide which of *quoted* are believed, given what is *stored*.

    Each is compared with the newest believed one before it. Today's and yesterday's
    may still move; what is older stays as it was once stored.
    """
    believed: dict[Pair, dict[date, Decimal]] = {pair: dict(days) for pair, days in stored.items()}
    taken: dict[tuple[Pair, date], Quoted] = {}
    doubted: dict[tuple[Pair, date], Doubt] = {}
    known = kept = 0
    for each in sorted(quoted, key=lambda one: (one.pair, one.as_of)):
        days = believed.setdefault(each.pair, {})
        now_stored = days.get(each.as_of)
        if now_stored == each.rate:
            known += 1
            continue
        if now_stored is not None and each.as_of < today - timedelta(days=1):
            kept += 1
            continue
        before = _before(days, each.as_of)
        if before is not None and abs(each.rate / days[before] - 1) > JUMP_MAX:
            doubted[each.pair, each.as_of] = Doubt(each, days[before], before)
            continue
        days[each.as_of] = each.rate
        taken[each.pair, each.as_of] = each
    return Sifted(tuple(taken.values()), tuple(doubted.values()), known, kept)


def _before(days: Mapping[date, Decimal], day: date) -> date | None:
    """Find the newest day before *day* that may be compared with it."""
    # At most a month of steps, however long the history is.
    for back in range(1, COMPARED_DAYS + 1):
        earlier = day - timedelta(days=back)
        if earlier in days:
            return earlier
    return None
