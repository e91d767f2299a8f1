"""The product's router on a trace: the filter, and the controller's own judgement on it."""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Sequence
from random import Random

from molam.mesh.control import hysteresis
from molam.mesh.control.hysteresis import Place
from molam.mesh.control.judging import judge, limits_of, surely_better
from molam.mesh.control.looking import log_ratio
from molam.mesh.control.world import HEALTHY_BELOW, Bank, Shift, Verdict, World
from molam.mesh.members.rules import Rules
from molam.simulator.incidents_routers import MINUTE_S, Filtered
from molam.sira import health_filter
from molam.sira.health import confidence_of_move

PEOPLE_MIN = 10.0
"""What people take to agree to what the controller may not do alone."""
HOUR_MIN = 60.0
LEVELS = (0.2, 0.5, 0.8, 0.99)
WHOLE = 100


class Guarded(Filtered):
    """
    Does what the controller's judgement says, once a minute and when a belief passes a threshold.

    It acts alone, by a policy's defaults, in the operator's order; what needs people waits
    ten minutes for them. A bank that it leaves, it leaves for the well one that is expected
    to fail least.
    """

    def __init__(
        self, preferred: Sequence[int], *, domains: Sequence[int] = (), rules: Rules | None = None
    ) -> None:
        super().__init__(len(preferred))
        self._rules = rules or Rules(mode="auto", auto_failover_enabled=True)
        self._limits = limits_of(self._rules)
        self._gap = float(min(self._rules.leave_gap_points, self._rules.reorder_gap_points)) / 100
        self._ranks = {bank: rank for rank, bank in enumerate(preferred)}
        self._domains = domains or tuple(range(len(preferred)))
        self._best = preferred[0]
        self._places = [Place() for _ in preferred]
        self._good = [0] * len(preferred)
        self._strikes = [0] * len(preferred)
        self._degraded: list[float | None] = [None] * len(preferred)
        self._shift: Shift | None = None
        self._stepped = 0.0
        self._reordered: float | None = None
        self._applied: deque[float] = deque()
        self._asked: dict[tuple[str | None, str], tuple[float, Verdict]] = {}

    def tick(self, minute: float) -> None:
        self._look(minute, self.forecasts(minute))

    def learn(self, bank: int, failure: float, at: float) -> None:
        before = self._level(bank)
        super().learn(bank, failure, at)
        self._good[bank] = self._good[bank] + 1 if failure == 0.0 else 0
        if self._shift is not None and bank == int(self._shift.to_bank_id):
            self._count_outcome(failure)
        if self._level(bank) != before:
            self.tick(at)

    def choose(self, draw: Random) -> int:
        if self._shift is None:
            return self._best
        is_moved = draw.random() * WHOLE < self._shift.share
        return int(self._shift.to_bank_id) if is_moved else self._best

    def _level(self, bank: int) -> int:
        """Say which of the thresholds P(DOWN) has passed; passing one makes the controller look."""
        return bisect.bisect_right(LEVELS, health_filter.p_down(self.beliefs[bank]))

    def _look(self, minute: float, expected: Sequence[float]) -> None:
        for asked, (since, wanted) in list(self._asked.items()):
            if minute - since >= PEOPLE_MIN:
                del self._asked[asked]
                self._carry_out(wanted, minute, self._watched(minute, expected), is_agreed=True)
        banks = self._watched(minute, expected)
        verdict = judge(self._world(minute, banks))
        while verdict.word == "readmit":
            self._carry_out(verdict, minute, banks)
            banks = self._watched(minute, expected)
            verdict = judge(self._world(minute, banks))
        if verdict.word == "ask":
            self._asked[verdict.from_bank, verdict.kind] = (minute, verdict)
        elif verdict.acts:
            self._carry_out(verdict, minute, banks)

    def _watched(self, minute: float, expected: Sequence[float]) -> tuple[Bank, ...]:
        downs = [health_filter.p_down(each) for each in self.beliefs]
        banks = []
        for bank, down in enumerate(downs):
            self._places[bank] = hysteresis.watched(
                self._places[bank], down, minute * MINUTE_S, self._limits
            )
            if down < HEALTHY_BELOW:
                self._degraded[bank] = None
            elif self._degraded[bank] is None:
                self._degraded[bank] = minute * MINUTE_S
            banks.append(self._bank(bank, downs, expected))
        first = banks[self._best]
        is_beaten = surely_better(first, banks, self._rules)
        self._strikes[self._best] = self._strikes[self._best] + 1 if is_beaten else 0
        return tuple(banks)

    def _bank(self, bank: int, downs: Sequence[float], expected: Sequence[float]) -> Bank:
        return Bank(
            id=str(bank),
            p_down=downs[bank],
            place=self._places[bank],
            failure=expected[bank],
            baseline=health_filter.baseline(self.beliefs[bank]),
            prefer_order=self._ranks[bank],
            probes_ok=self._good[bank],
            strikes=self._strikes[bank],
            degraded_since=self._degraded[bank],
            domains=frozenset({str(self._domains[bank])}),
            is_open=self._places[bank].mode == "serving" or bank == self._best,
            is_first=bank == self._best,
            capacity=1,
            better=self._better(expected) if bank == self._best else {},
        )

    def _better(self, expected: Sequence[float]) -> dict[str, float]:
        """Return how surely others fail less; nobody asks about those that seem no better."""
        ours = self.beliefs[self._best]
        found = {}
        for other, belief in enumerate(self.beliefs):
            now = expected[self._best] - expected[other]
            long = health_filter.baseline(ours) - health_filter.baseline(belief)
            if other != self._best and max(now, long) >= self._gap:
                found[str(other)] = confidence_of_move(ours, belief)
        return found

    def _world(self, minute: float, banks: tuple[Bank, ...]) -> World:
        while self._applied and minute - self._applied[0] >= HOUR_MIN:
            self._applied.popleft()
        return World(
            at=minute * MINUTE_S,
            rules=self._rules,
            banks=banks,
            may_act_alone=True,
            last_apply_at=self._applied[-1] * MINUTE_S if self._applied else None,
            last_reorder_at=self._reordered,
            applies_last_hour=len(self._applied),
            asked=frozenset(self._asked),
            shift=self._shift_at(minute),
        )

    def _carry_out(
        self, verdict: Verdict, minute: float, banks: Sequence[Bank], *, is_agreed: bool = False
    ) -> None:
        if verdict.word == "halt":
            self._shift = None
        elif verdict.word == "step" and self._shift is not None:
            self._go(int(self._shift.to_bank_id), verdict.share, minute)
        elif verdict.kind == "failover":
            self._leave(verdict, minute, banks, is_agreed=is_agreed)
        elif verdict.to_bank is not None:
            bank = int(verdict.to_bank)
            if verdict.kind == "return":
                self._places[bank] = hysteresis.returned(self._places[bank])
            else:
                self._reordered = minute * MINUTE_S
            if verdict.word != "readmit":
                self._go(bank, WHOLE, minute)

    def _leave(
        self, verdict: Verdict, minute: float, banks: Sequence[Bank], *, is_agreed: bool
    ) -> None:
        is_ill = banks[self._best].p_down >= HEALTHY_BELOW or self._strikes[self._best] > 0
        if verdict.from_bank != str(self._best) or not is_ill:
            # What people agreed to has come too late to be right.
            return
        others = [each for each in banks if each.is_healthy and each.id != str(self._best)]
        if not others:
            return
        target = min(others, key=lambda each: (each.failure, each.prefer_order))
        sure = confidence_of_move(self.beliefs[self._best], self.beliefs[int(target.id)])
        if not is_agreed and sure < self._rules.auto_confidence_threshold:
            self._asked.setdefault((verdict.from_bank, verdict.kind), (minute, verdict))
            return
        left = hysteresis.left(self._places[self._best], minute * MINUTE_S, self._limits)
        self._places[self._best] = left
        self._good[self._best] = 0
        self._go(int(target.id), verdict.share, minute)

    def _go(self, bank: int, share: int, minute: float) -> None:
        self._stepped = minute
        if self._shift is None or share >= WHOLE:
            self._applied.append(minute)
        if share >= WHOLE:
            self._best, self._shift = bank, None
            return
        self._shift = Shift(
            proposal_id="", from_bank_id=str(self._best), to_bank_id=str(bank), share=share,
            is_due=False, outcomes=0, failures=0, log_ratio=0.0,
        )  # fmt: skip

    def _shift_at(self, minute: float) -> Shift | None:
        shift = self._shift
        if shift is None:
            return None
        usual = health_filter.baseline(self.beliefs[int(shift.to_bank_id)])
        return Shift(
            proposal_id="",
            from_bank_id=shift.from_bank_id,
            to_bank_id=shift.to_bank_id,
            share=shift.share,
            is_due=minute - self._stepped >= self._rules.step_minutes,
            outcomes=shift.outcomes,
            failures=shift.failures,
            log_ratio=log_ratio(shift.outcomes, shift.failures, usual),
        )

    def _count_outcome(self, failure: float) -> None:
        shift = self._shift
        assert shift is not None
        self._shift = Shift(
            proposal_id="",
            from_bank_id=shift.from_bank_id,
            to_bank_id=shift.to_bank_id,
            share=shift.share,
            is_due=False,
            outcomes=shift.outcomes + 1,
            failures=shift.failures + math.ceil(failure),
            log_ratio=0.0,
        )
