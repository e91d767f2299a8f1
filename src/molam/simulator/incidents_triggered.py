"""The filter behind a plain trigger: what leaving and returning alone would do, without caps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from molam.mesh.control import hysteresis
from molam.mesh.control.hysteresis import Limits, Place
from molam.simulator.incidents_routers import MINUTE_S, Filtered
from molam.sira import health_filter

COOLDOWN_MIN = 15.0
PANIC_SHARE = 0.5
REORDER_MIN, REORDER_GAP, REORDER_Z = 60.0, 0.003, 1.645
"""At most hourly, for three tenths of a point, known with a probability of 0.95."""


class Triggered(Filtered):
    """
    Leaves and returns by the controller's own thresholds, holds and penalties, all at once.

    It begins with the operator's order. A bank that it leaves, it leaves for the one that is
    expected to fail least; a bank that is well again may serve, and is gone back to only if
    it is the first choice.
    """

    def __init__(self, preferred: Sequence[int]) -> None:
        super().__init__(len(preferred))
        self._limits = Limits()
        self._home = self._best = preferred[0]
        self._places = [Place() for _ in preferred]
        self._good = [0] * len(preferred)
        self._moved = self._reordered = -math.inf

    def tick(self, minute: float) -> None:
        expected = self.forecasts(minute)
        downs = [health_filter.p_down(each) for each in self.beliefs]
        self._places = [
            hysteresis.watched(place, down, minute * MINUTE_S, self._limits)
            for place, down in zip(self._places, downs, strict=True)
        ]
        if sum(down >= self._limits.leave_at for down in downs) > PANIC_SHARE * len(downs):
            # It is not the banks; nothing is gained by moving.
            return
        is_cool = minute - self._moved >= COOLDOWN_MIN
        if hysteresis.wants_to_leave(self._places[self._best], downs[self._best], self._limits):
            if is_cool or downs[self._best] >= self._limits.direct_at:
                self._leave(minute, expected, downs)
        elif is_cool:
            self._come_back(minute, downs)
            self._reorder(minute, downs)

    def learn(self, bank: int, failure: float, at: float) -> None:
        super().learn(bank, failure, at)
        self._good[bank] = self._good[bank] + 1 if failure == 0.0 else 0
        if bank == self._best and failure:
            down = health_filter.p_down(self.beliefs[bank])
            if hysteresis.wants_to_leave(self._places[bank], down, self._limits):
                self.tick(at)

    def _leave(self, minute: float, expected: Sequence[float], downs: Sequence[float]) -> None:
        others = [
            bank
            for bank, place in enumerate(self._places)
            if bank != self._best
            and place.mode == "serving"
            and downs[bank] < self._limits.leave_at
        ]
        if others:
            self._places[self._best] = hysteresis.left(
                self._places[self._best], minute * MINUTE_S, self._limits
            )
            self._good[self._best] = 0
            self._go(min(others, key=expected.__getitem__), minute)

    def _come_back(self, minute: float, downs: Sequence[float]) -> None:
        at = minute * MINUTE_S
        for bank, place in enumerate(self._places):
            if hysteresis.may_return(
                place, downs[bank], at, self._limits, probes_ok=self._good[bank]
            ):
                self._places[bank] = hysteresis.returned(place)
        if self._best != self._home and self._is_fit(self._home, downs):
            self._go(self._home, minute)

    def _reorder(self, minute: float, downs: Sequence[float]) -> None:
        """Prefer another bank where its usual share of failures is lower beyond doubt."""
        if minute - self._reordered < REORDER_MIN:
            return
        self._reordered = minute
        usual = [health_filter.baseline(each) for each in self.beliefs]
        variances = [
            share * (1 - share) / (each.strength + each.oks + each.failures)
            for share, each in zip(usual, self.beliefs, strict=True)
        ]
        best = min(range(len(usual)), key=usual.__getitem__)
        doubt = REORDER_Z * math.sqrt(variances[self._home] + variances[best])
        if usual[self._home] - usual[best] - doubt >= REORDER_GAP:
            self._home = best
            if self._best != best and self._is_fit(best, downs):
                self._go(best, minute)

    def _is_fit(self, bank: int, downs: Sequence[float]) -> bool:
        return self._places[bank].mode == "serving" and downs[bank] <= self._limits.return_at

    def _go(self, bank: int, minute: float) -> None:
        self._best, self._moved = bank, minute
