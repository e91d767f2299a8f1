"""The dashboard's drawings: lines, bars, gauges, a map and a heat map, as places on a canvas."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

WIDTH, HEIGHT = 100.0, 40.0
_ROOM = 1.08
"""A line's highest point stays this much below the edge."""
_BAR_GAP = 0.25
_ARC_RADIUS, _ARC_X, _ARC_Y = 80.0, 100.0, 92.0
MAP_WIDTH, MAP_HEIGHT = 640.0, 360.0
_MAP_MARGIN = 34.0
_DEGREES_MIN = 0.4
_DOT_MIN, _DOT_MAX = 8.0, 17.0
_LABELS_MAX = 8
_LABEL_GAP, _LABEL_WIDTH, _LABEL_HEIGHT = 18.0, 125.0, 26.0
"""A name begins so far from its dot's middle, and needs so much room, on a telephone too."""
_HEAT_LEVELS = 4

Value = float | None


@dataclass(frozen=True, slots=True)
class Bar:
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Arc:
    path: str
    colour: str


@dataclass(frozen=True, slots=True)
class Gauge:
    """A half circle: its zones, and where the needle points."""

    zones: tuple[Arc, ...]
    needle_x: str
    needle_y: str
    colour: str


class Placed(Protocol):
    """What the map needs to know of an agent."""

    @property
    def latitude(self) -> float | None: ...
    @property
    def longitude(self) -> float | None: ...
    @property
    def float_available(self) -> int: ...
    @property
    def floor(self) -> int | None: ...


P = TypeVar("P", bound=Placed)


@dataclass(frozen=True, slots=True)
class Dot(Generic[P]):
    agent: P
    x: str
    y: str
    radius: str
    level: str
    labelled: bool
    """There is room for its name, and it is among the worst."""
    is_right: bool
    """Its name stands to the left of it, or it would leave the map."""


@dataclass(frozen=True, slots=True)
class Cell:
    weekday: int
    hour: int
    value: Value
    level: int


def segments(values: Sequence[Value], *, width: float = WIDTH, height: float = HEIGHT) -> list[str]:
    """
    Draw *values* as lines from left to right; a value that is not known breaks the line.

    One point alone is drawn as a short dash, or it would not be seen.
    """
    low, high = _range(values)
    step = width / max(1, len(values) - 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            runs.append([])
            continue
        runs[-1].append((at * step, height - (value - low) / (high - low) * height))
    lines = []
    for run in runs:
        points = run if len(run) != 1 else [run[0], (run[0][0] + step / 2, run[0][1])]
        if points:
            lines.append(" ".join(f"{x:.2f},{y:.2f}" for x, y in points))
    return lines


def bars(values: Sequence[Value], *, width: float = WIDTH, height: float = HEIGHT) -> list[Bar]:
    """Draw one bar a value, from zero; nothing known is no bar."""
    low, high = _range(values)
    step = width / max(1, len(values))
    zero = height - (0 - low) / (high - low) * height
    drawn = []
    for at, value in enumerate(values):
        if value is None:
            continue
        top = height - (value - low) / (high - low) * height
        upper, tall = min(top, zero), abs(zero - top)
        drawn.append(
            Bar(
                f"{at * step + step * _BAR_GAP / 2:.2f}",
                f"{upper:.2f}",
                f"{step * (1 - _BAR_GAP):.2f}",
                f"{tall:.2f}",
            )
        )
    return drawn


def _range(values: Sequence[Value]) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    low = min([0.0, *known])
    high = max([0.0, *known]) * _ROOM
    return low, high if high > low else low + 1.0


def gauge(
    value: Value, *, low: float, high: float, thresholds: Sequence[tuple[float, str]]
) -> Gauge:
    """
    Draw a half circle whose zones end at *thresholds*, the rest of it green.

    What lies below a threshold has its colour; the lowest that fits decides.
    """
    whole = (high - low) or 1.0
    zones, start = [], 0.0
    for limit, colour in [*sorted(thresholds), (high, "green")]:
        end = min(1.0, max(0.0, (limit - low) / whole))
        if end > start:
            zones.append(Arc(_arc(start, end), colour))
            start = end
    share = 0.0 if value is None else min(1.0, max(0.0, (value - low) / whole))
    x, y = _on_arc(share, _ARC_RADIUS - 22)
    return Gauge(tuple(zones), f"{x:.1f}", f"{y:.1f}", colour_of(value, thresholds))


def colour_of(value: Value, thresholds: Sequence[tuple[float, str]]) -> str:
    """Name the colour of the zone that *value* lies in; nothing known is grey."""
    if value is None:
        return "grey"
    return next((colour for limit, colour in sorted(thresholds) if value < limit), "green")


def _arc(start: float, end: float) -> str:
    (x0, y0), (x1, y1) = _on_arc(start, _ARC_RADIUS), _on_arc(end, _ARC_RADIUS)
    return f"M{x0:.1f} {y0:.1f}A{_ARC_RADIUS:g} {_ARC_RADIUS:g} 0 0 1 {x1:.1f} {y1:.1f}"


def _on_arc(share: float, radius: float) -> tuple[float, float]:
    angle = math.pi * (1 - share)
    return _ARC_X + radius * math.cos(angle), _ARC_Y - radius * math.sin(angle)


def scatter(agents: Sequence[P]) -> list[Dot[P]]:
    """
    Place agents by where they are, the shape of the land kept; who has no place is left out.

    A dot is the larger the less of its floor an agent holds, so that trouble is seen first;
    only the worst few are named.
    """
    known = [
        (each, float(each.latitude), float(each.longitude))
        for each in agents
        if each.latitude is not None and each.longitude is not None
    ]
    if not known:
        return []
    lats, lons = [lat for _, lat, _ in known], [lon for *_, lon in known]
    middle_lat, middle_lon = (min(lats) + max(lats)) / 2, (min(lons) + max(lons)) / 2
    # A degree of longitude is shorter away from the equator.
    shrink = max(0.1, math.cos(math.radians(middle_lat)))
    tall = max(_DEGREES_MIN, max(lats) - min(lats))
    wide = max(_DEGREES_MIN, (max(lons) - min(lons)) * shrink)
    scale = min((MAP_WIDTH - 2 * _MAP_MARGIN) / wide, (MAP_HEIGHT - 2 * _MAP_MARGIN) / tall)
    dots, named = [], list[tuple[float, float]]()  # The middles of the names.
    for agent, lat, lon in sorted(known, key=lambda each: _held(each[0])):
        x = MAP_WIDTH / 2 + (lon - middle_lon) * shrink * scale
        y = MAP_HEIGHT / 2 - (lat - middle_lat) * scale
        is_right = x > MAP_WIDTH - _LABEL_GAP - _LABEL_WIDTH
        away = _LABEL_GAP + _LABEL_WIDTH / 2
        middle = x - away if is_right else x + away
        is_free = all(
            abs(middle - a) >= _LABEL_WIDTH or abs(y - b) >= _LABEL_HEIGHT for a, b in named
        )
        if is_labelled := is_free and len(named) < _LABELS_MAX:
            named.append((middle, y))
        dots.append(
            Dot(
                agent,
                f"{x:.1f}",
                f"{y:.1f}",
                f"{_radius(agent):.1f}",
                level_of(agent),
                is_labelled,
                is_right,
            )
        )
    # The worst last, so that nothing lies over them.
    return dots[::-1]


def level_of(agent: Placed) -> str:
    """Tell how an agent's float stands against its floor: ``low``, ``near``, ``well``."""
    held = _held(agent)
    return "low" if held < 1 else "near" if held < 2 else "well"  # noqa: PLR2004 - twice the floor.


def _held(agent: Placed) -> float:
    """How many times its floor an agent holds; without a floor, enough."""
    return agent.float_available / agent.floor if agent.floor else math.inf


def _radius(agent: Placed) -> float:
    held = min(4.0, _held(agent))
    return _DOT_MAX - (_DOT_MAX - _DOT_MIN) * held / 4


def heat(cells: Mapping[tuple[int, int], Value]) -> list[list[Cell]]:
    """Lay a week out as seven rows of hours, each shaded by its share of the greatest."""
    greatest = max((value for value in cells.values() if value), default=0.0)

    def level(value: Value) -> int:
        if not value or greatest <= 0:
            return 0
        return max(1, math.ceil(value / greatest * _HEAT_LEVELS))

    return [
        [
            Cell(weekday, hour, cells.get((weekday, hour)), level(cells.get((weekday, hour))))
            for hour in range(24)
        ]
        for weekday in range(1, 8)
    ]
