"""How suspicious a silence is: the phi-accrual failure detector."""

from __future__ import annotations

import math
import statistics

import msgspec

GAPS_MAX = 1000
THRESHOLD = 8.0
KNOWN_FROM = 10
"""So many gaps tell how beats come; of fewer, no silence is read."""
_LOG10_E = math.log10(math.e)
_FAR = 30.0
"""Beyond so many deviations the tail of a normal distribution underflows."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How a heartbeat is expected to come; these are for banks that are polled each minute."""

    interval_s: float = 60.0
    deviation_min_s: float = 5.0
    pause_s: float = 120.0
    """How much longer than usual a silence may last before it counts."""


class Heartbeats(msgspec.Struct, frozen=True):
    """The last beat, in Unix seconds, and the gaps between those before it."""

    last: float | None = None
    gaps: tuple[float, ...] = ()


def beat(state: Heartbeats, at: float, pace: Pace | None = None) -> Heartbeats:
    """
    Hear a beat at *at*; one that comes out of order changes nothing.

    A gap that was silence is remembered as one that would just not have been: whoever
    was away for a night does not beat each night.
    """
    if state.last is None:
        return Heartbeats(at)
    if at <= state.last:
        return state
    gap = at - state.last
    if is_known(state) and is_silent(state, at, pace):
        gap = min(gap, statistics.fmean(state.gaps) + (pace or Pace()).pause_s)
    return Heartbeats(at, (*state.gaps[1 - GAPS_MAX :], gap))


def is_known(state: Heartbeats) -> bool:
    """Tell whether enough was heard to know how beats come."""
    return len(state.gaps) >= KNOWN_FROM


def phi(state: Heartbeats, now: float, pace: Pace | None = None) -> float:
    """
    Return -log10 of the probability that the next beat comes later than *now*.

    0 while nothing was ever heard: there is no silence without a sound before it.
    """
    expected = pace or Pace()
    if state.last is None:
        return 0.0
    gaps = state.gaps or (expected.interval_s,)
    usual = statistics.fmean(gaps) + expected.pause_s
    deviation = max(expected.deviation_min_s, statistics.pstdev(gaps))
    return _minus_log10_tail((now - state.last - usual) / deviation)


def is_silent(state: Heartbeats, now: float, pace: Pace | None = None) -> bool:
    return phi(state, now, pace) >= THRESHOLD


def _minus_log10_tail(z: float) -> float:
    if z < _FAR:
        return -math.log10(0.5 * math.erfc(z / math.sqrt(2)))
    # The tail by its asymptotic series, whose next term is below 4e-6 of it.
    series = math.log1p(-1 / z**2 + 3 / z**4)
    return _LOG10_E * (z * z / 2 + math.log(z * math.sqrt(2 * math.pi)) - series)
