"""What a batch of evidence makes of one belief: the filter moved, the minutes counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from molam.payments.banks.signals import BANK
from molam.sira.health_filter import (
    Belief,
    expected_failure,
    interval,
    observe,
    p_down,
)
from molam.sira.health_signal import SLA_MISS, Signal, weight_of

SCORE_HORIZON_S = 3600.0
SHORT_FOR = timedelta(minutes=30)
"""After a bank said that our account is short, it is taken at its word for so long."""
SILENCE_P_DOWN_MAX = 0.5
"""Silence alone makes a bank doubtful; something must have failed for it to be down."""

_MINUTE_S = 60
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Report:
    """What somebody else measured of a bank: the share of failures, at *at* in Unix seconds."""

    failure: float
    at: float


@dataclass(frozen=True, slots=True)
class Silence:
    """Heartbeats that have stopped, as they were listened for at *at*."""

    at: float


Evidence = Signal | Report | Silence


@dataclass(frozen=True, slots=True)
class Sla:
    """Beyond what it is too late: for answers, and for the end of a payment."""

    answer_ms: int
    end_ms: int

    def of(self, signal: Signal) -> int:
        return self.end_ms if signal.observed_by == BANK else self.answer_ms


@dataclass(slots=True)
class Minute:
    """What is added to one minute of a bank."""

    attempts: int = 0
    failures: int = 0
    sla_misses: int = 0
    timeouts: int = 0
    not_its_fault: int = 0
    probes: int = 0
    probe_failures: int = 0
    latency_sum_ms: int = 0
    latency_max_ms: int = 0
    latencies: int = 0
    volume: int = 0


@dataclass(slots=True)
class Folded:
    """A belief after a batch, and what else the batch has shown."""

    belief: Belief
    probes_ok_in_row: int
    signals: int = 0
    last_at: float | None = None
    last_failure_at: float | None = None
    short_until: float | None = None
    minutes: dict[int, Minute] = field(default_factory=dict)

    @property
    def p_down(self) -> float:
        return p_down(self.belief)

    def scores(self) -> tuple[Decimal, Decimal, Decimal]:
        """The score, and both ends of its 80 % interval."""
        score = 100 * (1 - expected_failure(self.belief, SCORE_HORIZON_S))
        low, _, high = interval(self.belief, SCORE_HORIZON_S)
        return _percent(score), _percent(min(low, score)), _percent(max(high, score))


def fold(belief: Belief, probes_ok_in_row: int, batch: Sequence[Evidence], sla: Sla) -> Folded:
    """Take in *batch* in the order in which it happened, however it arrived."""
    folded = Folded(belief, probes_ok_in_row)
    for each in sorted(batch, key=lambda one: one.at):
        if isinstance(each, Report):
            folded.belief = observe(folded.belief, each.failure, each.at, "heartbeat")
            folded.signals += 1
            folded.last_at = max(folded.last_at or each.at, each.at)
        elif isinstance(each, Silence):
            _doubt(folded, each)
        else:
            _take(folded, each, weight_of(each, sla_ms=sla.of(each)))
    return folded


def _doubt(folded: Folded, silence: Silence) -> None:
    """Let silence count as half a failure, as long as it makes nobody sure of anything."""
    belief = observe(folded.belief, SLA_MISS, silence.at, "heartbeat")
    if p_down(belief) <= SILENCE_P_DOWN_MAX:
        folded.belief = belief


def _take(folded: Folded, signal: Signal, weight: float | None) -> None:
    folded.signals += 1
    folded.last_at = max(folded.last_at or signal.at, signal.at)
    if weight is not None:
        folded.belief = observe(folded.belief, weight, signal.at, signal.kind)
        if weight >= 1:
            folded.last_failure_at = max(folded.last_failure_at or signal.at, signal.at)
        if signal.kind == "active_probe":
            folded.probes_ok_in_row = 0 if weight else folded.probes_ok_in_row + 1
    if signal.outcome == "liquidity":
        until = signal.at + SHORT_FOR.total_seconds()
        folded.short_until = max(folded.short_until or until, until)
    minute = folded.minutes.setdefault(int(signal.at) // _MINUTE_S * _MINUTE_S, Minute())
    _count(minute, signal, weight)


def _count(minute: Minute, signal: Signal, weight: float | None) -> None:
    if weight is None:
        minute.not_its_fault += 1
        return
    failed = int(weight >= 1)
    if signal.kind == "active_probe":
        minute.probes += 1
        minute.probe_failures += failed
    else:
        minute.attempts += 1
        minute.failures += failed
        minute.volume += signal.amount or 0
    minute.sla_misses += int(weight == SLA_MISS)
    minute.timeouts += int(signal.outcome == "bank_timeout_unknown")
    if signal.latency_ms is not None and signal.observed_by != BANK:
        minute.latency_sum_ms += signal.latency_ms
        minute.latency_max_ms = max(minute.latency_max_ms, signal.latency_ms)
        minute.latencies += 1


def instant(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _percent(value: float) -> Decimal:
    return Decimal(min(100.0, max(0.0, value))).quantize(_CENT)
