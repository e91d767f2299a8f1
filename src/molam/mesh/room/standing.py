"""How banks stand, in one word each, and what the first page says first about all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from molam.mesh.room.overview_store import RouteInForceRow, StandingRow

Level = Literal["left", "down", "outage", "doubtful", "short", "unknown", "well"]
"""In the order in which they need somebody."""

_ORDER: tuple[Level, ...] = ("left", "down", "outage", "doubtful", "short", "unknown", "well")
HUES: dict[Level, str] = {
    "left": "red",
    "down": "red",
    "outage": "orange",
    "doubtful": "orange",
    "short": "orange",
    "unknown": "gray",
    "well": "green",
}
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
    """Who gets the payouts that would have been its own."""

    @property
    def hue(self) -> str:
        return HUES[self.level]

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
    troubles: tuple[Standing, ...]

    @property
    def hue(self) -> str:
        if self.kind == "trouble":
            return self.troubles[0].hue
        return "green" if self.kind == "all-well" else "blue"


def standings(
    rows: Iterable[StandingRow], routes: Sequence[RouteInForceRow]
) -> tuple[Standing, ...]:
    """Put banks in order: who needs somebody first, then whoever has most waiting."""
    rows = list(rows)
    levels = {(row.bank_profile_id, row.rail, row.currency): level_of(row) for row in rows}
    names = {row.bank_profile_id: row.bank_name for row in rows}

    def seat(row: StandingRow) -> tuple[int | None, str | None]:
        for route in routes:
            if (route.rail, route.currency) != (row.rail, row.currency):
                continue
            if row.bank_profile_id not in route.bank_profile_ids:
                continue
            others = [
                bank
                for bank in route.bank_profile_ids
                if bank != row.bank_profile_id
                and levels.get((bank, row.rail, row.currency), "unknown") not in {"left", "down"}
            ]
            place = route.bank_profile_ids.index(row.bank_profile_id) + 1
            return place, names.get(others[0]) if others else None
        return None, None

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
    used = [each for each in all_ if each.row.is_usable and each.place is not None]
    watched = [each for each in used if each.row.signals]
    if not used:
        return Finding("no-bank", 0, ())
    troubles = tuple(each for each in watched if each.level not in {"well", "unknown"})
    if troubles:
        return Finding("trouble", len(watched), troubles)
    if not any(each.level == "well" for each in watched):
        return Finding("nothing-known", 0, ())
    return Finding("all-well", len(watched), ())


def level_of(row: StandingRow) -> Level:
    """Find the word for one bank."""
    if row.mode == "left" or not row.gate_is_open:
        return "left"
    p_down = row.p_down or 0.0
    if row.signals and p_down >= _DOWN:
        return "down"
    if row.outage_since is not None:
        return "outage"
    if row.signals and p_down >= _DOUBTFUL:
        return "doubtful"
    if row.short_of_funds_until is not None:
        return "short"
    return "unknown" if row.is_stale or row.p_down is None else "well"


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
