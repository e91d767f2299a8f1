"""What other regions say, how far it is believed, and what they carry for us; without I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal

HALF_LIFE_S = 600.0
OBSERVERS_MIN = 3
DEPTH_MAX = 3
TRUST_UNKNOWN = 0.5
TRUST_MIN = 0.05
_JUDGED_FOR_HALF = 20
_ODDS_MAX = 12.0

MessageKind = Literal["prediction", "proposal", "quote"]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Code = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z", max_length=3)]
Rail = Annotated[str, Meta(pattern=r"^(bank|wallet:[a-z0-9_]{2,32})\Z", max_length=40)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Minor = Annotated[int, Meta(ge=0, le=MINOR_MAX)]


class PeerUnknown(Refusal):
    code = "peer-unknown"
    kind = Kind.FORBIDDEN
    title = "No such peer"


class MessageRefused(Refusal):
    code = "peer-message-refused"
    kind = Kind.BROKEN_RULE
    title = "The message cannot be taken"


class MessageUsed(Refusal):
    code = "peer-message-used"
    kind = Kind.CONFLICT
    title = "The message was taken before"


class TableAbsent(Refusal):
    code = "route-table-absent"
    kind = Kind.ABSENT
    title = "No routes were signed yet"


class CorridorAbsent(Refusal):
    code = "corridor-absent"
    kind = Kind.ABSENT
    title = "There is no such corridor"


class CorridorRefused(Refusal):
    code = "corridor-refused"
    kind = Kind.BROKEN_RULE
    title = "There can be no such corridor"


class PredictionContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a region expects of a bank within a window."""

    mesh_region_id: Name
    bank_profile_id: Name
    rail: Rail
    currency: Code
    p_down: Probability
    predicted_score: Annotated[float, Meta(ge=0, le=100)]
    window_minutes: Annotated[int, Meta(ge=1, le=1440)]


class QuoteContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a region would carry through itself, for how much."""

    mesh_region_id: Name
    to_region_id: Name
    currency: Code
    available: Minor
    cost_bps: Annotated[float, Meta(ge=0, le=10_000)]
    path: Annotated[list[Name], Meta(min_length=2, max_length=DEPTH_MAX + 1)]


class ProposalContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a region proposes to us; with a corridor, that it agrees to it."""

    mesh_region_id: Name
    currency: Code
    rail: Rail = "bank"
    sequence: Annotated[list[Name], Meta(max_length=20)] = []
    corridor_id: Name | None = None
    reason: Annotated[str, Meta(max_length=500)] = ""


Content = PredictionContent | QuoteContent | ProposalContent

_SHAPES: Mapping[MessageKind, type[Content]] = {
    "prediction": PredictionContent,
    "quote": QuoteContent,
    "proposal": ProposalContent,
}


def read_content(kind: MessageKind, content: Mapping[str, object], region_id: str) -> Content:
    """
    Read what a message says, strictly.

    Raises:
        MessageRefused: of another shape, of another region, or a path that loops.
    """
    try:
        found = msgspec.convert(content, _SHAPES[kind])
    except msgspec.ValidationError as error:
        raise MessageRefused(f"{str(error)[:200]}.") from None
    if found.mesh_region_id != region_id:
        raise MessageRefused("A region speaks for itself alone.")
    if isinstance(found, QuoteContent):
        check_path(found.path, found.path[0], found.to_region_id)
    return found


@dataclass(frozen=True, slots=True)
class Observation:
    """What one region thinks of a bank, how old that is, and how far the region is trusted."""

    observer: str
    p_down: float
    age_s: float
    trust: float = 1.0

    @property
    def weight(self) -> float:
        return weight(self.age_s, self.trust)


def weight(age_s: float, trust: float) -> float:
    """Weigh a foreign prediction: it loses half of its weight every ten minutes."""
    return 2 ** (-max(0.0, age_s) / HALF_LIFE_S) * trust


def opinion(observations: Iterable[Observation]) -> float | None:
    """
    Return the weighted median of the log-odds, as a probability.

    None below three observers. Of each observer the newest counts, so that nobody is heard
    twice; of n observers of one weight, (n - 1) / 2 may lie without moving it beyond what
    an honest one says.
    """
    newest: dict[str, Observation] = {}
    for each in observations:
        known = newest.get(each.observer)
        if known is None or each.age_s < known.age_s:
            newest[each.observer] = each
    heard = [each for each in newest.values() if each.weight > 0]
    if len(heard) < OBSERVERS_MIN:
        return None
    pairs = [(log_odds(each.p_down), each.weight) for each in heard]
    return 1 / (1 + math.exp(-weighted_median(pairs)))


def weighted_median(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the value at which half of the weight is reached; between two, their mean."""
    ordered = sorted(pairs)
    half = sum(share for _, share in ordered) / 2
    reached = 0.0
    for at, (value, share) in enumerate(ordered):
        reached += share
        if math.isclose(reached, half) and at + 1 < len(ordered):
            return (value + ordered[at + 1][0]) / 2
        if reached > half:
            return value
    return ordered[-1][0]


def log_odds(probability: float) -> float:
    """Return log-odds, bounded: nobody is surer than one in a hundred and sixty thousand."""
    inside = min(max(probability, 1e-9), 1 - 1e-9)
    return max(-_ODDS_MAX, min(_ODDS_MAX, math.log(inside / (1 - inside))))


def trust(squared_error: float, squared_error_climatology: float, judged: int) -> float:
    """
    Trust a region by its Brier skill over always saying what is usual.

    One that was never judged is trusted by half, and one that is worse than saying what is
    usual hardly at all.
    """
    if judged <= 0 or squared_error_climatology <= 0:
        return TRUST_UNKNOWN
    skill = 1 - squared_error / squared_error_climatology
    found = max(TRUST_MIN, min(1.0, (1 + skill) / 2))
    share = judged / (judged + _JUDGED_FOR_HALF)
    return share * found + (1 - share) * TRUST_UNKNOWN


def check_path(path: Sequence[str], first: str, last: str) -> None:
    """
    Refuse a way between regions that loops or is too long.

    Raises:
        CorridorRefused: says which of the two.
    """
    if len(path) <= 1 or path[0] != first or path[-1] != last:
        raise CorridorRefused("A path begins at the first region and ends at the last.")
    if len(set(path)) != len(path):
        raise CorridorRefused("The path comes to a region twice.")
    if len(path) - 1 > DEPTH_MAX:
        raise CorridorRefused(f"At most {DEPTH_MAX} steps lead from region to region.")


def extended(path: Sequence[str], region: str) -> list[str]:
    """
    Let a path go on to one more region.

    Raises:
        CorridorRefused: it was there already, or the path is as long as one may be.
    """
    longer = [*path, region]
    check_path(longer, longer[0], region)
    return longer


@dataclass(frozen=True, slots=True)
class Room:
    """What a corridor can still take: cover and net debit cap, less what is used and reserved."""

    cover: int
    net_debit_cap: int
    position: int = 0
    reserved: int = 0

    @property
    def free(self) -> int:
        return min(self.cover, self.net_debit_cap) - self.position - self.reserved


def reserve(room: Room, amounts: Iterable[int]) -> tuple[Room, list[bool]]:
    """
    Reserve each amount that fits, in order; return the room left and which were taken.

    Each one that is taken leaves less for those after it: a batch reserves no more than
    one by one would.
    """
    taken = []
    for amount in amounts:
        fits = 0 < amount <= room.free
        taken.append(fits)
        if fits:
            room = Room(room.cover, room.net_debit_cap, room.position, room.reserved + amount)
    return room, taken
