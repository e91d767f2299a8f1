"""The drawing of where payouts go: lanes on the left, banks on the right, lines between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from molam.mesh.room.overview_store import RouteInForceRow
from molam.mesh.room.standing import Standing

WIDTH = 760
_BOX, _ROW, _TOP = 46, 58, 6
_LANE_EDGE, _BANK_EDGE = 218, 500
_LANES_MAX, _BANKS_MAX = 8, 12
_THIN, _THICK = 2.0, 9.0


@dataclass(frozen=True, slots=True)
class Lane:
    """A currency on a rail, in a range of amounts: what one route in force is about."""

    currency: str
    rail: str
    min_amount: int
    waiting: int
    y: int


@dataclass(frozen=True, slots=True)
class Bank:
    standing: Standing
    y: int


@dataclass(frozen=True, slots=True)
class Line:
    kind: Literal["goes", "next", "cut"]
    path: str
    width: str


@dataclass(frozen=True, slots=True)
class Flow:
    lanes: tuple[Lane, ...]
    banks: tuple[Bank, ...]
    lines: tuple[Line, ...]

    @property
    def height(self) -> int:
        return _TOP + _ROW * max(len(self.lanes), len(self.banks), 1)


def flow_of(standings: Sequence[Standing], routes: Sequence[RouteInForceRow]) -> Flow | None:
    """
    Draw the routes that have something to tell: a choice, something waiting, or trouble.

    None: there are none.
    """
    by_key = {(e.row.bank_profile_id, e.row.rail, e.row.currency): e for e in standings}

    def banks_of(route: RouteInForceRow) -> list[Standing]:
        keys = ((bank, route.rail, route.currency) for bank in route.bank_profile_ids)
        return [by_key[key] for key in keys if key in by_key]

    told = [
        (route, banks)
        for route in routes
        if (banks := banks_of(route))
        and (
            len(banks) > 1
            or any(e.row.waiting or e.level not in {"well", "unknown"} for e in banks)
        )
    ][:_LANES_MAX]
    if not told:
        return None
    order = list(dict.fromkeys(e.row.bank_profile_id for _, banks in told for e in banks))
    places = {bank: _TOP + at * _ROW for at, bank in enumerate(order[:_BANKS_MAX])}
    shown: dict[str, Standing] = {}
    for _, banks in told:
        for each in banks:
            shown.setdefault(each.row.bank_profile_id, each)
    drop = max(0, len(places) - len(told)) * _ROW // 2
    lanes, lines = [], []
    for at, (route, banks) in enumerate(told):
        y = _TOP + drop + at * _ROW
        # Routes of one lane share what waits there; it is said at the first of them.
        first = all(
            (before.currency, before.rail) != (route.currency, route.rail)
            for before, _ in told[:at]
        )
        waiting = sum(e.row.waiting for e in banks) if first else 0
        lanes.append(Lane(route.currency, route.rail, route.min_amount, waiting, y))
        lines += _lines(y, banks, places)
    boxes = tuple(Bank(shown[bank], y) for bank, y in places.items())
    return Flow(tuple(lanes), boxes, tuple(lines))


def _lines(y: int, banks: Sequence[Standing], places: dict[str, int]) -> list[Line]:
    total = sum(e.row.waiting_value for e in banks) or 1
    taken = False
    found = []
    for each in banks:
        if each.row.bank_profile_id not in places:
            continue
        start, end = y + _BOX / 2, places[each.row.bank_profile_id] + _BOX / 2
        middle = (_LANE_EDGE + _BANK_EDGE) / 2
        path = (
            f"M{_LANE_EDGE} {start:g}C{middle:g} {start:g} {middle:g} {end:g} {_BANK_EDGE} {end:g}"
        )
        kind: Literal["goes", "next", "cut"] = "next"
        if each.level in {"left", "down", "returning"} or not each.row.is_usable:
            kind = "cut"
        elif not taken:
            kind, taken = "goes", True
        width = _THIN
        if kind == "goes":
            width = _THIN + 1 + (_THICK - _THIN - 1) * each.row.waiting_value / total
        found.append(Line(kind, path, f"{width:.1f}"))
    return found
