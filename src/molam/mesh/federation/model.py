"""What regions say to each other, and what they carry for each other; without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal

DEPTH_MAX = 3

MessageKind = Literal["prediction", "proposal", "quote"]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Code = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z", max_length=3)]
Rail = Annotated[str, Meta(pattern=r"^(bank|wallet:[a-z0-9_]{2,32})\Z", max_length=40)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Minor = Annotated[int, Meta(ge=0, le=MINOR_MAX)]


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


class SettlementAbsent(Refusal):
    code = "corridor-settlement-absent"
    kind = Kind.ABSENT
    title = "There is no such settlement of the corridor"


class SettlementRefused(Refusal):
    code = "corridor-settlement-refused"
    kind = Kind.BROKEN_RULE
    title = "The corridor cannot be settled so"


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


class CorridorTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What both ends of a corridor agree to."""

    path: Annotated[list[Name], Meta(min_length=2, max_length=DEPTH_MAX + 1)]
    cover: Minor
    net_debit_cap: Minor


class ProposalContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What a region proposes to us; with a corridor, whether it agrees to it.

    *terms* let us know a corridor that was proposed there.
    """

    mesh_region_id: Name
    currency: Code
    rail: Rail = "bank"
    sequence: Annotated[list[Name], Meta(max_length=20)] = []
    corridor_id: Name | None = None
    terms: CorridorTerms | None = None
    agrees: bool = True
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


def is_sound(path: Sequence[str]) -> bool:
    """Tell whether a path may be gone along, whatever it was when it was agreed to."""
    try:
        check_path(path, path[0], path[-1])
    except CorridorRefused:
        return False
    return True


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


@dataclass(frozen=True, slots=True)
class Way:
    """The way from one region to another in one currency, as a payout would take it."""

    corridor_id: str
    to_region_id: str
    to_region: str
    is_active: bool
    is_sound: bool
    """Whether its path is no longer than one may be, and comes to no region twice."""
    free: int
    cost_bps: float

    @property
    def is_usable(self) -> bool:
        return self.is_active and self.is_sound and self.free > 0
