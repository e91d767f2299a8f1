"""The product's router on a trace with a learned model in the place of the filter's forecast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from molam.simulator.incidents import Trace
from molam.simulator.incidents_guarded import Guarded
from molam.simulator.incidents_routers import MINUTE_S, Router
from molam.sira import features, health_filter, health_model, registry
from molam.sira.features import History, Minute, Surroundings

ASKED_EVERY_MIN = 5
HOUR_MIN = 60


class Learned(Guarded):
    """
    Leaves and returns by the filter, as the product does; expects what the model expects.

    The model is asked every five minutes. In between, and where it does not serve, the
    filter's expectation stands.
    """

    def __init__(self, trace: Trace, model: health_model.HealthModel) -> None:
        super().__init__(trace.preferred, domains=trace.domains)
        self._model = model
        self._histories = [History() for _ in trace.preferred]
        self._counts = [[0, 0] for _ in trace.preferred]
        self._said: list[float] | None = None
        self._next_minute = 0

    def tick(self, minute: float) -> None:
        # A failure makes it look again within a minute; that is still the same minute.
        if minute == self._next_minute:
            self._remember(int(minute))
            self._next_minute += 1
        super().tick(minute)

    def learn(self, bank: int, failure: float, at: float) -> None:
        self._counts[bank][0] += 1
        self._counts[bank][1] += failure > 0
        super().learn(bank, failure, at)

    def forecasts(self, at: float) -> list[float]:
        by_filter = super().forecasts(at)
        return by_filter if self._said is None else self._said

    def _remember(self, minute: int) -> None:
        downs = [health_filter.p_down(each) for each in self.beliefs]
        for bank, history in enumerate(self._histories):
            tries, bad = self._counts[bank]
            self._counts[bank] = [0, 0]
            history.push(
                Minute(at=minute * MINUTE_S, probes=tries, probe_failures=bad, p_down=downs[bank])
            )
        if minute % ASKED_EVERY_MIN == 0:
            said = [self._ask(bank, downs) for bank in range(len(downs))]
            self._said = [each for each in said if each is not None]
            if len(self._said) < len(said):
                self._said = None

    def _ask(self, bank: int, downs: Sequence[float]) -> float | None:
        head = self._model.head("failure", features.WINDOWS_MIN[2])
        if head is None:
            return None
        around = Surroundings(
            neighbours_p_down=max(
                (
                    down
                    for other, down in enumerate(downs)
                    if other != bank and self._domains[other] == self._domains[bank]
                ),
                default=0.0,
            ),
            expected_failure=health_filter.expected_failure(
                self.beliefs[bank], HOUR_MIN * MINUTE_S
            ),
        )
        return head.probability(self._histories[bank].vector(around))


def making(folder: Path) -> Callable[[Trace], Router]:
    """Return what makes a router from the model that is kept in *folder*."""
    model = registry.open_folder(folder)
    return lambda trace: Learned(trace, model)
