"""Turns a trace into the minutes that health logs would have kept of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random

from molam.simulator.incidents import DAY_MIN, Trace, lots
from molam.sira.features import MINUTE_S, Minute
from molam.sira.training.dataset import Stretch

PAYOUTS_A_MINUTE = 0.5
"""Of each bank, on average over the day."""
USUAL_MS, TIMEOUT_MS, REFUSAL_MS = 900.0, 30_000, 2_000
SPREAD = 0.35
SLOWER = 2.0
"""By so much answers that still come are slower in a full outage: e to this power."""
SLA_MS = 30_000
TIMEOUT_SHARE = 0.5


WORK_MIN, WORK_AT_HOUR, WORK_SEVERITY = 60, 2, 0.95
"""Each bank stands still for planned work, announced, for an hour of one night a week."""


def stretches(trace: Trace, *, first: float, country: str = "SN") -> list[Stretch]:
    """Return every bank's minutes from *first* on, in Unix seconds; by the trace's seed."""
    planned = [_planned(trace, bank) for bank in range(trace.banks)]
    return [
        Stretch(
            bank=f"bank-{bank + 1}",
            minutes=list(_minutes(trace, bank, planned[bank], first)),
            country=country,
            maintenance=[
                (first + begins * MINUTE_S, first + (begins + WORK_MIN) * MINUTE_S)
                for begins in planned[bank]
            ],
            neighbours=frozenset(
                f"bank-{other + 1}"
                for other, domain in enumerate(trace.domains)
                if other != bank and domain == trace.domains[bank]
            ),
        )
        for bank in range(trace.banks)
    ]


def _planned(trace: Trace, bank: int) -> list[int]:
    """Return the minutes at which the bank's planned work begins."""
    nights = range(bank % 7, trace.days, 7)
    return [night * DAY_MIN + WORK_AT_HOUR * 60 for night in nights]


def _minutes(trace: Trace, bank: int, planned: Sequence[int], first: float) -> Iterator[Minute]:
    draw = lots(f"history/{trace.seed}/{bank}")
    base = trace.baselines[bank]
    working = {begins + minute for begins in planned for minute in range(WORK_MIN)}
    for place, unplanned in enumerate(trace.rates[bank]):
        rate = 1 - (1 - unplanned) * (1 - WORK_SEVERITY) if place in working else unplanned
        hour = (place / 60) % 24
        busy = 1 + 0.8 * math.sin(2 * math.pi * (hour - 8) / 24)
        payouts = _poisson(draw, PAYOUTS_A_MINUTE * busy)
        failing = [draw.random() < rate for _ in range(payouts + 1)]
        # The share that fails beyond the usual one is how much of the bank is down.
        down = (rate - base) / (1 - base)
        waits = [_wait(draw, failed=failed, down=down) for failed in failing]
        failures = sum(failing[1:])
        yield Minute(
            at=first + place * MINUTE_S,
            attempts=payouts,
            failures=failures,
            sla_misses=sum(
                wait > SLA_MS and not failed for wait, failed in zip(waits, failing, strict=True)
            ),
            timeouts=sum(wait == TIMEOUT_MS for wait in waits),
            probes=1,
            probe_failures=int(failing[0]),
            latency_sum_ms=sum(waits),
            latency_max_ms=max(waits),
            latencies=len(waits),
        )


def _wait(draw: Random, *, failed: bool, down: float) -> int:
    if failed:
        return TIMEOUT_MS if draw.random() < TIMEOUT_SHARE else REFUSAL_MS
    return round(draw.lognormvariate(math.log(USUAL_MS) + SLOWER * down, SPREAD))


def _poisson(draw: Random, mean: float) -> int:
    limit, product, count = math.exp(-mean), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count
