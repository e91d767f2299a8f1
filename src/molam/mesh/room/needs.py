"""The chart of what an account needs: the last days, and the days to come with their quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from molam.mesh.liquidity.flow_store import FlowRow, ForecastRow
from molam.mesh.liquidity.flows import Day

WIDTH, HEIGHT = 1000, 200
PAST_DAYS = 28


@dataclass(frozen=True, slots=True)
class Box:
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Needs:
    """*bars* are days that were; *wide* reach to what is held for, *likely* to nine days in ten."""

    bars: list[Box]
    wide: list[Box]
    likely: list[Box]
    middle: str
    zero: int
    top: int
    bottom: int
    days: list[date]
    past: list[Day]
    ahead: list[ForecastRow]


def needs_of(flows: Sequence[FlowRow], forecasts: Sequence[ForecastRow]) -> Needs | None:
    """Draw an account's days; None when nothing is known of any."""
    past = [Day(row.day, row.net_outflow, row.peak_outflow) for row in flows[-PAST_DAYS:]]
    ahead = list(forecasts)
    values = [each.net_outflow for each in past]
    values += [value for row in ahead for value in (row.q50, row.q90, row.q975)]
    if not values:
        return None
    top, bottom = max(0, *values), min(0, *values)
    span = max(1, top - bottom)
    step = WIDTH // max(1, len(past) + len(ahead))

    def level(value: int) -> int:
        return round((top - value) * HEIGHT / span)

    def box(at: int, low: int, high: int) -> Box:
        upper, lower = level(max(low, high)), level(min(low, high))
        return Box(at * step + step // 8, upper, step * 3 // 4, max(1, lower - upper))

    first = len(past)
    middle = [f"{(first + at) * step + step // 2},{level(row.q50)}" for at, row in enumerate(ahead)]
    return Needs(
        bars=[box(at, 0, each.net_outflow) for at, each in enumerate(past)],
        wide=[box(first + at, row.q50, row.q975) for at, row in enumerate(ahead)],
        likely=[box(first + at, row.q50, row.q90) for at, row in enumerate(ahead)],
        middle=" ".join(middle),
        zero=level(0),
        top=top,
        bottom=bottom,
        days=[each.day for each in past] + [row.for_day for row in ahead],
        past=past,
        ahead=ahead,
    )
