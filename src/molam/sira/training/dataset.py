"""From banks' minutes to rows: what was known at a moment, and what came of it after."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from molam.sira import health_filter
from molam.sira.features import MINUTE_S, History, Minute, Surroundings
from molam.sira.health_filter import Belief

EVERY_MIN = 5
WARM_UP_MIN = 1440
WINDOWS_MIN = (15, 60)
DEGRADED_BY = 0.05
TRIES_MIN = 5
"""An outcome of fewer tries is a rumour."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """One bank's minutes, in order; *maintenance* are announced spans in Unix seconds."""

    bank: str
    minutes: Sequence[Minute]
    country: str = "SN"
    neighbours: frozenset[str] = frozenset()
    maintenance: Sequence[tuple[float, float]] = ()


@dataclass(slots=True)
class Window:
    """For each row: what the next minutes brought, and what the filter had said."""

    tries: list[float] = field(default_factory=list)
    bad: list[float] = field(default_factory=list)
    by_filter: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Rows:
    """One row for each bank and fifth minute, oldest first."""

    at: list[float] = field(default_factory=list)
    vectors: list[tuple[float, ...]] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)
    windows: dict[int, Window] = field(
        default_factory=lambda: {width: Window() for width in WINDOWS_MIN}
    )

    def __len__(self) -> int:
        return len(self.at)


class _Bank:
    """One bank on its way through time."""

    def __init__(self, stretch: Stretch, first: float) -> None:
        self.stretch = stretch
        self.history = History()
        self.belief: Belief = health_filter.fresh()
        self.by_minute = {round((m.at - first) / MINUTE_S): m for m in stretch.minutes}
        count = max(self.by_minute, default=-1) + 1
        self.tries, self.bad = [0.0], [0.0]
        for place in range(count):
            tries, bad = _counts(self.by_minute.get(place))
            self.tries.append(self.tries[-1] + tries)
            self.bad.append(self.bad[-1] + bad)

    def step(self, place: int, at: float) -> None:
        minute = self.by_minute.get(place) or Minute(at=at)
        tries, bad = _counts(minute)
        if tries:
            self.belief = health_filter.observe_many(
                self.belief, failures=bad, oks=tries - bad, at=at + MINUTE_S
            )
        else:
            self.belief = health_filter.advance(self.belief, at + MINUTE_S)
        down = health_filter.p_down(self.belief)
        self.history.push(_with_p_down(minute, down))

    def ahead(self, place: int, width: int) -> tuple[float, float] | None:
        """Return tries and failures of the next *width* minutes, once they are over."""
        end = place + 1 + width
        if end >= len(self.tries):
            return None
        return self.tries[end] - self.tries[place + 1], self.bad[end] - self.bad[place + 1]


def rows_of(
    stretches: Sequence[Stretch], *, told: Callable[[float], None] = lambda _share: None
) -> Rows:
    """
    Walk all banks through their minutes together; *told* hears the share done.

    The filter is run again over the same minutes, so that both predict from the same.
    """
    filled = [each for each in stretches if each.minutes]
    found = Rows()
    if not filled:
        return found
    first = min(each.minutes[0].at for each in filled)
    last = max(each.minutes[-1].at for each in filled)
    banks = [_Bank(each, first) for each in filled]
    count = round((last - first) / MINUTE_S) + 1
    for place in range(count):
        at = first + place * MINUTE_S
        for bank in banks:
            bank.step(place, at)
        if place >= WARM_UP_MIN and place % EVERY_MIN == 0:
            for bank in banks:
                _add(found, bank, banks, (place, at))
        if place % 1440 == 0:
            told(place / count)
    return found


def _add(rows: Rows, bank: _Bank, banks: Sequence[_Bank], when: tuple[int, float]) -> None:
    place, at = when
    ends = [bank.ahead(place, width) for width in WINDOWS_MIN]
    if any(each is None for each in ends):
        return
    downs = [
        health_filter.p_down(other.belief)
        for other in banks
        if other.stretch.bank in bank.stretch.neighbours
    ]
    spans = bank.stretch.maintenance
    expected = {
        width: health_filter.expected_failure(bank.belief, width * MINUTE_S)
        for width in WINDOWS_MIN
    }
    around = Surroundings(
        country=bank.stretch.country,
        maintenance_now=any(begins <= at < ends_ for begins, ends_ in spans),
        maintenance_soon=any(at < begins <= at + 60 * MINUTE_S for begins, _ in spans),
        neighbours_p_down=max(downs, default=0.0),
        expected_failure=expected[60],
    )
    rows.at.append(at)
    rows.vectors.append(bank.history.vector(around))
    rows.usual.append(bank.history.usual)
    for width, end in zip(WINDOWS_MIN, ends, strict=True):
        tries, bad = end or (math.nan, math.nan)
        rows.windows[width].tries.append(tries)
        rows.windows[width].bad.append(bad)
        rows.windows[width].by_filter.append(expected[width])


def _counts(minute: Minute | None) -> tuple[float, float]:
    if minute is None:
        return 0.0, 0.0
    tries = float(minute.attempts + minute.probes)
    bad = minute.failures + minute.probe_failures + minute.sla_misses / 2
    return tries, min(tries, bad)


def _with_p_down(minute: Minute, down: float) -> Minute:
    return Minute(
        at=minute.at,
        attempts=minute.attempts,
        failures=minute.failures,
        sla_misses=minute.sla_misses,
        timeouts=minute.timeouts,
        probes=minute.probes,
        probe_failures=minute.probe_failures,
        latency_sum_ms=minute.latency_sum_ms,
        latency_max_ms=minute.latency_max_ms,
        latencies=minute.latencies,
        p_down=down,
    )
