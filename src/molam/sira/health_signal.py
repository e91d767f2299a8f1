"""What was seen of a bank: one attempt and its end, and whether the bank is to blame."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

OutcomeClass = Literal[
    "ok",
    "bank_technical",
    "bank_timeout_unknown",
    "network_local",
    "hub_common",
    "customer",
    "compliance",
    "liquidity",
]
SignalKind = Literal[
    "payout", "active_probe", "status_inquiry", "heartbeat", "declared_outage", "settlement_file"
]
OUTCOMES: tuple[str, ...] = get_args(OutcomeClass)
KINDS: tuple[str, ...] = get_args(SignalKind)

FAILURE, SLA_MISS, OK = 1.0, 0.5, 0.0
SLA_FLOOR_MS = 30_000
SLA_FACTOR = 3

# A timeout is no failure of the money, whose end nobody knows yet; it is one of the bank.
_BLAMED = frozenset({"bank_technical", "bank_timeout_unknown"})
# A file that settles payouts of yesterday says nothing of how quickly the bank answers.
_TIMED = frozenset({"payout", "active_probe", "status_inquiry"})


class Signal(msgspec.Struct, frozen=True):
    """One thing seen of a bank on a rail in a currency, at *at* in Unix seconds."""

    bank_profile_id: str
    rail: str
    currency: str
    kind: SignalKind
    outcome: OutcomeClass
    at: float
    latency_ms: int | None = None
    amount: int | None = None
    observed_by: str = "molam"


def sla_ms(usual_p99_ms: float | None) -> int:
    """Return how long an answer may take: three times its usual p99, and never under 30 s."""
    if usual_p99_ms is None:
        return SLA_FLOOR_MS
    return max(SLA_FLOOR_MS, round(SLA_FACTOR * usual_p99_ms))


def weight_of(signal: Signal, *, sla_ms: int = SLA_FLOOR_MS) -> float | None:
    """
    Weigh *signal* against its bank: 1 a failure, 0.5 an answer too late, 0 a good one.

    None moves nobody's health: what our own side, the hub, the customer or the law
    stopped says nothing of the bank. Neither does an outage that was announced: it is
    believed at once, and is no attempt.
    """
    if signal.kind == "declared_outage":
        return None
    if signal.outcome in _BLAMED:
        return FAILURE
    if signal.outcome != "ok":
        return None
    late = signal.latency_ms is not None and signal.latency_ms > sla_ms
    return SLA_MISS if late and signal.kind in _TIMED else OK
