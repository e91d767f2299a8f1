"""Reading a bank's history as it is sent to SIRA, and learning from it from the beginning."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.kernel.money import MINOR_MAX
from molam.platform.web.wire import BodyMalformed
from molam.sira import health_filter as filter_
from molam.sira.features import MINUTE_S, Minute
from molam.sira.health import RecentCounts
from molam.sira.health_filter import Belief
from molam.sira.health_signal import SLA_MISS, OutcomeClass, Signal, SignalKind, weight_of
from molam.sira.health_stays import last_minutes

ROWS_MAX = 2000
"""A day of minutes and a week of hours, and a little."""
AGE_MAX_S = 8 * 24 * 3600
AHEAD_MAX_S = 60
SHORT_FOR_S = 1800
"""How long a bank's word that our account is short is believed."""

Count = Annotated[int, Meta(ge=0, le=100_000_000)]
Sum = Annotated[int, Meta(ge=0, le=MINOR_MAX)]
_Name = Annotated[str, Meta(max_length=255)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Latency = Annotated[int, Meta(ge=0, le=86_400_000)]


class LogRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A minute of the health log, or one look at a bank that only has a `success_rate`.

    An hour may be added up in its last minute, where days ago matter. Scores and
    probabilities are read and not believed: SIRA makes its own.
    """

    checked_at: Annotated[Instant, Meta(tz=True)]
    attempts: Count = 0
    failures: Count = 0
    sla_misses: Count = 0
    timeouts: Count = 0
    not_its_fault: Count = 0
    probes: Count = 0
    probe_failures: Count = 0
    latency_sum_ms: Sum = 0
    latency_max_ms: _Latency = 0
    latencies: Count = 0
    latency_ms: _Latency | None = None
    volume: Sum = 0
    success_rate: _Share | None = None
    health_score: Annotated[float, Meta(ge=0, le=100)] | None = None
    p_down: _Share | None = None
    bank_profile_id: _Name | None = None
    rail: _Name | None = None
    currency: _Name | None = None


class SignalRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signal, as it is seen of a bank."""

    at: float
    kind: SignalKind
    outcome: OutcomeClass
    latency_ms: _Latency | None = None
    amount: Sum | None = None
    observed_by: _Name = "molam"
    bank_profile_id: _Name | None = None
    rail: _Name | None = None
    currency: _Name | None = None


Row = LogRow | SignalRow


@dataclass(slots=True)
class _Sums:
    """One minute, as it is added up."""

    tries: int = 0
    failed: int = 0
    late: int = 0
    timeouts: int = 0
    probes: int = 0
    probes_failed: int = 0
    latency_sum: int = 0
    latency_max: int = 0
    latencies: int = 0
    volume: int = 0
    p_down: float = 0.0


@dataclass(slots=True)
class _Learned:
    belief: Belief
    minutes: dict[int, _Sums] = field(default_factory=dict)
    short_at: float = -math.inf


def read(rows: Sequence[Mapping[str, object]]) -> list[Row]:
    """
    Read *rows*, each a minute of the log (it has `checked_at`) or a signal (it has `at`).

    Raises:
        BodyMalformed: it says which row, and what is wrong with it.
    """
    found: list[Row] = []
    for place, row in enumerate(rows):
        shape: type[Row] = SignalRow if "at" in row else LogRow
        try:
            found.append(_checked(msgspec.convert(row, shape)))
        except (msgspec.ValidationError, ValueError) as error:
            raise BodyMalformed(f"historical_data, row {place}: {error}.") from None
    return found


def learn(rows: Iterable[Row], *, now: float) -> tuple[Belief, RecentCounts]:
    """
    Run the filter over *rows*, which may come in any order.

    Raises:
        BodyMalformed: a row is about the future, or too old to say anything.
    """
    learned = _Learned(filter_.fresh())
    ordered = sorted(rows, key=_time_of)
    if ordered and not (
        now - AGE_MAX_S <= _time_of(ordered[0]) and _time_of(ordered[-1]) <= now + AHEAD_MAX_S
    ):
        raise BodyMalformed("historical_data lies within the last eight days.")
    for row in ordered:
        if isinstance(row, LogRow):
            _take_minute(learned, row, now)
        else:
            _take_signal(learned, row)
    return learned.belief, _recent(learned, now)


def _checked(row: Row) -> Row:
    """
    Raises:
        ValueError: figures that contradict each other, or no time.
    """
    if isinstance(row, SignalRow):
        if not math.isfinite(row.at):
            raise ValueError("at is no time")
    elif row.failures > row.attempts or row.probe_failures > row.probes:
        raise ValueError("more failures than attempts")
    return row


def _time_of(row: Row) -> float:
    return row.checked_at.timestamp() if isinstance(row, LogRow) else row.at


def _take_minute(learned: _Learned, row: LogRow, now: float) -> None:
    at = _time_of(row)
    middle = min(at + MINUTE_S / 2, now)
    soft = row.sla_misses / 2
    if row.attempts:
        bad = min(row.failures + soft, row.attempts)
        soft = max(0.0, row.failures + soft - row.attempts)
        learned.belief = filter_.observe_many(
            learned.belief, failures=bad, oks=row.attempts - bad, at=middle, family="payout"
        )
    if row.probes:
        bad = min(row.probe_failures + soft, row.probes)
        learned.belief = filter_.observe_many(
            learned.belief, failures=bad, oks=row.probes - bad, at=middle, family="active_probe"
        )
    if not row.attempts + row.probes and row.success_rate is not None:
        failure = 1 - row.success_rate
        learned.belief = filter_.observe(learned.belief, failure, middle, "heartbeat")
    sums = _minute_of(learned, at)
    sums.tries += row.attempts
    sums.failed += row.failures
    sums.late += row.sla_misses
    sums.timeouts += row.timeouts
    sums.probes += row.probes
    sums.probes_failed += row.probe_failures
    sums.latency_sum += row.latency_sum_ms + (row.latency_ms or 0)
    sums.latency_max = max(sums.latency_max, row.latency_max_ms, row.latency_ms or 0)
    sums.latencies += row.latencies + (row.latency_ms is not None)
    sums.volume += row.volume
    sums.p_down = filter_.p_down(learned.belief)


def _take_signal(learned: _Learned, row: SignalRow) -> None:
    weight = weight_of(
        Signal("", "", "", row.kind, row.outcome, row.at, row.latency_ms, row.amount)
    )
    if row.outcome == "liquidity":
        learned.short_at = max(learned.short_at, row.at)
    if weight is None:
        return
    learned.belief = filter_.observe(learned.belief, weight, row.at, row.kind)
    sums = _minute_of(learned, row.at)
    failed = int(weight >= 1)
    if row.kind == "active_probe":
        sums.probes += 1
        sums.probes_failed += failed
    else:
        sums.tries += 1
        sums.failed += failed
        sums.volume += row.amount or 0
    sums.late += int(weight == SLA_MISS)
    sums.timeouts += int(row.outcome == "bank_timeout_unknown")
    if row.latency_ms is not None:
        sums.latency_sum += row.latency_ms
        sums.latency_max = max(sums.latency_max, row.latency_ms)
        sums.latencies += 1
    sums.p_down = filter_.p_down(learned.belief)


def _minute_of(learned: _Learned, at: float) -> _Sums:
    return learned.minutes.setdefault(int(at // MINUTE_S), _Sums())


def _recent(learned: _Learned, now: float) -> RecentCounts:
    minutes = tuple(_minute(number, sums) for number, sums in sorted(learned.minutes.items()))
    last = {int(each.at // MINUTE_S) for each in last_minutes(minutes, now)}
    new = [sums for number, sums in learned.minutes.items() if number in last]
    old = [sums for number, sums in learned.minutes.items() if number not in last]
    return RecentCounts(
        minutes=minutes,
        latency_ratio=_ratio(_latency(new), _latency(old)),
        volume_ratio=_ratio(_volume(new), _volume(old)),
        is_short_of_funds=learned.short_at >= now - SHORT_FOR_S,
    )


def _minute(number: int, sums: _Sums) -> Minute:
    return Minute(
        at=float(number * MINUTE_S),
        attempts=sums.tries,
        failures=sums.failed,
        sla_misses=sums.late,
        timeouts=sums.timeouts,
        probes=sums.probes,
        probe_failures=sums.probes_failed,
        latency_sum_ms=sums.latency_sum,
        latency_max_ms=sums.latency_max,
        latencies=sums.latencies,
        p_down=sums.p_down,
    )


def _latency(minutes: Sequence[_Sums]) -> float | None:
    count = sum(each.latencies for each in minutes)
    return sum(each.latency_sum for each in minutes) / count if count else None


def _volume(minutes: Sequence[_Sums]) -> float | None:
    return statistics.fmean(each.volume for each in minutes) if minutes else None


def _ratio(new: float | None, old: float | None) -> float | None:
    return new / old if new is not None and old else None
