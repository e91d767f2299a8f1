"""What a proposal asks for, read back from what was signed, and the routes that follow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from molam.mesh.control.store import InForceRow
from molam.mesh.routing.store import ProposalRow

WHOLE = 100
"""Per cent."""
BANKS_MAX = 20
"""So many banks a route may name."""

Range = tuple[int, int | None, tuple[str, ...]]
"""From this amount to that one, both included, to these banks in their order."""


@dataclass(frozen=True, slots=True)
class Target:
    """A bank that payouts may be led to now: how much in all, and how large each."""

    bank_profile_id: str
    account_id: str
    room: int
    largest: int
    promise_s: int
    corridor_id: str | None = None
    """What leads to it, where it is a bank of another region."""
    corridor_room: int = 0


@dataclass(frozen=True, slots=True)
class Band:
    """A range of amounts and the banks that it goes to, the first as far as it has room."""

    min_amount: int
    max_amount: int | None
    targets: tuple[Target, ...]


def bands_of(row: ProposalRow) -> list[Range]:
    """List the ranges of amounts of a proposal with the banks that each is to go to."""
    whole = _banks(row.proposal.get("sequence"))
    ranges: list[Range] = []
    for each in row.proposal.get("bands") or ():
        smallest = max(int(each.get("min_amount") or 0), row.min_amount)
        largest = _least(each.get("max_amount"), row.max_amount)
        if largest is None or smallest <= largest:
            # A band that names nobody has no route: what is in it stays.
            ranges.append((smallest, largest, _banks(each.get("bank_profile_ids"))))
    return ranges or [(row.min_amount, row.max_amount, whole)]


def _banks(sequence: object) -> tuple[str, ...]:
    found: list[str] = []
    for each in sequence if isinstance(sequence, Sequence) else ():
        bank = each.get("bank_profile_id") if isinstance(each, Mapping) else each
        if isinstance(bank, str) and bank not in found:
            found.append(bank)
    return tuple(found)


def _least(one: object, other: int | None) -> int | None:
    known = [int(str(each)) for each in (one, other) if each is not None]
    return min(known) if known else None


def is_listed(row: ProposalRow) -> bool:
    """Tell whether it is about some payouts only: then nothing is decided for those to come."""
    return "payouts" in row.proposal


def covered(bands: Iterable[Band]) -> list[tuple[int, int | None]]:
    """List the amounts that go somewhere; the bank that is left keeps the others."""
    return [(each.min_amount, each.max_amount) for each in bands if each.targets]


def cut(band: Band) -> list[Band]:
    """Divide *band* where it is above what any of its banks takes at once."""
    largest = max((each.largest for each in band.targets), default=0)
    if not band.targets or _reach(band.max_amount) <= largest:
        return [band]
    return [
        *([Band(band.min_amount, largest, band.targets)] if largest >= band.min_amount else []),
        Band(max(largest + 1, band.min_amount), band.max_amount, ()),
    ]


def rooms(band: Band, spent: Mapping[str, int]) -> list[int]:
    """
    Say how much each bank of *band* may be given, after what was *spent* by bank and corridor.

    Banks behind one corridor share what it can take: together they are given no more.
    """
    promised: dict[str, int] = {}
    found = []
    for each in band.targets:
        room = each.room - spent.get(each.bank_profile_id, 0)
        if each.corridor_id is not None:
            gone = spent.get(each.corridor_id, 0) + promised.get(each.corridor_id, 0)
            room = min(room, each.corridor_room - gone)
            promised[each.corridor_id] = promised.get(each.corridor_id, 0) + max(room, 0)
        found.append(max(room, 0))
    return found


def corridors_of(bands: Iterable[Band]) -> dict[str, str]:
    """Name the corridor to each bank of another region."""
    return {
        each.bank_profile_id: each.corridor_id
        for band in bands
        for each in band.targets
        if each.corridor_id is not None
    }


def at_home(ranges: Iterable[Range], elsewhere: Collection[str]) -> list[Range]:
    """Leave out banks of other regions, which no route in force names."""
    found = [
        (low, high, tuple(each for each in banks if each not in elsewhere))
        for low, high, banks in ranges
    ]
    return [each for each in found if each[2]]


def within(ranges: Iterable[Range], amounts: Sequence[tuple[int, int | None]]) -> list[Range]:
    """Keep of *ranges* what lies within *amounts*, and names a bank."""
    found = []
    for low, high, banks in ranges:
        for first, last in amounts:
            begin, end = max(low, first), _least(last, high)
            if banks and begin <= _reach(end):
                found.append((begin, end, banks))
    return found


def new_routes(
    in_force: Iterable[InForceRow], ranges: Iterable[Range], leaves: str | None
) -> tuple[list[int], list[Range]]:
    """
    Say which routes end, and which begin.

    A range of the proposal replaces what is in force within it; what reaches beyond it
    keeps the rest. Whoever is left comes last, for its gate may open again.
    """
    kept = sorted(in_force, key=lambda each: each.min_amount)
    named = list(ranges)
    begun = [(low, high, _order(banks, _holding(kept, low), leaves)) for low, high, banks in named]
    ended = []
    for each in kept:
        rest = [(each.min_amount, each.max_amount)]
        for low, high, _ in named:
            rest = [part for piece in rest for part in _without(piece, low, high)]
        if rest != [(each.min_amount, each.max_amount)]:
            ended.append(each.id)
            # Where one that begins higher decides, this one has nothing to leave behind.
            for other in kept:
                if other.min_amount > each.min_amount:
                    cuts = (other.min_amount, other.max_amount)
                    rest = [part for piece in rest for part in _without(piece, *cuts)]
            begun.extend((low, high, tuple(each.bank_profile_ids)) for low, high in rest)
    return ended, begun


def _holding(kept: Sequence[InForceRow], amount: int) -> Sequence[str]:
    holding = [
        each.bank_profile_ids
        for each in kept
        if each.min_amount <= amount <= _reach(each.max_amount)
    ]
    return holding[-1] if holding else (kept[0].bank_profile_ids if kept else ())


def _order(banks: Sequence[str], before: Sequence[str], leaves: str | None) -> tuple[str, ...]:
    order = [each for each in dict.fromkeys((*banks, *before)) if each != leaves]
    if leaves is not None:
        order = [*order[: BANKS_MAX - 1], leaves]
    return tuple(order[:BANKS_MAX])


def _without(
    piece: tuple[int, int | None], low: int, high: int | None
) -> list[tuple[int, int | None]]:
    """Return what of *piece* lies outside of *low* to *high*."""
    start, end = piece
    if _reach(high) < start or _reach(end) < low:
        return [piece]
    parts: list[tuple[int, int | None]] = []
    if start < low:
        parts.append((start, low - 1))
    if high is not None and high < _reach(end):
        parts.append((high + 1, end))
    return parts


def _reach(amount: int | None) -> int:
    return 2**63 if amount is None else amount
