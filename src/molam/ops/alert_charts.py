"""The geometry of what was measured: a line, its threshold, and the band where nothing moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.alerts.episodes.list_store import PointRow
from molam.alerts.episodes.model import AlertRow

WIDTH, HEIGHT = 1000, 200
_ROOM = 0.08
"""Free space above and below, as a share of the height."""


@dataclass(frozen=True, slots=True)
class Band:
    """Between firing and clearing: nothing opens here, and nothing ends."""

    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    line: str
    fire_y: float
    critical_y: float | None
    band: Band
    fired_x: float
    highest: float
    lowest: float
    first_at: datetime
    last_at: datetime
    rows: Sequence[PointRow]


def chart_of(alert: AlertRow, points: Sequence[PointRow]) -> Chart | None:
    """Draw what was measured; None if there is nothing to draw."""
    if not points:
        return None
    facts = alert.facts
    levels = [_level(facts, name) for name in ("fire_at", "clear_at", "critical_at")]
    known = [each for each in levels if each is not None]
    values = [float(each.value) for each in points] + known
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    low, high = low - spread * _ROOM, high + spread * _ROOM
    first, last = points[0].minute, points[-1].minute
    seconds = (last - first).total_seconds() or 1.0

    def x(at: datetime) -> float:
        return round(min(max((at - first).total_seconds() / seconds, 0.0), 1.0) * WIDTH, 1)

    def y(value: float) -> float:
        return round((high - value) / (high - low) * HEIGHT, 1)

    fire, clear = levels[0] or 0.0, levels[1]
    edges = sorted((y(fire), y(fire if clear is None else clear)))
    return Chart(
        line=" ".join(_steps(points, x, y)),
        fire_y=y(fire),
        critical_y=None if levels[2] is None else y(levels[2]),
        band=Band(edges[0], round(edges[1] - edges[0], 1)),
        fired_x=x(alert.fired_at),
        highest=max(values),
        lowest=min(values),
        first_at=first,
        last_at=last,
        rows=points,
    )


def _steps(
    points: Sequence[PointRow], x: Callable[[datetime], float], y: Callable[[float], float]
) -> list[str]:
    """A value holds until the next one: the line goes in steps."""
    found: list[str] = []
    before: float | None = None
    for point in points:
        at, value = x(point.minute), y(float(point.value))
        if before is not None and before != value:
            found.append(f"{at},{before}")
        found.append(f"{at},{value}")
        before = value
    if len(found) == 1:
        found.append(f"{WIDTH},{before}")
    return found


def _level(facts: dict[str, Any], name: str) -> float | None:
    level = facts.get(name)
    return float(level) if isinstance(level, int | float) else None
