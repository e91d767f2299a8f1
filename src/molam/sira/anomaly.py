"""Tells an unusual hour from an ordinary one: pure detectors with a score each."""

from __future__ import annotations

import math
from collections.abc import Container, Hashable, Sequence
from dataclasses import replace
from datetime import timedelta
from statistics import fmean, median

from molam.sira.anomaly_drift import DRIFT_SCORE_MIN, drift_test
from molam.sira.anomaly_hour import Hour
from molam.sira.anomaly_joint import joint_test
from molam.sira.finding import Finding, Kind, Severity
from molam.sira.season import HOURS_A_DAY, HOURS_A_WEEK, Baseline, fit
from molam.sira.sentences import explain
from molam.sira.tails import (
    beta_above,
    beta_below,
    count_lower,
    count_upper,
    normal_score,
    share_lower,
    share_upper,
)

__all__ = [
    "Finding",
    "Hour",
    "Kind",
    "amount_rule",
    "believed",
    "confident",
    "count_rule",
    "detect",
    "explain",
    "is_news",
    "rate_rule",
    "rate_test",
    "refractory",
    "surge",
    "weigh",
]

HISTORY_HOURS_MIN = 2 * HOURS_A_WEEK
HISTORY_HOURS_MAX = 8 * HOURS_A_WEEK

SURGE_FACTOR = 3
COUNT_SCORE_MIN = 5.0
"""p < 1e-5 for each test."""
CRITICAL_SCORE_MIN = 10.0
WINDOW_HOURS = (1, 6)
"""A small shop that goes quiet shows only over several hours."""

RATE_WINDOW_HOURS = (6, 24)
"""Half a day's trouble drowns in a day; a small shop has too few trials in less."""
RATE_TRIALS_MIN = 30
RATE_PRIOR_STRENGTH = 200
RATE_SHIFT = 0.02
RATE_SURE_MIN = 2.0
"""P(shift) > 0.99."""
RATE_SCORE_MIN = 2.0

AMOUNT_Z_MAX = 5.0
AMOUNT_MEAN_Z_MAX = 3.0
AMOUNT_RUN = 8
AMOUNT_PAYMENTS_MIN = 20
AMOUNT_USUAL_MIN = 60
"""Stretches of so many payments: of fewer, nobody knows what is far out."""

REFRACTORY_HOURS = 24
REFRACTORY_SHARE = 0.05


def surge(*, observed: int, previous: int) -> Finding | None:
    """
    Apply the specification's rule: sales above three times the previous comparable period.

    It is a floor: it holds whatever the season, and says nothing where there is
    nothing to compare with.
    """
    if previous <= 0 or observed <= SURGE_FACTOR * previous:
        return None
    return Finding(
        kind=Kind.SALES_SURGE,
        severity="warning",
        score=0.0,
        observed=observed,
        expected=previous,
    )


def count_rule(
    baseline: Baseline, counts: Sequence[int], *, high: Kind | None, low: Kind | None
) -> Finding | None:
    """Judge the last hours' *counts* by `count_test`; None if they are ordinary."""
    return _news(count_test(baseline, counts, high=high, low=low))


def count_test(
    baseline: Baseline, counts: Sequence[int], *, high: Kind | None, low: Kind | None
) -> Finding | None:
    """
    Weigh the last hours' *counts*, all after what *baseline* has seen bar the last.

    The last count is the hour *baseline* expects; those before it, it has seen.
    The strongest of the windows in `WINDOW_HOURS` speaks.
    """
    found: list[Finding] = []
    for hours in WINDOW_HOURS:
        if hours > len(counts):
            continue
        observed = sum(counts[-hours:])
        # An outage must not lower what it is measured by.
        earlier = baseline.before(counts[-hours:-1])
        mean = earlier.together(hours)
        variance = baseline.variance(mean)
        for kind, score in (
            (high, count_upper(observed, mean, variance)),
            (low, count_lower(observed, mean, variance)),
        ):
            if kind is not None:
                found.append(_counted(kind, score, observed=observed, mean=mean, hours=hours))
    return max(found, key=lambda finding: finding.score, default=None)


def rate_rule(
    kind: Kind, *, hits: int, trials: int, usual_hits: int, usual_trials: int
) -> Finding | None:
    """Judge a rate by `rate_test`; None if it has not shifted with a probability above 0.99."""
    return _news(
        rate_test(kind, hits=hits, trials=trials, usual_hits=usual_hits, usual_trials=usual_trials)
    )


def rate_test(
    kind: Kind,
    *,
    hits: int,
    trials: int,
    usual_hits: int,
    usual_trials: int,
    hours: int = max(RATE_WINDOW_HOURS),
) -> Finding | None:
    """
    Weigh a rate against its usual value, which counts as much as 200 trials.

    The score is of so many hits by chance, for a rate that varies as that prior does; it
    is 0 unless the rate has shifted by more than two points, in the direction that *kind*
    names, with a probability above 0.99. None when too little is known.
    """
    if trials < RATE_TRIALS_MIN or usual_trials < RATE_PRIOR_STRENGTH:
        return None
    # Half a trial each way, so that a rate of 0 or 1 still has a spread.
    usual = (usual_hits + 0.5) / (usual_trials + 1)
    before_hits, before_misses = RATE_PRIOR_STRENGTH * usual, RATE_PRIOR_STRENGTH * (1 - usual)
    after = before_hits + hits, before_misses + trials - hits
    if kind is Kind.SUCCESS_RATE_LOW:
        sure = beta_below(usual - RATE_SHIFT, *after)
        score = share_lower(hits, trials, before_hits, before_misses)
    else:
        sure = beta_above(usual + RATE_SHIFT, *after)
        score = share_upper(hits, trials, before_hits, before_misses)
    if sure <= RATE_SURE_MIN:
        score = 0.0
    return Finding(
        kind=kind,
        severity=_severity(score),
        score=score,
        observed=hits / trials,
        expected=usual,
        hours=hours,
        trials=trials,
    )


def amount_rule(usual: Sequence[float], recent: Sequence[float]) -> Finding | None:
    """Judge log amounts by `amount_test`; None if they are ordinary."""
    return _news(amount_test(usual, recent))


def amount_test(usual: Sequence[float], recent: Sequence[float]) -> Finding | None:
    """
    Weigh log amounts, season removed, by robust z: one far out, or eight in a row.

    *recent* is newest last; the finding's figures are factors of the ordinary.
    """
    if len(usual) < AMOUNT_USUAL_MIN or not recent:
        return None
    middle = median(usual)
    deviation = 1.4826 * median(abs(value - middle) for value in usual)
    if deviation <= 0:
        return None
    scores = [(value - middle) / deviation for value in recent]
    run = fmean(scores[-AMOUNT_RUN:]) if len(scores) >= AMOUNT_RUN else 0.0
    if abs(scores[-1]) <= AMOUNT_Z_MAX and abs(run) > AMOUNT_MEAN_Z_MAX:
        # A mean of eight varies less than one by the root of eight.
        z, value, hours = run * math.sqrt(AMOUNT_RUN), fmean(recent[-AMOUNT_RUN:]), AMOUNT_RUN
    else:
        z, value, hours = scores[-1], recent[-1], 1
    return Finding(
        kind=Kind.TICKET_HIGH if z > 0 else Kind.TICKET_LOW,
        severity="warning",
        score=normal_score(abs(z)),
        observed=math.exp(value - middle),
        expected=1.0,
        hours=hours,
    )


def detect(history: Sequence[Hour], *, first_hour_of_week: int) -> list[Finding]:
    """Judge the last hour of *history* by `weigh`, and return what is out of the ordinary."""
    tested = weigh(history, first_hour_of_week=first_hour_of_week)
    return [finding for finding in tested if is_news(finding)]


def is_news(finding: Finding) -> bool:
    """Tell whether one test alone, among no others, says that something is unusual."""
    return finding.score > _FLOORS.get(finding.kind, COUNT_SCORE_MIN)


def weigh(history: Sequence[Hour], *, first_hour_of_week: int) -> list[Finding]:
    """
    Weigh the last hour of *history* by all that came before it: every test that can be made.

    *history* holds consecutive local hours, silent ones included, the last of them
    complete. With less than two weeks of it nobody knows what is ordinary.
    """
    past = history[-HISTORY_HOURS_MAX - 1 : -1]
    if len(past) < HISTORY_HOURS_MIN:
        return []
    skipped = len(history) - 1 - len(past)
    first = (first_hour_of_week + skipped) % HOURS_A_WEEK
    findings = [
        _judge_counts([h.payments for h in past], history[-1].payments, first, low=True),
        _judge_counts([h.refunds for h in past], history[-1].refunds, first, of=Kind.REFUNDS_HIGH),
        _judge_counts(
            [h.disputes for h in past], history[-1].disputes, first, of=Kind.DISPUTES_HIGH
        ),
        _judge_rates(
            Kind.SUCCESS_RATE_LOW,
            [(hour.payments, hour.created) for hour in (*past, history[-1])],
        ),
        _judge_rates(
            Kind.CHARGEBACK_RATE_HIGH,
            [(hour.disputes, hour.payments) for hour in (*past, history[-1])],
        ),
        _judge_tickets(past, history[-1]),
        _judge_days(history, first=(first_hour_of_week + skipped) % HOURS_A_WEEK, skipped=skipped),
        joint_test((*past, history[-1]), first_hour_of_week=first),
    ]
    return [finding for finding in findings if finding is not None]


def confident(scores: Sequence[float], *, false_share: float = 0.01) -> list[int]:
    """
    Return which of a day's tests, over all merchants, to believe (Benjamini-Hochberg).

    *scores* are -log10 p of every test, those that found nothing included. At most
    *false_share* of what is returned is chance.
    """
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    kept = 0
    for place, index in enumerate(order, start=1):
        if scores[index] >= -math.log10(false_share * place / len(scores)):
            kept = place
    return sorted(order[:kept])


def believed(
    tested: Sequence[tuple[Hashable, Finding]], known: Container[Hashable] = frozenset()
) -> set[int]:
    """
    Return which of a tick's tests are news, each given with whom it is about.

    That several figures are unusual together is news only of those of whom no single one
    says why, neither now nor (*known*) lately: it would be the same incident once more.
    """
    places = confident([finding.score for _, finding in tested])
    news = {place for place in places if is_news(tested[place][1])}
    joint = {place for place in news if tested[place][1].kind is Kind.JOINT_UNUSUAL}
    explained = {tested[place][0] for place in news - joint}
    return {
        place
        for place in news
        if place not in joint or not (tested[place][0] in explained or tested[place][0] in known)
    }


def refractory(history_hours: int) -> timedelta:
    """
    Return how long a finding keeps further ones of its kind from being news.

    That is a day, or a twentieth of the history if that is longer. Each further
    one within it belongs to the same incident and begins the wait anew.
    """
    return timedelta(hours=max(REFRACTORY_HOURS, REFRACTORY_SHARE * history_hours))


def _judge_counts(
    past: list[int],
    last: int,
    first_hour_of_week: int,
    *,
    of: Kind = Kind.PAYMENTS_HIGH,
    low: bool = False,
) -> Finding | None:
    baseline = fit(past, first_hour_of_week=first_hour_of_week)
    recent = [*past[1 - max(WINDOW_HOURS) :], last]
    return count_test(baseline, recent, high=of, low=Kind.PAYMENTS_LOW if low else None)


def _judge_rates(kind: Kind, hours: Sequence[tuple[int, int]]) -> Finding | None:
    """Judge hits of trials by what is before the last day; the strongest window speaks."""
    before = hours[: -max(RATE_WINDOW_HOURS)]
    usual_hits, usual_trials = sum(hit for hit, _ in before), sum(of for _, of in before)
    tested = (
        rate_test(
            kind,
            hits=min(sum(hit for hit, _ in hours[-window:]), sum(of for _, of in hours[-window:])),
            trials=sum(of for _, of in hours[-window:]),
            usual_hits=min(usual_hits, usual_trials),
            usual_trials=usual_trials,
            hours=window,
        )
        for window in RATE_WINDOW_HOURS
    )
    found = [finding for finding in tested if finding is not None]
    return max(found, key=lambda finding: finding.score, default=None)


def _judge_tickets(past: Sequence[Hour], last: Hour) -> Finding | None:
    """Judge the average ticket of stretches that had enough payments to have one."""
    if not last.payments:
        return None
    tickets: list[float] = []
    payments = sales = hours = lasted = 0
    for hour in (last, *reversed(past)):
        payments, sales, hours = payments + hour.payments, sales + hour.sales, hours + 1
        if payments >= AMOUNT_PAYMENTS_MIN:
            tickets.append(math.log(max(1, sales) / payments))
            lasted = lasted or hours
            payments = sales = hours = 0
    tickets.reverse()
    finding = amount_test(tickets[:-1], tickets[-AMOUNT_RUN:]) if tickets else None
    if finding is None or lasted > HOURS_A_DAY:
        return None
    return replace(finding, hours=finding.hours * lasted)


def _judge_days(history: Sequence[Hour], *, first: int, skipped: int) -> Finding | None:
    """Judge whole days once the last of them is over, for what is too slow for an hour to show."""
    hours = history[skipped:]
    if (first + len(hours)) % HOURS_A_DAY:
        return None
    begin = -first % HOURS_A_DAY
    return drift_test(
        [
            sum(hour.payments for hour in hours[at : at + HOURS_A_DAY])
            for at in range(begin, len(hours), HOURS_A_DAY)
        ]
    )


def _news(finding: Finding | None) -> Finding | None:
    return finding if finding is not None and is_news(finding) else None


def _counted(kind: Kind, score: float, *, observed: int, mean: float, hours: int) -> Finding:
    return Finding(
        kind=kind,
        severity=_severity(score),
        score=score,
        observed=observed,
        expected=mean,
        hours=hours,
    )


def _severity(score: float) -> Severity:
    return "critical" if score > CRITICAL_SCORE_MIN else "warning"


_FLOORS = {
    Kind.SUCCESS_RATE_LOW: RATE_SCORE_MIN,
    Kind.CHARGEBACK_RATE_HIGH: RATE_SCORE_MIN,
    Kind.PAYOUT_FAILURES_HIGH: RATE_SCORE_MIN,
    Kind.TICKET_HIGH: normal_score(AMOUNT_Z_MAX),
    Kind.TICKET_LOW: normal_score(AMOUNT_Z_MAX),
    Kind.PAYMENTS_SINKING: DRIFT_SCORE_MIN,
    Kind.PAYMENTS_RISING: DRIFT_SCORE_MIN,
}
