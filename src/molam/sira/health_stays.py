"""How many failures fewer, or more, would have changed what SIRA recommends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from molam.sira import health_filter as filter_
from molam.sira.features import MINUTE_S, Minute
from molam.sira.health_filter import SEVERITIES, Belief
from molam.sira.health_rules import recommend

RECENT_MINUTES = 15
WARM_MINUTES = 60


def last_minutes(minutes: Sequence[Minute], at: float) -> tuple[Minute, ...]:
    """Return those of the last quarter of an hour before *at*, oldest first."""
    since = at - RECENT_MINUTES * MINUTE_S
    return tuple(each for each in sorted(minutes, key=lambda m: m.at) if since <= each.at <= at)


def tries_of(minute: Minute) -> int:
    return minute.attempts + minute.probes


def failures_of(minute: Minute) -> int:
    return minute.failures + minute.probe_failures


def stays_with(now: Belief, minutes: Sequence[Minute], *, window_minutes: int) -> int | None:
    """
    Return how many failures in the last quarter of an hour would let payouts stay.

    The filter is run again over these minutes for each number that is tried. Failures
    are left out from the first on, and added from the last on, so that what is said
    holds wherever they fall. None where no number would, any would, or where the minutes
    do not explain what is believed.
    """
    last = last_minutes(minutes, now.at)
    before = sorted((m for m in minutes if last and m.at < last[0].at), key=lambda m: m.at)
    if not last or not before:
        return None
    start = _before(now, before[-WARM_MINUTES:], last)

    def stays(count: int) -> bool:
        belief = _run(start, last, now.at, _placed(last, count))
        failure = filter_.expected_failure(belief, window_minutes * MINUTE_S)
        return recommend(100 * (1 - failure), filter_.p_down(belief)) != "failover"

    had = sum(map(failures_of, last))
    has_stayed = _stays_now(now, window_minutes)
    if stays(had) != has_stayed:
        return None
    if has_stayed:
        tries = sum(map(tries_of, last))
        most = _largest(stays, had, tries)
        return None if most == tries else most
    return _largest(stays, 0, had - 1) if had and stays(0) else None


def _stays_now(now: Belief, window_minutes: int) -> bool:
    failure = filter_.expected_failure(now, window_minutes * MINUTE_S)
    return recommend(100 * (1 - failure), filter_.p_down(now)) != "failover"


def _largest(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the largest number up to *high* for which it holds, as it does for *low*."""
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _before(now: Belief, before: Sequence[Minute], last: Sequence[Minute]) -> Belief:
    """
    Believe what was believed before the *last* minutes.

    Of then, only the probability of DOWN was kept. Which outage it would have been, the
    minutes *before* say; what the baseline has learnt since is taken from it again.
    """
    down = min(1 - 1e-9, max(1e-9, before[0].p_down))
    each = down / len(SEVERITIES)
    known = msgspec.structs.replace(
        now, weights=(1 - down, each, each, each, each), at=before[0].at + MINUTE_S
    )
    learnt = _run(_run(known, before[1:], now.at), last, now.at)
    fresh = msgspec.structs.replace(
        known,
        oks=max(0.0, 2 * now.oks - learnt.oks),
        failures=max(0.0, 2 * now.failures - learnt.failures),
    )
    return _run(fresh, before[1:], last[0].at)


def _placed(minutes: Sequence[Minute], count: int) -> list[int]:
    """Spread *count* failures over *minutes*: where they were, and else as late as can be."""
    placed = [failures_of(each) for each in minutes]
    over = sum(placed) - count
    for place in range(len(placed)):
        taken = min(max(over, 0), placed[place])
        placed[place] -= taken
        over -= taken
    for place in reversed(range(len(placed))):
        added = min(max(-over, 0), tries_of(minutes[place]) - placed[place])
        placed[place] += added
        over += added
    return placed


def _run(
    start: Belief, minutes: Sequence[Minute], until: float, placed: Sequence[int] | None = None
) -> Belief:
    """Run the filter over *minutes*, with as many failures as *placed* says, or as there were."""
    belief = start
    counts = placed or [failures_of(each) for each in minutes]
    for minute, failures in zip(minutes, counts, strict=True):
        tries = tries_of(minute)
        if tries:
            # A minute may have more late answers than there were good ones.
            weight = min(failures + minute.sla_misses / 2, tries)
            middle = min(minute.at + MINUTE_S / 2, until)
            belief = filter_.observe_many(belief, failures=weight, oks=tries - weight, at=middle)
    return filter_.advance(belief, until)
