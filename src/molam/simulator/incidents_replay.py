"""Lets routers live through the same days, and scores them against one that knows the truth."""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from molam.simulator.incidents import Incident, Trace, lots
from molam.simulator.incidents_guarded import Guarded
from molam.simulator.incidents_routers import (
    Breaker,
    Clairvoyant,
    Filtered,
    Fixed,
    Router,
    SuccessRate,
)
from molam.simulator.incidents_triggered import Triggered

PAYOUTS_A_MINUTE = 3
ANSWER_S = 15.0
REFUSAL_S = 10.0
TIMEOUT_S = 120.0
PROBE_OK_S, PROBE_TIMEOUT_S = 1.0, 10.0
PROBE_AT_S = 30.0
ORACLE_LATE_MIN = 2
"""No router can know of an outage before payouts have failed; this oracle does not either."""

SCORED_EVERY_MIN = 5
BINS = 15
NOTICED_GAP = 0.03
"""An outage matters where another bank would have failed less by this much."""
DELTA = 0.003
OUTAGE_MIN = 15.0
"""Shorter ones are over before moving would pay."""
CLASSES = ((0.1, "20 %"), (0.35, "50 %"), (0.75, "95 %"))

ORACLE, LATE_ORACLE, BEST_FIXED = "clairvoyant", "clairvoyant, 2 min late", "best fixed bank"
SUCCESS_RATE, TUNED = "success rate (SRv3)", "success rate, tuned, probes"
BREAKER, FILTER = "50 % circuit breaker", "filter, always the best"
TRIGGER, PRODUCT = "filter, plain trigger", "filter, controller"
LEARNED = "learned, controller"


@dataclass(frozen=True, slots=True)
class Score:
    """What one router did on one trace."""

    failed_share: float
    regret_bp: float
    regret_late_bp: float
    switches_a_day: float
    false_failovers_a_day: float
    outages: Mapping[str, int]
    missed: Mapping[str, int]
    divert_min: float | None
    return_min: float | None
    brier: float | None = None
    brier_skill: float | None = None
    calibration_error: float | None = None


Making = Callable[[Trace], Router]

ROUTERS: Mapping[str, Making] = {
    ORACLE: lambda trace: Clairvoyant(trace.rates),
    LATE_ORACLE: lambda trace: Clairvoyant(trace.rates, ORACLE_LATE_MIN),
    BEST_FIXED: lambda trace: Fixed(best_fixed(trace)),
    SUCCESS_RATE: lambda trace: SuccessRate(trace.banks),
    TUNED: lambda trace: SuccessRate(trace.banks, window=50, hedging=0.0, uses_probes=True),
    BREAKER: lambda trace: Breaker(trace.preferred),
    FILTER: lambda trace: Filtered(trace.banks),
    TRIGGER: lambda trace: Triggered(trace.preferred),
    PRODUCT: lambda trace: Guarded(trace.preferred, domains=trace.domains),
}


def best_fixed(trace: Trace) -> int:
    """Return the bank that failed least over all the days, which nobody knew before."""
    return min(range(trace.banks), key=lambda bank: sum(trace.rates[bank]))


@dataclass(slots=True)
class _Run:
    """What came out, minute by minute."""

    routes: list[int] = field(default_factory=list)
    failing: float = 0.0
    payouts: int = 0
    forecasts: list[tuple[float, float]] = field(default_factory=list)


def replay(trace: Trace, making: Making) -> Score:
    """
    Let a router choose for every payout of the trace.

    Each payout and probe has its own fixed luck, so that every router meets the same; what is
    scored is the true share that fails at the bank it chose.
    """
    return score(trace, live_through(trace, making(trace)))


def live_through(trace: Trace, router: Router) -> _Run:
    luck, choice = lots(f"luck/{trace.seed}"), lots(f"choice/{trace.seed}")
    run = _Run()
    due: list[tuple[float, int, int, float]] = []
    number = 0
    for minute in range(trace.minutes):
        _deliver(router, due, float(minute))
        router.tick(float(minute))
        probes = [luck.random() < trace.rates[bank][minute] for bank in range(trace.banks)]
        if minute % SCORED_EVERY_MIN == 0:
            expected = router.forecasts(float(minute))
            if expected is not None:
                run.forecasts += zip(expected, map(float, probes), strict=True)
        if router.uses_probes:
            for bank, failed in enumerate(probes):
                number += 1
                told = minute + (PROBE_AT_S + (PROBE_TIMEOUT_S if failed else PROBE_OK_S)) / 60
                heapq.heappush(due, (told, number, bank, float(failed)))
        for payout in range(PAYOUTS_A_MINUTE):
            now = minute + payout / PAYOUTS_A_MINUTE
            _deliver(router, due, now)
            bank = router.choose(choice)
            rate = trace.rates[bank][minute]
            drawn, how = luck.random(), luck.random()
            failed = drawn < rate
            took = (TIMEOUT_S if how < 1 / 2 else REFUSAL_S) if failed else ANSWER_S
            number += 1
            heapq.heappush(due, (now + took / 60, number, bank, float(failed)))
            run.failing += rate
            run.payouts += 1
        run.routes.append(router.route())
    return run


def score(trace: Trace, run: _Run) -> Score:
    """Judge a run by what was true."""
    best = [min(rates[minute] for rates in trace.rates) for minute in range(trace.minutes)]
    late = Clairvoyant(trace.rates, ORACLE_LATE_MIN)
    late_failing = 0.0
    for minute in range(trace.minutes):
        late.tick(float(minute))
        late_failing += trace.rates[late.route()][minute]
    share = run.failing / run.payouts
    outages, missed, diverting, returning = _outages(trace, run.routes, best)
    switches = [m for m in range(1, trace.minutes) if run.routes[m] != run.routes[m - 1]]
    false = false_failovers(trace, run.routes)
    brier, skill, error = _forecast_scores(run.forecasts)
    return Score(
        failed_share=share,
        regret_bp=1e4 * (share - sum(best) / trace.minutes),
        regret_late_bp=1e4 * (share - late_failing / trace.minutes),
        switches_a_day=len(switches) / trace.days,
        false_failovers_a_day=false / trace.days,
        outages=outages,
        missed=missed,
        divert_min=statistics.median(diverting) if diverting else None,
        return_min=statistics.median(returning) if returning else None,
        brier=brier,
        brier_skill=skill,
        calibration_error=error,
    )


def _deliver(router: Router, due: list[tuple[float, int, int, float]], now: float) -> None:
    """Tell the router what banks have answered by now."""
    while due and due[0][0] <= now:
        told, _, bank, failure = heapq.heappop(due)
        router.learn(bank, failure, told)


def false_failovers(trace: Trace, routes: Sequence[int]) -> int:
    """
    Count the moves from a well bank to one that is no better.

    Going back to the bank that was last left for good reason is none: that is a return.
    """
    found, left_ill = 0, -1
    for minute in range(1, trace.minutes):
        left, taken = routes[minute - 1], routes[minute]
        if left == taken:
            continue
        if trace.rates[left][minute - 1] > trace.baselines[left] + NOTICED_GAP:
            left_ill = left
        elif taken == left_ill:
            left_ill = -1
        elif trace.rates[left][minute] - trace.rates[taken][minute] < DELTA:
            found += 1
    return found


def _outages(
    trace: Trace, routes: Sequence[int], best: Sequence[float]
) -> tuple[dict[str, int], dict[str, int], list[float], list[float]]:
    """Count the outages that met the route, by severity, and how long leaving took."""
    met = dict.fromkeys((name for _, name in CLASSES), 0)
    missed = dict(met)
    diverting: list[float] = []
    returning: list[float] = []
    for each in trace.incidents:
        begins, ends = int(each.begins) + 1, min(trace.minutes, int(each.ends))
        name = severity_class(each.severity)
        if name is None or each.minutes < OUTAGE_MIN or begins < 1 or ends - begins < OUTAGE_MIN:
            continue
        is_avoidable = trace.rates[each.bank][begins] - best[begins] >= NOTICED_GAP
        if routes[begins - 1] != each.bank or not is_avoidable:
            continue
        met[name] += 1
        left = next((m for m in range(begins, ends) if routes[m] != each.bank), None)
        if left is None:
            missed[name] += 1
            continue
        diverting.append(left - each.begins)
        back = _back(trace, each, routes, best)
        if back is not None:
            returning.append(back)
    return met, missed, diverting, returning


def _back(
    trace: Trace, outage: Incident, routes: Sequence[int], best: Sequence[float]
) -> float | None:
    """Return the minutes until payouts were back, where going back was right and nothing new."""
    for minute in range(int(outage.ends) + 1, trace.minutes):
        rate = trace.rates[outage.bank][minute]
        if rate > trace.baselines[outage.bank] + NOTICED_GAP or rate - best[minute] >= DELTA:
            return None
        if routes[minute] == outage.bank:
            return minute - outage.ends
    return None


def severity_class(severity: float) -> str | None:
    return next((name for least, name in reversed(CLASSES) if severity >= least), None)


def _forecast_scores(
    pairs: Sequence[tuple[float, float]],
) -> tuple[float | None, float | None, float | None]:
    """Return Brier score, its skill over always saying the mean, and the calibration error."""
    if not pairs:
        return None, None, None
    brier = statistics.fmean((said - came) ** 2 for said, came in pairs)
    mean = statistics.fmean(came for _, came in pairs)
    usual = mean * (1 - mean)
    return brier, 1 - brier / usual if usual else 0.0, calibration_error(pairs)


def calibration_error(pairs: Sequence[tuple[float, float]], bins: int = BINS) -> float:
    """Return the mean gap between what was said and what came, over bins of equal mass."""
    # By what was said alone: where many said the same, what came must not decide the bin.
    ordered = sorted(pairs, key=lambda pair: pair[0])
    edges = [round(len(ordered) * n / bins) for n in range(bins + 1)]
    total = 0.0
    for first, last in itertools.pairwise(edges):
        part = ordered[first:last]
        if part:
            said = statistics.fmean(pair[0] for pair in part)
            came = statistics.fmean(pair[1] for pair in part)
            total += abs(said - came) * len(part)
    return total / len(ordered)
