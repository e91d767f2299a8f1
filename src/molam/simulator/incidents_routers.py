"""Ways to choose a bank for each payout: ours, and the public ones it is compared with."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Protocol

from molam.sira import health_filter
from molam.sira.health_filter import Belief

MINUTE_S = 60.0


class Router(Protocol):
    """
    Chooses by what it has learned so far; times are minutes of the trace.

    `route` is where payouts go but for those that only explore.
    """

    uses_probes: bool

    def tick(self, minute: float) -> None: ...

    def route(self) -> int: ...

    def choose(self, draw: Random) -> int: ...

    def learn(self, bank: int, failure: float, at: float) -> None: ...

    def forecasts(self, at: float) -> Sequence[float] | None:
        """Return the share expected to fail of each bank, from those who say one."""


class Fixed:
    """Never leaves its bank."""

    uses_probes = False

    def __init__(self, bank: int) -> None:
        self._bank = bank

    def tick(self, minute: float) -> None:
        del minute

    def route(self) -> int:
        return self._bank

    def choose(self, draw: Random) -> int:
        del draw
        return self._bank

    def learn(self, bank: int, failure: float, at: float) -> None:
        del bank, failure, at

    def forecasts(self, at: float) -> Sequence[float] | None:
        del at
        return None


class Clairvoyant(Fixed):
    """Knows what truly fails, or did *late* minutes ago."""

    def __init__(self, rates: Sequence[Sequence[float]], late: int = 0) -> None:
        super().__init__(0)
        self._rates = rates
        self._late = late

    def tick(self, minute: float) -> None:
        known = max(0, int(minute) - self._late)
        self._bank = min(range(len(self._rates)), key=lambda bank: self._rates[bank][known])


class SuccessRate:
    """
    Success-rate routing as Juspay's decision-engine does it by default (SRv3).

    The share of successes among a bank's last *window* outcomes, of which there were only
    good ones in the beginning; the best wins; *hedging* of the payouts try another, so that
    it can be seen to be well again; one that has fallen behind by three standard deviations
    is set to just there, so that few successes bring it back.
    """

    DEVIATIONS = 3.0
    VARIANCE_MIN = 0.09

    def __init__(
        self, banks: int, *, window: int = 125, hedging: float = 0.05, uses_probes: bool = False
    ) -> None:
        self.uses_probes = uses_probes
        self._hedging = hedging
        self._size = window
        self._windows = [deque([1.0] * window, maxlen=window) for _ in range(banks)]
        self._sums = [float(window)] * banks
        self._best = 0

    def tick(self, minute: float) -> None:
        del minute

    def route(self) -> int:
        return self._best

    def choose(self, draw: Random) -> int:
        if draw.random() < self._hedging and len(self._sums) > 1:
            other = draw.randrange(len(self._sums) - 1)
            return other + (other >= self._best)
        return self._best

    def learn(self, bank: int, failure: float, at: float) -> None:
        del at
        window = self._windows[bank]
        self._sums[bank] += (1.0 - failure) - window[0]
        window.append(1.0 - failure)
        # The one in use stays until another is strictly better.
        best = max(self._sums)
        if self._sums[self._best] < best:
            self._best = self._sums.index(best)
        self._lift(best / self._size)

    def forecasts(self, at: float) -> Sequence[float] | None:
        del at
        return [1.0 - each / self._size for each in self._sums]

    def _lift(self, best: float) -> None:
        deviation = math.sqrt(max(best * (1 - best), self.VARIANCE_MIN) / self._size)
        floor = best - self.DEVIATIONS * deviation
        for bank, each in enumerate(self._sums):
            if each / self._size < floor:
                good = math.ceil(floor * self._size)
                self._windows[bank] = deque(
                    [0.0] * (self._size - good) + [1.0] * good, maxlen=self._size
                )
                self._sums[bank] = float(good)


class Breaker:
    """
    A circuit breaker on each bank with Resilience4j's constants, in the operator's order.

    Opens at 50 % of the last 100 calls, of which there must have been 100; after a minute it
    lets ten calls through and closes unless half of them fail.
    """

    CALLS = 100
    SHARE = 0.5
    OPEN_MIN = 1.0
    HALF_OPEN_CALLS = 10
    uses_probes = False

    def __init__(self, preferred: Sequence[int]) -> None:
        self._preferred = tuple(preferred)
        self._calls: list[deque[float]] = [deque(maxlen=self.CALLS) for _ in preferred]
        self._opened: dict[int, float] = {}
        self._trials: dict[int, list[float]] = {}
        self._now = 0.0

    def tick(self, minute: float) -> None:
        self._now = minute
        for bank, opened in list(self._opened.items()):
            if minute - opened >= self.OPEN_MIN:
                del self._opened[bank]
                self._trials[bank] = []

    def route(self) -> int:
        return next((b for b in self._preferred if b not in self._opened), self._preferred[0])

    def choose(self, draw: Random) -> int:
        del draw
        return self.route()

    def learn(self, bank: int, failure: float, at: float) -> None:
        if bank in self._trials:
            self._trials[bank].append(failure)
            if len(self._trials[bank]) >= self.HALF_OPEN_CALLS:
                tried = self._trials.pop(bank)
                self._calls[bank].clear()
                if sum(tried) / len(tried) >= self.SHARE:
                    self._opened[bank] = at
            return
        calls = self._calls[bank]
        calls.append(failure)
        is_full = len(calls) == self.CALLS
        if bank not in self._opened and is_full and sum(calls) / self.CALLS >= self.SHARE:
            self._opened[bank] = at

    def forecasts(self, at: float) -> Sequence[float] | None:
        del at
        return None


class Filtered:
    """The filter of each bank, and always the bank that it expects least to fail."""

    uses_probes = True

    def __init__(self, banks: int) -> None:
        self.beliefs: list[Belief] = [health_filter.fresh() for _ in range(banks)]
        self._best = 0

    def tick(self, minute: float) -> None:
        expected = self.forecasts(minute)
        best = min(expected)
        if expected[self._best] > best:
            self._best = expected.index(best)

    def route(self) -> int:
        return self._best

    def choose(self, draw: Random) -> int:
        del draw
        return self._best

    def learn(self, bank: int, failure: float, at: float) -> None:
        self.beliefs[bank] = health_filter.observe(self.beliefs[bank], failure, at * MINUTE_S)

    def forecasts(self, at: float) -> list[float]:
        self.beliefs = [health_filter.advance(each, at * MINUTE_S) for each in self.beliefs]
        return [health_filter.expected_failure(each, MINUTE_S) for each in self.beliefs]
