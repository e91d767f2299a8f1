"""How banks stand, in one word each, and what the first page says first about all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from molam.mesh.room.overview_store import RouteInForceRow, StandingRow

Level = Literal[
    "left", "down", "outage", "doubtful", "short", "returning", "partly", "unknown", "well"
]
"""
In the order in which they need somebody. *returning*: it was left and is well again, but gets
no payout yet. *partly*: some are led elsewhere, as by a shift that was halted; others go to it.
"""

_ORDER: tuple[Level, ...] = (
    "left", "down", "outage", "doubtful", "short", "returning", "partly", "unknown", "well",
)  # fmt: skip
HUES: dict[Level, str] = {
    "left": "red",
    "down": "red",
    "outage": "orange",
    "doubtful": "orange",
    "short": "orange",
    "returning": "orange",
    "partly": "orange",
    "unknown": "gray",
    "well": "green",
}
_AWAY: frozenset[Level] = frozenset({"left", "returning", "partly"})
_DOWN, _DOUBTFUL = 0.8, 0.2
_SPARK_WIDTH, _SPARK_HEIGHT = 100, 32

_LINE_POINTS_MIN = 2


@dataclass(frozen=True, slots=True)
class Standing:
    """A bank on one rail in one currency, and the word for it."""

    row: StandingRow
    level: Level
    place: int | None
    """Where the route in force has it: 1 is tried first; None: in no route."""
    instead: str | None
    """Who gets the payouts that would have been its own: of each amount, in that order."""

    @property
    def hue(self) -> str:
        return HUES[self.level]

    @property
    def fails(self) -> bool:
        return bool(self.row.signals) and (self.row.p_down or 0.0) >= _DOUBTFUL

    @property
    def change(self) -> Decimal | None:
        """By how many points the score moved within the last hour."""
        scores = self.row.trend
        return scores[-1] - scores[0] if len(scores) > 1 else None

    @property
    def spark(self) -> str:
        return spark(self.row.trend)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the page says first. *troubles* are banks that payouts would go to."""

    kind: Literal["all-well", "trouble", "nothing-known", "no-bank"]
    watched: int
    """Of how many something was heard lately."""
    troubles: tuple[Standing, ...]
    unheard: int = 0

    @property
    def hue(self) -> str:
        if self.kind == "trouble":
            # Silence alone is grey; money that waits on it is not.
            return "orange" if self.troubles[0].level == "unknown" else self.troubles[0].hue
        return "green" if self.kind == "all-well" else "blue"


def standings(
    rows: Iterable[StandingRow], routes: Sequence[RouteInForceRow]
) -> tuple[Standing, ...]:
    """Put banks in order: who needs somebody first, then whoever has most waiting."""
    rows = list(rows)
    levels = {(row.bank_profile_id, row.rail, row.currency): level_of(row) for row in rows}
    by_key = {(row.bank_profile_id, row.rail, row.currency): row for row in rows}

    def taker(row: StandingRow, route: RouteInForceRow) -> str | None:
        """Name who is handed what *row* is not: also one that fails, while another does not."""
        keys = [
            (bank, row.rail, row.currency)
            for bank in route.bank_profile_ids
            if bank != row.bank_profile_id
        ]
        able = [
            key
            for key in keys
            if key in by_key and by_key[key].is_usable and not by_key[key].takes_none
        ]
        if all(levels[key] == "down" for key in able):
            return None
        return by_key[able[0]].bank_name

    def seat(row: StandingRow) -> tuple[int | None, str | None]:
        lane = [each for each in routes if (each.rail, each.currency) == (row.rail, row.currency)]
        own = [each for each in lane if row.bank_profile_id in each.bank_profile_ids]
        named = dict.fromkeys(taker(row, each) for each in own or lane)
        takers = [each for each in named if each]
        # Where it still has its payouts, one is next; else each amount has its own.
        level = levels[row.bank_profile_id, row.rail, row.currency]
        is_away = level in _AWAY or not row.gate_is_open
        instead = ", ".join(takers if is_away else takers[:1]) or None
        place = own[0].bank_profile_ids.index(row.bank_profile_id) + 1 if own else None
        return place, instead

    found = []
    for row in rows:
        place, instead = seat(row)
        level = levels[row.bank_profile_id, row.rail, row.currency]
        found.append(Standing(row, level, place, instead))
    return tuple(
        sorted(
            found,
            key=lambda each: (
                _ORDER.index(each.level),
                -each.row.waiting_value,
                -each.row.signals,
                each.place or len(rows),
                each.row.bank_name,
            ),
        )
    )


def finding(all_: Sequence[Standing]) -> Finding:
    """Say what holds for all banks that payouts are given to."""
    # A route that leads away from a bank need not name it any more.
    used = [
        each
        for each in all_
        if each.row.is_usable
        and (each.place is not None or each.row.mode == "left" or each.row.waiting)
    ]
    if not used:
        return Finding("no-bank", 0, ())
    silent = [each for each in used if each.level == "unknown"]
    heard = [each for each in used if each.level != "unknown" and each.row.signals]
    troubles = [each for each in heard if each.level != "well"]
    if not heard:
        return Finding("nothing-known", 0, (), len(silent))
    troubles += [each for each in silent if each.row.waiting]
    kind: Literal["trouble", "all-well"] = "trouble" if troubles else "all-well"
    return Finding(kind, len(heard), tuple(troubles), len(silent))


def level_of(row: StandingRow) -> Level:
    """Find the word for one bank."""
    p_down = row.p_down or 0.0
    if row.takes_none:
        return "returning" if row.mode == "left" and _is_well(row) else "left"
    if row.signals and p_down >= _DOWN:
        return "down"
    if row.outage_since is not None:
        return "outage"
    if row.signals and p_down >= _DOUBTFUL:
        return "doubtful"
    if row.short_of_funds_until is not None:
        return "short"
    is_known = row.p_down is not None and not row.is_stale
    is_partly = row.mode == "left" or not row.gate_is_open
    return "partly" if is_partly else "well" if is_known else "unknown"


def _is_well(row: StandingRow) -> bool:
    is_heard = row.signals > 0 and row.p_down is not None and not row.is_stale
    return is_heard and (row.p_down or 0.0) < _DOUBTFUL and row.outage_since is None


def spark(scores: Sequence[Decimal]) -> str:
    """Draw scores as the points of a line; percent from the floor to the ceiling."""
    if len(scores) < _LINE_POINTS_MIN:
        return ""
    step = _SPARK_WIDTH / (len(scores) - 1)
    top, span = 2, _SPARK_HEIGHT - 4
    return " ".join(
        f"{at * step:.1f},{top + span * (1 - float(score) / 100):.1f}"
        for at, score in enumerate(scores)
    )
